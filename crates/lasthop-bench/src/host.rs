//! Whether this host has room for so many connections, before the first is opened: a host that runs out of memory half
//! way is nobody's benchmark, and may be somebody's work.
//!
//! What the host has is read once ([`Host`]); what a run takes of it is arithmetic ([`Appetite`]), which also says how
//! many would do where not all do.

use std::fs;

use lasthop_kernel::{memory, sysctl};

use crate::endpoint::{held, hold_app};
use crate::error::BenchError;
use crate::rival::{Rival, fleet};

/// Memory that the host keeps whatever is held: what other programs may want meanwhile.
pub(crate) const FLOOR_BYTES: u64 = 1 << 30;
/// Memory that a run of at most some hundred thousand connections leaves to all else, its own programs included.
const BYTES_APART: u64 = 768 << 20;
/// Files and sockets of the kernel for one held connection, one for each end, and those that are no connection's.
const FILES_EACH: u64 = 4;
const FILES_APART: u64 = 4096;
/// Unix sockets of a connection whose app is on one.
const UNIX_SOCKETS_EACH: u64 = 2;
/// Threads of a process of any program here, with room.
const THREADS_EACH: u64 = 8;
/// `CAP_SYS_ADMIN` (capabilities(7)), as a bit.
const SYS_ADMIN: u64 = 1 << 21;

/// Memory of the kernel for one held TCP socket that nothing is sent over, with file, inode and bind bucket.
const BYTES_EACH_SOCKET: u64 = 5 << 10;

/// What a run takes of memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appetite {
    /// For a held connection: all its ends in the kernel, and in all programs.
    each: u64,
    /// For a process of the proxy, before its first connection.
    proxy: u64,
    /// For a process of the app or of the load, likewise.
    end: u64,
    /// What has to be left.
    apart: u64,
}

/// Of any proxy and either transport. Over TCP four ends in the kernel take 3.7 kB each with file and epoll entry, and in
/// programs the hungriest of the proxies takes 18 kB for a tunnel, app and load 4 kB.
const OF_ANY_PROXY: Appetite = Appetite {
    each: 40 << 10,
    proxy: 0,
    end: 0,
    apart: BYTES_APART,
};

/// Of lasthop with its app on a Unix socket. Measured with 100,000: 14 kB in the kernel, 1.35 in lasthop, 1.5 in app and
/// load, and 12 MB for each instance; rounded up.
pub(crate) const OF_LASTHOP_OVER_UNIX: Appetite = Appetite {
    each: 17 << 10,
    proxy: 18 << 20,
    end: 2 << 20,
    apart: FLOOR_BYTES,
};

/// What this host has left, as far as it tells; what it does not tell refuses nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    memory: Option<u64>,
    group_memory: Option<u64>,
    files: Option<u64>,
    unix_sockets: Option<u64>,
    tracked: Option<u64>,
    tasks: Option<u64>,
    group_tasks: Option<u64>,
    rooms: Rooms,
}

/// How many connections one process of each kind may hold.
#[derive(Clone, Copy, Debug)]
struct Rooms {
    proxy: usize,
    app: usize,
    load: usize,
    /// All processes of the load together.
    load_max: usize,
}

/// A bound of this host, and what is wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) what: &'static str,
    pub(crate) wanted: u64,
    pub(crate) free: u64,
}

impl Bound {
    fn is_short(&self) -> bool {
        self.wanted > self.free
    }

    fn in_words(&self) -> String {
        format!("{}: {} wanted, {} free", self.what, self.wanted, self.free)
    }
}

/// How many of the wanted connections fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fit {
    pub(crate) connections: usize,
    /// What is short for all that were wanted, where that is more, in words.
    pub(crate) short: Option<String>,
}

/// Refuses where memory, files or processes would not do.
///
/// # Errors
/// [`BenchError::TooSmall`], with the figures.
pub(crate) fn check_room(connections: usize) -> Result<(), BenchError> {
    refuse_short(
        connections,
        &Host::here()?.bounds(connections, OF_ANY_PROXY),
    )
}

/// Refuses where memory or files would not do for so many sockets, both ends of each connection counted.
///
/// # Errors
/// [`BenchError::TooSmall`], with the figures.
pub(crate) fn check_sockets(sockets: usize) -> Result<(), BenchError> {
    let count = sockets as u64;
    let bytes = count * BYTES_EACH_SOCKET + BYTES_APART;
    let bounds = known([
        ("bytes of memory", bytes, memory::available().ok()),
        (
            "open files of the host (fs.file-max)",
            count + FILES_APART,
            free_files(),
        ),
    ]);
    refuse_short(sockets.div_ceil(2), &bounds)
}

fn refuse_short(connections: usize, bounds: &[Bound]) -> Result<(), BenchError> {
    match shortages(bounds) {
        None => Ok(()),
        Some(short) => Err(BenchError::TooSmall { connections, short }),
    }
}

/// All that is short, in words.
fn shortages(bounds: &[Bound]) -> Option<String> {
    let short = bounds.iter().filter(|bound| bound.is_short());
    let short: Vec<String> = short.map(Bound::in_words).collect();
    (!short.is_empty()).then(|| short.join("; "))
}

impl Host {
    /// Reads it. The descriptor limit of this process, which all that it starts inherit, has to be raised before.
    pub(crate) fn here() -> Result<Self, BenchError> {
        let group = control_group().unwrap_or_default();
        let of_group = |limit: &str, current: &str| {
            let limit = number(&format!("{group}/{limit}"))?; // "max" is no number, and no bound
            Some(limit.saturating_sub(number(&format!("{group}/{current}"))?))
        };
        Ok(Self {
            memory: memory::available().ok(),
            group_memory: of_group("memory.max", "memory.current"),
            files: free_files(),
            unix_sockets: free_unix_sockets(),
            tracked: free_tracked(),
            tasks: number("/proc/sys/kernel/pid_max").map(|max| max.saturating_sub(tasks_now())),
            group_tasks: of_group("pids.max", "pids.current"),
            rooms: Rooms {
                proxy: fleet::room_of_a_process(Rival::Lasthop)?,
                app: hold_app::room_of_a_process()?,
                load: held::room_of_a_process()?,
                load_max: held::connections_max()?,
            },
        })
    }

    /// How many of `wanted` connections fit, to the thousand where they are many.
    pub(crate) fn fitting(&self, wanted: usize, appetite: Appetite) -> Fit {
        let short = shortages(&self.bounds(wanted, appetite));
        if short.is_none() {
            return Fit {
                connections: wanted,
                short,
            };
        }
        // Of the counts below `wanted`: those that fit come first, since every bound grows with them.
        let (mut fits, mut does_not) = (0, wanted);
        while fits + 1 < does_not {
            let middle = usize::midpoint(fits, does_not);
            if shortages(&self.bounds(middle, appetite)).is_none() {
                fits = middle;
            } else {
                does_not = middle;
            }
        }
        let connections = if fits < 10_000 {
            fits
        } else {
            fits / 1000 * 1000
        };
        Fit { connections, short }
    }

    fn bounds(&self, connections: usize, appetite: Appetite) -> Vec<Bound> {
        let count = connections as u64;
        let rooms = self.rooms;
        let proxies = fleet::processes_of(connections, rooms.proxy) as u64;
        let ends =
            hold_app::processes_of(connections, rooms.app) + connections.div_ceil(rooms.load);
        let ends = ends as u64;
        let bytes =
            count * appetite.each + proxies * appetite.proxy + ends * appetite.end + appetite.apart;
        let tasks = (proxies + ends + 4) * THREADS_EACH;
        known([
            ("bytes of memory", bytes, self.memory),
            (
                "bytes of memory in this control group",
                bytes,
                self.group_memory,
            ),
            (
                "connections that the load has source addresses for",
                count,
                Some(rooms.load_max as u64),
            ),
            (
                "open files of the host (fs.file-max)",
                count * FILES_EACH + FILES_APART,
                self.files,
            ),
            (
                "Unix sockets of the host (twice fs.file-max)",
                count * UNIX_SOCKETS_EACH + FILES_APART,
                self.unix_sockets,
            ),
            (
                "connections that are tracked (nf_conntrack_max)",
                count,
                self.tracked,
            ),
            ("process numbers (kernel.pid_max)", tasks, self.tasks),
            (
                "processes in this control group (pids.max)",
                tasks,
                self.group_tasks,
            ),
        ])
    }
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

/// Files that can still be opened. Who administers the host is not held to `fs.file-max` (proc_sys_fs(5)).
fn free_files() -> Option<u64> {
    let files = sysctl::file_nr().ok()?;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let users = fs::read_to_string("/proc/self/uid_map").ok()?;
    if administers(&status, &users) {
        return Some(u64::MAX);
    }
    Some(files.max.saturating_sub(files.allocated))
}

/// Whether `/proc/self/status` and `/proc/self/uid_map` are those of a process that administers the whole host: root of a
/// container or of a user namespace does not.
fn administers(status: &str, users: &str) -> bool {
    let capabilities = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|word| u64::from_str_radix(word.trim(), 16).ok());
    let is_capable = capabilities.is_some_and(|all| all & SYS_ADMIN != 0);
    // All users, each as itself: the first user namespace (user_namespaces(7)).
    is_capable && users.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// Unix sockets that can still be made: the kernel stops at twice `fs.file-max`, for everybody, and nearly all that there
/// are have a file.
fn free_unix_sockets() -> Option<u64> {
    let files = sysctl::file_nr().ok()?;
    let max = files.max.saturating_mul(2);
    Some(max.saturating_sub(files.allocated))
}

/// Connections that connection tracking can still remember; `None` where it remembers none and so is not at work.
fn free_tracked() -> Option<u64> {
    let count = sysctl::conntrack_count().ok()??;
    let max = sysctl::conntrack_max().ok()??;
    (count > 0).then(|| u64::from(max.saturating_sub(count)))
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

    const GIB: u64 = 1 << 30;

    /// 24 GiB of which little is in use, root, and 20,000 descriptors for a process.
    const ROOMY: Host = Host {
        memory: Some(23 * GIB),
        group_memory: None,
        files: Some(u64::MAX),
        unix_sockets: Some(4_900_000),
        tracked: None,
        tasks: Some(30_000),
        group_tasks: None,
        rooms: Rooms {
            proxy: 9718,
            app: 19_936,
            load: 14_116,
            load_max: 240 * 14_116,
        },
    };

    fn fit(host: Host) -> Fit {
        host.fitting(1_000_000, OF_LASTHOP_OVER_UNIX)
    }

    #[test]
    fn a_few_connections_have_room_and_a_milliard_has_not() {
        check_room(10).unwrap();
        let error = check_room(1_000_000_000).unwrap_err().to_string();
        assert!(error.contains("bytes of memory: "), "{error}");
        assert!(error.contains(" wanted, "), "{error}");
    }

    #[test]
    fn this_host_tells_its_memory_its_files_and_its_processes() {
        let bounds = Host::here().unwrap().bounds(1, OF_ANY_PROXY);
        for word in ["memory", "fs.file-max", "pid_max"] {
            assert!(bounds.iter().any(|one| one.what.contains(word)), "{word}");
        }
    }

    #[test]
    fn a_million_fit_into_24_gib() {
        let all = Fit {
            connections: 1_000_000,
            short: None,
        };
        assert_eq!(fit(ROOMY), all);
    }

    #[test]
    fn what_is_smaller_holds_fewer_and_says_what_is_short() {
        let smaller = [
            (
                Host {
                    memory: Some(8 * GIB),
                    ..ROOMY
                },
                350_000..420_000,
                "bytes of memory: ",
            ),
            (
                Host {
                    group_memory: Some(4 * GIB),
                    ..ROOMY
                },
                150_000..190_000,
                "in this control group",
            ),
            (
                Host {
                    files: Some(2_466_170),
                    ..ROOMY
                },
                615_000..616_000,
                "fs.file-max",
            ),
            (
                Host {
                    unix_sockets: Some(200_000),
                    ..ROOMY
                },
                97_000..98_000,
                "twice fs.file-max",
            ),
            (
                Host {
                    tracked: Some(262_144),
                    ..ROOMY
                },
                262_000..263_000,
                "nf_conntrack_max",
            ),
            (
                Host {
                    group_tasks: Some(1000),
                    ..ROOMY
                },
                400_000..550_000,
                "pids.max",
            ),
        ];
        for (host, expected, word) in smaller {
            let fit = fit(host);
            assert!(expected.contains(&fit.connections), "{fit:?}");
            assert!(fit.short.as_ref().unwrap().contains(word), "{fit:?}");
            let again = host.fitting(fit.connections, OF_LASTHOP_OVER_UNIX);
            assert_eq!(again.short, None, "what fits, fits");
        }
    }

    #[test]
    fn where_nothing_fits_it_is_none() {
        let host = Host {
            memory: Some(GIB / 2),
            ..ROOMY
        };
        assert_eq!(fit(host).connections, 0);
        // Few are not rounded away.
        let host = Host {
            tracked: Some(999),
            ..ROOMY
        };
        assert_eq!(fit(host).connections, 999);
    }

    #[test]
    fn only_root_of_the_whole_host_passes_the_limit_on_files() {
        let all = "         0          0 4294967295\n";
        let capable = "Name:\ta\nCapEff:\t000001ffffffffff\n";
        assert!(administers(capable, all));
        assert!(!administers(capable, "0 1000 1\n"));
        assert!(!administers("CapEff:\t0000000000000000\n", all));
        assert!(!administers("", all));
    }
}
