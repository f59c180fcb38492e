//! How anything is compared: the proxies take turns within a round, and the rounds repeat.
//!
//! Whatever else the host does so meets all of them alike; a ratio is taken within a round, where two runs are seconds
//! apart, and its median over the rounds. A run in which others took too much of the proxy's core is made once more,
//! whatever it measured, and the second one counts, whatever they took. Every run has a proxy of its own, fresh and in
//! front of an app that is the same for all. Each kind of experiment has a file: [`throughput`], [`workers`], [`latency`],
//! [`connect`], [`memory`].

pub(crate) mod connect;
pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod throughput;
pub(crate) mod workers;

use std::cell::Cell;
use std::time::Duration;

use lasthop::demo::scratch::Scratch;

use crate::cores::Cores;
use crate::error::BenchError;
use crate::interrupt::Interrupt;
use crate::load::Load;
use crate::rival::{Fields, Found, Rival, Room, Server, Setup};
use crate::scenario::Scenario;
use crate::spread::Spread;
use crate::upstream::Upstream;

/// Above this share of the proxy's core in other hands, in percent of a run, the run is made once more. The reading itself is
/// exact to some percent of a second.
pub(crate) const OTHERS_PERCENT_MAX: f64 = 10.0;
/// Runs that are made once more in all: a minute or so. A host that is always busy gets its figures, and they say so.
pub(crate) const REPEATS_MAX: u32 = 40;

/// What all runs have in common.
#[derive(Clone, Debug)]
pub(crate) struct Bench {
    pub(crate) proxies: Vec<Found>,
    pub(crate) rounds: u32,
    /// Of which Envoy and Caddy take part in so many.
    pub(crate) rounds_of_others: u32,
    /// Of a measured run.
    pub(crate) seconds: u64,
    /// The fixed rate, of what the yardstick reaches.
    pub(crate) rate_percent: u64,
    /// Connections that are held for a reading of memory.
    pub(crate) held: usize,
    pub(crate) fields: Fields,
    pub(crate) room: Room,
    pub(crate) load: Load,
    pub(crate) cores: Cores,
    pub(crate) interrupt: Interrupt,
    /// Runs that may still be made once more.
    pub(crate) repeats_left: Cell<u32>,
}

/// A running proxy and the directory of its files; dropping it ends the one and removes the other.
#[derive(Debug)]
pub(crate) struct Running {
    // In this order, so that the process ends before its files go.
    pub(crate) server: Server,
    _scratch: Scratch,
}

impl Bench {
    /// Starts a proxy in front of `upstream`: on its core, or with more than one `workers` on both.
    pub(crate) fn start(
        &self,
        proxy: &Found,
        upstream: &Upstream,
        workers: usize,
    ) -> Result<Running, BenchError> {
        let scratch =
            Scratch::new().map_err(BenchError::host("make a directory for the proxy's files"))?;
        let start = || {
            proxy.start(&Setup {
                upstream,
                fields: self.fields,
                workers,
                room: self.room,
                directory: scratch.path(),
            })
        };
        let server = match workers {
            1 => self.cores.on_the_proxys(start)?,
            _ => self.cores.on_both(start)?,
        };
        Ok(Running {
            server,
            _scratch: scratch,
        })
    }

    /// Rounds that a proxy takes part in.
    fn rounds_of(&self, proxy: &Found) -> u32 {
        match proxy.rival {
            Rival::Envoy | Rival::Caddy => self.rounds_of_others.min(self.rounds),
            Rival::Lasthop | Rival::Nginx | Rival::Haproxy => self.rounds,
        }
    }

    /// Runs of all proxies in all rounds, over one transport.
    pub(crate) fn runs(&self) -> u32 {
        self.proxies.iter().map(|one| self.rounds_of(one)).sum()
    }

    /// About how long it takes to start and end the proxies of so many runs.
    pub(crate) fn starts(&self) -> Duration {
        let all = self
            .proxies
            .iter()
            .map(|one| one.rival.start_duration() * self.rounds_of(one));
        all.sum()
    }

    /// Runs every proxy in every round that it takes part in. A run that fails by the proxy's fault, or the moment's, is
    /// kept as such.
    pub(crate) fn alternate<S: Sample>(
        &self,
        label: &str,
        mut run: impl FnMut(&Found) -> Result<S, BenchError>,
    ) -> Result<Vec<Runs<S>>, BenchError> {
        let mut all: Vec<Runs<S>> = self
            .proxies
            .iter()
            .map(|proxy| Runs {
                proxy: proxy.rival,
                rounds: Vec::new(),
                repeated: 0,
            })
            .collect();
        let count = self.proxies.len();
        for round in 1..=self.rounds {
            let first = usize::try_from(round - 1).unwrap_or(0);
            // Each round begins with another, so that none always runs behind the same neighbour.
            for turn in 0..count {
                let index = (first + turn) % count;
                let (proxy, runs) = (&self.proxies[index], &mut all[index]);
                if round > self.rounds_of(proxy) {
                    continue;
                }
                let label = format!("{label}, round {round} of {}", self.rounds);
                let (outcome, repeated) = self.undisturbed(&label, proxy, &mut run)?;
                runs.repeated += repeated;
                runs.rounds.push(match outcome {
                    Err(error) if error.spoils_one_run() => {
                        crate::say(&format!("    FAILED: {error}"));
                        Err(error.to_string())
                    }
                    outcome => Ok(outcome?),
                });
            }
        }
        Ok(all)
    }

    /// One run, or a second one where others were too busy in the first; also how many were thrown away.
    fn undisturbed<S: Sample>(
        &self,
        label: &str,
        proxy: &Found,
        run: &mut impl FnMut(&Found) -> Result<S, BenchError>,
    ) -> Result<(Result<S, BenchError>, u32), BenchError> {
        let mut repeated = 0;
        loop {
            self.interrupt.check()?;
            crate::say(&format!("{label}: {}", proxy.rival.name()));
            let outcome = run(proxy);
            // A signal ends the load too, which would look like a failure of the proxy.
            self.interrupt.check()?;
            let others = outcome.as_ref().map_or(0.0, Sample::others_percent);
            let left = self.repeats_left.get();
            if others <= OTHERS_PERCENT_MAX || repeated > 0 || left == 0 {
                return Ok((outcome, repeated));
            }
            self.repeats_left.set(left - 1);
            crate::say(&format!(
                "    once more: others had {others:.0} % of the core"
            ));
            repeated += 1;
        }
    }

    /// In the place of runs that made no sense to begin.
    pub(crate) fn no_runs<S>(&self, reason: &BenchError) -> Vec<Runs<S>> {
        let failed = |rounds| (0..rounds).map(|_| Err(reason.to_string())).collect();
        self.proxies
            .iter()
            .map(|proxy| Runs {
                proxy: proxy.rival,
                rounds: failed(self.rounds_of(proxy)),
                repeated: 0,
            })
            .collect()
    }
}

/// What one run measured, as figures with names.
pub(crate) trait Sample {
    /// Each with its unit at the end of its name.
    fn figures(&self) -> Vec<(&'static str, f64)>;

    /// What others had of the proxy's core meanwhile, in percent of the time; zero where that matters to no figure.
    fn others_percent(&self) -> f64 {
        0.0
    }
}

/// All runs of one proxy in one scenario over one transport, by round; of a failed one, the reason.
#[derive(Clone, Debug)]
pub(crate) struct Runs<S> {
    pub(crate) proxy: Rival,
    pub(crate) rounds: Vec<Result<S, String>>,
    /// How many were thrown away because others were too busy.
    pub(crate) repeated: u32,
}

impl<S> Runs<S> {
    /// The spread of one figure over the rounds that did not fail.
    pub(crate) fn spread(&self, figure: impl Fn(&S) -> f64) -> Option<Spread> {
        Spread::of(self.rounds.iter().flatten().map(figure))
    }
}

/// One scenario over one transport.
#[derive(Clone, Debug)]
pub(crate) struct Comparison<S> {
    pub(crate) scenario: Scenario,
    pub(crate) transport: &'static str,
    pub(crate) runs: Vec<Runs<S>>,
}

/// What a proxy is compared with.
pub(crate) type Yardsticks = &'static [Rival];
/// nginx, which most people have.
pub(crate) const NGINX: Yardsticks = &[Rival::Nginx];
/// HAProxy, which moves long bodies without copying them.
pub(crate) const HAPROXY: Yardsticks = &[Rival::Haproxy];
/// Whichever of the two is better in the round.
pub(crate) const BETTER: Yardsticks = &[Rival::Nginx, Rival::Haproxy];

impl<S> Comparison<S> {
    /// A figure of `runs` as a multiple of the smallest among the `yardsticks`, round by round; `None` where they were
    /// not measured.
    pub(crate) fn ratio(
        &self,
        runs: &Runs<S>,
        yardsticks: Yardsticks,
        figure: impl Fn(&S) -> f64,
    ) -> Option<Spread> {
        let ratio_in = |round: usize| {
            let ours = figure(runs.rounds.get(round)?.as_ref().ok()?);
            let theirs = self
                .runs
                .iter()
                .filter(|other| yardsticks.contains(&other.proxy))
                .filter_map(|other| Some(figure(other.rounds.get(round)?.as_ref().ok()?)))
                .min_by(f64::total_cmp)?;
            // Nothing, on either side, is a run so short of time that the kernel's ticks did not meet it.
            let ratio = ours / theirs;
            ratio.is_normal().then_some(ratio)
        };
        Spread::of((0..runs.rounds.len()).filter_map(ratio_in))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    fn comparison(rows: &[(Rival, [Option<f64>; 3])]) -> Comparison<f64> {
        Comparison {
            scenario: scenario::ALL[0],
            transport: "TCP",
            runs: rows
                .iter()
                .map(|(proxy, figures)| Runs {
                    proxy: *proxy,
                    rounds: figures
                        .map(|figure| figure.ok_or("failed".to_owned()))
                        .to_vec(),
                    repeated: 0,
                })
                .collect(),
        }
    }

    fn ratio(comparison: &Comparison<f64>, yardsticks: Yardsticks) -> Option<Spread> {
        comparison.ratio(&comparison.runs[0], yardsticks, |figure| *figure)
    }

    fn all(value: f64) -> Option<Spread> {
        Spread::of([value])
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The host became twice as slow in round two; the ratio does not notice.
        let rows = [
            (Rival::Lasthop, [8.0, 16.0, 8.0].map(Some)),
            (Rival::Nginx, [10.0, 20.0, 10.0].map(Some)),
        ];
        assert_eq!(ratio(&comparison(&rows), NGINX), all(0.8));
    }

    #[test]
    fn the_better_of_two_is_found_in_each_round() {
        let rows = [
            (Rival::Lasthop, [8.0, 8.0, 8.0].map(Some)),
            (Rival::Nginx, [10.0, 20.0, 10.0].map(Some)),
            (Rival::Haproxy, [20.0, 10.0, 10.0].map(Some)),
        ];
        assert_eq!(ratio(&comparison(&rows), BETTER), all(0.8));
    }

    #[test]
    fn a_failed_run_takes_no_part_in_a_ratio() {
        let rows = [
            (Rival::Lasthop, [Some(8.0), None, Some(8.0)]),
            (Rival::Nginx, [Some(10.0), Some(1.0), None]),
        ];
        assert_eq!(ratio(&comparison(&rows), NGINX), all(0.8));
    }

    #[test]
    fn without_the_yardstick_there_is_no_ratio() {
        let rows = [(Rival::Lasthop, [Some(8.0); 3])];
        assert_eq!(ratio(&comparison(&rows), BETTER), None);
    }
}
