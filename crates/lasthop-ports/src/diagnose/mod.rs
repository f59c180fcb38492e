//! From a snapshot to findings: each rule is a pure function in a file of its own, and none knows the others.
//!
//! A rule says nothing about what was not read. It names processes only where the snapshot does, so a reader judges
//! first, looks for the owners of what was found, and judges again.

use crate::finding::{Finding, Severity};
use crate::snapshot::Snapshot;

/// A rule: what it finds in a snapshot, in any order.
type Rule = fn(&Snapshot) -> Vec<Finding>;

/// Every rule.
const RULES: &[Rule] = &[];

/// All that is wrong with what was seen, or will be: the worst first, then by code and subject.
#[must_use]
pub fn diagnose(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(snapshot)).collect();
    findings.sort_by(|a, b| {
        let rank = |finding: &Finding| (std::cmp::Reverse(finding.severity), finding.code);
        rank(a)
            .cmp(&rank(b))
            .then_with(|| a.subject.cmp(&b.subject))
    });
    findings
}

/// The worst severity among findings; none where there are none.
#[must_use]
pub fn worst(findings: &[Finding]) -> Option<Severity> {
    findings.iter().map(|finding| finding.severity).max()
}
