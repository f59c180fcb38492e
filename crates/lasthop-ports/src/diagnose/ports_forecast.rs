//! ports-forecast: a pair that still has room will be used up within the hour if its connections go on rising.
//!
//! Silent about a pair that is tight or used up already: that finding has the forecast.

use super::phrase::count;
use super::view::{Level, views};
use super::words::{about, slope};
use crate::finding::{Code, Finding, Severity};
use crate::remedy;
use crate::snapshot::Snapshot;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    let with_room = views(snapshot).filter(|view| view.level() == Level::Room);
    let found = with_room.filter_map(|view| {
        let trend = view.trend()?;
        let limit = count(view.limit);
        let headline = format!(
            "{}: {limit} of {limit} ports in {} (now {}, {})",
            view.group.key,
            about(trend.seconds_left),
            count(view.used),
            slope(trend.per_minute),
        );
        Some(Finding {
            forecast: Some(trend),
            remedies: remedy::more_ports(&view.plight()),
            ..view.finding(Code::PortsForecast, Severity::Warning, headline)
        })
    });
    found.collect()
}
