//! The command `compare`: finds the proxies, says how long it will take, runs the scenarios, writes what came out.

use std::cell::Cell;
use std::time::Duration;

use lasthop::demo::scratch::Scratch;

use crate::cli;
use crate::cores::Cores;
use crate::endpoint::app::AppProcess;
use crate::endpoint::hold_app::HoldApp;
use crate::error::BenchError;
use crate::experiment::{Bench, connect, latency, memory, throughput, workers};
use crate::interrupt::Interrupt;
use crate::load::Load;
use crate::output::{self, files};
use crate::report::{Machine, Readings, Report, Section};
use crate::rival::{Fields, Found, Rival, Room};
use crate::say;
use crate::scenario::{Scenario, Work};
use crate::upstream::Transport;

/// Runs it.
///
/// # Errors
/// [`BenchError::Spoilt`], after everything has been written, when some of the runs failed.
pub(crate) fn compare(wanted: &cli::Compare) -> Result<(), BenchError> {
    let interrupt = Interrupt::listen()?;
    let (proxies, missing) = look_for_proxies(wanted)?;
    let machine = Machine::here(); // before this thread is moved, which hides the other cores
    let bench = Bench {
        proxies,
        rounds: wanted.rounds(),
        rounds_of_others: wanted.rounds_of_others(),
        seconds: wanted.seconds(),
        rate_percent: wanted.rate,
        held: wanted.held,
        fields: if wanted.fewest_fields {
            Fields::Fewest
        } else {
            Fields::Same
        },
        room: Room::on_this_host()?,
        load: Load::choose(),
        cores: Cores::divide()?,
        interrupt,
        repeats_left: Cell::new(wanted.repeats()),
    };
    let scenarios = Scenario::chosen(&wanted.only);
    check_room(&bench, &scenarios)?;
    announce(&bench, &scenarios, &machine);
    let mut sections = Vec::new();
    for scenario in scenarios {
        let (readings, notes) = measure(&bench, scenario)?;
        sections.push(Section {
            scenario,
            description: scenario.description(&bench),
            readings,
            notes,
        });
    }
    let report = Report {
        machine,
        cores: bench.cores.description(),
        load: bench.load.to_string(),
        seconds: bench.seconds,
        rounds: bench.rounds,
        rounds_of_others: bench.rounds_of_others,
        rate_percent: bench.rate_percent,
        held: bench.held,
        fields: bench.fields,
        only: wanted.only.clone(),
        proxies: bench.proxies,
        missing,
        sections,
        chart: wanted.outputs.chart_beside_document(),
    };
    files::write_all(
        &wanted.outputs,
        &output::text::render(&report),
        || output::json::render(&report),
        || output::svg::render(&report),
        ("compare", &|| output::markdown::section(&report)),
    )?;
    match report.failures().count() {
        0 => Ok(()),
        failures => Err(BenchError::Spoilt(failures)),
    }
}

/// One scenario with an app of its own; with the figures what is to be known about them.
fn measure(bench: &Bench, scenario: Scenario) -> Result<(Readings, Vec<String>), BenchError> {
    let scratch =
        Scratch::new().map_err(BenchError::host("make a directory for the app's socket"))?;
    let app = || AppProcess::start(scratch.path(), &bench.interrupt);
    let readings = match scenario.work {
        Work::Throughput(traffic) => {
            Readings::Throughput(throughput::compare(bench, scenario, traffic, &app()?)?)
        }
        Work::Workers(traffic) => {
            Readings::Workers(workers::compare(bench, scenario, traffic, &app()?)?)
        }
        Work::Latency => {
            let (readings, notes) = latency::compare(bench, scenario, &app()?)?;
            return Ok((Readings::Latency(readings), notes));
        }
        Work::Connect => {
            let (readings, notes) = connect::compare(bench, scenario)?;
            return Ok((Readings::Connect(readings), notes));
        }
        Work::Memory(kind) => {
            let app = |over| HoldApp::start(over, bench.held, scratch.path(), &bench.interrupt);
            let apps = [app(Transport::Tcp)?, app(Transport::Unix)?];
            Readings::Memory(memory::compare(bench, scenario, kind, &apps)?)
        }
    };
    Ok((readings, Vec::new()))
}

/// Refuses what the descriptor limit has no room for, before anything runs.
fn check_room(bench: &Bench, scenarios: &[Scenario]) -> Result<(), BenchError> {
    let room = bench.room.clients();
    match scenarios.iter().map(|one| one.clients(bench)).max() {
        Some(wanted) if wanted > room => Err(BenchError::Room { wanted, room }),
        _ => Ok(()),
    }
}

/// Says what will be done and how long that takes.
fn announce(bench: &Bench, scenarios: &[Scenario], machine: &Machine) {
    machine.warn_if_busy();
    let names: Vec<&str> = bench.proxies.iter().map(|one| one.rival.name()).collect();
    let duration: Duration = scenarios.iter().map(|one| one.duration(bench)).sum();
    say(&format!(
        "{} scenarios over TCP and a Unix socket with {}; this takes about {}",
        scenarios.len(),
        names.join(", "),
        in_words(duration)
    ));
}

fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

/// The proxies that are there, and in words those that are not or are not wanted.
fn look_for_proxies(wanted: &cli::Compare) -> Result<(Vec<Found>, Vec<String>), BenchError> {
    let (mut proxies, mut missing) = (Vec::new(), Vec::new());
    for rival in Rival::ALL {
        if wanted.without.iter().any(|name| name == rival.name()) {
            missing.push(format!("{}: not wanted", rival.name()));
            continue;
        }
        match Found::look_for_by_default(rival, wanted.binary(rival)) {
            Ok(found) => proxies.push(found),
            Err(reason) => {
                say(&format!("LEFT OUT: {reason}"));
                missing.push(reason);
            }
        }
    }
    if proxies.is_empty() {
        return Err(BenchError::Nobody(missing.join("; ")));
    }
    Ok((proxies, missing))
}
