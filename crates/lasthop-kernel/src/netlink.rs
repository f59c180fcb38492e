//! Asking the kernel by netlink: one request, one answer, of one message or of many (netlink(7)).
//!
//! Opens a socket for each question: they are asked seconds apart and not per request. Nothing here waits for long:
//! each receive is limited, and so is the whole answer.

use crate::wire::netlink::{Meaning, Message, Messages, Request};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Longest wait for the next piece of an answer. The kernel answers while it is asked, so that this is only ever
/// reached where something is badly wrong.
const RECEIVE_TIME_MAX: Duration = Duration::from_secs(2);

/// Longest time for a whole answer: a million sockets take a second or two.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// One datagram of an answer. The kernel makes them as large as what was last received into, up to 32 KiB, or as large
/// as a single record needs; fewer and larger ones cost less.
const DATAGRAM_BYTES_MAX: usize = 64 * 1024;

const FLAG_REQUEST: u16 = 0x1;
const FLAG_MULTI: u16 = 0x2;
const FLAG_DUMP_INTERRUPTED: u16 = 0x10;
const FLAG_DUMP: u16 = 0x300;
const FLAG_ACKNOWLEDGE: u16 = 0x4;
const FLAG_EXCLUSIVE: u16 = 0x200;
const FLAG_CREATE: u16 = 0x400;

/// One request has one answer, so one number will do.
const SEQUENCE: u32 = 1;

/// Whether a listing is whole, and of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complete {
    /// As far as the kernel says.
    Yes,
    /// What was listed changed while it was (`NLM_F_DUMP_INTR`): some may be missing, some may be told twice.
    Changed,
    /// There was more than is told: a bound of the caller's was reached.
    Cut,
}

impl Complete {
    /// Two listings together.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Cut, _) | (_, Self::Cut) => Self::Cut,
            (Self::Changed, _) | (_, Self::Changed) => Self::Changed,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }
}

/// A question that failed, and where: there may be no netlink at all, or this question may be the trouble.
#[derive(Debug)]
pub(crate) enum NetlinkError {
    /// No socket for this protocol.
    Socket(io::Error),
    /// The question was refused or its answer did not come.
    Answer(io::Error),
}

impl From<NetlinkError> for io::Error {
    fn from(error: NetlinkError) -> Self {
        match error {
            NetlinkError::Socket(error) | NetlinkError::Answer(error) => error,
        }
    }
}

/// Asks for a list: `visit` sees the payload of each record, of the kind that the answer has.
pub(crate) fn dump(
    protocol: libc::c_int,
    kind: u16,
    body: &[u8],
    attributes: &[(u16, &[u8])],
    visit: impl FnMut(&[u8]),
) -> Result<Complete, NetlinkError> {
    ask(protocol, (kind, FLAG_DUMP), body, attributes, visit)
}

/// Asks for one thing: the payload of the one record of the answer.
pub(crate) fn one(
    protocol: libc::c_int,
    kind: u16,
    body: &[u8],
    attributes: &[(u16, &[u8])],
) -> Result<Vec<u8>, NetlinkError> {
    let mut answer = None;
    ask(protocol, (kind, 0), body, attributes, |payload| {
        answer = Some(payload.to_vec());
    })?;
    answer.ok_or_else(|| NetlinkError::Answer(io::ErrorKind::InvalidData.into()))
}

/// Gives rtnetlink an order to make something new, and waits until it is done. For tests: lasthop changes nothing of
/// the host.
pub(crate) fn create(kind: u16, body: &[u8], attributes: &[(u16, &[u8])]) -> io::Result<()> {
    let flags = FLAG_ACKNOWLEDGE | FLAG_CREATE | FLAG_EXCLUSIVE;
    let protocol = libc::NETLINK_ROUTE;
    ask(protocol, (kind, flags), body, attributes, |_| {})?;
    Ok(())
}

fn ask(
    protocol: libc::c_int,
    (kind, flags): (u16, u16),
    body: &[u8],
    attributes: &[(u16, &[u8])],
    visit: impl FnMut(&[u8]),
) -> Result<Complete, NetlinkError> {
    let socket = open(protocol).map_err(NetlinkError::Socket)?;
    let mut request = Request::new(kind, FLAG_REQUEST | flags, SEQUENCE, body);
    for (kind, value) in attributes {
        request = request.with(*kind, value);
    }
    socket
        .send(&request.finish())
        .and_then(|_| receive(socket, visit))
        .map_err(NetlinkError::Answer)
}

/// A socket that hears the kernel and nobody else.
fn open(protocol: libc::c_int) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::from(libc::AF_NETLINK),
        Type::RAW,
        Some(Protocol::from(protocol)),
    )?;
    socket.set_read_timeout(Some(RECEIVE_TIME_MAX))?;
    // SAFETY: `sockaddr_nl` is a plain structure of integers, for which zero is a valid value. Port 0 is the kernel.
    let mut kernel: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    kernel.nl_family = libc::sa_family_t::try_from(libc::AF_NETLINK).unwrap_or_default();
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_nl>()).unwrap_or_default();
    // SAFETY: pointer and length describe `kernel`, which lives past the call; the kernel only reads it.
    let connected =
        unsafe { libc::connect(socket.as_raw_fd(), (&raw const kernel).cast(), length) };
    if connected == 0 {
        Ok(socket)
    } else {
        Err(io::Error::last_os_error())
    }
}

fn receive(mut socket: Socket, mut visit: impl FnMut(&[u8])) -> io::Result<Complete> {
    let begin = Instant::now();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut complete = Complete::Yes;
    while begin.elapsed() < ANSWER_TIME_MAX {
        let length = match socket.read(&mut buffer) {
            Ok(length) if length < buffer.len() => length,
            // Full to the brim: it may have been cut, and what is cut is lost.
            Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // How a receive says that its time is up.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        };
        match datagram(&buffer[..length], &mut visit)? {
            Progress::More { changed: false } => {}
            Progress::More { changed: true } => complete = Complete::Changed,
            Progress::End { changed } => {
                return Ok(if changed { Complete::Changed } else { complete });
            }
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// How far an answer has come.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    More { changed: bool },
    End { changed: bool },
}

fn datagram(bytes: &[u8], visit: &mut impl FnMut(&[u8])) -> io::Result<Progress> {
    let mut changed = false;
    for message in Messages::new(bytes) {
        let message: Message<'_> = message.map_err(|_| io::ErrorKind::InvalidData)?;
        if message.sequence != SEQUENCE {
            continue;
        }
        changed |= message.flags & FLAG_DUMP_INTERRUPTED != 0;
        match message.meaning() {
            Meaning::Nothing => {}
            Meaning::Record => {
                visit(message.payload);
                if message.flags & FLAG_MULTI == 0 {
                    return Ok(Progress::End { changed });
                }
            }
            Meaning::End => return Ok(Progress::End { changed }),
            Meaning::Failed(errno) => return Err(io::Error::from_raw_os_error(errno)),
            Meaning::Garbled => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(Progress::More { changed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        Request::new(kind, flags, sequence, body).finish()
    }

    fn read(bytes: &[u8]) -> (io::Result<Progress>, Vec<Vec<u8>>) {
        let mut seen = Vec::new();
        let progress = datagram(bytes, &mut |payload: &[u8]| seen.push(payload.to_vec()));
        (progress, seen)
    }

    #[test]
    fn an_answer_of_many_parts_ends_with_its_last() {
        let parts = [
            message(20, FLAG_MULTI, SEQUENCE, b"one."),
            message(20, FLAG_MULTI, SEQUENCE + 1, b"not ours"),
            message(20, FLAG_MULTI, SEQUENCE, b"two."),
        ]
        .concat();
        let (progress, seen) = read(&parts);
        assert_eq!(progress.unwrap(), Progress::More { changed: false });
        assert_eq!(seen, [b"one.", b"two."]);
        let (progress, _) = read(&message(3, FLAG_MULTI, SEQUENCE, &[0; 4]));
        assert_eq!(progress.unwrap(), Progress::End { changed: false });
    }

    #[test]
    fn a_listing_that_changed_meanwhile_says_so() {
        let part = message(20, FLAG_MULTI | FLAG_DUMP_INTERRUPTED, SEQUENCE, b"one.");
        assert_eq!(read(&part).0.unwrap(), Progress::More { changed: true });
    }

    #[test]
    fn errors_keep_their_number_and_garbage_is_an_error_too() {
        let refused = message(2, 0, SEQUENCE, &(-libc::ENOENT).to_ne_bytes());
        let error = read(&refused).0.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        let error = read(&refused[..10]).0.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_question_the_kernel_does_not_know_is_refused_and_does_not_hang() {
        let error = one(libc::NETLINK_SOCK_DIAG, 20, &[255; 56], &[]).unwrap_err();
        assert!(matches!(error, NetlinkError::Answer(_)), "{error:?}");
        assert!(io::Error::from(error).raw_os_error().is_some());
    }

    /// Both ends of a stand-in for the kernel, which keeps the limits of datagrams as netlink does.
    fn stand_in() -> (Socket, Socket) {
        let (ours, theirs) = Socket::pair(Domain::UNIX, Type::DGRAM, None).unwrap();
        ours.set_read_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        (ours, theirs)
    }

    #[test]
    fn an_answer_of_many_datagrams_is_read_to_its_end() {
        let (ours, theirs) = stand_in();
        for (kind, body) in [(20, b"one."), (20, b"two."), (3, &[0; 4])] {
            theirs
                .send(&message(kind, FLAG_MULTI, SEQUENCE, body))
                .unwrap();
        }
        let mut seen = 0;
        assert_eq!(receive(ours, |_| seen += 1).unwrap(), Complete::Yes);
        assert_eq!(seen, 2);
    }

    #[test]
    fn an_answer_that_stops_halfway_is_an_error_in_time() {
        let (ours, theirs) = stand_in();
        theirs
            .send(&message(20, FLAG_MULTI, SEQUENCE, b"one."))
            .unwrap();
        let error = receive(ours, |_| {}).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_datagram_that_may_have_been_cut_is_an_error() {
        let (ours, theirs) = stand_in();
        theirs.send(&vec![0; DATAGRAM_BYTES_MAX]).unwrap();
        let error = receive(ours, |_| {}).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
