//! The worker's clock: read for nothing, moved on by the sweep of the connections.
//!
//! Asking the kernel costs 20 to 50 ns, several times a request. Whoever measures durations asks the kernel.
//!
//! It ticks while somebody asks it the time. After a tick in which nobody did it stands still, so that a worker with nothing
//! to do can sleep for as long as no deadline is due; whoever asks next gets the kernel's time and sets it going again. So
//! what begins to age by this clock is never missed by the sweep.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How often deadlines are looked at while anything happens, and the grain of the clock.
pub const TICK: Duration = Duration::from_millis(100);

/// The worker's coarse clock: whoever asks it gets a time that was right within the last [`TICK`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    now: Cell<Instant>,
    hand: Cell<Hand>,
    started: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hand {
    /// Somebody has asked since the last tick.
    Asked,
    /// Nobody has.
    Unasked,
    /// It stands still until somebody does.
    Stopped,
}

impl Clock {
    /// A clock that shows `now` until the next tick.
    pub fn new(now: Instant) -> Self {
        Self(Rc::new(Inner {
            now: Cell::new(now),
            hand: Cell::new(Hand::Unasked),
            started: Notify::new(),
        }))
    }

    /// The time at the last tick, or at the first question after it stood still.
    pub fn now(&self) -> Instant {
        self.wind();
        self.0.now.get()
    }

    /// Sees to it that a tick comes, for those who wait for one and need no time.
    pub fn wind(&self) {
        if self.0.hand.get() != Hand::Asked {
            self.set_going();
        }
    }

    /// Once a tick, so it stays out of the way of all the others.
    #[cold]
    fn set_going(&self) {
        if self.0.hand.replace(Hand::Asked) == Hand::Stopped {
            self.0.now.set(Instant::now());
            self.0.started.notify_one();
        }
    }

    /// Moves the clock on. Returns whether somebody has asked since the tick before.
    pub fn tick(&self, now: Instant) -> bool {
        self.0.now.set(now);
        self.0.hand.replace(Hand::Unasked) == Hand::Asked
    }

    /// Moves the clock on within a tick, for those who run before the next.
    pub(super) fn catch_up(&self, now: Instant) {
        self.0.now.set(now);
    }

    /// Lets the clock stand still until somebody asks; `false` if somebody has since the last tick.
    pub(super) fn stop(&self) -> bool {
        if self.0.hand.get() == Hand::Asked {
            return false;
        }
        self.0.hand.set(Hand::Stopped);
        true
    }

    /// Returns once somebody has asked a clock that stood still.
    pub(super) async fn started(&self) {
        self.0.started.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_the_last_tick_and_knows_whether_somebody_has_asked() {
        let start = Instant::now();
        let clock = Clock::new(start);
        assert_eq!(clock.now(), start);
        assert!(clock.tick(start + TICK));
        assert!(!clock.tick(start + 2 * TICK), "nobody has");
        assert_eq!(clock.now(), start + 2 * TICK);
        assert!(!clock.stop(), "somebody has");
        assert!(clock.tick(start + 3 * TICK));
    }

    #[tokio::test]
    async fn a_clock_that_stands_still_is_set_right_and_going_by_whoever_asks() {
        let before = Instant::now();
        let long_ago = before.checked_sub(1000 * TICK).unwrap();
        let clock = Clock::new(long_ago);
        clock.tick(long_ago);
        assert!(clock.stop());
        assert!(clock.now() >= before);
        clock.started().await;
        let first = clock.now();
        assert_eq!(clock.now(), first, "it does not ask the kernel again");
        assert!(!clock.stop());
    }
}
