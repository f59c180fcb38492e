//! The path of a socket file: locked while it changes hands, and taken away only if it is still ours.
//!
//! Two starters must not both find a stale file and both replace it, and a leaver must not remove its successor's file.
//! Both are read-then-write on a directory, which no single system call does, so both happen under flock(2) on the
//! directory itself: it leaves no lock file behind, ends with its holder, and works across network namespaces.

use super::ListenError;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// How often and how far apart a lock is asked for. A holder keeps it for the length of a few system calls, so two
/// seconds in all is a holder that hangs. Polled, because flock(2) itself cannot give up.
const LOCK_TRIES_MAX: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The lock on the directory of a socket; dropping it unlocks.
pub(super) struct DirectoryLock {
    _directory: File,
}

impl DirectoryLock {
    /// # Errors
    /// `Directory` when it is missing or unreadable, `Locked` when another process holds on to it.
    pub(super) fn take(path: &Path) -> Result<Self, ListenError> {
        let directory = directory_of(path);
        let failed = |source| ListenError::Directory {
            directory: directory.to_owned(),
            source,
        };
        let file = File::open(directory).map_err(failed)?;
        for _ in 0..LOCK_TRIES_MAX {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _directory: file }),
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        Err(ListenError::Locked {
            directory: directory.to_owned(),
        })
    }
}

/// `app.sock` is in `.`, whatever [`Path::parent`] says.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Our socket file. Dropping it removes the file if it is still ours, and leaves a successor's alone.
#[derive(Debug)]
pub struct PathClaim {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Cleared once removed or left to a successor.
    armed: bool,
}

impl PathClaim {
    /// `metadata` is of the file itself, taken before it was moved to `path`: a rename keeps device and inode.
    pub(super) fn new(path: PathBuf, metadata: &fs::Metadata) -> Self {
        Self {
            path,
            device: metadata.dev(),
            inode: metadata.ino(),
            armed: true,
        }
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file at the path is still the one we made.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| metadata.dev() == self.device && metadata.ino() == self.inode)
    }

    /// Removes the file if it is still ours. Do this before the listener is closed, so that nobody finds it stale.
    /// Returns whether it was removed. May wait up to two seconds for the lock of the directory.
    ///
    /// # Errors
    /// What kept the file from being removed; it stays behind as a stale socket, which the next start replaces.
    pub fn remove(mut self) -> Result<bool, ListenError> {
        self.remove_if_ours()
    }

    /// Leaves the file where it is for good: the listener lives on in another process.
    pub fn leave(mut self) {
        self.armed = false;
    }

    fn remove_if_ours(&mut self) -> Result<bool, ListenError> {
        if !std::mem::take(&mut self.armed) {
            return Ok(false);
        }
        let _lock = DirectoryLock::take(&self.path)?;
        if !self.is_ours() {
            return Ok(false);
        }
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(ListenError::Directory {
                directory: directory_of(&self.path).to_owned(),
                source,
            }),
        }
    }
}

impl Drop for PathClaim {
    fn drop(&mut self) {
        // Swallowed: there is nobody left to tell, and a file that stays is stale and replaced by the next start.
        let _ = self.remove_if_ours();
    }
}
