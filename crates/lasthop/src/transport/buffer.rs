//! Buffers that belong to the worker and are lent to a connection while there are bytes to hold.
//!
//! An idle connection holds none: ten thousand quiet clients cost ten thousand sockets, not
//! ten thousand times 16 KiB. One size serves heads and bodies alike, so that a buffer filled by
//! a read can be handed on to a write without copying.
//!
//! The memory is zeroed once, when a buffer is first made, and reused as it is: safe code may only
//! read what the current borrower wrote, because `start..end` is reset on every loan.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use lasthop_kernel::memory::give_back;

use super::Stream;
use super::pipes::{Held, PIPE_BYTES, Pipes};

/// Size of every buffer, in bytes. One TLS record, a quarter of the default Unix socket window, and
/// large enough that a typical request or answer crosses in one read.
pub const BUFFER_BYTES: usize = 16 * 1024;

/// Free buffers, per worker, that are kept for the next borrower though those on loan take all of `buffer_memory`: 4 MiB. As
/// long as they do not, the free ones may have what is left of it.
const KEPT_MAX: usize = 256;

/// Free buffers that keep their memory though nobody has needed so many for long, per worker: 256 KiB.
const WARM_MIN: usize = 16;

/// The part of the free buffers that nobody has needed since the last tick whose memory a tick gives back: in two seconds
/// three of four have none. A crowd that comes once a second finds most of what the one before it left.
const COOLED_A_TICK: usize = 16;

/// Buffers that a queue which is kept has room for: 256 KiB, the default response buffer. 40 bytes each.
const QUEUE_KEPT_MAX: usize = 16;

/// Buffers that nobody has, the one that came back last on top.
#[derive(Debug, Default)]
struct Free {
    stack: Vec<Box<[u8]>>,
    /// The lowest so many are places only: their memory is the host's.
    cold: usize,
    /// The fewest there were since the last tick: so many were not needed.
    fewest: usize,
}

impl Free {
    fn take(&mut self) -> Option<Box<[u8]>> {
        let bytes = self.stack.pop();
        self.fewest = self.fewest.min(self.stack.len());
        self.cold = self.cold.min(self.stack.len());
        bytes
    }

    /// See [`BufferPool::expire`].
    fn cool(&mut self) -> bool {
        let unneeded = self.fewest.saturating_sub(WARM_MIN + self.cold);
        let cooled = self.cold + unneeded.div_ceil(COOLED_A_TICK);
        for bytes in &mut self.stack[self.cold..cooled] {
            // Where the host does not want it, it is kept.
            let _ = give_back(bytes);
        }
        self.cold = cooled;
        self.fewest = self.stack.len();
        self.stack.len() > WARM_MIN + self.cold
    }
}

/// One worker's buffers. Cheap to clone (a reference count without atomics).
#[derive(Clone, Debug)]
pub struct BufferPool(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    free: RefCell<Free>,
    /// Empty queues with room for a few buffers, since every request needs two.
    free_queues: RefCell<Vec<VecDeque<Buffer>>>,
    lent: Cell<usize>,
    lent_soft_max: usize,
    pipes: Pipes,
}

impl BufferPool {
    /// A pool that calls itself crowded once `bytes_max` bytes are lent out. Without pipes.
    pub fn new(bytes_max: usize) -> Self {
        Self::with_pipes(bytes_max, Pipes::none())
    }

    /// As [`BufferPool::new`], with pipes for whoever moves much; those on loan count as if they were full.
    pub fn with_pipes(bytes_max: usize, pipes: Pipes) -> Self {
        Self(Rc::new(Inner {
            free: RefCell::default(),
            free_queues: RefCell::new(Vec::new()),
            lent: Cell::new(0),
            lent_soft_max: bytes_max / BUFFER_BYTES,
            pipes,
        }))
    }

    /// Lends an empty buffer. Never fails: the buffer without which a request could not move at
    /// all is always granted, and their number is bounded by the number of connections.
    pub fn lend(&self) -> Buffer {
        let bytes = self.0.free.borrow_mut().take();
        let bytes = bytes.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice());
        self.0.lent.set(self.0.lent.get() + 1);
        Buffer {
            bytes,
            start: 0,
            end: 0,
            pool: self.clone(),
        }
    }

    /// Called each tick: gives the host the memory of free buffers that were not needed lately, little by little, so that a
    /// worker holds what it works with and not the most it ever did. Returns whether there is more to give back.
    ///
    /// The buffers themselves stay: freed one by one out of the allocator's pages, which many share, they would give
    /// nothing back.
    pub fn expire(&self) -> bool {
        self.0.free.borrow_mut().cool()
    }

    /// An empty queue of buffers; give it back with [`BufferPool::take_back`].
    pub fn queue(&self) -> VecDeque<Buffer> {
        self.0.free_queues.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps a queue for the next one who asks, without what is left in it.
    pub fn take_back(&self, mut queue: VecDeque<Buffer>) {
        queue.clear();
        let mut free = self.0.free_queues.borrow_mut();
        if (1..=QUEUE_KEPT_MAX).contains(&queue.capacity()) && free.len() < KEPT_MAX {
            free.push(queue);
        }
    }

    /// Whether so much is lent out that nobody should hold more than one buffer a direction.
    ///
    /// This is the bound per worker on what slow clients may make us hold: past it, requests
    /// stream instead of waiting in buffers, which is slower for the app and never wrong.
    pub fn is_crowded(&self) -> bool {
        self.lent() >= self.0.lent_soft_max
    }

    /// Buffers out on loan now, and as many for each pipe as it may hold.
    pub fn lent(&self) -> usize {
        self.0.lent.get() + self.0.pipes.lent() * (PIPE_BYTES / BUFFER_BYTES)
    }

    /// This worker's pipes.
    pub fn pipes(&self) -> &Pipes {
        &self.0.pipes
    }

    /// A pipe, unless so much is lent out that nobody should hold more than a buffer.
    pub(super) fn lend_pipe(&self) -> Option<Box<Held>> {
        if self.is_crowded() {
            return None;
        }
        self.0.pipes.lend()
    }
}

/// A borrowed buffer: bytes `start..end` are filled, the rest is free. Returns to its pool on drop.
#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    pool: BufferPool,
}

impl Buffer {
    /// The filled bytes.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Number of filled bytes.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is filled.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Free bytes behind the filled ones.
    pub fn spare(&self) -> usize {
        self.bytes.len() - self.end
    }

    /// Whole size in bytes, filled or not.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the first `count` filled bytes.
    pub fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.len(), "more consumed than filled");
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Copies as much of `bytes` as fits behind the filled ones; returns how much that was.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.spare());
        self.bytes[self.end..self.end + count].copy_from_slice(&bytes[..count]);
        self.end += count;
        count
    }

    /// Makes room for a read: moves the filled bytes to the front, and where the buffer is full up
    /// to `bytes_max`, doubles it. Returns whether there is room now.
    ///
    /// Only a head longer than [`BUFFER_BYTES`] ever grows a buffer; a grown one is freed, not kept.
    pub fn make_room(&mut self, bytes_max: usize) -> bool {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.spare() == 0 && self.bytes.len() < bytes_max {
            let size = (self.bytes.len() * 2).min(bytes_max).max(BUFFER_BYTES);
            let mut larger = vec![0; size].into_boxed_slice();
            larger[..self.end].copy_from_slice(&self.bytes[..self.end]);
            self.bytes = larger;
        }
        self.spare() > 0
    }

    /// Has `fill` write behind the filled bytes and say how much it was.
    pub(super) fn fill_with(
        &mut self,
        fill: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let count = fill(&mut self.bytes[self.end..])?.min(self.spare());
        self.end += count;
        Ok(count)
    }

    /// Reads from `stream` behind the filled bytes, at most `bytes_max`. `Ok(0)` is the end of the
    /// stream (or no room: callers make room first).
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        let limit = self.end + self.spare().min(bytes_max);
        let read = stream.poll_read(cx, &mut self.bytes[self.end..limit]);
        if let Poll::Ready(Ok(count)) = &read {
            self.end += *count;
        }
        read
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let pool = &self.pool.0;
        pool.lent.set(pool.lent.get() - 1);
        let bytes = std::mem::take(&mut self.bytes);
        let mut free = pool.free.borrow_mut();
        let kept_max = KEPT_MAX.max(pool.lent_soft_max.saturating_sub(pool.lent.get()));
        if bytes.len() == BUFFER_BYTES && free.stack.len() < kept_max {
            free.stack.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_comes_back_is_lent_again_and_empty() {
        let pool = BufferPool::new(1 << 20);
        let mut buffer = pool.lend();
        assert_eq!(buffer.append(b"secret"), 6);
        drop(buffer);
        assert_eq!(pool.lent(), 0);
        let buffer = pool.lend();
        assert!(
            buffer.is_empty(),
            "a new borrower sees nothing of the last one"
        );
        assert_eq!(pool.lent(), 1);
    }

    #[test]
    fn room_is_made_by_moving_first_and_by_growing_up_to_the_bound() {
        let pool = BufferPool::new(1 << 20);
        let mut buffer = pool.lend();
        buffer.append(&[b'x'; BUFFER_BYTES]);
        assert_eq!(buffer.spare(), 0);
        buffer.consume(10);
        assert!(
            buffer.make_room(BUFFER_BYTES),
            "ten bytes at the front were free"
        );
        assert_eq!(buffer.spare(), 10);
        buffer.append(&[b'y'; 10]);
        assert!(
            !buffer.make_room(BUFFER_BYTES),
            "full and not allowed to grow"
        );
        assert!(buffer.make_room(2 * BUFFER_BYTES));
        assert_eq!(buffer.len(), BUFFER_BYTES);
        assert_eq!(&buffer.filled()[BUFFER_BYTES - 10..], b"yyyyyyyyyy");
        drop(buffer);
        assert_eq!(
            pool.lend().capacity(),
            BUFFER_BYTES,
            "a grown buffer is not kept"
        );
    }

    #[test]
    fn a_pool_gives_back_what_a_crowd_has_left_but_not_what_is_needed() {
        let pool = BufferPool::new(1 << 20);
        let warm = || {
            let free = pool.0.free.borrow();
            free.stack.len() - free.cold
        };
        let lend = |count: usize| (0..count).map(|_| pool.lend()).collect::<Vec<_>>();
        drop(lend(200));
        assert_eq!(warm(), 200);
        // What the crowd needs again and again stays.
        for _ in 0..100 {
            pool.expire();
            drop(lend(100));
        }
        assert!((100..=100 + WARM_MIN).contains(&warm()), "{}", warm());
        let ticks = (0..).take_while(|_| pool.expire()).count();
        assert!(ticks < 100, "it took {ticks} ticks");
        assert_eq!(warm(), WARM_MIN);
        // The others are lent as ever.
        for (n, mut buffer) in lend(KEPT_MAX + 1).into_iter().enumerate() {
            assert!(buffer.is_empty());
            let word = n.to_le_bytes();
            assert_eq!(buffer.append(&word), word.len());
            assert_eq!(buffer.filled(), word);
        }
        assert_eq!(warm(), KEPT_MAX);
        let roomy = BufferPool::new(1000 * BUFFER_BYTES);
        drop((0..1001).map(|_| roomy.lend()).collect::<Vec<_>>());
        assert_eq!(roomy.0.free.borrow().stack.len(), 1000);
    }

    #[test]
    fn a_pool_says_when_it_is_crowded() {
        let pool = BufferPool::new(2 * BUFFER_BYTES);
        let first = pool.lend();
        assert!(!pool.is_crowded());
        let second = pool.lend();
        assert!(pool.is_crowded());
        drop(first);
        assert!(!pool.is_crowded());
        drop(second);
    }
}
