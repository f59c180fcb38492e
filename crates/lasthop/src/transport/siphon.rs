//! Bytes on their way from one stream to another in a pipe, which is borrowed while there are any.
//!
//! Never the only way: whatever cannot be moved like this has to be read, and [`Siphon::fill`] says so by moving nothing.

use std::io;
use std::task::{Context, Poll, ready};

use lasthop_kernel::splice::is_unfit;

use super::buffer::{Buffer, BufferPool};
use super::pipes::Held;
use super::stream::Stream;

/// Bytes in a pipe, oldest first. As small as a pointer, for those who never need one.
#[derive(Debug, Default)]
pub struct Siphon(Option<Box<Held>>);

/// What came of an attempt to move bytes into a siphon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// So many bytes, at least one.
    Bytes(usize),
    /// None: what there is, if anything, has to be read. Also at the end of the stream, which splice(2) does not tell from
    /// bytes that it cannot move.
    Nothing,
    /// None, for want of a pipe.
    NoPipe,
    /// None, and there never will be: these sockets cannot be spliced.
    Unfit,
}

impl Siphon {
    /// Bytes in it.
    pub fn held(&self) -> usize {
        self.0.as_ref().map_or(0, |held| held.pipe.held())
    }

    /// Moves at most `bytes_max` bytes that have arrived on `stream` behind those that are in it. Ready once there may be
    /// some; without a pipe, with none.
    ///
    /// # Errors
    /// What the stream has failed with.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        bytes_max: usize,
        pool: &BufferPool,
    ) -> Poll<io::Result<Filled>> {
        // Nobody waits for what an app that closes then has sent already: whoever reads next is told to wait.
        if stream.is_watched() {
            ready!(stream.poll_readable(cx))?;
        }
        let Some(mut held) = self.0.take().or_else(|| pool.lend_pipe()) else {
            return Poll::Ready(Ok(Filled::NoPipe));
        };
        let filled = stream.splice_into(&mut held.pipe, bytes_max);
        if held.pipe.held() > 0 {
            self.0 = Some(held);
        } else {
            pool.pipes().take_back(held);
        }
        Poll::Ready(match filled {
            Ok(0) => Ok(Filled::Nothing),
            Ok(count) => {
                pool.pipes().count_carried(count);
                Ok(Filled::Bytes(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Filled::Nothing),
            Err(error) if is_unfit(&error) => Ok(Filled::Unfit),
            Err(error) => Err(error),
        })
    }

    /// Moves what is in it to `stream`; returns the bytes taken.
    ///
    /// # Errors
    /// What the stream has failed with; an error for which [`is_unfit`] holds where the bytes have to be copied.
    pub fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        pool: &BufferPool,
    ) -> Poll<io::Result<usize>> {
        let Some(held) = &mut self.0 else {
            return Poll::Ready(Ok(0));
        };
        let count = ready!(stream.poll_splice_from(cx, &mut held.pipe))?;
        self.give_back_empty(pool);
        Poll::Ready(Ok(count))
    }

    /// Copies the oldest bytes into `buffer`, as many as there is room for; returns how many.
    ///
    /// # Errors
    /// As read(2), of a pipe of ours with bytes in it: none that is known.
    pub fn copy_out(&mut self, buffer: &mut Buffer, pool: &BufferPool) -> io::Result<usize> {
        let Some(held) = &mut self.0 else {
            return Ok(0);
        };
        let count = buffer.fill_with(|spare| held.pipe.take(spare))?;
        self.give_back_empty(pool);
        Ok(count)
    }

    fn give_back_empty(&mut self, pool: &BufferPool) {
        if let Some(held) = self.0.take_if(|held| held.pipe.held() == 0) {
            pool.pipes().take_back(held);
        }
    }
}
