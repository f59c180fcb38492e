//! Who has to go when there is no room: the client that has been idle longest, without a queue that every
//! request would have to be moved in.
//!
//! A connection notes in its row when it became idle, as a number that only grows; that is a store. Only when
//! somebody has to go is the table looked through, once for a whole batch of the oldest. What has changed
//! since is seen when a candidate is used: its number is another then. So an eviction costs the length of
//! the table divided by [`BATCH`], and nothing at all while there is room.

use std::collections::BinaryHeap;

/// Candidates found by one look through the table. With 20,000 rows of 48 bytes (a third of a millisecond
/// at most) this is some 5 µs an eviction, and up to 50 µs where few can go and each needs a look of its own.
const BATCH: usize = 64;

/// Who can be asked to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evictable {
    /// Between two requests, silent since it has connected, or only leaving.
    Idle,
    /// It has not yet said all of its head.
    Reading,
}

impl Evictable {
    /// In the order in which they have to go.
    pub const ALL: [Self; 2] = [Self::Idle, Self::Reading];
}

/// When a client became what it is, in the order of the worker, and the key of its row.
pub(super) type Candidate = (u64, usize);

/// The oldest clients of a kind as of the last look through the table.
#[derive(Debug)]
pub(super) struct Batch {
    which: Evictable,
    among: Option<usize>,
    /// The oldest last.
    candidates: Vec<Candidate>,
}

impl Batch {
    fn new(which: Evictable, among: Option<usize>) -> Self {
        Self {
            which,
            among,
            candidates: Vec::new(),
        }
    }

    /// The oldest that is left and for which `holds` still does; after the last one, `all` that there are now
    /// are looked through, once.
    pub(super) fn next<I: Iterator<Item = Candidate>>(
        &mut self,
        holds: impl Fn(Candidate) -> bool,
        all: impl FnOnce() -> I,
    ) -> Option<usize> {
        while let Some(candidate) = self.candidates.pop() {
            if holds(candidate) {
                return Some(candidate.1);
            }
        }
        self.candidates = oldest(all());
        self.candidates.pop().map(|(_, key)| key)
    }
}

/// The [`BATCH`] oldest, the oldest last.
fn oldest(all: impl Iterator<Item = Candidate>) -> Vec<Candidate> {
    let mut oldest = BinaryHeap::with_capacity(BATCH + 1);
    for candidate in all {
        if oldest.len() < BATCH {
            oldest.push(candidate);
        } else if oldest.peek().is_some_and(|youngest| candidate < *youngest) {
            oldest.pop();
            oldest.push(candidate);
        }
    }
    let mut oldest = oldest.into_sorted_vec();
    oldest.reverse();
    oldest
}

/// A batch for each kind and each listener, and for all of them. Made when first needed, and few.
#[derive(Debug, Default)]
pub(super) struct Batches(Vec<Batch>);

impl Batches {
    pub(super) fn of(&mut self, which: Evictable, among: Option<usize>) -> &mut Batch {
        let known = self
            .0
            .iter()
            .position(|batch| batch.which == which && batch.among == among);
        let index = known.unwrap_or_else(|| {
            self.0.push(Batch::new(which, among));
            self.0.len() - 1
        });
        &mut self.0[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_the_oldest_in_their_order() {
        let all = (0..1000_u64).map(|n| ((n * 7919) % 1000, usize::try_from(n).unwrap()));
        let turns: Vec<u64> = oldest(all).into_iter().map(|(turn, _)| turn).collect();
        let expected: Vec<u64> = (0..BATCH as u64).rev().collect();
        assert_eq!(turns, expected);
    }

    #[test]
    fn the_table_is_looked_through_once_for_a_whole_batch() {
        let mut batch = Batch::new(Evictable::Idle, None);
        let looks = std::cell::Cell::new(0);
        for expected in 0..BATCH {
            let found = batch.next(
                |_| true,
                || {
                    looks.set(looks.get() + 1);
                    (0..100).map(|n| (n as u64, n))
                },
            );
            assert_eq!(found, Some(expected));
        }
        assert_eq!(looks.get(), 1);
    }

    #[test]
    fn a_candidate_that_has_changed_is_passed_over() {
        let mut batch = Batch::new(Evictable::Idle, None);
        let all = || [(1, 10), (2, 20), (3, 30)].into_iter();
        assert_eq!(batch.next(|_| true, all), Some(10));
        let is_busy_again = |(turn, _)| turn == 2;
        assert_eq!(batch.next(|one| !is_busy_again(one), all), Some(30));
        assert_eq!(batch.next(|_| true, std::iter::empty), None);
    }
}
