//! Failures that repeat: the first is logged, the others are counted, and the count is logged now and
//! then. A thousand failures a second must neither fill a disk nor hide the one that matters.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How long a kind of failure stays quiet after it was logged.
const QUIET: Duration = Duration::from_secs(10);

/// The same for shortages of our own: they last, and what would help is said with the first.
const QUIET_SHORTAGE: Duration = Duration::from_secs(60);

/// The kinds that are such shortages.
const SHORTAGES: [&str; 4] = ["source_ports", "backlog", "descriptors", "max_connections"];

fn quiet(kind: &str) -> Duration {
    if SHORTAGES.contains(&kind) {
        QUIET_SHORTAGE
    } else {
        QUIET
    }
}

/// What a failure is, and which upstream it concerns (an index): what makes two of them the same.
pub type FailureKey = (&'static str, Option<usize>);

/// The process's repeated failures, shared by all workers: a clone is another hand on the same count.
/// The lock is touched only when something fails. Bounded: the kinds are a fixed list, the upstreams
/// configured.
#[derive(Clone, Debug, Default)]
pub struct Repeats(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<HashMap<FailureKey, Seen>>,
    /// Rung by the first failure of a kind that goes unlogged.
    bell: Notify,
}

#[derive(Debug)]
struct Seen {
    logged: Instant,
    since: u64,
}

impl Repeats {
    /// Whether to log a failure now, and if so how many of its kind went unlogged since the last time.
    pub fn admit(&self, key: FailureKey, now: Instant) -> Option<u64> {
        let mut seen = self.lock();
        match seen.get_mut(&key) {
            None => {
                seen.insert(
                    key,
                    Seen {
                        logged: now,
                        since: 0,
                    },
                );
                Some(0)
            }
            // Workers' clocks are coarse, each in its own way: `now` may be before `logged`.
            Some(seen) if now.saturating_duration_since(seen.logged) >= quiet(key.0) => {
                seen.logged = now;
                Some(std::mem::take(&mut seen.since))
            }
            Some(seen) => {
                seen.since += 1;
                if seen.since == 1 {
                    self.0.bell.notify_one();
                }
                None
            }
        }
    }

    /// Returns once any failure has gone unlogged. For one who waits.
    pub async fn unlogged(&self) {
        while self.lock().values().all(|seen| seen.since == 0) {
            self.0.bell.notified().await;
        }
    }

    /// The kinds that have been quiet for long enough and the failures of each that went unlogged:
    /// to be asked every second or so while there are any, and logged. So what failures leave uncounted when they stop
    /// is told as well.
    pub fn due(&self, now: Instant) -> Vec<(FailureKey, u64)> {
        self.take(|kind, seen| {
            let due = now.saturating_duration_since(seen.logged) >= quiet(kind);
            due.then(|| seen.logged = now).is_some()
        })
    }

    /// Everything unlogged, due or not: at the end of the process.
    pub fn rest(&self) -> Vec<(FailureKey, u64)> {
        self.take(|_, _| true)
    }

    fn take(&self, mut is_due: impl FnMut(&str, &mut Seen) -> bool) -> Vec<(FailureKey, u64)> {
        let mut all = self.lock();
        let unlogged = all.iter_mut().filter(|(_, seen)| seen.since > 0);
        let mut due: Vec<_> = unlogged
            .filter_map(|(key, seen)| {
                is_due(key.0, seen).then(|| (*key, std::mem::take(&mut seen.since)))
            })
            .collect();
        // The map's order changes from start to start; a log's should not.
        due.sort_unstable();
        due
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<FailureKey, Seen>> {
        // A count that a panic interrupted is a count all the same.
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_logged_at_once_and_the_rest_as_a_count() {
        let repeats = Repeats::default();
        let start = Instant::now();
        assert_eq!(repeats.admit(("refused", Some(0)), start), Some(0));
        for _ in 0..7 {
            assert_eq!(repeats.admit(("refused", Some(0)), start), None);
        }
        assert_eq!(
            repeats.admit(("missing", Some(0)), start),
            Some(0),
            "another kind"
        );
        assert_eq!(
            repeats.admit(("refused", Some(1)), start),
            Some(0),
            "another upstream"
        );
        assert_eq!(repeats.admit(("refused", Some(0)), start + QUIET), Some(7));
        assert_eq!(
            repeats.admit(("refused", Some(0)), start + 2 * QUIET),
            Some(0)
        );
    }

    #[test]
    fn shortages_are_told_once_a_minute() {
        let repeats = Repeats::default();
        let start = Instant::now();
        let key = ("source_ports", Some(0));
        assert_eq!(repeats.admit(key, start), Some(0));
        assert_eq!(repeats.admit(key, start + QUIET), None);
        assert_eq!(repeats.due(start + QUIET), []);
        assert_eq!(repeats.admit(key, start + QUIET_SHORTAGE), Some(1));
    }

    #[test]
    fn workers_count_together() {
        let repeats = Repeats::default();
        let other = repeats.clone();
        let now = Instant::now();
        assert_eq!(repeats.admit(("refused", None), now), Some(0));
        assert_eq!(other.admit(("refused", None), now), None);
        assert_eq!(repeats.admit(("refused", None), now), None);
        assert_eq!(other.due(now + QUIET), [(("refused", None), 2)]);
        assert_eq!(repeats.due(now + QUIET), []);
    }

    #[test]
    fn what_is_uncounted_when_failures_stop_is_told_once_it_is_due() {
        let repeats = Repeats::default();
        let start = Instant::now();
        let (refused, missing) = (("refused", Some(0)), ("missing", Some(0)));
        for _ in 0..3 {
            repeats.admit(refused, start);
        }
        let later = start + QUIET / 2;
        repeats.admit(missing, later);
        repeats.admit(missing, later);
        assert_eq!(repeats.due(later), []);
        assert_eq!(repeats.due(start + QUIET), [(refused, 2)]);
        assert_eq!(repeats.due(start + QUIET), []);
        assert_eq!(
            repeats.admit(refused, start + QUIET),
            None,
            "it was logged just now"
        );
        assert_eq!(repeats.rest(), [(missing, 1), (refused, 1)]);
        assert_eq!(repeats.rest(), []);
        assert_eq!(repeats.admit(refused, start + 2 * QUIET), Some(0));
    }

    #[tokio::test]
    async fn whoever_waits_for_something_untold_is_woken_by_the_first() {
        let repeats = Repeats::default();
        let now = Instant::now();
        repeats.admit(("refused", None), now);
        let mut unlogged = std::pin::pin!(repeats.unlogged());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(unlogged.as_mut().poll(&mut cx).is_pending());
        repeats.admit(("refused", None), now);
        unlogged.await;
        repeats.unlogged().await;
        repeats.rest();
        let mut unlogged = std::pin::pin!(repeats.unlogged());
        assert!(unlogged.as_mut().poll(&mut cx).is_pending(), "it is told");
    }
}
