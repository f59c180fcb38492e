//! `conntrack-tight`: the firewall's table of connections is nearly full, and what has no place in it is dropped.

use super::phrase::{count, counted, percent};
use crate::finding::{Amount, Code, Finding, Remedy, Severity, Subject};
use crate::remedy::conntrack;
use crate::snapshot::{Snapshot, Usage};

/// From here on somebody should act.
const WARNING_PERCENT: u64 = 80;

/// From here on packets are dropped in bursts: the kernel begins to throw out unfinished handshakes at 95 %
/// (`nf_conntrack_max95`).
const CRITICAL_PERCENT: u64 = 95;

/// Of the table, in percent: with fewer entries within the host, leaving them out is not worth its risk.
const LOCAL_PERCENT: u64 = 10;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    let Some(usage) = snapshot.conntrack else {
        return Vec::new();
    };
    let part = percent(usage);
    if part < WARNING_PERCENT {
        return Vec::new();
    }
    let severity = if part >= CRITICAL_PERCENT {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let local = local_connections(snapshot);
    let mut evidence = vec![
        "packets of a connection that finds no place are dropped: to programs it looks like a network that loses them"
            .to_owned(),
    ];
    if local > 0 {
        evidence.push(format!(
            "{} at this moment are within this host, which are in the table as well",
            counted(local, "connection")
        ));
    }
    vec![Finding {
        code: Code::ConntrackTight,
        severity,
        headline: format!(
            "the firewall's table: {} of {} connections ({part} %)",
            count(usage.used),
            count(usage.limit)
        ),
        subject: Subject::Namespace,
        usage: Some(Amount {
            used: usage.used,
            limit: usage.limit,
            unit: "connections",
        }),
        forecast: None,
        processes: Vec::new(),
        evidence,
        remedies: remedies(snapshot, usage, local),
    }]
}

/// Connections within the host that the groups tell of, those in TIME_WAIT included.
fn local_connections(snapshot: &Snapshot) -> u64 {
    snapshot
        .groups
        .iter()
        .filter(|group| group.is_local)
        .map(|group| {
            u64::from(group.connections())
                + u64::from(group.time_wait)
                + u64::from(group.time_wait_at_app)
        })
        .sum()
}

fn remedies(snapshot: &Snapshot, usage: Usage, local: u64) -> Vec<Remedy> {
    let mut remedies = vec![conntrack::larger(usage, &snapshot.namespace)];
    let of_table = Usage {
        used: local,
        limit: usage.limit,
    };
    if percent(of_table) >= LOCAL_PERCENT {
        remedies.extend(conntrack::without_loopback(&snapshot.namespace));
    }
    remedies.push(conntrack::fewer());
    remedies
}
