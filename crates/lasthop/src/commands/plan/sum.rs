//! The sums of an upstream: the capacity of each target, and the limits that hold for all of them together.
//!
//! The arithmetic of one target is `lasthop-ports`'; which facts go into it, and what its targets share, is decided
//! here.

use lasthop_ports::capacity::{Limits, TargetCapacity, Term};
use lasthop_ports::ledger::{Gate, Usage};
use lasthop_ports::{Condition, HostPorts};

use super::facts::{Facts, Listening, PortFacts, TargetFacts};
use crate::config::Upstream;

/// Memory of this program for a tunnel, both sides of it (docs/benchmarks.md, memory-tunnel).
const PROGRAM_BYTES: u64 = 1_200;

/// Memory of the kernel for one end of an idle TCP connection: a quarter of what all four of a connection through the
/// proxy take (docs/benchmarks.md, "Connections held at once").
const TCP_SOCKET_BYTES: u64 = 5_100;

/// As above, for one end of a connection over a Unix socket: half of what is left without the two ends of the client's.
const UNIX_SOCKET_BYTES: u64 = 3_700;

/// Descriptors of this process for a connection that is passed on: the client's and the app's.
pub(super) const DESCRIPTORS_EACH: u32 = 2;

/// One target.
pub(super) struct TargetSum<'a> {
    pub(super) facts: &'a TargetFacts,
    /// As if nothing were taken: whoever runs now would otherwise count against itself.
    pub(super) capacity: TargetCapacity,
    pub(super) taken: Taken,
}

/// What is taken on the pairs that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Ports that nobody can take now.
    pub(super) held: u64,
    /// Connections in TIME_WAIT; the older of them keep no port.
    pub(super) time_wait: u64,
}

/// Whether a term counts.
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

impl<'a> TargetSum<'a> {
    pub(super) fn of(target: &'a TargetFacts, facts: &Facts) -> Self {
        let limits = target_limits(target, facts);
        let capacity = match &target.ports {
            Some(ports) => tcp(ports, &facts.ports, limits),
            None => TargetCapacity::unix(limits),
        };
        let taken = match &target.ports {
            Some(ports) => taken(ports, capacity.terms()),
            None => Taken::default(),
        };
        Self {
            facts: target,
            capacity,
            taken,
        }
    }

    /// Those that count.
    pub(super) fn counted(&self) -> impl Iterator<Item = &Term> {
        self.capacity.terms().iter().filter(|term| term.counts)
    }

    pub(super) fn pairs(&self) -> u64 {
        self.counted().map(|term| u64::from(term.pairs)).sum()
    }

    /// Whether a term of this target counts, and why.
    pub(super) fn usable(&self, term: &Term) -> Usable<'a> {
        let everywhere = self.facts.ports.as_ref().map(|ports| &ports.everywhere);
        match (term.condition, everywhere, &self.facts.listening) {
            (Condition::None, _, _) => Usable::Yes,
            (Condition::Proof, _, _) => Usable::AfterHandshake,
            (Condition::Wildcard, Some(Err(why)), _) => Usable::Unseen(why),
            (Condition::Wildcard, _, _) if term.counts => Usable::AppIsEverywhere,
            (Condition::Wildcard, _, Listening::No) => Usable::NobodyListens,
            (Condition::Wildcard, _, _) => Usable::AppIsNot,
        }
    }
}

fn tcp(ports: &PortFacts, host: &HostPorts, limits: Limits) -> TargetCapacity {
    let gate = match ports.everywhere {
        Ok(gate) => gate,
        Err(_) => Gate::Shut,
    };
    TargetCapacity::tcp(&ports.plan, host, gate, Usage::default(), limits)
}

fn target_limits(target: &TargetFacts, facts: &Facts) -> Limits {
    Limits {
        // What is not known bounds nothing.
        descriptors: facts
            .descriptors
            .map_or(u64::MAX, |all| all.for_connections),
        descriptors_each: DESCRIPTORS_EACH,
        memory_bytes: facts.memory,
        memory_bytes_each: bytes_each(target.ports.is_some()),
        backlog: match target.listening {
            Listening::Yes { max, .. } => Some(max),
            _ => None,
        },
    }
}

/// The terms are those of the stages, in their order.
fn taken(ports: &PortFacts, terms: &[Term]) -> Taken {
    let mut taken = Taken::default();
    let Ok(counts) = &ports.taken else {
        return taken;
    };
    for ((source, destination), count) in counts.pairs() {
        let number = ports.plan.number_of(source, destination);
        let pair = number.and_then(|number| ports.plan.pair(number));
        let term = pair.and_then(|pair| terms.get(pair.stage));
        if term.is_some_and(|term| term.counts) {
            taken.held += u64::from(count.held);
            taken.time_wait += u64::from(count.time_wait);
        }
    }
    taken
}

/// What can bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limiting {
    Ports,
    Descriptors,
    Memory,
    MaxConnections,
}

/// How many connections at once one thing allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) by: Limiting,
    /// None where it is no bound, or not known.
    pub(super) connections: Option<u64>,
}

/// The limits of an upstream, in the order in which they are told.
pub(super) fn limits(upstream: &Upstream, facts: &Facts, sums: &[TargetSum<'_>]) -> [Limit; 4] {
    // One Unix target is enough for ports to be no bound.
    let ports: Option<u64> = sums.iter().map(|sum| sum.capacity.ports()).sum();
    let descriptors = facts
        .descriptors
        .and_then(|_| Some(sums.first()?.capacity.descriptors()));
    let memory = sums.iter().filter_map(|sum| sum.capacity.memory()).min();
    let max = Some(upstream.max_connections as u64).filter(|max| *max > 0);
    [
        (Limiting::Ports, ports),
        (Limiting::Descriptors, descriptors),
        (Limiting::Memory, memory),
        (Limiting::MaxConnections, max),
    ]
    .map(|(by, connections)| Limit { by, connections })
}

/// The smallest limit.
pub(super) fn first_of(limits: &[Limit]) -> Option<&Limit> {
    let known = limits.iter().filter(|limit| limit.connections.is_some());
    known.min_by_key(|limit| limit.connections)
}

/// Memory of the host for one idle connection that is passed on, in bytes: this program's, and the kernel's for the
/// client's socket and for both ends of the connection to the app.
pub(super) fn bytes_each(is_tcp: bool) -> u64 {
    let ends = if is_tcp {
        TCP_SOCKET_BYTES
    } else {
        UNIX_SOCKET_BYTES
    };
    PROGRAM_BYTES + TCP_SOCKET_BYTES + 2 * ends
}
