//! ports-reserved: a part of the range is reserved, and so given to nobody.
//!
//! A few reserved ports are as it should be. A great part of the range is a mistake that nobody sees, because the range
//! itself looks wide.

use super::phrase::count;
use super::view::{is_part, part, views};
use crate::finding::{Amount, Code, Finding, Severity, Subject};
use crate::remedy;
use crate::snapshot::Snapshot;

/// From this part of the range on, in percent: a reservation for a few listeners, as we advise it, is below.
const NOTE_PERCENT: u32 = 1;

/// From this part on, in percent, more is reserved than left.
const WARNING_PERCENT: u32 = 50;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    reserved(snapshot).into_iter().collect()
}

fn reserved(snapshot: &Snapshot) -> Option<Finding> {
    let settings = snapshot.ports.as_ref()?;
    let (range, limit) = (settings.range, settings.host_ports().limit());
    let reserved = settings.reserved.count_within(range);
    if reserved == 0 || !is_part(reserved, range.len(), NOTE_PERCENT) {
        return None;
    }
    let severity = if limit == 0 {
        // No connect(2) finds a port.
        Severity::Critical
    } else if is_part(reserved, range.len(), WARNING_PERCENT) {
        Severity::Warning
    } else {
        Severity::Note
    };
    let left = if limit == 0 {
        "none is left".to_owned()
    } else {
        format!("{} are left", count(limit))
    };
    let headline = format!(
        "{} of the {} source ports are reserved ({} %), {left}",
        count(reserved),
        count(range.len()),
        part(reserved, range.len()),
    );
    let fullest = views(snapshot).max_by_key(|view| view.used);
    let mut evidence = vec![
        format!(
            "net.ipv4.ip_local_port_range = {} {}",
            range.first(),
            range.last()
        ),
        format!(
            "net.ipv4.ip_local_reserved_ports = {}",
            shortened(&settings.reserved.to_string())
        ),
    ];
    if let Some(view) = fullest {
        evidence.push(format!("the fullest pair: {} in use", view.of_ports()));
    }
    Some(Finding {
        code: Code::PortsReserved,
        severity,
        headline,
        subject: Subject::Namespace,
        usage: Some(Amount {
            used: reserved.into(),
            limit: range.len().into(),
            unit: "ports",
        }),
        forecast: None,
        processes: Vec::new(),
        evidence,
        remedies: vec![remedy::ports::reserve_less(snapshot, settings)],
    })
}

/// A list of ports, cut where it gets too long to read.
fn shortened(list: &str) -> String {
    const LETTERS_MAX: usize = 80;
    match list.char_indices().nth(LETTERS_MAX) {
        Some((at, _)) => format!("{}…", &list[..at]),
        None => list.to_owned(),
    }
}
