//! A listening Unix socket on a path: never stolen from a living server, never left to rot by a dead one.
//!
//! The socket is made under a temporary name in the same directory, given its owner and mode, put to listen, and only
//! then renamed onto its path. So whoever finds the path can connect, the permissions are right from the first moment, and
//! a stale file is replaced without a gap. A file that is there already is probed with connect(2), the only question
//! a server answers by being alive.

use super::path::{DirectoryLock, PathClaim, directory_of};
use super::{Holder, ListenError, backlog_int};
use crate::connect::{UNIX_PATH_BYTES_MAX, UnixTarget};
use crate::socket::peer_credentials;
use socket2::{Domain, Socket, Type};
use std::ffi::OsString;
use std::fs::{self, FileType, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, lchown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Who may connect: connecting needs write permission on the file (unix(7)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnixPermissions {
    /// Permission bits such as `0o660`; `None` leaves what the umask gives.
    pub mode: Option<u32>,
    /// Owner by number; `None` leaves the user we run as.
    pub owner: Option<u32>,
    /// Group by number; `None` leaves the group we run as (or the directory's, if that is setgid).
    pub group: Option<u32>,
}

/// A listener and its file. Fields drop in this order: the file goes before the listener closes, so that no other
/// starter finds it stale.
#[derive(Debug)]
pub struct UnixListening {
    /// The file, removed on drop if still ours.
    pub claim: PathClaim,
    /// Non-blocking and close-on-exec.
    pub listener: UnixListener,
}

/// Listens on `path` with room for `backlog` connections (clipped by the kernel to `net.core.somaxconn`).
///
/// Blocks on the file system, and for up to two seconds when another instance starts in the same directory: for start
/// and reload, not for a worker.
///
/// # Errors
/// [`ListenError`]; in particular `AlreadyServed` when a server answers on the path, `CannotTell` when we may not ask
/// it, and `NotASocket` when something else has the path. All three leave the path as it is.
pub fn unix(
    path: &Path,
    permissions: UnixPermissions,
    backlog: u32,
) -> Result<UnixListening, ListenError> {
    let target = UnixTarget::path(path).map_err(|error| ListenError::BadPath {
        path: path.to_owned(),
        why: error.to_string(),
    })?;
    let temporary = temporary_path(path)?;
    let _lock = DirectoryLock::take(path)?;
    refuse_occupied(path, &target)?;
    clear_leftover(&temporary)?;
    let socket = bound(path, &temporary)?;
    let temporary = Temporary(temporary);
    apply(path, &temporary.0, permissions)?;
    socket
        .listen(backlog_int(backlog))
        .map_err(host_error(path, "listen()"))?;
    let metadata = fs::symlink_metadata(&temporary.0).map_err(host_error(path, "lstat()"))?;
    fs::rename(&temporary.0, path).map_err(host_error(path, "rename()"))?;
    Ok(UnixListening {
        claim: PathClaim::new(path.to_owned(), &metadata),
        listener: socket.into(),
    })
}

/// Removes the temporary file on every way out; after the rename there is none, and that is fine.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Swallowed: gone is what it should be, and a leftover is cleared by the next start that needs the name.
        let _ = fs::remove_file(&self.0);
    }
}

/// `PATH.PID`, because tools such as ss(8) go on showing the name that was bound; `DIRECTORY/.PID` where that is too
/// long for a socket.
fn temporary_path(path: &Path) -> Result<PathBuf, ListenError> {
    let pid = std::process::id();
    let mut long = OsString::from(path);
    long.push(format!(".{pid}"));
    let short = directory_of(path).join(format!(".{pid}"));
    [PathBuf::from(long), short]
        .into_iter()
        .find(|candidate| candidate.as_os_str().as_bytes().len() <= UNIX_PATH_BYTES_MAX)
        .ok_or_else(|| ListenError::BadPath {
            path: path.to_owned(),
            why: format!(
                "its directory leaves no room for a temporary name within {UNIX_PATH_BYTES_MAX} bytes"
            ),
        })
}

/// Passes when the path is free or holds a stale socket.
fn refuse_occupied(path: &Path, target: &UnixTarget) -> Result<(), ListenError> {
    let cannot_tell = |source| ListenError::CannotTell {
        path: path.to_owned(),
        source,
    };
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot_tell(error)),
    };
    if !kind.is_socket() {
        return Err(ListenError::NotASocket {
            path: path.to_owned(),
            kind: kind_name(kind),
        });
    }
    let served = |by| ListenError::AlreadyServed {
        address: target.to_string(),
        by,
    };
    let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)
        .map_err(host_error(path, "socket()"))?;
    match probe.connect(target.address()) {
        Ok(()) => Err(served(peer_credentials(&probe).ok().map(Holder::of_peer))),
        Err(error) => match error.raw_os_error() {
            // Bound by a process that is gone, or not listening: a lasthop between bind and listen holds the lock.
            Some(libc::ECONNREFUSED) => Ok(()),
            // Went away between the two questions.
            Some(libc::ENOENT) => Ok(()),
            // A full backlog, or a datagram socket: alive either way.
            Some(libc::EAGAIN | libc::EPROTOTYPE) => Err(served(None)),
            _ => Err(cannot_tell(error)),
        },
    }
}

/// A socket under our temporary name can only be left over from a process that had our pid and died half-way: the lock
/// of the directory keeps everyone alive away from it, also those with the same pid in another pid namespace.
fn clear_leftover(temporary: &Path) -> Result<(), ListenError> {
    match fs::symlink_metadata(temporary) {
        Ok(metadata) if metadata.file_type().is_socket() => {
            fs::remove_file(temporary).map_err(host_error(temporary, "unlink()"))
        }
        // Something else in the way makes bind(2) fail and is named then.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn bound(path: &Path, temporary: &Path) -> Result<Socket, ListenError> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)
        .map_err(host_error(path, "socket()"))?;
    let address = UnixTarget::path(temporary).map_err(|error| ListenError::BadPath {
        path: temporary.to_owned(),
        why: error.to_string(),
    })?;
    match socket.bind(address.address()) {
        Ok(()) => Ok(socket),
        Err(source) if source.kind() == io::ErrorKind::AddrInUse => Err(ListenError::NotASocket {
            path: temporary.to_owned(),
            kind: "in the way of our temporary name",
        }),
        Err(source) => Err(ListenError::Directory {
            directory: directory_of(path).to_owned(),
            source,
        }),
    }
}

/// Before listen(2), so that nobody connects under permissions that were never meant. Owner first: a change of owner
/// may clear mode bits.
fn apply(path: &Path, temporary: &Path, permissions: UnixPermissions) -> Result<(), ListenError> {
    let failed = |what: String| {
        move |source| ListenError::Ownership {
            path: path.to_owned(),
            what,
            source,
        }
    };
    if let Some(owner) = permissions.owner {
        lchown(temporary, Some(owner), None).map_err(failed(format!("the owner {owner}")))?;
    }
    if let Some(group) = permissions.group {
        lchown(temporary, None, Some(group)).map_err(failed(format!("the group {group}")))?;
    }
    if let Some(mode) = permissions.mode {
        fs::set_permissions(temporary, Permissions::from_mode(mode))
            .map_err(failed(format!("mode {mode:04o}")))?;
    }
    Ok(())
}

fn kind_name(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_file() {
        "a regular file"
    } else if kind.is_fifo() {
        "a FIFO"
    } else {
        "a device"
    }
}

fn host_error(path: &Path, call: &'static str) -> impl Fn(io::Error) -> ListenError {
    move |source| ListenError::Host {
        address: format!("unix:{}", path.display()),
        call,
        source,
    }
}
