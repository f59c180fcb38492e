//! `lasthop doctor`: what runs out on this host or will, told to people or to programs.
//!
//! Chooses what is looked at and where it goes; looking, judging and telling are the business of the room
//! `doctor`. Its exit status is the verdict.

mod error;
mod visit;
mod watch;

use std::env;
use std::io::{self, IsTerminal as _, Write};

use crate::cli::{ColourWhen, DoctorOn, DoctorOptions, DoctorVisit};
use crate::config::Config;
use crate::doctor::{self, Recorder, Report, TextStyle, Verdict};
use crate::exit::Exit;

pub use error::DoctorError;
use visit::Visits;

/// Does what was asked for and writes it to `out`; the exit status is the verdict.
///
/// # Errors
/// [`DoctorError`].
pub fn run(options: &DoctorOptions, out: &mut impl Write) -> Result<Exit, DoctorError> {
    let teller = Teller {
        json: options.json,
        style: TextStyle {
            colour: is_coloured(options.colour),
            recorded: false,
        },
    };
    if let DoctorOn::Host(visit) = &options.on {
        check_config(visit)?;
    }
    match &options.on {
        DoctorOn::Host(visit) if visit.watch => watch::run(visit, teller, out),
        DoctorOn::Host(visit) => once(visit, teller, out),
        DoctorOn::Recording(path) => {
            let report = doctor::replay(path).map_err(DoctorError::Recording)?;
            teller.of_another_time().tell(&report, out)?;
            Ok(exit(report.verdict()))
        }
        DoctorOn::Page(code) => page(code, out),
    }
}

/// A configuration that was named has to be one.
fn check_config(visit: &DoctorVisit) -> Result<(), DoctorError> {
    let config = visit.config.as_deref().map(Config::from_file);
    config.transpose().map_err(DoctorError::Config).map(|_| ())
}

fn once(visit: &DoctorVisit, teller: Teller, out: &mut impl Write) -> Result<Exit, DoctorError> {
    // A file that cannot be written shows before the host is looked at.
    let mut recorder = recorder(visit)?;
    let report = Visits::new(visit).next()?;
    record(recorder.as_mut(), &report)?;
    teller.tell(&report, out)?;
    Ok(exit(report.verdict()))
}

fn recorder(visit: &DoctorVisit) -> Result<Option<Recorder>, DoctorError> {
    let path = visit.record.as_deref();
    path.map(Recorder::open)
        .transpose()
        .map_err(DoctorError::Recording)
}

fn record(recorder: Option<&mut Recorder>, report: &Report) -> Result<(), DoctorError> {
    let Some(recorder) = recorder else {
        return Ok(());
    };
    let mut examinations = report.namespaces.iter();
    examinations
        .try_for_each(|one| recorder.add(&one.snapshot))
        .map_err(DoctorError::Recording)
}

/// How a report is written.
#[derive(Clone, Copy)]
struct Teller {
    json: bool,
    style: TextStyle,
}

impl Teller {
    /// With the times of the snapshots.
    const fn of_another_time(mut self) -> Self {
        self.style.recorded = true;
        self
    }

    fn tell(self, report: &Report, out: &mut impl Write) -> Result<Reader, DoctorError> {
        let text = if self.json {
            format!("{}\n", doctor::json(report))
        } else {
            doctor::text(report, self.style)
        };
        written(out, &text)
    }
}

/// Whoever the report is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// Has taken it.
    Reads,
    /// Has seen enough, as `head` has. That takes nothing from the verdict.
    Gone,
}

fn written(out: &mut impl Write, text: &str) -> Result<Reader, DoctorError> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Reads),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(DoctorError::Output(error)),
    }
}

const fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Healthy => Exit::Done,
        Verdict::Unknown => Exit::Failed,
        Verdict::Warning => Exit::HurtsSoon,
        Verdict::Critical => Exit::HurtsNow,
    }
}

/// On a terminal that can, unless `NO_COLOR` is set to anything but the empty string (no-color.org).
fn is_coloured(when: ColourWhen) -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    match when {
        ColourWhen::Always => true,
        ColourWhen::Never => false,
        ColourWhen::Auto => {
            io::stdout().is_terminal()
                && !is_set("NO_COLOR")
                && env::var_os("TERM").is_some_and(|term| term != "dumb")
        }
    }
}

fn page(code: &str, out: &mut impl Write) -> Result<Exit, DoctorError> {
    let page = doctor::page(code).map_err(DoctorError::Code)?;
    written(out, page)?;
    Ok(Exit::Done)
}
