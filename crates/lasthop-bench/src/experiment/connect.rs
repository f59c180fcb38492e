//! What it costs to open a connection to the app beside those that are open already, by their number.
//!
//! To one address of an app the kernel looks for a free source port, and looks longer the more of them are taken; how a
//! proxy asks decides what that costs. Upgraded connections are held, then some more are opened one by one while nothing
//! else happens: the time from the client's connect() to the 101, and the proxy's time on its core, beside few and beside
//! many. Over TCP only, since Unix sockets have no ports. `lasthop-bench fill` draws the whole curve, and past the wall.

use std::thread;
use std::time::Duration;

use lasthop::demo::scratch::Scratch;

use super::{Bench, Comparison, Sample};
use crate::endpoint::held::{Bounds, Held};
use crate::endpoint::hold_app::HoldApp;
use crate::endpoint::holder::Kind;
use crate::endpoint::outcomes::Outcomes;
use crate::error::BenchError;
use crate::rival::fleet::{Fleet, Mission};
use crate::rival::{Found, Rival};
use crate::scenario::Scenario;
use crate::upstream::{Transport, Upstream};

/// Held at the first reading.
pub(crate) const FEW: usize = 2_000;
/// Held at the second: seven of ten ports of the default range, where every proxy here still finds one.
pub(crate) const MANY: usize = 20_000;
/// Connections opened one by one at each reading.
const PROBES: usize = 500;
/// Set-ups under way at once in between.
const IN_FLIGHT: usize = 64;
/// For all of them; the slowest here needs a tenth of it.
const WHOLE: Duration = Duration::from_secs(120);
/// So many of the rounds are enough: a run is many times as long as others, and what it shows is a multiple.
const ROUNDS_MAX: u32 = 2;
/// After the crowd of a step, so that what it left to do is done.
const SETTLING: Duration = Duration::from_millis(300);
/// A run, for the estimate.
const RUN: Duration = Duration::from_secs(7);

/// What one run measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Connecting {
    pub(crate) few: Reading,
    pub(crate) many: Reading,
}

/// Beside so many that are held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reading {
    /// The proxy's time on its core for one set-up.
    pub(crate) cpu_microseconds: f64,
    pub(crate) p50_microseconds: f64,
    pub(crate) p99_microseconds: f64,
}

impl Connecting {
    /// What a set-up costs beside many, as a multiple of what it costs beside few.
    pub(crate) fn multiple(&self) -> f64 {
        self.many.cpu_microseconds / self.few.cpu_microseconds
    }
}

impl Sample for Connecting {
    fn figures(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("few_cpu_microseconds", self.few.cpu_microseconds),
            ("few_p50_microseconds", self.few.p50_microseconds),
            ("few_p99_microseconds", self.few.p99_microseconds),
            ("many_cpu_microseconds", self.many.cpu_microseconds),
            ("many_p50_microseconds", self.many.p50_microseconds),
            ("many_p99_microseconds", self.many.p99_microseconds),
        ]
    }
}

/// About how long all of it takes.
pub(crate) fn duration(bench: &Bench) -> Duration {
    let proxies = bench.proxies.iter().filter(|one| takes_part(one)).count();
    RUN * rounds(bench) * u32::try_from(proxies).unwrap_or(u32::MAX)
}

fn rounds(bench: &Bench) -> u32 {
    bench.rounds.min(ROUNDS_MAX)
}

/// Those that are set up as more processes than one, since one has not descriptors enough everywhere.
fn takes_part(proxy: &Found) -> bool {
    !matches!(proxy.rival, Rival::Envoy | Rival::Caddy)
}

/// Compares the proxies of `bench` that take part; with the figures what is to be known about them.
pub(crate) fn compare(
    bench: &Bench,
    scenario: Scenario,
) -> Result<(Vec<Comparison<Connecting>>, Vec<String>), BenchError> {
    let bench = Bench {
        proxies: bench
            .proxies
            .iter()
            .filter(|one| takes_part(one))
            .cloned()
            .collect(),
        rounds: rounds(bench),
        ..bench.clone()
    };
    let runs = bench.alternate(scenario.name, |proxy| run(&bench, proxy))?;
    let comparison = Comparison {
        scenario,
        transport: Transport::Tcp.name(),
        runs,
    };
    let note = format!(
        "Rounds: {}, with as many processes of a proxy as the limit on open files makes necessary, all on one core",
        bench.rounds
    );
    Ok((vec![comparison], vec![note]))
}

fn run(bench: &Bench, proxy: &Found) -> Result<Connecting, BenchError> {
    let scratch = Scratch::new().map_err(BenchError::host("make a directory for files"))?;
    let directory = scratch.path();
    let app = HoldApp::start(Transport::Tcp, MANY, directory, &bench.interrupt)?;
    let fleet = bench
        .cores
        .on_the_proxys(|| start(proxy, app.upstream(), directory))?;
    let mut held = Held::none_yet(Kind::Tunnel, fleet.address())?;
    let few = reading(bench, &fleet, &mut held, FEW)?;
    let many = reading(bench, &fleet, &mut held, MANY)?;
    // In this order: the app's end resets its connections, so that the proxy has none left to put into TIME_WAIT.
    drop(app);
    Ok(Connecting { few, many })
}

fn start(
    proxy: &Found,
    upstream: &Upstream,
    directory: &std::path::Path,
) -> Result<Fleet, BenchError> {
    Fleet::start(
        proxy,
        &Mission {
            upstream,
            connections: MANY,
            sources: &[],
            directory,
        },
    )
}

/// Fills up to `count`, the last of them one by one.
fn reading(
    bench: &Bench,
    fleet: &Fleet,
    held: &mut Held,
    count: usize,
) -> Result<Reading, BenchError> {
    let bounds = Bounds::of(WHOLE);
    let crowd = count - PROBES - held.count();
    let whole = |outcomes: Outcomes, wanted| {
        let reason = outcomes.reasons().into_iter().next();
        match reason {
            None if outcomes.successes() == wanted => Ok(outcomes),
            reason => Err(BenchError::Failed(format!(
                "{} of {count} held, then: {}",
                outcomes.successes(),
                reason.map_or_else(|| "the time was over".to_owned(), |(reason, _)| reason)
            ))),
        }
    };
    whole(
        held.open(crowd, IN_FLIGHT, bounds, &bench.interrupt)?,
        crowd,
    )?;
    thread::sleep(SETTLING);
    let before = fleet.run_time()?;
    let probes = whole(held.open(PROBES, 1, bounds, &bench.interrupt)?, PROBES)?;
    let used = fleet.run_time()?.saturating_sub(before);
    let quantile = |per_mille| {
        let latency = probes.quantile(per_mille).unwrap_or_default();
        latency.as_secs_f64() * 1e6
    };
    Ok(Reading {
        cpu_microseconds: super::throughput::microseconds_each(used, PROBES as u64),
        p50_microseconds: quantile(500),
        p99_microseconds: quantile(990),
    })
}
