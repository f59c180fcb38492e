//! The command `fill`: how long a set-up and a request take, as a function of the connections that are held already.
//!
//! Connections are added step by step. The last ones of each step are opened one by one, while nothing else happens, and
//! stay: they are the probes of the set-up. After them come requests, one by one, for which the proxy needs a new
//! connection to the app, since the app closes after each; then set-ups straight to the app, which say what of it all is
//! this host's and not the proxy's. A curve ends where the proxy holds no further connection.

use std::thread;
use std::time::{Duration, Instant};

use crate::cli;
use crate::contestant::{self, Contestant, Run};
use crate::endpoint::held::Bounds;
use crate::endpoint::outcomes::Outcomes;
use crate::error::BenchError;
use crate::hold::IN_FLIGHT;
use crate::output::{self, files};
use crate::rival::Found;
use crate::stage::{Conditions, House, Stage};
use crate::upstream::{Transport, Upstream};
use crate::{host, say};

/// For so long every attempt may fail before a curve ends: longer than a proxy lets a request wait for a port.
const FRUITLESS: Duration = Duration::from_secs(8);
/// Between the crowd of a step and its probes, so that what the crowd left to do is done.
const SETTLING: Duration = Duration::from_millis(300);

/// Everything that `output::fill` shows.
#[derive(Clone, Debug)]
pub(crate) struct FillReport {
    pub(crate) conditions: Conditions,
    pub(crate) step: usize,
    pub(crate) to: usize,
    pub(crate) probes: usize,
    pub(crate) curves: Vec<Run<Curve>>,
    /// The chart's file, relative to the document, where both are written.
    pub(crate) chart: Option<String>,
}

/// How one contestant fared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Curve {
    /// What was configured, in words.
    pub(crate) setting: String,
    pub(crate) points: Vec<Point>,
    /// Where it ended before its time.
    pub(crate) wall: Option<Wall>,
}

/// Where a proxy held no further connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wall {
    pub(crate) held: usize,
    /// The most frequent reason.
    pub(crate) reason: String,
}

/// What the probes of one step saw.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    /// Connections held after the step.
    pub(crate) held: usize,
    /// From the connect(2) of the client to the 101.
    pub(crate) setups: Outcomes,
    /// The proxy's time on a core for each of them.
    pub(crate) cpu_each: Duration,
    /// From the connect(2) of the client to the end of the answer.
    pub(crate) requests: Outcomes,
    /// Set-ups without a proxy.
    pub(crate) direct: Outcomes,
}

impl Curve {
    /// The point at so many held, if it was reached.
    pub(crate) fn at(&self, held: usize) -> Option<&Point> {
        self.points.iter().find(|point| point.held == held)
    }
}

/// Runs it.
///
/// # Errors
/// [`BenchError::Spoilt`], after everything has been written, when a run came to nothing. That a curve ends early is a
/// result and no error.
pub(crate) fn fill(wanted: &cli::Fill) -> Result<(), BenchError> {
    wanted.check()?;
    let house = House::open(|| {
        contestant::chosen(&[Transport::Tcp], &wanted.only, |rival| {
            wanted.binaries.look_for(rival)
        })
    })?;
    host::check_room(wanted.to)?;
    say(&format!(
        "{} contestants, each filled to {} connections in steps of {}, at most {} s",
        house.contestants.len(),
        wanted.to,
        wanted.step,
        wanted.deadline
    ));
    let curves = house.each(|contestant, found| run(&house, wanted, contestant, found))?;
    let report = FillReport {
        conditions: house.conditions(wanted.arguments()),
        step: wanted.step,
        to: wanted.to,
        probes: wanted.probes,
        curves,
        chart: wanted.outputs.chart_beside_document(),
    };
    files::write_all(
        &wanted.outputs,
        &output::fill::text(&report),
        || output::fill::json(&report),
        || output::plot::render(&report),
        ("fill", &|| output::fill::markdown(&report)),
    )?;
    match report.curves.iter().filter(|(_, one)| one.is_err()).count() {
        0 => Ok(()),
        failures => Err(BenchError::Spoilt(failures)),
    }
}

fn run(
    house: &House,
    wanted: &cli::Fill,
    contestant: &Contestant,
    found: &Found,
) -> Result<Curve, BenchError> {
    let mut stage = Stage::set(house, contestant, found, wanted.to)?;
    let deadline = Instant::now() + Duration::from_secs(wanted.deadline);
    let bounds = Bounds {
        deadline,
        fruitless: FRUITLESS,
    };
    let mut curve = Curve {
        setting: contestant.setting(wanted.to)?,
        points: Vec::new(),
        wall: None,
    };
    for step in 1..=wanted.to / wanted.step {
        let crowd = (step * wanted.step - stage.held.count()).saturating_sub(wanted.probes);
        let opened = stage
            .held
            .open(crowd, IN_FLIGHT, bounds, &house.interrupt)?;
        if opened.successes() < crowd {
            curve.wall = Some(wall(&stage, &opened));
            break;
        }
        let point = probe(house, &mut stage, wanted.probes, bounds)?;
        say(&format!(
            "    {} held: set-up p99 {} µs",
            point.held,
            point.setups.quantile(990).unwrap_or_default().as_micros()
        ));
        if point.setups.successes() < wanted.probes {
            curve.wall = Some(wall(&stage, &point.setups));
            break;
        }
        curve.points.push(point);
    }
    Ok(curve)
}

/// The probes of one step: `count` of each kind.
fn probe(
    house: &House,
    stage: &mut Stage,
    count: usize,
    bounds: Bounds,
) -> Result<Point, BenchError> {
    let interrupt = &house.interrupt;
    thread::sleep(SETTLING);
    let before = stage.fleet.run_time()?;
    let setups = stage.held.open(count, 1, bounds, interrupt)?;
    let used = stage.fleet.run_time()?.saturating_sub(before);
    let each = u32::try_from(setups.successes()).unwrap_or(u32::MAX).max(1);
    let requests = stage.held.request(count, interrupt)?;
    let direct = match stage.app.upstream() {
        Upstream::Tcp(address) => stage.held.direct(*address, count, interrupt)?,
        Upstream::Unix(_) => Outcomes::default(), // the load speaks TCP
    };
    Ok(Point {
        held: stage.held.count(),
        setups,
        cpu_each: used / each,
        requests,
        direct,
    })
}

fn wall(stage: &Stage, outcomes: &Outcomes) -> Wall {
    let reason = outcomes.reasons().into_iter().next();
    let wall = Wall {
        held: stage.held.count(),
        reason: reason.map_or_else(|| "the time was over".to_owned(), |(reason, _)| reason),
    };
    say(&format!("    {} held, then {}", wall.held, wall.reason));
    wall
}
