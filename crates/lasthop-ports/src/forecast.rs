//! When a rising count meets its limit, from noisy readings.
//!
//! The slope is the median of the slopes between all pairs of samples (Theil and Sen): up to a quarter of them may be
//! wild without moving it. Whether there is a trend at all is asked first (Mann and Kendall), because a level that
//! wavers has a slope as well. Both compare each sample with each, so at most [`SAMPLES_MAX`] are looked at.
//!
//! A count on a host rarely rises from the first sample on: it is level, then something happens. So the longest recent
//! part of the samples that is a straight line is taken. What came before must have stayed below where the count is
//! now: a sawtooth, as TIME_WAIT draws it, rises all the time and is no trend.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::snapshot::SAMPLES_MAX;

/// Fewer samples rise by chance too often: five of them one time in 120.
const SAMPLES_MIN: usize = 5;

/// A shorter look is one look: what comes about in a burst is no rate.
const SPAN_MS_MIN: u64 = 800;

/// How many standard deviations more pairs rise than fall where there is a trend: by chance once in 740 times.
const DEVIATIONS_MIN: f64 = 3.0;

/// The same where only the recent part is looked at. Up to ten parts are tried, so chance has more tries as well.
const DEVIATIONS_MIN_OF_PART: f64 = 3.5;

/// Each part that is tried is this much of the one before.
const PART: (usize, usize) = (3, 4);

/// How far the samples of each third may lie beside the line, as a part of its rise. A bend that would make the time
/// left wrong by a fifth is seen, and noise of a twentieth of the rise passes.
const BEND_MAX: f64 = 1.0 / 12.0;

/// How far beside the line half of the samples may lie, as a part of its rise. The teeth of a saw lie further off.
const SCATTER_MAX: f64 = 0.25;

/// The last samples, of which most have to lie by the line as well: when the count has fallen, the rise is over.
const LAST: usize = 5;

/// How far above everything before a rise must have come, as a part of what the level wavered by before.
const ABOVE_BEFORE: f64 = 0.1;

/// Nobody can say from two minutes what will be the day after.
const SECONDS_LEFT_MAX: f64 = 24.0 * 3600.0;

/// One reading of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// When, in milliseconds since 1970 by the host's clock.
    pub at_ms: u64,
    /// How many.
    pub used: u32,
}

/// When the limit is met, if things go on like this.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Forecast {
    /// How many more each minute.
    pub per_minute: f64,
    /// From the last sample to the limit, in seconds.
    pub seconds_left: f64,
}

impl Forecast {
    /// From the last sample to the limit.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds_left).unwrap_or(Duration::MAX)
    }
}

/// The forecast of `samples`, oldest first, towards `limit`; none where they have no trend upwards, are too few or too
/// close together, the limit is met already, or would be met in more than a day.
///
/// Where the clock was set back, only what was read since counts; of several samples at one time, the last.
#[must_use]
pub fn forecast(samples: &[Sample], limit: u32) -> Option<Forecast> {
    let points = points(samples);
    if points.last()?.count >= f64::from(limit) {
        return None;
    }
    let line = trend(&points)?;
    let seconds_left = (f64::from(limit) - line.level) / line.per_second;
    (seconds_left > 0.0 && seconds_left <= SECONDS_LEFT_MAX).then_some(Forecast {
        per_minute: line.per_second * 60.0,
        seconds_left,
    })
}

/// A sample, by the time of the last one.
#[derive(Debug, Clone, Copy)]
struct Point {
    /// In seconds; 0 at the last, negative before.
    at: f64,
    count: f64,
}

/// A straight line through points.
#[derive(Debug, Clone, Copy)]
struct Line {
    per_second: f64,
    /// At the time of the last point.
    level: f64,
}

impl Line {
    fn beside(self, point: Point) -> f64 {
        point.count - (self.level + self.per_second * point.at)
    }
}

/// The last samples whose times rise strictly, oldest first.
fn points(samples: &[Sample]) -> Vec<Point> {
    let recent = &samples[samples.len().saturating_sub(SAMPLES_MAX)..];
    let mut points: Vec<Point> = Vec::with_capacity(recent.len());
    let Some(last) = recent.last() else {
        return points;
    };
    let mut after = None;
    for sample in recent.iter().rev() {
        match after {
            Some(after) if sample.at_ms == after => continue,
            Some(after) if sample.at_ms > after => break,
            _ => {}
        }
        after = Some(sample.at_ms);
        points.push(Point {
            at: -((last.at_ms - sample.at_ms) as f64) / 1000.0,
            count: f64::from(sample.used),
        });
    }
    points.reverse();
    points
}

/// The line of the longest recent part that has a trend upwards and is straight.
fn trend(points: &[Point]) -> Option<Line> {
    let mut length = points.len();
    loop {
        let part = &points[points.len() - length..];
        let is_whole = length == points.len();
        if length < SAMPLES_MIN || span(part) < SPAN_MS_MIN as f64 / 1000.0 {
            return None;
        }
        if has_trend(part, is_whole)
            && let Some(line) = straight_line(part)
            && (is_whole || is_new(&points[..points.len() - length / 2], line.level))
        {
            return Some(line);
        }
        length = length * PART.0 / PART.1;
    }
}

/// In seconds.
fn span(points: &[Point]) -> f64 {
    match (points.first(), points.last()) {
        (Some(first), Some(last)) => last.at - first.at,
        _ => 0.0,
    }
}

/// Whether so many more pairs rise than fall that it is not by chance (Mann and Kendall, corrected for equal counts).
fn has_trend(points: &[Point], is_whole: bool) -> bool {
    let (mut rising, mut falling) = (0_u32, 0_u32);
    for (index, one) in points.iter().enumerate() {
        for other in &points[index + 1..] {
            rising += u32::from(other.count > one.count);
            falling += u32::from(other.count < one.count);
        }
    }
    let n = points.len() as f64;
    if is_whole && f64::from(rising) == n * (n - 1.0) / 2.0 {
        // Each is higher than all before it. The formula below is for more samples, and would doubt six of them.
        return true;
    }
    let mut counts: Vec<f64> = points.iter().map(|point| point.count).collect();
    counts.sort_by(f64::total_cmp);
    let spread = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let equal: f64 = counts
        .chunk_by(|a, b| a == b)
        .map(|equal| spread(equal.len() as f64))
        .sum();
    let deviation = ((spread(n) - equal) / 18.0).sqrt();
    let deviations_min = if is_whole {
        DEVIATIONS_MIN
    } else {
        DEVIATIONS_MIN_OF_PART
    };
    // One less, because sums of whole numbers stand for everything half way to the next (continuity).
    f64::from(rising) - f64::from(falling) - 1.0 > deviations_min * deviation
}

/// The line through `points` (Theil and Sen); none where it does not rise, or they bend.
fn straight_line(points: &[Point]) -> Option<Line> {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (index, one) in points.iter().enumerate() {
        for other in &points[index + 1..] {
            slopes.push((other.count - one.count) / (other.at - one.at));
        }
    }
    let per_second = median(&mut slopes)?;
    if per_second <= 0.0 {
        return None;
    }
    let mut levels: Vec<f64> = points
        .iter()
        .map(|point| point.count - per_second * point.at)
        .collect();
    let line = Line {
        per_second,
        level: median(&mut levels)?,
    };
    let rise = per_second * span(points);
    let mut beside: Vec<f64> = points.iter().map(|point| line.beside(*point)).collect();
    let is_bent = beside
        .chunks_mut(points.len().div_ceil(3))
        .any(|third| median(third).is_none_or(|beside| beside.abs() > rise * BEND_MAX));
    // The search for the medians has changed the order.
    let mut beside: Vec<f64> = points.iter().map(|p| line.beside(*p).abs()).collect();
    let last = beside.len().saturating_sub(LAST);
    let is_over = median(&mut beside[last..])? > rise * SCATTER_MAX;
    let is_scattered = median(&mut beside)? > rise * SCATTER_MAX;
    (!is_bent && !is_over && !is_scattered).then_some(line)
}

/// Whether `level` is above all that was `before`, by more than that wavered. The first half of the part that the line
/// goes through is of that: the top of the last tooth may stand in it, as samples that seem wild.
fn is_new(before: &[Point], level: f64) -> bool {
    let counts = || before.iter().map(|point| point.count);
    let (Some(least), Some(most)) = (counts().reduce(f64::min), counts().reduce(f64::max)) else {
        return true;
    };
    level > most + (most - least) * ABOVE_BEFORE
}

/// The middle one, or the mean of the two in the middle; none of none.
fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let (middle, is_odd) = (values.len() / 2, values.len() % 2 == 1);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if is_odd {
        return Some(*upper);
    }
    let lower = below.iter().copied().reduce(f64::max).unwrap_or(*upper);
    Some(f64::midpoint(lower, *upper))
}
