//! ports-exhausted, ports-tight, ports-forecast.

use lasthop_ports::snapshot::{Program, Snapshot};
use lasthop_ports::{Code, Severity};

use crate::support::{
    codes, default_host, found, group, group_to, host, listener, owner, readings, the, titles,
    waiting,
};

fn with(mut snapshot: Snapshot, used: u32) -> Snapshot {
    snapshot.groups.push(group(used));
    snapshot
}

#[test]
fn a_pair_is_used_up_when_what_is_left_is_what_comes_and_goes() {
    for (range, used, level) in [
        ("32768 60999", 0, None),
        ("32768 60999", 14_000, None),
        ("32768 60999", 22_585, None),
        ("32768 60999", 22_586, Some(Code::PortsTight)),
        ("32768 60999", 28_223, Some(Code::PortsTight)),
        ("32768 60999", 28_224, Some(Code::PortsExhausted)),
        ("32768 60999", 28_232, Some(Code::PortsExhausted)),
        ("40000 40009", 7, None),
        ("40000 40009", 8, Some(Code::PortsTight)),
        ("40000 40009", 9, Some(Code::PortsTight)),
        ("40000 40009", 10, Some(Code::PortsExhausted)),
        ("40000 40999", 994, Some(Code::PortsTight)),
        ("40000 40999", 995, Some(Code::PortsExhausted)),
    ] {
        let snapshot = with(host(range), used);
        for code in [Code::PortsTight, Code::PortsExhausted] {
            let is_found = !found(&snapshot, code).is_empty();
            assert_eq!(is_found, level == Some(code), "{code}: {used} of {range}");
        }
        assert!(found(&snapshot, Code::PortsForecast).is_empty());
    }
}

#[test]
fn a_pair_that_is_used_up_is_told_with_its_numbers_and_both_ends() {
    let mut snapshot = default_host();
    let mut full = group(28_232);
    full.owners = vec![
        owner(812, "nginx", Program::Nginx),
        owner(813, "nginx", Program::Nginx),
    ];
    snapshot.groups.push(full);
    snapshot.listeners.push(listener(
        "127.0.0.1:3000",
        vec![owner(900, "node", Program::Node)],
    ));
    let finding = the(&snapshot, Code::PortsExhausted);
    assert_eq!(
        finding.headline,
        "127.0.0.1 -> 127.0.0.1:3000: 28,232 of 28,232 ports in use"
    );
    assert_eq!(finding.severity, Severity::Critical);
    let usage = finding.usage.unwrap();
    assert_eq!(
        (usage.used, usage.limit, usage.unit),
        (28_232, 28_232, "ports")
    );
    assert_eq!(finding.processes.len(), 2);
    assert_eq!(
        finding.evidence,
        [
            "connections: 28,232 established",
            "28,232 ports = net.ipv4.ip_local_port_range 32768-60999",
            "connects: nginx (pids 812, 813)",
            "listens on 127.0.0.1:3000: node (pid 900)",
        ]
    );
    assert!(!finding.remedies.is_empty() && finding.remedies.len() <= 5);
}

#[test]
fn time_wait_is_named_where_it_has_most_of_the_ports() {
    let mut snapshot = default_host();
    snapshot
        .groups
        .push(waiting(group_to("10.9.9.1", "10.9.9.9:3000", 332), 27_900));
    let finding = the(&snapshot, Code::PortsExhausted);
    assert_eq!(
        finding.headline,
        "10.9.9.1 -> 10.9.9.9:3000: 28,232 of 28,232 ports in use, 27,900 of them in TIME_WAIT"
    );
    assert_eq!(
        finding.evidence[0],
        "connections: 332 established, 27,900 held in TIME_WAIT"
    );
}

#[test]
fn a_pair_with_few_ports_left_is_told_and_how_long_they_last() {
    let mut snapshot = with(default_host(), 25_973);
    let finding = the(&snapshot, Code::PortsTight);
    assert_eq!(
        finding.headline,
        "127.0.0.1 -> 127.0.0.1:3000: 25,973 of 28,232 ports in use (91 %)"
    );
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(finding.forecast, None);

    snapshot.groups[0].recent = readings((0..30).map(|n| 25_973 - (29 - n) * 20));
    let finding = the(&snapshot, Code::PortsTight);
    assert_eq!(
        finding.headline,
        "127.0.0.1 -> 127.0.0.1:3000: 25,973 of 28,232 ports in use (91 %), all in about 2 minutes (+1,200 a minute)"
    );
    assert!(finding.forecast.is_some());
    assert_eq!(codes(&snapshot), ["ports-tight"]);
}

#[test]
fn a_rise_is_told_while_there_is_room() {
    let mut snapshot = with(default_host(), 21_400);
    snapshot.groups[0].recent = readings((0..61).map(|n| 21_400 - (60 - n) * 113 / 6));
    let finding = the(&snapshot, Code::PortsForecast);
    assert_eq!(
        finding.headline,
        "127.0.0.1 -> 127.0.0.1:3000: 28,232 of 28,232 ports in about 6 minutes (now 21,400, +1,130 a minute)"
    );
    assert_eq!(finding.severity, Severity::Warning);
    let seconds = finding.forecast.unwrap().seconds_left;
    assert!((seconds - 363.0).abs() < 10.0, "{seconds}");
}

#[test]
fn a_rise_that_is_far_from_the_wall_or_slow_or_seen_for_a_moment_is_not_told() {
    // The readings of so many seconds, a step of so many each, and what they end at.
    for (name, seconds, step, used, is_told) in [
        ("steep and near", 30, 30, 20_000, true),
        ("far below", 30, 30, 5_600, false),
        ("more than an hour", 100, 1, 20_000, false),
        ("a little more than an hour", 100, 2, 20_000, false),
        ("a little less than an hour", 100, 3, 20_000, true),
        ("too short for so long", 5, 2, 22_000, false),
        ("short and soon", 5, 30, 20_000, true),
        ("falling", 30, -30, 20_000, false),
    ] {
        let mut snapshot = with(default_host(), used);
        snapshot.groups[0].recent =
            readings((0..=seconds).map(|n| used.checked_add_signed((n - seconds) * step).unwrap()));
        let is_found = !found(&snapshot, Code::PortsForecast).is_empty();
        assert_eq!(is_found, is_told, "{name}");
    }
}

#[test]
fn what_was_not_read_is_not_judged() {
    let mut snapshot = with(default_host(), 28_232);
    snapshot.ports = None;
    assert_eq!(codes(&snapshot), Vec::<&str>::new());
}

#[test]
fn each_pair_is_judged_by_itself_and_the_worst_come_first() {
    let mut snapshot = default_host();
    snapshot.groups = vec![
        group_to("127.0.0.1", "127.0.0.1:3000", 24_000),
        group_to("127.0.0.1", "127.0.0.1:4000", 28_232),
        group_to("127.64.0.1", "127.0.0.1:3000", 100),
    ];
    assert_eq!(codes(&snapshot), ["ports-exhausted", "ports-tight"]);
    assert!(!titles(&the(&snapshot, Code::PortsTight)).is_empty());
}

#[test]
fn ports_that_a_program_named_outside_the_range_take_none_of_it() {
    let mut snapshot = with(default_host(), 40_000);
    snapshot.groups[0].outside_range = 17_000;
    let finding = the(&snapshot, Code::PortsTight);
    assert_eq!(
        finding.headline,
        "127.0.0.1 -> 127.0.0.1:3000: 23,000 of 28,232 ports in use (81 %)"
    );
    assert_eq!(
        finding.evidence[..2],
        [
            "connections: 40,000 established",
            "17,000 of them on ports outside the range, which take none of it",
        ]
    );
    snapshot.groups[0].outside_range = 40_000;
    assert_eq!(codes(&snapshot), Vec::<&str>::new());
}
