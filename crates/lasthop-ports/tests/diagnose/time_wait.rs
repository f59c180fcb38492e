//! time-wait-held and time-wait-reuse-useless.

use lasthop_ports::snapshot::{Group, Program, Snapshot};
use lasthop_ports::{Code, Severity};

use crate::support::{
    codes, default_host, found, group, group_to, host, listener, owner, settings, text, the,
    titles, waiting,
};

/// From one address of this host's bridge to another.
fn bridge(established: u32, held: u32) -> Group {
    waiting(group_to("10.9.9.1", "10.9.9.9:3000", established), held)
}

fn with(group: Group) -> Snapshot {
    let mut snapshot = default_host();
    snapshot.groups.push(group);
    snapshot
}

#[test]
fn ports_that_time_wait_holds_are_told_with_who_closes_and_that_it_is_inferred() {
    let mut snapshot = with(bridge(400, 9_000));
    snapshot.groups[0].owners = vec![owner(812, "nginx", Program::Nginx)];
    snapshot.listeners.push(listener(
        "0.0.0.0:3000",
        vec![owner(900, "node", Program::Node)],
    ));
    let finding = the(&snapshot, Code::TimeWaitHeld);
    assert_eq!(
        finding.headline,
        "10.9.9.1 -> 10.9.9.9:3000: TIME_WAIT holds 9,000 of 28,232 ports (31 %)"
    );
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(finding.usage.unwrap().used, 9_000);
    assert_eq!(
        finding.evidence[..2],
        [
            "each port is held for 60 s after its connection, so that this pair bears 470 new connections a second",
            "the end at 10.9.9.1 closes first, as a client or proxy does that makes a connection for each request; \
             nginx (pid 812) has the other connections of this pair (inferred: the kernel keeps no owner for TIME_WAIT)",
        ]
    );
    assert_eq!(
        finding.evidence.last().unwrap(),
        "listens on 0.0.0.0:3000: node (pid 900)"
    );
    assert_eq!(
        titles(&finding),
        [
            "nginx: keep connections to the app and use them again",
            "nginx: connect over a Unix socket, which has no ports to run out of",
            "Let new connections use ports in TIME_WAIT after a second instead of a minute",
        ]
    );
}

#[test]
fn few_of_them_or_such_as_hold_no_port_are_nothing_to_tell() {
    let mut free = group(400);
    free.time_wait = 27_000;
    free.time_wait_at_app = 27_000;
    for (name, group, is_told) in [
        ("none", group(400), false),
        ("a quarter", bridge(0, 7_058), true),
        ("less", bridge(0, 7_057), false),
        ("all can be used again", free, false),
        (
            "on loopback, within a second",
            waiting(group(100), 8_000),
            true,
        ),
    ] {
        let is_found = !found(&with(group), Code::TimeWaitHeld).is_empty();
        assert_eq!(is_found, is_told, "{name}");
    }
    let mut small = host("40000 40009");
    small.groups.push(waiting(group(1), 3));
    assert_eq!(
        the(&small, Code::TimeWaitHeld).headline,
        "127.0.0.1 -> 127.0.0.1:3000: TIME_WAIT holds 3 of 10 ports (30 %)"
    );
}

#[test]
fn nobody_is_named_where_nobody_is_known() {
    let finding = the(&with(bridge(0, 9_000)), Code::TimeWaitHeld);
    assert!(
        finding.evidence[1].contains("nobody has other connections of this pair at the moment"),
        "{:?}",
        finding.evidence
    );
    assert!(finding.processes.is_empty());
}

#[test]
fn a_setting_that_does_not_help_is_named() {
    for (tw_reuse, timestamps, group, headline) in [
        (
            2,
            1,
            bridge(0, 3_000),
            "10.9.9.1 -> 10.9.9.9:3000: 3,000 ports rest in TIME_WAIT for 60 s, because net.ipv4.tcp_tw_reuse = 2 \
             holds for loopback addresses only, and this pair has none",
        ),
        (
            0,
            1,
            waiting(group(0), 3_000),
            "127.0.0.1 -> 127.0.0.1:3000: 3,000 ports rest in TIME_WAIT for 60 s, because net.ipv4.tcp_tw_reuse is 0",
        ),
        (
            1,
            0,
            bridge(0, 3_000),
            "10.9.9.1 -> 10.9.9.9:3000: 3,000 ports rest in TIME_WAIT for 60 s, because TCP timestamps are off, \
             without which none is used again",
        ),
    ] {
        let mut snapshot = with(group);
        settings(&mut snapshot).tcp_tw_reuse = tw_reuse;
        settings(&mut snapshot).tcp_timestamps = timestamps;
        let finding = the(&snapshot, Code::TimeWaitReuseUseless);
        assert_eq!(finding.headline, headline);
        assert_eq!(finding.severity, Severity::Note);
        assert_eq!(finding.remedies.len(), 1);
        let text = text(&finding.remedies[0]);
        assert!(text.contains("# sysctl -w net.ipv4.tcp_t"), "{text}");
        assert_eq!(codes(&snapshot), ["time-wait-reuse-useless"]);
    }
}

#[test]
fn a_setting_that_does_not_help_is_a_warning_from_a_quarter_of_the_ports_on() {
    for (held, severity) in [(7_057, Severity::Note), (7_058, Severity::Warning)] {
        let snapshot = with(bridge(0, held));
        let finding = the(&snapshot, Code::TimeWaitReuseUseless);
        assert_eq!(finding.severity, severity, "{held}");
    }
}

#[test]
fn a_delay_as_long_as_time_wait_is_named_and_shortened() {
    let mut snapshot = with(waiting(group(0), 3_000));
    settings(&mut snapshot).tcp_tw_reuse_delay_ms = 60_000;
    let finding = the(&snapshot, Code::TimeWaitReuseUseless);
    assert_eq!(
        finding.headline,
        "127.0.0.1 -> 127.0.0.1:3000: 3,000 ports rest in TIME_WAIT for 60 s, because \
         net.ipv4.tcp_tw_reuse_delay is as long as that"
    );
    let text = text(&finding.remedies[0]);
    assert!(
        text.contains("# sysctl -w net.ipv4.tcp_tw_reuse_delay=1000")
            && text.contains("sysctl -w net.ipv4.tcp_tw_reuse_delay=60000"),
        "{text}"
    );
    assert!(!text.contains("tcp_tw_reuse="), "{text}");
}

#[test]
fn where_reuse_works_or_nothing_waits_the_setting_is_left_alone() {
    for (name, tw_reuse, group) in [
        ("loopback, the default", 2, waiting(group(0), 3_000)),
        ("from 127.0.0.1 to an address of the bridge", 2, {
            waiting(group_to("127.0.0.1", "10.9.9.9:3000", 0), 3_000)
        }),
        ("always", 1, bridge(0, 3_000)),
        ("few", 2, bridge(0, 2_823)),
        ("never, but idle", 0, group(10)),
    ] {
        let mut snapshot = with(group);
        settings(&mut snapshot).tcp_tw_reuse = tw_reuse;
        let findings = found(&snapshot, Code::TimeWaitReuseUseless);
        assert!(findings.is_empty(), "{name}: {findings:?}");
    }
}
