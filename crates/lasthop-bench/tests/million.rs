//! `million` from outside, with few connections and fewer descriptors: that several processes of each kind share them, that
//! every one echoes, that all of it is written down, and that nothing is left. What anything took is not looked at.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share count as tests, which the lint cannot see here"
)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use lasthop::demo::scratch::Scratch;
use lasthop_kernel::process::{self, Signal};
use support::{HARNESS, assert_nothing_is_left, build_lasthop, mark_of};

/// The harness where a process may have no more than 512 descriptors, so that an instance has room for about 100.
fn harness(arguments: &[&str]) -> Command {
    build_lasthop();
    let mut command = Command::new("/bin/sh");
    command
        .args([
            "-c",
            "ulimit -n 512 && exec \"$@\"",
            "sh",
            HARNESS,
            "million",
        ])
        .args(arguments);
    command
}

#[test]
fn several_instances_hold_all_to_one_app_and_every_one_echoes_twice() {
    let scratch = Scratch::new().unwrap();
    let file = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let (json, markdown) = (file("million.json"), file("benchmarks.md"));
    let arguments = ["--connections", "200", "--silence", "0"];
    let mut harness = harness(&arguments);
    let harness = harness.args(["--json", &json, "--markdown", &markdown]);
    let output = harness.output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("All 200 were held, and every one echoed, both times."),
        "{said}"
    );
    let json = fs::read_to_string(json).unwrap();
    assert!(
        json.contains("\"processes\":{\"proxy\":3,\"app\":3,\"load\":1}"),
        "{json}"
    );
    assert_eq!(
        json.matches("\"succeeded\":200,\"failed\":0,").count(),
        3,
        "{json}"
    );
    let document = fs::read_to_string(markdown).unwrap();
    assert!(
        document.contains("<!-- lasthop-bench million: "),
        "{document}"
    );
    assert!(
        document.contains("-- million --connections 200 --silence 0\n"),
        "{document}"
    );
}

#[test]
fn a_signal_in_the_silence_leaves_nothing_behind() {
    let mut command = harness(&["--connections", "300", "--silence", "3600"]);
    let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
    // The shell becomes the harness, so the number is its.
    let mut harness = command.spawn().unwrap();
    let mark = mark_of(harness.id());
    let mut said = BufReader::new(harness.stderr.take().unwrap()).lines();
    let silence = said.find(|line| line.as_ref().unwrap().ends_with("s of silence"));
    assert!(silence.is_some(), "there was no silence");
    process::signal(harness.id(), Signal::Interrupt).unwrap();
    let rest: Vec<String> = said.map(Result::unwrap).collect();
    assert!(!harness.wait().unwrap().success());
    assert_eq!(
        rest.last().map(String::as_str),
        Some("lasthop-bench: interrupted")
    );
    assert_nothing_is_left(&mark);
}
