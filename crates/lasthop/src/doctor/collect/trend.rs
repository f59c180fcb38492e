//! What changes: a few groups read again within a second, and one snapshot continued by the next.
//!
//! A count says how much is used; only several say when it will be used up, and only two readings of a counter say that
//! something goes wrong now and not last year.

use std::collections::HashMap;
use std::net::SocketAddr;

use lasthop_ports::Sample;
use lasthop_ports::snapshot::{CountersBefore, Group, GroupKey, SAMPLES_MAX, Snapshot};

use super::{Reading, now_ms, settings, tcp};

/// Groups that are worth a second look: each place they lead to costs a walk over the kernel's table.
pub const RESAMPLED_GROUPS_MAX: usize = 3;

/// Reads the groups `keys` of a reading again, at most [`RESAMPLED_GROUPS_MAX`] of them: their counts are then those of
/// now, with one more sample. What cannot be read stays as it was.
pub fn resample(reading: &mut Reading, keys: &[GroupKey]) {
    let keys = keys.get(..RESAMPLED_GROUPS_MAX).unwrap_or(keys);
    let snapshot = &mut reading.snapshot;
    let mut destinations: Vec<SocketAddr> = keys.iter().map(|key| key.destination).collect();
    destinations.sort_unstable();
    destinations.dedup();
    for destination in destinations {
        let read = tcp::connections_to(&snapshot.listeners, snapshot.ports.as_ref(), destination);
        let Ok(counts) = read else {
            continue;
        };
        let at_ms = now_ms();
        for key in keys.iter().filter(|key| key.destination == destination) {
            let seen = counts.groups.iter().find(|(group, _)| group.key == *key);
            let seen = seen.map(|(group, _)| group);
            if let Some(group) = snapshot.groups.iter_mut().find(|one| one.key == *key) {
                note_again(group, seen, at_ms);
            }
        }
        snapshot.taken_ms = snapshot.taken_ms.max(at_ms);
    }
}

/// What leads to a place is all that was listed: connections that the app closed first are at its end, and stay as they
/// were counted.
fn note_again(group: &mut Group, seen: Option<&Group>, at_ms: u64) {
    let empty = Group::empty(group.key);
    let seen = seen.unwrap_or(&empty);
    group.states = seen.states;
    group.time_wait = seen.time_wait;
    group.time_wait_held = seen.time_wait_held;
    group.outside_range = seen.outside_range;
    group.even_ports = seen.even_ports;
    group.odd_ports = seen.odd_ports;
    let sample = Sample {
        at_ms,
        used: group.used(),
    };
    append(&mut group.recent, &[sample]);
}

/// Reads counters and queues once more, so that those that rise show; they were read before at `first_ms`.
pub(in crate::doctor) fn recount(reading: &mut Reading, first_ms: u64) {
    let snapshot = &mut reading.snapshot;
    let now = now_ms();
    if let Some(counters) = settings::counters() {
        snapshot.counters_before = Some(CountersBefore {
            before_ms: now.saturating_sub(first_ms),
            counters: snapshot.counters,
        });
        snapshot.counters = counters;
        snapshot.taken_ms = snapshot.taken_ms.max(now);
    }
    let Ok(listening) = tcp::listeners() else {
        return;
    };
    let mut again: HashMap<(SocketAddr, bool), _> = listening
        .listeners
        .into_iter()
        .map(|(listener, _)| ((listener.address, listener.v6only), listener))
        .collect();
    for listener in &mut snapshot.listeners {
        if let Some(now) = again.remove(&(listener.address, listener.v6only)) {
            listener.drops_before = listener.drops;
            listener.drops = now.drops;
            listener.queue = now.queue;
            listener.backlog = now.backlog;
        }
    }
}

/// Has `snapshot` know what `earlier`, of the same namespace, had seen: the samples of its groups, its counters, what its
/// listeners had dropped, where it has not looked twice itself. Where the clock went back nothing of it fits, and nothing
/// is taken.
pub(in crate::doctor) fn continue_from(snapshot: &mut Snapshot, earlier: &Snapshot) {
    let Some(before_ms) = snapshot.taken_ms.checked_sub(earlier.taken_ms) else {
        return;
    };
    let groups: HashMap<GroupKey, &Group> =
        earlier.groups.iter().map(|one| (one.key, one)).collect();
    for group in &mut snapshot.groups {
        if let Some(before) = groups.get(&group.key) {
            let ours = std::mem::replace(&mut group.recent, before.recent.clone());
            append(&mut group.recent, &ours);
        }
    }
    if snapshot.counters_before.is_some() {
        return;
    }
    snapshot.counters_before = Some(CountersBefore {
        before_ms,
        counters: earlier.counters,
    });
    let drops: HashMap<_, _> = earlier
        .listeners
        .iter()
        .map(|one| ((one.address, one.v6only), one.drops))
        .collect();
    for listener in &mut snapshot.listeners {
        let before = drops.get(&(listener.address, listener.v6only)).copied();
        // Fewer than before: another listener, which has taken the place of that one.
        listener.drops_before = before.flatten().filter(|one| Some(*one) <= listener.drops);
    }
}

/// Samples in the order of time, the last [`SAMPLES_MAX`] of them.
fn append(recent: &mut Vec<Sample>, more: &[Sample]) {
    for sample in more {
        if recent.last().is_none_or(|last| last.at_ms < sample.at_ms) {
            recent.push(*sample);
        }
    }
    let superfluous = recent.len().saturating_sub(SAMPLES_MAX);
    recent.drain(..superfluous);
}

#[cfg(test)]
mod tests {
    use lasthop_ports::snapshot::Listener;

    use super::*;

    fn key() -> GroupKey {
        GroupKey {
            source: "127.0.0.1".parse().unwrap(),
            destination: "127.0.0.1:3000".parse().unwrap(),
        }
    }

    fn snapshot(at_ms: u64, used: u32) -> Snapshot {
        let mut group = Group::empty(key());
        group.states.established = used;
        group.recent.push(Sample { at_ms, used });
        let mut snapshot = Snapshot::empty(at_ms);
        snapshot.groups.push(group);
        snapshot
    }

    fn recent(snapshot: &Snapshot) -> Vec<(u64, u32)> {
        let samples = &snapshot.groups[0].recent;
        samples.iter().map(|one| (one.at_ms, one.used)).collect()
    }

    #[test]
    fn a_snapshot_goes_on_where_the_one_before_ended() {
        let mut before = snapshot(1000, 5);
        before.counters.listen_drops = Some(7);
        let mut now = snapshot(3000, 9);
        continue_from(&mut now, &before);
        assert_eq!(recent(&now), [(1000, 5), (3000, 9)]);
        let counters = now.counters_before.unwrap();
        assert_eq!(
            (counters.before_ms, counters.counters.listen_drops),
            (2000, Some(7))
        );
    }

    #[test]
    fn a_listener_that_dropped_less_than_before_is_another_one() {
        let with_drops = |at_ms, drops| {
            let mut snapshot = Snapshot::empty(at_ms);
            snapshot.listeners.push(Listener {
                address: "127.0.0.1:3000".parse().unwrap(),
                v6only: false,
                queue: 0,
                backlog: 128,
                drops: Some(drops),
                drops_before: None,
                local_clients: 0,
                remote_clients: 0,
                owners: Vec::new(),
            });
            snapshot
        };
        for (then, now, before) in [(5, 7, Some(5)), (5, 5, Some(5)), (5, 4, None)] {
            let mut later = with_drops(3000, now);
            continue_from(&mut later, &with_drops(1000, then));
            assert_eq!(later.listeners[0].drops_before, before, "{then} {now}");
        }
    }

    #[test]
    fn a_clock_that_went_back_ends_a_series() {
        let mut now = snapshot(3000, 9);
        continue_from(&mut now, &snapshot(4000, 5));
        assert_eq!(recent(&now), [(3000, 9)]);
        assert_eq!(now.counters_before, None);
    }

    #[test]
    fn a_series_has_a_bound() {
        let mut now = snapshot(0, 0);
        for at_ms in 1..=500 {
            let mut next = snapshot(at_ms, 1);
            continue_from(&mut next, &now);
            now = next;
        }
        let all = recent(&now);
        assert_eq!(all.len(), SAMPLES_MAX);
        assert_eq!(all.last(), Some(&(500, 1)));
    }

    #[test]
    fn a_group_that_is_read_again_has_the_counts_of_now() {
        let mut group = snapshot(1000, 5).groups.remove(0);
        group.time_wait_at_app = 3;
        note_again(&mut group, None, 1200);
        assert_eq!((group.used(), group.time_wait_at_app), (0, 3));
        assert_eq!(group.recent.len(), 2);
    }
}
