//! What the kernel knows of a running process: its descriptors, its event loops, its memory.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::time::Instant;

use super::{PATIENCE, QUIET};

/// The descriptors that a process has open.
pub(crate) fn descriptors(pid: u32) -> BTreeSet<u32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a running process");
    let number = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.expect("/proc").file_name().to_str()?.parse().ok()
    };
    entries.filter_map(number).collect()
}

/// How many descriptors a process has open once their number has stood still for a moment.
pub(crate) fn settled_descriptors(pid: u32) -> usize {
    let begun = Instant::now();
    let (mut count, mut since) = (descriptors(pid).len(), Instant::now());
    while since.elapsed() < QUIET {
        let now = descriptors(pid).len();
        if now != count {
            (count, since) = (now, Instant::now());
        }
        assert!(begun.elapsed() < PATIENCE, "they come and go");
        std::thread::yield_now();
    }
    count
}

/// Waits until a process has at most so many descriptors open.
pub(crate) fn wait_for_descriptors(pid: u32, most: usize) {
    let begun = Instant::now();
    loop {
        let open = descriptors(pid).len();
        if open <= most {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{open} descriptors are open, {most} are expected"
        );
        std::thread::yield_now();
    }
}

/// The descriptors that each event loop of a process watches (proc(5), epoll files in fdinfo).
pub(crate) fn watched(pid: u32) -> Vec<BTreeSet<u32>> {
    let mut loops = BTreeSet::new();
    for descriptor in descriptors(pid) {
        // It may have been closed meanwhile.
        let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}"));
        let watched: BTreeSet<u32> = info
            .unwrap_or_default()
            .lines()
            .filter_map(|line| {
                line.strip_prefix("tfd:")?
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .collect();
        // A loop has two descriptors, which say the same.
        if !watched.is_empty() {
            loops.insert(watched);
        }
    }
    loops.into_iter().collect()
}

/// Sets the limit of open files of a running process, as its own or another program could (prlimit(1)).
pub(crate) fn limit_descriptors(pid: u32, limit: u32) {
    let status = Command::new("prlimit")
        .args([&format!("--pid={pid}"), &format!("--nofile={limit}:")])
        .status()
        .expect("prlimit(1) of util-linux");
    assert!(status.success(), "prlimit: {status}");
}

/// The memory that a process has to itself, in bytes (Pss of smaps_rollup, proc(5)).
pub(crate) fn memory(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("/proc");
    let line = rollup.lines().find(|line| line.starts_with("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.expect("a Pss line") * 1024
}

/// Writes empty lines into a pipe that a process has as one of its descriptors until no more fits. `begun` is called
/// after the first one.
pub(crate) fn fill_pipe(pid: u32, descriptor: u32, begun: impl FnOnce()) {
    // O_NONBLOCK of Linux on all but the oldest machines: alpha, mips, parisc and sparc have others.
    const NONBLOCKING: i32 = 0o4000;
    let mut pipe = OpenOptions::new()
        .write(true)
        .custom_flags(NONBLOCKING)
        .open(format!("/proc/{pid}/fd/{descriptor}"))
        .expect("a pipe of a running process");
    pipe.write_all(b"\n").expect("room for one");
    begun();
    let page = [b'\n'; 4096];
    for part in [&page[..], &page[..1]] {
        while pipe.write(part).is_ok() {}
    }
}
