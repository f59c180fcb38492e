//! `--watch`: a visit every few seconds, until SIGINT or SIGTERM, or until nobody reads what is told and nothing is
//! recorded either; the last verdict is the exit status.

use std::io::{self, IsTerminal as _, Write};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{SignalKind, signal};

use super::{DoctorError, Reader, Teller, Visits, exit, record, recorder, written};
use crate::cli::DoctorVisit;
use crate::exit::Exit;

/// From the beginning of one visit to the beginning of the next.
const PERIOD: Duration = Duration::from_secs(2);

/// A visit is followed by at least so many times its length: a twentieth of one core is what a watch may cost.
const REST_FACTOR: u32 = 20;

/// Clears a terminal and begins at its top (ECMA-48: CUP, ED).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Visits until a signal comes.
pub(super) fn run(
    visit: &DoctorVisit,
    teller: Teller,
    out: &mut impl Write,
) -> Result<Exit, DoctorError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(DoctorError::Signals)?;
    runtime.block_on(watch(visit, teller, out))
}

async fn watch(
    visit: &DoctorVisit,
    teller: Teller,
    out: &mut impl Write,
) -> Result<Exit, DoctorError> {
    let of_kind = |kind| signal(kind).map_err(DoctorError::Signals);
    let mut interrupt = of_kind(SignalKind::interrupt())?;
    let mut terminate = of_kind(SignalKind::terminate())?;
    let mut recorder = recorder(visit)?;
    let mut visits = Visits::new(visit);
    let redraws = !teller.json && io::stdout().is_terminal();
    let teller = teller.of_another_time();
    let mut is_first = true;
    loop {
        let begun = Instant::now();
        let report = visits.next()?;
        // Most of the first visit is waiting for what changes.
        let cost = if is_first {
            Duration::ZERO
        } else {
            begun.elapsed()
        };
        record(recorder.as_mut(), &report)?;
        if redraws {
            written(out, CLEAR)?;
        } else if !is_first && !teller.json {
            written(out, "\n")?;
        }
        let exit = exit(report.verdict());
        if teller.tell(&report, out)? == Reader::Gone && recorder.is_none() {
            return Ok(exit);
        }
        is_first = false;
        let next = begun + PERIOD.max(cost * REST_FACTOR);
        // The visit blocks this thread, on which nothing else is; a signal that came meanwhile is seen here.
        tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(exit),
            _ = terminate.recv() => return Ok(exit),
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
}
