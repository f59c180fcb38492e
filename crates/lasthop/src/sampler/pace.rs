//! How often the host may be looked at: as often as that costs less than a hundredth of a core.
//!
//! A whole look, judged, takes 0.24 s of processor time with 200,000 sockets in 16 processes (release build, Linux 6.18): one
//! every 40 s then, or every 72 s on a busy host.

use std::time::{Duration, Instant};

use super::PERIOD;

/// A look is followed by so many times its length without one, counted from its beginning: two thirds of a hundredth of a
/// core, which leaves a third for what it does not measure.
const REST_FACTOR: u32 = 150;

/// Time on the wall counts up to so many times the processor time: a look that waits is a strain on somebody, but on a busy
/// host, behind whose load this thread stands back, findings must not become old for that alone.
const WALL_FACTOR_MAX: u32 = 2;

/// No rest is longer: after that a finding would be no news.
const REST_MAX: Duration = Duration::from_secs(600);

/// When the next look is due.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the last look began, and how long it took.
    last: Option<(Instant, Duration)>,
}

impl Pace {
    /// Whether to look now. The first look always is.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        // Rounds come on time or a little early, never by half a period.
        self.last
            .is_none_or(|(began, _)| now + PERIOD / 2 >= began + self.period())
    }

    /// The look that began then has taken so much processor time, if that can be told, and so long on the wall.
    pub(super) fn has_cost(&mut self, began: Instant, processor: Option<Duration>, wall: Duration) {
        let cost = processor.map_or(wall, |processor| {
            wall.min(processor.saturating_mul(WALL_FACTOR_MAX))
                .max(processor)
        });
        self.last = Some((began, cost));
    }

    /// What the last look has cost; none before the first.
    pub(super) fn cost(&self) -> Option<Duration> {
        self.last.map(|(_, cost)| cost)
    }

    /// From the beginning of one look to that of the next: a whole number of rounds.
    pub(super) fn period(&self) -> Duration {
        let cost = self.cost().unwrap_or_default();
        let rest = cost.saturating_mul(REST_FACTOR).min(REST_MAX);
        let rounds = rest.as_millis().div_ceil(PERIOD.as_millis()).max(1);
        PERIOD * u32::try_from(rounds).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_costs_more_is_taken_less_often_and_never_costs_a_hundredth_of_a_core() {
        let now = Instant::now();
        for (cost, seconds) in [(0, 2), (13, 2), (14, 4), (100, 16), (300, 46), (600, 90)] {
            let mut pace = Pace::default();
            assert!(pace.is_due(now));
            let cost = Duration::from_millis(cost);
            pace.has_cost(now, Some(cost), cost);
            assert_eq!(pace.period(), Duration::from_secs(seconds), "{cost:?}");
            assert!(cost.as_secs_f64() / pace.period().as_secs_f64() < 0.01);
            assert!(!pace.is_due(now + pace.period() - PERIOD));
            assert!(pace.is_due(now + pace.period()));
        }
    }

    #[test]
    fn a_busy_host_delays_the_next_look_twofold_at_most() {
        let mut pace = Pace::default();
        for (processor, wall, seconds) in [
            (Some(100), 100, 16),
            (Some(100), 150, 24),
            (Some(100), 9_000, 30),
            (None, 200, 30),
        ] {
            let processor = processor.map(Duration::from_millis);
            pace.has_cost(Instant::now(), processor, Duration::from_millis(wall));
            assert_eq!(
                pace.period(),
                Duration::from_secs(seconds),
                "{processor:?} {wall}"
            );
        }
    }

    #[test]
    fn a_look_that_took_forever_is_taken_again() {
        let mut pace = Pace::default();
        pace.has_cost(Instant::now(), None, Duration::MAX);
        assert_eq!(pace.period(), REST_MAX);
    }
}
