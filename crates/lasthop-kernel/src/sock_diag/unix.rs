//! Unix sockets: who listens on one, how long the queue before it is, and all there are.

use super::{Complete, DiagError, dump};
use crate::connect::UnixTarget;
use crate::socket::TcpState;
use crate::wire::unix_diag::{self, File, UnixSocket};
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

/// A Unix listener of this network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnixListening {
    /// Connections waiting to be accepted.
    pub queue: u32,
    /// How many may wait: one more than this do, then connect(2) says `EAGAIN`.
    pub backlog: u32,
    /// The inode by which [`owner::of`](crate::owner::of) finds the process.
    pub inode: u64,
}

/// Who listens on `target`. `None` where nobody does, where the file is gone, or where the listener was made in another
/// network namespace: connections reach it all the same, but the kernel does not list it here.
///
/// A path is found by its file (device and inode number), so that it does not matter by which of several names it was
/// bound. On file systems that tell stat(2) another device than the kernel's own (subvolumes of btrfs, some overlays)
/// the name and the inode number have to do.
///
/// # Errors
/// [`DiagError`].
pub fn unix_listener(target: &UnixTarget) -> Result<Option<UnixListening>, DiagError> {
    let wanted = Wanted::new(target);
    let mut by_file = None;
    let mut by_name = None;
    let states = 1 << TcpState::Listen.number();
    let _: Complete = dump(&unix_diag::request(states), &[], |payload| {
        let Some(socket) = unix_diag::parse(payload) else {
            return;
        };
        if wanted.has_file_of(&socket) {
            by_file = listening(&socket);
        } else if wanted.has_name_of(&socket) {
            by_name = listening(&socket);
        }
    })?;
    Ok(by_file.or(by_name))
}

/// A Unix socket of this network namespace that listens or is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnixEntry<'a> {
    /// Where it stands: [`TcpState::Listen`] or [`TcpState::Established`]; the kernel uses the numbers of TCP.
    pub state: TcpState,
    /// The name it was bound to: a path as the program gave it, without the zero byte at its end, or a zero byte and an
    /// abstract name. The accepted end of a connection has the name of its listener, the other end mostly none.
    pub name: Option<&'a [u8]>,
    /// The file of that path when it was bound. By now the path may lead to another, or to none.
    pub file: Option<UnixFile>,
    /// The inode by which [`owner::of`](crate::owner::of) finds the process.
    pub inode: u64,
    /// The inode of the socket at the other end; 0 where that has not been accepted yet. It is not listed itself then.
    pub peer: Option<u64>,
    /// Bytes waiting to be read; of a listener, connections waiting to be accepted.
    pub queue: u32,
    /// Of a listener: how many may wait. One more than this do, then connect(2) says `EAGAIN`.
    pub backlog: Option<u32>,
    /// The user who made it (told since Linux 5.3).
    pub uid: Option<u32>,
}

/// A file as the kernel numbers it inside, which is not as stat(2) tells it: [`UnixFile::of`] translates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnixFile {
    /// The device: the major number above the lowest 20 bits, the minor number in them. On file systems that tell
    /// stat(2) another device than the kernel's own (subvolumes of btrfs, some overlays) it fits no [`UnixFile::of`].
    pub device: u32,
    /// The lower half of the inode number.
    pub inode: u32,
}

impl UnixFile {
    /// A file by what stat(2) says of it; `None` where its device has a number beyond what the kernel packs.
    #[must_use]
    pub fn of(file: &Metadata) -> Option<Self> {
        kernel_file(file).map(Self::from)
    }
}

impl From<File> for UnixFile {
    fn from(File { device, inode }: File) -> Self {
        Self { device, inode }
    }
}

impl<'a> From<UnixSocket<'a>> for UnixEntry<'a> {
    fn from(socket: UnixSocket<'a>) -> Self {
        let state = TcpState::from(socket.state);
        let (queue, second) = socket.queues.unzip();
        Self {
            state,
            name: socket.name,
            file: socket.file.map(UnixFile::from),
            inode: socket.inode.into(),
            peer: socket.peer.map(u64::from),
            queue: queue.unwrap_or(0),
            backlog: second.filter(|_| state == TcpState::Listen),
            uid: socket.uid,
        }
    }
}

/// Has `visit` see every Unix socket that listens or is connected, in no order: those of this network namespace, which
/// is where they were made. Those that come or go meanwhile may or may not be seen. With 19,000 of them: 11 ms (Linux
/// 6.18, in a virtual machine; `cargo run --release -p lasthop-kernel --example kernel_costs`).
///
/// # Errors
/// [`DiagError`]; some may have been visited before it.
pub fn unix_sockets(mut visit: impl FnMut(UnixEntry<'_>)) -> Result<Complete, DiagError> {
    let states = 1 << TcpState::Listen.number() | 1 << TcpState::Established.number();
    dump(&unix_diag::request(states), &[], |payload| {
        if let Some(socket) = unix_diag::parse(payload) {
            visit(socket.into());
        }
    })
}

fn listening(socket: &UnixSocket<'_>) -> Option<UnixListening> {
    socket.queues.map(|(queue, backlog)| UnixListening {
        queue,
        backlog,
        inode: socket.inode.into(),
    })
}

/// What makes a listener the one that is looked for.
struct Wanted {
    /// The file of a path, if it is there.
    file: Option<File>,
    /// As the kernel spells it: a path, or a zero byte and an abstract name. `None` for a path that is relative, which
    /// means another file to another process.
    name: Option<Vec<u8>>,
}

impl Wanted {
    fn new(target: &UnixTarget) -> Self {
        if let Some(name) = target.as_abstract_name() {
            return Self {
                file: None,
                name: Some([b"\0", name].concat()),
            };
        }
        let path = target.as_path();
        Self {
            file: path
                .and_then(|path| std::fs::metadata(path).ok())
                .and_then(|file| kernel_file(&file)),
            name: path
                .filter(|path| path.is_absolute())
                .map(|path| path.as_os_str().as_bytes().to_vec()),
        }
    }

    fn has_file_of(&self, socket: &UnixSocket<'_>) -> bool {
        self.file.is_some() && self.file == socket.file
    }

    /// The name alone proves nothing of a path: it may have been unlinked and bound again, or mean another file in
    /// another mount namespace. Abstract names have no file on either side.
    fn has_name_of(&self, socket: &UnixSocket<'_>) -> bool {
        let inode = |file: Option<File>| file.map(|file| file.inode);
        self.name.is_some()
            && self.name.as_deref() == socket.name
            && inode(self.file) == inode(socket.file)
    }
}

/// A file as the kernel numbers it inside: the device packed by `MKDEV` (linux/kdev_t.h), and the lower half of the
/// inode number.
fn kernel_file(file: &Metadata) -> Option<File> {
    const MINOR_BITS: u32 = 20;
    let (major, minor) = (libc::major(file.dev()), libc::minor(file.dev()));
    let major = major.checked_mul(1 << MINOR_BITS)?;
    Some(File {
        device: (minor < 1 << MINOR_BITS).then_some(major | minor)?,
        inode: u32::try_from(file.ino() & u64::from(u32::MAX)).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn a_name_counts_where_only_the_device_is_told_differently() {
        let directory = TempDir::new();
        let path = directory.join("app.sock");
        std::fs::write(&path, "").unwrap();
        let wanted = Wanted::new(&UnixTarget::path(&path).unwrap());
        let File { device, inode } = wanted.file.unwrap();
        let with = |name, device, inode| UnixSocket {
            state: 10,
            inode: 1,
            name: Some(name),
            file: Some(File { device, inode }),
            peer: None,
            queues: None,
            uid: None,
        };
        let name = path.as_os_str().as_bytes();
        assert!(wanted.has_file_of(&with(b"elsewhere", device, inode)));
        let subvolume = with(name, !device, inode);
        assert!(!wanted.has_file_of(&subvolume) && wanted.has_name_of(&subvolume));
        let unlinked = with(name, !device, !inode);
        assert!(!wanted.has_file_of(&unlinked) && !wanted.has_name_of(&unlinked));
        assert!(!wanted.has_name_of(&with(b"elsewhere", !device, inode)));
    }

    #[test]
    fn a_relative_name_is_nobodys_name() {
        let wanted = Wanted::new(&UnixTarget::path("app.sock").unwrap());
        assert_eq!(wanted.name, None);
    }
}
