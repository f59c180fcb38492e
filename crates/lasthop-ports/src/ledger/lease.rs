//! One port of a pair, lent to one connection.
//!
//! A guard: dropping it gives the port back, so it is dropped after the socket is closed and not before. Who closed
//! first decides whether the port comes back at once or cools in TIME_WAIT, so it is noted before.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::Ledger;
use crate::plan::{Condition, PlannedPair};

/// How a connection ended, seen from our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// We sent the first FIN: TIME_WAIT is ours and holds the tuple.
    ByUs,
    /// The app sent the first FIN, or reset the connection: the tuple is free as soon as the socket is closed.
    ByApp,
    /// We reset it, or it never came about: nothing stays behind.
    Reset,
}

/// The right to one source port of a pair.
pub struct Lease {
    pub(super) ledger: Arc<Ledger>,
    /// The number of the pair in the plan.
    pub(super) pair: u32,
    pub(super) wants_a_look: bool,
    /// How the connection ended and when, once that is known.
    pub(super) ended: Option<(Ended, Instant)>,
}

impl Lease {
    /// The pair that it is for.
    #[must_use]
    pub fn pair(&self) -> PlannedPair {
        self.ledger.planned(self.pair)
    }

    /// Whether it is for another pair than the first, which the kernel would have chosen.
    #[must_use]
    pub const fn is_spilled(&self) -> bool {
        self.pair > 0
    }

    /// Whether it is for a destination that nobody has named, only assumed: an app that listens on every address is
    /// there too.
    #[must_use]
    pub fn is_invented(&self) -> bool {
        let stage = self.ledger.plan().stages().get(self.pair().stage);
        stage.is_some_and(|stage| stage.condition == Condition::Wildcard)
    }

    /// Whether it is for a pair that had to be proven to work before, and may have stopped working since. Its number, then.
    #[must_use]
    pub fn proven_pair(&self) -> Option<u32> {
        let stage = self.ledger.plan().stages().get(self.pair().stage);
        stage
            .is_some_and(|stage| stage.condition == Condition::Proof)
            .then_some(self.pair)
    }

    /// Whether a reading of the kernel's table is due: the pair gets full, or ours have grown since the last one.
    #[must_use]
    pub const fn wants_a_look(&self) -> bool {
        self.wants_a_look
    }

    /// Whether a TIME_WAIT of ours would hurt on this pair: its ports cool for long, or half of them are taken. Then it
    /// is worth a moment to let the app close first.
    #[must_use]
    pub fn should_let_app_close(&self) -> bool {
        self.ledger.time_wait_hurts(self.pair)
    }

    /// Notes how the connection ended, at `now`, just before its socket is closed. A TIME_WAIT that is noted stays noted.
    pub fn ended(&mut self, how: Ended, now: Instant) {
        if !matches!(self.ended, Some((Ended::ByUs, _))) {
            self.ended = Some((how, now));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match self.ended {
            Some((Ended::ByUs, when)) => self.ledger.cool(self.pair, when),
            Some((Ended::ByApp | Ended::Reset, _)) => self.ledger.release(self.pair, true),
            // Nobody has asked how. Should it be in TIME_WAIT, a reading will tell.
            None => self.ledger.release(self.pair, false),
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({})", self.pair())
    }
}
