//! One connection's row in the worker's table, as the connection itself sees it.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::bulk::Bulk;
use super::clock::TICK;
use super::connections::{Connections, Phase};
use super::eviction::Evictable;
use super::slots::Slot;

/// Why a connection was woken although none of its sockets moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The deadline it set has passed.
    Deadline,
    /// The worker drains: finish what is begun and leave.
    Drain,
    /// It is to make room for a newcomer.
    Evicted,
}

/// A connection's row in the table: its deadline, whether it could make room, and its way to be woken.
#[derive(Debug)]
pub struct Watch {
    table: Connections,
    key: usize,
}

impl Watch {
    pub(super) fn new(table: Connections, key: usize) -> Self {
        Self { table, key }
    }

    /// Sets the deadline to `timeout` from now, replacing the one before. Never early: one tick is
    /// added for the grain of the clock.
    pub fn due_in(&self, timeout: Duration) {
        let due = self.table.0.clock.now() + timeout + TICK;
        self.table.0.rows.borrow_mut()[self.key].due = Some(due);
    }

    /// As [`Watch::due_in`], and from now on this connection can be asked to go for a newcomer.
    pub fn idle_for(&self, timeout: Duration) {
        self.due_in(timeout);
        self.may_go(Evictable::Idle);
    }

    /// From now on this connection can be asked to go, if nobody is idle. Told again, it changes nothing.
    pub fn is_reading(&self) {
        self.may_go(Evictable::Reading);
    }

    fn may_go(&self, which: Evictable) {
        let inner = &self.table.0;
        let row = &mut inner.rows.borrow_mut()[self.key];
        match row.phase {
            Phase::Leaving => return,
            Phase::Evictable(before) if before == which => return,
            Phase::Evictable(before) => inner.load.remove(before, row.listener),
            Phase::Busy => {}
        }
        row.turn = self.table.next_turn();
        row.phase = Phase::Evictable(which);
        inner.load.add(which, row.listener);
    }

    /// This connection has something in hand and stays. If it has just been asked to go, nobody is asked in
    /// its stead here: the only one idle may be the newcomer for whom it was to go. Whoever comes next
    /// finds the table still over its bound.
    pub fn stay(&self) {
        let inner = &self.table.0;
        let row = &mut inner.rows.borrow_mut()[self.key];
        match std::mem::replace(&mut row.phase, Phase::Busy) {
            Phase::Busy => {}
            Phase::Evictable(which) => inner.load.remove(which, row.listener),
            Phase::Leaving => inner.leaving.set(inner.leaving.get() - 1),
        }
    }

    /// Whether this connection has been asked to go.
    pub fn is_evicted(&self) -> bool {
        self.table.0.rows.borrow()[self.key].phase == Phase::Leaving
    }

    /// A slot for a second descriptor of this connection, if there is one.
    pub fn second_slot(&self) -> Option<Slot> {
        self.table.0.slots.second()
    }

    /// The turns of large transfers.
    pub fn bulk(&self) -> &Bulk {
        &self.table.0.bulk
    }

    /// Sees to it that the worker ticks, although nobody asks for the time.
    pub fn wind(&self) {
        self.table.0.clock.wind();
    }

    /// The time by the worker's coarse clock.
    pub fn now(&self) -> Instant {
        self.table.0.clock.now()
    }

    /// Whether the worker drains.
    pub fn is_draining(&self) -> bool {
        self.table.is_draining()
    }

    /// Ready once the deadline has passed, or has come early because the connection is to make room;
    /// otherwise sees to it that the task is woken then.
    pub fn poll_deadline(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_row(cx).map(|_| ())
    }

    /// Ready once the deadline has passed, the worker drains or the connection is to make room.
    pub fn poll_interrupt(&self, cx: &mut Context<'_>) -> Poll<Interrupt> {
        if self.table.is_draining() {
            return Poll::Ready(Interrupt::Drain);
        }
        self.poll_row(cx)
    }

    fn poll_row(&self, cx: &mut Context<'_>) -> Poll<Interrupt> {
        let mut rows = self.table.0.rows.borrow_mut();
        let row = &mut rows[self.key];
        if row.phase == Phase::Leaving {
            return Poll::Ready(Interrupt::Evicted);
        }
        if row.due.is_some_and(|due| due <= self.table.0.clock.now()) {
            return Poll::Ready(Interrupt::Deadline);
        }
        match &row.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => row.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let inner = &self.table.0;
        let mut rows = inner.rows.borrow_mut();
        let row = rows.remove(self.key);
        match row.phase {
            Phase::Evictable(which) => inner.load.remove(which, row.listener),
            Phase::Leaving => inner.leaving.set(inner.leaving.get() - 1),
            Phase::Busy => {}
        }
        inner.load.set_connections(rows.len());
        // What it leaves behind is looked after by a tick: the line about it, the buffers that it has given back.
        inner.clock.wind();
        if rows.is_empty() {
            // A worker that served ten thousand clients gives their rows back.
            rows.shrink_to_fit();
            inner.emptied.notify_one();
        }
    }
}
