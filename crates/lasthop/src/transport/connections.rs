//! The worker's table of client connections: who is there, until when it may wait, and how to wake it.
//!
//! A timer of its own for every connection would be armed and disarmed several times a request,
//! and cost more memory than the connection's own state. Instead each connection writes its
//! deadline into its row, with the worker's coarse clock, and one sweep every [`TICK`] wakes those
//! whose time is up. So a deadline is never early and at most two ticks late, and setting one is a
//! store. The same rows let a drain wake everybody.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;
use tokio::sync::Notify;

/// How often deadlines are looked at, and the grain of the worker's clock.
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

/// Why a connection was woken although none of its sockets moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The deadline it set has passed.
    Deadline,
    /// The worker drains: finish what is begun and leave.
    Drain,
}

/// One worker's connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connections(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    rows: RefCell<Slab<Row>>,
    clock: Clock,
    draining: Cell<bool>,
    occupied: Notify,
    emptied: Notify,
    /// Read by the acceptor that looks for the least loaded worker; written only here, and only
    /// when a connection comes or goes.
    count: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Row {
    due: Option<Instant>,
    waker: Option<Waker>,
}

impl Connections {
    /// An empty table that publishes its size in `count`.
    pub fn new(clock: Clock, count: Arc<AtomicUsize>) -> Self {
        Self(Rc::new(Inner {
            rows: RefCell::new(Slab::new()),
            clock,
            draining: Cell::new(false),
            occupied: Notify::new(),
            emptied: Notify::new(),
            count,
        }))
    }

    /// Enters a connection; it leaves when the guard is dropped.
    pub fn enter(&self) -> Watch {
        let mut rows = self.0.rows.borrow_mut();
        if rows.is_empty() {
            // The sweep sleeps while the table is empty, so the clock may have stood still.
            self.0.clock.set(Instant::now());
            self.0.occupied.notify_one();
        }
        let key = rows.insert(Row {
            due: None,
            waker: None,
        });
        self.0.count.store(rows.len(), Ordering::Relaxed);
        Watch {
            table: self.clone(),
            key,
        }
    }

    /// Connections open now.
    pub fn len(&self) -> usize {
        self.0.rows.borrow().len()
    }

    /// Whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The clock that deadlines are set by.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Whether [`Connections::drain`] has been called.
    pub fn is_draining(&self) -> bool {
        self.0.draining.get()
    }

    /// Asks every connection to finish and leave; those that wait are woken.
    pub fn drain(&self) {
        self.0.draining.set(true);
        let wakers: Vec<Waker> = self
            .0
            .rows
            .borrow_mut()
            .iter_mut()
            .filter_map(|(_, row)| row.waker.take())
            .collect();
        // Woken outside the borrow: a waker may run code of its own.
        for waker in wakers {
            waker.wake();
        }
    }

    /// Moves the clock to `now` and wakes the connections whose deadline has passed.
    pub fn sweep(&self, now: Instant) {
        self.0.clock.set(now);
        let mut late = Vec::new();
        for (_, row) in self.0.rows.borrow_mut().iter_mut() {
            if row.due.is_some_and(|due| due <= now) {
                late.extend(row.waker.take());
            }
        }
        for waker in late {
            waker.wake();
        }
    }

    /// Sweeps every [`TICK`] while there is a connection, and costs nothing while there is none.
    ///
    /// `each_tick` is called after each sweep with the time, for what else ages in this worker.
    pub async fn keep_sweeping(&self, mut each_tick: impl FnMut(Instant) -> bool) {
        loop {
            let mut busy = true;
            while busy || !self.is_empty() {
                tokio::time::sleep(TICK).await;
                let now = Instant::now();
                self.sweep(now);
                busy = each_tick(now);
            }
            self.0.occupied.notified().await;
        }
    }

    /// Returns once no connection is left.
    pub async fn empty(&self) {
        while !self.is_empty() {
            self.0.emptied.notified().await;
        }
    }
}

/// A connection's row in the table: its deadline and its way to be woken.
#[derive(Debug)]
pub struct Watch {
    table: Connections,
    key: usize,
}

impl Watch {
    /// Sets the deadline to `timeout` from now, replacing the one before. Never early: one tick is
    /// added for the grain of the clock.
    pub fn due_in(&self, timeout: Duration) {
        let due = self.table.0.clock.now() + timeout + TICK;
        self.table.0.rows.borrow_mut()[self.key].due = Some(due);
    }

    /// The time by the worker's coarse clock.
    pub fn now(&self) -> Instant {
        self.table.0.clock.now()
    }

    /// Whether the worker drains.
    pub fn is_draining(&self) -> bool {
        self.table.is_draining()
    }

    /// Ready once the deadline has passed; otherwise sees to it that the task is woken then.
    pub fn poll_deadline(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut rows = self.table.0.rows.borrow_mut();
        let row = &mut rows[self.key];
        if row.due.is_some_and(|due| due <= self.table.0.clock.now()) {
            return Poll::Ready(());
        }
        match &row.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => row.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Ready once the deadline has passed or the worker drains.
    pub fn poll_interrupt(&self, cx: &mut Context<'_>) -> Poll<Interrupt> {
        if self.table.is_draining() {
            return Poll::Ready(Interrupt::Drain);
        }
        self.poll_deadline(cx).map(|()| Interrupt::Deadline)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let inner = &self.table.0;
        let mut rows = inner.rows.borrow_mut();
        rows.remove(self.key);
        inner.count.store(rows.len(), Ordering::Relaxed);
        if rows.is_empty() {
            // A worker that served ten thousand clients gives their rows back.
            rows.shrink_to_fit();
            inner.emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(now: Instant) -> Connections {
        Connections::new(Clock::new(now), Arc::new(AtomicUsize::new(0)))
    }

    fn noop() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn a_deadline_is_never_early_and_at_most_two_ticks_late() {
        let connections = table(Instant::now());
        let watch = connections.enter();
        let start = watch.now();
        watch.due_in(Duration::from_secs(1));
        connections.sweep(start + Duration::from_secs(1));
        assert!(
            watch.poll_deadline(&mut noop()).is_pending(),
            "one tick of grain is added"
        );
        connections.sweep(start + Duration::from_secs(1) + TICK);
        assert!(watch.poll_deadline(&mut noop()).is_ready());
    }

    #[test]
    fn a_connection_that_leaves_is_counted_out() {
        let connections = table(Instant::now());
        let first = connections.enter();
        let second = connections.enter();
        assert_eq!(connections.len(), 2);
        drop(first);
        drop(second);
        assert!(connections.is_empty());
        assert_eq!(connections.0.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_drain_interrupts_those_who_wait() {
        let connections = table(Instant::now());
        let watch = connections.enter();
        assert!(watch.poll_interrupt(&mut noop()).is_pending());
        connections.drain();
        assert_eq!(
            watch.poll_interrupt(&mut noop()),
            Poll::Ready(Interrupt::Drain)
        );
    }
}
