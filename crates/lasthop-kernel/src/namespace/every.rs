//! The network namespaces that processes of this host are in.

use crate::process::{is_gone, name, numbers};
use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;

/// Namespaces that [`every`] tells at most. A host of containers has one for each pod or container: hundreds; more than
/// these nobody reads.
pub const NAMESPACES_MAX: usize = 1024;

/// A network namespace with processes in it. One that is only held open, by a mount as `ip netns add` makes it or by a
/// descriptor, is not told: nobody in there can run out of anything but through its sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkNamespace {
    /// What tells it from others: the inode of `/proc/PID/ns/net` (namespaces(7)).
    pub inode: u64,
    /// The process in it with the lowest number, by which [`within`](super::within) enters it.
    pub pid: u32,
    /// The name of that process' program, at most 15 bytes.
    pub name: String,
    /// How many processes are in it, as far as they could be looked at.
    pub processes: u32,
    /// Whether it is that of the calling thread.
    pub own: bool,
}

/// The network namespaces of all processes that /proc lists, in the order of their lowest process numbers, at most
/// [`NAMESPACES_MAX`]; and how many processes could not be looked at, because they belong to other users, or counted in,
/// because there were too many namespaces. A process whose threads are in several is in that of its first.
///
/// One stat(2) for each process: 3 µs.
///
/// # Errors
/// As open(2), where `/proc` is not there.
pub fn every() -> io::Result<(Vec<NetworkNamespace>, u32)> {
    let own = std::fs::metadata("/proc/thread-self/ns/net")?.ino();
    let mut namespaces: Vec<NetworkNamespace> = Vec::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    let mut unreadable = 0u32;
    for pid in numbers()? {
        let inode = match std::fs::metadata(format!("/proc/{pid}/ns/net")) {
            Ok(namespace) => namespace.ino(),
            // One that has ended, or is about to and has left its namespaces.
            Err(error) if is_gone(&error) => continue,
            Err(_) => {
                unreadable = unreadable.saturating_add(1);
                continue;
            }
        };
        if let Some(place) = places.get(&inode) {
            namespaces[*place].processes += 1;
        } else if namespaces.len() < NAMESPACES_MAX {
            places.insert(inode, namespaces.len());
            namespaces.push(NetworkNamespace {
                inode,
                pid,
                name: name(pid),
                processes: 1,
                own: inode == own,
            });
        } else {
            unreadable = unreadable.saturating_add(1);
        }
    }
    Ok((namespaces, unreadable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::as_nobody;

    #[test]
    fn the_namespace_of_this_process_is_among_them_and_the_only_own_one() {
        let (namespaces, _) = every().unwrap();
        let own: Vec<_> = namespaces.iter().filter(|one| one.own).collect();
        assert_eq!(own.len(), 1);
        let inode = std::fs::metadata("/proc/self/ns/net").unwrap().ino();
        assert_eq!(own[0].inode, inode);
        assert!(own[0].processes > 0 && !own[0].name.is_empty());
        assert!(own[0].pid <= std::process::id());
    }

    #[test]
    fn processes_of_others_are_counted_as_unseen() {
        if let Some(told) = as_nobody(every) {
            let (_, unreadable) = told.unwrap();
            assert!(unreadable > 0);
        }
    }
}
