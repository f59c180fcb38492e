//! Bytes that wait to be written to one stream, in borrowed buffers.
//!
//! An outbox can retain what it has sent, so that a request whose connection turns out to be dead
//! can be sent again, byte for byte, on another one. It does not decide how much may wait: who
//! fills it asks [`Outbox::unsent`] first and stops at a bound of its own.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use lasthop_kernel::splice::is_unfit;

use crate::transport::{BUFFER_BYTES, Buffer, BufferPool, Filled, PIPE_BYTES, Siphon, Stream};

/// Buffers handed to one `writev(2)`. 256 KiB, the default response buffer, in one call.
const SLICES_MAX: usize = 16;

/// A read smaller than this is not worth the rest of a buffer: a fresh one is borrowed instead.
const SPARE_MIN: usize = 4 * 1024;

/// Up to here, copying bytes behind a head is cheaper than a second slice for `writev(2)`.
const COPIED_BYTES_MAX: usize = 2 * 1024;

/// A transfer that has moved so much, or is known to, is large: what is still to come may be worth a pipe.
pub const LARGE_BYTES: u64 = 64 * 1024;

/// Fewer bytes than this are read and not spliced, even of a large transfer.
pub const SPLICED_MIN: usize = 64 * 1024;

/// Bytes that are gathered before they are written while a stream brings whole buffers.
const GATHERED_MAX: usize = 64 * 1024;

/// A first-in first-out queue of bytes for one stream.
#[derive(Debug)]
pub struct Outbox {
    pool: BufferPool,
    /// What comes before the buffers, or behind them; nothing while sent bytes are retained.
    siphon: Siphon,
    /// What is in the pipe comes behind the buffers. From when it is filled until the next flush.
    pipe_is_last: bool,
    /// The stream did not take all that waited when it was last written to.
    blocked: bool,
    buffers: VecDeque<Buffer>,
    /// The buffer being sent: 0 unless sent ones are retained. Never as many as this could count.
    index: u32,
    /// Bytes of that buffer already sent: fewer than 4 GiB, as any buffer holds.
    offset: u32,
    unsent: usize,
    retained: bool,
    /// The last bytes came as fast as they could be taken, so more are likely to be there.
    flows: bool,
    /// There was a pipe when it was last wanted.
    has_pipe: bool,
    /// These sockets cannot be spliced.
    unfit: bool,
}

impl Outbox {
    /// An empty outbox that forgets what it has sent.
    pub fn new(pool: &BufferPool) -> Self {
        Self {
            pool: pool.clone(),
            siphon: Siphon::default(),
            pipe_is_last: false,
            blocked: false,
            buffers: pool.queue(),
            index: 0,
            offset: 0,
            unsent: 0,
            retained: false,
            flows: false,
            has_pipe: true,
            unfit: false,
        }
    }

    /// An empty outbox that keeps what it has sent until [`Outbox::release`].
    pub fn retaining(pool: &BufferPool) -> Self {
        let mut outbox = Self::new(pool);
        outbox.retained = true;
        outbox
    }

    /// Bytes that wait to be written.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// Bytes held in memory: those that wait, and those that are retained.
    pub fn held(&self) -> usize {
        self.buffers.iter().map(Buffer::len).sum()
    }

    /// Whether nothing waits to be written.
    pub fn is_flushed(&self) -> bool {
        self.unsent == 0
    }

    /// Whether sent bytes are still there for a second attempt.
    pub fn is_retained(&self) -> bool {
        self.retained
    }

    /// Copies `bytes` to the end of the queue.
    pub fn push(&mut self, mut bytes: &[u8]) {
        debug_assert!(!self.pipe_is_last, "nothing goes behind that pipe");
        self.unsent += bytes.len();
        if let Some(tail) = self.buffers.back_mut() {
            let count = tail.append(bytes);
            bytes = &bytes[count..];
        }
        while !bytes.is_empty() {
            let mut buffer = self.pool.lend();
            let count = buffer.append(bytes);
            bytes = &bytes[count..];
            self.buffers.push_back(buffer);
        }
    }

    /// Puts a filled buffer at the end of the queue: as it is, or copied behind what is there already
    /// if it is small.
    pub fn push_buffer(&mut self, buffer: Buffer) {
        if buffer.len() <= COPIED_BYTES_MAX
            && self
                .buffers
                .back()
                .is_some_and(|tail| tail.spare() >= buffer.len())
        {
            self.push(buffer.filled());
            return;
        }
        debug_assert!(!self.pipe_is_last, "nothing goes behind that pipe");
        self.flows = buffer.spare() == 0;
        self.unsent += buffer.len();
        self.buffers.push_back(buffer);
    }

    /// Reads from `stream` straight into the queue, at most `bytes_max`; `Ok(0)` is its end.
    pub fn poll_fill_from(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        if self.pipe_is_last {
            self.copy_siphon()?;
        }
        if let Some(tail) = self.buffers.back_mut()
            && tail.spare() >= SPARE_MIN.min(bytes_max)
        {
            let room = tail.spare();
            let count = ready!(tail.poll_fill(cx, stream, bytes_max))?;
            self.flows = count == room;
            self.unsent += count;
            return Poll::Ready(Ok(count));
        }
        let mut buffer = self.pool.lend();
        let count = ready!(buffer.poll_fill(cx, stream, bytes_max.min(BUFFER_BYTES)))?;
        self.flows = count == BUFFER_BYTES;
        if count > 0 {
            self.push_buffer(buffer);
        }
        Poll::Ready(Ok(count))
    }

    /// As [`Outbox::poll_fill_from`], and where the stream brings much, at most `spliced_max` bytes without a copy. 0 is
    /// for those who copy. After bytes that were not copied, flush before anything is put behind them.
    pub fn poll_carry_from(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        bytes_max: usize,
        spliced_max: usize,
    ) -> Poll<io::Result<usize>> {
        // A pipe may take several times what it counts for.
        let room = PIPE_BYTES.saturating_sub(self.siphon.held());
        let spliced_max = spliced_max.min(bytes_max).min(room);
        let is_next = self.buffers.is_empty() || self.can_end_with_pipe();
        if spliced_max >= SPLICED_MIN && self.may_splice() && is_next {
            let filled = self.siphon.poll_fill(cx, stream, spliced_max, &self.pool);
            let filled = ready!(filled)?;
            self.has_pipe = filled != Filled::NoPipe;
            match filled {
                Filled::Bytes(count) => {
                    self.pipe_is_last = !self.buffers.is_empty();
                    // Two system calls for little: reading is no dearer.
                    self.flows = count >= BUFFER_BYTES;
                    self.unsent += count;
                    return Poll::Ready(Ok(count));
                }
                Filled::Nothing | Filled::NoPipe => {}
                Filled::Unfit => self.unfit = true,
            }
        }
        self.poll_fill_from(cx, stream, bytes_max)
    }

    fn may_splice(&self) -> bool {
        self.flows && !self.unfit && !self.retained
    }

    /// Whether a pipe may be filled although there is something in the buffers, so that the receiver is woken once for
    /// both. Not where it is slow: what is in the pipe would have to be copied.
    fn can_end_with_pipe(&self) -> bool {
        !self.blocked && self.siphon.held() == 0
    }

    /// Whether a large transfer does better to write all that waits before it takes more: a pipe has to be filled before
    /// there is anything behind it, and a receiver that is slow would have everything copied.
    pub fn empties_first(&self) -> bool {
        self.unsent > 0 && self.has_pipe && self.may_splice() && !self.can_end_with_pipe()
    }

    /// Whether to read on before anything is written: the stream has just brought all that was asked for, and few large
    /// writes cost less than many small ones.
    pub fn gathers(&self) -> bool {
        self.flows && self.unsent < GATHERED_MAX && !self.pipe_is_last
    }

    /// Writes until nothing waits any more. An error leaves the queue as it was at the last write.
    pub fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
    ) -> Poll<io::Result<()>> {
        let flushed = self.poll_write_all(cx, stream);
        self.blocked = flushed.is_pending();
        flushed
    }

    fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
    ) -> Poll<io::Result<()>> {
        if self.pipe_is_last {
            let written = self.poll_write_buffers(cx, stream, self.siphon.held());
            if written.is_pending() {
                // It has to take more, and nothing could go behind that pipe.
                self.copy_siphon()?;
            }
            ready!(written)?;
            self.pipe_is_last = false;
        }
        while self.siphon.held() > 0 {
            match self.siphon.poll_drain(cx, stream, &self.pool) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.unsent -= count,
                Poll::Ready(Err(error)) if is_unfit(&error) => {
                    self.unfit = true;
                    self.copy_siphon()?;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if self.pool.pipes().are_scarce() {
                        self.copy_siphon()?;
                    }
                    return Poll::Pending;
                }
            }
        }
        self.poll_write_buffers(cx, stream, 0)
    }

    /// Writes what is in the buffers; `behind` bytes follow at once from the pipe.
    fn poll_write_buffers(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        behind: usize,
    ) -> Poll<io::Result<()>> {
        while self.unsent > behind {
            let count = ready!(self.poll_write_once(cx, stream, behind > 0))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    /// What is in the pipe goes into buffers in its place, and the pipe to whoever needs one.
    fn copy_siphon(&mut self) -> io::Result<()> {
        let mut index = match self.pipe_is_last {
            true => self.buffers.len(),
            false => 0,
        };
        while self.siphon.held() > 0 {
            let mut buffer = self.pool.lend();
            if self.siphon.copy_out(&mut buffer, &self.pool)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buffers.insert(index, buffer);
            index += 1;
        }
        self.pipe_is_last = false;
        Ok(())
    }

    fn poll_write_once(
        &self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        more_follows: bool,
    ) -> Poll<io::Result<usize>> {
        let mut waiting = self.buffers.range(self.index as usize..);
        let first = waiting
            .next()
            .map_or(&[][..], |buffer| &buffer.filled()[self.offset as usize..]);
        if waiting.len() == 0 && !more_follows {
            return stream.poll_write(cx, &[IoSlice::new(first)]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        slices[0] = IoSlice::new(first);
        let mut count = 1;
        for (slice, buffer) in slices[1..].iter_mut().zip(waiting) {
            *slice = IoSlice::new(buffer.filled());
            count += 1;
        }
        match more_follows {
            true => stream.poll_write_more(cx, &slices[..count]),
            false => stream.poll_write(cx, &slices[..count]),
        }
    }

    /// Notes that the first `count` waiting bytes are sent.
    fn advance(&mut self, count: usize) {
        self.unsent -= count;
        let mut offset = self.offset as usize + count;
        while let Some(buffer) = self.buffers.get(self.index as usize)
            && offset >= buffer.len()
        {
            if self.retained && self.index as usize + 1 == self.buffers.len() {
                // The last one stays the current one: more may be put behind what it holds.
                break;
            }
            offset -= buffer.len();
            if self.retained {
                self.index += 1;
            } else {
                self.buffers.pop_front();
            }
        }
        self.offset = u32::try_from(offset).unwrap_or(u32::MAX);
    }

    /// Gives back the memory of an empty queue, for whoever keeps one for hours.
    pub fn shrink(&mut self) {
        if self.buffers.is_empty() {
            self.pool.take_back(std::mem::take(&mut self.buffers));
        }
    }

    /// Starts over: everything retained is to be sent again.
    pub fn rewind(&mut self) {
        debug_assert!(self.retained, "only a retaining outbox can start over");
        self.index = 0;
        self.offset = 0;
        self.unsent = self.buffers.iter().map(Buffer::len).sum();
    }

    /// Whether any byte has been written since the start or the last rewind.
    pub fn has_sent(&self) -> bool {
        self.index > 0 || self.offset > 0
    }

    /// Gives back what has been sent, now and from here on.
    pub fn release(&mut self) {
        self.retained = false;
        self.buffers.drain(..self.index as usize);
        self.index = 0;
        if self.unsent == 0 {
            self.buffers.clear();
            self.offset = 0;
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.pool.take_back(std::mem::take(&mut self.buffers));
    }
}

#[cfg(test)]
mod tests;
