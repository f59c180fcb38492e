//! The load at a fixed rate in a process of its own: [`super::pacer`], with its outcome in one line.
//!
//! Both ends are here: `lasthop-bench pace`, the hidden command that sends, and [`run`], which starts it and reads the
//! line.

use std::ffi::OsString;
use std::time::Duration;

use super::pacer::{self, Pace, Paced};
use super::{Endpoint, FAILED, PATIENCE, runtime, say};
use crate::error::BenchError;
use crate::interrupt::Interrupt;

/// What the run of another process saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) answered: u64,
    pub(crate) unanswered: u64,
    pub(crate) late: u64,
    /// From when the first request was due to the last answer.
    pub(crate) span: Duration,
    pub(crate) p50: Duration,
    pub(crate) p90: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
}

/// Sends and says the outcome.
pub(crate) fn serve(pace: Pace) -> Result<(), BenchError> {
    match runtime()?.block_on(pacer::run(pace)) {
        Ok(paced) => match &paced.first_error {
            None => say(&Outcome::of(&paced).line()),
            Some(error) => say(&format!("{FAILED}{error}")),
        },
        Err(error) => say(&format!("{FAILED}{error}")),
    }
}

/// Sends `pace` from a process of its own.
pub(crate) fn run(pace: &Pace, interrupt: &Interrupt) -> Result<Outcome, BenchError> {
    let words: [OsString; 10] = [
        "--address".into(),
        pace.address.to_string().into(),
        "--connections".into(),
        pace.connections.to_string().into(),
        "--per-second".into(),
        pace.per_second.to_string().into(),
        "--requests".into(),
        pace.requests.to_string().into(),
        "--bytes".into(),
        pace.body_bytes.to_string().into(),
    ];
    let seconds = pace.requests / pace.per_second.max(1) + 1;
    let endpoint = Endpoint::start("pace", words)?;
    let line = endpoint.line(PATIENCE + Duration::from_secs(seconds), interrupt)?;
    Outcome::in_line(&line).ok_or(BenchError::Endpoint {
        name: "pace",
        what: "said something that is no outcome",
    })
}

impl Outcome {
    fn of(paced: &Paced) -> Self {
        let quantile = |per_mille| paced.latency.quantile(per_mille).unwrap_or_default();
        Self {
            answered: paced.answered,
            unanswered: paced.unanswered,
            late: paced.late,
            span: paced.span,
            p50: quantile(500),
            p90: quantile(900),
            p99: quantile(990),
            p999: quantile(999),
        }
    }

    /// Eight numbers, the durations in nanoseconds.
    fn line(&self) -> String {
        let counts = [self.answered, self.unanswered, self.late].map(u128::from);
        let durations = [self.span, self.p50, self.p90, self.p99, self.p999];
        let all = counts
            .into_iter()
            .chain(durations.map(|one| one.as_nanos()));
        let words: Vec<String> = all.map(|number| number.to_string()).collect();
        words.join(" ")
    }

    fn in_line(line: &str) -> Option<Self> {
        let mut numbers = line.split(' ').map(|word| word.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        Some(Self {
            answered: next()?,
            unanswered: next()?,
            late: next()?,
            span: Duration::from_nanos(next()?),
            p50: Duration::from_nanos(next()?),
            p90: Duration::from_nanos(next()?),
            p99: Duration::from_nanos(next()?),
            p999: Duration::from_nanos(next()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_survives_its_line() {
        let outcome = Outcome {
            answered: 1,
            unanswered: 2,
            late: 3,
            span: Duration::from_secs(9),
            p50: Duration::from_nanos(4),
            p90: Duration::from_nanos(5),
            p99: Duration::from_millis(5),
            p999: Duration::from_secs(6),
        };
        assert_eq!(Outcome::in_line(&outcome.line()), Some(outcome));
        assert_eq!(Outcome::in_line("1 2 3 4 5 6 7"), None);
    }
}
