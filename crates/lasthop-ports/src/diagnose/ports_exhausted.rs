//! ports-exhausted: no port of a pair is left, and every further connect(2) on it fails with `EADDRNOTAVAIL`.
//!
//! Says nothing about how long this has been so, which is what ports-plateau is about.

use super::phrase::count;
use super::view::{Level, views};
use crate::finding::{Code, Finding, Severity};
use crate::remedy;
use crate::snapshot::Snapshot;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    let exhausted = views(snapshot).filter(|view| view.level() == Level::Exhausted);
    let found = exhausted.map(|view| {
        let held = view.group.time_wait_held;
        // Said where it is most of them, because then they have all been closed already.
        let of_them = if held > view.used / 2 {
            format!(", {} of them in TIME_WAIT", count(held))
        } else {
            String::new()
        };
        let headline = format!("{} in use{of_them}", view.of_ports());
        Finding {
            remedies: remedy::more_ports(&view.plight()),
            ..view.finding(Code::PortsExhausted, Severity::Critical, headline)
        }
    });
    found.collect()
}
