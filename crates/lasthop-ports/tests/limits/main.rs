//! The rules about what is not a port: where each speaks, with which words, and where it stays silent.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by its panic"
)]

mod descriptors;
mod exposure;
mod queues;
mod support;
mod tables;
mod unix;

use lasthop_ports::snapshot::Snapshot;
use lasthop_ports::{Severity, diagnose};

#[test]
fn what_was_not_read_is_not_judged() {
    assert_eq!(diagnose(&Snapshot::empty(0)), []);
}

#[test]
fn an_ordinary_idle_host_has_nothing_above_a_note() {
    let findings = diagnose(&support::idle_host());
    let loud: Vec<_> = findings
        .iter()
        .filter(|finding| finding.severity > Severity::Note)
        .collect();
    assert!(loud.is_empty(), "{loud:#?}");
}

#[test]
fn every_finding_that_is_no_note_has_up_to_five_remedies_each_with_a_way_back() {
    let findings = diagnose(&support::host_on_fire());
    assert!(findings.len() >= 11, "{findings:#?}");
    for finding in findings {
        let code = finding.code;
        assert!(!finding.evidence.is_empty(), "{code}");
        assert!(
            finding.remedies.len() <= 5,
            "{code}: {:#?}",
            finding.remedies
        );
        assert!(
            finding.severity == Severity::Note || !finding.remedies.is_empty(),
            "{code}"
        );
        for remedy in finding.remedies {
            assert!(
                !remedy.steps.is_empty() && !remedy.undo.is_empty(),
                "{code}: {remedy:?}"
            );
        }
    }
}
