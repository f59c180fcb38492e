//! time-wait-reuse-useless: ports rest in TIME_WAIT for the whole minute, because a setting forbids to use them again or
//! does not hold for this pair.
//!
//! Only where TIME_WAIT has ports in numbers: with few of them the setting does not matter.

use super::phrase::count;
use super::view::{View, is_part, views};
use crate::finding::{Amount, Code, Finding, Severity};
use crate::remedy;
use crate::snapshot::Snapshot;

/// From this part of a pair's ports on, in percent: below, TIME_WAIT takes nothing that anybody misses.
const HELD_PERCENT: u32 = 10;

/// From this part on it is a warning: as much again, and half of the pair is gone to nothing.
const WARNING_PERCENT: u32 = 25;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    let useless = views(snapshot).filter(|view| {
        view.waits_long() && is_part(view.group.time_wait_held, view.limit, HELD_PERCENT)
    });
    let found = useless.map(|view| {
        let held = view.group.time_wait_held;
        let headline = format!(
            "{}: {} ports rest in TIME_WAIT for 60 s, {}",
            view.group.key,
            count(held),
            why(view)
        );
        let severity = if is_part(held, view.limit, WARNING_PERCENT) {
            Severity::Warning
        } else {
            Severity::Note
        };
        let mut finding = view.finding(Code::TimeWaitReuseUseless, severity, headline);
        finding.usage = Some(Amount {
            used: held.into(),
            limit: view.limit.into(),
            unit: "ports",
        });
        finding.evidence.insert(0, settings(view));
        finding.remedies = vec![remedy::ports::reuse(&view.plight())];
        finding
    });
    found.collect()
}

fn why(view: View<'_>) -> &'static str {
    match (view.ports.tcp_timestamps, view.ports.tcp_tw_reuse) {
        (0, _) => "because TCP timestamps are off, without which none is used again",
        (_, 0) => "because net.ipv4.tcp_tw_reuse is 0",
        (_, 2) if !view.is_loopback() => {
            "because net.ipv4.tcp_tw_reuse = 2 holds for loopback addresses only, and this pair has none"
        }
        _ => "because net.ipv4.tcp_tw_reuse_delay is as long as that",
    }
}

fn settings(view: View<'_>) -> String {
    format!(
        "net.ipv4.tcp_tw_reuse = {}, net.ipv4.tcp_timestamps = {}; with reuse a port would rest for {} ms",
        view.ports.tcp_tw_reuse, view.ports.tcp_timestamps, view.ports.tcp_tw_reuse_delay_ms
    )
}
