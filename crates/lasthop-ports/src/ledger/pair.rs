//! The account of one pair: how many of its ports are taken, by whom, and when they come back.
//!
//! `live` are connections of ours, `cooling` those we closed first and left in TIME_WAIT, `foreign` what a reading
//! saw beyond both: other instances, other programs. The three stand in one word and are taken from it at one moment:
//! in words of their own, a port could be taken on a sum that never was (one thread reads that nothing cools, a port
//! of another begins to cool and a third takes its place, and the first finds `live` as it was). The lock is taken to
//! put something into the ring of what cools, and to look whether some of it has.

use std::time::Duration;

use super::ring::{Ring, step};
use crate::counts::PairCount;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering};

/// Bits of one count. A pair has 65,535 ports; what others hold is cut to what fits.
const COUNT_BITS: u32 = 21;

const COUNT_MAX: u32 = (1 << COUNT_BITS) - 1;

/// One connection in each place of the word.
const LIVE: u64 = 1;
const COOLING: u64 = 1 << COUNT_BITS;

/// Readings while we fill an empty pair, for the sake of others who fill it with us.
const LOOKS: u32 = 16;

/// The least growth between two of them, where ports are few.
const LOOK_STEP_MIN: u32 = 8;

/// The last part of a pair up to its mark, in which every port taken is reason for a reading: a quarter.
const CROWDED: u32 = 4;

/// Whether a handshake is known to come about on a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Nobody has tried.
    Unknown,
    /// It has.
    Works,
    /// It has not: the pair is not used.
    Condemned,
}

/// How many ports of a pair are taken, in connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Connections of ours.
    pub live: u32,
    /// Connections that we closed first and whose tuples are in TIME_WAIT.
    pub cooling: u32,
    /// What else the last reading saw.
    pub foreign: u32,
}

/// The account. All times are milliseconds since the ledger began. A line of the cache each: every worker writes to
/// the pair in use.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Pair {
    /// A [`Usage`], packed.
    taken: AtomicU64,
    /// When the kernel has refused it, counted from 1; 0 where it has not.
    refused_at: AtomicU64,
    /// Before this moment no count of the ring is over, so that a look at it can be spared.
    next_step: AtomicU64,
    proof: AtomicU8,
    /// Connections of ours from which on a reading is due again: others may be growing as we are.
    look_at: AtomicU32,
    ring: Mutex<Ring>,
}

impl Usage {
    /// Ports that cannot be taken now.
    #[must_use]
    pub const fn total(self) -> u32 {
        self.live
            .saturating_add(self.cooling)
            .saturating_add(self.foreign)
    }

    pub(super) const fn add(&mut self, other: Self) {
        self.live = self.live.saturating_add(other.live);
        self.cooling = self.cooling.saturating_add(other.cooling);
        self.foreign = self.foreign.saturating_add(other.foreign);
    }

    const fn packed(self) -> u64 {
        self.live as u64
            | (self.cooling as u64) << COUNT_BITS
            | (self.foreign as u64) << (2 * COUNT_BITS)
    }

    fn unpacked(word: u64) -> Self {
        let count = |place: u32| {
            let count = word >> (place * COUNT_BITS) & u64::from(COUNT_MAX);
            u32::try_from(count).unwrap_or(COUNT_MAX)
        };
        Self {
            live: count(0),
            cooling: count(1),
            foreign: count(2),
        }
    }
}

impl Pair {
    pub(super) fn new() -> Self {
        Self {
            taken: AtomicU64::new(Usage::default().packed()),
            refused_at: AtomicU64::new(0),
            next_step: AtomicU64::new(0),
            proof: AtomicU8::new(0),
            look_at: AtomicU32::new(0),
            ring: Mutex::new(Ring::default()),
        }
    }

    /// What is taken, as of the last look at the ring.
    pub(super) fn usage(&self) -> Usage {
        Usage::unpacked(self.taken.load(Ordering::Acquire))
    }

    /// Takes a port if fewer than `bound` are taken; what was taken before.
    pub(super) fn claim(&self, bound: u32, now: u64, cooling: Duration) -> Option<Usage> {
        let mut word = self.taken.load(Ordering::Acquire);
        loop {
            let usage = Usage::unpacked(word);
            if usage.total() >= bound {
                // Not for ever: nothing has cooled twice at the same `now`.
                if usage.cooling == 0 || !self.settle(now, cooling) {
                    return None;
                }
                word = self.taken.load(Ordering::Acquire);
                continue;
            }
            // Release and acquire: whoever counts one more has seen the release of the port before it.
            match self.taken.compare_exchange(
                word,
                word + LIVE,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(usage),
                Err(other) => word = other,
            }
        }
    }

    /// Gives a port of ours back to cool from `now` on: it is never counted as free in between, nor twice.
    pub(super) fn cool(&self, now: u64, cooling: Duration) {
        let mut ring = self.ring();
        let over = ring.advance(now, cooling);
        ring.add();
        // Under the lock, so that the sum is the ring's.
        let before = self.taken.fetch_add(COOLING - LIVE, Ordering::AcqRel);
        debug_assert!(
            Usage::unpacked(before).live > 0,
            "more ports given back than taken"
        );
        self.taken
            .fetch_sub(u64::from(over) * COOLING, Ordering::AcqRel);
        // Relaxed: it only spares a look, and is read again at the next.
        self.next_step.store(ring.next_step(), Ordering::Relaxed);
    }

    /// Forgets what has cooled; whether there was any.
    pub(super) fn settle(&self, now: u64, cooling: Duration) -> bool {
        let wait = self.next_step.load(Ordering::Relaxed).saturating_sub(now);
        // One that is further ahead than a step is from before the cooling time became shorter.
        if (1..=step(cooling)).contains(&wait) {
            return false;
        }
        let mut ring = self.ring();
        let over = ring.advance(now, cooling);
        self.taken
            .fetch_sub(u64::from(over) * COOLING, Ordering::AcqRel);
        self.next_step.store(ring.next_step(), Ordering::Relaxed);
        over > 0
    }

    /// Gives a port of ours back.
    pub(super) fn release(&self) {
        let before = self.taken.fetch_sub(LIVE, Ordering::AcqRel);
        debug_assert!(
            Usage::unpacked(before).live > 0,
            "more ports given back than taken"
        );
    }

    /// The kernel has refused the pair.
    pub(super) fn bar(&self, now: u64) {
        self.refused_at.store(now + 1, Ordering::Relaxed);
    }

    pub(super) fn unbar(&self) {
        self.refused_at.store(0, Ordering::Relaxed);
    }

    /// Whether the kernel has refused it and nothing has opened it again since, however long ago.
    pub(super) fn was_barred(&self) -> bool {
        self.refused_at.load(Ordering::Relaxed) > 0
    }

    /// Whether the kernel has refused it within the last `patience` milliseconds.
    pub(super) fn is_barred(&self, now: u64, patience: u64) -> bool {
        let refused_at = self.refused_at.load(Ordering::Relaxed);
        refused_at > 0 && now < refused_at - 1 + patience
    }

    pub(super) fn proof(&self) -> Proof {
        match self.proof.load(Ordering::Relaxed) {
            0 => Proof::Unknown,
            1 => Proof::Works,
            _ => Proof::Condemned,
        }
    }

    pub(super) fn set_proof(&self, proof: Proof) {
        let code = match proof {
            Proof::Unknown => 0,
            Proof::Works => 1,
            Proof::Condemned => 2,
        };
        self.proof.store(code, Ordering::Relaxed);
    }

    /// Whether a port that was taken when so many were, before it, is reason to look what others do: the pair gets full,
    /// or ours have grown since the last look. One that nobody has looked at yet is.
    pub(super) fn wants_a_look(&self, before: Usage, mark: u32) -> bool {
        before.total() >= mark - mark / CROWDED
            || before.live >= self.look_at.load(Ordering::Relaxed)
    }

    /// A reading begins: what is taken by us, and what cools from here on is newer than it.
    pub(super) fn before_reading(&self, limit: u32) -> u32 {
        let mut ring = self.ring();
        ring.mark();
        let usage = self.usage();
        let step = limit.div_ceil(LOOKS).max(LOOK_STEP_MIN);
        self.look_at
            .store(usage.live.saturating_add(step), Ordering::Relaxed);
        usage.live + usage.cooling
    }

    /// Sets what others hold to what `seen` has beyond ours, `ours_before` being our count when the reading began:
    /// what we opened or closed meanwhile is not theirs. TIME_WAIT that is not there (the kernel drops it beyond
    /// `net.ipv4.tcp_max_tw_buckets`) does not cool either. What is taken then.
    pub(super) fn correct(&self, seen: PairCount, ours_before: u32) -> Usage {
        let mut ring = self.ring();
        let surplus = ring.keep(seen.time_wait);
        let mut word = self
            .taken
            .fetch_sub(u64::from(surplus) * COOLING, Ordering::AcqRel)
            - u64::from(surplus) * COOLING;
        loop {
            let usage = Usage::unpacked(word);
            let ours = ours_before.max(usage.live + usage.cooling);
            let corrected = Usage {
                foreign: seen.held.saturating_sub(ours).min(COUNT_MAX),
                ..usage
            };
            match self.taken.compare_exchange(
                word,
                corrected.packed(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return corrected,
                Err(other) => word = other,
            }
        }
    }

    pub(super) fn check_invariants(&self) {
        let ring = self.ring();
        debug_assert_eq!(ring.sum(), self.usage().cooling, "{ring:?}");
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // A panic inside leaves counts, and counts are all there is.
        self.ring
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
