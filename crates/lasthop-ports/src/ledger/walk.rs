//! Which pair a request tries next, and what to make of the kernel's refusals.
//!
//! In order: the first pair below its mark; where every pair is above its mark, the first below its limit. A refused
//! pair is barred and the next one tried, twice. The third time it is a pair far down the plan that nobody uses, and a
//! refusal there is not about the pair: see `last_resort`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gate::GatedStage;
use super::pair::{Pair, Proof, Usage};
use super::{BARRED, BARRED_BESIDE_OTHERS, Full, Gate, Lease, Ledger, Numbers};
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Refusals after which a pair far down the plan is tried.
const REFUSALS_BEFORE_FAR: u32 = 2;

/// Requests wait so long for the word on how the app listens, then go on without it.
const UNKNOWN_MAX: Duration = Duration::from_millis(100);

/// Spread connections ask for a reading so long after the last: others may have left the pairs before.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// See [`Walking::dispute`].
const EVERYWHERE: u8 = 2;

/// What all requests share about refusals. Times are milliseconds since the ledger began. Relaxed throughout: each is a
/// hint that stands by itself, and one that is seen late costs a refusal.
#[derive(Debug)]
pub(super) struct Walking {
    /// Until when ports are named explicitly.
    pub(super) explicit_until: AtomicU64,
    /// Counts explicit ports and far pairs, so that each is another one.
    pub(super) turn: AtomicU32,
    /// Since when requests wait for an unknown gate; 0 where none does.
    unknown_since: AtomicU64,
    /// 1 where the last word of the kernel was a refusal although there should have been room, [`EVERYWHERE`] where that
    /// was so on a pair that nobody uses.
    disputed: AtomicU8,
    /// When the last reading began.
    looked_at: AtomicU64,
}

impl Default for Walking {
    fn default() -> Self {
        Self {
            explicit_until: AtomicU64::new(0),
            turn: AtomicU32::new(0),
            unknown_since: AtomicU64::new(0),
            disputed: AtomicU8::new(0),
            looked_at: AtomicU64::new(0),
        }
    }
}

impl Walking {
    /// A reading begins.
    pub(super) fn looks(&self, at: u64) {
        self.looked_at.store(at, Ordering::Relaxed);
    }

    pub(super) fn is_disputed(&self) -> bool {
        self.disputed.load(Ordering::Relaxed) > 0
    }

    /// The kernel refuses where there should be room: `everywhere`, or on one pair, of which others may have the rest.
    fn dispute(&self, everywhere: bool) {
        let disputed = if everywhere { EVERYWHERE } else { 1 };
        self.disputed.fetch_max(disputed, Ordering::Relaxed);
    }

    /// There is no dispute any more; whether there was one about every pair. A load first: the line is shared.
    pub(super) fn settle(&self) -> bool {
        self.is_disputed() && self.disputed.swap(0, Ordering::Relaxed) == EVERYWHERE
    }

    /// The word has come: who waits for the next one waits anew.
    pub(super) fn forget_the_wait(&self) {
        self.unknown_since.store(0, Ordering::Relaxed);
    }
}

/// How far one request has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Walk {
    pub(super) refused: u32,
    pub(super) explicit: u32,
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
    /// The addresses do not lead to the app now: the source is none of this host's, or a firewall or a missing route is
    /// in the way.
    NoWay,
    /// No answer comes on a pair that has worked before, and the pair has been condemned for it.
    NoAnswer,
}

impl Ledger {
    /// The next pair for a request.
    ///
    /// # Errors
    /// [`Full`] where there is none, now.
    pub fn next(self: &Arc<Self>, walk: &mut Walk, now: Instant) -> Result<Grant, Full> {
        let at = self.moment(now);
        let names_ports = self.names_ports(at);
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
        let was_refused = names_ports
            || walk.refused > 0
            || self.known().any(|(_, pair)| pair.is_barred(at, ms(BARRED)));
        let explicit = was_refused.then(|| self.explicit(walk, at)).flatten();
        explicit.ok_or_else(|| self.full(at))
    }

    /// The kernel has refused a connection on a granted pair: takes note, and takes the lease back. Each request may be
    /// refused so often that it ends: thrice on pairs, and a bounded number of times on explicit ports. Pairs without a
    /// way do not count: each is barred, so the walk comes past every pair once at most.
    pub fn refused(&self, walk: &mut Walk, mut grant: Grant, refusal: Refusal, now: Instant) {
        let at = self.moment(now);
        let number = grant.lease.pair;
        // Whatever was noted of it: it gives nothing back that the kernel would give out again.
        grant.lease.ended = None;
        if refusal == Refusal::NobodyThere {
            match self.stage_of(number).filter(|stage| stage.has_gate()) {
                Some(stage) => stage.set(Gate::Shut),
                // An address that was asked for by name: there is no other to go to, and the walk comes to its end.
                None => walk.refused += 1,
            }
            return;
        }
        if refusal == Refusal::NoAnswer {
            // What is condemned is not granted again.
            return;
        }
        if grant.port.is_some() {
            walk.explicit += 1;
            return;
        }
        if refusal == Refusal::NoWay {
            self.distrust(number, at);
            return;
        }
        walk.refused += 1;
        let Some(pair) = self.known_pair(number) else {
            return;
        };
        pair.bar(at);
        // Without this one. Where half the ports are known to be taken, others may well have the rest.
        let taken = pair.usage().total().saturating_sub(1);
        if taken < self.limit().div_ceil(2) {
            let everywhere = walk.refused > REFUSALS_BEFORE_FAR;
            self.walking.dispute(everywhere);
            if everywhere {
                self.name_ports_from(at);
            }
        }
    }

    /// The kernel has let a connection through on a granted pair.
    pub fn allowed(&self, grant: &Grant) {
        // Only a port of the kernel's own choice settles the dispute.
        if grant.port.is_none() && self.walking.settle() {
            // What kept ports from us has gone, and what it made of the other pairs says nothing any more.
            for (_, pair) in self.known().filter(|(_, pair)| pair.was_barred()) {
                pair.unbar();
            }
        }
    }

    /// Pair `number` has lost its way: nobody tries it for a while, and what had to be proven has to be proven anew.
    fn distrust(&self, number: u32, at: u64) {
        let Some(pair) = self.known_pair(number) else {
            return;
        };
        pair.bar(at);
        if self.stage_of(number).is_some_and(GatedStage::needs_proof) {
            pair.set_proof(Proof::Unknown);
        }
    }

    /// The first pair below its mark, else the first below its limit.
    fn first_with_room(self: &Arc<Self>, at: u64) -> Option<Lease> {
        let numbers = self.numbers();
        if numbers.limit == 0 {
            return None;
        }
        let bounds = [
            (numbers.mark, BARRED_BESIDE_OTHERS),
            (numbers.limit, BARRED),
        ];
        bounds
            .into_iter()
            .find_map(|(bound, barred)| self.first_below(bound, ms(barred), numbers, at))
    }

    fn first_below(
        self: &Arc<Self>,
        bound: u32,
        barred: u64,
        numbers: Numbers,
        at: u64,
    ) -> Option<Lease> {
        for stage in &self.stages {
            match stage.gate() {
                Gate::Open => {}
                Gate::Shut => continue,
                Gate::Unknown if self.has_waited_for_the_gate(at) => continue,
                Gate::Unknown => return None,
            }
            let cooling = numbers.reuse.cooling(stage.is_loopback);
            for number in stage.numbers.clone() {
                let Some(pair) = self.pair_of(stage, number) else {
                    // Nothing behind it is proven either.
                    break;
                };
                if !pair.is_barred(at, barred)
                    && is_usable(stage, pair)
                    && let Some(before) = pair.claim(bound, at, cooling)
                {
                    return Some(self.lease(number, before, at));
                }
            }
        }
        None
    }

    /// The account of a pair that is looked at: made where there is none, but for a stage whose pairs have to be proven
    /// before.
    pub(super) fn pair_of(&self, stage: &GatedStage, number: u32) -> Option<&Pair> {
        if stage.needs_proof() {
            self.known_pair(number)
        } else {
            self.pair(number)
        }
    }

    /// A lease on `pair`, on which so much was taken `before` it, at a moment `at`.
    pub(super) fn lease(self: &Arc<Self>, number: u32, before: Usage, at: u64) -> Lease {
        let looked_at = self.walking.looked_at.load(Ordering::Relaxed);
        let is_old = number > 0 && at.saturating_sub(looked_at) >= ms(LOOK_AGAIN);
        let wants_a_look = self
            .known_pair(number)
            .is_some_and(|pair| pair.wants_a_look(before, self.numbers().mark));
        Lease {
            ledger: Arc::clone(self),
            pair: number,
            wants_a_look: is_old || wants_a_look,
            ended: None,
        }
    }

    pub(super) fn has_waited_for_the_gate(&self, at: u64) -> bool {
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
}

impl Grant {
    /// Where the connection goes.
    #[must_use]
    pub fn destination(&self) -> SocketAddr {
        self.lease.pair().destination
    }
}

pub(super) fn is_usable(stage: &GatedStage, pair: &Pair) -> bool {
    !stage.needs_proof() || pair.proof() == Proof::Works
}

pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
