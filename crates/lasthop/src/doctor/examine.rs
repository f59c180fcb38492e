//! The whole of a visit: read, judge, look for owners, judge again.

use std::path::Path;
use std::time::{Duration, Instant};

use lasthop_ports::finding::Finding;
use lasthop_ports::snapshot::{GroupKey, Namespace, Snapshot};
use lasthop_ports::{Severity, diagnose};

use super::collect::{self, Depth, RESAMPLED_GROUPS_MAX, Reading, collect, resample};
use super::memory::{Memory, OwnerSearch};
use super::{owners, sockets};

/// Between two looks at the fullest groups, when there was no earlier reading to tell a trend from.
const LOOK_PERIOD: Duration = Duration::from_millis(200);

/// Such looks after the first reading. With the wait between them they make the second that an answer may take.
const LOOKS: u32 = 5;

/// Fewer of them make no trend ([`forecast`](lasthop_ports::forecast())), so none of them is begun that cannot have as many.
const LOOKS_MIN: u32 = 4;

/// From the beginning of the visit to the end of the last look: a host where one takes long has many sockets, and wants
/// its answer within two seconds all the same.
const LOOKS_TIME_MAX: Duration = Duration::from_millis(1400);

/// A snapshot and the judgement of it.
#[derive(Clone, Debug)]
pub struct Examination {
    /// What was seen.
    pub snapshot: Snapshot,
    /// What is wrong with it, the worst first.
    pub findings: Vec<Finding>,
}

impl Examination {
    /// The judgement of a snapshot that is as whole as it will be: a recording.
    #[must_use]
    pub fn of(snapshot: Snapshot) -> Self {
        let findings = diagnose(&snapshot);
        Self { snapshot, findings }
    }

    /// The worst severity; none where there are no findings.
    #[must_use]
    pub fn severity(&self) -> Option<Severity> {
        diagnose::worst(&self.findings)
    }
}

/// What is known before a visit.
#[derive(Debug, Default)]
pub struct Background<'a> {
    /// The namespace, where it is not the reader's own; its number is found out.
    pub namespace: Option<&'a Namespace>,
    /// What visits before have seen, where there will be others. As long as there is nothing in it, a second is spent on
    /// finding out what changes.
    pub memory: Option<&'a mut Memory>,
    /// A configuration of lasthop whose Unix targets are looked at, besides those of proxies that run.
    pub config: Option<&'a Path>,
}

/// Examines the network namespace of the calling thread. Takes less than two seconds where there was no visit
/// before, the cost of one reading and of a search for owners otherwise.
#[must_use]
pub fn examine(background: Background<'_>) -> Examination {
    let begun = Instant::now();
    let mut no_memory = Memory::default();
    let memory = background.memory.unwrap_or(&mut no_memory);
    let mut reading = collect(Depth::Whole);
    if let Some(namespace) = background.namespace {
        reading.snapshot.namespace.pid = namespace.pid;
        reading.snapshot.namespace.name.clone_from(&namespace.name);
    }
    let is_first = memory.is_empty();
    memory.recall(&mut reading.snapshot, begun);
    if is_first {
        look_on(&mut reading, begun);
    }
    // Another namespace has other files too, as a rule.
    if background.namespace.is_none() {
        sockets::look(&mut reading, background.config);
    }
    let findings = diagnose(&reading.snapshot);
    memory.name_owners(&mut reading, &findings, OwnerSearch::WATCHED, begun);
    owners::descriptors(&mut reading.snapshot);
    memory.keep(reading.snapshot.clone());
    Examination::of(reading.snapshot)
}

/// Looks at the fullest groups for a second, and at what the kernel counts before and after.
fn look_on(reading: &mut Reading, begun: Instant) {
    let first_ms = reading.snapshot.taken_ms;
    let groups = reading.snapshot.groups.iter();
    let keys: Vec<GroupKey> = groups
        .map(|group| group.key)
        .take(RESAMPLED_GROUPS_MAX)
        .collect();
    let first = Instant::now();
    let mut cost = Duration::ZERO;
    for taken in 0..LOOKS {
        if !is_worth_it(taken, cost, LOOKS_TIME_MAX.saturating_sub(begun.elapsed())) {
            break;
        }
        let due = first + LOOK_PERIOD * (taken + 1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let look = Instant::now();
        resample(reading, &keys);
        cost = look.elapsed();
    }
    collect::recount(reading, first_ms);
}

/// Whether one more look, after so many of which the last took `cost`, is in time and helps: those that a trend still
/// lacks have to fit into the time that is left as well.
fn is_worth_it(taken: u32, cost: Duration, left: Duration) -> bool {
    let lacking = LOOKS_MIN.saturating_sub(taken).max(1);
    LOOK_PERIOD.max(cost) * lacking <= left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_taken_only_as_long_as_they_can_become_a_trend() {
        let ms = Duration::from_millis;
        for (taken, cost, left, expected) in [
            // A small host: five of them in a second.
            (0, 0, 1390, true),
            (4, 1, 580, true),
            // A first reading that took long, or a look that does.
            (0, 0, 700, false),
            (1, 300, 850, false),
            (1, 300, 950, true),
            // With four of them there is a trend; a fifth is welcome where there is time.
            (4, 300, 310, true),
            (4, 300, 290, false),
        ] {
            let told = is_worth_it(taken, ms(cost), ms(left));
            assert_eq!(
                told, expected,
                "{taken} taken, {cost} ms each, {left} ms left"
            );
        }
    }
}
