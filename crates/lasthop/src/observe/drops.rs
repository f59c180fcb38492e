//! Lines that neither log has room for, told in the operator log.
//!
//! A log that loses lines in silence is worse than none. The main thread asks every ten seconds; what was
//! dropped since the last time is one warning, with what to do about it, also when lines flow again.

use std::io;
use std::time::Duration;

use tracing_appender::non_blocking::ErrorCounter;

use super::access::{AccessDrops, AccessWriter};
use super::log::LogGuard;

/// What has been dropped, and how much of it has been told.
#[derive(Debug)]
pub struct Drops {
    access: Option<(AccessDrops, u64)>,
    operator: (ErrorCounter, u64),
}

impl Drops {
    /// How often [`Drops::tell`] is due: at most one warning a log in that time.
    pub const INTERVAL: Duration = Duration::from_secs(10);

    /// Of these two logs, from their start on. Outlives the access log's writer.
    pub fn new(access: Option<&AccessWriter>, operator: &LogGuard) -> Self {
        Self {
            access: access.map(|writer| (writer.drops(), 0)),
            operator: (operator.dropped(), 0),
        }
    }

    /// Tells what was dropped since the last time, if anything was. To be called every
    /// [`Drops::INTERVAL`], and once more when the access log has ended.
    pub fn tell(&mut self) {
        let (operator, operator_told) = &mut self.operator;
        let before = operator.dropped_lines() as u64;
        if let Some((access, access_told)) = &mut self.access {
            let total = access.lines();
            let lines = total - *access_told;
            if lines > 0 {
                let error = access.take_error();
                let fix = fix(error.as_ref());
                let error = error.map(tracing::field::display);
                tracing::warn!(lines, total, error, fix, "access log lines dropped");
                // Otherwise this line may have been dropped too, and its count is told next time.
                if operator.dropped_lines() as u64 == before {
                    *access_told = total;
                }
            }
        }
        let total = operator.dropped_lines() as u64;
        let lines = total - *operator_told;
        if lines > 0 {
            tracing::warn!(
                lines,
                total,
                fix = "whatever reads our standard error has to read faster",
                "operator log lines dropped"
            );
            if operator.dropped_lines() as u64 == total {
                *operator_told = total;
            }
        }
    }
}

fn fix(error: Option<&io::Error>) -> &'static str {
    match error.map(io::Error::kind) {
        None => "whatever reads the access log has to read faster, or log to a file",
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            "make room where the access log is; it goes on by itself"
        }
        Some(io::ErrorKind::BrokenPipe) => {
            "nobody reads the access log any more: restart us together with its reader"
        }
        Some(_) => "mend what the error says; it goes on by itself",
    }
}
