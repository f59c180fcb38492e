//! Small questions to a connected socket: is anything waiting, who is on the other side, and how it shall close.
//!
//! Takes any descriptor that can be borrowed, so that the owner may be a runtime's stream type.

use crate::option::peer_ucred;
use socket2::SockRef;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::time::Duration;

/// What waits on a stream socket that is supposed to be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// Open, and nothing to read: what an idle connection should look like.
    Quiet,
    /// The peer has sent something nobody asked for.
    Bytes,
    /// The peer has closed its side.
    Closed,
    /// The connection is broken (reset, timed out, or the descriptor is no connected stream).
    Error(io::ErrorKind),
}

/// Looks at what waits on a stream socket without taking it and without blocking, whatever mode the socket is in
/// (recv(2) with `MSG_PEEK | MSG_DONTWAIT`). One system call: cheap enough before each reuse of a pooled connection.
#[must_use]
pub fn pending_input(socket: &impl AsFd) -> Peek {
    let socket = SockRef::from(socket);
    let mut byte = [MaybeUninit::uninit()];
    loop {
        match socket.recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT) {
            Ok(0) => return Peek::Closed,
            Ok(_) => return Peek::Bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Peek::Quiet,
            // A signal came in between. MSG_DONTWAIT never sleeps, so this ends as soon as the signals do.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Peek::Error(error.kind()),
        }
    }
}

/// Makes the coming close of a TCP socket a reset instead of an orderly end (socket(7), `SO_LINGER` with zero): the
/// peer cannot take what it has for the whole, and no TIME_WAIT stays behind. Unsent data is thrown away. Without
/// `reset` the close is an orderly end again.
///
/// # Errors
/// As setsockopt(2).
pub fn reset_on_close(socket: &impl AsFd, reset: bool) -> io::Result<()> {
    SockRef::from(socket).set_linger(reset.then_some(Duration::ZERO))
}

/// Who is on the other side of a Unix socket: as of its listen(2) for a listener, as of its connect(2) for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Process, or `None` when it cannot be seen from our pid namespace.
    pub pid: Option<u32>,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}

/// Reads `SO_PEERCRED` (unix(7)) of a connected Unix stream socket.
///
/// # Errors
/// As getsockopt(2); `NotConnected` when the socket has no peer.
pub fn peer_credentials(socket: &impl AsFd) -> io::Result<PeerCredentials> {
    let credentials = peer_ucred(socket)?;
    // The kernel answers "no peer" with the ids of nobody at all instead of an error.
    if credentials.uid == u32::MAX {
        return Err(io::ErrorKind::NotConnected.into());
    }
    Ok(PeerCredentials {
        pid: u32::try_from(credentials.pid).ok().filter(|pid| *pid != 0),
        uid: credentials.uid,
        gid: credentials.gid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    fn tcp_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn a_silent_connection_is_quiet_even_when_it_blocks() {
        let (client, _server) = tcp_pair();
        assert_eq!(pending_input(&client), Peek::Quiet);
    }

    #[test]
    fn bytes_are_seen_and_stay_where_they_are() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        assert_eq!(pending_input(&ours), Peek::Bytes);
        let mut byte = [0];
        ours.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }

    #[test]
    fn a_closed_peer_is_seen() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert_eq!(pending_input(&ours), Peek::Closed);
    }

    #[test]
    fn a_reset_reaches_the_peer_as_an_error_and_not_as_an_end() {
        let (ours, mut theirs) = tcp_pair();
        reset_on_close(&ours, true).unwrap();
        drop(ours);
        let error = theirs.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_reset_connection_peeks_as_an_error() {
        let (ours, theirs) = tcp_pair();
        reset_on_close(&theirs, true).unwrap();
        drop(theirs);
        assert_eq!(
            pending_input(&ours),
            Peek::Error(io::ErrorKind::ConnectionReset)
        );
    }

    #[test]
    fn the_peer_of_a_pair_is_this_process() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let peer = peer_credentials(&ours).unwrap();
        assert_eq!(peer.pid, Some(std::process::id()));
        assert_eq!(peer.uid, crate::identity::effective_uid());
    }

    #[test]
    fn a_socket_without_a_peer_has_no_credentials() {
        let socket =
            socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        assert!(peer_credentials(&socket).is_err());
    }
}
