//! Unix sockets as sock_diag tells them (linux/unix_diag.h, sock_diag(7)).

use super::netlink::Attributes;
use super::u32_at;

/// `struct unix_diag_msg`, before its attributes.
const RECORD_BYTES: usize = 16;

const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_VFS: u16 = 1;
const UNIX_DIAG_PEER: u16 = 2;
const UNIX_DIAG_RQLEN: u16 = 4;
const UNIX_DIAG_UID: u16 = 7;

const UDIAG_SHOW_NAME: u32 = 0x1;
const UDIAG_SHOW_VFS: u32 = 0x2;
const UDIAG_SHOW_PEER: u32 = 0x4;
const UDIAG_SHOW_RQLEN: u32 = 0x10;
const UDIAG_SHOW_UID: u32 = 0x40;

/// A Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnixSocket<'a> {
    /// The kernel's number of its state, as for TCP.
    pub state: u8,
    /// The inode by which /proc/PID/fd knows it.
    pub inode: u32,
    /// The name it was bound to: a path, without the zero byte at its end, or a zero byte and an abstract name.
    pub name: Option<&'a [u8]>,
    /// The file of that path.
    pub file: Option<File>,
    /// The inode of the socket at the other end.
    pub peer: Option<u32>,
    /// Of a listener: connections waiting to be accepted, and the backlog. Of others: bytes waiting to be read, and bytes
    /// that the other end has not read.
    pub queues: Option<(u32, u32)>,
    /// The user who made it (told since Linux 5.3).
    pub uid: Option<u32>,
}

/// A file as the kernel numbers it inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// The device: the major number above the lowest 20 bits, the minor number in them.
    pub device: u32,
    /// The lower half of the inode number.
    pub inode: u32,
}

/// Reads one record; `None` where it is cut or of another family.
#[must_use]
pub fn parse(payload: &[u8]) -> Option<UnixSocket<'_>> {
    if i32::from(*payload.first()?) != libc::AF_UNIX {
        return None;
    }
    let mut socket = UnixSocket {
        state: *payload.get(2)?,
        inode: u32_at(payload, 4)?,
        name: None,
        file: None,
        peer: None,
        queues: None,
        uid: None,
    };
    for (kind, value) in Attributes::new(payload.get(RECORD_BYTES..)?) {
        match kind {
            UNIX_DIAG_NAME => socket.name = Some(spelled(value)),
            UNIX_DIAG_VFS => {
                socket.file = u32_at(value, 0)
                    .zip(u32_at(value, 4))
                    .map(|(inode, device)| File { device, inode });
            }
            UNIX_DIAG_PEER => socket.peer = u32_at(value, 0),
            UNIX_DIAG_UID => socket.uid = u32_at(value, 0),
            UNIX_DIAG_RQLEN => socket.queues = u32_at(value, 0).zip(u32_at(value, 4)),
            _ => {}
        }
    }
    Some(socket)
}

/// A path ends with its zero byte, if it has one; an abstract name may hold as many as it likes.
fn spelled(name: &[u8]) -> &[u8] {
    match name {
        [0, ..] => name,
        _ => name.split(|byte| *byte == 0).next().unwrap_or_default(),
    }
}

/// The fixed part of a request for sockets in `states`, with their names, files, peers, users and queues. What a
/// kernel does not know it does not tell.
#[must_use]
pub fn request(states: u32) -> Vec<u8> {
    let mut body = vec![u8::try_from(libc::AF_UNIX).unwrap_or_default(), 0, 0, 0];
    body.extend_from_slice(&states.to_ne_bytes());
    // Any inode.
    body.extend_from_slice(&0u32.to_ne_bytes());
    let show =
        UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN | UDIAG_SHOW_UID;
    body.extend_from_slice(&show.to_ne_bytes());
    // No cookie: dumps do not look at it.
    body.extend_from_slice(&[0xff; 8]);
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::maim;

    fn record(name: &[u8]) -> Vec<u8> {
        let mut bytes = vec![1, 1, 10, 0];
        bytes.extend_from_slice(&4711u32.to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        let length = u16::try_from(4 + name.len()).unwrap();
        bytes.extend_from_slice(&length.to_ne_bytes());
        bytes.extend_from_slice(&UNIX_DIAG_NAME.to_ne_bytes());
        bytes.extend_from_slice(name);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        for (kind, first, second) in [(UNIX_DIAG_VFS, 99u32, 5u32), (UNIX_DIAG_RQLEN, 3, 128)] {
            bytes.extend_from_slice(&12u16.to_ne_bytes());
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(&first.to_ne_bytes());
            bytes.extend_from_slice(&second.to_ne_bytes());
        }
        for (kind, value) in [(UNIX_DIAG_PEER, 4712u32), (UNIX_DIAG_UID, 33)] {
            bytes.extend_from_slice(&8u16.to_ne_bytes());
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(&value.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn a_record_is_read_whole() {
        let bytes = record(b"/run/app.sock\0");
        let socket = parse(&bytes).unwrap();
        assert_eq!((socket.state, socket.inode), (10, 4711));
        assert_eq!(socket.name, Some(&b"/run/app.sock"[..]));
        assert_eq!(
            socket.file,
            Some(File {
                device: 5,
                inode: 99
            })
        );
        assert_eq!(socket.queues, Some((3, 128)));
        assert_eq!((socket.peer, socket.uid), (Some(4712), Some(33)));
        let bytes = record(b"\0app\0");
        assert_eq!(parse(&bytes).unwrap().name, Some(&b"\0app\0"[..]));
    }

    #[test]
    fn a_record_that_is_cut_or_maimed_is_none_or_something_else() {
        maim(&record(b"/run/app.sock\0"), |bytes| {
            assert_eq!(
                parse(bytes).is_none(),
                bytes.len() < RECORD_BYTES || bytes[0] != 1
            );
        });
    }
}
