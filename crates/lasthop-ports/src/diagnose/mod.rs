//! From a snapshot to findings: each rule is a pure function in a file of its own, and none knows the others.
//!
//! A rule says nothing about what was not read. It names processes only where the snapshot does, so a reader judges
//! first, looks for the owners of what was found, and judges again.

mod app_exposed;
mod backlog_clipped;
mod conntrack_tight;
mod descriptors_tight;
mod file_max_tight;
mod listen_backlog_overflow;
mod phrase;
mod port_parity_slope;
mod port_range_narrow;
mod port_range_overlaps_listeners;
mod ports_bound_plainly;
mod ports_exhausted;
mod ports_forecast;
mod ports_plateau;
mod ports_reserved;
mod ports_tight;
mod tcp_memory_tight;
mod time_wait_bucket_overflow;
mod time_wait_held;
mod time_wait_reuse_useless;
mod unix_backlog_full;
mod unix_sockets;
mod view;
mod words;

use crate::finding::{Code, Finding, Severity};
use crate::snapshot::Snapshot;

/// A rule: what it finds in a snapshot, in any order.
type Rule = fn(&Snapshot) -> Vec<Finding>;

/// Every rule with the codes of its findings, one a line, in the order of the codes.
const RULES: &[(&[Code], Rule)] = &[
    (&[Code::PortsExhausted], ports_exhausted::rule),
    (&[Code::PortsTight], ports_tight::rule),
    (&[Code::PortsForecast], ports_forecast::rule),
    (&[Code::PortsPlateau], ports_plateau::rule),
    (&[Code::PortParitySlope], port_parity_slope::rule),
    (&[Code::TimeWaitHeld], time_wait_held::rule),
    (&[Code::TimeWaitReuseUseless], time_wait_reuse_useless::rule),
    (&[Code::PortRangeNarrow], port_range_narrow::rule),
    (
        &[Code::PortRangeOverlapsListeners],
        port_range_overlaps_listeners::rule,
    ),
    (&[Code::PortsReserved], ports_reserved::rule),
    (&[Code::PortsBoundPlainly], ports_bound_plainly::rule),
    (&[Code::DescriptorsTight], descriptors_tight::rule),
    (&[Code::FileMaxTight], file_max_tight::rule),
    (
        &[Code::ListenBacklogOverflow],
        listen_backlog_overflow::rule,
    ),
    (&[Code::UnixBacklogFull], unix_backlog_full::rule),
    (&[Code::BacklogClipped], backlog_clipped::rule),
    (&[Code::ConntrackTight], conntrack_tight::rule),
    (
        &[Code::TimeWaitBucketOverflow],
        time_wait_bucket_overflow::rule,
    ),
    (&[Code::TcpMemoryTight], tcp_memory_tight::rule),
    (
        &[
            Code::UnixSocketPermission,
            Code::UnixSocketMissing,
            Code::UnixSocketStale,
        ],
        unix_sockets::rule,
    ),
    (&[Code::AppExposed], app_exposed::rule),
];

/// All that is wrong with what was seen, or will be: the worst first, then by code and subject.
#[must_use]
pub fn diagnose(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|(_, rule)| rule(snapshot)).collect();
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

/// The codes that there is a rule for.
pub fn judged() -> impl Iterator<Item = Code> {
    RULES.iter().flat_map(|(codes, _)| codes.iter().copied())
}
