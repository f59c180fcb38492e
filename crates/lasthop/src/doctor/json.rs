//! A report as JSON, for programs: `--json` and `/doctor` of the admin address.
//!
//! Every name in it is a promise, described in docs/doctor.md. Findings are serialised as they are; of a snapshot only
//! what a reader of findings wants to see beside them, because the whole of it is what `--record` writes.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, UNIX_EPOCH};

use lasthop_ports::finding::{Finding, Severity};
use lasthop_ports::snapshot::{Group, Namespace, OmittedGroups, Owner, SocketCounts, StateCounts};
use serde::Serialize;

use super::{Examination, Report};
use crate::observe::rfc3339;

/// The version of the format.
pub const SCHEMA: &str = "lasthop.doctor/1";

/// Groups that are told of each namespace: the fullest.
const GROUPS_TOLD: usize = 16;

#[derive(Serialize)]
struct Told<'a> {
    schema: &'static str,
    version: &'static str,
    verdict: &'static str,
    namespaces: Vec<ToldNamespace<'a>>,
    not_entered: Vec<ToldNotEntered<'a>>,
    unseen: &'a [String],
}

#[derive(Serialize)]
struct ToldNamespace<'a> {
    namespace: &'a Namespace,
    taken: String,
    taken_ms: u64,
    kernel: &'a str,
    severity: Option<Severity>,
    findings: &'a [Finding],
    ports: Option<ToldPorts>,
    sockets: Option<&'a SocketCounts>,
    groups: Vec<ToldGroup<'a>>,
    groups_omitted: OmittedGroups,
    unseen: &'a [String],
}

#[derive(Serialize)]
struct ToldPorts {
    first: u16,
    last: u16,
    reserved: u32,
    per_pair: u32,
}

#[derive(Serialize)]
struct ToldGroup<'a> {
    source: IpAddr,
    target: SocketAddr,
    used: u32,
    limit: Option<u32>,
    is_local: bool,
    states: &'a StateCounts,
    time_wait: u32,
    time_wait_held: u32,
    time_wait_at_app: u32,
    owners: &'a [Owner],
}

#[derive(Serialize)]
struct ToldNotEntered<'a> {
    namespace: &'a Namespace,
    reason: &'a str,
}

/// The report as one JSON object on one line, without a line end.
#[must_use]
pub fn json(report: &Report) -> String {
    let told = Told {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        verdict: report.verdict().as_str(),
        namespaces: report.namespaces.iter().map(namespace).collect(),
        not_entered: report
            .not_entered
            .iter()
            .map(|one| ToldNotEntered {
                namespace: &one.namespace,
                reason: &one.reason,
            })
            .collect(),
        unseen: &report.unseen,
    };
    // Numbers, texts and lists only: there is nothing in it that JSON cannot hold.
    serde_json::to_string(&told).unwrap_or_default()
}

fn namespace(examination: &Examination) -> ToldNamespace<'_> {
    let Examination { snapshot, findings } = examination;
    let limit = snapshot.port_limit();
    let groups = snapshot.groups.iter().take(GROUPS_TOLD);
    let cut = snapshot.groups.iter().skip(GROUPS_TOLD);
    let mut omitted = snapshot.groups_omitted;
    for group in cut {
        omitted.groups += 1;
        omitted.connections += u64::from(group.connections()) + u64::from(group.time_wait);
    }
    ToldNamespace {
        namespace: &snapshot.namespace,
        taken: taken(snapshot.taken_ms),
        taken_ms: snapshot.taken_ms,
        kernel: &snapshot.kernel,
        severity: examination.severity(),
        findings,
        ports: snapshot.ports.as_ref().map(|ports| ToldPorts {
            first: ports.range.first(),
            last: ports.range.last(),
            reserved: ports.reserved.count_within(ports.range),
            per_pair: ports.host_ports().limit(),
        }),
        sockets: snapshot.sockets.as_ref(),
        groups: groups.map(|one| group(one, limit)).collect(),
        groups_omitted: omitted,
        unseen: &snapshot.unseen,
    }
}

fn group(group: &Group, limit: Option<u32>) -> ToldGroup<'_> {
    ToldGroup {
        source: group.key.source,
        target: group.key.destination,
        used: group.used(),
        limit,
        is_local: group.is_local,
        states: &group.states,
        time_wait: group.time_wait,
        time_wait_held: group.time_wait_held,
        time_wait_at_app: group.time_wait_at_app,
        owners: &group.owners,
    }
}

/// The time of a snapshot as RFC 3339; a recording may say anything.
pub(super) fn taken(taken_ms: u64) -> String {
    UNIX_EPOCH
        .checked_add(Duration::from_millis(taken_ms))
        .map(rfc3339)
        .unwrap_or_default()
}
