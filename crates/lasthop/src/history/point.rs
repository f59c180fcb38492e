//! What a point tells: types without behaviour, and the readings that they are made from.

use lasthop_ports::Sample;
use lasthop_ports::snapshot::{GroupKey, Snapshot, SocketCounts};

use super::series::SeriesId;

/// Upstreams that have series of their own; whoever samples more sums up the others in the last.
pub const UPSTREAMS_MAX: usize = 32;

/// Kinds of failures that have series of their own: there are fewer.
pub const FAILURES_MAX: usize = 40;

/// Results of an attempt to connect: as many as there are in `observe::metrics`, in their order.
pub type ConnectRates = [f32; 9];

/// A number that goes up and down: over the time that a point stands for, its mean and its peak. At one moment they are
/// the same.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Level {
    /// The mean.
    pub mean: f32,
    /// The highest.
    pub max: f32,
}

impl Level {
    /// At one moment.
    #[must_use]
    pub const fn at(value: f32) -> Self {
        Self {
            mean: value,
            max: value,
        }
    }

    /// A count at one moment; exact up to 16 million.
    #[must_use]
    pub const fn count(value: u64) -> Self {
        Self::at(value as f32)
    }
}

/// The host at a point.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostPoint {
    /// Sockets of the network namespace by state; none where they may not be listed.
    pub sockets: Option<SocketCounts>,
    /// The fullest groups of connections, at most [`SERIES_MAX`](super::SERIES_MAX).
    pub groups: Vec<GroupPoint>,
}

/// One group at a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupPoint {
    /// Which group; [`History::series`](super::History::series) has its addresses.
    pub series: SeriesId,
    /// Ports in use.
    pub used: Level,
    /// Connections in TIME_WAIT at this end.
    pub time_wait: f32,
    /// Ports that there are; 0 where that is not known.
    pub limit: u32,
}

impl GroupPoint {
    /// As a sample for a forecast.
    pub(super) fn sample(&self, at_ms: u64) -> Sample {
        Sample {
            at_ms,
            used: rounded(f64::from(self.used.mean)),
        }
    }
}

/// This process over the time that a point stands for. Rates are per second, durations in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OwnPoint {
    /// Requests that ended.
    pub requests: f32,
    /// Those that failed, by kind, in the order of [`History::failures`](super::History::failures).
    pub failures: Vec<f32>,
    /// Half of the requests took no longer; none where none ended.
    pub duration_p50: Option<f32>,
    /// Of a hundred requests 99 took no longer; none where none ended.
    pub duration_p99: Option<Level>,
    /// Attempts to connect to apps, by how they ended.
    pub connects: ConnectRates,
    /// Of a hundred connections to apps 99 took no longer to make; none where none was made.
    pub connect_p99: Option<Level>,
    /// Requests that went over a connection that had carried one before.
    pub reuse: f32,
    /// Client connections that are open.
    pub clients: Level,
    /// Clients that were turned away for want of room.
    pub clients_refused: f32,
    /// Descriptors that are open; none where the host does not tell.
    pub descriptors: Option<Level>,
    /// How many there can be; none where the host does not tell.
    pub descriptors_limit: Option<f32>,
    /// By upstream, in the order of [`History::upstreams`](super::History::upstreams).
    pub upstreams: Vec<UpstreamPoint>,
}

/// Connections to the apps of one upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct UpstreamPoint {
    /// With a request or a tunnel.
    pub active: Level,
    /// Waiting for the next request.
    pub idle: f32,
    /// Being made.
    pub connecting: f32,
    /// Requests that wait for a connection.
    pub queue: Level,
}

/// One reading of the host, before its groups have numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostReading {
    /// Sockets by state; none where they may not be listed.
    pub sockets: Option<SocketCounts>,
    /// Groups of connections, in any order.
    pub groups: Vec<GroupReading>,
    /// Whether `groups` are all that there are: then a group that is missing has no connection.
    pub is_complete: bool,
    /// When the next reading is expected, in milliseconds from this one.
    pub period_ms: u64,
}

/// One group in a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupReading {
    /// From where to where.
    pub key: GroupKey,
    /// Ports in use.
    pub used: u32,
    /// Ports that there are; 0 where that is not known.
    pub limit: u32,
    /// Connections in TIME_WAIT at this end.
    pub time_wait: u32,
}

impl HostReading {
    /// What a history keeps of a snapshot. `period_ms` as in [`HostReading::period_ms`].
    #[must_use]
    pub fn of(snapshot: &Snapshot, period_ms: u64) -> Self {
        let limit = snapshot.port_limit().unwrap_or(0);
        let groups = snapshot.groups.iter().map(|group| GroupReading {
            key: group.key,
            used: group.used(),
            limit,
            time_wait: group.time_wait,
        });
        Self {
            sockets: snapshot.sockets,
            groups: groups.collect(),
            is_complete: snapshot.sockets.is_some() && snapshot.groups_omitted.groups == 0,
            period_ms,
        }
    }
}

/// A state's name, and how many sockets have it.
pub type SocketState = (
    &'static str,
    fn(&SocketCounts) -> u64,
    fn(&mut SocketCounts) -> &mut u64,
);

/// The states of sockets by their names here and in `/metrics`: the kernel's in lower case (`include/net/tcp_states.h`),
/// those of Unix sockets last.
pub const SOCKET_STATES: [SocketState; 12] = [
    ("established", |c| c.established, |c| &mut c.established),
    ("syn_sent", |c| c.syn_sent, |c| &mut c.syn_sent),
    ("syn_recv", |c| c.syn_recv, |c| &mut c.syn_recv),
    ("fin_wait1", |c| c.fin_wait1, |c| &mut c.fin_wait1),
    ("fin_wait2", |c| c.fin_wait2, |c| &mut c.fin_wait2),
    ("time_wait", |c| c.time_wait, |c| &mut c.time_wait),
    ("close_wait", |c| c.close_wait, |c| &mut c.close_wait),
    ("last_ack", |c| c.last_ack, |c| &mut c.last_ack),
    ("closing", |c| c.closing, |c| &mut c.closing),
    ("listen", |c| c.listen, |c| &mut c.listen),
    (
        "unix_established",
        |c| c.unix_established,
        |c| &mut c.unix_established,
    ),
    ("unix_listen", |c| c.unix_listen, |c| &mut c.unix_listen),
];

/// A mean as a count.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest integer there is, never another one"
)]
pub(super) fn rounded(value: f64) -> u32 {
    value.round() as u32
}
