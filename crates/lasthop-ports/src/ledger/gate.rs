//! Whether the pairs of a stage may be used: always, never, or once it is known how the app listens.

use crate::plan::Condition;
use crate::sync::{AtomicU8, Ordering};

/// What is known about a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Nothing yet; somebody should look.
    Unknown,
    /// It holds.
    Open,
    /// It does not hold.
    Shut,
}

/// The gate of one stage.
#[derive(Debug)]
pub(super) struct StageGate(AtomicU8);

impl StageGate {
    pub(super) fn new(condition: Condition) -> Self {
        let gate = Self(AtomicU8::new(0));
        gate.set(match condition {
            Condition::Wildcard => Gate::Unknown,
            // Proofs are kept by pair.
            Condition::None | Condition::Proof => Gate::Open,
        });
        gate
    }

    pub(super) fn set(&self, gate: Gate) {
        let code = match gate {
            Gate::Unknown => 0,
            Gate::Open => 1,
            Gate::Shut => 2,
        };
        self.0.store(code, Ordering::Relaxed);
    }

    pub(super) fn gate(&self) -> Gate {
        match self.0.load(Ordering::Relaxed) {
            0 => Gate::Unknown,
            1 => Gate::Open,
            _ => Gate::Shut,
        }
    }
}
