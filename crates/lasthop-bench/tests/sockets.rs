//! `sockets` from outside, with few of them: that each command is run and sees them, and that all of it is written down.
//! How long anything took is not looked at.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share count as tests, which the lint cannot see here"
)]

mod support;

use std::fs;
use std::process::Command;

use lasthop::demo::scratch::Scratch;
use lasthop_kernel::namespace;
use support::{HARNESS, build_lasthop};

#[test]
fn a_few_hundred_sockets_are_looked_at_in_a_namespace_of_their_own() {
    let test = "a_few_hundred_sockets_are_looked_at_in_a_namespace_of_their_own";
    // Whether there are namespaces to be had at all.
    if let Err(error) = namespace::isolate(&mut Command::new("true")).status() {
        return namespace::skip(test, &error);
    }
    build_lasthop();
    let scratch = Scratch::new().unwrap();
    let document = scratch.path().join("benchmarks.md");
    let mut harness = Command::new(HARNESS);
    harness
        .args(["sockets", "--count", "400", "--seconds", "1", "--markdown"])
        .arg(&document);
    let output = harness.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    // A promise that a crowded host does not keep is in the table as well, and is another test's.
    for row in [
        "doctor --json, every pair tight",
        "top --once",
        "(readings: 1)",
    ] {
        assert!(said.contains(row), "no {row} in {said}{complaints}");
    }
    // The kernel counts listeners apart.
    assert!(said.contains("400 TCP sockets"), "{said}");
    let document = fs::read_to_string(document).unwrap();
    assert!(document.contains("## Looking at a host with many sockets"));
}

#[test]
fn it_does_not_touch_the_range_of_the_host_that_it_runs_on() {
    // Said to be in a namespace of its own, and is not.
    use std::os::unix::fs::MetadataExt as _;
    let here = fs::metadata("/proc/self/ns/net").unwrap().ino();
    let mut harness = Command::new(HARNESS);
    harness.args(["sockets", "--inside", &here.to_string()]);
    let output = harness.output().unwrap();
    assert!(!output.status.success());
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        complaints.contains("no network namespace of its own"),
        "{complaints}"
    );
}
