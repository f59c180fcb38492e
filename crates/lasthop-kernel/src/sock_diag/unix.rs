//! Who listens on a Unix socket, and how long the queue before it is.

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
            queues: None,
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
