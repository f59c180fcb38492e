//! Which groups of connections have a series: a bounded table of numbers that stay the same as long as a group matters.
//!
//! A host that crawls the web has thousands of groups with one connection each. Only the fullest of a reading come in, and
//! where there is no place left, the one goes that has not been among the fullest for longest.

use std::cmp::Reverse;

use lasthop_ports::snapshot::GroupKey;

use super::point::{GroupPoint, GroupReading, HostReading, Level};

/// Groups of one reading that are let in: those nearest to their limit.
pub const FULLEST_MAX: usize = 16;

/// Groups that have a number at one time: those that were full an hour ago must not make way for whoever is full now.
pub const SERIES_MAX: usize = 32;

/// A group that has not been among the fullest for longer than the longest window is in no picture any more.
const FORGOTTEN_AFTER_MS: u64 = 24 * 3_600_000;

/// The number of a group. None is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(u32);

#[derive(Debug)]
struct Series {
    id: SeriesId,
    key: GroupKey,
    /// When it was last among the fullest and had a connection.
    full_ms: u64,
    /// Ports that there were then.
    limit: u32,
}

/// The groups that have a number, at most [`SERIES_MAX`].
#[derive(Debug, Default)]
pub(super) struct SeriesTable {
    series: Vec<Series>,
    next: u32,
}

impl SeriesTable {
    /// The points of a reading: of every group that has a number now. One that the reading does not have is at zero where
    /// the reading is complete, and else it has no point.
    pub(super) fn take(&mut self, at_ms: u64, reading: &HostReading) -> Vec<GroupPoint> {
        self.series
            .retain(|series| at_ms.saturating_sub(series.full_ms) <= FORGOTTEN_AFTER_MS);
        for group in fullest(&reading.groups) {
            self.admit(at_ms, &group);
        }
        let of_series = |series: &Series| {
            let group = reading.groups.iter().find(|group| group.key == series.key);
            match group {
                Some(group) => Some(point(series.id, group)),
                None if reading.is_complete => {
                    // Where no connection begins at all nothing says what the limit is, and it is what it was.
                    let limit = reading.groups.first().map_or(series.limit, |one| one.limit);
                    let key = series.key;
                    let none = GroupReading {
                        key,
                        used: 0,
                        limit,
                        time_wait: 0,
                    };
                    Some(point(series.id, &none))
                }
                None => None,
            }
        };
        self.series.iter().filter_map(of_series).collect()
    }

    fn admit(&mut self, at_ms: u64, group: &GroupReading) {
        let (key, limit) = (group.key, group.limit);
        if let Some(known) = self.series.iter_mut().find(|series| series.key == key) {
            known.full_ms = at_ms;
            known.limit = limit;
            return;
        }
        if self.series.len() >= SERIES_MAX {
            let places = self.series.iter().enumerate();
            let oldest = places.min_by_key(|(_, series)| series.full_ms);
            let Some((oldest, _)) = oldest else {
                return;
            };
            self.series.swap_remove(oldest);
        }
        self.series.push(Series {
            id: SeriesId(self.next),
            key,
            full_ms: at_ms,
            limit,
        });
        self.next = self.next.wrapping_add(1);
    }

    /// The clock was set back.
    pub(super) fn shift_back(&mut self, by_ms: u64) {
        for series in &mut self.series {
            series.full_ms = series.full_ms.saturating_sub(by_ms);
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (SeriesId, GroupKey)> {
        self.series.iter().map(|series| (series.id, series.key))
    }

    pub(super) fn id_of(&self, key: &GroupKey) -> Option<SeriesId> {
        let series = self.series.iter().find(|series| series.key == *key);
        series.map(|series| series.id)
    }
}

/// Those that matter, the fullest first; of two alike the one whose addresses come first, so that the choice is stable.
fn fullest(groups: &[GroupReading]) -> Vec<GroupReading> {
    let mut some: Vec<GroupReading> = groups.iter().filter(|g| g.used > 0).copied().collect();
    let part =
        |group: &GroupReading| u64::from(group.used) * 65_536 / u64::from(group.limit.max(1));
    some.sort_by_key(|group| (Reverse(part(group)), group.key));
    some.truncate(FULLEST_MAX);
    some
}

fn point(series: SeriesId, group: &GroupReading) -> GroupPoint {
    GroupPoint {
        series,
        used: Level::count(group.used.into()),
        time_wait: group.time_wait as f32,
        limit: group.limit,
    }
}
