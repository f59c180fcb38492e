//! Bytes between a stream and a pipe, as tokio's readiness drives them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use lasthop_kernel::splice::Pipe;
use tokio::io::Interest;

use super::{Socket, Stream};

impl Stream {
    /// The socket, where there is one to splice.
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        match &self.socket {
            Socket::Tcp(stream) => Some(stream.as_fd()),
            Socket::Leased(stream) => Some(stream.as_fd()),
            Socket::Unix(stream) => Some(stream.as_fd()),
            #[cfg(test)]
            Socket::Simulated(_) => None,
        }
    }

    /// Moves at most `bytes_max` bytes that have arrived into `pipe`; `Ok(0)` is the end of the stream. Readiness has been
    /// seen before ([`Stream::poll_readable`]).
    ///
    /// # Errors
    /// As [`Pipe::fill_from`]. After `WouldBlock` the caller has to read: that takes the readiness back where it is the
    /// socket that is empty, and leaves it where it is the pipe that is full.
    pub fn splice_into(&mut self, pipe: &mut Pipe, bytes_max: usize) -> io::Result<usize> {
        let Some(socket) = self.socket() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let count = pipe.fill_from(socket, bytes_max)?;
        self.received += count as u64;
        Ok(count)
    }

    /// Moves what is in `pipe` to the peer; returns the bytes taken.
    ///
    /// # Errors
    /// As [`Pipe::drain_to`].
    pub fn poll_splice_from(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut sent = 0;
            let mut drain = |socket: BorrowedFd<'_>| {
                sent = pipe.drain_to(socket)?;
                match pipe.held() {
                    0 => Ok(()),
                    // The socket is full, and said so only by taking less: no readiness is left.
                    _ => Err(io::ErrorKind::WouldBlock.into()),
                }
            };
            let drained = match &self.socket {
                Socket::Tcp(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_io(Interest::WRITABLE, || drain(stream.as_fd()))
                }
                Socket::Leased(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_io(Interest::WRITABLE, || drain(stream.as_fd()))
                }
                Socket::Unix(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_io(Interest::WRITABLE, || drain(stream.as_fd()))
                }
                #[cfg(test)]
                Socket::Simulated(_) => Err(io::ErrorKind::InvalidInput.into()),
            };
            self.sent += sent as u64;
            match drained {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                _ if sent > 0 => return Poll::Ready(Ok(sent)),
                _ => {}
            }
        }
    }
}
