//! What the tests of the harness share: the harness with lasthop beside it, a network of its own for it, and what is left
//! of it afterwards.

#![allow(dead_code, reason = "no test program uses all of it")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use lasthop_kernel::namespace;

pub(crate) const HARNESS: &str = env!("CARGO_BIN_EXE_lasthop-bench");

/// Puts lasthop beside the harness, where that looks for it; cargo builds for a test only what is of its own package.
pub(crate) fn build_lasthop() {
    let profile = Path::new(HARNESS).parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["build", "--quiet", "-p", "lasthop", "--target-dir"])
        .arg(profile.parent().unwrap());
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success());
}

/// The harness in a network namespace of its own whose source ports are `ports`, such as `40000 40099`.
pub(crate) fn harness_with_ports(ports: &str, arguments: &[&str]) -> Command {
    build_lasthop();
    let script = "echo \"$0\" > /proc/sys/net/ipv4/ip_local_port_range && exec \"$@\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, ports, HARNESS]).args(arguments);
    namespace::isolate(&mut command);
    command
}

/// Says that a part of a test is left out because a program is missing, past the capture of the test harness; with
/// `LASTHOP_REQUIRE_PEERS=1` it fails instead.
pub(crate) fn skip(test: &str, reason: &str) {
    assert!(
        std::env::var_os("LASTHOP_REQUIRE_PEERS").is_none_or(|value| value != "1"),
        "{test}: {reason}, and LASTHOP_REQUIRE_PEERS=1 asks for it"
    );
    // In one piece, because other tests write too; a lost line is no failure.
    let _ = std::io::stderr().write_all(format!("SKIPPED: {test}: {reason}\n").as_bytes());
}

/// What stands in the name of every directory that the harness with this process number makes.
pub(crate) fn mark_of(harness: u32) -> String {
    format!("/lasthop-{harness}-")
}

/// Asserts that nothing of that mark is left: no process that has it on its command line, no directory.
pub(crate) fn assert_nothing_is_left(mark: &str) {
    let processes: Vec<String> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(mark))
        .collect();
    assert_eq!(processes, Vec::<String>::new());
    let left: Vec<PathBuf> = fs::read_dir(std::env::temp_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains(mark))
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}
