//! Socket files in /run that nobody serves, come across and not connected to: strangers' sockets are left alone.
//!
//! A socket belongs to the network namespace that it was made in, and the kernel lists it there only. So this says
//! nothing unless every namespace can be looked into.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use lasthop_kernel::namespace;
use lasthop_kernel::sock_diag::{self, UnixFile};

/// How deep below /run is looked.
const DEPTH_MAX: u32 = 3;

/// Entries of directories that are looked at.
const ENTRIES_MAX: usize = 4096;

/// Namespaces that are looked into; a host of more has containers with sockets of their own.
const NAMESPACES_MAX: usize = 16;

/// What is bound somewhere on this host.
#[derive(Default)]
struct Bound {
    names: HashSet<Vec<u8>>,
    files: HashSet<UnixFile>,
}

/// Socket files below `directory` that no socket of this host is bound to.
pub(super) fn lying_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = socket_files(directory);
    if files.is_empty() {
        return files;
    }
    let Some(bound) = bound_anywhere() else {
        return Vec::new();
    };
    files.retain(|file| !bound.has(file));
    files
}

impl Bound {
    fn has(&self, path: &Path) -> bool {
        let Ok(file) = std::fs::metadata(path) else {
            // Gone meanwhile.
            return true;
        };
        let is_file = UnixFile::of(&file).is_none_or(|file| self.files.contains(&file));
        // /var/run leads to /run.
        let elsewhere = Path::new("/var").join(path.strip_prefix("/").unwrap_or(path));
        let names = [path, &elsewhere];
        is_file
            || names
                .iter()
                .any(|name| self.names.contains(name.as_os_str().as_bytes()))
    }

    /// Of the network namespace of the calling thread; `None` where it cannot be read.
    fn here() -> Option<Self> {
        let mut bound = Self::default();
        // Also sockets that neither listen nor are connected: those for datagrams. Names with blanks stay whole, because
        // the name is the last column (proc_pid_net(5)).
        let text = std::fs::read("/proc/thread-self/net/unix").ok()?;
        for line in text.split(|byte| *byte == b'\n') {
            let slash = line.iter().position(|byte| *byte == b'/');
            bound
                .names
                .extend(slash.map(|slash| line[slash..].to_vec()));
        }
        sock_diag::unix_sockets(|entry| bound.files.extend(entry.file)).ok()?;
        Some(bound)
    }
}

fn bound_anywhere() -> Option<Bound> {
    let (namespaces, unreadable) = namespace::every().ok()?;
    if unreadable > 0 || namespaces.len() > NAMESPACES_MAX {
        return None;
    }
    let mut all = Bound::default();
    for one in namespaces {
        let bound = if one.own {
            Bound::here()
        } else {
            namespace::within(one.pid, Bound::here).ok().flatten()
        }?;
        all.names.extend(bound.names);
        all.files.extend(bound.files);
    }
    Some(all)
}

fn socket_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![(directory.to_owned(), 1)];
    let mut entries = 0;
    while let Some((directory, depth)) = waiting.pop() {
        let Ok(listing) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in listing.flatten() {
            entries += 1;
            if entries > ENTRIES_MAX {
                return found;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_socket() => found.push(entry.path()),
                Ok(kind) if kind.is_dir() && depth < DEPTH_MAX => {
                    waiting.push((entry.path(), depth + 1));
                }
                _ => {}
            }
        }
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    #[test]
    fn only_files_that_no_socket_is_bound_to_are_lying() {
        let directory = std::env::temp_dir().join(format!("lasthop-lying-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("deep")).unwrap();
        let listener = UnixListener::bind(directory.join("a.sock")).unwrap();
        let datagrams = UnixDatagram::bind(directory.join("b.sock")).unwrap();
        drop(UnixListener::bind(directory.join("deep/c.sock")).unwrap());
        std::fs::write(directory.join("file"), "").unwrap();
        let bound = Bound::here().unwrap();
        let lying: Vec<PathBuf> = socket_files(&directory)
            .into_iter()
            .filter(|file| !bound.has(file))
            .collect();
        assert_eq!(lying, [directory.join("deep/c.sock")]);
        drop((listener, datagrams));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
