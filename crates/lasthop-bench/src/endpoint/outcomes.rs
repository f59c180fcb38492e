//! What became of many attempts at the same thing: how long those took that succeeded, and why the others did not.
//!
//! Both ends of a pipe use it: a process of ours says it in one line, the harness reads it and adds it up. Every latency
//! is kept, not a histogram: 100,000 of them are a megabyte, and quantiles over several processes stay exact.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Reasons that are told apart; a proxy that fails in more ways than this fails in the rest for [`OTHER`].
const REASONS_MAX: usize = 16;
/// Longest reason, in characters: some quote what came.
const REASON_LENGTH_MAX: usize = 120;
const OTHER: &str = "something else";

/// Attempts, counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcomes {
    /// Of those that succeeded, in whole microseconds, in the order in which they ended.
    latencies: Vec<Duration>,
    /// How many failed for which reason.
    failures: BTreeMap<String, u64>,
}

impl Outcomes {
    pub(crate) fn succeeded(&mut self, latency: Duration) {
        self.latencies.push(latency);
    }

    pub(crate) fn failed(&mut self, reason: &str) {
        let reason: String = reason
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .take(REASON_LENGTH_MAX)
            .collect();
        self.count_failures(reason, 1);
    }

    fn count_failures(&mut self, reason: String, count: u64) {
        let known = self.failures.len() < REASONS_MAX || self.failures.contains_key(&reason);
        let reason = if known { reason } else { OTHER.to_owned() };
        *self.failures.entry(reason).or_default() += count;
    }

    /// Adds what another process saw.
    pub(crate) fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        for (reason, count) in other.failures {
            self.count_failures(reason, count);
        }
    }

    pub(crate) fn successes(&self) -> usize {
        self.latencies.len()
    }

    /// All that failed, whatever the reason.
    pub(crate) fn failure_count(&self) -> usize {
        let sum = self.failures.values().sum::<u64>();
        usize::try_from(sum).unwrap_or(usize::MAX)
    }

    /// Reasons with their counts, the most frequent first.
    pub(crate) fn reasons(&self) -> Vec<(String, u64)> {
        let mut reasons: Vec<_> = self.failures.clone().into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons
    }

    /// The latency that `per_mille` thousandths of the successes do not exceed; `None` without any.
    pub(crate) fn quantile(&self, per_mille: usize) -> Option<Duration> {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
        sorted.get(rank - 1).copied()
    }

    /// One line: the latencies in microseconds, then `COUNT REASON` for each reason, with tabs in between.
    pub(crate) fn to_line(&self) -> String {
        let mut line = String::new();
        for latency in &self.latencies {
            let _ = write!(line, "{} ", latency.as_micros()); // cannot fail, as below
        }
        for (reason, count) in &self.failures {
            let _ = write!(line, "\t{count} {reason}");
        }
        line
    }

    /// Reads [`Self::to_line`].
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let latencies = fields.next()?.split_ascii_whitespace();
        let latencies = latencies.map(|word| Some(Duration::from_micros(word.parse().ok()?)));
        let mut outcomes = Self {
            latencies: latencies.collect::<Option<_>>()?,
            ..Self::default()
        };
        for field in fields {
            let (count, reason) = field.split_once(' ')?;
            outcomes.count_failures(reason.to_owned(), count.parse().ok()?);
        }
        Some(outcomes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Outcomes {
        let mut outcomes = Outcomes::default();
        for microseconds in (1..=1000).rev() {
            outcomes.succeeded(Duration::from_micros(microseconds));
        }
        outcomes.failed("status 502\tinstead of 101");
        outcomes.failed("status 502\tinstead of 101");
        outcomes.failed("no answer in time");
        outcomes
    }

    #[test]
    fn a_line_says_all_of_it() {
        let outcomes = sample();
        assert_eq!(Outcomes::from_line(&outcomes.to_line()), Some(outcomes));
        let none = Outcomes::default();
        assert_eq!(Outcomes::from_line(&none.to_line()), Some(none));
        assert_eq!(Outcomes::from_line("listening"), None);
    }

    #[test]
    fn quantiles_are_exact_and_the_most_frequent_reason_is_first() {
        let outcomes = sample();
        for (per_mille, microseconds) in [(500, 500), (990, 990), (1000, 1000), (0, 1)] {
            assert_eq!(
                outcomes.quantile(per_mille),
                Some(Duration::from_micros(microseconds))
            );
        }
        assert_eq!(Outcomes::default().quantile(990), None);
        assert_eq!(outcomes.failure_count(), 3);
        assert_eq!(
            outcomes.reasons()[0],
            ("status 502 instead of 101".to_owned(), 2)
        );
    }

    #[test]
    fn reasons_have_a_bound_and_no_failure_is_lost() {
        let mut sum = Outcomes::default();
        for number in 0..100 {
            let mut one = Outcomes::default();
            one.failed(&format!("reason {number}"));
            sum.add(one);
        }
        assert_eq!(sum.failure_count(), 100);
        assert_eq!(sum.reasons().len(), REASONS_MAX + 1);
    }
}
