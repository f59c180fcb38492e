//! Lines over time, as a picture needs them: points without what lies between them.

/// So many steps without a point are a gap: more than the lateness of a busy host.
const GAP_STEPS: f64 = 2.5;

/// A picture's lines, in the order of their weight.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chart {
    /// Where the picture begins, in milliseconds since 1970.
    pub from_ms: u64,
    /// Where it ends.
    pub to_ms: u64,
    /// The lines.
    pub lines: Vec<Line>,
}

/// One line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Line {
    /// What it is called.
    pub name: String,
    /// Times in milliseconds since 1970, rising, and values.
    pub points: Vec<(u64, f64)>,
    /// Two points that are further apart than this have a gap between them, in milliseconds.
    pub gap_ms: u64,
}

impl Line {
    /// A line of points that come every `step_ms`.
    pub fn new(name: impl Into<String>, step_ms: u64, points: Vec<(u64, f64)>) -> Self {
        Self {
            name: name.into(),
            points,
            gap_ms: gap_ms(step_ms),
        }
    }

    /// The last value, where it is not older than a gap.
    #[must_use]
    pub fn value_at(&self, now_ms: u64) -> Option<f64> {
        let (at_ms, value) = self.points.last()?;
        (now_ms.saturating_sub(*at_ms) <= self.gap_ms.max(60_000)).then_some(*value)
    }

    /// The highest value; 0 of none.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.points.iter().map(|point| point.1).fold(0.0, f64::max)
    }

    /// Whether a line is drawn from one point to the next.
    #[must_use]
    pub const fn is_joined(&self, from_ms: u64, to_ms: u64) -> bool {
        to_ms.saturating_sub(from_ms) <= self.gap_ms
    }
}

impl Chart {
    /// The highest value of all lines.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.lines.iter().map(Line::peak).fold(0.0, f64::max)
    }

    /// Whether there is something to see: one point is no line.
    #[must_use]
    pub fn is_drawable(&self) -> bool {
        self.lines.iter().any(|line| line.points.len() > 1)
    }
}

/// How far apart two points of a series with this step may be.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a step is at most a day, in milliseconds"
)]
fn gap_ms(step_ms: u64) -> u64 {
    (step_ms.min(86_400_000) as f64 * GAP_STEPS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_apart_is_not_joined() {
        let line = Line::new("a", 2000, vec![(1000, 1.0), (3000, 7.0)]);
        assert!(line.is_joined(1000, 6000));
        assert!(!line.is_joined(1000, 6001));
        assert_eq!((line.peak(), line.value_at(4000)), (7.0, Some(7.0)));
        assert_eq!(line.value_at(64_000), None);
    }
}
