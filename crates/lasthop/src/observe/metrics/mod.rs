//! What is counted: one set of counters for each worker, added up when somebody reads them.
//!
//! A worker is the only writer of its counters, so counting is a load and a store of a line that no
//! other core writes. Readers (the admin thread) see every value a moment late and never torn. The
//! names that operators see, and the units, are in `admin`; here are only the numbers.

mod durations;
mod failures;
mod histogram;
mod number;

use std::sync::{Arc, OnceLock};

pub use durations::Durations;
pub use failures::{FAILURE_KINDS, Failures};
pub use histogram::Histogram;
pub use number::{Counter, Gauge};

/// Bounds of a request's duration, in microseconds: three to the decade around what one host needs
/// (100 µs to 10 ms), coarser up to the default `response_timeout`.
const REQUEST_BOUNDS: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// Bounds of the time a new connection takes, in microseconds: from a Unix socket's 3 µs past the
/// 600–2,000 µs of a crowded port range to the default `connect_timeout`.
const CONNECT_BOUNDS: &[u64] = &[
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000,
    5_000_000,
];

/// Everything one worker counts. The indices are those of the configuration.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerMetrics {
    /// By the index of the listener.
    pub listeners: Box<[ListenerMetrics]>,
    /// By the index of the upstream. Shared with what is counted: a connection counts until it is
    /// dropped, wherever it went.
    pub upstreams: Box<[Arc<UpstreamMetrics>]>,
    /// By the index of the route.
    pub routes: Box<[RouteMetrics]>,
    /// Requests that no route took, or whose head was refused.
    pub unrouted: RouteMetrics,
    /// From the first byte of the head to the last byte of the answer. Upgraded connections count
    /// with the time to their `101`.
    pub request_duration: Histogram,
    /// Requests that failed, by kind.
    pub failures: Failures,
    /// Bytes lent out in buffers and pipes, as of the last tick.
    pub buffered_bytes: Gauge,
    /// Bytes that have passed through pipes, as of the last tick.
    pub spliced_bytes: Gauge,
    /// How often a pipe was wanted and could not be had, as of the last tick.
    pub pipes_refused: Gauge,
}

/// What is counted of one listener.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct ListenerMetrics {
    /// Client connections open now.
    pub connections: Gauge,
    /// Connections accepted since the start, those refused included.
    pub accepted: Counter,
    /// Of those, how many were handed over to another worker.
    pub handed_over: Counter,
    /// Newcomers that were told 503 because `max_connections` clients were there already.
    pub refused_connections: Counter,
    /// Newcomers that were told 503 because descriptors were short.
    pub refused_descriptors: Counter,
    /// Clients that were closed to make room: idle ones, and those still at their head.
    pub evicted: Counter,
    /// Bytes read from clients whose request or tunnel has ended.
    pub received_bytes: Counter,
    /// Bytes written to them.
    pub sent_bytes: Counter,
}

/// How an attempt to connect to an app ended: the label `result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectResult {
    /// There is a connection.
    Ok,
    /// Nobody listens there.
    Refused,
    /// No answer within `connect_timeout`.
    Timeout,
    /// No source port is left.
    SourcePorts,
    /// The app's listen queue is full.
    Backlog,
    /// No descriptor is left, or no kernel memory.
    Descriptors,
    /// The socket file may not be used.
    Permission,
    /// The socket file is missing.
    Missing,
    /// Anything else.
    Other,
}

impl ConnectResult {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::Refused,
        Self::Timeout,
        Self::SourcePorts,
        Self::Backlog,
        Self::Descriptors,
        Self::Permission,
        Self::Missing,
        Self::Other,
    ];

    /// The value of the label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::SourcePorts => "source_ports",
            Self::Backlog => "backlog",
            Self::Descriptors => "descriptors",
            Self::Permission => "permission",
            Self::Missing => "missing",
            Self::Other => "other",
        }
    }
}

/// What is counted of one upstream.
#[derive(Debug)]
#[repr(align(64))]
pub struct UpstreamMetrics {
    /// Connections to the app open now, idle ones and tunnels included.
    pub open: Gauge,
    /// Of those, the ones that wait for their next request.
    pub idle: Gauge,
    /// Attempts to connect going on now.
    pub connecting: Gauge,
    /// Attempts since the start, by [`ConnectResult`].
    connects: [Counter; ConnectResult::ALL.len()],
    /// Of the connections made, those from or to another address than the kernel would have chosen.
    pub spilled: Counter,
    /// How long an attempt that succeeded took.
    pub connect_duration: Histogram,
    /// Requests that went over a connection that had carried one before.
    pub reused: Counter,
    /// Requests that were sent a second time.
    pub retried: Counter,
    /// From taking a connection to the head of the answer.
    pub response_duration: Histogram,
}

impl UpstreamMetrics {
    /// Attempts to connect that ended so.
    pub fn connects(&self, result: ConnectResult) -> &Counter {
        &self.connects[result as usize]
    }
}

impl Default for UpstreamMetrics {
    fn default() -> Self {
        Self {
            open: Gauge::default(),
            idle: Gauge::default(),
            connecting: Gauge::default(),
            connects: Default::default(),
            spilled: Counter::default(),
            connect_duration: Histogram::new(CONNECT_BOUNDS),
            reused: Counter::default(),
            retried: Counter::default(),
            response_duration: Histogram::new(REQUEST_BOUNDS),
        }
    }
}

/// The lowest status that is counted, and how many share a block.
const CODE_MIN: u16 = 100;
const BLOCK: u16 = 100;

/// Answers of one route by status. A block of a hundred statuses is made when the first of them is
/// counted, so that thousands of routes do not hold thousands of statuses that never occur.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct RouteMetrics {
    blocks: [OnceLock<Box<[Counter]>>; 9],
}

impl RouteMetrics {
    /// Counts a request that was answered with `code`, 100 to 999.
    pub fn count(&self, code: u16) {
        let index = code.clamp(CODE_MIN, 999) - CODE_MIN;
        let block = &self.blocks[usize::from(index / BLOCK)];
        let counters = block.get_or_init(|| (0..BLOCK).map(|_| Counter::default()).collect());
        counters[usize::from(index % BLOCK)].add(1);
    }

    /// Each status that has occurred, with how often.
    pub fn codes(&self) -> impl Iterator<Item = (u16, u64)> {
        let blocks = (CODE_MIN..).step_by(usize::from(BLOCK)).zip(&self.blocks);
        blocks
            .filter_map(|(first, block)| Some((first, block.get()?)))
            .flat_map(|(first, counters)| (first..).zip(counters.iter()))
            .map(|(code, counter)| (code, counter.value()))
            .filter(|(_, count)| *count > 0)
    }
}

impl WorkerMetrics {
    /// Counters at zero for a configuration of that size.
    pub fn new(listeners: usize, upstreams: usize, routes: usize) -> Self {
        Self {
            listeners: (0..listeners).map(|_| ListenerMetrics::default()).collect(),
            upstreams: (0..upstreams).map(|_| Arc::default()).collect(),
            routes: (0..routes).map(|_| RouteMetrics::default()).collect(),
            unrouted: RouteMetrics::default(),
            request_duration: Histogram::new(REQUEST_BOUNDS),
            failures: Failures::default(),
            buffered_bytes: Gauge::default(),
            spliced_bytes: Gauge::default(),
            pipes_refused: Gauge::default(),
        }
    }

    /// The answers of a route, or of requests without one.
    pub fn route(&self, route: Option<usize>) -> &RouteMetrics {
        route.map_or(&self.unrouted, |route| &self.routes[route])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_counted_under_its_number_and_only_those_seen_are_listed() {
        let route = RouteMetrics::default();
        for code in [200, 200, 503, 100, 999] {
            route.count(code);
        }
        let seen: Vec<_> = route.codes().collect();
        assert_eq!(seen, [(100, 1), (200, 2), (503, 1), (999, 1)]);
    }

    #[test]
    fn the_number_of_a_connect_result_is_its_place_in_the_list() {
        let metrics = UpstreamMetrics::default();
        for (number, result) in ConnectResult::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, number);
            metrics.connects(result).add(1);
        }
    }
}
