//! Who a process is: enough to name it in a finding, and to know which remedy fits it.

use super::{gone, name};
use crate::wire::{elf, proc_pid};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// As much of its command line as is read, in bytes: the longest that a person would want to see in a report.
const COMMAND_LINE_BYTES_MAX: u64 = 4096;

/// As much of each other file as is read, in bytes; what counts of them is shorter by far. `status` lists up to 65,536
/// groups.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A process. What may not be read of it is `None` or empty: the command line is told to everybody, the executable and
/// the namespace only to root and to the user of the process (ptrace(2), "Ptrace access mode checking").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Its number in the process namespace of this process.
    pub pid: u32,
    /// The name of its program, at most 15 bytes (`comm`), replaced where it is no UTF-8. A program can change it.
    pub name: String,
    /// The file that it runs; ends with ` (deleted)` where that has been replaced since.
    pub executable: Option<PathBuf>,
    /// How it was started, its own name first, at most 64 arguments or 4 KiB. A program can write over it.
    pub arguments: Vec<String>,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
    /// Its other groups, at most 1,024.
    pub groups: Vec<u32>,
    /// The path of its cgroup of version 2, from the root that this process sees.
    pub cgroup: Option<String>,
    /// Whether its executable has the note of the Go linker.
    pub written_in_go: bool,
    /// Its network namespace: the inode of `/proc/PID/ns/net`.
    pub network_namespace: Option<u64>,
}

/// Who process `pid` is.
///
/// # Errors
/// `NotFound` where there is no such process; otherwise as open(2) of its `status`, which everybody may read unless /proc
/// hides the processes of others (`hidepid`, proc(5)).
pub fn identity(pid: u32) -> io::Result<ProcessIdentity> {
    let process = Path::new("/proc").join(pid.to_string());
    let credentials = status(pid).map_err(gone)?;
    let text = |name| {
        let bytes = head(&process.join(name), FILE_BYTES_MAX).unwrap_or_default();
        String::from_utf8_lossy(bytes.trim_ascii()).into_owned()
    };
    let executable = process.join("exe");
    let bytes_of_elf = u64::try_from(elf::HEAD_BYTES).unwrap_or(FILE_BYTES_MAX);
    Ok(ProcessIdentity {
        pid,
        name: name(pid),
        arguments: head(&process.join("cmdline"), COMMAND_LINE_BYTES_MAX)
            .map(|bytes| proc_pid::arguments(&bytes))
            .unwrap_or_default(),
        uid: credentials.uid,
        gid: credentials.gid,
        groups: credentials.groups,
        cgroup: proc_pid::cgroup(&text("cgroup")).map(str::to_owned),
        written_in_go: head(&executable, bytes_of_elf).is_ok_and(|head| elf::is_go(&head)),
        executable: std::fs::read_link(&executable).ok(),
        network_namespace: std::fs::metadata(process.join("ns/net"))
            .ok()
            .map(|namespace| namespace.ino()),
    })
}

/// What everybody may know of process `pid`.
pub(crate) fn status(pid: u32) -> io::Result<proc_pid::Status> {
    let text = head(
        &Path::new("/proc").join(format!("{pid}/status")),
        FILE_BYTES_MAX,
    )?;
    proc_pid::status(&String::from_utf8_lossy(&text))
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn head(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_knows_itself() {
        let own = identity(std::process::id()).unwrap();
        assert_eq!(own.uid, crate::identity::effective_uid());
        assert_eq!(own.gid, crate::identity::effective_gid());
        assert_eq!(own.executable, Some(std::env::current_exe().unwrap()));
        let arguments: Vec<_> = std::env::args().collect();
        assert!(own.arguments == arguments || own.arguments.len() == proc_pid::ARGUMENTS_MAX);
        let name = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(own.name, name.trim_end());
        assert!(!own.written_in_go);
        let namespace = std::fs::metadata("/proc/self/ns/net").unwrap();
        assert_eq!(own.network_namespace, Some(namespace.ino()));
        let cgroup = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        assert_eq!(own.cgroup.is_some(), cgroup.contains("0::/"));
    }

    #[test]
    fn a_process_that_is_not_there_is_not_found() {
        let error = identity(u32::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_nobodys_business_is_left_out() {
        // Process 1 is root's.
        if let Some(told) = crate::testing::as_nobody(|| identity(1)) {
            let told = told.unwrap();
            assert_eq!((told.pid, told.uid), (1, 0));
            assert!(!told.name.is_empty() && !told.arguments.is_empty());
            assert_eq!((told.executable, told.network_namespace), (None, None));
        }
    }
}
