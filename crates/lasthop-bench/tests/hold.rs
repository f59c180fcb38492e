//! `hold` and `fill` from outside, where source ports are few: in a network namespace of their own, so that the wall is a
//! hundred connections away and nobody else meets it.
//!
//! What is looked at is where each contestant stops and that all of it is written down; how long anything took is not.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share count as tests, which the lint cannot see here"
)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use lasthop::demo::scratch::Scratch;
use lasthop_kernel::namespace;
use lasthop_kernel::process::{self, Signal};
use support::{HARNESS, assert_nothing_is_left, harness_with_ports, mark_of, skip};

/// The whole number that follows `"name":` in the run of `proxy` over `transport` in the JSON of `hold`.
fn figure(json: &str, proxy: &str, transport: &str, name: &str) -> Option<u64> {
    let run = format!("{{\"proxy\":\"{proxy}\",\"transport\":\"{transport}\",");
    let (_, rest) = json.split_once(&run)?;
    let (_, value) = rest.split_once(&format!("\"{name}\":"))?;
    let digits = value
        .split(|letter: char| !letter.is_ascii_digit())
        .next()?;
    digits.parse().ok()
}

/// Runs the harness; `None` where this machine has no namespaces, which is said.
fn run(test: &str, ports: &str, arguments: &[&str]) -> Option<String> {
    match harness_with_ports(ports, arguments).output() {
        Err(error) => {
            namespace::skip(test, &error);
            None
        }
        Ok(said) => {
            let complaints = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(said.status.success(), "{complaints}");
            Some(complaints)
        }
    }
}

/// Whether a program was not there, which is said then.
fn is_missing(test: &str, complaints: &str, program: &str) -> bool {
    let line = complaints.lines().find(|line| {
        line.strip_prefix("LEFT OUT: ")
            .is_some_and(|rest| rest.starts_with(program))
    });
    if let Some(line) = line {
        skip(test, line);
    }
    line.is_some()
}

#[test]
fn one_source_address_holds_as_many_as_it_has_ports_and_several_hold_all() {
    let test = "one_source_address_holds_as_many_as_it_has_ports_and_several_hold_all";
    let scratch = Scratch::new().unwrap();
    let json = scratch.path().join("hold.json");
    let path = json.to_str().unwrap();
    let arguments = ["hold", "300", "--deadline", "10", "--json", path];
    let Some(complaints) = run(test, "40000 40099", &arguments) else {
        return;
    };
    let json = fs::read_to_string(json).unwrap();
    let mut expected = vec![("lasthop", "TCP", 300), ("lasthop", "Unix socket", 300)];
    if !is_missing(test, &complaints, "nginx") {
        expected.push(("nginx", "TCP", 100));
        expected.push(("nginx-sources", "TCP", 300));
        expected.push(("nginx", "Unix socket", 300));
        let log = "\"what\":\"errno 99: Cannot assign requested address\",\"count\":200";
        assert!(json.contains(log), "{json}");
    }
    if !is_missing(test, &complaints, "haproxy") {
        expected.push(("haproxy", "TCP", 100));
        expected.push(("haproxy-sources", "TCP", 300));
        expected.push(("haproxy", "Unix socket", 300));
    }
    for (proxy, transport, held) in expected {
        let of = |name| figure(&json, proxy, transport, name);
        assert_eq!(of("held"), Some(held), "{proxy} over {transport}: {json}");
        assert_eq!(of("echoed"), Some(held), "{proxy} over {transport}: {json}");
        assert_eq!(of("failed"), Some(300 - held), "{proxy} over {transport}");
    }
}

#[test]
fn a_curve_ends_at_the_wall_and_is_written_in_every_form() {
    let test = "a_curve_ends_at_the_wall_and_is_written_in_every_form";
    let scratch = Scratch::new().unwrap();
    let file = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let (json, svg, markdown) = (file("fill.json"), file("fill.svg"), file("fill.md"));
    let mut arguments = vec!["fill", "--to", "600", "--step", "100", "--probes", "20"];
    arguments.extend(["--only", "nginx,nginx-sources"]);
    arguments.extend(["--json", &json, "--svg", &svg, "--markdown", &markdown]);
    let look = Command::new("nginx").arg("-v").output();
    let there = look.is_ok() || fs::metadata("/usr/sbin/nginx").is_ok();
    if !there {
        return skip(test, "nginx is not there");
    }
    if run(test, "40000 40299", &arguments).is_none() {
        return;
    }
    let json = fs::read_to_string(&json).unwrap();
    let wall = json
        .split_once("\"wall\":{\"held\":")
        .and_then(|(_, rest)| rest.split_once(',')?.0.parse::<u64>().ok());
    // The requests of a step may have left some of their ports in TIME_WAIT.
    assert!(
        wall.is_some_and(|held| (240..=300).contains(&held)),
        "{json}"
    );
    assert_eq!(json.matches("\"wall\":null").count(), 1, "{json}");
    assert!(json.matches("\"setup_p99\":").count() >= 8, "{json}");
    let chart = fs::read_to_string(&svg).unwrap();
    assert_eq!(chart.matches("<polyline ").count(), 2);
    assert_eq!(chart.matches("class=\"wall\"").count(), 1);
    let document = fs::read_to_string(&markdown).unwrap();
    assert!(document.contains("<!-- lasthop-bench fill: ") && document.contains("](fill.svg)"));
}

#[test]
fn a_signal_in_the_middle_of_a_crowd_leaves_nothing_behind() {
    let test = "a_signal_in_the_middle_of_a_crowd_leaves_nothing_behind";
    // The load needs a process for each five of them: it cannot be done before the signal comes.
    let mut command = harness_with_ports("40000 40009", &["hold", "1000", "--only", "lasthop"]);
    let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut harness = match command.spawn() {
        Err(error) => return namespace::skip(test, &error),
        Ok(harness) => harness,
    };
    let mark = mark_of(harness.id());
    let mut said = BufReader::new(harness.stderr.take().unwrap()).lines();
    let begun = said.find(|line| line.as_ref().unwrap() == "lasthop over TCP");
    assert!(begun.is_some(), "no run began");
    process::signal(harness.id(), Signal::Interrupt).unwrap();
    let rest: Vec<String> = said.map(Result::unwrap).collect();
    assert!(!harness.wait().unwrap().success());
    assert_eq!(
        rest.last().map(String::as_str),
        Some("lasthop-bench: interrupted")
    );
    assert_nothing_is_left(&mark);
}

#[test]
fn figures_that_do_not_go_together_are_refused_before_anything_starts() {
    let said = Command::new(HARNESS)
        .args(["fill", "--to", "100", "--step", "50", "--probes", "60"])
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success());
    assert!(
        complaints.contains("each is at most the next"),
        "{complaints}"
    );
    let said = Command::new(HARNESS)
        .args(["hold", "10", "--only", "nginy"])
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&said.stderr).contains("nginx-sources"));
}
