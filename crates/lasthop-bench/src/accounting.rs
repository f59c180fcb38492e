//! What a proxy has used: CPU time and memory of its processes and all their descendants together, from /proc; and what the
//! kernel has used besides ([`kernel`]).

pub(crate) mod kernel;

use std::fs;
use std::io;
use std::time::Duration;

use lasthop_kernel::process::{self, CpuTime, ProcessError};

use crate::error::BenchError;
use kernel::KernelMemory;

/// CPU time so far of `pid` and its descendants, all threads included.
pub(crate) fn cpu_time(pid: u32) -> Result<CpuTime, BenchError> {
    let mut sum = CpuTime::default();
    for one in family_of(&[pid])? {
        let time = process::cpu_time(one)?;
        sum.user += time.user;
        sum.system += time.system;
    }
    Ok(sum)
}

/// Memory in bytes of `pids` and their descendants, what they share counted once (`Pss`).
pub(crate) fn memory_bytes(pids: &[u32]) -> Result<u64, BenchError> {
    let mut sum = 0;
    for one in family_of(pids)? {
        sum += process::proportional_memory_bytes(one)?;
    }
    Ok(sum)
}

/// Memory in bytes of `pid` alone that is its own and not mapped from a file (`RssAnon`).
pub(crate) fn own_bytes(pid: u32) -> Result<u64, BenchError> {
    let file = "status";
    let text = fs::read_to_string(format!("/proc/{pid}/{file}"))
        .map_err(|source| ProcessError::Read { pid, file, source })?;
    let mut words = text
        .lines()
        .filter_map(|line| line.strip_prefix("RssAnon:"))
        .flat_map(str::split_ascii_whitespace);
    let kibibytes: Option<u64> = words.next().and_then(|word| word.parse().ok());
    let kibibytes = kibibytes.ok_or(ProcessError::Shape { pid, file })?;
    Ok(kibibytes * 1024)
}

/// Time on a core so far of `pids` and their descendants, all threads that live included: exact, where [`cpu_time`] counts
/// ticks of 10 ms for each process, but not divided into user and system.
pub(crate) fn run_time(pids: &[u32]) -> Result<Duration, BenchError> {
    let mut sum = Duration::ZERO;
    for pid in family_of(pids)? {
        let failed = |source| ProcessError::Read {
            pid,
            file: "task/*/schedstat",
            source,
        };
        for task in fs::read_dir(format!("/proc/{pid}/task")).map_err(failed)? {
            let path = task.map_err(failed)?.path().join("schedstat");
            let text = fs::read_to_string(path).map_err(failed)?;
            let nanoseconds = text.split_ascii_whitespace().next();
            let nanoseconds = nanoseconds.and_then(|word| word.parse().ok());
            sum += Duration::from_nanos(nanoseconds.unwrap_or(0));
        }
    }
    Ok(sum)
}

/// Memory in bytes of this host's kernel that comes with sockets, files and processes. It is the whole host's, all
/// programs and all ends of connections together.
pub(crate) fn kernel_bytes() -> Result<u64, BenchError> {
    Ok(KernelMemory::now()?.sum())
}

/// `pids`, their children, their children and so on.
fn family_of(pids: &[u32]) -> Result<Vec<u32>, BenchError> {
    let parents = parents().map_err(BenchError::host("list the processes of this host"))?;
    for &pid in pids {
        if parents.iter().any(|(child, _)| *child == pid) {
            continue;
        }
        let source = io::ErrorKind::NotFound.into();
        return Err(ProcessError::Read {
            pid,
            file: "stat",
            source,
        }
        .into());
    }
    let mut family = pids.to_vec();
    let mut looked_at = 0;
    // Ends because nobody is its own ancestor, so each process comes at most once.
    while let Some(parent) = family.get(looked_at).copied() {
        looked_at += 1;
        let children = parents.iter().filter(|(_, one)| *one == parent);
        family.extend(children.map(|(child, _)| child));
    }
    Ok(family)
}

/// Each process of this host with its parent: all of `/proc` is looked at, since not every kernel lists children.
fn parents() -> io::Result<Vec<(u32, u32)>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue; // not a process
        };
        // A process that ended since the listing has no file any more, and is no child of ours: ours live.
        let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else {
            continue;
        };
        if let Some(parent) = parent_in(&String::from_utf8_lossy(&stat)) {
            parents.push((pid, parent));
        }
    }
    Ok(parents)
}

/// The parent's id in a line of `/proc/PID/stat` (proc_pid_stat(5)): the second word after the name in parentheses,
/// which may itself hold parentheses and blanks.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    #[test]
    fn the_parent_is_found_behind_a_name_with_parentheses() {
        assert_eq!(parent_in("42 (a) b (c) S 7 42 42 0"), Some(7));
        assert_eq!(parent_in("nonsense"), None);
    }

    #[test]
    fn a_process_has_memory_of_its_own() {
        let pid = std::process::id();
        let own = own_bytes(pid).unwrap();
        assert!(own > 0 && own.is_multiple_of(1024));
        assert!(own < 2 * memory_bytes(&[pid]).unwrap());
    }

    #[test]
    fn the_kernel_uses_some_memory() {
        assert!(kernel_bytes().unwrap() > 1 << 20);
    }

    #[test]
    fn children_and_their_children_are_counted() {
        // A shell, and the shell that it starts; both wait for the end of their input.
        let mut shell = Command::new("/bin/sh")
            .args(["-c", "sh -c 'echo $$; read line; true'; true"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut grandchild = String::new();
        BufReader::new(shell.stdout.take().unwrap())
            .read_line(&mut grandchild)
            .unwrap();
        let grandchild: u32 = grandchild.trim().parse().unwrap();
        let family = family_of(&[std::process::id()]).unwrap();
        assert!(family.contains(&shell.id()) && family.contains(&grandchild));
        let together = memory_bytes(&[shell.id()]).unwrap();
        assert!(together > process::proportional_memory_bytes(grandchild).unwrap());
        assert!(run_time(&[shell.id()]).unwrap() > run_time(&[grandchild]).unwrap());
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert!(cpu_time(shell.id()).is_err());
    }
}
