//! `/metrics`: which numbers there are, by their names. docs/metrics.md explains each.
//!
//! The names are promises. Each is there from the first reading on, at zero if need be, so that a rate over the first
//! event is right; only routes wait for a status to occur, because most never do.

use std::time::SystemTime;

use super::exposition::{Kind, Label, Page};
use super::view::View;
use super::{host, source_ports};
use crate::observe::Descriptors;
use crate::observe::metrics::{
    ConnectResult, Durations, Histogram, ListenerMetrics, UpstreamMetrics,
};

/// The page as of now.
pub(super) fn page(view: &View, descriptors: Descriptors) -> String {
    let mut page = Page::default();
    requests(view, &mut page);
    clients(view, &mut page);
    upstream_connections(view, &mut page);
    source_ports::metrics(view, &mut page);
    upstream_requests(view, &mut page);
    host::metrics(&view.sampled, &mut page);
    process(view, descriptors, &mut page);
    page.into_text()
}

fn requests(view: &View, page: &mut Page) {
    let mut family = page.family(
        "lasthop_requests_total",
        Kind::Counter,
        "Requests by the status they were answered with; route and upstream are empty where no route took them.",
    );
    let routes = view.config.routes.iter().enumerate();
    let routes = routes.map(|(index, route)| {
        let upstream = &view.config.upstreams[route.upstream];
        (Some(index), &*route.name, &*upstream.name)
    });
    for (index, route, upstream) in routes.chain([(None, "", "")]) {
        for (code, count) in view.codes(index) {
            let code = code.to_string();
            let labels = [("route", route), ("upstream", upstream), ("code", &*code)];
            family.sample(&labels, count);
        }
    }
    let mut family = page.family(
        "lasthop_request_failures_total",
        Kind::Counter,
        "Requests that failed, by the kind that the operator log names.",
    );
    for (kind, count) in view.failures() {
        family.sample(&[("kind", kind)], count);
    }
    let durations = view.workers.iter().map(|worker| &worker.request_duration);
    if let Some(durations) = Durations::of(durations) {
        page.family(
            "lasthop_request_duration_seconds",
            Kind::Histogram,
            "From the first byte of a request's head to the last byte of its answer.",
        )
        .histogram(&[], &durations);
    }
}

/// A family about listeners: its name, what it is, its help, the number.
type OfListener = (
    &'static str,
    Kind,
    &'static str,
    fn(&ListenerMetrics) -> u64,
);

const OF_LISTENERS: [OfListener; 6] = [
    (
        "lasthop_client_connections",
        Kind::Gauge,
        "Client connections that are open.",
        |listener| listener.connections.value(),
    ),
    (
        "lasthop_client_connections_accepted_total",
        Kind::Counter,
        "Client connections accepted, those refused included.",
        |listener| listener.accepted.value(),
    ),
    (
        "lasthop_client_connections_handed_over_total",
        Kind::Counter,
        "Client connections that one worker accepted and another served.",
        |listener| listener.handed_over.value(),
    ),
    (
        "lasthop_client_connections_evicted_total",
        Kind::Counter,
        "Idle client connections closed to make room for others.",
        |listener| listener.evicted.value(),
    ),
    (
        "lasthop_client_received_bytes_total",
        Kind::Counter,
        "Bytes read from clients whose request or tunnel has ended.",
        |listener| listener.received_bytes.value(),
    ),
    (
        "lasthop_client_sent_bytes_total",
        Kind::Counter,
        "Bytes written to clients whose request or tunnel has ended.",
        |listener| listener.sent_bytes.value(),
    ),
];

fn clients(view: &View, page: &mut Page) {
    let listeners = &view.config.listeners;
    for (name, kind, help, number) in OF_LISTENERS {
        let mut family = page.family(name, kind, help);
        for (index, listener) in listeners.iter().enumerate() {
            let labels = [("listener", &*listener.name)];
            family.sample(&labels, view.listener(index, number));
        }
    }
    let mut family = page.family(
        "lasthop_client_connections_refused_total",
        Kind::Counter,
        "Client connections told 503 at once, by what was used up: max_connections or descriptors.",
    );
    for (index, listener) in listeners.iter().enumerate() {
        let connections = view.listener(index, |listener| listener.refused_connections.value());
        let descriptors = view.listener(index, |listener| listener.refused_descriptors.value());
        for (reason, count) in [
            ("max_connections", connections),
            ("descriptors", descriptors),
        ] {
            family.sample(&[("listener", &listener.name), ("reason", reason)], count);
        }
    }
}

fn upstream_connections(view: &View, page: &mut Page) {
    let mut family = page.family(
        "lasthop_upstream_connections",
        Kind::Gauge,
        "Connections to the application: active with a request or a tunnel, idle, or connecting.",
    );
    for (index, upstream) in view.config.upstreams.iter().enumerate() {
        let connections = view.upstream_connections(index);
        for (state, count) in [
            ("active", connections.active),
            ("idle", connections.idle),
            ("connecting", connections.connecting),
        ] {
            family.sample(&[("upstream", &upstream.name), ("state", state)], count);
        }
    }
    let mut family = page.family(
        "lasthop_upstream_connects_total",
        Kind::Counter,
        "Attempts to connect to the application, by how they ended.",
    );
    for (index, upstream) in view.config.upstreams.iter().enumerate() {
        for result in ConnectResult::ALL {
            let labels = [("upstream", &*upstream.name), ("result", result.label())];
            family.sample(&labels, view.connects(index, result));
        }
    }
    upstream_durations(
        view,
        page,
        "lasthop_upstream_connect_duration_seconds",
        "How long an attempt to connect that succeeded took.",
        |upstream| &upstream.connect_duration,
    );
    let mut family = page.family(
        "lasthop_queue_length",
        Kind::Gauge,
        "Requests that wait for a connection to the application.",
    );
    for (upstream, admission) in view.config.upstreams.iter().zip(&view.admissions) {
        let labels = [("upstream", &*upstream.name)];
        family.sample(&labels, admission.queue_length());
    }
}

fn upstream_requests(view: &View, page: &mut Page) {
    let mut counter = |name, help, number: fn(&UpstreamMetrics) -> u64| {
        let mut family = page.family(name, Kind::Counter, help);
        for (index, upstream) in view.config.upstreams.iter().enumerate() {
            let labels = [("upstream", &*upstream.name)];
            family.sample(&labels, view.upstream(index, number));
        }
    };
    counter(
        "lasthop_source_ports_spills_total",
        "Connections made from or to another address than the kernel would have chosen, because its ports were short.",
        |upstream| upstream.spilled.value(),
    );
    counter(
        "lasthop_upstream_reuse_total",
        "Requests that went over a connection that had carried one before.",
        |upstream| upstream.reused.value(),
    );
    counter(
        "lasthop_upstream_retries_total",
        "Requests that were sent to the application a second time.",
        |upstream| upstream.retried.value(),
    );
    upstream_durations(
        view,
        page,
        "lasthop_upstream_response_duration_seconds",
        "From taking a connection to the application to the head of its answer.",
        |upstream| &upstream.response_duration,
    );
}

fn upstream_durations(
    view: &View,
    page: &mut Page,
    name: &'static str,
    help: &str,
    of: fn(&UpstreamMetrics) -> &Histogram,
) {
    let mut family = page.family(name, Kind::Histogram, help);
    for (index, upstream) in view.config.upstreams.iter().enumerate() {
        if let Some(durations) = view.upstream_durations(index, of) {
            family.histogram(&[("upstream", &upstream.name)], &durations);
        }
    }
}

fn process(view: &View, descriptors: Descriptors, page: &mut Page) {
    let mut family = page.family(
        "lasthop_file_descriptors",
        Kind::Gauge,
        "File descriptors of this process: those in use, and the limit.",
    );
    let kinds = [("in_use", descriptors.in_use), ("limit", descriptors.limit)];
    for (kind, count) in kinds {
        if let Some(count) = count {
            family.sample(&[("kind", kind)], count);
        }
    }
    let drops = (view.log_drops)();
    let mut family = page.family(
        "lasthop_log_lines_dropped_total",
        Kind::Counter,
        "Log lines dropped: whoever reads the log did not keep up, or they could not be written.",
    );
    family.sample(&[("log", "access")], drops.access);
    family.sample(&[("log", "operator")], drops.operator);
    let (spliced_bytes, pipes_refused) = view.spliced();
    let mut counter = |name, help, value: u64| {
        page.family(name, Kind::Counter, help).sample(&[], value);
    };
    counter(
        "lasthop_spliced_bytes_total",
        "Bytes of large transfers that were moved from socket to socket without a copy, each way.",
        spliced_bytes,
    );
    counter(
        "lasthop_pipes_refused_total",
        "How often large transfers were copied for want of descriptors or of the host's room for pipes.",
        pipes_refused,
    );
    let mut gauge = |name, help, labels: &[Label<'_>], value: u64| {
        page.family(name, Kind::Gauge, help).sample(labels, value);
    };
    gauge(
        "lasthop_buffered_bytes",
        "Bytes of buffers that the workers have lent to requests.",
        &[],
        view.buffered_bytes(),
    );
    gauge(
        "lasthop_workers",
        "Worker threads.",
        &[],
        view.workers.len() as u64,
    );
    gauge(
        "lasthop_start_time_seconds",
        "When this process began to serve, in seconds since 1970.",
        &[],
        seconds_since_1970(view.state.started_at()),
    );
    gauge(
        "lasthop_build_info",
        "Always 1; the version is in the label.",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1,
    );
}

/// Whole seconds.
fn seconds_since_1970(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
