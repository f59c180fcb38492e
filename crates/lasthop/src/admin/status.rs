//! `/status`: the whole state of the process at one moment, as JSON for people and scripts.
//!
//! The types here are its shape, key by key; docs/metrics.md describes them. A key may be added at any time. One that
//! changes its meaning or goes raises [`SCHEMA`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::source_ports::{self, SourcePorts};
use super::view::View;
use crate::observe::metrics::{ConnectResult, ListenerMetrics};
use crate::observe::{Descriptors, rfc3339};

/// The version of this shape.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Status<'a> {
    schema: u32,
    version: &'static str,
    pid: u32,
    state: &'static str,
    started: String,
    uptime_seconds: f64,
    file_descriptors: FileDescriptors,
    log_lines_dropped: LogLinesDropped,
    workers: Vec<Worker<'a>>,
    listeners: Vec<Listener<'a>>,
    upstreams: Vec<Upstream<'a>>,
    routes: Vec<Route<'a>>,
    unrouted: Codes,
}

/// `null` where the host does not tell.
#[derive(Serialize)]
struct FileDescriptors {
    in_use: Option<u64>,
    limit: Option<u64>,
}

#[derive(Serialize)]
struct LogLinesDropped {
    access: u64,
    operator: u64,
}

#[derive(Serialize)]
struct Worker<'a> {
    worker: usize,
    buffered_bytes: u64,
    listeners: Vec<WorkerListener<'a>>,
}

#[derive(Serialize)]
struct WorkerListener<'a> {
    listener: &'a str,
    connections: u64,
    accepted: u64,
    handed_over: u64,
}

#[derive(Serialize)]
struct Listener<'a> {
    name: &'a str,
    address: String,
    connections: u64,
    max_connections: usize,
    accepted: u64,
    handed_over: u64,
    refused: Refused,
    evicted: u64,
    received_bytes: u64,
    sent_bytes: u64,
}

#[derive(Serialize)]
struct Refused {
    max_connections: u64,
    descriptors: u64,
}

#[derive(Serialize)]
struct Upstream<'a> {
    name: &'a str,
    targets: Vec<String>,
    connections: Connections,
    max_connections: usize,
    queue: Queue,
    connects: BTreeMap<&'static str, u64>,
    source_ports: Vec<SourcePorts>,
    spills: u64,
    reuse: u64,
    retries: u64,
}

#[derive(Serialize)]
struct Connections {
    active: u64,
    idle: u64,
    connecting: u64,
}

#[derive(Serialize)]
struct Queue {
    length: usize,
    size: usize,
}

#[derive(Serialize)]
struct Route<'a> {
    name: &'a str,
    upstream: &'a str,
    requests: Codes,
}

/// Requests by status.
type Codes = BTreeMap<u16, u64>;

/// The status at `now`.
///
/// # Errors
/// None that can occur: everything in it has a form in JSON.
pub(super) fn json(
    view: &View,
    descriptors: Descriptors,
    now: Instant,
) -> Result<String, serde_json::Error> {
    let drops = (view.log_drops)();
    let uptime = now.saturating_duration_since(view.state.started());
    let mut text = serde_json::to_string_pretty(&Status {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        state: if view.state.is_draining() {
            "draining"
        } else {
            "serving"
        },
        started: rfc3339(view.state.started_at()),
        uptime_seconds: to_milliseconds(uptime),
        file_descriptors: FileDescriptors {
            in_use: descriptors.in_use,
            limit: descriptors.limit,
        },
        log_lines_dropped: LogLinesDropped {
            access: drops.access,
            operator: drops.operator,
        },
        workers: workers(view),
        listeners: listeners(view),
        upstreams: upstreams(view),
        routes: routes(view),
        unrouted: view.codes(None).into_iter().collect(),
    })?;
    text.push('\n');
    Ok(text)
}

/// Seconds, with no more digits than anybody needs.
fn to_milliseconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1e3
}

fn workers(view: &View) -> Vec<Worker<'_>> {
    let mut workers = Vec::with_capacity(view.workers.len());
    for (worker, counted) in view.workers.iter().enumerate() {
        let listeners = view.config.listeners.iter().zip(&counted.listeners);
        workers.push(Worker {
            worker,
            buffered_bytes: counted.buffered_bytes.value(),
            listeners: listeners
                .map(|(listener, counted)| WorkerListener {
                    listener: &listener.name,
                    connections: counted.connections.value(),
                    accepted: counted.accepted.value(),
                    handed_over: counted.handed_over.value(),
                })
                .collect(),
        });
    }
    workers
}

fn listeners(view: &View) -> Vec<Listener<'_>> {
    let mut listeners = Vec::with_capacity(view.config.listeners.len());
    for (index, listener) in view.config.listeners.iter().enumerate() {
        let sum = |number: fn(&ListenerMetrics) -> u64| view.listener(index, number);
        listeners.push(Listener {
            name: &listener.name,
            address: listener.address.label(),
            connections: sum(|it| it.connections.value()),
            max_connections: listener.max_connections,
            accepted: sum(|it| it.accepted.value()),
            handed_over: sum(|it| it.handed_over.value()),
            refused: Refused {
                max_connections: sum(|it| it.refused_connections.value()),
                descriptors: sum(|it| it.refused_descriptors.value()),
            },
            evicted: sum(|it| it.evicted.value()),
            received_bytes: sum(|it| it.received_bytes.value()),
            sent_bytes: sum(|it| it.sent_bytes.value()),
        });
    }
    listeners
}

fn upstreams(view: &View) -> Vec<Upstream<'_>> {
    let mut upstreams = Vec::with_capacity(view.config.upstreams.len());
    let settings = view.config.upstreams.iter().zip(&view.admissions);
    for (index, (upstream, admission)) in settings.enumerate() {
        let connections = view.upstream_connections(index);
        let connects = ConnectResult::ALL.map(|it| (it.label(), view.connects(index, it)));
        upstreams.push(Upstream {
            name: &upstream.name,
            targets: upstream.targets.iter().map(ToString::to_string).collect(),
            connections: Connections {
                active: connections.active,
                idle: connections.idle,
                connecting: connections.connecting,
            },
            max_connections: upstream.max_connections,
            queue: Queue {
                length: admission.queue_length(),
                size: upstream.queue.size,
            },
            connects: connects.into_iter().collect(),
            source_ports: source_ports::of_upstream(view, index),
            spills: view.upstream(index, |upstream| upstream.spilled.value()),
            reuse: view.upstream(index, |upstream| upstream.reused.value()),
            retries: view.upstream(index, |upstream| upstream.retried.value()),
        });
    }
    upstreams
}

fn routes(view: &View) -> Vec<Route<'_>> {
    let routes = view.config.routes.iter().enumerate();
    routes
        .map(|(index, route)| Route {
            name: &route.name,
            upstream: &view.config.upstreams[route.upstream].name,
            requests: view.codes(Some(index)).into_iter().collect(),
        })
        .collect()
}
