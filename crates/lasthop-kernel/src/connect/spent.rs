//! A TCP socket whose connection is over, used for the next one.
//!
//! Where an app closes after every answer, a good part of what a connection costs us beside its packets is making a socket
//! and taking it apart: an inode, a file, its options. connect(2) to `AF_UNSPEC` dissolves a connection and leaves the rest
//! as it was, ready for another connect(2).
//!
//! Only for sockets whose source the kernel chooses, and only to the same target again, so that nothing of what was
//! before can be wrong for what comes. Bytes never pass from one connection to the next: the kernel drops both queues
//! (`tcp_disconnect` in net/ipv4/tcp.c). Whoever watches the socket has to stop before and to begin anew after, because
//! what an event loop has heard is of the old connection.

use super::fault::ConnectError;
use super::tcp::{begin, tcp_is_connected};
use crate::socket::reset_on_close;
use socket2::Socket;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

/// A socket without a connection, that had one to [`target`](Self::target) from [`Origin::Kernel`](super::Origin::Kernel).
#[derive(Debug)]
pub struct SpentTcp {
    socket: Socket,
    target: SocketAddr,
}

impl SpentTcp {
    /// Ends a connection in good order of which the peer has ended its side already, and whose bytes from there are of no
    /// interest any more. Our FIN is sent, and acknowledged before this returns where the peer is on this host; the port
    /// is free then, and the TIME_WAIT is the peer's. None where something of ours is still on its way, or the connection
    /// has failed meanwhile: `stream` is closed then as by close(2), and the kernel sees to the rest.
    ///
    /// # Errors
    /// As connect(2): the host does not have it. `stream` is closed, in good order.
    pub fn close(stream: TcpStream, target: SocketAddr) -> io::Result<Option<Self>> {
        if stream.shutdown(Shutdown::Write).is_err() || tcp_is_connected(&stream) {
            return Ok(None);
        }
        disconnect(&stream)?;
        Ok(Some(Self::new(stream, target)))
    }

    /// Ends a connection by a reset, whatever is on its way (`SO_LINGER` with zero and close(2) do the same).
    ///
    /// # Errors
    /// As connect(2): the host does not have it. `stream` is closed, by a reset.
    pub fn reset(stream: TcpStream, target: SocketAddr) -> io::Result<Self> {
        if let Err(error) = disconnect(&stream) {
            reset_on_close(&stream, true)?;
            return Err(error);
        }
        Ok(Self::new(stream, target))
    }

    fn new(stream: TcpStream, target: SocketAddr) -> Self {
        Self {
            socket: stream.into(),
            target,
        }
    }

    /// Where its connection led, and the next one will.
    #[must_use]
    pub fn target(&self) -> SocketAddr {
        self.target
    }

    /// Starts another connection: as [`tcp`](super::tcp) from [`Origin::Kernel`](super::Origin::Kernel), with the options that
    /// were set then.
    ///
    /// # Errors
    /// As [`tcp`](super::tcp).
    pub fn connect(self) -> Result<TcpStream, ConnectError> {
        begin(&self.socket, self.target)?;
        Ok(self.socket.into())
    }
}

/// Dissolves the connection of a TCP socket (connect(2) to `AF_UNSPEC`): a reset, unless both sides have ended theirs.
fn disconnect(socket: &impl AsFd) -> io::Result<()> {
    let nobody = libc::sockaddr {
        sa_family: AF_UNSPEC,
        sa_data: [0; 14],
    };
    // SAFETY: the descriptor is open for the length of the borrow, and the pointer and the length describe `nobody`, which
    // lives past the call; the kernel only reads it.
    let result = unsafe {
        libc::connect(
            socket.as_fd().as_raw_fd(),
            std::ptr::from_ref(&nobody),
            SOCKADDR_BYTES,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// No family at all (socket(2)); `libc` has it as the wider type of the argument there.
const AF_UNSPEC: libc::sa_family_t = 0;

/// The size of a `sockaddr` without a family of its own (socket(7)).
const SOCKADDR_BYTES: libc::socklen_t = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::{ConnectFault, Origin, tcp, tcp_finish};
    use crate::socket::{TcpState, tcp_state};
    use crate::testing::{wait_readable, wait_writable};
    use std::io::{Read, Write};
    use std::net::TcpListener;

    fn connected(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let ours = tcp(listener.local_addr().unwrap(), Origin::Kernel).unwrap();
        wait_writable(&ours);
        (ours, listener.accept().unwrap().0)
    }

    #[test]
    fn a_socket_whose_peer_has_closed_serves_again_from_another_port() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(any) else {
                crate::testing::skip("this host has no ::1");
                continue;
            };
            let target = listener.local_addr().unwrap();
            let (mut ours, mut theirs) = connected(&listener);
            let before = ours.local_addr().unwrap();
            ours.write_all(b"one").unwrap();
            theirs.write_all(b"unread").unwrap();
            theirs.read_exact(&mut [0; 3]).unwrap();
            drop(theirs);
            while tcp_state(&ours).unwrap() != TcpState::CloseWait {
                std::thread::yield_now();
            }
            let spent = SpentTcp::close(ours, target).unwrap().unwrap();
            assert_eq!(spent.target(), target);
            let mut ours = spent.connect().unwrap();
            wait_writable(&ours);
            assert!(ours.nodelay().unwrap(), "options stay");
            assert!(ours.take_error().unwrap().is_none());
            let (mut theirs, peer) = listener.accept().unwrap();
            assert_eq!(peer, ours.local_addr().unwrap());
            assert_ne!(peer, before, "the old port is in TIME_WAIT, the peer's");
            theirs.write_all(b"two").unwrap();
            drop(theirs);
            wait_readable(&ours);
            let mut all = Vec::new();
            while ours.read_to_end(&mut all).is_err() {}
            assert_eq!(all, b"two", "and nothing of what was before");
        }
    }

    #[test]
    fn the_peer_of_an_orderly_end_sees_an_end_and_that_of_a_reset_a_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let (ours, mut theirs) = connected(&listener);
        theirs.shutdown(Shutdown::Write).unwrap();
        while tcp_state(&ours).unwrap() != TcpState::CloseWait {
            std::thread::yield_now();
        }
        let _spent = SpentTcp::close(ours, target).unwrap().unwrap();
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
        let (ours, mut theirs) = connected(&listener);
        let spent = SpentTcp::reset(ours, target).unwrap();
        let error = theirs.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        // Of which the next connection on the socket knows nothing.
        let mut ours = spent.connect().unwrap();
        wait_writable(&ours);
        ours.write_all(b"x").unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        theirs.read_exact(&mut [0]).unwrap();
    }

    #[test]
    fn a_connection_that_the_peer_has_reset_is_not_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (ours, theirs) = connected(&listener);
        reset_on_close(&theirs, true).unwrap();
        drop(theirs);
        while tcp_state(&ours).unwrap() != TcpState::Close {
            std::thread::yield_now();
        }
        let kept = SpentTcp::close(ours, listener.local_addr().unwrap()).unwrap();
        assert!(kept.is_none());
    }

    #[test]
    fn where_nobody_listens_any_more_the_next_connection_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (ours, _theirs) = connected(&listener);
        let spent = SpentTcp::reset(ours, listener.local_addr().unwrap()).unwrap();
        drop(listener);
        let outcome = spent.connect().and_then(|stream| {
            wait_writable(&stream);
            tcp_finish(&stream)
        });
        assert_eq!(outcome.unwrap_err().fault(), ConnectFault::Refused);
    }

    #[test]
    fn what_the_peer_has_not_taken_yet_is_not_thrown_away() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut ours, mut theirs) = connected(&listener);
        theirs.shutdown(Shutdown::Write).unwrap();
        // More than both kernels hold, so that some of it waits with ours.
        let mut sent = 0;
        while let Ok(count) = ours.write(&[b'x'; 65_536]) {
            sent += count;
        }
        let kept = SpentTcp::close(ours, listener.local_addr().unwrap()).unwrap();
        assert!(kept.is_none());
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), sent);
    }
}
