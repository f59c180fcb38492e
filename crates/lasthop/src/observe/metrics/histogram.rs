//! Durations, counted in buckets.

use std::time::Duration;

use super::Counter;

/// How many durations fell into each bucket, and their sum. One thread writes it, any may read it.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds in microseconds, ascending; a duration equal to a bound is within it.
    bounds: &'static [u64],
    /// One more than bounds: the last is for what is above all of them.
    counts: Box<[Counter]>,
    sum_nanoseconds: Counter,
}

impl Histogram {
    /// An empty histogram over `bounds`, in microseconds and ascending.
    pub fn new(bounds: &'static [u64]) -> Self {
        debug_assert!(bounds.is_sorted(), "bounds ascend");
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| Counter::default()).collect(),
            sum_nanoseconds: Counter::default(),
        }
    }

    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // Most durations are short, so from the front.
        let within = |bound: &u64| nanoseconds <= bound * 1000;
        let bucket = self.bounds.iter().position(within);
        self.counts[bucket.unwrap_or(self.bounds.len())].add(1);
        self.sum_nanoseconds.add(nanoseconds);
    }

    /// Upper bounds in microseconds.
    pub fn bounds(&self) -> &'static [u64] {
        self.bounds
    }

    /// Durations in each bucket, not cumulated; the last is for what is above all bounds.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().map(Counter::value)
    }

    /// Sum of all durations, in nanoseconds.
    pub fn sum_nanoseconds(&self) -> u64 {
        self.sum_nanoseconds.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_reaches_it() {
        let histogram = Histogram::new(&[10, 100]);
        for microseconds in [0, 10, 11, 100, 101, 5_000_000] {
            histogram.observe(Duration::from_micros(microseconds));
        }
        assert_eq!(histogram.counts().collect::<Vec<_>>(), [2, 2, 2]);
        assert_eq!(histogram.sum_nanoseconds(), 5_000_222_000);
    }
}
