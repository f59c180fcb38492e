//! The host's settings, counters and limits, in the kernel's own units.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host::{HostPorts, TimeWaitReuse};
use crate::range::{PortRange, ReservedPorts};

/// Which network namespace a snapshot speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// The number by which the kernel tells namespaces apart (the inode of `/proc/PID/ns/net`); none where it may not be
    /// read.
    pub inode: Option<u64>,
    /// A process that is in it; none for the reader's own.
    pub pid: Option<u32>,
    /// The name of that process.
    pub name: Option<String>,
}

/// What `/proc/sys/net/ipv4` says about source ports, and how the kernel looks for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortSettings {
    /// `ip_local_port_range`.
    pub range: PortRange,
    /// `ip_local_reserved_ports`.
    pub reserved: ReservedPorts,
    /// `tcp_tw_reuse`: 0 never, 1 always, 2 on loopback.
    pub tcp_tw_reuse: u32,
    /// `tcp_timestamps`; without them TIME_WAIT is never reused.
    pub tcp_timestamps: u32,
    /// `tcp_tw_reuse_delay` in milliseconds; 1000 where the kernel does not have the setting.
    pub tcp_tw_reuse_delay_ms: u32,
    /// Whether `IP_LOCAL_PORT_RANGE` makes connect(2) look at all ports alike (Linux 6.8). Without the option no kernel
    /// does.
    pub flat_search: bool,
}

impl PortSettings {
    /// The same as facts to calculate with.
    #[must_use]
    pub fn host_ports(&self) -> HostPorts {
        HostPorts {
            range: self.range,
            reserved: self.reserved.clone(),
            flat_search: self.flat_search,
            reuse: self.reuse(),
        }
    }

    /// When the port of a closed connection can be used again.
    #[must_use]
    pub const fn reuse(&self) -> TimeWaitReuse {
        TimeWaitReuse::of_settings(
            self.tcp_tw_reuse,
            self.tcp_timestamps,
            Duration::from_millis(self.tcp_tw_reuse_delay_ms as u64),
        )
    }
}

/// Other settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `net.core.somaxconn`: no backlog is longer.
    pub somaxconn: Option<u32>,
    /// `net.ipv4.tcp_max_orphans`.
    pub tcp_max_orphans: Option<u32>,
    /// `fs.nr_open`: no process has a higher limit of descriptors.
    pub nr_open: Option<u64>,
}

/// Sockets of the namespace, in sockets: a connection within the host has two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketCounts {
    /// Open at both ends.
    pub established: u64,
    /// Asked, not answered.
    pub syn_sent: u64,
    /// Asked from outside, not finished.
    pub syn_recv: u64,
    /// Closed here, not acknowledged.
    pub fin_wait1: u64,
    /// Closed here, open there.
    pub fin_wait2: u64,
    /// Closed, kept for stray segments.
    pub time_wait: u64,
    /// Closed there, not here.
    pub close_wait: u64,
    /// Closed by both, the other end first.
    pub last_ack: u64,
    /// Closed by both at the same time.
    pub closing: u64,
    /// Listening.
    pub listen: u64,
    /// Unix sockets that are connected, stream and packet.
    pub unix_established: u64,
    /// Unix sockets that listen.
    pub unix_listen: u64,
}

/// How much of something is used, both in the same unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// In use.
    pub used: u64,
    /// How much there can be.
    pub limit: u64,
}

impl Usage {
    /// The part in use, from 0; 1 where the limit is 0 and something is in use.
    #[must_use]
    pub fn part(self) -> f64 {
        if self.limit == 0 {
            return if self.used == 0 { 0.0 } else { 1.0 };
        }
        self.used as f64 / self.limit as f64
    }
}

/// Memory of TCP sockets, in pages of memory (`net.ipv4.tcp_mem`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpMemory {
    /// In use.
    pub pages: u64,
    /// Below this again, pressure ends.
    pub low_pages: u64,
    /// From here on sockets are pressed to use less.
    pub pressure_pages: u64,
    /// No more than this.
    pub limit_pages: u64,
}

/// What the kernel counts, since the namespace began; none where it does not count it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// Connections refused because a listener's queue was full (`TcpExt: ListenOverflows`).
    pub listen_overflows: Option<u64>,
    /// Connections that a listener dropped for any reason, those included (`TcpExt: ListenDrops`).
    pub listen_drops: Option<u64>,
    /// Connections that found no place in TIME_WAIT (`TcpExt: TCPTimeWaitOverflow`).
    pub time_wait_overflow: Option<u64>,
    /// Times that TCP came under memory pressure (`TcpExt: TCPMemoryPressures`).
    pub memory_pressures: Option<u64>,
    /// Connections ended for want of memory (`TcpExt: TCPAbortOnMemory`).
    pub aborts_on_memory: Option<u64>,
    /// Connections that this namespace began (`Tcp: ActiveOpens`).
    pub active_opens: Option<u64>,
    /// Attempts that failed (`Tcp: AttemptFails`).
    pub attempt_fails: Option<u64>,
    /// TCP sockets that no process has any more (sockstat: orphan).
    pub orphans: Option<u64>,
}

/// Counters at an earlier reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountersBefore {
    /// How long before this snapshot, in milliseconds.
    pub before_ms: u64,
    /// What they said.
    pub counters: Counters,
}
