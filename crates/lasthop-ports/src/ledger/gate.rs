//! Whether the pairs of a stage may be used: always, never, or once it is known how the app listens.

use std::ops::Range;

use crate::plan::{Condition, Plan, Sources};
use crate::sync::{AtomicU8, Ordering};

const UNKNOWN: u8 = 0;
const OPEN: u8 = 1;
const SHUT: u8 = 2;

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

/// A stage as the ledger sees it: what is asked of its plan for each request, worked out once, and its gate.
#[derive(Debug)]
pub(super) struct GatedStage {
    /// Its pairs.
    pub(super) numbers: Range<u32>,
    pub(super) is_loopback: bool,
    pub(super) is_bound: bool,
    condition: Condition,
    gate: AtomicU8,
}

impl GatedStage {
    /// All stages of a plan.
    pub(super) fn of(plan: &Plan) -> Vec<Self> {
        let stages = plan.stages().iter().enumerate();
        stages
            .map(|(index, stage)| Self {
                numbers: plan.numbers(index),
                is_loopback: stage.is_loopback(),
                is_bound: matches!(stage.sources, Sources::Bound { .. }),
                condition: stage.condition,
                gate: AtomicU8::new(match stage.condition {
                    Condition::Wildcard => UNKNOWN,
                    // Proofs are kept by pair.
                    Condition::None | Condition::Proof => OPEN,
                }),
            })
            .collect()
    }

    pub(super) fn has_gate(&self) -> bool {
        self.condition == Condition::Wildcard
    }

    pub(super) fn needs_proof(&self) -> bool {
        self.condition == Condition::Proof
    }

    pub(super) fn is_open(&self) -> bool {
        self.gate() == Gate::Open
    }

    /// Relaxed, here and below: a request that goes by the last word but one does no harm.
    pub(super) fn set(&self, gate: Gate) {
        let code = match gate {
            Gate::Unknown => UNKNOWN,
            Gate::Open => OPEN,
            Gate::Shut => SHUT,
        };
        self.gate.store(code, Ordering::Relaxed);
    }

    pub(super) fn gate(&self) -> Gate {
        match self.gate.load(Ordering::Relaxed) {
            UNKNOWN => Gate::Unknown,
            OPEN => Gate::Open,
            _ => Gate::Shut,
        }
    }
}
