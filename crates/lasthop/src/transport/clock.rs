//! The worker's clock: read for nothing, moved on by the sweep of the connections.
//!
//! Asking the kernel costs 20 to 50 ns, several times a request. Whoever measures durations asks the kernel.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How often deadlines are looked at, and the grain of the clock.
pub const TICK: Duration = Duration::from_millis(100);

/// The worker's coarse clock: right to within one [`TICK`] while any connection is open.
#[derive(Clone, Debug)]
pub struct Clock(Rc<Cell<Instant>>);

impl Clock {
    /// A clock that shows `now` until it is set again.
    pub fn new(now: Instant) -> Self {
        Self(Rc::new(Cell::new(now)))
    }

    /// The time at the last tick.
    pub fn now(&self) -> Instant {
        self.0.get()
    }

    /// Moves the clock on.
    pub fn set(&self, now: Instant) {
        self.0.set(now);
    }
}
