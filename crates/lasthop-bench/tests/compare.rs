//! The harness from outside: a run of seconds with whichever proxies this host has, and what is left after a signal.
//!
//! No figure is looked at: tests run beside one another, where nothing can be measured. What counts is that every run
//! came about and was written down.

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

/// `compare`, without those that are no package of a distribution, so that it takes the same time on every host.
fn compare(arguments: &[&str]) -> Command {
    build_lasthop();
    let mut command = Command::new(HARNESS);
    command
        .args([
            "compare",
            "--quick",
            "--without",
            "envoy",
            "--without",
            "caddy",
        ])
        .args(arguments);
    command
}

#[test]
fn a_quick_run_writes_every_reading_in_every_form() {
    let scratch = Scratch::new().unwrap();
    let file = |name: &str| scratch.path().join(name);
    let (json, svg, markdown) = (file("b.json"), file("b.svg"), file("b.md"));
    let mut command = compare(&["--rate", "5", "--held", "100"]);
    for scenario in ["connections", "upload", "latency", "workers", "memory"] {
        command.args(["--only", scenario]);
    }
    command.arg("--json").arg(&json);
    command.arg("--svg").arg(&svg);
    let said = command.arg("--markdown").arg(&markdown).output().unwrap();
    let complaints = String::from_utf8_lossy(&said.stderr);
    let json = fs::read_to_string(json).expect(&complaints);

    // Beside other tests the generator may really be late; that it says so is right, and the only reason to fail.
    let errors = json.matches("\"error\":").count();
    assert_eq!(
        errors,
        json.matches("could not keep the rate").count(),
        "{json}"
    );
    assert_eq!(said.status.success(), errors == 0, "{complaints}");

    let proxies = json.matches("\"version\":").count();
    let scenarios = [
        "connections-64",
        "upload-1MiB",
        "latency",
        "workers",
        "memory-idle",
        "memory-tunnel",
    ];
    for name in scenarios {
        let transports = json.matches(&format!("{{\"name\":\"{name}\"")).count();
        assert_eq!(transports, 2, "{name}: {json}");
    }
    let runs = json.matches("\"round\":1").count();
    assert_eq!(runs, proxies * 2 * scenarios.len(), "{json}");
    assert!(json.contains("\"name\":\"lasthop\""), "{complaints}");

    let text = String::from_utf8(said.stdout).unwrap();
    assert!(text.contains("memory-tunnel: user memory"), "{text}");
    let markdown = fs::read_to_string(markdown).unwrap();
    assert!(markdown.contains("### memory-tunnel") && markdown.contains("](b.svg)"));
    assert!(
        markdown.contains("| memory-idle ") && text.contains("What is aimed at"),
        "{text}"
    );
    let bars = fs::read_to_string(svg).unwrap().matches("<rect ").count();
    assert_eq!(bars, proxies * 2 * 2);
}

#[test]
fn a_signal_leaves_no_process_and_no_file() {
    let mut harness = compare(&["--only", "keepalive-1"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(harness.stderr.take().unwrap()).lines();
    let begun = said.find(|line| line.as_ref().unwrap().contains("round 1 of 1"));
    assert!(begun.is_some(), "no run began");
    let mark = mark_of(harness.id());
    process::signal(harness.id(), Signal::Terminate).unwrap();
    let rest: Vec<String> = said.map(Result::unwrap).collect();
    assert!(!harness.wait().unwrap().success());
    assert_eq!(
        rest.last().map(String::as_str),
        Some("lasthop-bench: interrupted")
    );
    assert_nothing_is_left(&mark);
}

#[test]
fn an_unknown_scenario_is_refused_before_anything_starts() {
    let said = Command::new(HARNESS)
        .args(["compare", "--only", "everything"])
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&said.stderr).contains("keepalive-64"));
}
