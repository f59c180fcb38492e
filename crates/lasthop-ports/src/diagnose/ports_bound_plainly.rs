//! ports-bound-plainly: sockets hold ports of the range in a way that keeps everybody else from them.
//!
//! A port that bind(2) has given out, for an address with port 0 or by its number, is passed over by every connect(2)
//! on the host that looks for one (`fastreuse` in `__inet_hash_connect`), whatever its addresses, as long as the bucket
//! lives. So such a socket does not take a port of one pair but of all.

use super::phrase::{count, counted, named};
use super::view::{is_part, part};
use super::words::processes;
use crate::finding::{Amount, Code, Finding, Severity, Subject};
use crate::remedy;
use crate::snapshot::{Bind, Owner, Plain, PlainHolders, Snapshot};

/// From this part of the ports on, in percent, it is a warning: a single socket is somebody's habit, a hundredth of the
/// range is a pool or a flood.
const WARNING_PERCENT: u32 = 1;

/// Sockets that the evidence shows one by one.
const LISTED_MAX: usize = 4;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    plain(snapshot).into_iter().collect()
}

fn plain(snapshot: &Snapshot) -> Option<Finding> {
    let holders = snapshot.plain_holders.as_ref()?;
    let settings = snapshot.ports.as_ref()?;
    let limit = settings.host_ports().limit();
    if holders.sockets == 0 || limit == 0 {
        return None;
    }
    // Two sockets can hold one port, on two addresses.
    let held = holders.sockets.min(limit);
    let owners = owners(holders);
    let by = match owners.as_slice() {
        [] => String::new(),
        owners => format!(" by {}", processes(owners)),
    };
    let headline = format!(
        "{} of {} ports are kept from everybody{by} ({} %)",
        count(held),
        count(limit),
        part(held, limit)
    );
    let severity = if is_part(held, limit, WARNING_PERCENT) {
        Severity::Warning
    } else {
        Severity::Note
    };
    Some(Finding {
        code: Code::PortsBoundPlainly,
        severity,
        headline,
        subject: Subject::Namespace,
        usage: Some(Amount {
            used: held.into(),
            limit: limit.into(),
            unit: "ports",
        }),
        forecast: None,
        processes: owners.clone(),
        evidence: evidence(holders),
        remedies: remedy::bind::without_ports(holders, &owners),
    })
}

/// Whose they are, each process once, those with most of the sample first.
fn owners(holders: &PlainHolders) -> Vec<Owner> {
    let mut counted: Vec<(usize, &Owner)> = Vec::new();
    for owner in holders
        .sample
        .iter()
        .filter_map(|plain| plain.owner.as_ref())
    {
        match counted.iter_mut().find(|(_, other)| other.pid == owner.pid) {
            Some((times, _)) => *times += 1,
            None => counted.push((1, owner)),
        }
    }
    counted.sort_by_key(|(times, owner)| (std::cmp::Reverse(*times), owner.pid));
    counted
        .into_iter()
        .map(|(_, owner)| owner.clone())
        .collect()
}

fn evidence(holders: &PlainHolders) -> Vec<String> {
    let of = |bind| {
        holders
            .sample
            .iter()
            .filter(|plain| plain.bind == bind)
            .count() as u64
    };
    let kinds = [
        (
            of(Bind::Address),
            "bound to an address with port 0, and connected",
        ),
        (
            of(Bind::Port),
            "bound to a port by its number, and connected",
        ),
        (of(Bind::Bound), "bound and not connected"),
    ];
    let mut lines: Vec<String> = kinds
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, how)| {
            format!(
                "{how}: {} of {} that were looked at",
                count(number),
                counted(holders.sample.len() as u64, "socket")
            )
        })
        .collect();
    lines.extend(holders.sample.iter().take(LISTED_MAX).map(one));
    lines
}

fn one(plain: &Plain) -> String {
    let peer = plain.peer.map(|peer| format!(" -> {peer}"));
    let owner = plain
        .owner
        .as_ref()
        .map(|owner| format!(", {}", named(owner)));
    format!(
        "holds a port: {}{}{}",
        plain.local,
        peer.unwrap_or_default(),
        owner.unwrap_or_default()
    )
}
