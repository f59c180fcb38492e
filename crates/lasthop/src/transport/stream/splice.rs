//! Bytes between a stream and a pipe, as tokio's readiness drives them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use lasthop_kernel::splice::Pipe;

use super::{Socket, Stream};

impl Stream {
    /// The socket, where there is one to splice.
    fn spliceable(&self) -> io::Result<BorrowedFd<'_>> {
        match &self.socket {
            Socket::Tcp(stream) => stream.socket().map(AsFd::as_fd),
            Socket::Leased(stream) => stream.socket().map(AsFd::as_fd),
            Socket::Unix(stream) => stream.socket().map(AsFd::as_fd),
            #[cfg(test)]
            Socket::Simulated(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Moves at most `bytes_max` bytes that have arrived into `pipe`; `Ok(0)` is as in [`Pipe::fill_from`]. Of a
    /// stream that is watched, readiness has been seen before ([`Stream::poll_readable`]).
    ///
    /// # Errors
    /// As [`Pipe::fill_from`]. After `WouldBlock` or 0 the caller has to read: that takes the readiness back where it is the
    /// socket that is empty, and leaves it where it is the pipe that is full.
    pub fn splice_into(&mut self, pipe: &mut Pipe, bytes_max: usize) -> io::Result<usize> {
        let count = pipe.fill_from(self.spliceable()?, bytes_max)?;
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
        let sent = match &mut self.socket {
            Socket::Tcp(stream) => stream.poll_room(cx, |socket| pipe.drain_to(socket.as_fd())),
            Socket::Leased(stream) => stream.poll_room(cx, |socket| pipe.drain_to(socket.as_fd())),
            Socket::Unix(stream) => stream.poll_room(cx, |socket| pipe.drain_to(socket.as_fd())),
            #[cfg(test)]
            Socket::Simulated(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        };
        if let Poll::Ready(Ok(count)) = &sent {
            self.sent += *count as u64;
        }
        sent
    }
}
