//! Histograms of several workers added up, what came between two readings of them, and what most durations did not
//! exceed.

use std::time::Duration;

use super::Histogram;

/// A histogram over all workers, as read at one moment.
#[derive(Clone, Debug)]
pub struct Durations {
    bounds: &'static [u64],
    /// One more than bounds, not cumulated.
    counts: Vec<u64>,
    sum_nanoseconds: u64,
}

impl Durations {
    /// Adds up histograms of the same bounds; `None` where there are none.
    pub fn of<'a>(mut all: impl Iterator<Item = &'a Histogram>) -> Option<Self> {
        let first = all.next()?;
        let mut sum = Self {
            bounds: first.bounds(),
            counts: first.counts().collect(),
            sum_nanoseconds: first.sum_nanoseconds(),
        };
        for histogram in all {
            debug_assert_eq!(histogram.bounds(), sum.bounds, "the same bounds everywhere");
            for (total, count) in sum.counts.iter_mut().zip(histogram.counts()) {
                *total += count;
            }
            // 2^64 ns are 584 years of requests; wrapping is what the counters do as well.
            sum.sum_nanoseconds = sum
                .sum_nanoseconds
                .wrapping_add(histogram.sum_nanoseconds());
        }
        Some(sum)
    }

    /// Adds others of the same bounds.
    #[must_use]
    pub fn plus(mut self, others: &Self) -> Self {
        for (total, count) in self.counts.iter_mut().zip(&others.counts) {
            *total += count;
        }
        self.sum_nanoseconds = self.sum_nanoseconds.wrapping_add(others.sum_nanoseconds);
        self
    }

    /// Those that came since an `earlier` reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = self.counts.iter().zip(&earlier.counts);
        Self {
            bounds: self.bounds,
            counts: counts
                .map(|(now, then)| now.saturating_sub(*then))
                .collect(),
            sum_nanoseconds: self.sum_nanoseconds.wrapping_sub(earlier.sum_nanoseconds),
        }
    }

    /// Each upper bound in microseconds with the count above the one before it; the last has no bound.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some);
        bounds
            .chain(std::iter::once(None))
            .zip(self.counts.iter().copied())
    }

    /// All durations together, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_nanoseconds as f64 / 1e9
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What a part of them, 0 to 1, did not exceed: a straight line within the bucket, as Prometheus'
    /// `histogram_quantile` has it; of those above all bounds the last bound. None where there are none.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let wanted = self.count() as f64 * part.clamp(0.0, 1.0);
        let (mut below, mut within) = (0u64, 0.0);
        for (bound, count) in self.buckets().filter(|_| self.count() > 0) {
            let Some(bound) = bound else {
                break;
            };
            if count > 0 && within + count as f64 >= wanted {
                let share = (wanted - within) / count as f64;
                let microseconds = below as f64 + (bound - below) as f64 * share;
                return Some(Duration::from_secs_f64(microseconds / 1e6));
            }
            within += count as f64;
            below = bound;
        }
        let last = self.bounds.last().filter(|_| self.count() > 0)?;
        Some(Duration::from_micros(*last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durations(milliseconds: &[u64]) -> Durations {
        let histogram = Histogram::new(&[1_000, 2_000, 10_000]);
        for milliseconds in milliseconds {
            histogram.observe(Duration::from_millis(*milliseconds));
        }
        Durations::of(std::iter::once(&histogram)).unwrap()
    }

    #[test]
    fn a_quantile_lies_on_a_line_within_its_bucket() {
        let all = durations(&[1, 1, 2, 2, 2, 2, 10, 10, 10, 10]);
        assert_eq!(all.quantile(0.2), Some(Duration::from_millis(1)));
        assert_eq!(all.quantile(0.4), Some(Duration::from_micros(1_500)));
        assert_eq!(all.quantile(1.0), Some(Duration::from_millis(10)));
        assert_eq!(durations(&[]).quantile(0.5), None);
        // Beyond the last bound there is nothing to draw a line to.
        let beyond = durations(&[90]).quantile(0.5);
        assert_eq!(beyond, Some(Duration::from_millis(10)));
    }

    #[test]
    fn what_came_between_two_readings_is_their_difference() {
        let (early, late) = (durations(&[1, 9]), durations(&[1, 1, 9, 9, 9]));
        let between = late.since(&early);
        assert_eq!(between.count(), 3);
        assert!((between.sum_seconds() - 0.019).abs() < 1e-9);
        assert_eq!(between.plus(&early).count(), 5);
    }
}
