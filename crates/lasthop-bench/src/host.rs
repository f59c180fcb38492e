//! Whether this host has room for so many connections, before the first is opened: a host that runs out of memory half
//! way is nobody's benchmark, and may be somebody's work.

use std::fs;

use crate::endpoint::{held, hold_app};
use crate::error::BenchError;
use crate::rival::{Rival, fleet};

/// Memory for one held connection over TCP, in bytes: four ends in the kernel (3.7 kB each with file and epoll entry),
/// and in programs what the hungriest of the proxies takes for a tunnel (18 kB), the app and the load (4 kB).
const BYTES_EACH: u64 = 40 << 10;
/// Memory that programs take in any case, and what this host shall keep.
const BYTES_APART: u64 = 768 << 20;
/// Files of the kernel for one held connection, one for each end.
const FILES_EACH: u64 = 4;
const FILES_APART: u64 = 4096;
/// Threads of a process of any program here, with room.
const THREADS_EACH: u64 = 8;

/// Memory of the kernel for one held TCP socket that nothing is sent over, with file, inode and bind bucket.
const BYTES_EACH_SOCKET: u64 = 5 << 10;

/// A bound of this host, and what is wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    what: &'static str,
    wanted: u64,
    free: u64,
}

/// Refuses where memory, files or processes would not do.
///
/// # Errors
/// [`BenchError::TooSmall`], with the figures.
pub(crate) fn check_room(connections: usize) -> Result<(), BenchError> {
    refuse_short(connections, bounds(connections)?)
}

/// Refuses where memory or files would not do for so many sockets, both ends of each connection counted.
///
/// # Errors
/// [`BenchError::TooSmall`], with the figures.
pub(crate) fn check_sockets(sockets: usize) -> Result<(), BenchError> {
    let count = sockets as u64;
    let all = [
        (
            "bytes of memory",
            count * BYTES_EACH_SOCKET + BYTES_APART,
            available_bytes(),
        ),
        (
            "open files of the host (fs.file-max)",
            count + FILES_APART,
            free_files(),
        ),
    ];
    refuse_short(sockets.div_ceil(2), known(all))
}

fn refuse_short(connections: usize, bounds: Vec<Bound>) -> Result<(), BenchError> {
    let short: Vec<String> = bounds
        .into_iter()
        .filter(|bound| bound.wanted > bound.free)
        .map(|bound| {
            format!(
                "{}: {} wanted, {} free",
                bound.what, bound.wanted, bound.free
            )
        })
        .collect();
    if short.is_empty() {
        return Ok(());
    }
    Err(BenchError::TooSmall {
        connections,
        short: short.join("; "),
    })
}

/// Those that can be read; what a host does not tell it does not refuse.
fn bounds(connections: usize) -> Result<Vec<Bound>, BenchError> {
    let count = connections as u64;
    let processes = (connections.div_ceil(held::room_of_a_process()?)
        + connections.div_ceil(hold_app::room_of_a_process()?)
        + fleet::processes_needed(Rival::Lasthop, connections)?
        + 4) as u64;
    let bytes = count * BYTES_EACH + BYTES_APART;
    let tasks = processes * THREADS_EACH;
    let group = control_group().unwrap_or_default();
    let of_group = |limit: &str, current: &str| {
        let limit = number(&format!("{group}/{limit}"))?; // "max" is no number, and no bound
        Some(limit.saturating_sub(number(&format!("{group}/{current}"))?))
    };
    let all = [
        ("bytes of memory", bytes, available_bytes()),
        (
            "bytes of memory in this control group",
            bytes,
            of_group("memory.max", "memory.current"),
        ),
        (
            "connections that the load has source addresses for",
            count,
            Some(held::connections_max()? as u64),
        ),
        (
            "open files of the host (fs.file-max)",
            count * FILES_EACH + FILES_APART,
            free_files(),
        ),
        (
            "process numbers (kernel.pid_max)",
            tasks,
            number("/proc/sys/kernel/pid_max").map(|max| max.saturating_sub(tasks_now())),
        ),
        (
            "processes in this control group (pids.max)",
            tasks,
            of_group("pids.max", "pids.current"),
        ),
    ];
    Ok(known(all))
}

fn known(all: impl IntoIterator<Item = (&'static str, u64, Option<u64>)>) -> Vec<Bound> {
    let known = all
        .into_iter()
        .filter_map(|(what, wanted, free)| free.map(|free| Bound { what, wanted, free }));
    known.collect()
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// `MemAvailable` of /proc/meminfo (proc_meminfo(5)).
fn available_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The most less the allocated ones of /proc/sys/fs/file-nr (proc_sys_fs(5)).
fn free_files() -> Option<u64> {
    let text = fs::read_to_string("/proc/sys/fs/file-nr").ok()?;
    let mut words = text.split_ascii_whitespace();
    let allocated: u64 = words.next()?.parse().ok()?;
    Some(words.nth(1)?.parse::<u64>().ok()?.saturating_sub(allocated))
}

/// Tasks there are: the second figure of `1/123` in /proc/loadavg (proc_loadavg(5)).
fn tasks_now() -> u64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let word = text.split_ascii_whitespace().nth(3).unwrap_or_default();
    word.split_once('/')
        .and_then(|(_, all)| all.parse().ok())
        .unwrap_or(0)
}

/// The directory of this process' control group, of version 2 (cgroups(7)).
fn control_group() -> Option<String> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(format!("/sys/fs/cgroup{}", path.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_connections_have_room_and_a_milliard_has_not() {
        check_room(10).unwrap();
        let error = check_room(1_000_000_000).unwrap_err().to_string();
        assert!(error.contains("bytes of memory: "), "{error}");
        assert!(error.contains(" wanted, "), "{error}");
    }

    #[test]
    fn this_host_tells_its_memory_its_files_and_its_processes() {
        let bounds = bounds(1).unwrap();
        for word in ["memory", "fs.file-max", "pid_max"] {
            assert!(bounds.iter().any(|one| one.what.contains(word)), "{word}");
        }
    }
}
