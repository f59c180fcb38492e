//! Turns for bulk transfers, so that a small request does not wait behind all of them.
//!
//! A worker's tasks run one after the other. Two hundred downloads that each move 256 KiB whenever they
//! run made a neighbour's request, which needs four or five turns, wait for a second. So a transfer that has
//! shown to be large moves little at a time, and only a few of them move before the event loop looks for
//! what else has come. Small answers never meet any of this.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::task::yield_now;

use super::buffer::BUFFER_BYTES;

/// Reads of a transfer in a row before others run: 128 KiB, which is most of what pages are made of. What needs more is
/// bulk.
const READS_MAX: usize = 8;

/// Reads in a row of a bulk transfer whose turn it is: 256 KiB. With 64 KiB a download of 4 MiB took 15 % more CPU
/// time: the app and the client sleep and are woken more often.
const BULK_READS_MAX: usize = 16;

/// Bulk transfers that move before the event loop is asked again: 2 MiB, half a millisecond where they are spliced and
/// some 2 ms where they are copied. With 2 of them a busy worker looked up so often that downloads of 1 MiB among small
/// answers took three times as long as with 8.
const MOVES_A_TURN: usize = 8;

/// One worker's bulk transfers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Bulk(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Moves left in this turn.
    left: Cell<usize>,
    /// First in, first out. Bounded by the number of transfers: each is in it once.
    waiting: RefCell<VecDeque<Rc<Ticket>>>,
    rung: Notify,
}

/// A transfer that has shown to be large.
#[derive(Debug)]
struct Ticket {
    state: Cell<State>,
    waker: RefCell<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has not asked for a turn.
    Resting,
    /// It is in the queue.
    Waiting,
    /// It may move.
    Granted,
}

impl Bulk {
    /// Gives out the turns, for as long as the worker lives.
    pub async fn keep_turning(&self) {
        loop {
            if self.0.waiting.borrow().is_empty() {
                self.0.rung.notified().await;
            }
            // Everybody else who is ready runs first, and the event loop looks for more.
            yield_now().await;
            self.0.left.set(MOVES_A_TURN);
            while let Some(ticket) = self.next() {
                ticket.state.set(State::Granted);
                let waker = ticket.waker.borrow().clone();
                waker.wake();
            }
        }
    }

    /// Whose turn it is, while moves are left.
    fn next(&self) -> Option<Rc<Ticket>> {
        if !self.take() {
            return None;
        }
        let next = self.0.waiting.borrow_mut().pop_front();
        if next.is_none() {
            self.0.left.set(self.0.left.get() + 1);
        }
        next
    }

    fn take(&self) -> bool {
        let left = self.0.left.get();
        self.0.left.set(left.saturating_sub(1));
        left > 0
    }
}

/// One transfer's way of taking turns.
#[derive(Debug, Default)]
pub struct Pace(Option<Rc<Ticket>>);

impl Pace {
    /// Reads in a row that the transfer may make now.
    pub fn reads_max(&self) -> usize {
        match &self.0 {
            None => READS_MAX,
            Some(_) => BULK_READS_MAX,
        }
    }

    /// Bytes that may move in one piece after so many reads: what is left of the turn. A bulk transfer moves a whole pipe in
    /// any case.
    pub fn bytes_left(&self, reads: usize) -> usize {
        match &self.0 {
            None => READS_MAX.saturating_sub(reads) * BUFFER_BYTES,
            Some(_) => usize::MAX,
        }
    }

    /// What `bytes` count for that came at once: as the reads that would have brought them.
    pub fn reads(bytes: u64) -> usize {
        usize::try_from(bytes)
            .unwrap_or(usize::MAX)
            .div_ceil(BUFFER_BYTES)
            .max(1)
    }

    /// Ready when the transfer may make [`Pace::reads_max`] reads; otherwise its task is woken then.
    pub fn poll_turn(&self, cx: &mut Context<'_>, bulk: &Bulk) -> Poll<()> {
        let Some(ticket) = &self.0 else {
            return Poll::Ready(());
        };
        match ticket.state.get() {
            State::Granted => {
                ticket.state.set(State::Resting);
                return Poll::Ready(());
            }
            State::Resting if bulk.take() => return Poll::Ready(()),
            State::Resting => {
                ticket.state.set(State::Waiting);
                bulk.0.waiting.borrow_mut().push_back(Rc::clone(ticket));
                bulk.0.rung.notify_one();
            }
            State::Waiting => {}
        }
        ticket.waker.borrow_mut().clone_from(cx.waker());
        Poll::Pending
    }

    /// The transfer has used up its reads and has more to move: it is bulk from here on, and its task is woken when
    /// it may go on.
    pub fn pause(&mut self, cx: &mut Context<'_>, bulk: &Bulk) {
        let ticket = self.0.get_or_insert_with(|| {
            Rc::new(Ticket {
                state: Cell::new(State::Resting),
                waker: RefCell::new(Waker::noop().clone()),
            })
        });
        let ticket = Rc::clone(ticket);
        if self.poll_turn(cx, bulk).is_ready() {
            ticket.state.set(State::Granted);
            cx.waker().wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noop() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn bulky(bulk: &Bulk) -> Pace {
        let mut pace = Pace::default();
        pace.pause(&mut noop(), bulk);
        pace
    }

    fn turn(bulk: &Bulk) {
        bulk.0.left.set(MOVES_A_TURN);
        while let Some(ticket) = bulk.next() {
            ticket.state.set(State::Granted);
        }
    }

    #[test]
    fn a_small_transfer_never_waits() {
        let bulk = Bulk::default();
        let _others: Vec<Pace> = (0..100).map(|_| bulky(&bulk)).collect();
        assert!(Pace::default().poll_turn(&mut noop(), &bulk).is_ready());
    }

    #[test]
    fn bulk_transfers_take_turns_in_their_order_and_none_is_left_out() {
        let bulk = Bulk::default();
        let paces: Vec<Pace> = (0..3 * MOVES_A_TURN).map(|_| bulky(&bulk)).collect();
        let moved = || {
            let moved = paces.iter().enumerate();
            let moved = moved.filter(|(_, pace)| pace.poll_turn(&mut noop(), &bulk).is_ready());
            moved.map(|(n, _)| n).collect::<Vec<_>>()
        };
        for first in [0, MOVES_A_TURN, 2 * MOVES_A_TURN] {
            assert!(moved().is_empty());
            turn(&bulk);
            let expected: Vec<_> = (first..first + MOVES_A_TURN).collect();
            assert_eq!(moved(), expected);
        }
    }

    #[test]
    fn one_transfer_alone_goes_on_while_moves_are_left() {
        let bulk = Bulk::default();
        turn(&bulk);
        let mut pace = bulky(&bulk);
        for _ in 1..MOVES_A_TURN {
            assert!(pace.poll_turn(&mut noop(), &bulk).is_ready());
            pace.pause(&mut noop(), &bulk);
        }
        assert!(pace.poll_turn(&mut noop(), &bulk).is_ready());
        pace.pause(&mut noop(), &bulk);
        assert!(pace.poll_turn(&mut noop(), &bulk).is_pending());
    }
}
