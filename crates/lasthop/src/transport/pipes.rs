//! Pipes that belong to the worker and are lent to whoever moves much: two descriptors each, out of those that are to
//! spare.
//!
//! A transfer whose receiver keeps up has bytes in a pipe only while it runs, so one pipe serves all of those in turn. Only
//! where a receiver is full does a pipe stay with its transfer; and where many are, they are made to copy what they have
//! left, so that there is a pipe for whoever can use one. Without a pipe bytes are copied, which costs CPU time and
//! nothing else: so a shortage is counted, and not an error.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lasthop_kernel::splice::Pipe;

use super::clock::Clock;
use super::slots::{Slot, Slots};

/// What a pipe is asked to hold: 64 pages. From 64 KiB to here, CPU time per byte falls by a third; beyond, by nothing
/// that shows (docs/decisions/0013-splice.md). Also the default response buffer, and a bulk transfer's turn.
pub const PIPE_BYTES: usize = 256 * 1024;

/// A smaller pipe is not worth its descriptors: copying is as cheap.
const PIPE_BYTES_MIN: usize = 64 * 1024;

/// Pipes per worker: 16 MiB. Four workers that have them all have what the kernel allows a user without privileges
/// (`fs.pipe-user-pages-soft`).
const PIPES_MAX: usize = 64;

/// Up to so many pipes on loan, one may stay with a transfer whose receiver is full.
const LENT_FEW: usize = PIPES_MAX / 2;

/// Empty pipes kept for the next borrower: one is enough while receivers keep up.
const KEPT_MAX: usize = 4;

/// How long after the host refused a pipe nobody asks again. Asking costs some microseconds.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// One worker's pipes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pipes(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    /// None where nobody lends any.
    host: Option<(Arc<Slots>, Clock)>,
    #[expect(
        clippy::vec_box,
        reason = "they are lent as boxes, and kept as they come back"
    )]
    free: RefCell<Vec<Box<Held>>>,
    /// Lent and free ones; each keeps its part of it.
    open: Rc<Cell<usize>>,
    /// Somebody has asked for one since the last tick.
    wanted: Cell<bool>,
    refused: Cell<Option<Instant>>,
    refusals: Cell<u64>,
    carried: Cell<u64>,
}

/// A pipe and the slots of its two descriptors, which are given back after it is closed.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) pipe: Pipe,
    _slots: [Slot; 2],
    open: Rc<Cell<usize>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
    }
}

impl Pipes {
    /// The pipes of a worker, whose descriptors come out of `slots`.
    pub fn new(slots: Arc<Slots>, clock: Clock) -> Self {
        Self::of(Some((slots, clock)))
    }

    /// No pipes: everything is copied.
    pub fn none() -> Self {
        Self::of(None)
    }

    fn of(host: Option<(Arc<Slots>, Clock)>) -> Self {
        Self(Rc::new(Inner {
            host,
            free: RefCell::default(),
            open: Rc::default(),
            wanted: Cell::new(false),
            refused: Cell::new(None),
            refusals: Cell::new(0),
            carried: Cell::new(0),
        }))
    }

    /// Lends an empty pipe; none where there are no descriptors for one, where the host grants too small a one, or where
    /// the worker has as many as it may.
    pub(super) fn lend(&self) -> Option<Box<Held>> {
        self.0.wanted.set(true);
        let free = self.0.free.borrow_mut().pop();
        free.or_else(|| self.open())
    }

    fn open(&self) -> Option<Box<Held>> {
        let inner = &*self.0;
        let (slots, clock) = inner.host.as_ref()?;
        let now = clock.now();
        let waits = |since: Instant| now.saturating_duration_since(since) < REFUSED_FOR;
        if inner.open.get() >= PIPES_MAX || inner.refused.get().is_some_and(waits) {
            return None;
        }
        let open = || {
            let slots = [slots.spare()?, slots.spare()?];
            let pipe = Pipe::open(PIPE_BYTES).ok()?;
            (pipe.capacity() >= PIPE_BYTES_MIN).then_some((pipe, slots))
        };
        let Some((pipe, slots)) = open() else {
            inner.refused.set(Some(now));
            inner.refusals.set(inner.refusals.get() + 1);
            return None;
        };
        inner.open.set(inner.open.get() + 1);
        Some(Box::new(Held {
            pipe,
            _slots: slots,
            open: Rc::clone(&inner.open),
        }))
    }

    /// Whether others have more use for a pipe than a transfer that can only wait: it copies what it has in its own and gives
    /// it back.
    pub fn are_scarce(&self) -> bool {
        self.lent() > LENT_FEW || !self.has_room()
    }

    /// Whether descriptors are to spare.
    fn has_room(&self) -> bool {
        let host = self.0.host.as_ref();
        host.is_some_and(|(slots, _)| slots.is_roomy())
    }

    /// Keeps an empty pipe for the next borrower. One that still holds bytes is closed with them: they must never reach
    /// somebody else.
    pub(super) fn take_back(&self, held: Box<Held>) {
        let mut free = self.0.free.borrow_mut();
        if held.pipe.held() == 0 && free.len() < KEPT_MAX && self.has_room() {
            free.push(held);
        }
    }

    /// Called each tick: pipes that nobody has asked for since the last one are closed, and all where descriptors are needed
    /// elsewhere.
    /// Returns whether some are still kept.
    pub fn expire(&self) -> bool {
        let mut free = self.0.free.borrow_mut();
        if !self.0.wanted.take() || !self.has_room() {
            free.clear();
        }
        !free.is_empty()
    }

    /// Pipes out on loan now.
    pub fn lent(&self) -> usize {
        self.0.open.get() - self.0.free.borrow().len()
    }

    pub(super) fn count_carried(&self, bytes: usize) {
        self.0.carried.set(self.0.carried.get() + bytes as u64);
    }

    /// Bytes that have come into pipes since the worker began.
    pub fn carried(&self) -> u64 {
        self.0.carried.get()
    }

    /// How often the host had no pipe for us, or no descriptors were left for one; counted at most once a second.
    pub fn refusals(&self) -> u64 {
        self.0.refusals.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipes(slots: &Arc<Slots>) -> (Pipes, Clock) {
        let clock = Clock::new(Instant::now());
        (Pipes::new(Arc::clone(slots), clock.clone()), clock)
    }

    fn slots(limit: u64) -> Arc<Slots> {
        Arc::new(Slots::new(limit, 0, (1, 0), 0, [0]))
    }

    #[test]
    fn a_pipe_takes_two_slots_and_is_lent_again() {
        let slots = slots(1024);
        let (pipes, _) = pipes(&slots);
        let pipe = pipes.lend().unwrap();
        assert_eq!((slots.open(), pipes.lent()), (2, 1));
        pipes.take_back(pipe);
        assert_eq!((slots.open(), pipes.lent()), (2, 0), "kept for the next");
        let again = pipes.lend().unwrap();
        assert_eq!(slots.open(), 2);
        drop(again);
        assert_eq!((slots.open(), pipes.lent()), (0, 0), "closed");
    }

    #[test]
    fn a_pipe_that_nobody_asks_for_is_closed_within_two_ticks() {
        let slots = slots(1024);
        let (pipes, _) = pipes(&slots);
        let pipe = pipes.lend().unwrap();
        pipes.take_back(pipe);
        assert!(pipes.expire(), "it was just in use");
        assert!(!pipes.expire());
        assert_eq!((slots.open(), pipes.lent()), (0, 0));
    }

    #[test]
    fn a_pipe_with_bytes_in_it_is_lent_to_nobody() {
        use std::io::Write as _;
        use std::os::fd::AsFd as _;
        let slots = slots(1024);
        let (pipes, _) = pipes(&slots);
        let mut held = pipes.lend().unwrap();
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        theirs.write_all(b"secret").unwrap();
        assert_eq!(held.pipe.fill_from(ours.as_fd(), 6).unwrap(), 6);
        pipes.take_back(held);
        assert_eq!((slots.open(), pipes.lent()), (0, 0), "it was closed");
    }

    #[test]
    fn there_are_only_so_many_and_without_slots_there_is_none_until_a_while_later() {
        let roomy = slots(4096);
        let (pipes, _) = pipes(&roomy);
        let all: Vec<_> = std::iter::from_fn(|| pipes.lend()).collect();
        assert_eq!((all.len(), pipes.refusals()), (PIPES_MAX, 0));
        all.into_iter().for_each(|pipe| pipes.take_back(pipe));
        assert_eq!(roomy.open(), 2 * KEPT_MAX);

        let few = slots(0);
        let (pipes, clock) = self::pipes(&few);
        assert!(pipes.lend().is_none());
        assert!(pipes.lend().is_none());
        assert_eq!((pipes.refusals(), few.open()), (1, 0), "asked once");
        clock.tick(clock.now() + REFUSED_FOR);
        assert!(pipes.lend().is_none());
        assert_eq!(pipes.refusals(), 2);
        assert!(Pipes::none().lend().is_none());
    }
}
