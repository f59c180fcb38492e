//! A connected socket that the event loop watches for what it can read, and for room to write only once there was none.
//!
//! tokio's own streams are always watched for both. On a Unix socket the kernel tells of room each time the peer has
//! taken something (`unix_write_space` in net/unix/af_unix.c), so every request would wake the worker once more, for
//! nothing. And a socket that was just accepted always has room, which is one event more for each connection.
//!
//! A new connection to an app is not watched at all at first. Where others are served meanwhile, the answer is often there
//! when its turn comes again, and an app that closes then takes the connection away with it: two epoll_ctl(2), a sixth of
//! what such a request costs on a Unix socket. Where it is not there, one look was in vain.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A non-blocking socket of the standard library, known to the event loop of this thread or about to be.
///
/// All of its methods are for one task: whoever waits to read is who writes.
#[derive(Debug)]
pub(super) struct Registered<S: AsRawFd> {
    /// None before it is watched, while it is registered anew, and for ever where that has failed or it was taken.
    watched: Option<AsyncFd<S>>,
    /// The socket as long as the event loop does not know of it. Beside the other and not instead of it, where there is
    /// room for it: an enum of the three would make every connection eight bytes larger.
    unwatched: Option<S>,
    /// Before it was watched, a reader has waited for its task's next turn.
    has_waited: bool,
    /// It is watched for room to write as well.
    for_room: bool,
}

impl<S: AsRawFd> Registered<S>
where
    for<'a> &'a S: Read + Write,
{
    /// Registers a socket that is connected and does not block.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub(super) fn new(socket: S) -> io::Result<Self> {
        let mut registered = Self::unwatched(socket);
        registered.watch()?;
        Ok(registered)
    }

    /// A socket that is connected, does not block, and is registered only when somebody has to wait for it.
    pub(super) fn unwatched(socket: S) -> Self {
        Self {
            watched: None,
            unwatched: Some(socket),
            has_waited: false,
            for_room: false,
        }
    }

    /// The socket.
    ///
    /// # Errors
    /// `NotConnected` where it was lost as it was registered anew.
    pub(super) fn socket(&self) -> io::Result<&S> {
        let watched = self.watched.as_ref().map(AsyncFd::get_ref);
        let socket = watched.or(self.unwatched.as_ref());
        socket.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Takes the socket away from the event loop: nothing can be done with the rest any more. Errors as [`Self::socket`].
    pub(super) fn take(&mut self) -> io::Result<S> {
        let watched = self.watched.take().map(AsyncFd::into_inner);
        let socket = watched.or_else(|| self.unwatched.take());
        socket.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Has the event loop watch it, unless it does; errors as epoll_ctl(2), and the socket is lost then.
    #[inline]
    fn watch(&mut self) -> io::Result<&AsyncFd<S>> {
        if self.unwatched.is_some() {
            self.begin_to_watch()?;
        }
        let watched = self.watched.as_ref();
        watched.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Once for each connection; [`Self::watch`] is asked several times for each request.
    #[cold]
    fn begin_to_watch(&mut self) -> io::Result<()> {
        if let Some(socket) = self.unwatched.take() {
            self.watched = Some(register(socket, Interest::READABLE)?);
        }
        Ok(())
    }

    /// Whether the event loop knows of it.
    pub(super) fn is_watched(&self) -> bool {
        self.unwatched.is_none()
    }

    /// Ready once a read would return bytes, the end, or an error; or had, a moment ago.
    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch()?.poll_read_ready(cx).map_ok(drop)
    }

    /// Asks `look` if the socket seems readable. What it answers with `WouldBlock` seems so no more.
    pub(super) fn look<T>(&self, look: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match &self.watched {
            Some(watched) => watched.try_io(Interest::READABLE, |_| look()),
            None => look(),
        }
    }

    /// Whether the event loop has told already that the peer has ended its direction, in good order. It often has, with the
    /// last bytes, and asking costs no system call; whoever waits goes on waiting.
    pub(super) fn peer_has_ended(&self) -> bool {
        let Some(watched) = &self.watched else {
            return false;
        };
        let any = Interest::READABLE | Interest::WRITABLE | Interest::ERROR;
        // A wait of its own, which ends right here.
        let waited = pin!(watched.ready(any)).poll(&mut Context::from_waker(Waker::noop()));
        match waited {
            // Both directions over is a failure.
            Poll::Ready(Ok(guard)) => {
                let ready = guard.ready();
                ready.is_read_closed() && !ready.is_write_closed() && !ready.is_error()
            }
            Poll::Ready(Err(_)) | Poll::Pending => false,
        }
    }

    /// Reads; zero bytes are the end of the stream.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(socket) = &self.unwatched {
            if !std::mem::replace(&mut self.has_waited, true) {
                // Behind all tasks that are ready now.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let mut socket = socket;
            match socket.read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return Poll::Ready(read),
            }
        }
        let watched = self.watch()?;
        loop {
            let mut guard = ready!(watched.poll_read_ready(cx))?;
            match watched.get_ref().read(bytes) {
                Ok(count) => {
                    // A short read has taken all there was, and the next edge tells of more: nobody has to ask and hear
                    // that there is nothing. Of the end of the stream no edge tells again. (A read also stops short at an
                    // urgent byte, and on a Unix socket at a descriptor: what is behind those waits for the next edge.
                    // No peer that speaks HTTP sends any.)
                    if 0 < count && count < bytes.len() {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes one slice by send(2), several by writev(2); returns the bytes taken.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_room(cx, |mut socket| match slices {
            [bytes] => socket.write(bytes),
            several => socket.write_vectored(several),
        })
    }

    /// Has `send` put something into the socket, and waits for room where it says that it would block.
    pub(super) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        mut send: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match send(self.socket()?) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                sent => return Poll::Ready(sent),
            }
            if !self.for_room {
                self.watch_for_room(cx)?;
            }
            ready!(self.watch()?.poll_write_ready(cx))?.clear_ready();
        }
    }

    /// Has the event loop tell of room to write from now on.
    ///
    /// The reader that may wait is forgotten with the old registration, so its task, which is this one, is woken to
    /// wait again.
    #[cold]
    fn watch_for_room(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.watched = Some(register(self.take()?, interest)?);
        self.for_room = true;
        cx.waker().wake_by_ref();
        Ok(())
    }
}

/// Has the event loop of this thread watch a socket that owns its descriptor, as those of the standard library do.
///
/// # Errors
/// As epoll_ctl(2).
#[expect(
    deprecated,
    reason = "its successor is unsafe, for types that may lend their descriptor and close it; nothing here is of such a \
              type, and `unsafe` has no place in this crate"
)]
pub fn register<S: AsRawFd>(socket: S, interest: Interest) -> io::Result<AsyncFd<S>> {
    AsyncFd::with_interest(socket, interest)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn on_a_pair<F: AsyncFnOnce(Registered<UnixStream>, UnixStream)>(test: F) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            theirs.set_nonblocking(true).unwrap();
            test(Registered::new(ours).unwrap(), theirs).await;
        });
    }

    /// Writes until the kernel takes no more; returns how much that was.
    async fn fill(stream: &mut Registered<UnixStream>) -> usize {
        let mut sent = 0;
        static BLOCK: [u8; 4096] = [b'x'; 4096];
        poll_fn(|cx| {
            while let Poll::Ready(count) = stream.poll_write(cx, &[IoSlice::new(&BLOCK)]) {
                sent += count.unwrap();
            }
            Poll::Ready(())
        })
        .await;
        sent
    }

    fn drain(peer: &UnixStream) -> usize {
        let mut bytes = [0; 4096];
        let mut count = 0;
        while let Ok(read @ 1..) = (&mut &*peer).read(&mut bytes) {
            count += read;
        }
        count
    }

    #[test]
    fn it_is_not_watched_for_room_before_there_was_none() {
        on_a_pair(async |mut stream, peer| {
            let write = poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(b"hello")])).await;
            assert_eq!(write.unwrap(), 5);
            assert!(!stream.for_room);
            let sent = fill(&mut stream).await;
            assert!(stream.for_room);
            assert_eq!(drain(&peer), sent + 5);
            let write = poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(b"more")])).await;
            assert_eq!(write.unwrap(), 4, "room was told of");
        });
    }

    #[test]
    fn a_reader_that_waited_hears_of_bytes_although_the_writer_was_blocked_meanwhile() {
        on_a_pair(async |mut stream, peer| {
            let mut waited = false;
            let mut bytes = [0; 16];
            let read = poll_fn(|cx| {
                if let Poll::Ready(read) = stream.poll_read(cx, &mut bytes) {
                    return Poll::Ready(read);
                }
                // The reader waits; now the peer takes nothing, and the socket is registered anew.
                while stream
                    .poll_write(cx, &[IoSlice::new(&[b'x'; 4096])])
                    .is_ready()
                {}
                if !std::mem::replace(&mut waited, true) {
                    (&peer).write_all(b"word").unwrap();
                }
                Poll::Pending
            })
            .await;
            assert_eq!(read.unwrap(), 4);
            assert_eq!(&bytes[..4], b"word");
        });
    }

    #[test]
    fn what_is_there_by_the_next_turn_is_read_without_being_watched_for() {
        on_a_pair(async |mut watched, peer| {
            let mut stream = Registered::unwatched(watched.take().unwrap());
            let mut bytes = [0; 16];
            let mut turns = 0;
            let read = poll_fn(|cx| {
                turns += 1;
                let read = stream.poll_read(cx, &mut bytes);
                if read.is_pending() {
                    (&peer).write_all(b"word").unwrap();
                }
                read
            });
            assert_eq!(read.await.unwrap(), 4);
            assert_eq!(turns, 2);
            assert!(stream.watched.is_none());
        });
    }

    #[test]
    fn what_comes_later_is_watched_for() {
        on_a_pair(async |mut watched, peer| {
            let mut stream = Registered::unwatched(watched.take().unwrap());
            let mut bytes = [0; 16];
            let read = poll_fn(|cx| {
                let read = stream.poll_read(cx, &mut bytes);
                // The loop has been asked, and only then the peer speaks.
                if read.is_pending() && stream.watched.is_some() {
                    (&peer).write_all(b"word").unwrap();
                }
                read
            });
            assert_eq!(read.await.unwrap(), 4);
        });
    }

    #[test]
    fn a_peer_that_has_ended_is_known_once_the_event_loop_has_told_and_one_that_has_failed_is_none()
    {
        on_a_pair(async |mut stream, peer| {
            assert!(!stream.peer_has_ended());
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            poll_fn(|cx| stream.poll_readable(cx)).await.unwrap();
            assert!(stream.peer_has_ended());
        });
        on_a_pair(async |mut stream, peer| {
            drop(peer);
            poll_fn(|cx| stream.poll_readable(cx)).await.unwrap();
            assert!(!stream.peer_has_ended(), "both directions are over");
        });
    }

    #[test]
    fn the_end_of_the_stream_is_told_again_and_again() {
        on_a_pair(async |mut stream, peer| {
            (&peer).write_all(b"last").unwrap();
            drop(peer);
            let mut bytes = [0; 16];
            for expected in [4, 0, 0] {
                let read = poll_fn(|cx| stream.poll_read(cx, &mut bytes)).await;
                assert_eq!(read.unwrap(), expected);
            }
        });
    }
}
