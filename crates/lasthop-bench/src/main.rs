//! The benchmark harness: drives lasthop and its rivals with the same work and writes the tables of `docs/benchmarks.md`.
//!
//! An experiment is a file of its own (so far [`mod@keepalive`]); it brings proxies ([`rival`]), an app ([`app`]) and load
//! ([`load`]) together, takes runs ([`measure`]) and hands a report to [`output`]. Everything that is started is a guard
//! that ends it. Not part of the proxy and not installed with it.

mod app;
mod cli;
mod cores;
mod error;
mod interrupt;
mod keepalive;
mod load;
mod measure;
mod output;
mod report;
mod rival;
mod spread;
mod upstream;

use std::error::Error as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;
use lasthop::demo::scratch::Scratch;

use app::AppProcess;
use cli::{Cli, Command};
use cores::Cores;
use error::BenchError;
use interrupt::Interrupt;
use load::Load;
use measure::Conditions;
use report::{Machine, Report};
use rival::{Fields, Found, Rival};

/// Above this load average something else wants the cores, and absolute figures say little.
const BUSY_LOAD_AVERAGE: f64 = 0.5;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Keepalive(wanted) => keepalive(&wanted),
        Command::App(wanted) => app::serve(wanted.bytes, &wanted.directory),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("lasthop-bench: {error}"));
            let mut cause = error.source();
            while let Some(error) = cause {
                say(&format!("    {error}"));
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn keepalive(wanted: &cli::Keepalive) -> Result<(), BenchError> {
    let interrupt = Interrupt::listen()?;
    let (proxies, missing) = look_for_proxies(wanted)?;
    let machine = Machine::here(); // before this thread is moved, which hides the other cores
    if machine.load_average > BUSY_LOAD_AVERAGE {
        say(&format!(
            "this host is busy (load average {:.2}): expect wide spreads, and trust only the ratios",
            machine.load_average
        ));
    }
    let conditions = Conditions {
        clients: wanted.clients,
        seconds: wanted.seconds,
        body_bytes: wanted.bytes,
        fields: if wanted.same_fields {
            Fields::Same
        } else {
            Fields::None
        },
        load: Load::choose(),
        cores: Cores::divide()?,
    };
    let scratch =
        Scratch::new().map_err(BenchError::host("make a directory for the app's socket"))?;
    let app = AppProcess::start(wanted.bytes, scratch.path())?;
    let rows = keepalive::run(&proxies, &app, wanted.rounds, &conditions, &interrupt, say)?;
    let report = Report {
        machine,
        cores: conditions.cores.description(),
        load: conditions.load,
        clients: wanted.clients,
        seconds: wanted.seconds,
        rounds: wanted.rounds,
        body_bytes: wanted.bytes,
        fields: conditions.fields,
        proxies,
        missing,
        rows,
    };
    let mut out = io::stdout();
    out.write_all(output::text::render(&report).as_bytes())
        .and_then(|()| out.flush())
        .map_err(BenchError::host("write to the standard output"))?;
    if let Some(path) = &wanted.json {
        write(path, &output::json::render(&report))?;
    }
    if let Some(path) = &wanted.markdown {
        let document = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(BenchError::host(format!("read {}", path.display())))?,
        };
        write(path, &output::markdown::update(&document, &report))?;
    }
    Ok(())
}

/// The proxies that are there, and in words those that are not or are not wanted.
fn look_for_proxies(wanted: &cli::Keepalive) -> Result<(Vec<Found>, Vec<String>), BenchError> {
    let ours = match &wanted.lasthop {
        Some(path) => path.clone(),
        None => beside_this_binary(Rival::Lasthop.name())?,
    };
    let (mut proxies, mut missing) = (Vec::new(), Vec::new());
    for rival in Rival::ALL {
        if wanted.without.iter().any(|name| name == rival.name()) {
            missing.push(format!("{}: not wanted", rival.name()));
            continue;
        }
        let path = (rival == Rival::Lasthop).then_some(ours.as_path());
        match Found::look_for(rival, path) {
            Ok(found) => proxies.push(found),
            Err(reason) => {
                say(&format!("left out: {reason}"));
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

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    fs::write(path, text).map_err(BenchError::host(format!("write {}", path.display())))
}

/// A line for the one who waits, on the standard error.
fn say(line: &str) {
    // With nobody listening there is nobody to tell.
    let _ = writeln!(io::stderr(), "{line}");
}
