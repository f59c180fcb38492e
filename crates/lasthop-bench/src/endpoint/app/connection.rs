//! One connection of the app, watched for what it can read, and for room to write only while there is none.
//!
//! tokio's own streams are always watched for both. On a Unix socket the kernel tells of room each time the peer has taken
//! something (`unix_write_space` in net/unix/af_unix.c), so each time a proxy reads an answer it would pay for waking an
//! app that has nothing to do: a cost of this app's, in the proxies' figures.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lasthop::transport::register;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// A connected socket that does not block.
pub(super) struct Connection<S: AsRawFd> {
    socket: AsyncFd<S>,
    /// The same socket once more, from a write that had to wait for room to the next read.
    room: Option<AsyncFd<OwnedFd>>,
}

impl<S: AsRawFd> Connection<S> {
    /// Errors as epoll_ctl(2).
    pub(super) fn new(socket: S) -> io::Result<Self> {
        let socket = register(socket, Interest::READABLE)?;
        Ok(Self { socket, room: None })
    }
}

impl<S> AsyncRead for Connection<S>
where
    S: AsRawFd + Unpin,
    for<'a> &'a S: Read,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Whoever reads on has written all.
        this.room = None;
        let room = buffer.initialize_unfilled();
        loop {
            let mut guard = ready!(this.socket.poll_read_ready(cx))?;
            let mut socket = this.socket.get_ref();
            match socket.read(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(count) => {
                    // A short read has taken all there was; of the end no edge tells again.
                    if 0 < count && count < room.len() {
                        guard.clear_ready();
                    }
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<S> AsyncWrite for Connection<S>
where
    S: AsRawFd + AsFd + Unpin,
    for<'a> &'a S: Write,
{
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            let mut socket = this.socket.get_ref();
            match socket.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                written => return Poll::Ready(written),
            }
            let room = match &this.room {
                Some(room) => room,
                None => {
                    let again = socket.as_fd().try_clone_to_owned()?;
                    let watched = register(again, Interest::WRITABLE)?;
                    this.room.insert(watched)
                }
            };
            ready!(room.poll_write_ready(cx))?.clear_ready();
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Dropping it is what the app does.
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::endpoint::runtime;

    fn pair() -> (Connection<UnixStream>, Connection<UnixStream>) {
        let (one, other) = UnixStream::pair().unwrap();
        one.set_nonblocking(true).unwrap();
        other.set_nonblocking(true).unwrap();
        (
            Connection::new(one).unwrap(),
            Connection::new(other).unwrap(),
        )
    }

    #[test]
    fn what_does_not_fit_into_the_socket_waits_for_room() {
        runtime().unwrap().block_on(async {
            let (mut app, mut proxy) = pair();
            let answer = vec![7; 4 << 20];
            let expected = answer.clone();
            let writing = tokio::task::spawn_local(async move {
                app.write_all(&answer).await.unwrap();
                assert!(app.room.is_some(), "it has waited");
                assert_eq!(app.read(&mut [0]).await.unwrap(), 0, "the proxy closes");
                assert!(app.room.is_none(), "and watches for room no more");
            });
            tokio::task::yield_now().await;
            let mut received = vec![0; expected.len()];
            proxy.read_exact(&mut received).await.unwrap();
            assert_eq!(received, expected);
            drop(proxy);
            writing.await.unwrap();
        });
    }

    #[test]
    fn bytes_that_come_later_are_read_and_so_is_the_end() {
        runtime().unwrap().block_on(async {
            let (mut app, mut proxy) = pair();
            let reading = tokio::task::spawn_local(async move {
                let mut text = String::new();
                app.read_to_string(&mut text).await.unwrap();
                text
            });
            for piece in ["one", "two"] {
                tokio::task::yield_now().await;
                proxy.write_all(piece.as_bytes()).await.unwrap();
            }
            drop(proxy);
            assert_eq!(reading.await.unwrap(), "onetwo");
        });
    }
}
