//! Whether a series of readings rises, and how fast: the median of the slopes between all pairs (Theil and Sen), and the
//! interval in which the true one lies in 95 of 100 cases (Sen 1968, by the spread of Kendall's count of rising pairs).
//!
//! `lasthop_ports::forecast` asks another question, when a rising count meets a limit, and looks at recent samples only; here
//! the whole is wanted, falling or level as well. The interval takes readings for independent of each other, so they have
//! to lie further apart than what they measure lasts.

/// Standard deviations on either side that hold 95 % of a normal distribution.
const DEVIATIONS: f64 = 1.96;

/// Change for each unit of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Trend {
    pub(crate) median: f64,
    /// Its interval.
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Trend {
    /// Of points in time and value, in any order; none where no two of them are at different times.
    pub(crate) fn of(points: &[(f64, f64)]) -> Option<Self> {
        let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
        for (index, one) in points.iter().enumerate() {
            for other in &points[index + 1..] {
                let span = other.0 - one.0;
                if span != 0.0 {
                    slopes.push((other.1 - one.1) / span);
                }
            }
        }
        slopes.sort_by(f64::total_cmp);
        let last = slopes.len().checked_sub(1)?;
        let middle = f64::midpoint(slopes[last / 2], slopes[last.div_ceil(2)]);
        let off = ranks_off_the_middle(points.len());
        Some(Self {
            median: middle,
            low: slopes[(last / 2).saturating_sub(off)],
            high: slopes[(last.div_ceil(2) + off).min(last)],
        })
    }
}

/// How far from the middle of the sorted slopes the ends of the interval are.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank among the pairs of some hundred points, and not negative"
)]
fn ranks_off_the_middle(points: usize) -> usize {
    let n = points as f64;
    let deviation = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    (DEVIATIONS * deviation / 2.0).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hundred points on a line of this slope, each off it by up to `noise`.
    fn points(slope: f64, noise: f64) -> Vec<(f64, f64)> {
        let mut state = 1_u32;
        (0..100)
            .map(|n| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let off = f64::from(state >> 8) / f64::from(1 << 24) - 0.5;
                (f64::from(n), slope * f64::from(n) + 2.0 * noise * off)
            })
            .collect()
    }

    #[test]
    fn a_straight_line_has_its_slope_and_no_doubt() {
        let trend = Trend::of(&points(3.0, 0.0)).unwrap();
        assert_eq!((trend.low, trend.median, trend.high), (3.0, 3.0, 3.0));
    }

    #[test]
    fn a_level_that_wavers_may_be_level_and_a_slope_in_noise_is_seen() {
        let level = Trend::of(&points(0.0, 10.0)).unwrap();
        assert!(level.low < 0.0 && level.high > 0.0, "{level:?}");
        let rising = Trend::of(&points(1.0, 10.0)).unwrap();
        assert!(rising.low > 0.8 && rising.high < 1.2, "{rising:?}");
        assert!(rising.low < 1.0 && rising.high > 1.0, "{rising:?}");
    }

    #[test]
    fn a_few_wild_readings_do_not_move_it() {
        let mut points = points(1.0, 0.0);
        for point in points.iter_mut().step_by(10) {
            point.1 += 1e6;
        }
        let trend = Trend::of(&points).unwrap();
        assert!((trend.median - 1.0).abs() < 1e-9, "{trend:?}");
    }

    #[test]
    fn one_reading_has_no_trend() {
        assert_eq!(Trend::of(&[(0.0, 5.0)]), None);
        assert_eq!(Trend::of(&[(1.0, 5.0), (1.0, 6.0)]), None);
        assert!(Trend::of(&[(0.0, 5.0), (1.0, 5.0)]).is_some());
    }
}
