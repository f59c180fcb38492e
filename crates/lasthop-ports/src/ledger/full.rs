//! No pair has a port left: the numbers of that, and how they are told.

use std::fmt;

use super::pair::{Proof, Usage};
use super::{Gate, Ledger};

/// No pair has a port left: the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// The pairs that could have been used.
    pub pairs: u32,
    /// What is taken on them, all together.
    pub usage: Usage,
    /// Ports of each pair.
    pub limit: u32,
    /// The kernel refuses where the account says that there is room: somebody holds ports in another way.
    pub is_disputed: bool,
    /// Pairs that could be used once something is known of them.
    pub awaits: bool,
}

impl Full {
    /// Ports of all pairs.
    fn all(&self) -> u64 {
        u64::from(self.limit) * u64::from(self.pairs)
    }
}

impl Ledger {
    /// The numbers for whoever gets no port.
    pub(super) fn full(&self, at: u64) -> Full {
        let mut full = Full {
            pairs: 0,
            usage: Usage::default(),
            limit: self.limit(),
            is_disputed: false,
            awaits: !self.to_be_proven(1).is_empty(),
        };
        for stage in &self.stages {
            let usable = match stage.gate() {
                Gate::Open => stage.numbers.clone(),
                Gate::Shut => continue,
                Gate::Unknown => {
                    full.awaits |= !self.has_waited_for_the_gate(at);
                    continue;
                }
            };
            if !stage.needs_proof() {
                full.pairs += stage.numbers.end - stage.numbers.start;
            }
            for pair in usable.filter_map(|number| self.known_pair(number)) {
                if stage.needs_proof() {
                    if pair.proof() != Proof::Works {
                        continue;
                    }
                    full.pairs += 1;
                }
                full.usage.add(pair.usage());
            }
        }
        // The word of the kernel may be older than a reading that explains it.
        full.is_disputed = self.walking.is_disputed() && u64::from(full.usage.total()) < full.all();
        full
    }
}

impl fmt::Display for Full {
    /// `all 10 in use (7 ours, 2 in TIME_WAIT, 1 of others)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.limit == 0 {
            return f.write_str("the range has no port that is not reserved");
        }
        if self.pairs == 0 {
            return f.write_str("no pair of addresses is known to work");
        }
        let all = self.all();
        let Usage {
            live,
            cooling,
            foreign,
        } = self.usage;
        if self.is_disputed {
            write!(f, "all {all} refused by the kernel")?;
        } else {
            write!(f, "all {all} in use")?;
        }
        write!(
            f,
            " ({live} ours, {cooling} in TIME_WAIT, {foreign} of others"
        )?;
        match self.pairs {
            1 => f.write_str(")")?,
            pairs => write!(f, "; {pairs} pairs of {})", self.limit)?,
        }
        if self.awaits {
            f.write_str(", more pairs are being tried")?;
        }
        Ok(())
    }
}
