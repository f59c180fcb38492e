//! Small questions to a connected socket: is anything waiting, who is on the other side, who closed first, and how it
//! shall close.
//!
//! Takes any descriptor that can be borrowed, so that the owner may be a runtime's stream type.

use crate::option::{peer_ucred, set_unsent_max, tcp_info_state};
use socket2::SockRef;
use std::io::{self, IoSlice};
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

/// Writes from `slices` in one call and says that more comes at once: a TCP socket sends no segment that is not full
/// before it has come (send(2), `MSG_MORE`), or 0.2 s and the connection's retransmission time-out have passed. A Unix
/// socket does not wait. Returns the bytes taken.
///
/// # Errors
/// As sendmsg(2).
pub fn send_more(socket: &impl AsFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    SockRef::from(socket).send_vectored_with_flags(slices, libc::MSG_MORE | libc::MSG_NOSIGNAL)
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

/// Has a TCP socket take in no more once `bytes` of what was written wait to be sent for the first time, so that a writer
/// sees at once that its peer has stopped reading, and not after the megabytes that the kernel would keep for it. What
/// is on its way is not bounded by this: it costs no throughput.
///
/// # Errors
/// As setsockopt(2).
pub fn limit_unsent(socket: &impl AsFd, bytes: u32) -> io::Result<()> {
    set_unsent_max(socket, bytes)
}

/// Where a TCP socket stands, by the kernel's numbers (net/tcp_states.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcpState {
    /// Open both ways.
    Established,
    /// Our SYN is out and not answered.
    SynSent,
    /// A SYN came and was answered.
    SynRecv,
    /// We have closed; our FIN is not acknowledged.
    FinWait1,
    /// We have closed and it was acknowledged; the peer may still send.
    FinWait2,
    /// The tuple is kept for late packets; no descriptor belongs to it any more.
    TimeWait,
    /// No connection: not yet, or no longer.
    Close,
    /// The peer has closed; we have not.
    CloseWait,
    /// The peer has closed, then we; our FIN is not acknowledged.
    LastAck,
    /// Accepts connections.
    Listen,
    /// Both closed at once; the FINs crossed.
    Closing,
    /// A SYN came to a listener and is not a socket yet: how listings tell a half-open connection.
    NewSynRecv,
    /// Bound to a port and neither connected nor listening: in listings only (Linux 6.8).
    BoundInactive,
    /// A number that this list does not know.
    Other(u8),
}

impl From<u8> for TcpState {
    fn from(number: u8) -> Self {
        match number {
            1 => Self::Established,
            2 => Self::SynSent,
            3 => Self::SynRecv,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Close,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            12 => Self::NewSynRecv,
            13 => Self::BoundInactive,
            other => Self::Other(other),
        }
    }
}

impl TcpState {
    /// The kernel's number of the state.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Established => 1,
            Self::SynSent => 2,
            Self::SynRecv => 3,
            Self::FinWait1 => 4,
            Self::FinWait2 => 5,
            Self::TimeWait => 6,
            Self::Close => 7,
            Self::CloseWait => 8,
            Self::LastAck => 9,
            Self::Listen => 10,
            Self::Closing => 11,
            Self::NewSynRecv => 12,
            Self::BoundInactive => 13,
            Self::Other(number) => number,
        }
    }
}

/// Where a TCP socket stands now (`TCP_INFO`, tcp(7)). One system call of 0.6 us (Linux 6.18, in a virtual
/// machine; a peek at the input takes 0.4 us there): cheap beside the close(2) that follows.
///
/// Asked just before close(2) it says who closes first, and so who will hold the tuple in TIME_WAIT:
///
/// | state | who was first |
/// |---|---|
/// | `Established` | we are, by this close. Not if bytes wait unread: the close is a reset then and leaves nothing |
/// | `FinWait1`, `FinWait2` | we were, by shutdown(2) |
/// | `Closing` | both; the tuple is held at both ends |
/// | `CloseWait`, `LastAck` | the peer was, and holds it; our port is free at once |
/// | `Close` | reset, and nothing is held; but after a shutdown(2) of ours it may as well be that both have closed and that the kernel holds the tuple already, apart from this socket |
///
/// # Errors
/// As getsockopt(2); `EOPNOTSUPP` for a socket that is not TCP.
pub fn tcp_state(socket: &impl AsFd) -> io::Result<TcpState> {
    tcp_info_state(socket).map(TcpState::from)
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

    /// Bytes that a socket takes in while nobody reads them.
    fn taken_in(mut ours: &TcpStream) -> usize {
        const WRITTEN_MAX: usize = 64 << 20;
        ours.set_nonblocking(true).unwrap();
        let mut taken = 0;
        while taken < WRITTEN_MAX {
            match ours.write(&[0; 4096]) {
                Ok(written) => taken += written,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        taken
    }

    #[test]
    fn what_more_follows_at_once_is_sent_with_it() {
        let (ours, mut theirs) = tcp_pair();
        let head = [IoSlice::new(b"he"), IoSlice::new(b"ad")];
        assert_eq!(send_more(&ours, &head).unwrap(), 4);
        // On loopback what is sent has arrived when the call returns.
        assert_eq!(pending_input(&theirs), Peek::Quiet);
        (&ours).write_all(b" and body").unwrap();
        let mut bytes = [0; 32];
        assert_eq!(theirs.read(&mut bytes).unwrap(), 13);
        assert_eq!(&bytes[..13], b"head and body");
    }

    #[test]
    fn a_writer_sees_early_that_nobody_reads() {
        let (ours, _theirs) = tcp_pair();
        limit_unsent(&ours, 16 << 10).unwrap();
        let (unlimited, _theirs) = tcp_pair();
        let (few, many) = (taken_in(&ours), taken_in(&unlimited));
        assert!(few > 0 && few * 2 < many, "{few} and {many} bytes");
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

    /// What `socket` says once it has left `state`; the packets of a loopback connection come on their own time.
    fn state_after(socket: &TcpStream, state: TcpState) -> TcpState {
        let patience = std::time::Instant::now() + Duration::from_secs(10);
        loop {
            let now = tcp_state(socket).unwrap();
            if now != state || std::time::Instant::now() > patience {
                return now;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_state_says_who_closed_first() {
        let (ours, theirs) = tcp_pair();
        assert_eq!(tcp_state(&ours).unwrap(), TcpState::Established);
        drop(theirs);
        assert_eq!(
            state_after(&ours, TcpState::Established),
            TcpState::CloseWait
        );

        let (ours, theirs) = tcp_pair();
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(state_after(&ours, TcpState::FinWait1), TcpState::FinWait2);
        assert_eq!(
            state_after(&theirs, TcpState::Established),
            TcpState::CloseWait
        );
        // Both have closed: the kernel keeps the tuple, and this socket no longer has a part in it.
        drop(theirs);
        assert_eq!(state_after(&ours, TcpState::FinWait2), TcpState::Close);

        let (ours, theirs) = tcp_pair();
        reset_on_close(&theirs, true).unwrap();
        drop(theirs);
        assert_eq!(state_after(&ours, TcpState::Established), TcpState::Close);
    }

    #[test]
    fn only_tcp_sockets_have_a_tcp_state() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let error = tcp_state(&ours).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(tcp_state(&listener).unwrap(), TcpState::Listen);
    }

    #[test]
    fn any_number_is_a_state() {
        let states: Vec<_> = (0..=u8::MAX).map(TcpState::from).collect();
        let distinct: std::collections::HashSet<_> = states.iter().collect();
        assert_eq!(distinct.len(), states.len());
        assert_eq!(states[14], TcpState::Other(14));
        assert!((0..=u8::MAX).all(|number| TcpState::from(number).number() == number));
    }
}
