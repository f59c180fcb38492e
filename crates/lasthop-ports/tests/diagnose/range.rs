//! port-range-narrow, port-range-overlaps-listeners, ports-reserved.

use lasthop_ports::snapshot::Program;
use lasthop_ports::{Code, Severity};

use crate::support::{default_host, found, group, host, listener, owner, settings, text, the};

#[test]
fn a_narrow_range_is_a_note_until_somebody_needs_more() {
    let mut snapshot = host("40000 49999");
    let finding = the(&snapshot, Code::PortRangeNarrow);
    assert_eq!(
        finding.headline,
        "the range of source ports has 10,000 instead of 28,232 (40000-49999)"
    );
    assert_eq!(finding.severity, Severity::Note);
    let remedy = text(&finding.remedies[0]);
    assert!(
        remedy.contains("64,512 for each pair instead of 10,000, +545 %"),
        "{remedy}"
    );
    assert!(
        remedy.contains("undo: sysctl -w net.ipv4.ip_local_port_range=\"40000 49999\""),
        "{remedy}"
    );

    snapshot.groups.push(group(5_000));
    assert_eq!(
        the(&snapshot, Code::PortRangeNarrow).severity,
        Severity::Note
    );
    snapshot.groups[0] = group(5_001);
    let finding = the(&snapshot, Code::PortRangeNarrow);
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(
        finding.headline,
        "the range of source ports has 10,000 instead of 28,232 (40000-49999), and 127.0.0.1 -> 127.0.0.1:3000 uses 5,001 of them"
    );
    let usage = finding.usage.unwrap();
    assert_eq!((usage.used, usage.limit), (5_001, 10_000));
}

#[test]
fn the_default_range_and_wider_ones_are_not_narrow_however_full() {
    for range in ["32768 60999", "1024 65535", "30000 60000"] {
        let mut snapshot = host(range);
        snapshot.groups.push(group(28_232));
        assert!(
            found(&snapshot, Code::PortRangeNarrow).is_empty(),
            "{range}"
        );
    }
}

#[test]
fn listeners_in_the_range_are_a_note_with_the_line_that_reserves_their_ports() {
    let mut snapshot = default_host();
    settings(&mut snapshot).reserved = "50000-50001".parse().unwrap();
    snapshot.listeners = vec![
        listener("0.0.0.0:22", Vec::new()),
        listener(
            "127.0.0.1:33060",
            vec![owner(700, "mysqld", Program::Other)],
        ),
        listener("[::]:33060", Vec::new()),
        listener("0.0.0.0:50000", Vec::new()),
        listener("0.0.0.0:50002", Vec::new()),
        listener("0.0.0.0:61000", Vec::new()),
    ];
    let finding = the(&snapshot, Code::PortRangeOverlapsListeners);
    assert_eq!(finding.severity, Severity::Note);
    assert_eq!(
        finding.headline,
        "programs listen on 2 ports of the range that connections are given (32768-60999): 33060, 50002"
    );
    assert_eq!(
        finding.evidence,
        [
            "listens: 127.0.0.1:33060, mysqld (pid 700)",
            "listens: [::]:33060",
            "listens: 0.0.0.0:50002",
            "none of them is in net.ipv4.ip_local_reserved_ports; the fullest pair has 0 ports in use",
        ]
    );
    let remedy = text(&finding.remedies[0]);
    assert!(
        remedy.contains("# sysctl -w net.ipv4.ip_local_reserved_ports=33060,50000-50002"),
        "{remedy}"
    );
    assert!(
        remedy.contains("undo: sysctl -w net.ipv4.ip_local_reserved_ports=50000-50001"),
        "{remedy}"
    );
}

#[test]
fn a_hundred_listeners_are_listed_in_part() {
    let mut snapshot = default_host();
    for port in 40_000..40_100 {
        snapshot
            .listeners
            .push(listener(&format!("127.0.0.1:{port}"), Vec::new()));
    }
    let finding = the(&snapshot, Code::PortRangeOverlapsListeners);
    assert_eq!(finding.evidence.len(), 9);
    let remedy = text(&finding.remedies[0]);
    assert!(remedy.contains("reserved_ports=40000-40047\n"), "{remedy}");
    assert!(remedy.contains("52 more ports are listened on"), "{remedy}");
    assert!(
        remedy.contains("undo: echo > /proc/sys/net/ipv4/ip_local_reserved_ports"),
        "{remedy}"
    );
}

#[test]
fn listeners_outside_the_range_or_reserved_are_left_alone() {
    let mut snapshot = default_host();
    settings(&mut snapshot).reserved = "33060".parse().unwrap();
    snapshot.listeners = vec![
        listener("0.0.0.0:443", Vec::new()),
        listener("127.0.0.1:3000", Vec::new()),
        listener("127.0.0.1:33060", Vec::new()),
    ];
    assert!(found(&snapshot, Code::PortRangeOverlapsListeners).is_empty());
}

#[test]
fn reserved_ports_are_told_by_how_many_they_leave() {
    for (range, reserved, severity, headline) in [
        ("32768 60999", "", None, ""),
        ("32768 60999", "8080,9000-9100", None, ""),
        ("32768 60999", "33060,50000-50200", None, ""),
        (
            "32768 60999",
            "40000-40999",
            Some(Severity::Note),
            "1,000 of the 28,232 source ports are reserved (3 %), 27,232 are left",
        ),
        (
            "32768 60999",
            "32768-46883",
            Some(Severity::Warning),
            "14,116 of the 28,232 source ports are reserved (50 %), 14,116 are left",
        ),
        (
            "32768 60999",
            "32768-46882",
            Some(Severity::Note),
            "14,115 of the 28,232 source ports are reserved (49 %), 14,117 are left",
        ),
        (
            "40000 40009",
            "1-65535",
            Some(Severity::Critical),
            "10 of the 10 source ports are reserved (100 %), none is left",
        ),
    ] {
        let mut snapshot = host(range);
        settings(&mut snapshot).reserved = reserved.parse().unwrap();
        let findings = found(&snapshot, Code::PortsReserved);
        let first = findings.first();
        assert_eq!(
            first.map(|finding| finding.severity),
            severity,
            "{reserved}"
        );
        assert_eq!(first.map_or("", |finding| &finding.headline), headline);
    }
}

#[test]
fn what_is_listened_on_and_what_is_not_in_the_range_stays_reserved() {
    let mut snapshot = default_host();
    settings(&mut snapshot).reserved = "8080,40000-50000".parse().unwrap();
    snapshot
        .listeners
        .push(listener("0.0.0.0:40404", Vec::new()));
    let remedy = text(&the(&snapshot, Code::PortsReserved).remedies[0]);
    assert!(
        remedy.contains("# sysctl -w net.ipv4.ip_local_reserved_ports=8080,40404\n"),
        "{remedy}"
    );
    assert!(
        remedy.contains("undo: sysctl -w net.ipv4.ip_local_reserved_ports=8080,40000-50000"),
        "{remedy}"
    );
    settings(&mut snapshot).reserved = "40000-40403".parse().unwrap();
    let remedy = text(&the(&snapshot, Code::PortsReserved).remedies[0]);
    assert!(
        remedy.contains("# echo > /proc/sys/net/ipv4/ip_local_reserved_ports"),
        "{remedy}"
    );
    assert!(
        !remedy.contains("reserved_ports=\n") && !remedy.contains("ports = \n"),
        "{remedy}"
    );
}
