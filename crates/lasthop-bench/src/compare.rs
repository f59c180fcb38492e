//! The command `compare`: finds the proxies, says how long it will take, runs the scenarios, writes what came out.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lasthop::demo::scratch::Scratch;

use crate::cli;
use crate::cores::Cores;
use crate::endpoint::app::AppProcess;
use crate::error::BenchError;
use crate::experiment::{Bench, latency, memory, throughput};
use crate::interrupt::Interrupt;
use crate::load::Load;
use crate::output;
use crate::report::{Machine, Readings, Report, Section};
use crate::rival::{Fields, Found, Rival, Room};
use crate::say;
use crate::scenario::{Scenario, Work};

/// Above this load average something else wants the cores, and absolute figures say little.
const BUSY_LOAD_AVERAGE: f64 = 0.5;

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
        seconds: wanted.seconds(),
        rate_percent: wanted.rate,
        held: wanted.held,
        fields: if wanted.same_fields {
            Fields::Same
        } else {
            Fields::None
        },
        room: Room::on_this_host()?,
        load: Load::choose(),
        cores: Cores::divide()?,
        interrupt,
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
        rate_percent: bench.rate_percent,
        held: bench.held,
        fields: bench.fields,
        only: wanted.only.clone(),
        proxies: bench.proxies,
        missing,
        sections,
        chart: chart_beside_document(wanted),
    };
    write_all(wanted, &report)?;
    match report.failures().count() {
        0 => Ok(()),
        failures => Err(BenchError::Spoilt(failures)),
    }
}

/// One scenario with an app of its own; with the figures what is to be known about them.
fn measure(bench: &Bench, scenario: Scenario) -> Result<(Readings, Vec<String>), BenchError> {
    let scratch =
        Scratch::new().map_err(BenchError::host("make a directory for the app's socket"))?;
    let app = |body_bytes: usize| AppProcess::start(body_bytes, scratch.path(), &bench.interrupt);
    let readings = match scenario.work {
        Work::Throughput(traffic) => {
            let app = app(traffic.body_bytes)?;
            Readings::Throughput(throughput::compare(bench, scenario, traffic, &app)?)
        }
        Work::Latency => {
            let app = app(latency::BODY_BYTES)?;
            let (readings, notes) = latency::compare(bench, scenario, &app)?;
            return Ok((Readings::Latency(readings), notes));
        }
        Work::Memory(kind) => {
            let app = AppProcess::start_holding(scratch.path(), &bench.interrupt)?;
            Readings::Memory(memory::compare(bench, scenario, kind, &app)?)
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
    if machine.load_average > BUSY_LOAD_AVERAGE {
        say(&format!(
            "this host is busy (load average {:.2}): expect wide spreads, and trust only the ratios",
            machine.load_average
        ));
    }
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
        let path = match (wanted.binary(rival), rival) {
            (Some(path), _) => Some(path.clone()),
            (None, Rival::Lasthop) => Some(beside_this_binary(rival.name())?),
            (None, _) => None,
        };
        match Found::look_for(rival, path.as_deref()) {
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

fn beside_this_binary(name: &str) -> Result<PathBuf, BenchError> {
    let this = std::env::current_exe().map_err(BenchError::host("find its own binary"))?;
    Ok(this.with_file_name(name))
}

/// How the document calls the chart, where both are written into one directory.
fn chart_beside_document(wanted: &cli::Compare) -> Option<String> {
    let (chart, document) = (wanted.svg.as_ref()?, wanted.markdown.as_ref()?);
    (chart.parent() == document.parent())
        .then(|| chart.file_name()?.to_str().map(str::to_owned))
        .flatten()
}

fn write_all(wanted: &cli::Compare, report: &Report) -> Result<(), BenchError> {
    let mut out = io::stdout();
    out.write_all(output::text::render(report).as_bytes())
        .and_then(|()| out.flush())
        .map_err(BenchError::host("write to the standard output"))?;
    if let Some(path) = &wanted.json {
        write(path, &output::json::render(report))?;
    }
    if let Some(path) = &wanted.svg {
        write(path, &output::svg::render(report))?;
    }
    if let Some(path) = &wanted.markdown {
        let document = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(BenchError::host(format!("read {}", path.display())))?,
        };
        write(path, &output::markdown::update(&document, report))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    fs::write(path, text).map_err(BenchError::host(format!("write {}", path.display())))
}
