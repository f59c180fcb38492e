//! What this project promises of its figures, each with its bound: judged by a report, and shown above its tables.
//!
//! A criterion is about the median over the rounds of a ratio that is taken within each round, or of an absolute figure. About a
//! scenario that a report does not have it says nothing.

use crate::experiment::memory::Memory;
use crate::experiment::throughput::Throughput;
use crate::experiment::{BETTER, Comparison, HAPROXY, NGINX, Sample, Yardsticks};
use crate::report::{Readings, Report, Section};
use crate::rival::Rival;
use crate::spread::Spread;

/// What is promised.
#[derive(Clone, Copy, Debug)]
struct Criterion {
    scenario: &'static str,
    figure: Figure,
    against: Against,
    /// At most so much: over TCP, over a Unix socket.
    bounds: [f64; 2],
}

/// The figure that a promise is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    Cpu,
    User,
    P99,
    Memory,
}

/// What it is compared with.
#[derive(Clone, Copy, Debug)]
enum Against {
    Rivals(Yardsticks),
    /// The figure itself, in its unit.
    Itself,
}

/// Bytes of user memory for a held connection.
const HELD_BYTES_MAX: f64 = 1600.0;

const ALL: [Criterion; 7] = [
    promise("keepalive-64", Figure::Cpu, BETTER, [0.90, 0.85]),
    promise("keepalive-64", Figure::User, BETTER, [0.50, 0.50]),
    promise("latency", Figure::P99, NGINX, [1.00, 1.00]),
    promise("closing-64", Figure::Cpu, NGINX, [0.85, 0.85]),
    promise("body-4MiB", Figure::Cpu, HAPROXY, [1.00, 1.00]),
    held("memory-idle"),
    held("memory-tunnel"),
];

const fn promise(
    scenario: &'static str,
    figure: Figure,
    rivals: Yardsticks,
    bounds: [f64; 2],
) -> Criterion {
    Criterion {
        scenario,
        figure,
        against: Against::Rivals(rivals),
        bounds,
    }
}

const fn held(scenario: &'static str) -> Criterion {
    Criterion {
        scenario,
        figure: Figure::Memory,
        against: Against::Itself,
        bounds: [HELD_BYTES_MAX; 2],
    }
}

/// How a promise was kept over one transport.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) scenario: &'static str,
    pub(crate) figure: Figure,
    /// Of whom the figure is a multiple; `None` for an absolute one.
    pub(crate) rivals: Option<Yardsticks>,
    pub(crate) transport: &'static str,
    pub(crate) bound: f64,
    /// `None` where the runs failed or the yardstick was not there.
    pub(crate) measured: Option<Spread>,
}

impl Verdict {
    /// Whether the figure is within its bound; `None` where there is no figure.
    pub(crate) fn is_met(&self) -> Option<bool> {
        Some(self.measured?.median <= self.bound)
    }
}

impl Figure {
    /// In words, with its unit where it has one.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Cpu => "CPU time per request",
            Self::User => "user time per request",
            Self::P99 => "p99 at the same rate",
            Self::Memory => "bytes of user memory per connection",
        }
    }
}

/// Every promise about a scenario of the report.
pub(crate) fn judge(report: &Report) -> Vec<Verdict> {
    ALL.iter().flat_map(|one| one.judged_by(report)).collect()
}

impl Criterion {
    fn judged_by(&self, report: &Report) -> Vec<Verdict> {
        let section = report
            .sections
            .iter()
            .find(|one| one.scenario.name == self.scenario);
        let measured = section
            .map(|section| self.measured_in(section))
            .unwrap_or_default();
        let verdict = |((transport, measured), bound)| Verdict {
            scenario: self.scenario,
            figure: self.figure,
            rivals: match self.against {
                Against::Rivals(rivals) => Some(rivals),
                Against::Itself => None,
            },
            transport,
            bound,
            measured,
        };
        measured.into_iter().zip(self.bounds).map(verdict).collect()
    }

    /// By transport, in the order of the bounds.
    fn measured_in(&self, section: &Section) -> Vec<(&'static str, Option<Spread>)> {
        match (&section.readings, self.figure) {
            (Readings::Throughput(readings), Figure::Cpu) => {
                self.ours(readings, Throughput::cpu_microseconds)
            }
            (Readings::Throughput(readings), Figure::User) => {
                self.ours(readings, |one| one.user_microseconds)
            }
            (Readings::Latency(readings), Figure::P99) => {
                self.ours(readings, |one| one.p99_milliseconds)
            }
            (Readings::Memory(readings), Figure::Memory) => self.ours(readings, Memory::bytes_each),
            _ => Vec::new(),
        }
    }

    fn ours<S: Sample>(
        &self,
        readings: &[Comparison<S>],
        figure: impl Fn(&S) -> f64 + Copy,
    ) -> Vec<(&'static str, Option<Spread>)> {
        let of = |comparison: &Comparison<S>| {
            let ours = comparison
                .runs
                .iter()
                .find(|runs| runs.proxy == Rival::Lasthop)?;
            match self.against {
                Against::Rivals(rivals) => comparison.ratio(ours, rivals, figure),
                Against::Itself => ours.spread(figure),
            }
        };
        readings
            .iter()
            .map(|one| (one.transport, of(one)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;
    use crate::scenario;

    #[test]
    fn every_promise_is_about_a_scenario_that_there_is() {
        for one in ALL {
            assert!(
                scenario::ALL.iter().any(|other| other.name == one.scenario),
                "{one:?}"
            );
        }
    }

    #[test]
    fn a_promise_is_judged_by_what_was_measured_and_left_out_where_its_scenario_was() {
        let mut report = sample::report();
        let verdicts = judge(&report);
        let of = |scenario, figure| {
            let mut all = verdicts.iter();
            all.find(|one| one.scenario == scenario && one.figure == figure)
        };
        // 20 µs for us, 25 for nginx, of which 5 and 10 of user time.
        assert!(of("keepalive-64", Figure::Cpu).unwrap().is_met() == Some(true));
        assert!(of("keepalive-64", Figure::User).unwrap().is_met() == Some(true));
        assert!(of("memory-idle", Figure::Memory).unwrap().is_met() == Some(true));
        assert_eq!(of("memory-tunnel", Figure::Memory), None);
        // No HAProxy in it.
        assert_eq!(of("body-4MiB", Figure::Cpu).unwrap().is_met(), None);
        report.sections.clear();
        assert_eq!(judge(&report), []);
    }
}
