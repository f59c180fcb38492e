//! One worker's end of the access log: begins lines, completes them, hands them over.
//!
//! In the steady state a line allocates nothing: the memory of its first half, and of the chunk it ends
//! in, has been used before.

use std::cell::RefCell;
use std::sync::Arc;

use super::chunk::{CHUNK_BYTES, Chunk};
use super::queue::{Offered, Queue};
use super::time::TimeText;
use super::{Outcome, RequestLine, combined, json};
use crate::config::AccessFormat;

/// Memory for the halves of lines that is kept between requests: as many as may be under way on a busy worker.
const SPARE_ENTRIES_MAX: usize = 256;

/// What the first half of an ordinary line fits in. Memory beyond it is not kept, so that one giant
/// line does not hold 48 KiB for good.
const ENTRY_CAPACITY: usize = 1024;

/// The first half of a line, while its request is under way. Dropped without an outcome, it leaves no line.
#[derive(Debug)]
#[must_use = "a request is logged when its outcome is written"]
pub struct Entry {
    bytes: Vec<u8>,
    /// Where the status and what belongs to it goes.
    split: usize,
}

#[cfg(test)]
impl Entry {
    /// Where its bytes are.
    pub(super) fn memory(&self) -> *const u8 {
        self.bytes.as_ptr()
    }
}

/// One worker's end of the log. Made on the main thread, moved into the worker, and of no use to two.
#[derive(Debug)]
pub struct WorkerLog {
    format: AccessFormat,
    queue: Arc<Queue>,
    inner: RefCell<Inner>,
}

#[derive(Debug)]
struct Inner {
    chunk: Chunk,
    spare: Vec<Vec<u8>>,
    time: TimeText,
}

impl WorkerLog {
    pub(super) fn new(format: AccessFormat, queue: Arc<Queue>) -> Self {
        let inner = Inner {
            chunk: Chunk::default(),
            spare: Vec::new(),
            time: TimeText::new(),
        };
        Self {
            format,
            queue,
            inner: RefCell::new(inner),
        }
    }

    /// Begins the line of a request whose head was read or refused. Everything borrowed is on the
    /// line when this returns.
    pub fn begin(&self, request: &RequestLine<'_>) -> Entry {
        let mut inner = self.inner.borrow_mut();
        let mut bytes = inner.spare.pop();
        let out = bytes.get_or_insert_with(|| Vec::with_capacity(ENTRY_CAPACITY));
        let split = match self.format {
            AccessFormat::Json => {
                json::request(out, request, &mut inner.time);
                out.len()
            }
            AccessFormat::Combined => {
                combined::request(out, request, &mut inner.time);
                let split = out.len();
                combined::fields(out, request);
                split
            }
        };
        Entry {
            bytes: bytes.unwrap_or_default(),
            split,
        }
    }

    /// Completes the line and queues it. Never waits: where the queue is full, this worker's chunk is
    /// dropped whole, and its lines are counted.
    pub fn write(&self, entry: Entry, outcome: &Outcome<'_>) {
        let mut inner = self.inner.borrow_mut();
        let Inner { chunk, spare, .. } = &mut *inner;
        chunk.reserve();
        let (before, after) = entry.bytes.split_at(entry.split);
        let begins = chunk.bytes.len();
        chunk.bytes.extend_from_slice(before);
        match self.format {
            AccessFormat::Json => json::outcome(&mut chunk.bytes, outcome),
            AccessFormat::Combined => combined::outcome(&mut chunk.bytes, outcome),
        }
        chunk.bytes.extend_from_slice(after);
        chunk.lines += 1;
        debug_assert!(chunk.bytes.len() - begins <= super::LINE_BYTES_MAX);
        if chunk.bytes.len() >= CHUNK_BYTES {
            self.hand_over_or_drop(chunk);
        }
        if spare.len() < SPARE_ENTRIES_MAX && entry.bytes.capacity() <= ENTRY_CAPACITY {
            let mut bytes = entry.bytes;
            bytes.clear();
            spare.push(bytes);
        }
    }

    /// Hands the lines over, so that none is much older than a tick. Returns whether any are still
    /// here: the queue is full, and they wait for the next tick or for their chunk to be full.
    pub fn flush(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        match self.queue.offer(&mut inner.chunk) {
            Offered::Taken => false,
            Offered::Full => true,
            Offered::Closed => {
                self.drop_lines(&mut inner.chunk);
                false
            }
        }
    }

    fn hand_over_or_drop(&self, chunk: &mut Chunk) {
        if self.queue.offer(chunk) != Offered::Taken {
            self.drop_lines(chunk);
        }
    }

    fn drop_lines(&self, chunk: &mut Chunk) {
        self.queue.drop_lines(chunk.lines);
        chunk.clear();
    }
}

/// The last lines of a worker are handed over as it ends.
impl Drop for WorkerLog {
    fn drop(&mut self) {
        let mut chunk = std::mem::take(&mut self.inner.get_mut().chunk);
        self.hand_over_or_drop(&mut chunk);
    }
}
