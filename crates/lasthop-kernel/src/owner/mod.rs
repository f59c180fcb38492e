//! Which process has a socket, by the inode that the kernel lists it with (`/proc/PID/fd`, proc_pid_fd(5)).
//!
//! The kernel has no shorter way, so all descriptors of all processes may have to be looked at: milliseconds on a small
//! host, seconds on one with a million descriptors. [`of`] does that for single sockets; [`search`] for groups of them, of
//! which any will do, and most probable places first. For a diagnosis, off the workers, and with a deadline.

mod cgroup;
mod descriptors;
mod search;

pub use search::{OWNERS_MAX, Wanted, search};

use crate::process::{is_gone, name, numbers};
use descriptors::{Next, sockets};
use std::collections::HashSet;
use std::time::{Duration, Instant};

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
    /// By [`of`] one for each inode that was found, in the order of their process numbers. By [`search`] one for each
    /// process, in the order in which they were found.
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
    let Ok(pids) = numbers() else {
        search.found.saw_all = search.wanted.is_empty();
        return search.found;
    };
    for pid in pids {
        if search.wanted.is_empty() {
            break;
        }
        if is_over(end) {
            search.found.saw_all = false;
            break;
        }
        search.look_into(pid);
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
    fn look_into(&mut self, pid: u32) {
        let extent = sockets(pid, self.end, |inode| {
            if self.wanted.remove(&inode) {
                self.found.owners.push(Owner {
                    inode,
                    pid,
                    name: name(pid),
                });
            }
            if self.wanted.is_empty() {
                Next::Process
            } else {
                Next::Descriptor
            }
        });
        // A process that is gone meanwhile has nothing any more.
        self.found.saw_all &= extent.is_ok() || extent.is_err_and(|error| is_gone(&error));
    }
}

/// Whether the time is up; without an end it never is.
fn is_over(end: Option<Instant>) -> bool {
    end.is_some_and(|end| Instant::now() >= end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    fn inode_of(socket: &impl AsRawFd) -> u64 {
        let link = format!("/proc/self/fd/{}", socket.as_raw_fd());
        let link = std::fs::read_link(link).unwrap();
        descriptors::socket_inode(link.to_str().unwrap()).unwrap()
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
}
