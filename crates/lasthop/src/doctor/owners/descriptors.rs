//! Which processes have few descriptors left.
//!
//! Linux 6.2 and later tell how many a process has open for the price of a stat(2); before, counting takes its time, so
//! there is a deadline.

use std::time::{Duration, Instant};

use lasthop_kernel::{namespace, process};
use lasthop_ports::snapshot::{DescriptorUse, PROCESSES_MAX, Process, Snapshot};

use super::super::as_root;
use super::People;

/// How long all processes may take: 30 us each where the kernel tells.
const TIME_MAX: Duration = Duration::from_millis(250);

/// The part of its limit, in percent, from which on a process is worth a place in a snapshot. A finding needs far more;
/// this much a reader of a recording may want to see coming.
const PART_PERCENT_MIN: u64 = 25;

/// Fills in the processes of the snapshot's network namespace that have used up much of their limit, and those that are
/// named in it as owners.
pub fn descriptors(snapshot: &mut Snapshot) {
    let mut pids = match pids() {
        Ok(pids) => pids,
        Err(error) => {
            snapshot
                .unseen
                .push(format!("the descriptors of processes: /proc: {error}"));
            return;
        }
    };
    if process::are_hidden() {
        snapshot.unseen.push(format!(
            "how many descriptors other users' processes have open: /proc hides them (hidepid){}",
            as_root()
        ));
    }
    let named = named(snapshot);
    // Those that are named come first, lest time be up before them.
    pids.sort_by_key(|pid| (!named.contains(pid), *pid));
    let end = Instant::now() + TIME_MAX;
    let mut unknown = 0u32;
    let mut uses: Vec<(u32, DescriptorUse)> = Vec::new();
    for pid in pids {
        if Instant::now() >= end {
            unknown += 1;
            continue;
        }
        if !named.contains(&pid) && namespace::is_own(pid) != Some(true) {
            continue;
        }
        match process::descriptors(pid) {
            Ok(told) => uses.push((pid, of_kernel(told))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => unknown += 1,
        }
    }
    uses.retain(|(pid, one)| named.contains(pid) || is_worth_telling(one));
    uses.sort_by(|(_, a), (_, b)| part(b).total_cmp(&part(a)));
    uses.truncate(PROCESSES_MAX);
    let mut people = People::default();
    snapshot.processes = uses
        .into_iter()
        .filter_map(|(pid, descriptors)| {
            let owner = people.owner(pid)?;
            Some(Process { owner, descriptors })
        })
        .collect();
    if unknown > 0 {
        snapshot.unseen.push(format!(
            "how many descriptors are open in {unknown} processes that could not be looked into{}",
            as_root()
        ));
    }
}

fn named(snapshot: &Snapshot) -> Vec<u32> {
    let groups = snapshot.groups.iter().flat_map(|one| &one.owners);
    let listeners = snapshot.listeners.iter().flat_map(|one| &one.owners);
    let unix = snapshot.unix_listeners.iter().flat_map(|one| &one.owners);
    groups
        .chain(listeners)
        .chain(unix)
        .map(|owner| owner.pid)
        .collect()
}

fn pids() -> std::io::Result<Vec<u32>> {
    let entries = std::fs::read_dir("/proc")?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.collect())
}

const fn of_kernel(told: process::Descriptors) -> DescriptorUse {
    DescriptorUse {
        open: told.open,
        limit: told.limit,
        hard_limit: told.hard,
    }
}

/// Threads of the kernel, which are processes to /proc, have none open.
const fn is_worth_telling(one: &DescriptorUse) -> bool {
    one.open > 0 && one.open.saturating_mul(100) >= one.limit.saturating_mul(PART_PERCENT_MIN)
}

fn part(one: &DescriptorUse) -> f64 {
    one.open as f64 / one.limit.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_a_quarter_of_its_limit_on() {
        let of = |open, limit| DescriptorUse {
            open,
            limit,
            hard_limit: limit,
        };
        assert!(is_worth_telling(&of(256, 1024)) && !is_worth_telling(&of(255, 1024)));
        assert!(!is_worth_telling(&of(0, 0)) && !is_worth_telling(&of(100, u64::MAX)));
    }
}
