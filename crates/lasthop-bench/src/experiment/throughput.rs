//! As many requests as so many clients get through: CPU time per request, requests a second, latency in the closed loop.
//!
//! A run is a fresh proxy, a warm-up that checks every answer, then load while its CPU time is counted. Closed loop: a
//! client sends its next request when the last answer is whole, so a slow proxy gets fewer, and a stall counts once.
//! Latency at the same rate for all is what [`super::latency`] measures.

use std::time::{Duration, Instant};

use super::{Bench, Comparison, Sample};
use crate::accounting;
use crate::core_use::CoreUse;
use crate::endpoint::app::AppProcess;
use crate::error::BenchError;
use crate::load::{self, Work};
use crate::rival::Found;
use crate::scenario::Scenario;
use crate::traffic::Traffic;
use crate::upstream::Upstream;

/// Load before the measured one, so that connections, caches and pools are as they stay.
const WARM_UP: Duration = Duration::from_millis(300);

/// What one run measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Throughput {
    /// User and system time of the proxy per request, in microseconds.
    pub(crate) user_microseconds: f64,
    pub(crate) system_microseconds: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) p50_milliseconds: f64,
    pub(crate) p99_milliseconds: f64,
    /// What others had of the proxy's core meanwhile, in percent of the time.
    pub(crate) others_percent: f64,
}

/// What is asked of a proxy, and how large it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) traffic: Traffic,
    pub(crate) workers: usize,
}

impl Throughput {
    /// User and system time together, in microseconds per request.
    pub(crate) fn cpu_microseconds(&self) -> f64 {
        self.user_microseconds + self.system_microseconds
    }

    /// How much of one core the proxy used. Well below 100, the load was the bottleneck, and the proxy paid for more
    /// wake-ups per request than it would under full load.
    pub(crate) fn busy_percent(&self) -> f64 {
        self.cpu_microseconds() * self.requests_per_second / 1e4
    }
}

impl Sample for Throughput {
    fn figures(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("user_microseconds", self.user_microseconds),
            ("system_microseconds", self.system_microseconds),
            ("requests_per_second", self.requests_per_second),
            ("p50_milliseconds", self.p50_milliseconds),
            ("p99_milliseconds", self.p99_milliseconds),
            ("others_percent", self.others_percent),
        ]
    }

    fn others_percent(&self) -> f64 {
        self.others_percent
    }
}

/// About how long a run takes, less the start of a proxy.
pub(crate) fn duration(bench: &Bench, traffic: Traffic) -> Duration {
    WARM_UP + Duration::from_secs(traffic.seconds(bench.seconds))
}

/// Compares the proxies of `bench` over both transports.
pub(crate) fn compare(
    bench: &Bench,
    scenario: Scenario,
    traffic: Traffic,
    app: &AppProcess,
) -> Result<Vec<Comparison<Throughput>>, BenchError> {
    let mut comparisons = Vec::new();
    for upstream in app.upstreams() {
        let transport = upstream.transport();
        let label = format!("{} over {transport}", scenario.name);
        let setting = Setting {
            traffic,
            workers: 1,
        };
        let runs = bench.alternate(&label, |proxy| run(bench, proxy, &upstream, setting))?;
        comparisons.push(Comparison {
            scenario,
            transport,
            runs,
        });
    }
    Ok(comparisons)
}

/// Runs `proxy` in front of `upstream` as the setting says.
pub(crate) fn run(
    bench: &Bench,
    proxy: &Found,
    upstream: &Upstream,
    setting: Setting,
) -> Result<Throughput, BenchError> {
    let running = bench.start(proxy, upstream, setting.workers)?;
    let (address, pid) = (running.server.address(), running.server.pid());
    let work = Work {
        address,
        traffic: setting.traffic,
        seconds: setting.traffic.seconds(bench.seconds),
    };
    let with_complaints = |errors, first: &str| BenchError::Requests {
        errors,
        first: format!("{first}{}", running.server.complaints()),
    };
    let warm_up = load::checked(&work, WARM_UP)?;
    if let Some(first) = &warm_up.first_error {
        return Err(with_complaints(warm_up.errors, first));
    }
    let (before, core) = (
        accounting::cpu_time(pid)?,
        CoreUse::now(bench.cores.of_the_proxy()),
    );
    let begun = Instant::now();
    let outcome = bench.load.run(&work)?;
    let (elapsed, cpu) = (begun.elapsed(), accounting::cpu_time(pid)?.since(before));
    let others_percent = core.others_percent(cpu.total(), elapsed);
    if outcome.errors == 0 && outcome.requests == 0 {
        return Err(BenchError::Failed(format!(
            "no answer was whole within {} s: the proxy stands still, or this host leaves it no time{}",
            work.seconds,
            running.server.complaints()
        )));
    }
    if outcome.errors > 0 {
        let first = format!(
            "not told by the load program, which counted {} answers besides",
            outcome.requests
        );
        return Err(with_complaints(outcome.errors, &first));
    }
    Ok(Throughput {
        user_microseconds: microseconds_each(cpu.user, outcome.requests),
        system_microseconds: microseconds_each(cpu.system, outcome.requests),
        requests_per_second: outcome.requests_per_second,
        p50_milliseconds: outcome.p50.as_secs_f64() * 1e3,
        p99_milliseconds: outcome.p99.as_secs_f64() * 1e3,
        others_percent,
    })
}

/// A time divided by a count of requests, in microseconds.
#[allow(
    clippy::cast_precision_loss,
    reason = "a count of requests stays far below 2^53"
)]
pub(crate) fn microseconds_each(time: Duration, requests: u64) -> f64 {
    time.as_secs_f64() * 1e6 / requests as f64
}
