//! The command `churn`: clients of all kinds come and go through lasthop for minutes or hours, and whether its memory grows.
//!
//! A leak of eight bytes a client would be half a percent of what one of them takes while it is there, and no reading of
//! memory would show it after a minute. After an hour at a steady rate it is megabytes. So the rate stays the same all the
//! time, memory is read again and again, and the verdict is the slope of the readings with its uncertainty: what wavers has
//! one as well.

mod client;
mod crowd;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lasthop::demo::app::App;
use lasthop::demo::scratch::Scratch;
use lasthop_kernel::limits;

pub(crate) use client::Kind;
pub(crate) use crowd::Fate;

use crate::endpoint::runtime;
use crate::error::BenchError;
use crate::interrupt::Interrupt;
use crate::output::{self, files};
use crate::report::Machine;
use crate::rival::{Found, Rival, Server, fill_in};
use crate::trend::Trend;
use crate::{accounting, cli, ports, say};
use crowd::Crowd;

/// Growth that is none, in bytes an hour: a third of a byte a client at the default rate, where the smallest piece that an
/// allocator gives is eight.
pub(crate) const GROWTH_MAX: f64 = 256.0 * 1024.0;
/// The part of the time, at its beginning, in which the process takes what it needs once, and how long that is at least;
/// those readings do not count.
const SETTLING_PART: u32 = 10;
const SETTLING_MIN: Duration = Duration::from_secs(300);
/// Fewer readings say nothing.
const SETTLED_MIN: usize = 10;
/// Readings that are wanted, and how far they lie apart at least.
const READINGS: u32 = 120;
const READING_PERIOD_MIN: Duration = Duration::from_secs(5);
/// How long the proxy is given after the last client, for what it closes by itself and what its allocator gives back.
const AFTERWARDS: Duration = Duration::from_secs(5);
/// Body bytes of each answer: two buffers of the proxy.
const BODY_BYTES: usize = 32 * 1024;

const TEMPLATE: &str = include_str!("churn/lasthop.toml");

/// Everything that `output::churn` shows.
#[derive(Clone, Debug)]
pub(crate) struct ChurnReport {
    pub(crate) machine: Machine,
    pub(crate) version: String,
    pub(crate) minutes: u64,
    pub(crate) per_second: u64,
    /// Before the first client.
    pub(crate) before: Reading,
    /// While they came and went, in their order.
    pub(crate) readings: Vec<Reading>,
    /// Some seconds after the last one.
    pub(crate) after: Reading,
    /// By [`Kind::ALL`].
    pub(crate) fates: Vec<Fate>,
    /// Clients that were due and not begun because too many were open.
    pub(crate) left_out: u64,
    /// Time on a core, as a part of one.
    pub(crate) core_part: f64,
}

/// The proxy's memory at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reading {
    /// Since the first client.
    pub(crate) at: Duration,
    /// Clients open.
    pub(crate) open: usize,
    /// `Pss`, what is shared with others divided among them.
    pub(crate) pss_bytes: u64,
    /// Of it what is its own, and not mapped from a file (`RssAnon`): this is what could leak.
    pub(crate) own_bytes: u64,
}

/// What the readings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does not grow by more than [`GROWTH_MAX`].
    Level,
    /// It does.
    Growing,
    /// The readings waver too much for so short a time.
    Unclear,
}

impl ChurnReport {
    /// The readings that count.
    pub(crate) fn settled(&self) -> &[Reading] {
        let settling = (Duration::from_secs(60 * self.minutes) / SETTLING_PART).max(SETTLING_MIN);
        let first = self.readings.partition_point(|one| one.at < settling);
        &self.readings[first..]
    }

    /// Growth of its own memory in bytes an hour; none where readings are too few to tell.
    #[allow(
        clippy::cast_precision_loss,
        reason = "bytes of memory stay below 2^53"
    )]
    pub(crate) fn growth(&self) -> Option<Trend> {
        let hours = |reading: &Reading| reading.at.as_secs_f64() / 3600.0;
        let settled = self.settled();
        let points = settled.iter();
        let points: Vec<_> = points
            .map(|one| (hours(one), one.own_bytes as f64))
            .collect();
        Trend::of(&points).filter(|_| settled.len() >= SETTLED_MIN)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self.growth() {
            Some(growth) if growth.low > GROWTH_MAX => Verdict::Growing,
            Some(growth) if growth.high <= GROWTH_MAX => Verdict::Level,
            _ => Verdict::Unclear,
        }
    }

    /// Clients that saw something else than they should.
    pub(crate) fn failures(&self) -> usize {
        let failed = self.fates.iter().map(|fate| fate.failed.failure_count());
        failed.sum()
    }
}

/// Runs it.
///
/// # Errors
/// [`BenchError::Failed`], after everything has been written, where memory grows or a client saw what it should not.
pub(crate) fn churn(wanted: &cli::Churn) -> Result<(), BenchError> {
    let interrupt = Interrupt::listen()?;
    let lasthop = Found::look_for_by_default(Rival::Lasthop, wanted.lasthop.as_ref())
        .map_err(BenchError::Nobody)?;
    limits::raise_nofile()?;
    let machine = Machine::here();
    machine.warn_if_busy();
    let report = run(wanted, &lasthop, machine, &interrupt)?;
    files::write_all(
        &wanted.outputs(),
        &output::churn::text(&report),
        || output::churn::json(&report),
        String::new,
        ("churn", &|| output::churn::markdown(&report)),
    )?;
    if report.failures() > 0 {
        return Err(BenchError::Failed(format!(
            "{} clients saw something else than they should",
            report.failures()
        )));
    }
    match report.verdict() {
        Verdict::Level | Verdict::Unclear => Ok(()),
        Verdict::Growing => Err(BenchError::Failed("memory grows".to_owned())),
    }
}

fn run(
    wanted: &cli::Churn,
    lasthop: &Found,
    machine: Machine,
    interrupt: &Interrupt,
) -> Result<ChurnReport, BenchError> {
    let scratch = Scratch::new().map_err(BenchError::host("make a directory for files"))?;
    // The demo's app, which has tunnels; in this process, since only lasthop's memory is looked at.
    let app = App::start(BODY_BYTES, scratch.path()).map_err(BenchError::host("start the app"))?;
    let server = start(lasthop, &app, scratch.path())?;
    let pids = [server.pid()];
    let before = read(&server, Duration::ZERO, 0)?;
    let (begun, cpu_before) = (Instant::now(), accounting::run_time(&pids)?);
    let duration = Duration::from_secs(60 * wanted.minutes);
    let period = (duration / READINGS).max(READING_PERIOD_MIN);
    let mut crowd = Crowd::new(server.address(), wanted.per_second);
    let mut readings = Vec::new();
    let runtime = runtime()?;
    runtime.block_on(async {
        while begun.elapsed() < duration {
            crowd.go_on(period).await;
            interrupt.check()?;
            let reading = read(&server, begun.elapsed(), crowd.open())?;
            tell(&reading, crowd.begun());
            readings.push(reading);
        }
        Ok::<_, BenchError>(())
    })?;
    let cpu = accounting::run_time(&pids)?.saturating_sub(cpu_before);
    let core_part = cpu.as_secs_f64() / begun.elapsed().as_secs_f64();
    runtime.block_on(async {
        crowd.all_gone().await;
        tokio::time::sleep(AFTERWARDS).await;
    });
    Ok(ChurnReport {
        machine,
        version: lasthop.version.clone(),
        minutes: wanted.minutes,
        per_second: wanted.per_second,
        before,
        readings,
        after: read(&server, begun.elapsed(), crowd.open())?,
        fates: crowd.fates(),
        left_out: crowd.left_out(),
        core_part,
    })
}

fn tell(reading: &Reading, begun: u64) {
    say(&format!(
        "{:6.1} min: {:6} KiB of its own, {:6} KiB Pss, {} open of {begun}",
        reading.at.as_secs_f64() / 60.0,
        reading.own_bytes >> 10,
        reading.pss_bytes >> 10,
        reading.open
    ));
}

fn start(lasthop: &Found, app: &App, directory: &Path) -> Result<Server, BenchError> {
    Server::start_on_a_free_port("lasthop", directory, || {
        let address = ports::free_address().map_err(BenchError::host("find a free port"))?;
        let words = [
            ("@LISTEN@", address.to_string()),
            ("@TCP@", app.tcp_address().to_string()),
            ("@UNIX@", format!("unix:{}", app.unix_path().display())),
            ("@DIRECTORY@", directory.display().to_string()),
        ];
        let path = directory.join("lasthop.toml");
        fs::write(&path, fill_in(TEMPLATE, &words))
            .map_err(BenchError::host(format!("write {}", path.display())))?;
        let mut command = Command::new(&lasthop.binary);
        command.arg("run").arg(path);
        Ok((address, command))
    })
}

fn read(server: &Server, at: Duration, open: usize) -> Result<Reading, BenchError> {
    let pids = [server.pid()];
    Ok(Reading {
        at,
        open,
        pss_bytes: accounting::memory_bytes(&pids)?,
        own_bytes: accounting::own_bytes(server.pid())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    /// An hour in which memory grows by so much each minute, around a level that wavers by 100 KiB.
    fn report(bytes_a_minute: u64) -> ChurnReport {
        sample::churn(bytes_a_minute)
    }

    #[test]
    fn a_byte_a_client_is_seen_after_an_hour_and_what_wavers_is_not_taken_for_it() {
        assert_eq!(report(0).verdict(), Verdict::Level);
        // 200 clients a second.
        assert_eq!(report(8 * 200 * 60).verdict(), Verdict::Growing);
        assert_eq!(report(200 * 60).verdict(), Verdict::Growing);
    }

    #[test]
    fn what_a_process_takes_once_does_not_count() {
        let mut report = report(0);
        for reading in report.readings.iter_mut().take(5) {
            reading.own_bytes = 0;
        }
        assert_eq!(report.verdict(), Verdict::Level);
    }

    #[test]
    fn a_short_look_says_nothing() {
        let mut report = report(0);
        report.readings.truncate(20);
        assert_eq!(report.verdict(), Verdict::Unclear, "it wavers too much");
        report.readings.truncate(10);
        assert_eq!(report.growth(), None, "it may not have settled");
        assert_eq!(report.verdict(), Verdict::Unclear);
    }
}
