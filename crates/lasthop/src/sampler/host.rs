//! The host at a point: one look, with what was seen before, judged, and the owners of what is new looked for.

use std::time::{Duration, Instant};

use lasthop_ports::snapshot::{GroupKey, PlainHolders, Snapshot};
use lasthop_ports::{Forecast, Sample, diagnose, forecast};

use super::sampled::{Latest, Sampled};
use crate::doctor::{self, Depth, Examination, Memory, OwnerSearch};

/// How often it is looked for who holds ports by a plain bind(2), which takes five more walks over the kernel's table;
/// meanwhile it is taken to be as it was.
const HOLDERS_EVERY: Duration = Duration::from_secs(300);

/// Where a look takes longer than this, it is not looked for at all: with the rest that it would cost, everything else would
/// become old. `lasthop doctor` looks for it.
const HOLDERS_LOOK_MAX: Duration = Duration::from_millis(20);

/// Nobody waits for owners here or watches them, so less is spent on them than elsewhere. It counts as a cost of the look:
/// after a search of 0.1 s the next comes 15 s later.
const OWNERS: OwnerSearch = OwnerSearch {
    time_max: Duration::from_millis(100),
    age_max: Duration::from_secs(300),
};

/// How long it stays untold that the host cannot be read after it was told.
const QUIET: Duration = Duration::from_secs(3600);

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Host {
    memory: Memory,
    /// When it was looked for them, and what was found.
    holders: Option<(Instant, Option<PlainHolders>)>,
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
        self.memory.recall(&mut reading.snapshot, now);
        let forecasts = recall(&mut reading.snapshot, sampled);
        let findings = diagnose(&reading.snapshot);
        self.memory
            .name_owners(&mut reading, &findings, OWNERS, now);
        doctor::descriptors(&mut reading.snapshot);
        let mut kept = reading.snapshot.clone();
        // The history has the samples.
        for group in &mut kept.groups {
            group.recent = Vec::new();
        }
        self.memory.keep(kept);
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
