//! Instructions: what the pure parts and a whole request take, as callgrind counts them in a release build.
//!
//! Each program does the same so many times and then more often, and the difference is divided: what it does before and
//! after is in both. The figures depend on the compiler and a little on the processor (the C library and memchr have
//! variants for several), so they are compared with room for both, and with more room where the compiler is another.

use std::fmt::Write as _;
use std::io::Read;
use std::process::{Command, Stdio};

use super::app::App;
use super::kind::{Client, Kind};
use super::release::program;
use super::turn;
use crate::support::programs::skip;
use crate::support::{Place, Setup};

/// What is compared with: a name, a number of instructions and a `#` for a remark in each line. The test prints a new one.
const TABLE: &str = include_str!("instructions.txt");

/// The line of the table that names the compiler.
const COMPILER: &str = "# rustc ";

/// How many instructions more are let through, in percent: what a change elsewhere may do to the same code.
const MORE_PERCENT: u64 = 3;

/// The same for what passes through the event loop, where a tick comes in between now and then.
const WHOLE_MORE_PERCENT: u64 = 5;

/// The same where the app closes: whether its answer is there when it is first looked for is up to the host, and a connection
/// that has to wait for it is registered with the event loop, a tenth more.
const CLOSING_MORE_PERCENT: u64 = 12;

/// How often a whole request is counted, as long as it takes more than it may: what is needless is there each time.
const COUNTS_MAX: usize = 3;

/// The same for another compiler than that of the table.
const OTHER_COMPILER_PERCENT: u64 = 10;

/// How far below the table a figure may be. Further down the table guards nothing, and has to be renewed.
const LESS_PERCENT: u64 = 10;

/// How often an operation is done, the first and the second time.
const REPEATS: [u64; 2] = [1_000, 3_000];

/// Requests, the first and the second time. The proxy is some fifty times slower than outside.
const REQUESTS: [u64; 2] = [300, 3_000];

/// The program and the operation behind each name.
const OPERATIONS: &[(&str, &str)] = &[
    ("examples/cost", "request-browser"),
    ("examples/cost", "request-small"),
    ("examples/cost", "answer-app"),
    ("examples/cost", "answer-small"),
    ("examples/cost", "chunks"),
    ("examples/ledger_cost", "lease"),
    ("examples/ledger_cost", "lease-spilled"),
];

/// Whole requests through the program, user space only, under the name of their kind, and the percent that are let through.
const WHOLE: &[(&str, Kind, u64)] = &[
    ("proxy-small", Kind::Small, WHOLE_MORE_PERCENT),
    ("proxy-chunked", Kind::Chunked, WHOLE_MORE_PERCENT),
    ("proxy-closing", Kind::Closing, CLOSING_MORE_PERCENT),
];

/// callgrind, whose sum goes to standard error at the end; the profile itself is not wanted.
const CALLGRIND: [&str; 3] = [
    "valgrind",
    "--tool=callgrind",
    "--callgrind-out-file=/dev/null",
];

/// The instructions that callgrind says it has counted, in what it wrote.
fn collected(said: &str) -> Option<u64> {
    let (_, sum) = said.rsplit_once("Collected :")?;
    sum.split_whitespace().next()?.parse().ok()
}

/// The instructions of one, of those that were counted for so many.
fn each(counts: [u64; 2], often: [u64; 2]) -> u64 {
    counts[1].saturating_sub(counts[0]) / (often[1] - often[0])
}

/// Instructions of one operation of an example.
fn of_operation(program: &str, operation: &str) -> u64 {
    let counts = REPEATS.map(|count| {
        let output = Command::new(CALLGRIND[0])
            .args(&CALLGRIND[1..])
            .args([program, operation, &count.to_string()])
            .output()
            .expect("valgrind");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.stdout.is_empty(), "it prints nothing: {output:?}");
        collected(&said).unwrap_or_else(|| panic!("{program} {operation}: {said}"))
    });
    each(counts, REPEATS)
}

/// Instructions of the whole process for one request.
fn of_request(program: &str, kind: Kind) -> u64 {
    let request = kind.request("");
    let counts = REQUESTS.map(|count| {
        let app = App::on(Place::Unix);
        let words = [&CALLGRIND[..], &[program, "run"]].concat();
        let proxy = Setup::to(&[&app.target()])
            .more("[log]\naccess = \"off\"")
            .instead_of_binary(&words)
            .start();
        let mut client = Client::connect(proxy.address());
        for _ in 0..count {
            client.exchange(kind, &request);
        }
        drop(client);
        proxy.signal("TERM");
        let said = proxy.stderr_to_end();
        collected(&said).unwrap_or_else(|| panic!("{said}"))
    });
    each(counts, REQUESTS)
}

/// The compiler that `cargo` uses here, as far as the figures depend on it: `1.95.0`.
fn compiler() -> String {
    let mut said = String::new();
    let child = Command::new("rustc")
        .arg("--version")
        .stdout(Stdio::piped())
        .spawn();
    if let Ok(mut child) = child {
        let output = child.stdout.take();
        // Without an answer it is another compiler.
        let _ = output.map(|mut output| output.read_to_string(&mut said));
        let _ = child.wait();
    }
    said.split_whitespace()
        .nth(1)
        .unwrap_or("unknown")
        .to_owned()
}

/// What is wrong with a figure; nothing if it is within its bounds.
fn judge(name: &str, now: u64, percent: u64, is_same_compiler: bool) -> Option<String> {
    let lines = TABLE
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    let mut figures = lines.filter_map(|line| line.trim().rsplit_once(' '));
    let Some((_, known)) = figures.find(|(known, _)| known.trim() == name) else {
        return Some(format!(
            "{name}: {now} instructions, and no line in the table"
        ));
    };
    let known: u64 = known.parse().expect("a number in the table");
    let percent = if is_same_compiler {
        percent
    } else {
        OTHER_COMPILER_PERCENT
    };
    if now * 100 > known * (100 + percent) {
        Some(format!(
            "{name}: {now} instructions, {known} in the table and {percent} % more at most"
        ))
    } else if is_same_compiler && now * 100 < known * (100 - LESS_PERCENT) {
        Some(format!(
            "{name}: {now} instructions, {known} in the table, which is to be renewed"
        ))
    } else {
        None
    }
}

/// Whether instructions can be counted here; said loudly if not.
fn can_count() -> bool {
    if !cfg!(target_arch = "x86_64") {
        skip("the table is one of x86-64");
        return false;
    }
    if let Err(error) = Command::new("valgrind").arg("--version").output() {
        skip(&format!("valgrind: {error}"));
        return false;
    }
    for (name, _) in OPERATIONS {
        if let Err(why) = program(name) {
            skip(&why);
            return false;
        }
    }
    true
}

#[test]
fn an_operation_and_a_request_take_no_more_instructions_than_the_table_says() {
    let _turn = turn();
    if !can_count() {
        return;
    }
    let compiler = compiler();
    let is_same = TABLE
        .lines()
        .any(|line| line == format!("{COMPILER}{compiler}"));
    let (mut table, mut failures) = (format!("{COMPILER}{compiler}\n"), String::new());
    let mut note = |name: &str, now: u64, percent: u64| {
        let _ = writeln!(table, "{name} {now}");
        if let Some(failure) = judge(name, now, percent, is_same) {
            let _ = writeln!(failures, "{failure}");
        }
    };
    for (name, operation) in OPERATIONS {
        let program = program(name).expect("found before");
        note(operation, of_operation(&program, operation), MORE_PERCENT);
    }
    let lasthop = program("lasthop").expect("the binary");
    for (name, kind, percent) in WHOLE {
        let counts = (0..COUNTS_MAX).map(|_| of_request(&lasthop, *kind));
        let mut fewest = u64::MAX;
        for count in counts {
            fewest = fewest.min(count);
            if judge(name, fewest, *percent, is_same).is_none() {
                break;
            }
        }
        note(name, fewest, *percent);
    }
    println!("{table}");
    assert!(failures.is_empty(), "{failures}\nas counted now:\n{table}");
}

#[test]
fn figures_are_compared_with_room_upwards_and_with_some_downwards() {
    let line = TABLE.lines().find_map(|line| line.strip_prefix("lease "));
    let known: u64 = line.expect("a line").trim().parse().expect("a number");
    let is_fine = |now, is_same| judge("lease", now, MORE_PERCENT, is_same).is_none();
    assert!(is_fine(known, true));
    assert!(is_fine(known * 103 / 100, true));
    assert!(!is_fine(known * 105 / 100, true));
    assert!(is_fine(known * 105 / 100, false));
    assert!(!is_fine(known * 112 / 100, false));
    assert!(!is_fine(known * 85 / 100, true));
    assert!(judge("unheard-of", 1, MORE_PERCENT, true).is_some());
}
