//! Ports that cool, by when they began to: one count for each quarter of the cooling time.
//!
//! A queue of moments would be exact and as long as there are ports. Five numbers let each port cool for its time and
//! at most a quarter more.

use std::time::Duration;

/// Parts into which a cooling time is divided.
const COOLING_STEPS: u64 = 4;

/// The steps, and the one that is going on.
const RING: usize = 5;

/// The counts. All times are milliseconds since the ledger began.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// When the newest count began.
    since: u64,
    /// How long one count is added to; 0 before the first.
    step: u64,
    /// The place of the newest.
    newest: usize,
    counts: [u32; RING],
    /// How many began to cool since the last mark, whether or not they still do.
    fresh: u32,
}

impl Ring {
    /// Moves on to `now`; how many have cooled meanwhile. A clock of another thread that is behind moves nothing back.
    pub(super) fn advance(&mut self, now: u64, cooling: Duration) -> u32 {
        let mut over = 0;
        if let Some(passed) = now.saturating_sub(self.since).checked_div(self.step) {
            self.since += passed * self.step;
            for _ in 0..passed.min(RING as u64) {
                self.newest = (self.newest + 1) % RING;
                over += std::mem::take(&mut self.counts[self.newest]);
            }
        }
        let step = step(cooling);
        if step != self.step {
            // The time has changed, and the old counts do not tell how long they have cooled in new steps: what is left
            // cools for the whole new time from now on.
            self.step = step;
            self.since = self.since.max(now);
            let left = self.sum();
            self.counts = [0; RING];
            self.counts[self.newest] = left;
        }
        over
    }

    /// One more begins to cool, at the moment of the last [`Ring::advance`].
    pub(super) fn add(&mut self) {
        self.counts[self.newest] += 1;
        self.fresh = self.fresh.saturating_add(1);
    }

    /// When the next count is over, at the earliest.
    pub(super) fn next_step(&self) -> u64 {
        self.since.saturating_add(self.step)
    }

    /// What begins to cool from here on is newer than a reading that begins now.
    pub(super) fn mark(&mut self) {
        self.fresh = 0;
    }

    /// Forgets what a reading has not seen: keeps as many as it `saw`, and what is newer than it, the newest first. How
    /// many are forgotten.
    pub(super) fn keep(&mut self, saw: u32) -> u32 {
        let surplus = self.sum().saturating_sub(saw.saturating_add(self.fresh));
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

    /// How many cool.
    pub(super) fn sum(&self) -> u32 {
        self.counts.iter().sum()
    }
}

/// The length of a step in milliseconds, such that all steps together are no shorter than `cooling`.
pub(super) fn step(cooling: Duration) -> u64 {
    let whole = u64::try_from(cooling.as_millis()).unwrap_or(u64::MAX);
    whole.div_ceil(COOLING_STEPS).max(1)
}
