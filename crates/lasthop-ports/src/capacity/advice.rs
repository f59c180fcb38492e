//! The one change that would raise the capacity of a target most.
//!
//! Every change that could help is tried in the arithmetic, against all limits. Of those that raise it equally the least
//! is taken: first what is a line of our own configuration, then a setting of the host, then what the app has to do.

use std::fmt;

use super::Capacity;
use super::target::{Bound, PortSum, TargetCapacity};
use crate::grouped::Grouped;
use crate::host::TIME_WAIT;
use crate::plan::STAGE_PAIRS_MAX;
use crate::range::{PortRange, ReservedPorts};

/// The widest range that leaves the ports alone below which only the superuser binds.
const WIDE: (u16, u16) = (1024, 65_535);

/// `fs.nr_open` by default (`sysctl_nr_open` in fs/file.c): no process is given a higher limit without raising it.
const NR_OPEN: u64 = 1_048_576;

/// What to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `source = "auto"` instead of the kernel's choice.
    SpreadSources,
    /// Another address of this host in `source`.
    MoreSources,
    /// `net.ipv4.ip_local_port_range` as wide as it can be.
    WidenRange,
    /// Fewer ports in `net.ipv4.ip_local_reserved_ports`.
    ReserveLess,
    /// `net.ipv4.tcp_tw_reuse = 1`, and timestamps on.
    ReuseTimeWait,
    /// The app on a Unix socket.
    UnixSocket,
    /// A higher `LimitNOFILE` (`ulimit -n`).
    MoreDescriptors {
        /// As high as the other limits make worth while, and a process may have.
        limit: u64,
    },
    /// Several instances on the same addresses, each with a limit of its own.
    MoreInstances,
    /// More memory, or less for each connection.
    MoreMemory,
}

/// A change and what comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// The change.
    pub change: Change,
    /// What binds then; none where that is not known: how much memory is added, or what bounds instances but descriptors.
    pub then: Option<Bound>,
}

impl TargetCapacity {
    /// The one change that would raise the capacity most; none where nothing known to us would.
    #[must_use]
    pub fn advice(&self) -> Option<Advice> {
        match self.bound() {
            Bound::Ports(now) => self.port_advice(now),
            Bound::Descriptors(_) => Some(self.descriptor_advice()),
            Bound::Memory(_) => Some(Advice {
                change: Change::MoreMemory,
                then: None,
            }),
        }
    }

    fn descriptor_advice(&self) -> Advice {
        let each = u64::from(self.limits().descriptors_each.max(1));
        let others = [
            self.ports().map(Bound::Ports),
            self.memory().map(Bound::Memory),
        ];
        let next = others
            .into_iter()
            .flatten()
            .min_by_key(|bound| bound.connections());
        let needed = next.map_or(u64::MAX, |next| next.connections().saturating_mul(each));
        let limit = needed.min(NR_OPEN);
        if limit <= self.limits().descriptors {
            return Advice {
                change: Change::MoreInstances,
                then: next,
            };
        }
        let then = if needed > NR_OPEN {
            Some(Bound::Descriptors(limit / each))
        } else {
            next
        };
        Advice {
            change: Change::MoreDescriptors { limit },
            then,
        }
    }

    fn port_advice(&self, now: u64) -> Option<Advice> {
        let sum = self.port_sum()?;
        let candidates = [
            (Change::SpreadSources, sum.if_spread()),
            (Change::MoreSources, sum.if_more_sources()),
            (Change::ReuseTimeWait, sum.if_reused()),
            (Change::WidenRange, sum.if_wide()),
            (Change::ReserveLess, sum.if_unreserved()),
        ];
        let raised = candidates
            .into_iter()
            .filter_map(|(change, ports)| Some((change, self.bound_with(Some(ports?)))))
            // A Unix socket is on the same host, which a loopback address says of the target.
            .chain(
                sum.is_loopback()
                    .then(|| (Change::UnixSocket, self.bound_with(None))),
            )
            .filter(|(_, bound)| bound.connections() > now);
        // The first of equals: `max_by_key` would take the last.
        let best = raised.reduce(|best, other| {
            if other.1.connections() > best.1.connections() {
                other
            } else {
                best
            }
        });
        best.map(|(change, bound)| Advice {
            change,
            then: Some(bound),
        })
    }
}

/// Ports of the widest range that are not reserved.
pub(super) fn wide_ports(reserved: &ReservedPorts) -> u32 {
    PortRange::new(WIDE.0, WIDE.1).map_or(0, |wide| Capacity::new(wide, reserved, 1).per_pair())
}

/// Connections that the ports would allow after a change; none where it cannot be made.
impl PortSum {
    fn is_loopback(&self) -> bool {
        let first = self.terms.first();
        first.is_some_and(|term| term.destinations.first().is_loopback())
    }

    fn with_pairs(&self, pairs: u64) -> u64 {
        self.less_taken(u64::from(self.each.per_pair()) * pairs)
    }

    fn if_spread(&self) -> Option<u64> {
        let pairs = self.pairs() + u64::from(STAGE_PAIRS_MAX);
        self.could_spill.then(|| self.with_pairs(pairs))
    }

    /// One address more, towards each destination. Loopback has `source = "auto"` for that.
    fn if_more_sources(&self) -> Option<u64> {
        let destinations = self.terms.first().map(|term| term.destinations.len())?;
        let more = destinations.min(STAGE_PAIRS_MAX.into());
        (!self.is_loopback()).then(|| self.with_pairs(self.pairs() + more))
    }

    fn if_wide(&self) -> Option<u64> {
        let is_wider = self.wide > self.each.per_pair();
        is_wider.then(|| self.less_taken(u64::from(self.wide) * self.pairs()))
    }

    fn if_unreserved(&self) -> Option<u64> {
        let free = Capacity::new(self.each.range(), &ReservedPorts::default(), 1);
        (self.each.reserved() > 0)
            .then(|| self.less_taken(u64::from(free.per_pair()) * self.pairs()))
    }

    fn if_reused(&self) -> Option<u64> {
        let cools_long = self.counted().any(|term| term.cooling >= TIME_WAIT);
        let left = self.total().saturating_sub(self.taken.foreign.into());
        cools_long.then_some(left)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpreadSources => {
                f.write_str("source = \"auto\" spreads connections over more source addresses")
            }
            Self::MoreSources => f.write_str(
                "one more address of this host in source = [...] has source ports of its own",
            ),
            Self::WidenRange => write!(
                f,
                "net.ipv4.ip_local_port_range = \"{} {}\" gives each pair more ports",
                WIDE.0, WIDE.1
            ),
            Self::ReserveLess => f.write_str(
                "fewer ports in net.ipv4.ip_local_reserved_ports leave more for connections",
            ),
            Self::ReuseTimeWait => f.write_str(
                "net.ipv4.tcp_tw_reuse = 1 (with net.ipv4.tcp_timestamps = 1) gives ports in TIME_WAIT back early",
            ),
            Self::UnixSocket => {
                f.write_str("the app on a Unix socket (targets = [\"unix:...\"]) needs no ports")
            }
            Self::MoreDescriptors { limit } => write!(
                f,
                "LimitNOFILE={limit} (ulimit -n), or several instances with server.share = true"
            ),
            Self::MoreInstances => f.write_str(
                "several instances with server.share = true have a limit of descriptors each",
            ),
            Self::MoreMemory => f.write_str(
                "more memory, or less for each connection (buffer.request and buffer.response)",
            ),
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.change.fmt(f)?;
        match self.then {
            Some(Bound::Ports(most)) => write!(f, ": then {} connections", Grouped(most)),
            Some(bound) => write!(f, ": then {bound}"),
            None => Ok(()),
        }
    }
}
