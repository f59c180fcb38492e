//! Which processes are in a cgroup, by the number that sock_diag tells of it.
//!
//! The number is the inode of the cgroup's directory in the tree of version 2, and no call leads from it to the directory
//! without privileges, so the tree is walked (cgroups(7)). Reading a directory tells the inodes in it: no stat(2) is needed.

use super::is_over;
use std::collections::HashMap;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The root of the tree. Nearly every process of a host without systemd is in it, and every cgroup below it.
pub(super) const ROOT: u64 = 1;

/// Where hosts mount the tree: alone, or beside those of version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Directories that are read at most: a host with a thousand containers has some four thousand.
const CGROUPS_MAX: usize = 16_384;

/// The processes of each of `cgroups` that was found, not of those below it, numbered as this process sees them.
pub(super) fn members(cgroups: &[u64], end: Option<Instant>) -> HashMap<u64, Vec<u32>> {
    let mut members = HashMap::new();
    let root = MOUNTS
        .into_iter()
        .map(Path::new)
        .find(|mount| mount.join("cgroup.controllers").exists());
    let mut open: Vec<PathBuf> = root.into_iter().map(Path::to_path_buf).collect();
    let mut wanted = cgroups.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    for _ in 0..CGROUPS_MAX {
        if members.len() == wanted.len() || is_over(end) {
            break;
        }
        let Some(directory) = open.pop() else {
            break;
        };
        // One that is gone meanwhile, or closed to us, has nothing to tell.
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let path = entry.path();
            if wanted.binary_search(&entry.ino()).is_ok() {
                members.insert(entry.ino(), processes(&path));
            }
            open.push(path);
        }
    }
    members
}

/// The numbers in `cgroup.procs`; 0 stands for those of another process namespace.
fn processes(cgroup: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid != 0)
        .collect()
}
