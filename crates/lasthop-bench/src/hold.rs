//! The command `hold`: so many upgraded connections at once through each contestant to one address of one app, and
//! whether something comes back over every one.
//!
//! A contestant is given up when it has held no further one for a while: what is left is counted as not tried, because a
//! proxy that is out of ports takes milliseconds for each refusal.

use std::time::{Duration, Instant};

use crate::accounting;
use crate::cli;
use crate::contestant::{self, Contestant, Run};
use crate::endpoint::held::Bounds;
use crate::endpoint::outcomes::Outcomes;
use crate::error::BenchError;
use crate::output::{self, files};
use crate::rival::Found;
use crate::stage::{Conditions, House, Stage};
use crate::{host, say, tally};

/// Set-ups under way at once: enough to keep a proxy busy, few enough for any backlog.
pub(crate) const IN_FLIGHT: usize = 64;
/// For so long every attempt may fail before the rest is not tried: longer than a proxy lets a request wait for a port.
const FRUITLESS: Duration = Duration::from_secs(15);

/// Everything that `output::hold` shows.
#[derive(Clone, Debug)]
pub(crate) struct HoldReport {
    pub(crate) conditions: Conditions,
    pub(crate) connections: usize,
    pub(crate) rows: Vec<Run<Holding>>,
    /// The chart's file, relative to the document, where both are written.
    pub(crate) chart: Option<String>,
}

/// How one contestant fared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Holding {
    /// What was configured, in words.
    pub(crate) setting: String,
    pub(crate) wanted: usize,
    /// The set-ups: as many successes as connections were held.
    pub(crate) opened: Outcomes,
    /// The echoes over those that were held.
    pub(crate) echoed: Outcomes,
    /// How long opening took in all.
    pub(crate) setup: Duration,
    pub(crate) memory: Memory,
    /// What the proxy said about failures, most frequent first.
    pub(crate) said: Vec<(String, u64)>,
}

/// In bytes, before the first connection and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// `Pss` of the proxy's processes.
    pub(crate) proxy_before: u64,
    pub(crate) proxy_held: u64,
    /// The kernel's, of the whole host.
    pub(crate) kernel_before: u64,
    pub(crate) kernel_held: u64,
}

impl Holding {
    pub(crate) fn held(&self) -> usize {
        self.opened.successes()
    }

    pub(crate) fn not_tried(&self) -> usize {
        self.wanted - self.held() - self.opened.failure_count()
    }

    /// Whether all were held and every one answered.
    pub(crate) fn is_whole(&self) -> bool {
        self.held() == self.wanted && self.echoed.successes() == self.wanted
    }
}

/// Runs it.
///
/// # Errors
/// [`BenchError::Spoilt`], after everything has been written, when a run came to nothing. That a contestant could not hold
/// all is a result and no error.
pub(crate) fn hold(wanted: &cli::Hold) -> Result<(), BenchError> {
    let house = House::open(|| {
        contestant::chosen(wanted.over.transports(), &wanted.only, |rival| {
            wanted.binaries.look_for(rival)
        })
    })?;
    host::check_room(wanted.connections)?;
    say(&format!(
        "{} upgraded connections at once through {} contestants, at most {} s to open them",
        wanted.connections,
        house.contestants.len(),
        wanted.deadline
    ));
    let rows = house.each(|contestant, found| run(&house, wanted, contestant, found))?;
    let report = HoldReport {
        conditions: house.conditions(wanted.arguments()),
        connections: wanted.connections,
        rows,
        chart: wanted.outputs.chart_beside_document(),
    };
    files::write_all(
        &wanted.outputs,
        &output::hold::text(&report),
        || output::hold::json(&report),
        || output::hold::svg(&report),
        ("hold", &|| output::hold::markdown(&report)),
    )?;
    match report.rows.iter().filter(|(_, row)| row.is_err()).count() {
        0 => Ok(()),
        failures => Err(BenchError::Spoilt(failures)),
    }
}

fn run(
    house: &House,
    wanted: &cli::Hold,
    contestant: &Contestant,
    found: &Found,
) -> Result<Holding, BenchError> {
    let connections = wanted.connections;
    let mut stage = Stage::set(house, contestant, found, connections)?;
    let proxy_before = stage.fleet.memory_bytes()?;
    let kernel_before = accounting::kernel_bytes()?;
    let begun = Instant::now();
    let bounds = Bounds {
        deadline: begun + Duration::from_secs(wanted.deadline),
        fruitless: FRUITLESS,
    };
    let opened = stage
        .held
        .open(connections, IN_FLIGHT, bounds, &house.interrupt)?;
    let setup = begun.elapsed();
    say(&format!(
        "    {} held and {} failed in {:.1} s",
        opened.successes(),
        opened.failure_count(),
        setup.as_secs_f64()
    ));
    let (proxy_held, kernel_held) = (stage.fleet.memory_bytes()?, accounting::kernel_bytes()?);
    let echoed = stage.held.check(&house.interrupt)?;
    // Whichever is more: what an echo needed may still be there.
    let memory = Memory {
        proxy_before,
        proxy_held: proxy_held.max(stage.fleet.memory_bytes()?),
        kernel_before,
        kernel_held: kernel_held.max(accounting::kernel_bytes()?),
    };
    say(&format!("    {} echoed", echoed.successes()));
    Ok(Holding {
        setting: contestant.setting(connections)?,
        wanted: connections,
        opened,
        echoed,
        setup,
        memory,
        said: tally::of(&stage.fleet.said()),
    })
}
