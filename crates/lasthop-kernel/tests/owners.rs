//! Who has the sockets of a group: workers of one program, several groups at once, a cgroup, and what must not be claimed.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share count as tests, which the lint cannot see here"
)]

use lasthop_kernel::owner::{self, OWNERS_MAX, Owners, Wanted};
use lasthop_kernel::{identity, sock_diag};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Set in the run of the test program that plays a worker: how many sockets it opens.
const MARK: &str = "LASTHOP_WORKER_SOCKETS";

/// A process with sockets of its own; ends when dropped.
struct Worker {
    child: Child,
    output: BufReader<ChildStdout>,
    inodes: Vec<u64>,
}

impl Worker {
    /// Starts one that has no sockets yet.
    fn start(sockets: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["a_worker_holds_its_sockets", "--exact", "--nocapture"])
            .env(MARK, sockets.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            output,
            inodes: Vec::new(),
        }
    }

    /// Has it open them.
    fn open(mut self) -> Self {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let mut lines = self.output.by_ref().lines().map(Result::unwrap);
        let line = lines.find(|line| line.starts_with("sockets")).unwrap();
        let inodes = line.split_ascii_whitespace().skip(1);
        self.inodes = inodes.map(|inode| inode.parse().unwrap()).collect();
        self
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It reads from the other end of this, and has a last line to say.
        drop(self.child.stdin.take());
        let _ = self.output.read_to_end(&mut Vec::new());
        let _ = self.child.wait();
    }
}

fn inode(socket: &impl AsRawFd) -> u64 {
    std::fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd()))
        .unwrap()
        .ino()
}

/// The worker itself; without the mark there is nothing to play, and that it opens what it is told is what is tested.
#[test]
fn a_worker_holds_its_sockets() {
    let Ok(sockets) = std::env::var(MARK) else {
        assert_eq!(Worker::start(3).open().inodes.len(), 3);
        return;
    };
    let mut input = std::io::stdin().lock();
    input.read_line(&mut String::new()).unwrap();
    let sockets: usize = sockets.parse().unwrap();
    let held: Vec<_> = (0..sockets)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let inodes: Vec<_> = held.iter().map(|one| inode(one).to_string()).collect();
    println!("\nsockets {}", inodes.join(" "));
    input.read_to_end(&mut Vec::new()).unwrap();
}

fn wanted(inodes: &[u64]) -> Wanted<'_> {
    Wanted {
        inodes,
        uid: identity::effective_uid(),
        cgroup: None,
    }
}

fn search(groups: &[Wanted<'_>]) -> Vec<Owners> {
    let found = owner::search(groups, Duration::MAX);
    assert_eq!(found.len(), groups.len());
    found
}

fn pids(owners: &Owners) -> Vec<u32> {
    let mut pids: Vec<_> = owners.owners.iter().map(|owner| owner.pid).collect();
    pids.sort_unstable();
    pids
}

#[test]
fn the_workers_of_a_program_are_all_named_and_its_idle_ones_are_not() {
    let workers: Vec<_> = [4, 0, 4, 4]
        .map(|sockets| Worker::start(sockets).open())
        .into();
    let sample: Vec<u64> = workers.iter().flat_map(|one| one.inodes.clone()).collect();
    let found = search(&[wanted(&sample)]);
    let busy: Vec<_> = workers
        .iter()
        .filter(|one| !one.inodes.is_empty())
        .map(Worker::pid)
        .collect();
    assert_eq!(pids(&found[0]), busy);
    assert!(found[0].saw_all);
    for owner in &found[0].owners {
        let worker = workers.iter().find(|one| one.pid() == owner.pid).unwrap();
        assert!(worker.inodes.contains(&owner.inode));
        let name = std::fs::read_to_string(format!("/proc/{}/comm", owner.pid)).unwrap();
        assert_eq!(owner.name, name.trim_end());
    }
}

#[test]
fn no_more_owners_are_named_than_a_sentence_bears() {
    let workers: Vec<_> = (0..OWNERS_MAX + 2).map(|_| Worker::start(1)).collect();
    let workers: Vec<_> = workers.into_iter().map(Worker::open).collect();
    let sample: Vec<u64> = workers.iter().flat_map(|one| one.inodes.clone()).collect();
    let found = search(&[wanted(&sample)]);
    assert_eq!(found[0].owners.len(), OWNERS_MAX);
}

#[test]
fn each_group_is_answered_in_its_place() {
    let first = Worker::start(3).open();
    let second = Worker::start(1).open();
    let own = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let own = own.each_ref().map(inode);
    let groups = [
        wanted(&second.inodes),
        wanted(&[0]),
        wanted(&first.inodes[..1]),
        wanted(&[u64::MAX]),
        // Made by another user than it is found with, as is the socket of a server that gave up its rights.
        Wanted {
            uid: 4_242_424,
            ..wanted(&first.inodes[2..])
        },
        wanted(&own),
        // The same sockets may stand in two groups.
        wanted(&own[1..]),
    ];
    let found = search(&groups);
    let us = std::process::id();
    let expected = [
        vec![second.pid()],
        vec![],
        vec![first.pid()],
        vec![],
        vec![first.pid()],
    ];
    assert_eq!(found[..5].iter().map(pids).collect::<Vec<_>>(), expected);
    // Between fork and exec the child of another test has our sockets too, behind us.
    assert_eq!(pids(&found[5])[0], us);
    assert_eq!(pids(&found[6])[0], us);
    assert!(found[1].saw_all, "what has no owner is not missing");
    // Where a process keeps its descriptors to itself, from root too in a container, that is said.
    assert_eq!(found[3].saw_all, can_read_every_descriptor());
}

/// Whether no process of /proc refuses. What is gone meanwhile refuses nothing.
fn can_read_every_descriptor() -> bool {
    let refuses = |error: std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut tables = processes.filter_map(|process| {
        let name = process.file_name();
        let is_process = name.to_str()?.parse::<u32>().is_ok();
        is_process.then(|| std::fs::read_dir(process.path().join("fd")))
    });
    !tables.any(|table| match table {
        Ok(mut entries) => entries.any(|entry| {
            let link = entry.and_then(|entry| std::fs::read_link(entry.path()));
            link.is_err_and(refuses)
        }),
        Err(error) => refuses(error),
    })
}

#[test]
fn no_time_is_no_answer_and_says_so() {
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    let sample = [inode(&own)];
    let found = owner::search(&[wanted(&sample), wanted(&[0])], Duration::ZERO);
    assert_eq!((found[0].owners.len(), found[0].saw_all), (0, false));
    assert_eq!((found[1].owners.len(), found[1].saw_all), (0, true));
    assert!(owner::search(&[], Duration::ZERO).is_empty());
}

/// In one piece, and past the capture of the test harness; a lost line is no failure.
fn skip(reason: &str) {
    let line = format!("SKIPPED: in part, because this machine {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// A cgroup of its own below that of this process; removed when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    /// `None`, and a line on stderr, where there is no tree of version 2 or none that we may grow.
    fn new() -> Option<Self> {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lasthop-test-{}-{number}", std::process::id());
        let made = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .map(Path::new)
            .into_iter()
            .filter(|root| root.join("cgroup.controllers").exists())
            .map(|root| root.join(own).join(&name))
            .find(|path| std::fs::create_dir(path).is_ok());
        if made.is_none() {
            skip("lets no cgroup be made");
        }
        made.map(Self)
    }

    /// Moves a process there; `false`, and a line on stderr, where that is not allowed.
    fn take(&self, pid: u32) -> bool {
        let moved = std::fs::write(self.0.join("cgroup.procs"), pid.to_string());
        if moved.is_err() {
            skip("lets no process change its cgroup");
        }
        moved.is_ok()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Empty by now, or not to be helped.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// From the kernel's listing to the process, by the cgroup that it tells.
#[test]
fn the_cgroup_that_a_socket_tells_leads_to_its_process() {
    let Some(cgroup) = Cgroup::new() else {
        return;
    };
    let worker = Worker::start(1);
    if !cgroup.take(worker.pid()) {
        return;
    }
    let worker = worker.open();
    let (listeners, _) = sock_diag::every_tcp_listener().unwrap();
    let listener = listeners
        .iter()
        .find(|one| one.inode == worker.inodes[0])
        .unwrap();
    assert_eq!(
        listener.cgroup,
        Some(std::fs::metadata(&cgroup.0).unwrap().ino())
    );
    // With a user that no process has, so that only the cgroup leads straight there.
    let group = Wanted {
        inodes: &worker.inodes,
        uid: 4_242_424,
        cgroup: listener.cgroup,
    };
    assert_eq!(pids(&search(&[group])[0]), [worker.pid()]);
    drop(worker);
}

/// A socket that two processes share is that of the one in its cgroup first.
#[test]
fn processes_of_the_cgroup_come_first() {
    let Some(cgroup) = Cgroup::new() else {
        return;
    };
    // Standard input of the child, and so in two processes: ours, which has the lower number, and its own.
    let (shared, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let inodes = [inode(&theirs)];
    let kept = theirs.try_clone().unwrap();
    let mut child = Command::new("cat")
        .stdin(std::os::fd::OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    if cgroup.take(child.id()) {
        let group = |cgroup| Wanted {
            cgroup,
            ..wanted(&inodes)
        };
        let number = std::fs::metadata(&cgroup.0).unwrap().ino();
        let found = search(&[group(Some(number))]);
        assert_eq!(pids(&found[0]), [child.id()]);
        let found = search(&[group(None)]);
        assert_eq!(found[0].owners[0].pid, std::process::id());
    }
    drop((shared, kept));
    child.wait().unwrap();
}
