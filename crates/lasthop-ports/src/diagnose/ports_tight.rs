//! ports-tight: few ports of a pair are left. Where they are becoming fewer, the same finding says until when.
//!
//! So a pair that is tight has one finding and not two: ports-forecast is about pairs that still have room.

use super::view::{Level, views};
use super::words::{about, slope};
use crate::finding::{Code, Finding, Severity};
use crate::remedy;
use crate::snapshot::Snapshot;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    let tight = views(snapshot).filter(|view| view.level() == Level::Tight);
    let found = tight.map(|view| {
        let trend = view.trend();
        let until = trend.map_or_else(String::new, |trend| {
            let (left, slope) = (about(trend.seconds_left), slope(trend.per_minute));
            format!(", all in {left} ({slope})")
        });
        let headline = format!("{} in use ({} %){until}", view.of_ports(), view.percent());
        Finding {
            forecast: trend,
            remedies: remedy::more_ports(&view.plight()),
            ..view.finding(Code::PortsTight, Severity::Warning, headline)
        }
    });
    found.collect()
}
