//! A socket that no event loop knows: it can still go to any worker, or be told goodbye for next to nothing.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

use super::{Slot, Stream};

/// A connection as it was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// Its socket.
    pub socket: BareSocket,
    /// The client's address; none on a Unix socket.
    pub ip: Option<IpAddr>,
}

/// A connected socket, non-blocking, that no event loop watches.
#[derive(Debug)]
pub enum BareSocket {
    /// Over TCP.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
}

impl BareSocket {
    /// Gives it to the event loop of this thread, with the slot that it takes.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn register(self, slot: Slot) -> io::Result<Stream> {
        let stream = match self {
            Self::Tcp(stream) => {
                // Answers are written whole; waiting for more would only delay them.
                let _ = stream.set_nodelay(true);
                Stream::tcp(stream)?
            }
            Self::Unix(stream) => Stream::unix(stream)?,
        };
        Ok(stream.with_slot(slot))
    }

    /// Ends our direction (shutdown(2)).
    ///
    /// # Errors
    /// As shutdown(2).
    pub fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl Read for BareSocket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            Self::Unix(stream) => stream.read(bytes),
        }
    }
}

impl Write for BareSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Sockets keep nothing back.
        Ok(())
    }
}
