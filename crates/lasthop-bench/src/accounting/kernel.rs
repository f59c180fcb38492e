//! What this host's kernel keeps for sockets, files and processes, part by part.
//!
//! It is the whole host's: all programs and all ends of connections together, so that only its growth says something.
//! Slabs are told apart where `/proc/slabinfo` may be read, which is root's; otherwise they are one part. What the kernel
//! remembers of files and processes that somebody looked up is in them too, and a program that looks at every descriptor of
//! every process makes it more than all sockets; so it is given up before a reading that is to be exact.

use std::fs;
use std::io;

use crate::error::BenchError;

/// What the kernel counts slabs and buffers of sockets in; on hosts with larger pages the sum is too low by little.
const PAGE_BYTES: u64 = 4096;

/// A write of `2` gives up inodes and directory entries that are not in use (`Documentation/admin-guide/sysctl/vm.rst` of the
/// kernel); root's.
const DROP: &str = "/proc/sys/vm/drop_caches";
/// Where sockets' inodes are among the parts; each has a directory entry of 192 bytes and what security modules add to it,
/// a quarter of its own size.
const INODES: usize = 2;

/// Parts, each with the caches that it has in the kernel (slabinfo(5)). The kernel puts caches of one size together, so a
/// part may have objects of another kind in it; what grows is what is held.
const CACHES: [(&str, &[&str]); 6] = [
    ("TCP sockets", &["TCP", "TCPv6"]),
    ("Unix sockets", &["UNIX-STREAM", "UNIX"]),
    ("inodes of sockets", &["sock_inode_cache"]),
    ("directory entries of sockets", &["dentry"]),
    ("open files", &["filp"]),
    (
        "entries of event loops, port buckets",
        &[
            "eventpoll_epi",
            "eventpoll_pwq",
            "ep_head",
            "tcp_bind_bucket",
            "tcp_bind2_bucket",
        ],
    ),
];
const OTHER_SLABS: &str = "other slabs";
const SLABS: &str = "slabs";

/// One reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KernelMemory {
    /// In bytes; the same parts in the same order in each reading of a process.
    pub(crate) parts: Vec<(&'static str, u64)>,
    /// What programs can still have, by the kernel's own estimate (`MemAvailable`).
    pub(crate) available: u64,
    /// What of the slabs the kernel takes for reclaimable.
    pub(crate) reclaimable: u64,
}

impl KernelMemory {
    /// Gives up what is not in use, where that is allowed, and reads the rest.
    pub(crate) fn settled() -> Result<Self, BenchError> {
        // Without it the reading is of what is there, which is the truth as well.
        let _ = fs::write(DROP, "2");
        Self::now()
    }

    /// Reads it.
    pub(crate) fn now() -> Result<Self, BenchError> {
        let read =
            |path: &str| fs::read_to_string(path).map_err(BenchError::host(format!("read {path}")));
        let slabinfo = match read("/proc/slabinfo") {
            Ok(text) => Some(text),
            // Not root's, or a kernel that keeps none.
            Err(BenchError::Host { source, .. })
                if matches!(
                    source.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound
                ) =>
            {
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self::of(
            &read("/proc/meminfo")?,
            &read("/proc/net/sockstat")?,
            slabinfo.as_deref(),
            |cache| {
                let link = fs::read_link(format!("/sys/kernel/slab/{cache}")).ok()?;
                Some(link.to_string_lossy().into_owned())
            },
        ))
    }

    /// From the texts of /proc. `group` says what the kernel has put a cache together with, if anything.
    fn of(
        meminfo: &str,
        sockstat: &str,
        slabinfo: Option<&str>,
        group: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let slabs = in_meminfo(meminfo, "Slab");
        let mut parts = Vec::new();
        match slabinfo {
            None => parts.push((SLABS, slabs)),
            Some(text) => {
                parts = by_cache(text, group);
                let told: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
                parts.push((OTHER_SLABS, slabs.saturating_sub(told)));
            }
        }
        parts.push(("page tables", in_meminfo(meminfo, "PageTables")));
        parts.push(("stacks of threads", in_meminfo(meminfo, "KernelStack")));
        parts.push(("buffers of TCP sockets", buffers(sockstat)));
        Self {
            parts,
            available: in_meminfo(meminfo, "MemAvailable"),
            reclaimable: in_meminfo(meminfo, "SReclaimable"),
        }
    }

    /// All parts together, in bytes.
    pub(crate) fn sum(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }

    /// What programs can still have, in bytes, when `before` is what the kernel had before connections were held: inodes
    /// and directory entries of sockets count as reclaimable, a quarter of all that a connection takes, and while it is
    /// open they are not.
    pub(crate) fn left_since(&self, before: &Self) -> u64 {
        let more = self.reclaimable.saturating_sub(before.reclaimable);
        // Where inodes of sockets are not told apart, all that is more is taken for theirs.
        let of_sockets = match (self.parts.get(INODES), before.parts.get(INODES)) {
            (Some((part, now)), Some((_, then))) if *part == CACHES[INODES].0 => {
                let inodes = now.saturating_sub(*then);
                more.min(inodes + inodes / 4)
            }
            _ => more,
        };
        self.available.saturating_sub(of_sockets)
    }
}

/// The value of a line such as `Slab:  23130680 kB`, in bytes; 0 where there is none. The kernel's kB are kibibytes.
fn in_meminfo(text: &str, name: &str) -> u64 {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kibibytes = value.and_then(|value| value.trim().strip_suffix("kB")?.trim().parse().ok());
    kibibytes.unwrap_or(0_u64).saturating_mul(1024)
}

/// `mem` of `TCP: inuse 9 orphan 0 tw 3 alloc 12 mem 1`, in pages there.
fn buffers(sockstat: &str) -> u64 {
    let mut words = sockstat
        .lines()
        .filter_map(|line| line.strip_prefix("TCP:"))
        .flat_map(str::split_ascii_whitespace)
        .skip_while(|word| *word != "mem");
    let pages = words.nth(1).and_then(|word| word.parse::<u64>().ok());
    pages.unwrap_or(0).saturating_mul(PAGE_BYTES)
}

/// Bytes of the caches of each part. A cache that was put together with others is listed under the name of one of them.
fn by_cache(slabinfo: &str, group: impl Fn(&str) -> Option<String>) -> Vec<(&'static str, u64)> {
    let listed: Vec<(&str, u64)> = slabinfo.lines().filter_map(cache_in).collect();
    let index_of = |cache: &str| {
        let by_name = listed.iter().position(|(name, _)| *name == cache);
        by_name.or_else(|| {
            let wanted = group(cache)?;
            listed
                .iter()
                .position(|(name, _)| group(name).as_ref() == Some(&wanted))
        })
    };
    let mut taken = Vec::new(); // none is counted twice
    CACHES
        .iter()
        .map(|(part, caches)| {
            let mut bytes = 0;
            for index in caches.iter().filter_map(|cache| index_of(cache)) {
                if !taken.contains(&index) {
                    taken.push(index);
                    bytes += listed[index].1;
                }
            }
            (*part, bytes)
        })
        .collect()
}

/// Name and bytes of a line of slabinfo(5): `name <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : … :
/// slabdata <active_slabs> <num_slabs> <sharedavail>`.
fn cache_in(line: &str) -> Option<(&str, u64)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let pages: u64 = words.get(5)?.parse().ok()?;
    let slabs: u64 = words.get(14)?.parse().ok()?;
    let bytes = slabs.checked_mul(pages)?.checked_mul(PAGE_BYTES)?;
    Some((words[0], bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemAvailable:    1000 kB\nSlab:             64 kB\nSReclaimable:     30 kB\n\
        KernelStack:       3 kB\nPageTables:        2 kB\n";
    const SOCKSTAT: &str =
        "sockets: used 9\nTCP: inuse 9 orphan 0 tw 3 alloc 12 mem 2\nUDP: inuse 0 mem 7\n";
    const SLABINFO: &str = "slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> ...
TCP                   13     13   2368   13    8 : tunables    0    0    0 : slabdata      1      1      0
signal_cache          28     28   1152   14    4 : tunables    0    0    0 : slabdata      2      2      0
";

    fn read(slabinfo: Option<&str>) -> KernelMemory {
        // The Unix sockets are with the signals.
        let group = |cache: &str| match cache {
            "UNIX" | "UNIX-STREAM" | "signal_cache" => Some(":A-0001152".to_owned()),
            _ => None,
        };
        KernelMemory::of(MEMINFO, SOCKSTAT, slabinfo, group)
    }

    #[test]
    fn caches_that_the_kernel_put_together_are_found_and_counted_once() {
        let memory = read(Some(SLABINFO));
        assert_eq!(memory.parts[0], ("TCP sockets", 8 * 4096));
        assert_eq!(memory.parts[1], ("Unix sockets", 8 * 4096));
        assert_eq!(memory.parts[CACHES.len()], (OTHER_SLABS, 0));
        assert_eq!(memory.sum(), (64 + 3 + 2 + 8) * 1024);
    }

    #[test]
    fn where_slabs_cannot_be_told_apart_they_are_one_part() {
        let memory = read(None);
        assert_eq!(memory.parts[0], (SLABS, 64 * 1024));
        assert_eq!(memory.sum(), read(Some(SLABINFO)).sum());
    }

    #[test]
    fn what_sockets_hold_is_not_left_however_reclaimable_it_is_called() {
        let before = KernelMemory {
            reclaimable: 20 * 1024,
            ..read(None)
        };
        assert_eq!(read(None).left_since(&before), 990 * 1024);
        assert_eq!(read(None).left_since(&read(None)), 1000 * 1024);
        // Told apart, it is only what sockets have; the rest is what somebody looked up.
        let mut held = read(Some(SLABINFO));
        let before = KernelMemory {
            reclaimable: 0,
            ..held.clone()
        };
        held.parts[INODES].1 += 8 * 1024;
        assert_eq!(CACHES[INODES].1, ["sock_inode_cache"]);
        assert_eq!(held.left_since(&before), 990 * 1024);
    }

    #[test]
    fn this_kernel_uses_some_memory() {
        let memory = KernelMemory::now().unwrap();
        assert!(memory.sum() > 1 << 20, "{memory:?}");
        assert!(memory.available > 0, "{memory:?}");
    }
}
