//! The points of one line, and how they are drawn and read out: places in a drawing, with gaps where there were gaps.
//!
//! Pure. Both forms are as short as they can be without losing anything that is seen, because every update carries them.

use std::fmt::{self, Display, Write as _};

/// The inner drawing's own units: tenths of a pixel at the widest place it ever has.
pub(super) const INNER_WIDTH: f64 = 7000.0;
pub(super) const INNER_HEIGHT: f64 = 1500.0;

/// One line of a chart.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// When and how much, oldest first.
    pub(super) points: Vec<(u64, f64)>,
    /// Points further apart than this, in milliseconds, have a gap between them.
    pub(super) gap_ms: u64,
}

/// The time that all charts of a page show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
    /// Between two points.
    pub(super) step_ms: u64,
    /// Between two labels of the axis; divides the whole.
    pub(super) tick_ms: u64,
    /// Between two rows of the table; divides the whole.
    pub(super) row_ms: u64,
}

impl Span {
    pub(super) fn whole_ms(self) -> u64 {
        (self.to_ms - self.from_ms).max(1)
    }

    /// The part of the width at which a time is, from 0 to 1.
    fn part(self, at_ms: u64) -> f64 {
        at_ms.saturating_sub(self.from_ms) as f64 / self.whole_ms() as f64
    }

    fn shows(self, at_ms: u64) -> bool {
        (self.from_ms..=self.to_ms).contains(&at_ms)
    }
}

impl Line {
    pub(super) fn newest(&self) -> Option<f64> {
        self.points.last().map(|(_, value)| *value)
    }

    pub(super) fn highest(&self) -> Option<f64> {
        self.points.iter().map(|(_, value)| *value).reduce(f64::max)
    }

    /// The points in runs without a gap.
    fn runs(&self) -> impl Iterator<Item = &[(u64, f64)]> {
        self.points
            .chunk_by(|a, b| b.0.saturating_sub(a.0) <= self.gap_ms)
    }

    /// The line in the inner drawing, whose upper end is `top`: relative steps, and a level as one step.
    pub(super) fn path(&self, span: Span, top: f64) -> String {
        let mut path = String::new();
        for run in self.runs() {
            let places = run
                .iter()
                .filter(|(at, _)| span.shows(*at))
                .map(|(at, value)| {
                    let y = INNER_HEIGHT * (1.0 - value / top);
                    (
                        whole(span.part(*at) * INNER_WIDTH),
                        whole(y.clamp(0.0, INNER_HEIGHT)),
                    )
                });
            let mut places = places.peekable();
            let Some(mut last) = places.next() else {
                continue;
            };
            // A point alone is a line of no length, which round ends make a dot.
            let _ = write!(path, "M{} {}h0", last.0, last.1);
            while let Some(place) = places.next() {
                let goes_on = places.peek().is_some_and(|next| next.1 == place.1);
                if place.1 == last.1 {
                    if !goes_on {
                        let _ = write!(path, "h{}", place.0 - last.0);
                        last = place;
                    }
                } else {
                    let _ = write!(path, "l{} {}", place.0 - last.0, place.1 - last.1);
                    last = place;
                }
            }
        }
        path
    }

    /// The values for whoever points at the drawing: `second:value` from the beginning, only where it changes, and
    /// `second:` where a gap begins.
    pub(super) fn readout(&self, span: Span) -> String {
        let mut text = String::new();
        for run in self.runs() {
            let mut told = None;
            let mut end = 0;
            for (at, value) in run.iter().filter(|(at, _)| span.shows(*at)) {
                end = at.saturating_sub(span.from_ms) / 1000;
                if told != Some(*value) {
                    let _ = write!(text, "{end}:{} ", Short(*value));
                    told = Some(*value);
                }
            }
            if told.is_some() {
                let _ = write!(text, "{}: ", end + span.step_ms / 1000 + 1);
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "within the drawing, which is 7000 wide"
)]
fn whole(value: f64) -> i32 {
    value.round() as i32
}

/// A number with at most four digits that count.
struct Short(f64);

impl Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.fract() == 0.0 {
            return write!(f, "{}", self.0);
        }
        let digits = 3.0 - self.0.abs().log10().floor();
        let scale = 10f64.powf(digits.clamp(0.0, 9.0));
        write!(f, "{}", (self.0 * scale).round() / scale)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::admin::dashboard) const SPAN: Span = Span {
        from_ms: 1_000_000,
        to_ms: 1_600_000,
        step_ms: 2000,
        tick_ms: 120_000,
        row_ms: 60_000,
    };

    pub(in crate::admin::dashboard) fn line(points: &[(u64, f64)]) -> Line {
        Line {
            name: "127.0.0.1 → <b>".to_owned(),
            points: points
                .iter()
                .map(|(s, v)| (1_000_000 + s * 1000, *v))
                .collect(),
            gap_ms: 5000,
        }
    }

    #[test]
    fn a_line_is_drawn_as_it_was_and_a_gap_is_not_bridged() {
        for (points, wanted) in [
            (&[][..], ""),
            (&[(0, 0.0)], "M0 1500h0"),
            (&[(0, 0.0), (2, 1000.0)], "M0 1500h0l23 -1500"),
            (
                &[(0, 500.0), (2, 500.0), (4, 500.0), (6, 0.0)],
                "M0 750h0h47l23 750",
            ),
            (
                &[(0, 500.0), (2, 500.0), (60, 500.0), (62, 500.0)],
                "M0 750h0h23M700 750h0h23",
            ),
            // Above the axis, which cannot be, stays in the drawing.
            (&[(600, 5000.0)], "M7000 0h0"),
            // After the end, as after a clock that was set back.
            (&[(700, 1.0)], ""),
        ] {
            assert_eq!(line(points).path(SPAN, 1000.0), wanted, "{points:?}");
        }
    }

    #[test]
    fn a_readout_tells_changes_and_where_the_gaps_are() {
        for (points, wanted) in [
            (&[][..], ""),
            (&[(0, 5.0), (2, 5.0), (4, 6.0)], "0:5 4:6 7:"),
            (&[(0, 5.0), (60, 5.0)], "0:5 3: 60:5 63:"),
            (&[(0, 0.123_456), (2, 1234.5)], "0:0.1235 2:1235 5:"),
        ] {
            assert_eq!(line(points).readout(SPAN), wanted, "{points:?}");
        }
    }
}
