//! What a watcher asks of a ledger, to know whether it has anything to do.

use std::time::Instant;

use super::Ledger;
use super::pair::Proof;
use crate::host::TimeWaitReuse;

impl Ledger {
    /// Whether ports are named explicitly now, because the kernel refuses those that it should give out.
    #[must_use]
    pub fn is_at_its_last_resort(&self, now: Instant) -> bool {
        self.names_ports(self.moment(now))
    }

    /// Pairs that are known to work and have room below their mark.
    #[must_use]
    pub fn proven_with_room(&self) -> usize {
        let mark = self.numbers().mark;
        self.known()
            .filter(|(_, pair)| pair.proof() == Proof::Works && pair.usage().total() < mark)
            .count()
    }

    /// Whether the last word of the kernel was a refusal where the account knows of room.
    #[must_use]
    pub fn is_disputed(&self) -> bool {
        self.walking.is_disputed()
    }

    /// When TIME_WAIT can be reused, as last read.
    #[must_use]
    pub fn reuse(&self) -> TimeWaitReuse {
        self.numbers().reuse
    }
}
