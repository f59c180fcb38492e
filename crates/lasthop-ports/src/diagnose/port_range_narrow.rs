//! port-range-narrow: the range of source ports has been made narrower than the kernel has it by default.
//!
//! A note as long as nobody needs more; a warning where a pair uses over half of what is left.

use super::phrase::count;
use super::view::{View, views};
use crate::finding::{Amount, Code, Finding, Severity, Subject};
use crate::remedy;
use crate::snapshot::Snapshot;

/// The ports of 32768 to 60999 (`ip_local_port_range` in Documentation/networking/ip-sysctl.rst). Narrower is on purpose
/// or a mistake, never the default.
const DEFAULT: u32 = 28_232;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    narrow(snapshot).into_iter().collect()
}

fn narrow(snapshot: &Snapshot) -> Option<Finding> {
    let ports = snapshot.ports.as_ref()?;
    let range = ports.range;
    if range.len() >= DEFAULT {
        return None;
    }
    let fullest: Option<View<'_>> = views(snapshot).max_by_key(|view| view.used);
    let needs_more = fullest.filter(|view| u64::from(view.used) * 2 > u64::from(view.limit));
    let mut headline = format!(
        "the range of source ports has {} instead of {} ({range})",
        count(range.len()),
        count(DEFAULT)
    );
    if let Some(view) = needs_more {
        headline.push_str(&format!(
            ", and {} uses {} of them",
            view.group.key,
            count(view.used)
        ));
    }
    let mut evidence = vec![format!(
        "net.ipv4.ip_local_port_range = {} {}; the kernel's default is 32768 60999",
        range.first(),
        range.last()
    )];
    if let Some(view) = fullest {
        evidence.push(format!("the fullest pair: {} in use", view.of_ports()));
    }
    Some(Finding {
        code: Code::PortRangeNarrow,
        severity: if needs_more.is_some() {
            Severity::Warning
        } else {
            Severity::Note
        },
        headline,
        subject: Subject::Namespace,
        usage: Some(Amount {
            used: fullest.map_or(0, |view| view.used).into(),
            limit: ports.host_ports().limit().into(),
            unit: "ports",
        }),
        forecast: None,
        processes: needs_more.map_or_else(Vec::new, |view| view.group.owners.clone()),
        evidence,
        remedies: remedy::ports::wider(snapshot, ports).into_iter().collect(),
    })
}
