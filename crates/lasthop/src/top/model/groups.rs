//! The groups of a snapshot as rows: how full, how steep, how long.

use std::cmp::Reverse;

use lasthop_ports::snapshot::{Group, GroupKey, Owner, Snapshot};
use lasthop_ports::{Forecast, forecast};

/// Rows that are made: more than anybody scrolls through. The others are counted by whoever shows them.
pub(super) const ROWS_MAX: usize = 128;

/// The time that a slope without a trend is taken over, in milliseconds.
const SLOPE_MS: u64 = 60_000;

/// By what rows are sorted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// Ports in use, as a part of those that there are.
    #[default]
    Use,
    /// Connections in TIME_WAIT.
    TimeWait,
    /// How many more each minute.
    Slope,
    /// Addresses.
    Address,
}

impl Sort {
    /// The one that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Use => Self::TimeWait,
            Self::TimeWait => Self::Slope,
            Self::Slope => Self::Address,
            Self::Address => Self::Use,
        }
    }

    /// As the screen names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Use => "use",
            Self::TimeWait => "TIME_WAIT",
            Self::Slope => "slope",
            Self::Address => "address",
        }
    }
}

/// One group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRow {
    /// From where to where.
    pub key: GroupKey,
    /// Ports in use.
    pub used: u32,
    /// Ports that there are; none where the settings could not be read.
    pub limit: Option<u32>,
    /// Of those in use, how many TIME_WAIT holds.
    pub held: u32,
    /// Connections in TIME_WAIT at this end, held or not.
    pub time_wait: u32,
    /// Connections in TIME_WAIT at the app's end.
    pub time_wait_at_app: u32,
    /// Who has the connections, as far as known.
    pub owners: Vec<Owner>,
    /// How many more each minute: the trend, or else the difference over the last minute.
    pub per_minute: Option<f64>,
    /// When the ports will be used up, where there is a trend.
    pub forecast: Option<Forecast>,
}

impl GroupRow {
    fn of(group: &Group, limit: Option<u32>) -> Self {
        let forecast = limit.and_then(|limit| forecast(&group.recent, limit));
        let per_minute = forecast
            .map(|forecast| forecast.per_minute)
            .or_else(|| slope(group));
        Self {
            key: group.key,
            used: group.used(),
            limit,
            held: group.time_wait_held,
            time_wait: group.time_wait,
            time_wait_at_app: group.time_wait_at_app,
            owners: group.owners.clone(),
            per_minute,
            forecast,
        }
    }

    /// The part of the ports that is in use; 0 where it is not known how many there are.
    #[must_use]
    pub fn part(&self) -> f64 {
        let limit = self.limit.unwrap_or(0);
        if limit == 0 {
            0.0
        } else {
            f64::from(self.used) / f64::from(limit)
        }
    }

    /// Ports that are left; none where it is not known how many there are.
    #[must_use]
    pub fn left(&self) -> Option<u32> {
        self.limit.map(|limit| limit.saturating_sub(self.used))
    }

    /// The names of the owners, each once: `nginx`, `nginx, python3`.
    #[must_use]
    pub fn owner_names(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for owner in &self.owners {
            if !names.contains(&owner.name.as_str()) {
                names.push(&owner.name);
            }
        }
        names.join(", ")
    }
}

/// The difference over the last minute, or over as much as was seen; none of a single reading, or where the clock went
/// back.
fn slope(group: &Group) -> Option<f64> {
    let last = group.recent.last()?;
    let from_ms = last.at_ms.saturating_sub(SLOPE_MS);
    let first = group.recent.iter().find(|sample| sample.at_ms >= from_ms)?;
    let minutes = last.at_ms.checked_sub(first.at_ms)? as f64 / 60e3;
    // Of two readings a second apart nobody can say what a minute will bring.
    (minutes > 0.1).then(|| (f64::from(last.used) - f64::from(first.used)) / minutes)
}

/// The rows of a snapshot, sorted, at most [`ROWS_MAX`].
pub(super) fn rows(snapshot: &Snapshot, sort: Sort) -> Vec<GroupRow> {
    let limit = snapshot.port_limit();
    let mut rows: Vec<GroupRow> = snapshot
        .groups
        .iter()
        .filter(|group| group.used() > 0 || group.time_wait > 0)
        .map(|group| GroupRow::of(group, limit))
        .collect();
    rows.sort_by(|a, b| match sort {
        Sort::Use => (Reverse(a.used), a.key).cmp(&(Reverse(b.used), b.key)),
        Sort::TimeWait => (Reverse(a.time_wait), a.key).cmp(&(Reverse(b.time_wait), b.key)),
        Sort::Slope => {
            let of = |row: &GroupRow| row.per_minute.unwrap_or(f64::NEG_INFINITY);
            of(b).total_cmp(&of(a)).then(a.key.cmp(&b.key))
        }
        Sort::Address => (a.key.destination, a.key.source).cmp(&(b.key.destination, b.key.source)),
    });
    rows.truncate(ROWS_MAX);
    rows
}
