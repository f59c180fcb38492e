//! What is remembered of a network namespace from one look at it to the next.
//!
//! A single look knows no change: a queue that overflows a few times a minute would be a finding in one look and none in
//! the next, and owners would be looked for each time. So whoever looks again and again (`doctor --watch`, `top`, the
//! sampler of an instance) keeps one of these for each namespace. Time is an argument; what the host is asked is the
//! business of `collect` and `owners`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lasthop_ports::finding::Finding;
use lasthop_ports::snapshot::Snapshot;

use super::collect::{Reading, continue_from};
use super::owners::{self, Place};

/// Counters are compared with those of so long ago at least, or with the first ones: what overflows now and then is a
/// finding all the time.
const COMPARED_WITH: Duration = Duration::from_secs(30);

/// Where an owner is gone, the next search comes so many times the length of the last one after it: processes that live
/// for a second each shall not make a hundredth of a core of it.
const REST_FACTOR: u32 = 100;

/// How much may be spent on owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerSearch {
    /// How long one search may take.
    pub time_max: Duration,
    /// Those of a place are looked for again after this, whether they were found or not: processes come, and one that was
    /// hidden may show.
    pub age_max: Duration,
}

impl OwnerSearch {
    /// Where somebody waits for the answer, or watches.
    pub const WATCHED: Self = Self {
        time_max: Duration::from_millis(500),
        age_max: Duration::from_secs(60),
    };
}

/// What earlier looks have seen. Bounded: one snapshot, the counters and listeners of two more, and an entry for each
/// place that the latest findings ask about.
#[derive(Debug, Default)]
pub struct Memory {
    /// As the look before has left it.
    last: Option<Snapshot>,
    /// Whose counters are compared with.
    baseline: Option<(Instant, Snapshot)>,
    /// What takes its place once it is old enough.
    next_baseline: Option<(Instant, Snapshot)>,
    searched: HashMap<Place, Searched>,
    /// Until then nobody is looked for because somebody else is gone.
    rests_until: Option<Instant>,
}

/// A search for the owners of a place.
#[derive(Debug)]
struct Searched {
    at: Instant,
    /// Not every process could be looked into, and so not all of them were found.
    is_hidden: bool,
    /// One who was found is gone since.
    has_lost: bool,
}

impl Memory {
    /// Whether nothing was seen before.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Has `snapshot` know what was seen before: the counters of half a minute ago, or the first; the samples of its
    /// groups; the owners who are still there. Before it is judged.
    pub fn recall(&mut self, snapshot: &mut Snapshot, now: Instant) {
        self.compare(snapshot, now);
        let Some(last) = &self.last else {
            return;
        };
        // What knows earlier counters by now takes no others.
        continue_from(snapshot, last);
        for place in owners::carry_over(snapshot, last) {
            if let Some(searched) = self.searched.get_mut(&place) {
                searched.has_lost = true;
            }
        }
    }

    fn compare(&mut self, snapshot: &mut Snapshot, now: Instant) {
        let is_old = |(at, _): &(Instant, Snapshot)| now >= *at + COMPARED_WITH;
        if self.next_baseline.as_ref().is_some_and(is_old) {
            self.baseline = self.next_baseline.take();
        }
        if let Some((_, earlier)) = &self.baseline {
            continue_from(snapshot, earlier);
        }
        let free = if self.baseline.is_none() {
            &mut self.baseline
        } else {
            &mut self.next_baseline
        };
        if free.is_none() {
            let mut kept = Snapshot::empty(snapshot.taken_ms);
            kept.counters = snapshot.counters;
            kept.listeners.clone_from(&snapshot.listeners);
            *free = Some((now, kept));
        }
    }

    /// Looks for the owners of what `findings` are about, where that was not done yet, or long ago, or where somebody is
    /// gone since. Those that cannot be found are told as unseen, also as long as they are not looked for again.
    pub fn name_owners(
        &mut self,
        reading: &mut Reading,
        findings: &[Finding],
        search: OwnerSearch,
        now: Instant,
    ) {
        let places = owners::places(&reading.snapshot, findings);
        self.searched.retain(|place, _| places.contains(place));
        let is_due = |place: &&Place| {
            self.is_due(place, search.age_max, now) && owners::can_search(reading, place)
        };
        let due: Vec<Place> = places.iter().filter(is_due).cloned().collect();
        if !due.is_empty() {
            let begun = Instant::now();
            let hidden = owners::search(reading, &due, search.time_max);
            self.rests_until = now.checked_add(begun.elapsed() * REST_FACTOR);
            self.searched.extend(due.into_iter().map(|place| {
                let searched = Searched {
                    at: now,
                    is_hidden: hidden.contains(&place),
                    has_lost: false,
                };
                (place, searched)
            }));
        }
        let is_hidden = |place: &&Place| self.searched.get(place).is_some_and(|one| one.is_hidden);
        let hidden: Vec<&Place> = places.iter().filter(is_hidden).collect();
        owners::note_hidden(&mut reading.snapshot, &hidden);
    }

    fn is_due(&self, place: &Place, age_max: Duration, now: Instant) -> bool {
        let Some(searched) = self.searched.get(place) else {
            return true;
        };
        let has_rested = self.rests_until.is_none_or(|until| now >= until);
        now >= searched.at + age_max || searched.has_lost && has_rested
    }

    /// Remembers a snapshot that nothing is added to any more.
    pub fn keep(&mut self, snapshot: Snapshot) {
        self.last = Some(snapshot);
    }
}

#[cfg(test)]
mod tests;
