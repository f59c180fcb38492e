//! The sum of one target's ports, and the limits of an upstream: arithmetic on facts, term by term.
//!
//! Decides which limit binds first; what to do about it is in `advice`.

use std::time::Duration;

use lasthop_ports::ledger::Gate;
use lasthop_ports::{Condition, HostPorts, Sources, Stage};

use super::facts::{Facts, Listening, PortFacts, TargetFacts};
use crate::config::Upstream;

/// Memory of this program for a tunnel, both sides of it (docs/benchmarks.md, memory-tunnel).
const PROGRAM_BYTES: u64 = 2_800;

/// Memory of the kernel for an idle TCP socket with its file: what 9,000 connections added to `Slab` in /proc/meminfo,
/// halved (docs/ports.md, "How many connections fit").
const TCP_SOCKET_BYTES: u64 = 3_800;

/// As above, for a Unix socket.
const UNIX_SOCKET_BYTES: u64 = 2_300;

/// Descriptors of this process for a connection that is passed on: the client's and the app's.
pub(super) const DESCRIPTORS_EACH: u64 = 2;

/// The ports of a target.
pub(super) struct PortSum<'a> {
    pub(super) facts: &'a PortFacts,
    /// In the order of their use.
    pub(super) stages: Vec<StageSum<'a>>,
}

/// The ports of one stage.
pub(super) struct StageSum<'a> {
    pub(super) stage: &'a Stage,
    pub(super) usable: Usable<'a>,
    /// Pairs times ports of each.
    pub(super) ports: u64,
    /// Ports that nobody can take now.
    pub(super) held: u64,
    /// Connections in TIME_WAIT; the older of them keep no port.
    pub(super) time_wait: u64,
    /// How long TIME_WAIT keeps a port here.
    pub(super) cooling: Duration,
}

/// Whether a stage counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usable<'a> {
    /// It does.
    Yes,
    /// It does, pair by pair, once a handshake has come about on it.
    AfterHandshake,
    /// It does, because the app listens on every address.
    AppIsEverywhere,
    /// It does not: the app does not listen on every address.
    AppIsNot,
    /// It does not yet: nobody listens.
    NobodyListens,
    /// It was not to be seen how the app listens, and it does not count.
    Unseen(&'a str),
}

impl Usable<'_> {
    pub(super) fn counts(self) -> bool {
        matches!(
            self,
            Self::Yes | Self::AfterHandshake | Self::AppIsEverywhere
        )
    }
}

impl<'a> PortSum<'a> {
    /// None for a Unix socket.
    pub(super) fn of(target: &'a TargetFacts, host: &HostPorts) -> Option<Self> {
        let facts = target.ports.as_ref()?;
        let stages = facts.plan.stages().iter();
        let mut sum = Self {
            facts,
            stages: stages
                .map(|stage| StageSum {
                    stage,
                    usable: usable(stage, facts, &target.listening),
                    ports: u64::from(stage.pairs()) * u64::from(host.limit()),
                    held: 0,
                    time_wait: 0,
                    cooling: host.reuse.cooling(stage.is_loopback()),
                })
                .collect(),
        };
        sum.count_taken();
        Some(sum)
    }

    fn count_taken(&mut self) {
        let Ok(taken) = &self.facts.taken else {
            return;
        };
        let plan = &self.facts.plan;
        for ((source, destination), count) in taken.pairs() {
            let number = plan.number_of(source, destination);
            let planned = number.and_then(|number| plan.pair(number));
            if let Some(stage) = planned.and_then(|pair| self.stages.get_mut(pair.stage)) {
                stage.held += u64::from(count.held);
                stage.time_wait += u64::from(count.time_wait);
            }
        }
    }

    pub(super) fn counted(&self) -> impl Iterator<Item = &StageSum<'a>> {
        self.stages.iter().filter(|stage| stage.usable.counts())
    }

    pub(super) fn pairs(&self) -> u64 {
        self.counted()
            .map(|stage| u64::from(stage.stage.pairs()))
            .sum()
    }

    pub(super) fn ports(&self) -> u64 {
        self.counted().map(|stage| stage.ports).sum()
    }

    pub(super) fn held(&self) -> u64 {
        self.counted().map(|stage| stage.held).sum()
    }

    pub(super) fn time_wait(&self) -> u64 {
        self.counted().map(|stage| stage.time_wait).sum()
    }

    pub(super) fn free(&self) -> u64 {
        let free = |stage: &StageSum<'_>| stage.ports.saturating_sub(stage.held);
        self.counted().map(free).sum()
    }
}

impl StageSum<'_> {
    /// How many pairs the addresses would make, used or not.
    pub(super) fn addresses(&self) -> u64 {
        let sources = match self.stage.sources {
            Sources::Kernel(_) => 1,
            Sources::Bound { block, .. } => block.len(),
        };
        sources.saturating_mul(self.stage.destinations.len())
    }

    /// Whether there are more than are ever used.
    pub(super) fn is_cut(&self) -> bool {
        self.addresses() > self.stage.pairs().into()
    }

    /// Connections a second that can be opened here and closed by us, for as long as one likes.
    pub(super) fn closed_per_second(&self, pairs: u32) -> u64 {
        let of_pairs = self.ports / u64::from(self.stage.pairs()) * u64::from(pairs);
        let cooling = u64::try_from(self.cooling.as_millis()).unwrap_or(u64::MAX);
        of_pairs.saturating_mul(1000) / cooling.max(1)
    }
}

fn usable<'a>(stage: &Stage, facts: &'a PortFacts, listening: &Listening) -> Usable<'a> {
    match (stage.condition, &facts.everywhere, listening) {
        (Condition::None, _, _) => Usable::Yes,
        (Condition::Proof, _, _) => Usable::AfterHandshake,
        (Condition::Wildcard, Err(why), _) => Usable::Unseen(why),
        (Condition::Wildcard, Ok(_), Listening::No) => Usable::NobodyListens,
        (Condition::Wildcard, Ok(Gate::Open), _) => Usable::AppIsEverywhere,
        (Condition::Wildcard, Ok(_), _) => Usable::AppIsNot,
    }
}

/// What can bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Ports,
    Descriptors,
    Memory,
    MaxConnections,
}

/// How many connections at once one thing allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) bound: Bound,
    /// None where it is no bound, or not known.
    pub(super) connections: Option<u64>,
}

/// The limits of an upstream, in the order in which they are told.
pub(super) fn limits(
    upstream: &Upstream,
    facts: &Facts,
    sums: &[Option<PortSum<'_>>],
) -> [Limit; 4] {
    // One Unix target is enough for ports to be no bound.
    let ports: Option<u64> = sums
        .iter()
        .map(|sum| sum.as_ref().map(PortSum::ports))
        .sum();
    let descriptors = facts
        .descriptors
        .map(|all| all.for_connections / DESCRIPTORS_EACH);
    let each = bytes_each(sums);
    let max = Some(upstream.max_connections as u64).filter(|max| *max > 0);
    [
        (Bound::Ports, ports),
        (Bound::Descriptors, descriptors),
        (Bound::Memory, facts.memory.map(|bytes| bytes / each)),
        (Bound::MaxConnections, max),
    ]
    .map(|(bound, connections)| Limit { bound, connections })
}

/// The smallest limit, and the next one.
pub(super) fn first_two(limits: &[Limit]) -> (Option<&Limit>, Option<&Limit>) {
    let mut known: Vec<&Limit> = limits
        .iter()
        .filter(|limit| limit.connections.is_some())
        .collect();
    known.sort_by_key(|limit| limit.connections);
    (known.first().copied(), known.get(1).copied())
}

/// Memory of the host for one idle connection that is passed on, in bytes: this program's, and the kernel's for the
/// client's socket and for both ends of the connection to the app.
pub(super) fn bytes_each(sums: &[Option<PortSum<'_>>]) -> u64 {
    let is_tcp = sums.iter().any(Option::is_some);
    let ends = if is_tcp {
        TCP_SOCKET_BYTES
    } else {
        UNIX_SOCKET_BYTES
    };
    PROGRAM_BYTES + TCP_SOCKET_BYTES + 2 * ends
}
