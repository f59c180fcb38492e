//! The account of one pair: how many of its ports are taken, by whom, and when they come back.
//!
//! `live` are connections of ours, `cooling` those we closed first and left in TIME_WAIT, `foreign` what a reading
//! saw beyond both: other instances, other programs. Taking a port is one compare-and-swap; the lock is taken to put
//! something into the ring of what cools, and to look whether some of it has.

use std::time::Duration;

use crate::snapshot::PairCount;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering};

/// Parts into which a cooling time is divided: a port counts as cooling for its time and at most a quarter more.
const COOLING_STEPS: usize = 4;

/// The steps, and the one that is going on.
const RING: usize = COOLING_STEPS + 1;

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

/// The account. All times are milliseconds since the ledger began.
#[derive(Debug)]
pub(super) struct Pair {
    live: AtomicU32,
    /// The sum of the ring.
    cooling: AtomicU32,
    foreign: AtomicU32,
    proof: AtomicU8,
    /// Until when the kernel's refusal stands; 0 where it has not refused.
    barred_until: AtomicU64,
    ring: Mutex<Ring>,
}

/// Ports that cool, by when they began to: one count for each quarter of the cooling time.
#[derive(Debug, Default)]
struct Ring {
    /// When the newest count began.
    since: u64,
    /// Its place.
    newest: usize,
    counts: [u32; RING],
}

impl Usage {
    /// Ports that cannot be taken now.
    #[must_use]
    pub const fn total(self) -> u32 {
        self.live
            .saturating_add(self.cooling)
            .saturating_add(self.foreign)
    }
}

impl Pair {
    pub(super) fn new() -> Self {
        Self {
            live: AtomicU32::new(0),
            cooling: AtomicU32::new(0),
            foreign: AtomicU32::new(0),
            proof: AtomicU8::new(0),
            barred_until: AtomicU64::new(0),
            ring: Mutex::new(Ring::default()),
        }
    }

    /// What is taken, as of the last look at the ring.
    pub(super) fn usage(&self) -> Usage {
        Usage {
            live: self.live.load(Ordering::Acquire),
            cooling: self.cooling.load(Ordering::Acquire),
            foreign: self.foreign.load(Ordering::Relaxed),
        }
    }

    /// Takes a port if fewer than `bound` are taken; what was taken before.
    pub(super) fn claim(&self, bound: u32, now: u64, cooling: Duration) -> Option<Usage> {
        let mut looked = false;
        loop {
            let usage = self.usage();
            if usage.total() < bound {
                // Release and acquire: whoever counts one more has seen the release of the port before it.
                let more = self.live.compare_exchange(
                    usage.live,
                    usage.live + 1,
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                );
                if more.is_ok() {
                    return Some(usage);
                }
            } else if looked || usage.cooling == 0 {
                return None;
            } else {
                looked = true;
                self.settle(now, cooling);
            }
        }
    }

    /// Notes that a connection of ours is about to leave its tuple in TIME_WAIT. Before the port is given back, so that
    /// it is never counted as free in between.
    pub(super) fn cool(&self, now: u64, cooling: Duration) {
        let mut ring = self.ring();
        let over = ring.advance(now, cooling);
        let newest = ring.newest;
        ring.counts[newest] = ring.counts[newest].saturating_add(1);
        // Under the lock, so that the sum is the ring's.
        self.cooling.fetch_add(1, Ordering::AcqRel);
        self.cooling.fetch_sub(over, Ordering::AcqRel);
    }

    /// Forgets what has cooled.
    pub(super) fn settle(&self, now: u64, cooling: Duration) {
        let mut ring = self.ring();
        let over = ring.advance(now, cooling);
        self.cooling.fetch_sub(over, Ordering::AcqRel);
    }

    /// Gives a port of ours back.
    pub(super) fn release(&self) {
        let before = self.live.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "more ports given back than taken");
    }

    /// What the kernel has said about the pair stands until then.
    pub(super) fn bar(&self, until: u64) {
        self.barred_until.store(until, Ordering::Relaxed);
    }

    pub(super) fn unbar(&self) {
        self.barred_until.store(0, Ordering::Relaxed);
    }

    pub(super) fn is_barred(&self, now: u64) -> bool {
        self.barred_until.load(Ordering::Relaxed) > now
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

    /// Sets what others hold to what `seen` has beyond ours, `ours_before` being our count when the reading began:
    /// what we opened or closed meanwhile is not theirs. TIME_WAIT that is not there (the kernel drops it beyond
    /// `net.ipv4.tcp_max_tw_buckets`) does not cool either.
    pub(super) fn correct(&self, seen: PairCount, ours_before: u32) {
        let mut ring = self.ring();
        let surplus = ring.keep(seen.time_wait);
        self.cooling.fetch_sub(surplus, Ordering::AcqRel);
        drop(ring);
        let usage = self.usage();
        let ours = ours_before.max(usage.live.saturating_add(usage.cooling));
        self.foreign
            .store(seen.held.saturating_sub(ours), Ordering::Relaxed);
    }

    pub(super) fn check_invariants(&self) {
        let ring = self.ring();
        let sum: u32 = ring.counts.iter().sum();
        debug_assert_eq!(sum, self.cooling.load(Ordering::Acquire), "{ring:?}");
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // A panic inside leaves counts, and counts are all there is.
        self.ring
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Ring {
    /// Moves on to `now`; how many have cooled meanwhile. A clock of another thread that is behind moves nothing back.
    fn advance(&mut self, now: u64, cooling: Duration) -> u32 {
        let step = u64::try_from(cooling.as_millis())
            .unwrap_or(u64::MAX)
            .div_ceil(COOLING_STEPS as u64)
            .max(1);
        let passed = now.saturating_sub(self.since) / step;
        self.since += passed * step;
        let mut over = 0;
        for _ in 0..passed.min(RING as u64) {
            self.newest = (self.newest + 1) % RING;
            over += std::mem::take(&mut self.counts[self.newest]);
        }
        over
    }

    /// Keeps the `most` newest; how many are left out.
    fn keep(&mut self, most: u32) -> u32 {
        let surplus = self.counts.iter().sum::<u32>().saturating_sub(most);
        let mut left = surplus;
        for ahead in 1..=RING {
            // The oldest stands behind the newest.
            let count = &mut self.counts[(self.newest + ahead) % RING];
            let less = left.min(*count);
            *count -= less;
            left -= less;
        }
        surplus
    }
}
