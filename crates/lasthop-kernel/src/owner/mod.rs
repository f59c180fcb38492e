//! Which process has a socket, by the inode that the kernel lists it with (`/proc/PID/fd`, proc_pid_fd(5)).
//!
//! The kernel has no shorter way, so all descriptors of all processes may have to be looked at: milliseconds on a small
//! host, seconds on one with a million descriptors. For a diagnosis, off the workers, and with a deadline.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// Entries of a directory that are looked at between two looks at the clock.
const ENTRIES_PER_CLOCK: usize = 64;

/// A process and a socket that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The socket.
    pub inode: u64,
    /// The process. Of several that share a socket, as a parent and its workers do, the one with the lowest number.
    pub pid: u32,
    /// The name of its program, at most 15 bytes (`/proc/PID/comm`).
    pub name: String,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owners {
    /// One for each inode that was found, in the order of their process numbers.
    pub owners: Vec<Owner>,
    /// Whether all was found or every process of /proc could be looked into: `false` where some belong to other users, or
    /// time was up. What was not found then may be one of theirs. Processes that /proc does not even list, in another
    /// process namespace or behind its option `hidepid`, are not known to be missing.
    pub saw_all: bool,
}

/// Finds the processes that have the sockets `inodes`, within `deadline`. An inode of 0, which sockets without a
/// descriptor have, is not looked for.
#[must_use]
pub fn of(inodes: &[u64], deadline: Duration) -> Owners {
    let end = Instant::now().checked_add(deadline);
    let mut search = Search {
        wanted: inodes.iter().copied().filter(|inode| *inode != 0).collect(),
        found: Owners {
            owners: Vec::new(),
            saw_all: true,
        },
        end,
    };
    let Ok(entries) = std::fs::read_dir("/proc") else {
        search.found.saw_all = search.wanted.is_empty();
        return search.found;
    };
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    for pid in pids {
        if search.wanted.is_empty() {
            break;
        }
        if search.is_over() {
            search.found.saw_all = false;
            break;
        }
        // A process that is gone meanwhile has nothing any more.
        if let Err(error) = search.look_into(pid)
            && error.kind() != io::ErrorKind::NotFound
        {
            search.found.saw_all = false;
        }
    }
    // Whoever was found needs no look at the others.
    search.found.saw_all |= search.wanted.is_empty();
    search.found
}

struct Search {
    wanted: HashSet<u64>,
    found: Owners,
    /// `None` where the deadline is beyond what the clock can tell.
    end: Option<Instant>,
}

impl Search {
    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    fn look_into(&mut self, pid: u32) -> io::Result<()> {
        let process = Path::new("/proc").join(pid.to_string());
        for (count, entry) in std::fs::read_dir(process.join("fd"))?.enumerate() {
            if count % ENTRIES_PER_CLOCK == ENTRIES_PER_CLOCK - 1 && self.is_over() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // One that was closed meanwhile is none of ours.
            let Ok(link) = std::fs::read_link(entry?.path()) else {
                continue;
            };
            let Some(inode) = link.to_str().and_then(socket_inode) else {
                continue;
            };
            if self.wanted.remove(&inode) {
                let name = std::fs::read(process.join("comm")).unwrap_or_default();
                self.found.owners.push(Owner {
                    inode,
                    pid,
                    name: String::from_utf8_lossy(name.trim_ascii()).into_owned(),
                });
            }
        }
        Ok(())
    }
}

/// The number in `socket:[123]`.
fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    fn inode_of(socket: &impl AsRawFd) -> u64 {
        let link = format!("/proc/self/fd/{}", socket.as_raw_fd());
        let link = std::fs::read_link(link).unwrap();
        socket_inode(link.to_str().unwrap()).unwrap()
    }

    #[test]
    fn a_socket_of_this_process_is_found_with_its_name() {
        let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let inodes = [inode_of(&sockets[0]), 0, inode_of(&sockets[1])];
        let found = of(&inodes, Duration::MAX);
        let name = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(found.owners.len(), 2);
        assert!(found.saw_all);
        for owner in &found.owners {
            assert!(inodes.contains(&owner.inode));
            assert_eq!(
                (owner.pid, owner.name.as_str()),
                (std::process::id(), name.trim())
            );
        }
    }

    #[test]
    fn no_time_is_no_answer_and_says_so() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let found = of(&[inode_of(&socket)], Duration::ZERO);
        assert_eq!(
            found,
            Owners {
                owners: vec![],
                saw_all: false
            }
        );
    }

    #[test]
    fn nothing_to_look_for_is_found_at_once() {
        let found = of(&[0], Duration::ZERO);
        assert_eq!(
            found,
            Owners {
                owners: vec![],
                saw_all: true
            }
        );
    }

    #[test]
    fn what_others_keep_to_themselves_is_not_claimed_to_be_seen() {
        let nobodys = u64::MAX;
        if let Some(found) = crate::testing::as_nobody(|| of(&[nobodys], Duration::MAX)) {
            // Process 1 is root's.
            assert!(!found.saw_all);
        }
    }

    #[test]
    fn only_sockets_have_the_name_of_a_socket() {
        assert_eq!(socket_inode("socket:[4711]"), Some(4711));
        for link in [
            "/dev/null",
            "pipe:[4711]",
            "socket:[]",
            "socket:[-1]",
            "socket:[1",
        ] {
            assert_eq!(socket_inode(link), None, "{link}");
        }
    }
}
