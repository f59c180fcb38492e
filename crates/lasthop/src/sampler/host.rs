//! The host at a point: one look, with what was seen before, judged, and the owners of what is new looked for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lasthop_ports::finding::{Code, Finding, Subject};
use lasthop_ports::snapshot::{GroupKey, PlainHolders, Snapshot};
use lasthop_ports::{Forecast, Sample, diagnose, forecast};

use super::sampled::{Latest, Sampled};
use crate::doctor::{self, Depth, Examination, Reading};

/// Counters are compared with those of so long ago at least: a queue that overflows a few times a minute is a finding all
/// the time and not now and then.
const COMPARED_WITH: Duration = Duration::from_secs(30);

/// How often it is looked for who holds ports by a plain bind(2), which takes five more walks over the kernel's table;
/// meanwhile it is taken to be as it was.
const HOLDERS_EVERY: Duration = Duration::from_secs(300);

/// Where a look takes longer than this, it is not looked for at all: with the rest that it would cost, everything else would
/// become old. `lasthop doctor` looks for it.
const HOLDERS_LOOK_MAX: Duration = Duration::from_millis(20);

/// How long the owners of new findings may be looked for. It counts as a cost of the look, so the next comes 15 s later.
const OWNERS_TIME_MAX: Duration = Duration::from_millis(100);

/// After so long they are looked for again: processes come and go, and one that was not found may be found.
const OWNERS_AGE_MAX: Duration = Duration::from_secs(300);

/// How long it stays untold that the host cannot be read after it was told.
const QUIET: Duration = Duration::from_secs(3600);

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// Snapshots whose counters are compared with: the second will replace the first once it is old enough.
    before: [Option<(Instant, Snapshot)>; 2],
    /// When it was looked for them, and what was found.
    holders: Option<(Instant, Option<PlainHolders>)>,
    /// Of which findings owners were looked for, and when.
    searched: HashMap<(Code, Subject), Instant>,
    /// What could not be seen then.
    hidden: Vec<String>,
    /// When it was told that the host cannot be read.
    told: Option<Instant>,
}

impl Host {
    /// Looks at the network namespace that this process is in. `cost` is that of the look before; none before the first.
    pub(super) fn look(
        &mut self,
        sampled: &Sampled,
        now: Instant,
        cost: Option<Duration>,
    ) -> Latest {
        let are_old = self
            .holders
            .as_ref()
            .is_none_or(|(read, _)| now >= *read + HOLDERS_EVERY);
        let holders_due = are_old && cost.is_some_and(|cost| cost <= HOLDERS_LOOK_MAX);
        let mut reading = doctor::collect(if holders_due {
            Depth::Whole
        } else {
            Depth::Sampling
        });
        self.tell_if_blind(&reading.snapshot, now);
        self.keep_holders(&mut reading.snapshot, holders_due, now);
        self.compare(&mut reading.snapshot, now);
        let forecasts = recall(&mut reading.snapshot, sampled);
        let latest = sampled.latest();
        if let Some(latest) = &latest {
            doctor::carry_over(&mut reading.snapshot, &latest.examination.snapshot);
        }
        let findings = diagnose(&reading.snapshot);
        self.name_owners(&mut reading, findings, now);
        Latest {
            examination: Examination::of(reading.snapshot),
            forecasts,
        }
    }

    fn tell_if_blind(&mut self, snapshot: &Snapshot, now: Instant) {
        if snapshot.sockets.is_some() || self.told.is_some_and(|told| now < told + QUIET) {
            return;
        }
        self.told = Some(now);
        tracing::warn!(
            unseen = ?snapshot.unseen,
            "the host's sockets cannot be listed: findings and history are without them"
        );
    }

    fn keep_holders(&mut self, snapshot: &mut Snapshot, are_read: bool, now: Instant) {
        if are_read {
            self.holders = Some((now, snapshot.plain_holders.clone()));
        } else if let Some((read, holders)) = &self.holders
            && now < *read + 2 * HOLDERS_EVERY
        {
            snapshot.plain_holders.clone_from(holders);
        }
    }

    /// Has the snapshot know what the kernel had counted some time ago, and remembers it for later.
    fn compare(&mut self, snapshot: &mut Snapshot, now: Instant) {
        let is_old = |before: &Option<(Instant, Snapshot)>| {
            before
                .as_ref()
                .is_some_and(|(taken, _)| now >= *taken + COMPARED_WITH)
        };
        if is_old(&self.before[1]) {
            self.before.swap(0, 1);
            self.before[1] = None;
        }
        if self.before[1].is_none() {
            let mut kept = snapshot.clone();
            // Only counters and listeners are compared.
            kept.groups.clear();
            let free = usize::from(self.before[0].is_some());
            self.before[free] = Some((now, kept));
        }
        if let Some((taken, before)) = &self.before[0]
            && *taken < now
        {
            doctor::continue_from(snapshot, before);
        }
    }

    /// Looks for the owners of what is new among the findings, or was looked for long ago.
    fn name_owners(&mut self, reading: &mut Reading, findings: Vec<Finding>, now: Instant) {
        let key = |finding: &Finding| (finding.code, finding.subject.clone());
        let current: HashMap<_, _> = findings
            .iter()
            .filter_map(|finding| self.searched.remove_entry(&key(finding)))
            .filter(|(_, searched)| now < *searched + OWNERS_AGE_MAX)
            .collect();
        self.searched = current;
        if self.searched.is_empty() {
            self.hidden.clear();
        }
        let (_, new): (Vec<_>, Vec<_>) = findings
            .into_iter()
            .partition(|finding| self.searched.contains_key(&key(finding)));
        let unseen = &mut reading.snapshot.unseen;
        if new.is_empty() {
            // Nobody looked, and it is as hidden as it was.
            unseen.extend(self.hidden.iter().cloned());
        } else {
            let seen_until_here = unseen.len();
            doctor::name_owners(reading, &new, OWNERS_TIME_MAX);
            self.hidden = reading.snapshot.unseen.split_off(seen_until_here);
            reading.snapshot.unseen.extend(self.hidden.iter().cloned());
            self.searched
                .extend(new.iter().map(|finding| (key(finding), now)));
        }
        doctor::descriptors(&mut reading.snapshot);
    }
}

/// Has each group know its earlier readings, and says which will meet their limit.
fn recall(snapshot: &mut Snapshot, sampled: &Sampled) -> Vec<(GroupKey, Forecast)> {
    let limit = snapshot.port_limit();
    let now_ms = snapshot.taken_ms;
    sampled.history(|history| {
        for group in &mut snapshot.groups {
            let mut recent = history.samples(&group.key);
            // After the clock was set back they are of another time.
            recent.retain(|sample| sample.at_ms < now_ms);
            recent.push(Sample {
                at_ms: now_ms,
                used: group.used(),
            });
            group.recent = recent;
        }
    });
    let Some(limit) = limit else {
        return Vec::new();
    };
    let rising = snapshot.groups.iter().filter_map(|group| {
        let forecast = forecast(&group.recent, limit)?;
        Some((group.key, forecast))
    });
    rising.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_compared_with_those_of_half_a_minute_ago_or_the_first() {
        let begun = Instant::now();
        let mut host = Host::default();
        let mut compared = Vec::new();
        for (second, overflows) in [(0, 5), (2, 6), (4, 6), (32, 6), (34, 6)] {
            let mut snapshot = Snapshot::empty(1_000_000 + second * 1_000);
            snapshot.counters.listen_overflows = Some(overflows);
            host.compare(&mut snapshot, begun + Duration::from_secs(second));
            compared.push(snapshot.counters_before.map(|before| {
                let overflows = before.counters.listen_overflows;
                (before.before_ms, overflows)
            }));
        }
        let expected = [
            None,
            Some((2_000, Some(5))),
            Some((4_000, Some(5))),
            Some((30_000, Some(6))),
            Some((32_000, Some(6))),
        ];
        assert_eq!(compared, expected);
    }
}
