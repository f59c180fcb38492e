//! Latency at a rate that is the same for all proxies: what a client sees that does not wait for its turn to ask.
//!
//! The rate is a fraction of what the yardstick reaches with as many clients in a closed loop, measured just before:
//! nginx, or without it the slowest. Over each transport it is another. A proxy that cannot keep up shows it in requests
//! without an answer, and its quantiles are then only lower bounds.
//!
//! App and generator share a core, which has an end too. So the same load first goes to the app without a proxy: what it
//! sees then is the floor under all figures, and where that is high nothing is measured at all.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::throughput::{self, Setting, microseconds_each};
use super::{Bench, Comparison, Sample};
use crate::accounting;
use crate::core_use::CoreUse;
use crate::endpoint::app::AppProcess;
use crate::endpoint::pace;
use crate::endpoint::pacer::Pace;
use crate::error::BenchError;
use crate::load::{self, Work};
use crate::rival::{Found, Rival};
use crate::scenario::Scenario;
use crate::spread::Spread;
use crate::traffic::{Exchange, Traffic};
use crate::upstream::Upstream;

/// Connections of the load.
pub(crate) const CONNECTIONS: usize = 64;
/// Body bytes of each answer.
const BODY_BYTES: usize = 100;
/// Runs of which the median is the yardstick's rate, where there are as many rounds.
const CALIBRATIONS_MAX: u32 = 3;
/// Runs that are begun for one, if the generator itself is late. Only that is a reason to run again.
const ATTEMPTS_MAX: u32 = 3;
/// As with the throughput, and with its load: a paced one would warm a slow start up too slowly.
const WARM_UP: Duration = Duration::from_millis(300);
/// A run lasts so many times the `--seconds`: one in a thousand has to be many.
const SECONDS_FACTOR: u64 = 2;
/// More late requests than one in so many, and p99 would be the generator's.
const LATE_SHARE: u64 = 100;
/// The most that p99 may be without a proxy: several times what a busy host shows, a tenth of what a full core does.
const FLOOR_P99_MAX: Duration = Duration::from_millis(10);

const TRAFFIC: Traffic = Traffic {
    clients: CONNECTIONS,
    exchange: Exchange::Answer(BODY_BYTES),
};

/// What one run measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Latency {
    /// The rate asked for.
    pub(crate) per_second: f64,
    /// Answers a second from the first request to the last answer.
    pub(crate) reached_per_second: f64,
    pub(crate) p50_milliseconds: f64,
    pub(crate) p90_milliseconds: f64,
    pub(crate) p99_milliseconds: f64,
    pub(crate) p999_milliseconds: f64,
    /// Requests that had their answer, of those that were due.
    pub(crate) answered_percent: f64,
    /// Requests that the generator itself sent more than a millisecond late.
    pub(crate) late_percent: f64,
    /// User and system time of the proxy per answer, in microseconds.
    pub(crate) cpu_microseconds: f64,
    /// What others had of the proxy's core meanwhile, in percent of the time.
    pub(crate) others_percent: f64,
}

impl Latency {
    /// Whether everything was answered; if not, the quantiles say nothing but "long".
    pub(crate) fn kept_up(&self) -> bool {
        self.answered_percent >= 100.0
    }
}

impl Sample for Latency {
    fn figures(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("per_second", self.per_second),
            ("reached_per_second", self.reached_per_second),
            ("p50_milliseconds", self.p50_milliseconds),
            ("p90_milliseconds", self.p90_milliseconds),
            ("p99_milliseconds", self.p99_milliseconds),
            ("p999_milliseconds", self.p999_milliseconds),
            ("answered_percent", self.answered_percent),
            ("late_percent", self.late_percent),
            ("cpu_microseconds", self.cpu_microseconds),
            ("others_percent", self.others_percent),
        ]
    }

    fn others_percent(&self) -> f64 {
        self.others_percent
    }
}

/// About how long a run takes, less the start of a proxy.
pub(crate) fn duration(bench: &Bench) -> Duration {
    WARM_UP + Duration::from_secs(bench.seconds * SECONDS_FACTOR)
}

/// About how long it takes to find the rate and the floor, over one transport.
pub(crate) fn calibration(bench: &Bench) -> Duration {
    throughput::duration(bench, TRAFFIC) * calibrations(bench)
        + Duration::from_secs(bench.seconds * SECONDS_FACTOR)
}

fn calibrations(bench: &Bench) -> u32 {
    bench.rounds.min(CALIBRATIONS_MAX)
}

/// Compares the proxies of `bench` over both transports. Says besides, in words, what the load sees without a proxy.
pub(crate) fn compare(
    bench: &Bench,
    scenario: Scenario,
    app: &AppProcess,
) -> Result<(Vec<Comparison<Latency>>, Vec<String>), BenchError> {
    let (mut comparisons, mut notes) = (Vec::new(), Vec::new());
    for upstream in app.upstreams() {
        let transport = upstream.transport();
        let per_second = rate(bench, &upstream)?;
        match floor(bench, app, per_second) {
            Ok(note) => notes.push(note),
            Err(error) if error.spoils_one_run() => {
                crate::say(&format!("    FAILED: {error}"));
                comparisons.push(Comparison {
                    scenario,
                    transport,
                    runs: bench.no_runs(&error),
                });
                continue;
            }
            Err(error) => return Err(error),
        }
        let label = format!("{} over {transport}, {per_second}/s", scenario.name);
        let runs = bench.alternate(&label, |proxy| {
            punctual_run(bench, proxy, &upstream, per_second)
        })?;
        comparisons.push(Comparison {
            scenario,
            transport,
            runs,
        });
    }
    Ok((comparisons, notes))
}

/// What the load sees of the app alone, in words. Over TCP, since the generator speaks nothing else.
fn floor(bench: &Bench, app: &AppProcess, per_second: u64) -> Result<String, BenchError> {
    let pace = pace(bench, app.tcp_address(), per_second);
    let mut attempts = 0;
    loop {
        attempts += 1;
        let seen = pace::run(&pace, &bench.interrupt)?;
        if seen.unanswered == 0
            && seen.late * LATE_SHARE <= pace.requests
            && seen.p99 <= FLOOR_P99_MAX
        {
            let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
            return Ok(format!(
                "Without a proxy, straight to the app over TCP, the load at {per_second} a second saw p50 {:.2} ms, \
                 p99 {:.2} ms, p99.9 {:.2} ms",
                milliseconds(seen.p50),
                milliseconds(seen.p99),
                milliseconds(seen.p999)
            ));
        }
        if attempts == ATTEMPTS_MAX {
            return Err(BenchError::Failed(format!(
                "the load generator and the app could not keep the rate of {per_second} a second without a proxy \
                 (p99 {} ms, {} of {} late, {} without an answer): this host is too busy or too slow for it",
                seen.p99.as_millis(),
                seen.late,
                pace.requests,
                seen.unanswered
            )));
        }
    }
}

fn pace(bench: &Bench, address: SocketAddr, per_second: u64) -> Pace {
    Pace {
        address,
        connections: CONNECTIONS,
        per_second,
        requests: per_second * bench.seconds * SECONDS_FACTOR,
        body_bytes: BODY_BYTES as u64,
    }
}

/// Requests a second for all: the asked fraction of what nginx reaches now, or the slowest where nginx is not there.
fn rate(bench: &Bench, upstream: &Upstream) -> Result<u64, BenchError> {
    let nginx = bench.proxies.iter().find(|one| one.rival == Rival::Nginx);
    let yardsticks: Vec<&Found> = match nginx {
        Some(nginx) => vec![nginx],
        None => bench.proxies.iter().collect(),
    };
    let mut slowest = f64::INFINITY;
    for proxy in yardsticks {
        crate::say(&format!(
            "what {} reaches over {}",
            proxy.rival.name(),
            upstream.transport()
        ));
        let mut reached = Vec::new();
        for _ in 0..calibrations(bench) {
            let setting = Setting {
                traffic: TRAFFIC,
                workers: 1,
            };
            let sample = throughput::run(bench, proxy, upstream, setting);
            bench.interrupt.check()?; // a signal ends the load too, which would look like a failure
            reached.push(sample?.requests_per_second);
        }
        if let Some(spread) = Spread::of(reached) {
            slowest = slowest.min(spread.median);
        }
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rate is a positive number of at most seven digits, and the percent are at most 100"
    )]
    let per_second = (slowest * bench.rate_percent as f64 / 100.0) as u64;
    Ok(per_second.max(1))
}

/// A run in which the generator was not late too often, or the last of some that were.
fn punctual_run(
    bench: &Bench,
    proxy: &Found,
    upstream: &Upstream,
    per_second: u64,
) -> Result<Latency, BenchError> {
    let mut attempts = 1;
    loop {
        match run(bench, proxy, upstream, per_second) {
            Err(error @ BenchError::Late { .. }) if attempts < ATTEMPTS_MAX => {
                bench.interrupt.check()?;
                crate::say(&format!("    once more: {error}"));
                attempts += 1;
            }
            done => return done,
        }
    }
}

fn run(
    bench: &Bench,
    proxy: &Found,
    upstream: &Upstream,
    per_second: u64,
) -> Result<Latency, BenchError> {
    let running = bench.start(proxy, upstream, 1)?;
    let (address, pid) = (running.server.address(), running.server.pid());
    let warm_up = Work {
        address,
        traffic: TRAFFIC,
        seconds: bench.seconds,
    };
    if let Some(first) = load::checked(&warm_up, WARM_UP)?.first_error {
        return Err(BenchError::Failed(format!(
            "{first}{}",
            running.server.complaints()
        )));
    }
    let pace = pace(bench, address, per_second);
    let requests = pace.requests;
    let (before, core) = (
        accounting::cpu_time(pid)?,
        CoreUse::now(bench.cores.of_the_proxy()),
    );
    let begun = Instant::now();
    let outcome = pace::run(&pace, &bench.interrupt)?;
    let (elapsed, cpu) = (begun.elapsed(), accounting::cpu_time(pid)?.since(before));
    if outcome.late * LATE_SHARE > requests {
        return Err(BenchError::Late {
            late: outcome.late,
            requests,
        });
    }
    #[allow(
        clippy::cast_precision_loss,
        reason = "counts of requests stay far below 2^53"
    )]
    let percent = |part: u64| 100.0 * part as f64 / requests as f64;
    #[allow(
        clippy::cast_precision_loss,
        reason = "a rate has at most seven digits, a count of answers nine"
    )]
    let (per_second, answered) = (per_second as f64, outcome.answered as f64);
    Ok(Latency {
        per_second,
        reached_per_second: answered / outcome.span.as_secs_f64().max(f64::MIN_POSITIVE),
        p50_milliseconds: outcome.p50.as_secs_f64() * 1e3,
        p90_milliseconds: outcome.p90.as_secs_f64() * 1e3,
        p99_milliseconds: outcome.p99.as_secs_f64() * 1e3,
        p999_milliseconds: outcome.p999.as_secs_f64() * 1e3,
        answered_percent: percent(outcome.answered),
        late_percent: percent(outcome.late),
        cpu_microseconds: microseconds_each(cpu.total(), outcome.answered),
        others_percent: core.others_percent(cpu.total(), elapsed),
    })
}
