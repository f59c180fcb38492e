//! Which processes have the sockets of a group, from a sample of them and from what else the kernel tells of it.

use super::descriptors::{Extent, Next, sockets};
use super::{Owner, Owners, cgroup, is_over};
use crate::namespace::is_own;
use crate::process::{is_gone, name, numbers, status};
use std::collections::{HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant};

/// Processes that are named for each group at most: as many as a sentence bears.
pub const OWNERS_MAX: usize = 8;

/// Longest time that is spent on the siblings of owners, which are worth a name and not a wait.
const SIBLINGS_TIME_MAX: Duration = Duration::from_millis(250);

/// A group of sockets whose owners are looked for: those of one program, as far as the kernel's listing can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Some of its sockets. Each process is read up to its first of them, so 64 that are spread over a group of thousands
    /// are met soon, and more would make it little better. An inode of 0 is nobody's.
    pub inodes: &'a [u64],
    /// The user who made them.
    pub uid: u32,
    /// The cgroup of the process that made them, as [`TcpEntry::cgroup`](crate::sock_diag::TcpEntry::cgroup) tells it.
    pub cgroup: Option<u64>,
}

/// Finds processes that have sockets of each of `groups`, within `deadline`: as many answers, in the same order.
///
/// An answer names the process that was found first and then as many of its siblings as is cheap, at most [`OWNERS_MAX`],
/// each with the first of its sockets that was found: of a proxy with many workers most or all of them. Siblings are the
/// processes of the same cgroup, or, where the cgroup is not told or is the root, those of the same name and user.
/// [`Owners::saw_all`] tells what it tells of [`of`](super::of()): whether one was found, or every process could be read.
///
/// Processes of the cgroup are read first, then those of the user, then all others, none of them twice from end to end;
/// of these those first that are in the network namespace of the calling thread.
/// For a process with 19,000 sockets among 50 others (Linux 6.18, in a virtual machine): 7 ms with a sample of 64 that is
/// spread over its sockets, 50 ms with a single one from their middle, 80 ms with the 64 youngest, which come last, or
/// where nobody has it (`cargo run --release -p lasthop-kernel --example kernel_costs`).
#[must_use]
pub fn search(groups: &[Wanted<'_>], deadline: Duration) -> Vec<Owners> {
    let mut search = Search::new(groups, deadline);
    match numbers() {
        Ok(mut pids) => {
            pids.sort_by_cached_key(|pid| is_own(*pid) != Some(true));
            let members = search.cgroups();
            search.in_cgroups(&members);
            let others = search.of_users(&pids);
            search.among(&others);
            let saw_all = search.saw_all;
            search.siblings(&pids, &members);
            search.saw_all = saw_all;
        }
        Err(_) => search.saw_all = false,
    }
    search.finish()
}

/// Whether any socket of the sample belongs to somebody.
fn has_owner(group: &Wanted<'_>) -> bool {
    group.inodes.iter().any(|inode| *inode != 0)
}

/// What processes of one program have in common: its name and their user.
type Traits = (String, u32);

struct Search<'a> {
    groups: &'a [Wanted<'a>],
    /// Every inode of every sample with the place of its group, ordered.
    inodes: Vec<(u64, usize)>,
    found: Vec<Vec<Owner>>,
    /// Processes that nothing is left to learn of: read to their last descriptor, gone, or closed to us.
    done: HashSet<u32>,
    /// What was read of /proc/PID/status. `None` for a process that is gone.
    traits: HashMap<u32, Option<Traits>>,
    saw_all: bool,
    /// `None` where the deadline is beyond what the clock can tell.
    end: Option<Instant>,
}

impl<'a> Search<'a> {
    fn new(groups: &'a [Wanted<'a>], deadline: Duration) -> Self {
        let mut inodes: Vec<_> = groups
            .iter()
            .enumerate()
            .flat_map(|(group, wanted)| wanted.inodes.iter().map(move |inode| (*inode, group)))
            .filter(|(inode, _)| *inode != 0)
            .collect();
        inodes.sort_unstable();
        inodes.dedup();
        Self {
            groups,
            inodes,
            found: vec![Vec::new(); groups.len()],
            done: HashSet::new(),
            traits: HashMap::new(),
            saw_all: true,
            end: Instant::now().checked_add(deadline),
        }
    }

    fn finish(self) -> Vec<Owners> {
        let saw_all = self.saw_all;
        let groups = self.groups.iter().zip(self.found);
        groups
            .map(|(group, owners)| Owners {
                // Whoever was found needs no look at the others, nor does what has no owner.
                saw_all: saw_all || !owners.is_empty() || !has_owner(group),
                owners,
            })
            .collect()
    }

    /// The groups without an owner that have one, and for which `fits` holds.
    fn unresolved(&self, fits: impl Fn(&Wanted<'_>) -> bool) -> Vec<usize> {
        (0..self.groups.len())
            .filter(|group| self.found[*group].is_empty())
            .filter(|group| has_owner(&self.groups[*group]) && fits(&self.groups[*group]))
            .collect()
    }

    /// The processes of those cgroups that say something. Half of the time at most, lest finding them be all.
    fn cgroups(&self) -> HashMap<u64, Vec<u32>> {
        let wanted: Vec<u64> = self
            .groups
            .iter()
            .filter_map(|group| group.cgroup)
            .filter(|cgroup| *cgroup != cgroup::ROOT)
            .collect();
        let now = Instant::now();
        let half = self.end.map(|end| now + end.duration_since(now) / 2);
        if wanted.is_empty() {
            return HashMap::new();
        }
        cgroup::members(&wanted, half)
    }

    fn in_cgroups(&mut self, members: &HashMap<u64, Vec<u32>>) {
        for (group, wanted) in self.groups.iter().enumerate() {
            let pids = wanted.cgroup.and_then(|cgroup| members.get(&cgroup));
            for pid in pids.into_iter().flatten() {
                let expected = self.unresolved(|group| group.cgroup == wanted.cgroup);
                if !expected.contains(&group) || self.is_over() {
                    break;
                }
                self.look_into(*pid, &expected);
            }
        }
    }

    /// Looks into the processes of the users of the groups that are left, and gives back all that may have more to tell.
    fn of_users(&mut self, pids: &[u32]) -> Vec<u32> {
        let mut others = Vec::new();
        for pid in pids {
            if self.unresolved(|_| true).is_empty() || self.is_over() {
                break;
            }
            let uid = self.traits(*pid).map(|(_, uid)| *uid);
            let expected = self.unresolved(|group| Some(group.uid) == uid);
            if !expected.is_empty() {
                self.look_into(*pid, &expected);
            }
            // Those that were left in the middle too: what is missing then may be in the rest.
            others.push(*pid);
        }
        others
    }

    fn among(&mut self, pids: &[u32]) {
        for pid in pids {
            let expected = self.unresolved(|_| true);
            if expected.is_empty() || self.is_over() {
                break;
            }
            self.look_into(*pid, &expected);
        }
    }

    fn siblings(&mut self, pids: &[u32], members: &HashMap<u64, Vec<u32>>) {
        let limit = Instant::now().checked_add(SIBLINGS_TIME_MAX);
        self.end = self.end.into_iter().chain(limit).min();
        for group in 0..self.groups.len() {
            let Some(first) = self.found[group].first().map(|owner| owner.pid) else {
                continue;
            };
            let cgroup = self.groups[group].cgroup.and_then(|id| members.get(&id));
            let cgroup = cgroup.filter(|members| members.contains(&first));
            let mut candidates = cgroup.map_or(pids, Vec::as_slice).to_vec();
            // Workers are started one after the other, behind their parent.
            candidates.sort_unstable_by_key(|pid| (*pid < first, *pid));
            for pid in candidates {
                if self.found[group].len() >= OWNERS_MAX || self.is_over() {
                    break;
                }
                let known = self.found[group].iter().any(|owner| owner.pid == pid);
                if !known && (cgroup.is_some() || self.are_alike(first, pid)) {
                    self.look_into(pid, &[group]);
                }
            }
        }
    }

    /// Reads the descriptors of a process until it has shown a socket of each of the groups `expected`; notes those of
    /// all groups.
    fn look_into(&mut self, pid: u32, expected: &[usize]) {
        if self.done.contains(&pid) {
            return;
        }
        let mut missing = expected.to_vec();
        let extent = sockets(pid, self.end, |inode| {
            let from = self.inodes.partition_point(|(known, _)| *known < inode);
            for (_, group) in self.inodes[from..]
                .iter()
                .take_while(|(known, _)| *known == inode)
            {
                let owners = &mut self.found[*group];
                if owners.len() < OWNERS_MAX && owners.iter().all(|owner| owner.pid != pid) {
                    owners.push(Owner {
                        inode,
                        pid,
                        name: name(pid),
                    });
                }
                missing.retain(|expected| expected != group);
            }
            if missing.is_empty() {
                Next::Process
            } else {
                Next::Descriptor
            }
        });
        match extent {
            Ok(Extent::Part) => {}
            Ok(Extent::Whole) => {
                self.done.insert(pid);
            }
            Err(error) => {
                // A process that is gone meanwhile has nothing any more.
                self.saw_all &= is_gone(&error);
                if error.kind() != io::ErrorKind::TimedOut {
                    self.done.insert(pid);
                }
            }
        }
    }

    fn is_over(&mut self) -> bool {
        let over = is_over(self.end);
        self.saw_all &= !over;
        over
    }

    fn traits(&mut self, pid: u32) -> Option<&Traits> {
        let read = || status(pid).ok().map(|status| (status.name, status.uid));
        self.traits.entry(pid).or_insert_with(read).as_ref()
    }

    fn are_alike(&mut self, one: u32, other: u32) -> bool {
        let one = self.traits(one).cloned();
        one.is_some() && one.as_ref() == self.traits(other)
    }
}
