//! How many descriptors a process has open, and how many it may have.

use super::gone;
use crate::wire::proc_pid;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest time for counting one by one, where the kernel does not tell: a million descriptors take about half of it.
const COUNT_TIME_MAX: Duration = Duration::from_millis(500);

/// Descriptors that are counted between two looks at the clock.
const ENTRIES_PER_CLOCK: u64 = 1024;

/// The descriptors of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// Open now.
    pub open: u64,
    /// The soft limit, which is enforced; [`u64::MAX`] for none.
    pub limit: u64,
    /// How far the process can raise it by itself; [`u64::MAX`] for none.
    pub hard: u64,
}

/// The descriptors of process `pid` (proc_pid_fd(5), proc_pid_limits(5)).
///
/// Since Linux 6.2 the kernel tells their number at once, and to everybody. Before, they are counted, which the kernel
/// lets only root and the user of the process do.
///
/// # Errors
/// `NotFound` where there is no such process; otherwise as open(2). `TimedOut` where counting took over half a second.
pub fn descriptors(pid: u32) -> io::Result<Descriptors> {
    let process = Path::new("/proc").join(pid.to_string());
    let limits = read(&process.join("limits"))?;
    let (limit, hard) = proc_pid::open_files(&String::from_utf8_lossy(&limits))
        .ok_or(io::ErrorKind::InvalidData)?;
    let directory = process.join("fd");
    let open = match std::fs::metadata(&directory).map_err(gone)?.size() {
        // Before, a directory of /proc has no size. A process that has no descriptor is quickly counted.
        0 => count(&directory)?,
        told => told,
    };
    Ok(Descriptors { open, limit, hard })
}

fn count(directory: &Path) -> io::Result<u64> {
    let begin = Instant::now();
    let mut count = 0;
    for entry in std::fs::read_dir(directory).map_err(gone)? {
        entry.map_err(gone)?;
        count += 1;
        if count % ENTRIES_PER_CLOCK == 0 && begin.elapsed() > COUNT_TIME_MAX {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    Ok(count)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(path).map_err(gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn descriptors_of_this_process_are_told_with_their_limit() {
        let before = descriptors(std::process::id()).unwrap();
        let held: Vec<_> = (0..100)
            .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
            .collect();
        let after = descriptors(std::process::id()).unwrap();
        // Others of this process come and go while this test runs.
        assert!(after.open >= before.open + 50, "{before:?} {after:?}");
        let nofile = crate::limits::nofile().unwrap();
        assert_eq!(after.hard, nofile.hard);
        assert!(after.limit <= after.hard);
        // Counting comes to the same.
        let counted = count(Path::new("/proc/self/fd")).unwrap();
        assert!(counted.abs_diff(after.open) < 50, "{counted} {after:?}");
        drop(held);
    }

    #[test]
    fn a_process_that_is_not_there_is_not_found() {
        let error = descriptors(u32::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
