//! What was, as series: the last minutes finely, hours and a day more and more coarsely, in bounded memory.
//!
//! Points come in from whoever samples, and go out to the dashboard, to `/history` and to `lasthop top`. Reads no clock and
//! no kernel: times come in with the points. A gap stays a gap: nothing is interpolated.
//!
//! The bound: [`POINTS_MAX`] points in all, each at most [`POINT_BYTES_MAX`] bytes, 2.8 MiB at the very worst. A proxy
//! with two upstreams on a host with four groups of connections needs 400 bytes a point, 400 KiB in all.

mod json;
mod merge;
mod point;
mod series;
#[cfg(test)]
mod tests;

pub use json::json;
pub use point::{
    ConnectRates, FAILURES_MAX, GroupPoint, GroupReading, HostPoint, HostReading, Level, OwnPoint,
    SOCKET_STATES, SocketState, UPSTREAMS_MAX, UpstreamPoint,
};
pub use series::{FULLEST_MAX, SERIES_MAX, SeriesId};

use std::collections::VecDeque;

use lasthop_ports::Sample;
use lasthop_ports::snapshot::{GroupKey, SAMPLES_MAX};

use series::SeriesTable;

/// Points of all three tiers, and of the two that are becoming one.
pub const POINTS_MAX: usize = FINE.points + MIDDLE.points + COARSE.points + 2 * PENDING_MAX;

/// Bytes of one point where every list in it is full.
pub const POINT_BYTES_MAX: usize = size_of::<Point>()
    + SERIES_MAX * size_of::<GroupPoint>()
    + UPSTREAMS_MAX * size_of::<UpstreamPoint>()
    + FAILURES_MAX * size_of::<f32>();

/// Points that wait to become one of the next tier. Fifteen do at a point every two seconds; a sampler that is quicker
/// has them joined early.
const PENDING_MAX: usize = 64;

/// Of the samples for a forecast, how many are the very last ones; the others reach further back.
const SAMPLES_LAST: usize = SAMPLES_MAX / 2;

/// What one moment was like, or the time since the point before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Point {
    /// The end of the time that it stands for, in milliseconds since 1970 by the host's clock.
    pub at_ms: u64,
    /// The host; none where it was not read at that time.
    pub host: Option<HostPoint>,
    /// This process; none where the sampler is not part of a proxy.
    pub own: Option<OwnPoint>,
}

/// How far back to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Every point as it came.
    TenMinutes,
    /// A point for each half minute.
    ThreeHours,
    /// A point for each five minutes.
    Day,
}

impl Window {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::TenMinutes, Self::ThreeHours, Self::Day];

    /// As `/history?window=` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenMinutes => "10m",
            Self::ThreeHours => "3h",
            Self::Day => "24h",
        }
    }

    /// The window of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|window| window.as_str() == name)
    }

    /// The time that one point stands for, in milliseconds.
    #[must_use]
    pub const fn step_ms(self) -> u64 {
        self.shape().step_ms
    }

    /// How far back it reaches, in milliseconds.
    #[must_use]
    pub const fn span_ms(self) -> u64 {
        self.shape().step_ms * self.shape().points as u64
    }

    const fn shape(self) -> Shape {
        match self {
            Self::TenMinutes => FINE,
            Self::ThreeHours => MIDDLE,
            Self::Day => COARSE,
        }
    }
}

/// How a tier is cut.
#[derive(Debug, Clone, Copy)]
struct Shape {
    step_ms: u64,
    points: usize,
}

const FINE: Shape = Shape {
    step_ms: 2_000,
    points: 300,
};
const MIDDLE: Shape = Shape {
    step_ms: 30_000,
    points: 360,
};
const COARSE: Shape = Shape {
    step_ms: 300_000,
    points: 288,
};

/// One ring of points, oldest first.
#[derive(Debug)]
struct Tier {
    shape: Shape,
    points: VecDeque<Point>,
    /// What the next point of this tier will be made of; of the finest tier always empty.
    pending: Vec<Point>,
}

impl Tier {
    const fn new(shape: Shape) -> Self {
        Self {
            shape,
            points: VecDeque::new(),
            pending: Vec::new(),
        }
    }

    fn push(&mut self, point: Point) {
        if self.points.len() >= self.shape.points {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    /// Takes a point of the tier before; the point of this tier that became whole with it.
    fn gather(&mut self, point: &Point) -> Option<Point> {
        let step = |point: &Point| point.at_ms.saturating_sub(1) / self.shape.step_ms;
        let is_next = self
            .pending
            .first()
            .is_some_and(|first| step(first) != step(point));
        let whole = if is_next || self.pending.len() >= PENDING_MAX {
            let whole = merge::points(&self.pending);
            self.pending.clear();
            whole
        } else {
            None
        };
        self.pending.push(point.clone());
        if let Some(whole) = &whole {
            self.push(whole.clone());
        }
        whole
    }

    fn shift_back(&mut self, by_ms: u64) {
        for point in self.points.iter_mut().chain(&mut self.pending) {
            point.at_ms = point.at_ms.saturating_sub(by_ms);
        }
    }
}

/// The points of a day, and which groups of connections they speak of.
#[derive(Debug)]
pub struct History {
    upstreams: Vec<String>,
    failures: &'static [&'static str],
    fine: Tier,
    middle: Tier,
    coarse: Tier,
    series: SeriesTable,
    host_period_ms: u64,
}

impl History {
    /// An empty history. `upstreams` are the names for [`OwnPoint::upstreams`], at most [`UPSTREAMS_MAX`], and `failures`
    /// those for [`OwnPoint::failures`], at most [`FAILURES_MAX`]; both are empty where the host alone is sampled.
    #[must_use]
    pub fn new(mut upstreams: Vec<String>, failures: &'static [&'static str]) -> Self {
        upstreams.truncate(UPSTREAMS_MAX);
        Self {
            upstreams,
            failures: &failures[..failures.len().min(FAILURES_MAX)],
            fine: Tier::new(FINE),
            middle: Tier::new(MIDDLE),
            coarse: Tier::new(COARSE),
            series: SeriesTable::default(),
            host_period_ms: FINE.step_ms,
        }
    }

    /// Adds what was seen at `at_ms` (milliseconds since 1970 by the host's clock).
    ///
    /// A clock that was set back moves the points before: the newest of them then lies one step before this one, and the
    /// distances between them stay. One that was set forward leaves a gap, as a host that slept does.
    pub fn push(&mut self, at_ms: u64, host: Option<&HostReading>, own: Option<OwnPoint>) {
        if let Some(last) = self.fine.points.back()
            && at_ms <= last.at_ms
        {
            let by_ms = (last.at_ms - at_ms).saturating_add(FINE.step_ms);
            for tier in [&mut self.fine, &mut self.middle, &mut self.coarse] {
                tier.shift_back(by_ms);
            }
            self.series.shift_back(by_ms);
        }
        let host = host.map(|reading| {
            self.host_period_ms = reading.period_ms.max(FINE.step_ms);
            HostPoint {
                sockets: reading.sockets,
                groups: self.series.take(at_ms, reading),
            }
        });
        let own = own.map(|mut own| {
            own.upstreams.truncate(self.upstreams.len());
            own.failures.truncate(self.failures.len());
            own
        });
        let point = Point { at_ms, host, own };
        if let Some(whole) = self.middle.gather(&point) {
            self.coarse.gather(&whole);
        }
        self.fine.push(point);
    }

    /// The points of a window, oldest first. The last one of a coarse window is not whole yet and speaks of the time so
    /// far.
    pub fn points(&self, window: Window) -> Vec<Point> {
        let newest = self.newest().map_or(0, |newest| newest.at_ms);
        let from = newest.saturating_sub(window.span_ms());
        let (tier, pending) = match window {
            Window::TenMinutes => (&self.fine, None),
            Window::ThreeHours => (&self.middle, merge::points(&self.middle.pending)),
            Window::Day => {
                let middle = merge::points(&self.middle.pending);
                let all: Vec<Point> = self.coarse.pending.iter().cloned().chain(middle).collect();
                (&self.coarse, merge::points(&all))
            }
        };
        let points = tier.points.iter().filter(|point| point.at_ms > from);
        points.cloned().chain(pending).collect()
    }

    /// The last point; none before the first.
    #[must_use]
    pub fn newest(&self) -> Option<&Point> {
        self.fine.points.back()
    }

    /// The groups that are known by number, in no order.
    pub fn series(&self) -> impl Iterator<Item = (SeriesId, GroupKey)> {
        self.series.all()
    }

    /// The names for [`OwnPoint::upstreams`].
    #[must_use]
    pub fn upstreams(&self) -> &[String] {
        &self.upstreams
    }

    /// The names for [`OwnPoint::failures`].
    #[must_use]
    pub fn failures(&self) -> &'static [&'static str] {
        self.failures
    }

    /// How far apart the readings of the host are at this time, in milliseconds; at least a step of the finest window.
    #[must_use]
    pub fn host_period_ms(&self) -> u64 {
        self.host_period_ms
    }

    /// Earlier readings of one group for a forecast, oldest first, fewer than [`SAMPLES_MAX`], so that the reading at hand
    /// has its place after them: the last minutes as they were, and before them every so many.
    #[must_use]
    pub fn samples(&self, key: &GroupKey) -> Vec<Sample> {
        let Some(id) = self.series.id_of(key) else {
            return Vec::new();
        };
        let mut all: Vec<Sample> = Vec::new();
        for point in &self.fine.points {
            let groups = point.host.as_ref().map_or(&[][..], |host| &host.groups);
            let of_group = groups.iter().find(|group| group.series == id);
            all.extend(of_group.map(|group| group.sample(point.at_ms)));
        }
        let last = all.split_off(all.len().saturating_sub(SAMPLES_LAST));
        let every = all.len().div_ceil(SAMPLES_MAX - SAMPLES_LAST - 1).max(1);
        all.into_iter().step_by(every).chain(last).collect()
    }
}
