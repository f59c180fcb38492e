//! A connection that has been accepted and that no event loop knows yet: it can still go to any worker.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

use super::{Slot, Stream};

/// A client's socket, non-blocking.
#[derive(Debug)]
pub enum Accepted {
    /// Over TCP, with the client's address.
    Tcp(TcpStream, IpAddr),
    /// On a Unix socket.
    Unix(UnixStream),
}

impl Accepted {
    /// The client's address; none on a Unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_, ip) => Some(*ip),
            Self::Unix(_) => None,
        }
    }

    /// Gives it to the event loop of this thread, with the slot that it takes.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn register(self, slot: Slot) -> io::Result<Stream> {
        let stream: Stream = match self {
            Self::Tcp(stream, _) => {
                // Answers are written whole; waiting for more would only delay them.
                let _ = stream.set_nodelay(true);
                tokio::net::TcpStream::from_std(stream)?.into()
            }
            Self::Unix(stream) => tokio::net::UnixStream::from_std(stream)?.into(),
        };
        Ok(stream.with_slot(slot))
    }

    /// Ends our direction (shutdown(2)).
    ///
    /// # Errors
    /// As shutdown(2).
    pub fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream, _) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl Read for Accepted {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream, _) => stream.read(bytes),
            Self::Unix(stream) => stream.read(bytes),
        }
    }
}

impl Write for Accepted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream, _) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Sockets keep nothing back.
        Ok(())
    }
}
