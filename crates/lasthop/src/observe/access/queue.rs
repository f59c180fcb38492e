//! The bounded queue between the workers and the writer.
//!
//! Everybody holds the lock for a push, a pop or a copy of one chunk, and nobody while writing. A
//! worker comes by once for about a hundred lines, or once a tick.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::chunk::{CHUNK_BYTES, Chunk};

/// Memory that lines may wait in: a second and more of a reader that pauses at 10,000 lines a second.
pub(super) const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Chunks kept for reuse. More are in use only while the reader is behind.
const SPARE_CHUNKS_MAX: usize = 8;

/// No error since the last time somebody asked; errors of the host are above zero (errno(3)).
const NO_ERROR: i32 = 0;

/// What became of an offered chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// It is empty now: its lines are in the queue.
    Taken,
    /// There is no room; it is as it was.
    Full,
    /// Nothing is written any more; it is as it was.
    Closed,
}

/// What the writer does next.
#[derive(Debug)]
pub(super) enum Work {
    /// These lines are written.
    Write(Chunk),
    /// The file is opened anew, after what was queued before.
    Reopen,
}

/// Shared by the workers, the writer and whoever asks for the drops.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is work, or no more will come.
    arrived: Condvar,
    /// The writer has ended.
    ended: Condvar,
    /// Lines that will never be written.
    dropped: AtomicU64,
    /// The error number of the last failed write.
    error: AtomicI32,
}

#[derive(Debug, Default)]
struct State {
    work: VecDeque<Work>,
    /// Memory of the chunks in `work`; never above [`QUEUE_BYTES_MAX`].
    bytes: usize,
    spare: Vec<Vec<u8>>,
    /// Lines in the writer's hands.
    writing: u64,
    closed: bool,
    ended: bool,
}

impl Queue {
    /// Takes the lines of `chunk` if there is room, and leaves it empty. A worker's few lines join
    /// what waits already, so that many small chunks do not fill the queue.
    pub(super) fn offer(&self, chunk: &mut Chunk) -> Offered {
        if chunk.lines == 0 {
            return Offered::Taken;
        }
        let mut state = self.lock();
        if state.closed {
            return Offered::Closed;
        }
        match state.work.back_mut() {
            Some(Work::Write(last)) if last.bytes.len() + chunk.bytes.len() <= CHUNK_BYTES => {
                last.bytes.extend_from_slice(&chunk.bytes);
                last.lines += chunk.lines;
                chunk.clear();
            }
            _ => {
                let bytes = state.bytes + chunk.bytes.capacity();
                if bytes > QUEUE_BYTES_MAX {
                    return Offered::Full;
                }
                state.bytes = bytes;
                let empty = Chunk::reusing(state.spare.pop().unwrap_or_default());
                state
                    .work
                    .push_back(Work::Write(mem::replace(chunk, empty)));
            }
        }
        drop(state);
        self.arrived.notify_one();
        Offered::Taken
    }

    /// The writer's next task, waited for; none once the queue is closed and empty.
    pub(super) fn take(&self) -> Option<Work> {
        let waiting = |state: &mut State| state.work.is_empty() && !state.closed;
        let state = self.arrived.wait_while(self.lock(), waiting);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        let work = state.work.pop_front();
        state.writing = 0;
        if let Some(Work::Write(chunk)) = &work {
            state.bytes -= chunk.bytes.capacity();
            state.writing = chunk.lines;
        }
        work
    }

    /// Keeps the memory of a chunk that was written.
    pub(super) fn give_back(&self, bytes: Vec<u8>) {
        let mut state = self.lock();
        if Chunk::is_ordinary(&bytes) && state.spare.len() < SPARE_CHUNKS_MAX {
            state.spare.push(bytes);
        }
    }

    /// Has the file opened anew, once what is queued now has been written.
    pub(super) fn reopen(&self) {
        let mut state = self.lock();
        // Two in a row are one: the queue is bounded whoever sends signals.
        if !matches!(state.work.back(), Some(Work::Reopen)) {
            state.work.push_back(Work::Reopen);
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// Takes nothing more; what is queued is still written.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Waits until the writer has ended; whether it did. If not, what it had left counts as dropped.
    pub(super) fn wait_for_end(&self, patience: Duration) -> bool {
        let running = |state: &mut State| !state.ended;
        let waited = self
            .ended
            .wait_timeout_while(self.lock(), patience, running);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.ended {
            let queued = mem::take(&mut state.work);
            state.bytes = 0;
            let lines = queued.iter().map(|work| match work {
                Work::Write(chunk) => chunk.lines,
                Work::Reopen => 0,
            });
            self.drop_lines(lines.sum::<u64>() + mem::take(&mut state.writing));
        }
        state.ended
    }

    /// The writer has ended.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.ended.notify_all();
    }

    /// Counts lines that will never be written.
    pub(super) fn drop_lines(&self, lines: u64) {
        // A statistic of its own: it orders nothing.
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// Counts lines that could not be written, and remembers why.
    pub(super) fn fail_lines(&self, lines: u64, error: &io::Error) {
        self.drop_lines(lines);
        // Read beside a statistic: it orders nothing either.
        let number = error.raw_os_error().unwrap_or(NO_ERROR);
        self.error.store(number, Ordering::Relaxed);
    }

    /// Lines dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Why the last write failed that has failed since the last time this was asked.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        let number = self.error.swap(NO_ERROR, Ordering::Relaxed);
        (number != NO_ERROR).then(|| io::Error::from_raw_os_error(number))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic is done under the lock halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(lines: u64, bytes: usize) -> Chunk {
        let mut chunk = Chunk::default();
        chunk.reserve();
        chunk.bytes.resize(bytes, b'x');
        chunk.lines = lines;
        chunk
    }

    #[test]
    fn small_chunks_are_joined_and_a_full_queue_takes_no_more() {
        let queue = Queue::default();
        for _ in 0..3 {
            assert_eq!(queue.offer(&mut chunk(2, 10_000)), Offered::Taken);
        }
        let mut offered = 3;
        while queue.offer(&mut chunk(1, CHUNK_BYTES)) == Offered::Taken {
            offered += 1;
            assert!(offered < 1_000, "the queue has no bound");
        }
        let mut left = chunk(1, CHUNK_BYTES);
        assert_eq!(queue.offer(&mut left), Offered::Full);
        assert_eq!((left.lines, left.bytes.len()), (1, CHUNK_BYTES));
        let Some(Work::Write(first)) = queue.take() else {
            panic!("there is work")
        };
        assert_eq!((first.lines, first.bytes.len()), (6, 30_000));
        assert_eq!(
            queue.offer(&mut left),
            Offered::Taken,
            "there is room again"
        );
        assert_eq!(queue.lock().work.len(), offered - 2);
        assert!(queue.lock().bytes <= QUEUE_BYTES_MAX);
    }

    #[test]
    fn memory_is_used_again_unless_a_giant_line_made_it_large() {
        let queue = Queue::default();
        let mut first = chunk(1, 100);
        let memory = first.bytes.as_ptr();
        queue.offer(&mut first);
        let Some(Work::Write(written)) = queue.take() else {
            panic!("there is work")
        };
        queue.give_back(written.bytes);
        queue.give_back(vec![0; 10 * CHUNK_BYTES]);
        let mut second = chunk(1, 100);
        queue.offer(&mut second);
        assert_eq!(second.bytes.as_ptr(), memory);
        assert!(queue.lock().spare.is_empty());
    }

    #[test]
    fn a_file_is_opened_anew_between_what_came_before_and_after() {
        let queue = Queue::default();
        queue.offer(&mut chunk(1, 1));
        queue.reopen();
        queue.reopen();
        queue.offer(&mut chunk(1, 1));
        queue.close();
        assert!(matches!(queue.take(), Some(Work::Write(_))));
        assert!(matches!(queue.take(), Some(Work::Reopen)));
        assert!(matches!(queue.take(), Some(Work::Write(_))));
        assert!(queue.take().is_none());
    }

    #[test]
    fn a_closed_queue_takes_nothing_and_what_nobody_writes_counts_as_dropped() {
        let queue = Queue::default();
        queue.offer(&mut chunk(5, CHUNK_BYTES));
        queue.offer(&mut chunk(7, CHUNK_BYTES));
        queue.close();
        assert_eq!(queue.offer(&mut chunk(1, 1)), Offered::Closed);
        assert!(queue.take().is_some());
        assert!(!queue.wait_for_end(Duration::ZERO));
        assert_eq!(queue.dropped(), 12, "those in the writer's hands as well");
        assert!(queue.take().is_none());
    }

    #[test]
    fn an_error_is_told_once() {
        let queue = Queue::default();
        queue.fail_lines(3, &io::Error::from_raw_os_error(28));
        let error = queue.take_error().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(queue.take_error().is_none());
        assert_eq!(queue.dropped(), 3);
    }
}
