//! One look at one network namespace: all that a judgement needs, as counts and a few names.
//!
//! Written by whoever reads a kernel, recorded as it stands (`lasthop doctor --record`), judged by
//! [`diagnose`](crate::diagnose::diagnose). Keeps no single connection: 200,000 sockets come down to the groups they
//! belong to, and every list has a bound. What could not be read is `None` or missing, and named in
//! [`Snapshot::unseen`]; zero always means that zero was read.

mod group;
mod host;
mod listeners;
mod owner;

pub use group::{GROUPS_MAX, Group, GroupKey, OmittedGroups, SAMPLES_MAX, StateCounts};
pub use host::{
    Counters, CountersBefore, Namespace, PortSettings, Settings, SocketCounts, TcpMemory, Usage,
};
pub use listeners::{
    Bind, LISTENERS_MAX, Listener, Plain, PlainHolders, UnixListener, UnixProblem, UnixTarget,
};
pub use owner::{DescriptorUse, Owner, PROCESSES_MAX, Process, Program};

use serde::{Deserialize, Serialize};

/// The version of the format. A reader refuses a recording of another one.
pub const SCHEMA: &str = "lasthop.snapshot/1";

/// What was seen of one network namespace at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// [`SCHEMA`] of the program that wrote it.
    pub schema: String,
    /// When it was taken, in milliseconds since 1970 by the host's clock.
    pub taken_ms: u64,
    /// The release of the kernel, for the reader; nothing is concluded from it.
    pub kernel: String,
    /// Which network namespace it speaks of.
    pub namespace: Namespace,
    /// What the host allows its source ports; none where /proc/sys cannot be read.
    pub ports: Option<PortSettings>,
    /// Other settings that findings are about.
    pub settings: Settings,
    /// TCP sockets by state, and Unix sockets; none where sockets cannot be listed.
    pub sockets: Option<SocketCounts>,
    /// Connections that begin in this namespace, by where they lead; the fullest first, at most [`GROUPS_MAX`].
    pub groups: Vec<Group>,
    /// What is not in `groups`.
    pub groups_omitted: OmittedGroups,
    /// TCP listeners, at most [`LISTENERS_MAX`].
    pub listeners: Vec<Listener>,
    /// Unix listeners, at most [`LISTENERS_MAX`]; those with the longest queues first.
    pub unix_listeners: Vec<UnixListener>,
    /// Unix sockets that some configuration names, or that lie about, and that cannot be connected to.
    pub unix_targets: Vec<UnixTarget>,
    /// Sockets that hold ports of the range for themselves; none where that was not looked for.
    pub plain_holders: Option<PlainHolders>,
    /// What the kernel has counted since it started.
    pub counters: Counters,
    /// The same counters some time before; none at the only reading.
    pub counters_before: Option<CountersBefore>,
    /// Connections that the firewall follows (`nf_conntrack_count`, `nf_conntrack_max`); none without it.
    pub conntrack: Option<Usage>,
    /// Open files of the whole host, and `fs.file-max`.
    pub files: Option<Usage>,
    /// Connections in TIME_WAIT and `net.ipv4.tcp_max_tw_buckets`.
    pub time_wait_buckets: Option<Usage>,
    /// Memory of all TCP sockets, and what the host sets aside for it.
    pub tcp_memory: Option<TcpMemory>,
    /// Processes whose descriptors were counted, the fullest first, at most [`PROCESSES_MAX`].
    pub processes: Vec<Process>,
    /// What could not be read, and why, in words: permissions, time, a kernel without it.
    pub unseen: Vec<String>,
}

impl Snapshot {
    /// One that saw nothing, of the namespace of the reader: what a test or a reader fills in.
    #[must_use]
    pub fn empty(taken_ms: u64) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            taken_ms,
            kernel: String::new(),
            namespace: Namespace::default(),
            ports: None,
            settings: Settings::default(),
            sockets: None,
            groups: Vec::new(),
            groups_omitted: OmittedGroups::default(),
            listeners: Vec::new(),
            unix_listeners: Vec::new(),
            unix_targets: Vec::new(),
            plain_holders: None,
            counters: Counters::default(),
            counters_before: None,
            conntrack: None,
            files: None,
            time_wait_buckets: None,
            tcp_memory: None,
            processes: Vec::new(),
            unseen: Vec::new(),
        }
    }

    /// The group with this key.
    #[must_use]
    pub fn group(&self, key: &GroupKey) -> Option<&Group> {
        self.groups.iter().find(|group| group.key == *key)
    }

    /// Source ports of one pair: how many there are; none where the settings could not be read.
    #[must_use]
    pub fn port_limit(&self) -> Option<u32> {
        self.ports.as_ref().map(|ports| ports.host_ports().limit())
    }

    /// Who listens where a group leads, if that is in this namespace: the listener for this very address before one for
    /// all addresses.
    #[must_use]
    pub fn listener_of(&self, key: &GroupKey) -> Option<&Listener> {
        let mut takes = self.listeners.iter().filter(|l| l.takes(key.destination));
        let first = takes.next()?;
        Some(if first.is_wildcard() {
            takes.find(|l| !l.is_wildcard()).unwrap_or(first)
        } else {
            first
        })
    }
}
