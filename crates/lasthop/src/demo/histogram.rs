//! Latencies in logarithmic buckets, for the load client of the demo and the benchmark.
//!
//! Each power of two is cut into 32 equal buckets, so a quantile is off by at most 1/32 (3 %) of its value, whatever
//! the scale, in 15 kB and without an allocation per sample. It keeps no exact minimum or maximum and forgets nothing:
//! one histogram belongs to one run.

use std::time::Duration;

const STEPS_LOG2: u32 = 5;
/// Buckets in each power of two; the relative error of a quantile is its inverse.
const STEPS: u64 = 1 << STEPS_LOG2;
/// Enough for every `u64` of nanoseconds: the first `STEPS` values are exact, then one row per power of two.
const BUCKETS: usize = (64 - STEPS_LOG2 as usize + 1) << STEPS_LOG2;

/// Counts of durations, by magnitude.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
        }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket_of(nanoseconds)] += 1;
        self.total += 1;
    }

    /// How many durations were counted.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.total
    }

    /// Whether nothing was counted yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The duration that `per_mille` thousandths of all samples do not exceed (500: the median, 990: p99), rounded up
    /// to the end of its bucket; `None` while the histogram is empty.
    #[must_use]
    pub fn quantile(&self, per_mille: u64) -> Option<Duration> {
        if self.total == 0 {
            return None;
        }
        // In u128: total * 1000 could overflow a u64 only after 584 million years of samples, but costs nothing here.
        let wanted = (u128::from(self.total) * u128::from(per_mille.min(1000))).div_ceil(1000);
        let mut seen = 0_u128;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= wanted && *count > 0 {
                return Some(Duration::from_nanos(last_value_of(bucket)));
            }
        }
        None
    }
}

/// The bucket that counts `value`: values below `STEPS` have one each, then `STEPS` per power of two.
fn bucket_of(value: u64) -> usize {
    let index = if value < STEPS {
        value
    } else {
        let shift = value.ilog2() - STEPS_LOG2;
        // (value >> shift) lies in STEPS..2*STEPS: its low bits are the step within this power of two.
        u64::from(shift) * STEPS + (value >> shift)
    };
    usize::try_from(index).unwrap_or(BUCKETS - 1)
}

/// The largest value that [`bucket_of`] sends to `bucket`.
fn last_value_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    let step = bucket - shift * STEPS;
    // In u128: the end of the last bucket is 2^64, one more than a u64 holds.
    let end = (u128::from(step) + 1) << shift;
    u64::try_from(end - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_histogram_has_no_quantile() {
        assert_eq!(Histogram::default().quantile(500), None);
    }

    #[test]
    fn quantiles_of_a_known_series_are_within_a_thirtysecond() {
        let mut histogram = Histogram::default();
        for microseconds in 1..=1000_u64 {
            histogram.record(Duration::from_micros(microseconds));
        }
        for (per_mille, exact) in [(500, 500.0), (990, 990.0), (1000, 1000.0)] {
            let found = histogram.quantile(per_mille).unwrap().as_secs_f64() * 1e6;
            assert!(
                (exact..exact * (1.0 + 1.0 / 32.0)).contains(&found),
                "p{per_mille}: {found} for {exact}"
            );
        }
        assert_eq!(histogram.len(), 1000);
    }

    #[test]
    fn one_sample_is_every_quantile() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_nanos(7));
        assert_eq!(histogram.quantile(0), Some(Duration::from_nanos(7)));
        assert_eq!(histogram.quantile(1000), Some(Duration::from_nanos(7)));
    }

    proptest! {
        #[test]
        fn every_value_lies_in_its_bucket(value in any::<u64>()) {
            let bucket = bucket_of(value);
            prop_assert!(bucket < BUCKETS);
            prop_assert!(value <= last_value_of(bucket));
            prop_assert!(bucket == 0 || value > last_value_of(bucket - 1));
        }
    }
}
