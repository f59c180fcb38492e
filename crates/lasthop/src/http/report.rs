//! What the operator log says about a fault: once, then counted.
//!
//! The first of a kind is logged at once with the fix in words where the host can tell it; the next
//! one after ten quiet seconds (a minute for shortages of ours) says how many were passed over, and where there is no next one the
//! main thread says it ([`again`]). All workers count together.

use super::advice;
use super::client::Client;
use super::fault::Fault;
use super::refuse;
use super::request::Manner;
use super::site::ListenerSite;
use crate::config::Config;
use crate::observe::FailureKey;

/// Logs `fault`, unless its kind was logged a moment ago. `status` is that of our own answer; none
/// where the app's has begun, or nobody is there for one.
pub(super) fn fault(
    client: &Client,
    listener: &ListenerSite,
    manner: &Manner,
    (fault, status): (&Fault, Option<u16>),
) {
    let severity = fault.severity();
    if severity > tracing::level_filters::LevelFilter::current() {
        return;
    }
    let site = &listener.site;
    let route = manner.route.map(|route| &site.config.routes[route]);
    let upstream = route.map(|route| &*site.config.upstreams[route.upstream].name);
    let key = (fault.kind(), route.map(|route| route.upstream));
    let Some(repeated) = site.repeats.admit(key, client.watch.now()) else {
        return;
    };
    let fix = advice::fix(fault);
    let listener = &*listener.settings.name;
    let route = route.map(|route| &*route.name);
    let (kind, error) = (fault.kind(), fault.error_type());
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
                kind,
                error,
                details,
                fix = fix.as_deref(),
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

/// Says how many failures of each kind went unlogged since one of them was.
pub fn again(config: &Config, unlogged: &[(FailureKey, u64)]) {
    for (key, repeated) in unlogged {
        if refuse::again(config, *key, *repeated) {
            continue;
        }
        let (kind, upstream) = key;
        let upstream = upstream.map(|upstream| &*config.upstreams[upstream].name);
        if Fault::is_of_client(kind) {
            tracing::info!(kind, upstream, repeated, "requests failed again");
        } else {
            tracing::warn!(kind, upstream, repeated, "requests failed again");
        }
    }
}
