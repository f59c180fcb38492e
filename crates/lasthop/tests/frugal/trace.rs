//! A proxy under strace(1), and what it wrote: which system calls its worker made between two marked requests.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::kind::Client;
use super::release::{binary, is_released};
use crate::support::{Lasthop, PATIENCE, Setup, TempDir};

/// Bytes of a buffer that are written down: enough for the line of a marked request.
const STRING_BYTES: &str = "48";

/// One call of one thread, as soon as it has returned.
#[derive(Debug)]
struct Call {
    thread: u32,
    name: String,
    /// From the name to the result.
    text: String,
}

/// How often each system call was made.
pub(crate) type Counts = BTreeMap<String, usize>;

/// A running proxy whose calls are written down.
pub(crate) struct Traced {
    pub(crate) proxy: Lasthop,
    file: PathBuf,
    _dir: TempDir,
}

impl Traced {
    /// Starts it. `Err` says why nothing can be traced here: no strace, or nobody may.
    pub(crate) fn start(setup: Setup) -> Result<Self, String> {
        let dir = TempDir::new();
        let file = dir.join("trace");
        let path = file.display().to_string();
        // `-D`: strace is the grandchild, so the process that we have started and will end is the proxy.
        let binary = binary();
        let options = [
            "-D",
            "-f",
            "-q",
            "-e",
            "signal=none",
            "-s",
            STRING_BYTES,
            "-o",
            &path,
        ];
        let words = [&["strace"], &options[..], &[&*binary, "run"]].concat();
        let works = std::process::Command::new("strace")
            .args(["-f", "-o", "/dev/null", "true"])
            .output()
            .map_err(|error| format!("strace: {error}"))?;
        if !works.status.success() {
            let said = String::from_utf8_lossy(&works.stderr);
            return Err(format!(
                "strace: {}",
                said.lines().last().unwrap_or_default()
            ));
        }
        Ok(Self {
            proxy: setup.instead_of_binary(&words).start(),
            file,
            _dir: dir,
        })
    }

    /// A new connection to it.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.proxy.address())
    }

    /// All calls that all threads have made so far and that have returned.
    pub(crate) fn so_far(&self) -> usize {
        let text = std::fs::read_to_string(&self.file).expect("the trace");
        calls(&text).len()
    }

    /// Counts the calls of the thread that read the two marks: from the read that held the first to the one that held
    /// the second, which is not counted any more.
    pub(crate) fn between(&self, first: &str, second: &str) -> Counts {
        let calls = calls(&written_up_to(second, &self.file));
        let at = |mark: &str| {
            let found = calls.iter().position(|call| call.text.contains(mark));
            found.unwrap_or_else(|| panic!("nobody has read {mark:?}"))
        };
        let (from, to) = (at(first), at(second));
        let worker = calls[from].thread;
        assert_eq!(worker, calls[to].thread, "there is one worker");
        let mut counts = Counts::new();
        for call in &calls[from..to] {
            if call.thread == worker && (is_released() || !is_check(call)) {
                *counts.entry(call.name.clone()).or_default() += 1;
                if call.text.contains("EAGAIN") {
                    *counts.entry(format!("{} EAGAIN", call.name)).or_default() += 1;
                }
            }
        }
        counts
    }
}

/// Without optimisation the standard library looks whether a descriptor is one before it closes it, and tokio whether a
/// socket is blocking.
fn is_check(call: &Call) -> bool {
    call.name == "fcntl" && (call.text.contains("F_GETFD") || call.text.contains("F_GETFL"))
}

/// What strace has written, once it has come to `mark`: it may be behind the proxy, and writes a line at a time.
fn written_up_to(mark: &str, file: &Path) -> String {
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(file).expect("the trace");
        let is_there = text
            .split_once(mark)
            .is_some_and(|(_, rest)| rest.contains('\n'));
        if is_there {
            return text;
        }
        assert!(begun.elapsed() < PATIENCE, "strace has not seen {mark:?}");
        std::thread::yield_now();
    }
}

/// The calls in a trace in the order of their returns; a call during which another thread had something to say is in
/// two pieces there.
fn calls(trace: &str) -> Vec<Call> {
    let mut begun: HashMap<u32, String> = HashMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((thread, text)) = line.split_once(' ') else {
            continue;
        };
        let Ok(thread) = thread.parse() else { continue };
        let text = text.trim_start();
        if let Some(text) = text.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, text.to_owned());
            continue;
        }
        let text = match text.strip_prefix("<... ") {
            None => text.to_owned(),
            Some(resumed) => {
                let rest = resumed.split_once(" resumed>").map_or("", |(_, rest)| rest);
                begun.remove(&thread).unwrap_or_default() + rest
            }
        };
        // Ends of threads and signals have no parenthesis behind a name.
        if let Some((name, _)) = text.split_once('(') {
            calls.push(Call {
                thread,
                name: name.to_owned(),
                text,
            });
        }
    }
    calls
}

#[test]
fn a_call_that_is_written_in_two_pieces_is_one() {
    let trace = "7 read(3, \"a\", 1) = 1\n\
                 7 epoll_wait(4,  <unfinished ...>\n\
                 8 futex(0x1, FUTEX_WAIT, 2, NULL <unfinished ...>\n\
                 7 <... epoll_wait resumed>[], 64, 0) = 0\n\
                 7 +++ exited with 0 +++\n";
    let calls = calls(trace);
    let texts: Vec<_> = calls
        .iter()
        .map(|call| (&*call.name, &*call.text))
        .collect();
    let read = ("read", "read(3, \"a\", 1) = 1");
    let wait = ("epoll_wait", "epoll_wait(4, [], 64, 0) = 0");
    assert_eq!(texts, [read, wait]);
}
