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
    /// What comes before the buffers; nothing while sent bytes are retained.
    siphon: Siphon,
    buffers: VecDeque<Buffer>,
    /// The buffer being sent: 0 unless sent ones are retained. Never as many as this could count.
    index: u32,
    /// Bytes of that buffer already sent.
    offset: usize,
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
    /// for those who copy.
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
        if spliced_max >= SPLICED_MIN && self.may_splice() && self.buffers.is_empty() {
            let filled = self.siphon.poll_fill(cx, stream, spliced_max, &self.pool);
            let filled = ready!(filled)?;
            self.has_pipe = filled != Filled::NoPipe;
            match filled {
                Filled::Bytes(count) => {
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

    /// Whether a large transfer does better to write all that waits before it takes more: a pipe has to be filled before
    /// there is anything behind it, and a receiver that is slow would have everything copied.
    pub fn empties_first(&self) -> bool {
        self.unsent > 0 && self.has_pipe && self.may_splice()
    }

    /// Whether to read on before anything is written: the stream has just brought all that was asked for, and few large
    /// writes cost less than many small ones.
    pub fn gathers(&self) -> bool {
        self.flows && self.unsent < GATHERED_MAX
    }

    /// Writes until nothing waits any more. An error leaves the queue as it was at the last write.
    pub fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
    ) -> Poll<io::Result<()>> {
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
        while self.unsent > 0 {
            let count = ready!(self.poll_write_once(cx, stream))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    /// What is in the pipe goes in front of the buffers, and the pipe to whoever needs one.
    fn copy_siphon(&mut self) -> io::Result<()> {
        let mut index = 0;
        while self.siphon.held() > 0 {
            let mut buffer = self.pool.lend();
            if self.siphon.copy_out(&mut buffer, &self.pool)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buffers.insert(index, buffer);
            index += 1;
        }
        Ok(())
    }

    fn poll_write_once(
        &self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
    ) -> Poll<io::Result<usize>> {
        let mut waiting = self.buffers.range(self.index as usize..);
        let first = waiting
            .next()
            .map_or(&[][..], |buffer| &buffer.filled()[self.offset..]);
        if waiting.len() == 0 {
            return stream.poll_write(cx, &[IoSlice::new(first)]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        slices[0] = IoSlice::new(first);
        let mut count = 1;
        for (slice, buffer) in slices[1..].iter_mut().zip(waiting) {
            *slice = IoSlice::new(buffer.filled());
            count += 1;
        }
        stream.poll_write(cx, &slices[..count])
    }

    /// Notes that the first `count` waiting bytes are sent.
    fn advance(&mut self, count: usize) {
        self.unsent -= count;
        self.offset += count;
        while let Some(buffer) = self.buffers.get(self.index as usize)
            && self.offset >= buffer.len()
        {
            if self.retained && self.index as usize + 1 == self.buffers.len() {
                // The last one stays the current one: more may be put behind what it holds.
                break;
            }
            self.offset -= buffer.len();
            if self.retained {
                self.index += 1;
            } else {
                self.buffers.pop_front();
            }
        }
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
mod tests {
    use super::*;
    use crate::transport::{Clock, Pipes, Slots};
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn on_a_socket_pair<F: AsyncFnOnce(Stream, tokio::net::UnixStream)>(test: F) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
            let ours = ours.into_std().unwrap();
            test(Stream::unix(ours).unwrap(), theirs).await;
        });
    }

    #[test]
    fn bytes_come_out_in_the_order_they_went_in_across_buffers() {
        on_a_socket_pair(async |mut stream, mut peer| {
            let pool = BufferPool::new(1 << 20);
            let mut outbox = Outbox::new(&pool);
            let bytes: Vec<u8> = (0..100_000_u32).map(|i| i.to_le_bytes()[0]).collect();
            outbox.push(&bytes[..70_000]);
            outbox.push(&bytes[70_000..]);
            assert_eq!(outbox.unsent(), 100_000);
            let write = poll_fn(|cx| outbox.poll_flush(cx, &mut stream));
            let mut received = vec![0; 100_000];
            let read = peer.read_exact(&mut received);
            let (written, read) = tokio::join!(write, read);
            written.unwrap();
            read.unwrap();
            assert_eq!(received, bytes);
            assert_eq!(pool.lent(), 0, "every buffer went back");
        });
    }

    #[test]
    fn a_retained_request_is_sent_again_byte_for_byte() {
        on_a_socket_pair(async |mut stream, mut peer| {
            let pool = BufferPool::new(1 << 20);
            let mut outbox = Outbox::retaining(&pool);
            outbox.push(&[b'a'; 20_000]);
            for _ in 0..2 {
                poll_fn(|cx| outbox.poll_flush(cx, &mut stream))
                    .await
                    .unwrap();
                assert!(outbox.has_sent());
                let mut received = vec![0; 20_000];
                peer.read_exact(&mut received).await.unwrap();
                assert!(received.iter().all(|&byte| byte == b'a'));
                outbox.rewind();
            }
            poll_fn(|cx| outbox.poll_flush(cx, &mut stream))
                .await
                .unwrap();
            outbox.release();
            assert_eq!(pool.lent(), 0);
        });
    }

    fn pool_with_pipes() -> BufferPool {
        let slots = std::sync::Arc::new(Slots::new(1024, 0, (1, 0), 0, [0]));
        let clock = Clock::new(std::time::Instant::now());
        BufferPool::with_pipes(4 << 20, Pipes::new(slots, clock))
    }

    /// Fills `outbox` from `source` until something is in its pipe; returns how much was taken in.
    async fn carry_into_the_pipe(outbox: &mut Outbox, source: &mut Stream) -> usize {
        let mut count = 0;
        while outbox.siphon.held() == 0 {
            count += poll_fn(|cx| outbox.poll_carry_from(cx, source, usize::MAX, PIPE_BYTES))
                .await
                .unwrap();
            if outbox.siphon.held() == 0 {
                // What was copied first goes out first, here to nobody.
                outbox.buffers.clear();
                outbox.unsent = 0;
            }
        }
        count
    }

    #[test]
    fn a_stream_that_brings_much_goes_through_a_pipe_and_comes_out_as_it_was() {
        on_a_socket_pair(async |mut to, mut receiver| {
            let (source, mut sender) = tokio::net::UnixStream::pair().unwrap();
            let mut source = Stream::unix(source.into_std().unwrap()).unwrap();
            let pool = pool_with_pipes();
            let mut outbox = Outbox::new(&pool);
            let bytes: Vec<u8> = (0..2_000_000_u32)
                .map(|i| (i / 5).to_le_bytes()[0])
                .collect();
            let send = async {
                sender.write_all(&bytes).await.unwrap();
                sender.shutdown().await.unwrap();
            };
            let carry = async {
                loop {
                    let carry = |cx: &mut Context<'_>| {
                        outbox.poll_carry_from(cx, &mut source, usize::MAX, PIPE_BYTES)
                    };
                    if poll_fn(carry).await.unwrap() == 0 {
                        break;
                    }
                    poll_fn(|cx| outbox.poll_flush(cx, &mut to)).await.unwrap();
                }
                to.shutdown_write().unwrap();
            };
            let mut received = Vec::new();
            let receive = receiver.read_to_end(&mut received);
            let ((), (), count) = tokio::join!(send, carry, receive);
            assert_eq!(count.unwrap(), bytes.len());
            assert!(received == bytes, "other bytes came out than went in");
            assert!(pool.pipes().carried() > 1_000_000);
            assert_eq!(
                (pool.lent(), source.received(), to.sent()),
                (0, 2_000_000, 2_000_000)
            );
        });
    }

    #[test]
    fn what_is_in_a_pipe_goes_before_the_buffers_also_where_it_has_to_be_copied() {
        for copied in [false, true] {
            on_a_socket_pair(async |mut to, mut receiver| {
                let (source, mut sender) = tokio::net::UnixStream::pair().unwrap();
                let mut source = Stream::unix(source.into_std().unwrap()).unwrap();
                let pool = pool_with_pipes();
                let mut outbox = Outbox::new(&pool);
                let bytes: Vec<u8> = (0..100_000_u32).map(|i| (i / 3).to_le_bytes()[0]).collect();
                sender.write_all(&bytes).await.unwrap();
                let count = carry_into_the_pipe(&mut outbox, &mut source).await;
                let before = count - outbox.unsent();
                assert!(outbox.empties_first());
                outbox.push(b"and the rest");
                if copied {
                    outbox.copy_siphon().unwrap();
                    assert_eq!((outbox.siphon.held(), pool.pipes().lent()), (0, 0));
                }
                let mut expected = bytes[before..count].to_vec();
                expected.extend_from_slice(b"and the rest");
                assert_eq!(outbox.unsent(), expected.len());
                let mut received = vec![0; expected.len()];
                let write = poll_fn(|cx| outbox.poll_flush(cx, &mut to));
                let (written, read) = tokio::join!(write, receiver.read_exact(&mut received));
                written.unwrap();
                read.unwrap();
                assert!(received == expected);
                assert_eq!(pool.lent(), 0);
            });
        }
    }

    #[test]
    fn a_transfer_given_up_leaves_its_bytes_to_nobody() {
        on_a_socket_pair(async |mut source, mut sender| {
            let pool = pool_with_pipes();
            let mut outbox = Outbox::new(&pool);
            sender.write_all(&[b'x'; 100_000]).await.unwrap();
            carry_into_the_pipe(&mut outbox, &mut source).await;
            assert_eq!(pool.pipes().lent(), 1);
            drop(outbox);
            assert_eq!(pool.pipes().lent(), 0);
            assert!(!pool.pipes().expire(), "it was closed, not kept");
        });
    }
}
