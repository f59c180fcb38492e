//! One connected byte stream, TCP or Unix, as tokio drives it.
//!
//! An enum and not a trait object: the request path calls these methods several times a request,
//! and a match on a two-variant tag costs nothing beside the system call behind it.

mod splice;

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lasthop_kernel::connect::SpentTcp;
use lasthop_kernel::socket::{Peek, pending_input, send_more};
use lasthop_ports::Lease;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::leased::LeasedTcp;
use super::registered::Registered;
#[cfg(test)]
use super::simulated::Simulated;
use super::{BareSocket, Slot};

/// A connected stream, registered with the runtime of the worker that owns it. Counts the bytes that
/// pass, so that nobody above has to.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    received: u64,
    sent: u64,
    /// The last field: given back when the socket is closed.
    slot: Option<Slot>,
}

/// The sockets a stream can be.
#[derive(Debug)]
enum Socket {
    /// TCP over IPv4 or IPv6, from a client.
    Tcp(Registered<std::net::TcpStream>),
    /// TCP to an app, from a source port that is on account.
    Leased(LeasedTcp),
    /// A Unix stream socket, by path or abstract name.
    Unix(Registered<UnixStream>),
    /// No socket at all.
    #[cfg(test)]
    Simulated(Simulated),
}

#[cfg(test)]
impl From<Simulated> for Stream {
    fn from(stream: Simulated) -> Self {
        Self::new(Socket::Simulated(stream))
    }
}

/// See [`Stream::failure`].
pub type Failure = Pin<Box<dyn Future<Output = ()>>>;

/// What happened on a connection that should be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// The peer has closed it, or it failed.
    Closed,
    /// The peer has sent something.
    Spoke,
}

impl Stream {
    fn new(socket: Socket) -> Self {
        Self {
            socket,
            received: 0,
            sent: 0,
            slot: None,
        }
    }

    /// A TCP connection that was accepted and does not block.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn tcp(stream: std::net::TcpStream) -> io::Result<Self> {
        Registered::new(stream).map(|stream| Self::new(Socket::Tcp(stream)))
    }

    /// A Unix connection that was accepted and does not block.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn unix(stream: UnixStream) -> io::Result<Self> {
        Registered::new(stream).map(|stream| Self::new(Socket::Unix(stream)))
    }

    /// A connection to an app that has come about and does not block, whose source port is lent by `lease`; `names_port`
    /// where it was bound by its number.
    pub fn leased(stream: std::net::TcpStream, lease: Lease, names_port: bool) -> Self {
        Self::new(Socket::Leased(LeasedTcp::new(stream, lease, names_port)))
    }

    /// A new connection to an app on a Unix socket, which does not block.
    pub fn unix_to_app(stream: UnixStream) -> Self {
        Self::new(Socket::Unix(Registered::unwatched(stream)))
    }

    /// Whether it is a connection to an app from a port that was bound by its number: a TIME_WAIT of ours would keep
    /// that port from every program on the host.
    pub fn names_port(&self) -> bool {
        matches!(&self.socket, Socket::Leased(stream) if stream.names_port())
    }

    /// The lease of the source port, where there is one.
    pub fn lease(&self) -> Option<&Lease> {
        match &self.socket {
            Socket::Leased(stream) => Some(stream.lease()),
            _ => None,
        }
    }

    /// Keeps `slot` for as long as the socket is open.
    #[must_use]
    pub fn with_slot(self, slot: Slot) -> Self {
        Self {
            slot: Some(slot),
            ..self
        }
    }

    /// Takes the socket away from the event loop and gives its slot back: what is left is to say goodbye.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn into_bare(self) -> io::Result<BareSocket> {
        match self.socket {
            Socket::Tcp(mut stream) => stream.take().map(BareSocket::Tcp),
            Socket::Unix(mut stream) => stream.take().map(BareSocket::Unix),
            // Nobody says goodbye to an app.
            Socket::Leased(_) => Err(io::ErrorKind::Unsupported.into()),
            #[cfg(test)]
            Socket::Simulated(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whether its socket can serve another connection after this one, which can be ended now: by a `reset`, or because
    /// the app has ended it. Only that of a TCP connection to an app from where the kernel chose.
    pub fn can_be_spent(&self, reset: bool) -> bool {
        matches!(&self.socket, Socket::Leased(stream) if stream.can_be_spent(reset))
    }

    /// Ends the connection and keeps its socket, with its slot; after [`Stream::can_be_spent`]. None where it had to be closed
    /// after all.
    ///
    /// # Errors
    /// As connect(2): the host does not have it, and the connection is closed.
    pub fn into_spent(self, reset: bool) -> io::Result<Option<(SpentTcp, Slot)>> {
        match self.socket {
            Socket::Leased(stream) => Ok(stream.into_spent(reset)?.zip(self.slot)),
            _ => Ok(None),
        }
    }

    /// Bytes read from it since it was made.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes written to it since it was made.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Counts anew: `received` bytes have been read already that nobody has used yet.
    pub fn count_from(&mut self, received: u64) {
        self.received = received;
        self.sent = 0;
    }

    /// Our address, for TCP; none for a Unix stream, or for a socket that the kernel has taken apart.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(stream) => stream.socket().ok()?.local_addr().ok(),
            Socket::Leased(stream) => stream.socket().ok()?.local_addr().ok(),
            Socket::Unix(_) => None,
            #[cfg(test)]
            Socket::Simulated(_) => Some(SocketAddr::from(([127, 0, 0, 1], 8080))),
        }
    }

    /// Whether the event loop knows of it. A new connection to an app is read without, as long as there is something.
    pub fn is_watched(&self) -> bool {
        match &self.socket {
            Socket::Tcp(stream) => stream.is_watched(),
            Socket::Leased(stream) => stream.is_watched(),
            Socket::Unix(stream) => stream.is_watched(),
            #[cfg(test)]
            Socket::Simulated(_) => true,
        }
    }

    /// Ready once a read would return bytes, the end of the stream, or an error.
    ///
    /// Lets a connection wait without holding a buffer. Readiness may be stale: the read that
    /// follows can still be pending.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => stream.poll_readable(cx),
            Socket::Leased(stream) => stream.poll_readable(cx),
            Socket::Unix(stream) => stream.poll_readable(cx),
            #[cfg(test)]
            Socket::Simulated(stream) => stream.poll_readable(cx),
        }
    }

    /// Reads into `bytes`; zero bytes read mean that the peer has ended its direction.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = match &mut self.socket {
            Socket::Tcp(stream) => stream.poll_read(cx, bytes),
            Socket::Leased(stream) => stream.poll_read(cx, bytes),
            Socket::Unix(stream) => stream.poll_read(cx, bytes),
            #[cfg(test)]
            Socket::Simulated(stream) => stream.poll_read(cx, bytes),
        };
        if let Poll::Ready(Ok(count)) = &read {
            self.received += *count as u64;
        }
        read
    }

    /// Writes from several slices in one `writev(2)`, from a single one by `send(2)`; returns the bytes taken.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.socket {
            Socket::Tcp(stream) => stream.poll_write(cx, slices),
            Socket::Leased(stream) => stream.poll_write(cx, slices),
            Socket::Unix(stream) => stream.poll_write(cx, slices),
            #[cfg(test)]
            Socket::Simulated(stream) => stream.poll_write(cx, slices),
        };
        if let Poll::Ready(Ok(count)) = &written {
            self.sent += *count as u64;
        }
        written
    }

    /// As [`Stream::poll_write`], with more to come at once: a TCP socket waits for it before it sends a part of a segment
    /// (`MSG_MORE` in send(2)).
    pub fn poll_write_more(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.socket {
            Socket::Tcp(stream) => stream.poll_room(cx, |socket| send_more(socket, slices)),
            Socket::Leased(stream) => stream.poll_room(cx, |socket| send_more(socket, slices)),
            Socket::Unix(stream) => stream.poll_room(cx, |socket| send_more(socket, slices)),
            #[cfg(test)]
            Socket::Simulated(stream) => stream.poll_write(cx, slices),
        };
        if let Poll::Ready(Ok(count)) = &written {
            self.sent += *count as u64;
        }
        written
    }

    /// Ready once the peer of a connection that should be silent has closed it or said something.
    ///
    /// Unlike [`Stream::poll_readable`] it looks (`recv(2)` with `MSG_PEEK`) before it answers, so
    /// stale readiness does not count.
    pub fn poll_disturbed(&mut self, cx: &mut Context<'_>) -> Poll<Disturbance> {
        loop {
            ready!(self.poll_readable(cx)).ok();
            if let Some(disturbance) = self.disturbance() {
                return Poll::Ready(disturbance);
            }
        }
    }

    /// What the event loop has heard of on a connection that should be silent, looked at as in [`Stream::poll_disturbed`].
    /// Costs no system call where it has heard nothing, and leaves whoever waits for it waiting.
    pub fn disturbance(&self) -> Option<Disturbance> {
        let look = || match self.peek() {
            Peek::Quiet => Err(io::ErrorKind::WouldBlock.into()),
            Peek::Bytes => Ok(Disturbance::Spoke),
            Peek::Closed | Peek::Error(_) => Ok(Disturbance::Closed),
        };
        // Where we say that the call would block, the readiness is taken back.
        let looked = match &self.socket {
            Socket::Tcp(stream) => stream.look(look),
            Socket::Leased(stream) => stream.look(look),
            Socket::Unix(stream) => stream.look(look),
            #[cfg(test)]
            Socket::Simulated(stream) => stream.look(look),
        };
        match looked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Ok(disturbance) => Some(disturbance),
            Err(_) => Some(Disturbance::Closed),
        }
    }

    /// Resolves when a TCP connection fails (a reset), while nobody reads from it; never for a Unix
    /// stream, which knows no resets.
    ///
    /// Readiness to read is no help then: it is there already, for bytes that nobody wants yet. So
    /// the socket is registered once more, under another descriptor with a slot of its own, to wait for errors
    /// alone.
    ///
    /// # Errors
    /// As dup(2) and epoll_ctl(2).
    pub fn failure(&self, slot: Slot) -> io::Result<Failure> {
        let stream = match &self.socket {
            Socket::Tcp(stream) => stream.socket()?.as_fd(),
            Socket::Leased(stream) => stream.socket()?.as_fd(),
            Socket::Unix(_) => return Ok(Box::pin(std::future::pending())),
            #[cfg(test)]
            Socket::Simulated(stream) => return Ok(stream.failure()),
        };
        let again = std::net::TcpStream::from(stream.try_clone_to_owned()?);
        let again = TcpStream::from_std(again)?;
        Ok(Box::pin(async move {
            // An error of the wait itself would be one of the runtime, which is ending then.
            let _ = again.ready(Interest::ERROR).await;
            drop(again);
            drop(slot);
        }))
    }

    /// Whether the peer has neither closed nor said anything, by asking the kernel now.
    pub fn is_quiet(&self) -> bool {
        self.peek() == Peek::Quiet
    }

    fn peek(&self) -> Peek {
        match &self.socket {
            Socket::Tcp(stream) => peek(stream.socket()),
            Socket::Leased(stream) => peek(stream.socket()),
            Socket::Unix(stream) => peek(stream.socket()),
            #[cfg(test)]
            Socket::Simulated(stream) => stream.peek(),
        }
    }

    /// Makes the close of this stream a reset, so that nobody can take what was sent for whole; or an
    /// orderly end again.
    pub fn reset_on_close(&self, reset: bool) {
        // Only TCP has resets; a Unix stream is closed as it is. A socket that is gone already needs no reset.
        match &self.socket {
            Socket::Tcp(stream) => {
                if let Ok(socket) = stream.socket() {
                    let _ = lasthop_kernel::socket::reset_on_close(socket, reset);
                }
            }
            Socket::Leased(stream) => {
                if let Ok(socket) = stream.socket()
                    && lasthop_kernel::socket::reset_on_close(socket, reset).is_ok()
                {
                    stream.resets_on_close(reset);
                }
            }
            Socket::Unix(_) => {}
            #[cfg(test)]
            Socket::Simulated(stream) => stream.reset_on_close(reset),
        }
    }

    /// Ends our direction (`shutdown(2)` with `SHUT_WR`); the peer may go on sending.
    ///
    /// # Errors
    /// As shutdown(2).
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        match &mut self.socket {
            Socket::Tcp(stream) => stream.socket()?.shutdown(Shutdown::Write),
            Socket::Leased(stream) => {
                stream.before_shutdown();
                stream.socket()?.shutdown(Shutdown::Write)
            }
            Socket::Unix(stream) => stream.socket()?.shutdown(Shutdown::Write),
            #[cfg(test)]
            Socket::Simulated(stream) => stream.shutdown_write(),
        }
    }
}

fn peek(socket: io::Result<&impl AsFd>) -> Peek {
    match socket {
        Ok(socket) => pending_input(socket),
        Err(error) => Peek::Error(error.kind()),
    }
}
