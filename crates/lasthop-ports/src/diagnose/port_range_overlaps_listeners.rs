//! port-range-overlaps-listeners: programs listen on ports that connections are given by chance.
//!
//! A note, because it works until one of them is restarted at the wrong moment: then a connection of somebody else may
//! have its port, and it does not start.

use super::phrase::{count, counted, list};
use super::view::views;
use super::words::processes;
use crate::finding::{Amount, Code, Finding, Severity, Subject};
use crate::remedy;
use crate::snapshot::Snapshot;

/// Listeners that the evidence names one by one.
const LISTED_MAX: usize = 8;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    overlap(snapshot).into_iter().collect()
}

fn overlap(snapshot: &Snapshot) -> Option<Finding> {
    let settings = snapshot.ports.as_ref()?;
    let ports = remedy::ports::listened_ports(snapshot, settings, settings.range);
    if ports.is_empty() {
        return None;
    }
    let names: Vec<String> = ports.iter().map(u16::to_string).collect();
    let headline = format!(
        "programs listen on {} of the range that connections are given ({}): {}",
        counted(ports.len() as u64, "port"),
        settings.range,
        list(&names)
    );
    let mut evidence: Vec<String> = snapshot
        .listeners
        .iter()
        .filter(|listener| ports.contains(&listener.address.port()))
        .take(LISTED_MAX)
        .map(|listener| match listener.owners.as_slice() {
            [] => format!("listens: {}", listener.address),
            owners => format!("listens: {}, {}", listener.address, processes(owners)),
        })
        .collect();
    evidence.push(format!(
        "none of them is in net.ipv4.ip_local_reserved_ports; the fullest pair has {} ports in use",
        count(views(snapshot).map(|view| view.used).max().unwrap_or(0))
    ));
    Some(Finding {
        code: Code::PortRangeOverlapsListeners,
        severity: Severity::Note,
        headline,
        subject: Subject::Namespace,
        usage: Some(Amount {
            used: ports.len() as u64,
            limit: settings.host_ports().limit().into(),
            unit: "ports",
        }),
        forecast: None,
        processes: Vec::new(),
        evidence,
        remedies: remedy::ports::reserve(snapshot, settings, &ports)
            .into_iter()
            .collect(),
    })
}
