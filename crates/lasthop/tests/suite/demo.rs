//! `lasthop demo` as its first user sees it: the plateau, what the doctor says of it, what each remedy does about it, what is
//! left out where it cannot be shown, and nothing that stays behind.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use lasthop_kernel::limits;
use lasthop_kernel::process::{Signal, die_with_parent, signal};

use crate::support::lasthop::binary;
use crate::support::lines::Lines;
use crate::support::programs::skip;
use crate::support::{PATIENCE, TempDir, namespace};

/// What the demo says where it shows no wall.
const LEFT_OUT: &str = "The wall is left out: ";
/// From here on the inside of the wall is at work.
const FIRST_PART: &str = "1. The plateau";
/// What each part of the wall begins with, and what follows it. The load of the story takes its five seconds for each remedy,
/// as it is about time.
const PARTS: [&str; 5] = [FIRST_PART, "2. ", "3. ", "4. ", LOAD_ACT];
const LOAD_ACT: &str = "Load: one app, one proxy worker";

/// A running demo, its files in a directory of its own.
struct Demo {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    dir: TempDir,
}

impl Demo {
    /// With as many descriptors for each process.
    fn start(descriptors: u64) -> Self {
        let dir = TempDir::new();
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""))
            .arg(binary())
            .args(["demo", "--seconds", "1"])
            .env("TMPDIR", dir.join(""))
            // So that its pictures are made of letters.
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = die_with_parent(&mut command).spawn().expect("a shell");
        let stdout = Lines::of(child.stdout.take().expect("a pipe"));
        let stderr = Lines::of(child.stderr.take().expect("a pipe"));
        Self {
            child,
            stdout,
            stderr,
            dir,
        }
    }

    /// Waits for a line that begins so; why there is no wall, where there is none.
    fn shows(&self, begin: &str) -> Result<(), String> {
        let wanted = |line: &str| line.starts_with(begin) || line.starts_with(LEFT_OUT);
        match self.stdout.find(wanted, 3 * PATIENCE) {
            Some(line) if line.starts_with(begin) => Ok(()),
            Some(line) => Err(line),
            None => panic!(
                "no line {begin:?} in {:?}, and on standard error: {:?}",
                self.stdout.so_far(),
                self.stderr.so_far()
            ),
        }
    }

    /// The words of the wall's `n`th row (from 0) with this name.
    fn row(&self, name: &str, n: usize) -> Vec<String> {
        let row = self.stdout.nth_with(name, n, PATIENCE);
        let row = row.unwrap_or_else(|| panic!("no row {name:?}: {:?}", self.stdout.so_far()));
        row[name.len()..]
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    }

    fn ends(&mut self) -> ExitStatus {
        self.stdout.to_end(3 * PATIENCE);
        self.child.wait().expect("a child of ours")
    }

    /// What of it still runs or lies about: processes that were told of its directory, and what is in there.
    fn remains(&self) -> Vec<String> {
        let directory = self.dir.join("").display().to_string();
        let mut remains = Vec::new();
        for process in std::fs::read_dir("/proc").expect("/proc").flatten() {
            // One that has ended meanwhile cannot be read, and is none.
            let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            if command.contains(&directory) {
                remains.push(command);
            }
        }
        let files = std::fs::read_dir(self.dir.join("")).expect("its directory");
        remains.extend(
            files
                .flatten()
                .map(|file| file.path().display().to_string()),
        );
        remains
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Both fail only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the wall needs to be shown whole, in each process.
const DESCRIPTORS: u64 = 4096;

/// Whether this machine has so many descriptors; says that the test is skipped where not.
fn has_descriptors() -> bool {
    let hard = limits::nofile().expect("a limit").hard;
    if hard < DESCRIPTORS {
        skip(&format!(
            "{hard} descriptors are allowed, {DESCRIPTORS} are needed"
        ));
    }
    hard >= DESCRIPTORS
}

/// The figures of a row of remedies: asked, answered, refused, most in TIME_WAIT.
fn figures(row: &[String]) -> [u64; 4] {
    let number = |at: usize| {
        let text: String = row[at].chars().filter(|letter| *letter != ',').collect();
        text.parse()
            .unwrap_or_else(|_| panic!("no figures: {row:?}"))
    };
    [number(0), number(1), number(2), number(3)]
}

#[test]
fn the_demo_tells_the_story_from_the_plateau_over_the_finding_to_each_remedy() {
    if !has_descriptors() {
        return;
    }
    let demo = Demo::start(DESCRIPTORS);
    for part in PARTS {
        if let Err(reason) = demo.shows(part) {
            return skip(&reason);
        }
    }
    let said = demo.stdout.so_far().join("\n");
    shows_the_plateau(&demo, &said);
    // What the doctor found at that moment, by its code.
    assert!(said.contains("critical  ports-exhausted: "), "{said}");
    assert!(said.contains("600 of 600 ports"), "{said}");
    shows_that_each_remedy_helps(&demo, &said);
    shows_what_can_be_held(&demo, &said);
}

fn shows_the_plateau(demo: &Demo, said: &str) {
    // Half of the picture's width at the limit, and refusals beneath.
    let plateau = "#".repeat(30);
    let is_top = |line: &str| line.starts_with("        |") && line.ends_with(&plateau);
    assert!(said.lines().any(is_top), "{said}");
    let refused = demo.row("refused", 0);
    assert!(refused.concat().len() >= 20, "{said}");
}

fn shows_that_each_remedy_helps(demo: &Demo, said: &str) {
    let [asked, answered, refused, time_wait] = figures(&demo.row("as it was", 0));
    assert_eq!((asked, time_wait), (1500, 600), "{said}");
    // A request that waits for a port may be handed a connection that another is done with, instead of its being closed.
    assert!(answered <= 615 && refused > 0, "{said}");
    for remedy in [
        "tcp_tw_reuse = 1",
        "a wider port range (+128 %)",
        "many addresses",
        "a Unix socket",
    ] {
        let [asked, with_remedy, ..] = figures(&demo.row(remedy, 0));
        assert_eq!(asked, 1500, "{remedy}: {said}");
        assert!(with_remedy > answered, "{remedy}: {said}");
    }
    let unix = demo.row("a Unix socket", 0);
    assert_eq!((figures(&unix)[3], unix[4].as_str()), (0, "none"), "{said}");
    assert!(said.contains("127.0.0.0/8"), "{said}");
}

fn shows_what_can_be_held(demo: &Demo, said: &str) {
    // Asked, held, refused, echoed, ports held, source addresses.
    let kernel = demo.row("TCP, source = \"kernel\"", 0);
    let all_of_one = ["1,000", "600", "400", "600", "600", "127.0.0.1", "(600)"];
    assert_eq!(kernel, all_of_one);
    let default = demo.row("TCP, the default", 0);
    assert_eq!(default[..5], ["1,000", "1,000", "0", "1,000", "1,000"]);
    assert_eq!(default[5], "127.0.0.1");
    assert_eq!(default[7], "127.64.0.1");
    let unix = demo.row("a Unix socket", 1);
    assert_eq!(unix, ["1,000", "1,000", "0", "1,000", "0", "none"]);
    assert!(
        said.contains("503 Service Unavailable: source ports"),
        "{said}"
    );
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    for order in [Signal::Terminate, Signal::Interrupt] {
        let mut demo = Demo::start(DESCRIPTORS);
        if let Err(reason) = demo.shows(FIRST_PART) {
            return skip(&reason);
        }
        signal(demo.child.id(), order).expect("a running demo");
        assert_eq!(demo.ends().code(), Some(1), "{order:?}");
        let said = demo.stderr.to_end(PATIENCE);
        assert_eq!(said, "lasthop: interrupted", "{order:?}");
        // The proxies are killed by the kernel, in its own time.
        let begun = Instant::now();
        while !demo.remains().is_empty() {
            assert!(begun.elapsed() < PATIENCE, "{:?}", demo.remains());
            std::thread::yield_now();
        }
    }
}

#[test]
fn without_namespaces_the_wall_is_left_out_and_the_demo_goes_on() {
    namespace::with_ports("32768 60999", || {
        std::fs::write("/proc/sys/user/max_user_namespaces", "0").expect("a setting of ours");
        let mut demo = Demo::start(DESCRIPTORS);
        let status = demo.ends();
        let said = demo.stdout.so_far();
        assert_eq!(status.code(), Some(0), "{:?}", demo.stderr.so_far());
        assert!(
            said[0].starts_with(LEFT_OUT) && said[0].contains("max_user_namespaces"),
            "{said:?}"
        );
        assert!(
            said.iter().any(|line| line.contains("over a Unix socket")),
            "{said:?}"
        );
        assert!(demo.remains().is_empty(), "{:?}", demo.remains());
    });
}

#[test]
fn with_few_descriptors_the_demo_is_smaller_or_left_out_and_never_fails() {
    let mut demo = Demo::start(128);
    assert_eq!(demo.ends().code(), Some(0), "{:?}", demo.stderr.so_far());
    let said = demo.stdout.so_far().join("\n");
    assert!(said.starts_with(LEFT_OUT), "{said}");
    assert!(said.contains("28 clients (fewer than usual"), "{said}");
    let mut demo = Demo::start(72);
    assert_eq!(demo.ends().code(), Some(0), "{:?}", demo.stderr.so_far());
    let said = demo.stdout.so_far().join("\n");
    assert!(
        said.contains("left out: this host allows a process only 72"),
        "{said}"
    );
}

#[test]
fn the_part_for_a_namespace_refuses_to_change_the_network_of_the_host() {
    let before = std::fs::read("/proc/sys/net/ipv4/ip_local_port_range").expect("a setting");
    let dir = TempDir::new();
    let output = Command::new(binary())
        .args(["demo", "--inside-the-wall"])
        .arg(dir.join(""))
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("works only where"), "{said}");
    let after = std::fs::read("/proc/sys/net/ipv4/ip_local_port_range").expect("a setting");
    assert_eq!(before, after);
}
