//! Failures that repeat: the first is logged, the others are counted, and the count is logged now and
//! then. A thousand failures a second must neither fill a disk nor hide the one that matters.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a kind of failure stays quiet after it was logged.
const QUIET: Duration = Duration::from_secs(10);

/// What a failure is, and which upstream it concerns (an index): what makes two of them the same.
type Key = (&'static str, Option<usize>);

/// One worker's repeated failures. Bounded: the kinds are a fixed list, the upstreams configured.
#[derive(Debug, Default)]
pub struct Repeats(RefCell<HashMap<Key, Seen>>);

#[derive(Debug)]
struct Seen {
    logged: Instant,
    since: u64,
}

impl Repeats {
    /// Whether to log a failure now, and if so how many of its kind went unlogged since the last time.
    pub fn admit(&self, key: Key, now: Instant) -> Option<u64> {
        let mut seen = self.0.borrow_mut();
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
            Some(seen) if now.saturating_duration_since(seen.logged) >= QUIET => {
                seen.logged = now;
                Some(std::mem::take(&mut seen.since))
            }
            Some(seen) => {
                seen.since += 1;
                None
            }
        }
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
}
