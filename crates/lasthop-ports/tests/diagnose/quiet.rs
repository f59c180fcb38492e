//! An ordinary host shows nothing above a note, and most show nothing at all.

use lasthop_ports::snapshot::{Group, PlainHolders, Program};
use lasthop_ports::{Severity, diagnose};

use crate::support::{codes, default_host, group, group_to, listener, owner, readings, waiting};

#[test]
fn an_idle_host_has_no_findings() {
    let mut snapshot = default_host();
    snapshot.plain_holders = Some(PlainHolders::default());
    assert_eq!(codes(&snapshot), Vec::<&str>::new());
    snapshot.listeners = vec![
        listener("0.0.0.0:22", Vec::new()),
        listener("127.0.0.1:3000", vec![owner(900, "node", Program::Node)]),
    ];
    snapshot.groups.push(Group {
        recent: readings([12; 60]),
        ..group(12)
    });
    assert_eq!(codes(&snapshot), Vec::<&str>::new());
}

#[test]
fn a_host_at_work_has_no_findings_above_a_note() {
    let mut snapshot = default_host();
    snapshot
        .listeners
        .push(listener("127.0.0.1:46123", Vec::new()));
    snapshot.groups = vec![
        // A pool that has just filled, steeply.
        Group {
            recent: readings((0..30).map(|n| n * 60)),
            ..group(1_740)
        },
        // Short connections to a database on another host: 30 a second.
        Group {
            is_local: false,
            recent: readings((0..60).map(|n| 1_800 + n % 7)),
            ..waiting(group_to("192.0.2.1", "192.0.2.9:5432", 5), 1_800)
        },
        // A few thousand WebSockets, coming and going.
        Group {
            recent: readings((0..120).map(|n| 9_000 + n * 37 % 101)),
            ..group_to("127.0.0.1", "127.0.0.1:4000", 9_050)
        },
    ];
    let findings = diagnose(&snapshot);
    assert!(
        findings
            .iter()
            .all(|finding| finding.severity == Severity::Note),
        "{findings:#?}"
    );
}

#[test]
fn a_snapshot_that_saw_nothing_is_judged_as_nothing() {
    let snapshot = lasthop_ports::Snapshot::empty(0);
    assert!(diagnose(&snapshot).is_empty());
}
