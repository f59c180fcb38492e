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

/// Whether process `pid` is in the network namespace of the calling thread; none where there is no such process any more.
///
/// By `/proc/PID/net` (proc_pid_net(5)), which everybody may look into, where `/proc/PID/ns/net` takes the rights of
/// ptrace(2): each namespace has a directory `net/stat` of its own, which has a number of its own as long as it lives.
#[must_use]
pub fn is_own(pid: u32) -> Option<bool> {
    let number = |process: &str| {
        let directory = std::fs::metadata(format!("/proc/{process}/net/stat"));
        directory.ok().map(|directory| directory.ino())
    };
    Some(number(&pid.to_string())? == number("thread-self")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::as_nobody;

    #[test]
    fn whoever_asks_is_told_which_processes_share_the_namespace() {
        let parent = std::os::unix::process::parent_id();
        let told = as_nobody(move || (is_own(std::process::id()), is_own(parent)));
        assert!(
            told.is_none_or(|told| told == (Some(true), Some(true))),
            "{told:?}"
        );
        assert_eq!(is_own(u32::MAX), None);
        let mut child = std::process::Command::new("cat");
        child.stdin(std::process::Stdio::piped());
        match super::super::isolate(&mut child).spawn() {
            Ok(mut child) => {
                assert_eq!(is_own(child.id()), Some(false));
                drop(child.stdin.take());
                child.wait().unwrap();
            }
            Err(error) => super::super::skip("is_own", &error),
        }
    }

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
