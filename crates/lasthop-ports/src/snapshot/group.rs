//! A group: all connections from one source address to one destination address and port, which share one supply of ports.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::Owner;
use crate::forecast::Sample;

/// Groups that a snapshot keeps. A host with one proxy and a database has a few; one that crawls the web has thousands
/// with one connection each, which no finding is about.
pub const GROUPS_MAX: usize = 256;

/// Samples that a group keeps: what a forecast looks at, in which it compares each with each.
pub const SAMPLES_MAX: usize = 120;

/// What the members of a group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupKey {
    /// The address that connections come from.
    pub source: IpAddr,
    /// Where they lead.
    pub destination: SocketAddr,
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.source, self.destination)
    }
}

/// Connections of one group at this host's beginning end, in numbers of connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// From where to where.
    pub key: GroupKey,
    /// Whether somebody in this namespace listens where they lead, or the address is one of this host's own.
    pub is_local: bool,
    /// By state, TIME_WAIT left out.
    pub states: StateCounts,
    /// In TIME_WAIT at this end: this end closed first.
    pub time_wait: u32,
    /// Of these, how many hold their port, because it is too early to use it again or it never can be.
    pub time_wait_held: u32,
    /// In TIME_WAIT at the other end, on this host: the app closed first. They hold no port of this group.
    pub time_wait_at_app: u32,
    /// Of the connections and of those held in TIME_WAIT, how many have ports that connect(2) gives out to nobody:
    /// outside the range, or reserved. A program that names its ports itself has such. They take none of the supply.
    pub outside_range: u32,
    /// Ports of the range in use that are even, and odd. A kernel that walks one parity first fills one half before the other.
    pub even_ports: u32,
    /// See `even_ports`.
    pub odd_ports: u32,
    /// Processes that have these connections, as far as looked for; those found by a sample, at most eight.
    pub owners: Vec<Owner>,
    /// Earlier readings of [`Group::used`], oldest first, at most [`SAMPLES_MAX`], this reading the last one.
    pub recent: Vec<Sample>,
}

impl Group {
    /// A group without connections.
    #[must_use]
    pub fn empty(key: GroupKey) -> Self {
        Self {
            key,
            is_local: false,
            states: StateCounts::default(),
            time_wait: 0,
            time_wait_held: 0,
            time_wait_at_app: 0,
            outside_range: 0,
            even_ports: 0,
            odd_ports: 0,
            owners: Vec::new(),
            recent: Vec::new(),
        }
    }

    /// Connections that have a socket.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.states.total()
    }

    /// Ports of the range that no new connection of this group can have now.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.connections()
            .saturating_add(self.time_wait_held)
            .saturating_sub(self.outside_range)
    }
}

/// Connections by state (`include/net/tcp_states.h`), TIME_WAIT and LISTEN left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateCounts {
    /// Asked, not answered.
    pub syn_sent: u32,
    /// Open at both ends.
    pub established: u32,
    /// Closed by the other end, not by this one: the program has not called close(2).
    pub close_wait: u32,
    /// Closed by this end first: FIN_WAIT1, FIN_WAIT2, CLOSING.
    pub fin_wait: u32,
    /// Closed by both, the other end first.
    pub last_ack: u32,
    /// Any other.
    pub other: u32,
}

impl StateCounts {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u32 {
        [
            self.syn_sent,
            self.established,
            self.close_wait,
            self.fin_wait,
            self.last_ack,
            self.other,
        ]
        .into_iter()
        .fold(0, u32::saturating_add)
    }
}

/// Connections whose groups had no place in the list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OmittedGroups {
    /// Groups.
    pub groups: u64,
    /// Their connections, TIME_WAIT included.
    pub connections: u64,
}
