//! What the operator log says about a fault: once, then counted.
//!
//! The first of a kind is logged at once with the fix in words where the host can tell it; the next
//! one after ten quiet seconds says how many were passed over. Each worker counts for itself.

use super::client::Client;
use super::fault::Fault;
use super::request::Manner;
use super::site::ListenerSite;

/// Logs `fault`, unless its kind was logged a moment ago.
pub(super) fn fault(client: &Client, listener: &ListenerSite, manner: &Manner, fault: &Fault) {
    let severity = fault.severity();
    if severity > tracing::level_filters::LevelFilter::current() {
        return;
    }
    let site = &listener.site;
    let route = manner.route.map(|route| &site.config.routes[route]);
    let upstream = route.map(|route| &*site.config.upstreams[route.upstream].name);
    let what = match fault {
        Fault::Connect(error) => error.kind.label(),
        other => other.error_type(),
    };
    let key = (what, route.map(|route| route.upstream));
    let Some(repeated) = site.repeats.admit(key, client.watch.now()) else {
        return;
    };
    let fix = match fault {
        Fault::Connect(error) => error.fix(),
        _ => None,
    };
    let listener = &*listener.settings.name;
    let route = route.map(|route| &*route.name);
    let status = fault.status();
    let error = fault.error_type();
    let details = fault.to_string();
    let repeated = (repeated > 0).then_some(repeated);
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(
                listener,
                route,
                upstream,
                client = &*client.peer.text,
                status,
                error,
                details,
                fix,
                repeated,
                "request failed"
            )
        };
    }
    match severity {
        tracing::Level::WARN => log!(warn),
        tracing::Level::INFO => log!(info),
        _ => log!(debug),
    }
}
