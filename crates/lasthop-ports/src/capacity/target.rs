//! How many connections to one target there can be at once, and which limit binds first.
//!
//! The ports of each stage of the plan make a sum; what cools and what others hold is taken off; descriptors and memory
//! bound the rest. All facts are arguments, and every number is printed with the ones it comes from. The backlog of the
//! app bounds no connections that are held, only those that it has not accepted yet, so it stands apart.

use std::fmt;
use std::time::Duration;

use super::{Capacity, Pairs, advice};
use crate::block::AddressBlock;
use crate::grouped::Grouped;
use crate::host::HostPorts;
use crate::ledger::{Gate, Usage};
use crate::plan::{Condition, Plan, Sources};

/// A port that can be used again at once is counted as cooling for so long: nothing is opened and closed faster.
const COOLING_MIN: Duration = Duration::from_millis(1);

/// What bounds connections apart from ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Descriptors that connections may take in this process: its `RLIMIT_NOFILE` less what it needs itself.
    pub descriptors: u64,
    /// Descriptors of one proxied connection: 2, one to the client and one to the app. At least 1.
    pub descriptors_each: u32,
    /// Bytes of memory that are available; none where it is not known.
    pub memory_bytes: Option<u64>,
    /// Bytes of one proxied connection, the kernel's and ours. At least 1.
    pub memory_bytes_each: u64,
    /// What the app has given to listen(2), as far as it is known.
    pub backlog: Option<u32>,
}

/// The capacity of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetCapacity {
    /// None for a Unix socket, which has no ports.
    ports: Option<PortSum>,
    limits: Limits,
}

/// What a target with ports has of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PortSum {
    /// Of one pair.
    pub(super) each: Capacity,
    pub(super) terms: Vec<Term>,
    /// What is taken now.
    pub(super) taken: Usage,
    /// Ports that a pair would have if the range were as wide as it can be.
    pub(super) wide: u32,
    /// Whether `source = "auto"` would find more sources for a plan that has none.
    pub(super) could_spill: bool,
}

/// One stage of the plan: so many pairs of so many ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// Connections that one pair can hold.
    pub per_pair: u32,
    /// The pairs.
    pub pairs: u32,
    /// Where they come from, as far as they are used.
    pub sources: Sources,
    /// Where they go, as far as they are used.
    pub destinations: AddressBlock,
    /// What they are used under.
    pub condition: Condition,
    /// Whether that holds, as far as it can be known beforehand. What does not count is printed all the same.
    pub counts: bool,
    /// How long the port of a connection that we closed first is not to be had.
    pub cooling: Duration,
}

/// The limit that binds first, in connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Source ports.
    Ports(u64),
    /// Descriptors of this process.
    Descriptors(u64),
    /// Memory of the host.
    Memory(u64),
}

impl TargetCapacity {
    /// The capacity of a target with ports. `gate` says what is known of the wildcard address, and `taken` what is taken
    /// on the pairs that can be used.
    #[must_use]
    pub fn tcp(plan: &Plan, host: &HostPorts, gate: Gate, taken: Usage, limits: Limits) -> Self {
        let each = Capacity::new(host.range, &host.reserved, 1);
        let stages = plan.stages().iter();
        let terms: Vec<Term> = stages
            .map(|stage| {
                let (pairs, all) = (stage.pairs(), stage.destinations.len());
                Term {
                    per_pair: each.per_pair(),
                    pairs,
                    sources: match stage.sources {
                        Sources::Bound { block, any_ip } => Sources::Bound {
                            block: block.first_n(u64::from(pairs).div_ceil(all)),
                            any_ip,
                        },
                        kernel @ Sources::Kernel(_) => kernel,
                    },
                    destinations: stage.destinations.first_n(pairs.into()),
                    condition: stage.condition,
                    counts: stage.condition != Condition::Wildcard || gate == Gate::Open,
                    cooling: host.reuse.cooling(stage.is_loopback()),
                }
            })
            .collect();
        let has_sources = terms
            .iter()
            .any(|term| matches!(term.sources, Sources::Bound { .. }));
        let destination = terms.first().map(|term| term.destinations.first());
        let could_spill =
            !has_sources && destination.is_some_and(|ip| ip.is_ipv4() && ip.is_loopback());
        let ports = PortSum {
            each,
            terms,
            taken,
            wide: advice::wide_ports(&host.reserved),
            could_spill,
        };
        Self {
            ports: Some(ports),
            limits,
        }
    }

    /// The capacity of a Unix socket.
    #[must_use]
    pub const fn unix(limits: Limits) -> Self {
        Self {
            ports: None,
            limits,
        }
    }

    /// The stages and what each of them holds; none for a Unix socket.
    #[must_use]
    pub fn terms(&self) -> &[Term] {
        self.ports.as_ref().map_or(&[], |ports| &ports.terms)
    }

    /// Connections that the ports allow now: the sum, less what cools and what others hold. None for a Unix socket.
    #[must_use]
    pub fn ports(&self) -> Option<u64> {
        self.ports.as_ref().map(PortSum::left)
    }

    /// Connections that the descriptors allow.
    #[must_use]
    pub fn descriptors(&self) -> u64 {
        self.limits.descriptors / u64::from(self.limits.descriptors_each.max(1))
    }

    /// Connections that the memory allows, where it is known.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        let Limits {
            memory_bytes,
            memory_bytes_each,
            ..
        } = self.limits;
        memory_bytes.map(|bytes| bytes / memory_bytes_each.max(1))
    }

    /// The limit that binds first; of equal ones the one that is named first.
    #[must_use]
    pub fn bound(&self) -> Bound {
        self.bound_with(self.ports())
    }

    /// Connections a second to this target that can be opened and then closed by us: each closed one keeps its port for
    /// its cooling time. The app closes as many as it likes. None for a Unix socket.
    #[must_use]
    pub fn closing_rate(&self) -> Option<u64> {
        let ports = self.ports.as_ref()?;
        Some(ports.counted().map(Term::closing_rate).sum())
    }

    /// Connections that can wait for the app to accept them: its backlog and one more (`sk_acceptq_is_full` in
    /// include/net/sock.h and `unix_recvq_full` in net/unix/af_unix.c ask whether there are more than it).
    #[must_use]
    pub fn waiting(&self) -> Option<u64> {
        self.limits.backlog.map(|backlog| u64::from(backlog) + 1)
    }

    pub(super) const fn port_sum(&self) -> Option<&PortSum> {
        self.ports.as_ref()
    }

    /// What bounds connections apart from ports.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The limit that binds first if there were so many ports; none for no such limit.
    pub(super) fn bound_with(&self, ports: Option<u64>) -> Bound {
        let bounds = [
            ports.map(Bound::Ports),
            Some(Bound::Descriptors(self.descriptors())),
            self.memory().map(Bound::Memory),
        ];
        let least = bounds
            .into_iter()
            .flatten()
            .min_by_key(|bound| bound.connections());
        least.unwrap_or(Bound::Descriptors(self.descriptors()))
    }
}

impl PortSum {
    pub(super) fn counted(&self) -> impl Iterator<Item = &Term> {
        self.terms.iter().filter(|term| term.counts)
    }

    pub(super) fn pairs(&self) -> u64 {
        self.counted().map(|term| u64::from(term.pairs)).sum()
    }

    pub(super) fn total(&self) -> u64 {
        self.counted().map(Term::connections).sum()
    }

    pub(super) fn left(&self) -> u64 {
        self.less_taken(self.total())
    }

    pub(super) fn less_taken(&self, total: u64) -> u64 {
        let Usage {
            cooling, foreign, ..
        } = self.taken;
        total.saturating_sub(u64::from(cooling) + u64::from(foreign))
    }
}

impl Term {
    /// Connections that all its pairs together can hold.
    #[must_use]
    pub fn connections(&self) -> u64 {
        u64::from(self.per_pair) * u64::from(self.pairs)
    }

    /// Connections a second that can be opened and closed by us.
    fn closing_rate(&self) -> u64 {
        // Below 2^16 x 2^32 x 10^3, so nothing overflows.
        let cooling = self.cooling.max(COOLING_MIN).as_millis();
        let rate = u128::from(self.connections()) * 1000 / cooling;
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

impl Bound {
    /// The number.
    #[must_use]
    pub const fn connections(self) -> u64 {
        match self {
            Self::Ports(most) | Self::Descriptors(most) | Self::Memory(most) => most,
        }
    }
}

impl fmt::Display for Bound {
    /// `524,288 connections, by descriptors`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Ports(_) => "source ports",
            Self::Descriptors(_) => "descriptors",
            Self::Memory(_) => "memory",
        };
        write!(f, "{} connections, by {what}", Grouped(self.connections()))
    }
}

impl fmt::Display for Term {
    /// `x 8,192 pairs (127.64.0.1-127.64.32.0 -> 127.0.0.1) = 231,276,544`, and what it depends on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "x {} (", Pairs(self.pairs))?;
        match self.sources {
            Sources::Kernel(Some(source)) => write!(f, "{source}")?,
            Sources::Kernel(None) => f.write_str("the kernel's choice")?,
            Sources::Bound { block, .. } => write!(f, "{block}")?,
        }
        let connections = Grouped(self.connections());
        write!(f, " -> {}) = {connections}", self.destinations)?;
        match (self.condition, self.counts) {
            (Condition::None, _) => Ok(()),
            (Condition::Proof, _) => f.write_str(", where a handshake comes about"),
            (Condition::Wildcard, true) => f.write_str(", as the app listens on every address"),
            (Condition::Wildcard, false) => {
                f.write_str(", not counted: only if the app listens on every address")
            }
        }
    }
}

impl fmt::Display for TargetCapacity {
    /// Line by line: the sum of the ports and the rate, descriptors, memory, backlog, and the limit that binds first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ports {
            Some(ports) => write!(f, "{ports}")?,
            None => writeln!(f, "ports: none needed, a Unix socket has none")?,
        }
        let Limits {
            descriptors,
            descriptors_each,
            memory_bytes,
            memory_bytes_each,
            backlog,
        } = self.limits;
        writeln!(
            f,
            "descriptors: {} / {} each = {} connections",
            Grouped(descriptors),
            Grouped(descriptors_each.max(1).into()),
            Grouped(self.descriptors())
        )?;
        if let (Some(bytes), Some(connections)) = (memory_bytes, self.memory()) {
            writeln!(
                f,
                "memory: {} bytes / {} each = {} connections",
                Grouped(bytes),
                Grouped(memory_bytes_each.max(1)),
                Grouped(connections)
            )?;
        }
        if let (Some(backlog), Some(waiting)) = (backlog, self.waiting()) {
            writeln!(
                f,
                "backlog of the app: {} + 1 = {} connections that it has not accepted yet; more wait in our queue",
                Grouped(backlog.into()),
                Grouped(waiting)
            )?;
        }
        write!(f, "at once: {}", self.bound())
    }
}

impl fmt::Display for PortSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ports: ")?;
        self.each.fmt_per_pair(f)?;
        writeln!(f)?;
        let mut plus = "";
        for term in &self.terms {
            writeln!(f, "  {plus}{term}")?;
            plus = "+ ";
        }
        let Usage {
            cooling, foreign, ..
        } = self.taken;
        if cooling > 0 || foreign > 0 {
            writeln!(
                f,
                "  - {} in TIME_WAIT - {} of others",
                Grouped(cooling.into()),
                Grouped(foreign.into())
            )?;
        }
        writeln!(f, "  = {} connections", Grouped(self.left()))?;
        self.fmt_rate(f)
    }
}

impl PortSum {
    /// `a second, where we close first: 28,232 / 60 s + 231,276,544 / 1 s = 231,277,014 connections`.
    fn fmt_rate(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("  a second, where we close first: ")?;
        let mut plus = "";
        for term in self.counted() {
            let cooling = term.cooling.max(COOLING_MIN).as_secs_f64();
            let connections = Grouped(term.connections());
            write!(f, "{plus}{connections} / {cooling} s")?;
            plus = " + ";
        }
        let rate = self.counted().map(Term::closing_rate).sum();
        writeln!(f, " = {} connections", Grouped(rate))
    }
}
