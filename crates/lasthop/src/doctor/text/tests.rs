//! What people read, as it stands on the screen.

use lasthop_ports::finding::{Code, Subject};
use lasthop_ports::snapshot::{Group, GroupKey, PortSettings};
use lasthop_ports::{PortRange, ReservedPorts};

use super::plain::COLUMNS;
use super::*;
use crate::doctor::NotEntered;

fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::empty(1_767_312_245_000);
    snapshot.ports = Some(PortSettings {
        range: PortRange::new(32_768, 60_999).unwrap(),
        reserved: ReservedPorts::default(),
        tcp_tw_reuse: 2,
        tcp_timestamps: 1,
        tcp_tw_reuse_delay_ms: 1000,
        flat_search: true,
    });
    snapshot.sockets = Some(SocketCounts {
        established: 28_240,
        listen: 5,
        ..SocketCounts::default()
    });
    let mut group = Group::empty(GroupKey {
        source: "127.0.0.1".parse().unwrap(),
        destination: "127.0.0.1:3000".parse().unwrap(),
    });
    group.states.established = 1200;
    snapshot.groups.push(group);
    snapshot
}

fn finding(severity: Severity) -> Finding {
    Finding {
        code: Code::PortsTight,
        severity,
        headline: "127.0.0.1 -> 127.0.0.1:3000: 24,000 of 28,232 ports".to_owned(),
        subject: Subject::Namespace,
        usage: None,
        forecast: None,
        processes: Vec::new(),
        evidence: vec![
            "nginx (pid 4711) has them: every one is established, and no other program leads there"
                .to_owned(),
        ],
        remedies: vec![
            Remedy {
                title: "Keep connections to the app".to_owned(),
                steps: vec![
                    Step::Lines {
                        place: "nginx.conf, in upstream {}".to_owned(),
                        lines: vec!["keepalive 64;".to_owned()],
                    },
                    Step::Shell {
                        lines: vec!["nginx -s reload".to_owned()],
                    },
                ],
                undo: vec!["take the line out again".to_owned()],
                risk: Some("none".to_owned()),
            },
            Remedy {
                title: "Use a Unix socket".to_owned(),
                steps: Vec::new(),
                undo: Vec::new(),
                risk: None,
            },
        ],
    }
}

fn told(findings: Vec<Finding>, snapshot: Snapshot) -> String {
    let report = Report::of_one(Examination { snapshot, findings });
    text(&report, TextStyle::default())
}

#[test]
fn a_healthy_host_is_told_how_far_the_wall_is() {
    let expected = "\
this host: 28,245 TCP sockets, ports 32768-60999 (28,232 on each pair)

healthy   the fullest: 127.0.0.1 -> 127.0.0.1:3000, 1,200 of 28,232 ports
";
    assert_eq!(told(Vec::new(), snapshot()), expected);
}

#[test]
fn one_socket_is_one_socket() {
    let mut lonely = snapshot();
    lonely.sockets = Some(SocketCounts {
        listen: 1,
        ..SocketCounts::default()
    });
    let said = told(Vec::new(), lonely);
    assert!(said.starts_with("this host: 1 TCP socket, ports"), "{said}");
}

#[test]
fn a_finding_is_told_with_what_was_seen_and_what_mends_it() {
    let mut snapshot = snapshot();
    snapshot
        .unseen
        .push("the descriptors of 12 processes".to_owned());
    let expected = "\
this host: 28,245 TCP sockets, ports 32768-60999 (28,232 on each pair)

warning   127.0.0.1 -> 127.0.0.1:3000: 24,000 of 28,232 ports
          nginx (pid 4711) has them: every one is established, and no other
          program leads there
  do      Keep connections to the app
          nginx.conf, in upstream {}:
            keepalive 64;
          then run:
            nginx -s reload
  undo    take the line out again
  risk    none
  or      Use a Unix socket
  more    lasthop doctor --explain ports-tight

not seen  the descriptors of 12 processes
";
    assert_eq!(told(vec![finding(Severity::Warning)], snapshot), expected);
}

#[test]
fn a_note_takes_two_lines_and_is_no_illness() {
    let said = told(vec![finding(Severity::Note)], snapshot());
    assert!(said.contains("\nnote      127.0.0.1 -> "), "{said}");
    assert!(said.contains("\nhealthy   "), "{said}");
    assert!(!said.contains("keepalive"), "{said}");
}

#[test]
fn from_the_third_finding_on_they_are_told_in_short() {
    let mut findings: Vec<Finding> = (0..5).map(|_| finding(Severity::Critical)).collect();
    findings[1].remedies[0].risk = None;
    let said = told(findings, snapshot());
    assert_eq!(said.matches("keepalive 64;").count(), 2);
    assert_eq!(said.matches("Keep connections to the app\n").count(), 5);
    assert_eq!(said.matches("nginx (pid 4711)").count(), 2);
}

#[test]
fn of_hundreds_of_findings_the_first_are_told_and_the_others_counted() {
    for (findings, end) in [
        (FINDINGS_MAX, None),
        (
            FINDINGS_MAX + 1_244,
            Some("1,244 more, no worse: lasthop doctor --json"),
        ),
    ] {
        let findings = (0..findings).map(|_| finding(Severity::Critical)).collect();
        let said = told(findings, snapshot());
        assert_eq!(said.matches("critical").count(), FINDINGS_MAX);
        assert_eq!(said.contains(" more, no worse"), end.is_some());
        assert!(end.is_none_or(|end| said.contains(end)), "{said}");
        assert!(said.lines().count() < 100, "{said}");
    }
}

#[test]
fn the_same_lines_are_not_printed_twice() {
    let findings = vec![finding(Severity::Critical), finding(Severity::Warning)];
    let said = told(findings, snapshot());
    assert_eq!(said.matches("keepalive 64;").count(), 1);
    assert!(
        said.contains("  do      Keep connections to the app: as above\n"),
        "{said}"
    );
}

#[test]
fn names_of_others_are_escaped_in_every_line() {
    let evil = "\x1b]0;owned\x07";
    let mut finding = finding(Severity::Critical);
    finding.headline = evil.to_owned();
    finding.evidence = vec![evil.to_owned()];
    finding.remedies[0].steps = vec![
        Step::Shell {
            lines: vec![evil.to_owned()],
        },
        Step::Lines {
            place: evil.to_owned(),
            lines: vec![evil.to_owned()],
        },
    ];
    finding.remedies[0].undo = vec![evil.to_owned()];
    finding.remedies[1].title = evil.to_owned();
    let mut snapshot = snapshot();
    snapshot.namespace.pid = Some(1);
    snapshot.namespace.name = Some(evil.to_owned());
    snapshot.unseen.push(evil.to_owned());
    let report = Report {
        not_entered: vec![NotEntered {
            namespace: snapshot.namespace.clone(),
            reason: evil.to_owned(),
        }],
        ..Report::of_one(Examination {
            findings: vec![finding],
            snapshot,
        })
    };
    let said = text(&report, TextStyle::default());
    assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said}");
    assert_eq!(said.matches("\\u{1b}]0;owned").count(), 11, "{said}");
}

#[test]
fn colour_changes_nothing_but_the_colour() {
    let report = Report::of_one(Examination {
        findings: vec![finding(Severity::Critical), finding(Severity::Note)],
        snapshot: snapshot(),
    });
    let plain = text(&report, TextStyle::default());
    let style = TextStyle {
        colour: true,
        ..TextStyle::default()
    };
    let mut coloured = text(&report, style);
    assert!(coloured.contains("\x1b[1;31mcritical"));
    for code in ["\x1b[1;31m", "\x1b[1;36m", "\x1b[1m", "\x1b[0m"] {
        coloured = coloured.replace(code, "");
    }
    assert_eq!(coloured, plain);
}

#[test]
fn what_is_not_of_now_says_so() {
    let style = TextStyle {
        recorded: true,
        ..TextStyle::default()
    };
    let report = Report::of_one(Examination {
        findings: Vec::new(),
        snapshot: snapshot(),
    });
    let said = text(&report, style);
    assert!(
        said.starts_with("this host at 2026-01-02T00:04:05Z: "),
        "{said}"
    );
    assert!(said.lines().all(|line| line.chars().count() <= COLUMNS));
}

#[test]
fn a_host_whose_sockets_are_hidden_is_not_called_healthy() {
    let mut snapshot = snapshot();
    snapshot.sockets = None;
    let said = told(Vec::new(), snapshot);
    assert!(said.contains("\nunknown   "), "{said}");
    assert!(!said.contains("healthy"), "{said}");
}
