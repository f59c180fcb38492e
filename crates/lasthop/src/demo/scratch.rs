//! A private directory for sockets and generated files, gone when dropped.
//!
//! Made with `mkdir(2)`, which fails on a name that exists, so that nobody can have prepared it. Mode 0755: a rival's
//! worker that runs as another user has to reach the socket inside. Not a general temporary-file facility.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names tried before giving up: only leftovers of crashed runs with our process id can be in the way.
const ATTEMPTS_MAX: u32 = 64;

/// A directory that is removed, with what is in it, on drop.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes `lasthop-PID-N` in the directory for temporary files. Its path is short, since a Unix socket's path may
    /// have 107 bytes.
    ///
    /// # Errors
    /// Those of `mkdir(2)`: the directory for temporary files is missing, full or not ours to write to.
    pub fn new() -> io::Result<Self> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let serial = SERIAL.fetch_add(1, Ordering::Relaxed); // unique is enough, order is not needed
            let path = std::env::temp_dir().join(format!("lasthop-{}-{serial}", process::id()));
            match DirBuilder::new().mode(0o755).create(&path) {
                Ok(()) => {
                    // The umask may have narrowed it.
                    std::fs::set_permissions(&path, Permissions::from_mode(0o755))?;
                    return Ok(Self { path });
                }
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && attempts < ATTEMPTS_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and what is left is a few empty files in /tmp.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_directories_differ_and_go_when_dropped() {
        let (one, other) = (Scratch::new().unwrap(), Scratch::new().unwrap());
        assert_ne!(one.path(), other.path());
        std::fs::write(one.path().join("file"), "x").unwrap();
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists());
        assert!(other.path().exists());
    }
}
