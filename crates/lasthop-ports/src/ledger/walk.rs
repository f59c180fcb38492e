//! Which pair a request tries next, and what to make of the kernel's refusals.
//!
//! In order: the first pair below its mark; where every pair is above its mark, the first below its limit. A refused
//! pair is barred and the next one tried, twice. A third refusal in a row, on a pair far down the plan that nobody
//! uses, is not about the pair: some program holds the ports by plain bind(2), which takes them from every connect on
//! the host (`__inet_hash_connect` in net/ipv4/inet_hashtables.c skips such ports, whatever their addresses). Then, as
//! the last resort, ports are named explicitly for a while, on sources of ours, where that neighbour has no say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pair::{Proof, Usage};
use super::{BARRED, Full, Gate, Lease, Ledger};
use crate::plan::{Condition, Sources};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Refusals after which a pair far down the plan is tried.
const REFUSALS_BEFORE_FAR: u32 = 2;

/// Explicit ports that one request tries before it queues: each costs a bind(2), about two microseconds.
const EXPLICIT_TRIED_MAX: u32 = 32;

/// How long ports are named explicitly before the kernel's choice is tried again.
const EXPLICIT: Duration = Duration::from_secs(1);

/// Requests wait so long for the word on how the app listens, then go on without it.
const UNKNOWN_MAX: Duration = Duration::from_millis(100);

/// What all requests share about refusals. Times are milliseconds since the ledger began.
#[derive(Debug)]
pub(super) struct Walking {
    /// Until when ports are named explicitly.
    explicit_until: AtomicU64,
    /// Counts explicit ports and far pairs, so that each is another one.
    turn: AtomicU32,
    /// Since when requests wait for an unknown gate; 0 where none does.
    unknown_since: AtomicU64,
    /// Whether the last word of the kernel was a refusal where there should have been room.
    disputed: AtomicU32,
}

impl Default for Walking {
    fn default() -> Self {
        Self {
            explicit_until: AtomicU64::new(0),
            turn: AtomicU32::new(0),
            unknown_since: AtomicU64::new(0),
            disputed: AtomicU32::new(0),
        }
    }
}

impl Walking {
    pub(super) fn names_ports(&self, at: u64) -> bool {
        self.explicit_until.load(Ordering::Relaxed) > at
    }

    pub(super) fn is_disputed(&self) -> bool {
        self.disputed.load(Ordering::Relaxed) > 0
    }
}

/// How far one request has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Walk {
    refused: u32,
    explicit: u32,
}

/// A lease, and the port to bind to where it is not the kernel's to choose.
#[derive(Debug)]
pub struct Grant {
    /// The right to a port of a pair.
    pub lease: Lease,
    /// The explicit port, for a pair that is bound.
    pub port: Option<u16>,
}

/// What the kernel said to a connection on a granted pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No port is left (`EADDRNOTAVAIL` from connect(2)), or the explicit one is taken (`EADDRINUSE`).
    NoPort,
    /// Nobody listens at the destination, which is none that the operator has named.
    NobodyThere,
}

impl Ledger {
    /// The next pair for a request.
    ///
    /// # Errors
    /// [`Full`] where there is none, now.
    pub fn next(self: &Arc<Self>, walk: &mut Walk, now: Instant) -> Result<Grant, Full> {
        let at = self.moment(now);
        let names_ports = self.walking.names_ports(at);
        if !names_ports {
            let planned = match walk.refused {
                0..REFUSALS_BEFORE_FAR => self.first_with_room(at),
                REFUSALS_BEFORE_FAR => self.far_pair(at).or_else(|| self.first_with_room(at)),
                _ => None,
            };
            if let Some(lease) = planned {
                return Ok(Grant { lease, port: None });
            }
        }
        let was_refused =
            names_ports || walk.refused > 0 || self.known().any(|(_, pair)| pair.is_barred(at));
        let explicit = was_refused.then(|| self.explicit(walk, at)).flatten();
        explicit.ok_or_else(|| self.full(at))
    }

    /// The kernel has refused a connection on a granted pair: takes note, and takes the lease back.
    pub fn refused(&self, walk: &mut Walk, mut grant: Grant, refusal: Refusal, now: Instant) {
        let at = self.moment(now);
        let number = grant.lease.pair;
        let stage = self.planned(number).stage;
        if refusal == Refusal::NobodyThere {
            if let Some(gate) = self.gates.get(stage)
                && self.plan.stages()[stage].condition == Condition::Wildcard
            {
                gate.set(Gate::Shut);
            }
            return;
        }
        if grant.port.is_some() {
            walk.explicit += 1;
            return;
        }
        walk.refused += 1;
        // Whatever the account says: it gives nothing back that the kernel would give out again.
        grant.lease.leaves_nothing = false;
        let Some(pair) = self.known_pair(number) else {
            return;
        };
        pair.bar(at + ms(BARRED));
        // Disputed: a third refusal on an unused pair, or one where nearly nothing is known to be taken.
        let usage = pair.usage();
        if walk.refused > REFUSALS_BEFORE_FAR {
            self.walking.disputed.store(1, Ordering::Relaxed);
            self.walking
                .explicit_until
                .store(at + ms(EXPLICIT), Ordering::Relaxed);
        } else if usage.total() < self.limit() / 2 {
            self.walking.disputed.store(1, Ordering::Relaxed);
        }
    }

    /// The kernel has let a connection through on a granted pair.
    pub fn allowed(&self, grant: &Grant) {
        // Only a port of the kernel's own choice settles the dispute. A load first: the line is shared.
        if grant.port.is_none() && self.walking.is_disputed() {
            self.walking.disputed.store(0, Ordering::Relaxed);
        }
    }

    /// The first pair below its mark, else the first below its limit.
    fn first_with_room(self: &Arc<Self>, at: u64) -> Option<Lease> {
        let numbers = self.numbers();
        let bounds = [numbers.mark, numbers.limit];
        bounds
            .into_iter()
            .find_map(|bound| self.first_below(bound, at))
    }

    fn first_below(self: &Arc<Self>, bound: u32, at: u64) -> Option<Lease> {
        for (index, gate) in self.gates.iter().enumerate() {
            match gate.gate() {
                Gate::Open => {}
                Gate::Shut => continue,
                Gate::Unknown if self.has_waited_for_the_gate(at) => continue,
                Gate::Unknown => return None,
            }
            for number in self.plan.numbers(index) {
                if let Some(lease) = self.claim(number, bound, at) {
                    return Some(lease);
                }
                if self.stage_needs_proof(index) && self.known_pair(number).is_none() {
                    // Nothing behind it is proven either.
                    break;
                }
            }
        }
        None
    }

    /// A pair that nobody is likely to use, of a stage with sources of ours.
    fn far_pair(self: &Arc<Self>, at: u64) -> Option<Lease> {
        let turn = self.walking.turn.fetch_add(1, Ordering::Relaxed);
        let spread = self.stage_of_sources()?;
        let numbers = self.plan.numbers(spread);
        let half = (numbers.end - numbers.start) / 2;
        let number = numbers.start + half + turn % half.max(1);
        self.claim(number.min(numbers.end - 1), self.limit(), at)
    }

    /// A port by its number, on a source of ours.
    fn explicit(self: &Arc<Self>, walk: &Walk, at: u64) -> Option<Grant> {
        if walk.explicit >= EXPLICIT_TRIED_MAX {
            return None;
        }
        let numbers = self.plan.numbers(self.stage_of_sources()?);
        let (range, reserved) = self.ports();
        let ports = u64::from(range.len());
        // Each port on one source, then on the next.
        for _ in 0..EXPLICIT_TRIED_MAX {
            let turn = u64::from(self.walking.turn.fetch_add(1, Ordering::Relaxed));
            let port = u64::from(range.first()) + turn % ports;
            let Ok(port) = u16::try_from(port) else {
                continue;
            };
            if reserved.contains(port) {
                continue;
            }
            let ahead = u32::try_from(turn / ports).unwrap_or(0);
            let number = numbers.start + ahead % (numbers.end - numbers.start);
            if let Some(pair) = self.pair(number)
                && self.is_usable(number, pair)
                && pair
                    .claim(self.limit(), at, self.cooling_time(number))
                    .is_some()
            {
                let lease = self.lease(number, true);
                return Some(Grant {
                    lease,
                    port: Some(port),
                });
            }
        }
        None
    }

    /// The first stage whose pairs are bound to addresses of ours and may be used.
    fn stage_of_sources(&self) -> Option<usize> {
        self.plan
            .stages()
            .iter()
            .position(|stage| matches!(stage.sources, Sources::Bound { .. }))
    }

    fn claim(self: &Arc<Self>, number: u32, bound: u32, at: u64) -> Option<Lease> {
        let pair = self.known_pair(number).or_else(|| {
            // Unproven pairs get no account by being looked at.
            let stage = self.planned(number).stage;
            (!self.stage_needs_proof(stage))
                .then(|| self.pair(number))
                .flatten()
        })?;
        if pair.is_barred(at) || !self.is_usable(number, pair) {
            return None;
        }
        let before = pair.claim(bound, at, self.cooling_time(number))?;
        let crowded = number > 0 || before.total() >= self.numbers().mark / 2;
        Some(self.lease(number, crowded))
    }

    fn is_usable(&self, number: u32, pair: &super::Pair) -> bool {
        !self.stage_needs_proof(self.planned(number).stage) || pair.proof() == Proof::Works
    }

    fn stage_needs_proof(&self, stage: usize) -> bool {
        self.plan
            .stages()
            .get(stage)
            .is_some_and(|stage| stage.condition == Condition::Proof)
    }

    fn lease(self: &Arc<Self>, pair: u32, crowded: bool) -> Lease {
        Lease {
            ledger: Arc::clone(self),
            pair,
            crowded,
            leaves_nothing: false,
        }
    }

    fn has_waited_for_the_gate(&self, at: u64) -> bool {
        // Moment 0 means that nobody waits, so a wait begins at 1 at the earliest.
        let since = self.walking.unknown_since.load(Ordering::Relaxed);
        if since == 0 {
            self.walking
                .unknown_since
                .store(at.max(1), Ordering::Relaxed);
            return false;
        }
        at.saturating_sub(since) >= ms(UNKNOWN_MAX)
    }

    /// The numbers for whoever gets no port.
    fn full(&self, at: u64) -> Full {
        let mut usage = Usage::default();
        let mut awaits = !self.to_be_proven(1).is_empty();
        let mut pairs = 0;
        for (index, stage) in self.plan.stages().iter().enumerate() {
            match self.gates.get(index).map(super::StageGate::gate) {
                Some(Gate::Open) => {}
                Some(Gate::Unknown) => {
                    awaits |= !self.has_waited_for_the_gate(at);
                    continue;
                }
                _ => continue,
            }
            let proven = self
                .plan
                .numbers(index)
                .filter_map(|number| self.known_pair(number));
            pairs += match stage.condition {
                Condition::Proof => {
                    let proven = proven.filter(|pair| pair.proof() == Proof::Works).count();
                    u32::try_from(proven).unwrap_or(u32::MAX)
                }
                _ => stage.pairs(),
            };
        }
        for (_, pair) in self.known() {
            let of_pair = pair.usage();
            usage.live += of_pair.live;
            usage.cooling += of_pair.cooling;
            usage.foreign += of_pair.foreign;
        }
        Full {
            pairs,
            usage,
            limit: self.limit(),
            is_disputed: self.walking.is_disputed(),
            awaits,
        }
    }
}

impl Grant {
    /// Where the connection goes.
    #[must_use]
    pub fn destination(&self) -> SocketAddr {
        self.lease.pair().destination
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
