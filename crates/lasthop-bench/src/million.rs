//! The command `million`: a million upgraded connections at once through lasthop to one app, every one of which has to echo,
//! and what they take of this host's memory, part by part.
//!
//! Clients come over TCP, because that is where a proxy stands; the app is on a Unix socket, which has no ports to run out
//! of and takes less of the kernel. One listen address and one app: what a process has too few descriptors for is done by
//! several, of the proxy as of the app and the load ([`Stage`]). Nobody is compared with here; that is `hold`. A host that is too small holds what fits, and says which bound it is. Memory is
//! watched while it grows, so that the run ends and not the host.

use std::time::{Duration, Instant};

use lasthop_kernel::process::{self, Descriptors};

use crate::accounting::{self, kernel::KernelMemory};
use crate::cli;
use crate::contestant;
use crate::endpoint::held::Bounds;
use crate::endpoint::outcomes::Outcomes;
use crate::error::BenchError;
use crate::hold::IN_FLIGHT;
use crate::host::{self, FLOOR_BYTES, Fit, Host};
use crate::interrupt::Interrupt;
use crate::output::hold::grouped;
use crate::output::{self, files};
use crate::rival::Found;
use crate::stage::{Conditions, House, Stage};
use crate::upstream::Transport;
use crate::{say, tally};

/// Connections that are opened between two looks at memory: some 90 MB, a twelfth of the floor.
const BATCH: usize = 5000;
/// Connections between two lines about how far it is.
const TOLD_EACH: usize = 50_000;
/// For so long every attempt may fail before the rest is not tried: longer than a client waits for its answer.
const FRUITLESS: Duration = Duration::from_secs(15);

/// Everything that `output::million` shows.
#[derive(Clone, Debug)]
pub(crate) struct MillionReport {
    pub(crate) conditions: Conditions,
    pub(crate) wanted: usize,
    pub(crate) fit: Fit,
    pub(crate) holding: Holding,
}

/// How it went.
#[derive(Clone, Debug)]
pub(crate) struct Holding {
    /// What was configured, in words.
    pub(crate) setting: String,
    pub(crate) processes: Processes,
    /// The set-ups: as many successes as connections were held.
    pub(crate) opened: Phase,
    /// Why not all were tried, where that is so.
    pub(crate) stopped: Option<String>,
    /// Directly after they were open, and after the silence.
    pub(crate) echoed: [Phase; 2],
    /// Nothing was sent.
    pub(crate) silence: Phase,
    pub(crate) before: Memory,
    pub(crate) held: Memory,
    pub(crate) after: Memory,
    /// The process of the proxy that has the most descriptors open.
    pub(crate) fullest: Option<Descriptors>,
    /// What the proxy said about failures, most frequent first.
    pub(crate) said: Vec<(String, u64)>,
}

/// How many there are of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Processes {
    pub(crate) proxy: usize,
    pub(crate) app: usize,
    pub(crate) load: usize,
}

/// Something that was done with all connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phase {
    pub(crate) outcomes: Outcomes,
    pub(crate) took: Duration,
    /// Time on a core: of all processes of the proxy, and of those of app and load.
    pub(crate) proxy: Duration,
    pub(crate) ends: Duration,
}

/// One reading of memory, in bytes; of programs it is `Pss`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) kernel: KernelMemory,
    pub(crate) proxy: u64,
    pub(crate) app: u64,
    /// The harness included.
    pub(crate) load: u64,
    /// What the host has left.
    pub(crate) left: u64,
}

impl Holding {
    pub(crate) fn held(&self) -> usize {
        self.opened.outcomes.successes()
    }

    /// Whether so many were held and every one echoed, both times.
    pub(crate) fn is_whole(&self, connections: usize) -> bool {
        let echoed = self.echoed.iter().map(|phase| phase.outcomes.successes());
        self.held() == connections && echoed.min() == Some(connections)
    }
}

/// Runs it.
///
/// # Errors
/// [`BenchError::TooSmall`] where nothing fits; [`BenchError::Spoilt`], after everything has been written, when a connection
/// that fits was not held, or did not echo.
pub(crate) fn million(wanted: &cli::Million) -> Result<(), BenchError> {
    let house = House::open(|| {
        contestant::chosen(&[Transport::Unix], &["lasthop".to_owned()], |rival| {
            Found::look_for_by_default(rival, wanted.lasthop.as_ref())
        })
    })?;
    let fit = fitting(wanted.connections)?;
    let holding = run(&house, wanted, fit.connections);
    // A signal ends the processes too, which would look like a failure of the proxy.
    house.interrupt.check()?;
    let holding = holding?;
    let whole = holding.is_whole(fit.connections);
    let report = MillionReport {
        conditions: house.conditions(wanted.arguments()),
        wanted: wanted.connections,
        fit,
        holding,
    };
    files::write_all(
        &wanted.outputs(),
        &output::million::text(&report),
        || output::million::json(&report),
        String::new,
        ("million", &|| output::million::markdown(&report)),
    )?;
    if whole {
        Ok(())
    } else {
        Err(BenchError::Spoilt(1))
    }
}

/// How many of them this host has room for; says so where it is not all.
fn fitting(wanted: usize) -> Result<Fit, BenchError> {
    let fit = Host::here()?.fitting(wanted, host::OF_LASTHOP_OVER_UNIX);
    if let Some(short) = &fit.short {
        if fit.connections == 0 {
            return Err(BenchError::TooSmall {
                connections: wanted,
                short: short.clone(),
            });
        }
        say(&format!(
            "this host has no room for {}: {short}. It holds {} instead",
            grouped(wanted),
            grouped(fit.connections)
        ));
    }
    Ok(fit)
}

fn run(house: &House, wanted: &cli::Million, connections: usize) -> Result<Holding, BenchError> {
    let (contestant, found) = &house.contestants[0];
    say(&format!(
        "{} upgraded connections at once to one app, at most {} s to open them",
        grouped(connections),
        wanted.deadline
    ));
    let mut stage = Stage::set(house, contestant, found, connections)?;
    let setting = contestant.setting(connections)?;
    say(&format!("    {setting}"));
    let before = Memory::now(&stage, None)?;
    let deadline = Instant::now() + Duration::from_secs(wanted.deadline);
    let mut stopped = None;
    let opened = Phase::of(&mut stage, |stage| {
        let (outcomes, reason) = open(stage, connections, deadline, &before, &house.interrupt)?;
        stopped = reason;
        Ok(outcomes)
    })?;
    say_came("held", &opened);
    let held = Memory::now(&stage, Some(&before))?;
    let first = Phase::of(&mut stage, |stage| stage.held.check(&house.interrupt))?;
    say_came("echoed", &first);
    say(&format!("    {} s of silence", wanted.silence));
    let silence = Phase::of(&mut stage, |_| {
        house.interrupt.sleep(Duration::from_secs(wanted.silence))?;
        Ok(Outcomes::default())
    })?;
    let second = Phase::of(&mut stage, |stage| stage.held.check(&house.interrupt))?;
    say_came("echoed", &second);
    let holding = Holding {
        setting,
        processes: Processes {
            proxy: stage.fleet.pids().len(),
            app: stage.app.pids().len(),
            load: stage.held.pids().len(),
        },
        opened,
        stopped,
        echoed: [first, second],
        silence,
        after: Memory::now(&stage, Some(&before))?,
        before,
        held,
        fullest: fullest(&stage),
        said: tally::of(&stage.fleet.said()),
    };
    say("    closing them");
    Ok(holding)
}

fn say_came(what: &str, phase: &Phase) {
    say(&format!(
        "    {} {what} and {} failed in {:.1} s",
        grouped(phase.outcomes.successes()),
        grouped(phase.outcomes.failure_count()),
        phase.took.as_secs_f64()
    ));
}

/// Opens them batch by batch, and says why not all were tried, where that is so.
fn open(
    stage: &mut Stage,
    connections: usize,
    deadline: Instant,
    before: &Memory,
    interrupt: &Interrupt,
) -> Result<(Outcomes, Option<String>), BenchError> {
    let begun = Instant::now();
    let mut sum = Outcomes::default();
    let mut tried = 0;
    while tried < connections {
        let left = KernelMemory::now()?.left_since(&before.kernel);
        if left < FLOOR_BYTES {
            let reason = format!("memory: {} MB are left of this host's", left / 1_000_000);
            return Ok((sum, Some(reason)));
        }
        let batch = BATCH.min(connections - tried);
        let bounds = Bounds {
            deadline,
            fruitless: FRUITLESS,
        };
        let outcomes = stage.held.open(batch, IN_FLIGHT, bounds, interrupt)?;
        let came = outcomes.successes() + outcomes.failure_count();
        let none_succeeded = outcomes.successes() == 0;
        sum.add(outcomes);
        if Instant::now() >= deadline {
            return Ok((sum, Some("the time was over".to_owned())));
        }
        if came < batch || none_succeeded {
            return Ok((sum, Some("no further one could be opened".to_owned())));
        }
        if tried / TOLD_EACH < (tried + came) / TOLD_EACH {
            say(&format!(
                "    {} after {:.1} s; {:.1} GB of memory are left",
                grouped(sum.successes()),
                begun.elapsed().as_secs_f64(),
                left as f64 / 1e9
            ));
        }
        tried += came;
    }
    Ok((sum, None))
}

impl Phase {
    /// Does something, and reads what it took.
    fn of(
        stage: &mut Stage,
        work: impl FnOnce(&mut Stage) -> Result<Outcomes, BenchError>,
    ) -> Result<Self, BenchError> {
        let (begun, proxy, ends) = (
            Instant::now(),
            stage.fleet.run_time()?,
            run_time_of_ends(stage)?,
        );
        let outcomes = work(stage)?;
        let took = begun.elapsed();
        Ok(Self {
            outcomes,
            took,
            proxy: stage.fleet.run_time()?.saturating_sub(proxy),
            ends: run_time_of_ends(stage)?.saturating_sub(ends),
        })
    }
}

fn run_time_of_ends(stage: &Stage) -> Result<Duration, BenchError> {
    let pids = [stage.app.pids(), stage.held.pids()].concat();
    accounting::run_time(&pids)
}

impl Memory {
    /// Reads it; `before` is the reading before there were connections.
    fn now(stage: &Stage, before: Option<&Self>) -> Result<Self, BenchError> {
        let kernel = KernelMemory::settled()?;
        let left = kernel.left_since(before.map_or(&kernel, |before| &before.kernel));
        let harness = process::proportional_memory_bytes(std::process::id())?;
        Ok(Self {
            proxy: stage.fleet.memory_bytes()?,
            app: accounting::memory_bytes(&stage.app.pids())?,
            load: accounting::memory_bytes(&stage.held.pids())? + harness,
            left,
            kernel,
        })
    }

    /// All parts together.
    pub(crate) fn sum(&self) -> u64 {
        self.kernel.sum() + self.proxy + self.app + self.load
    }
}

/// The instance that the kernel has given the most connections.
fn fullest(stage: &Stage) -> Option<Descriptors> {
    let all = stage.fleet.pids().into_iter();
    // One that cannot be asked is no less at work; the figure is a note.
    let all = all.filter_map(|pid| process::descriptors(pid).ok());
    all.max_by_key(|one| one.open)
}
