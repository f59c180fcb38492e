//! What the binary can do, one file a command, and what reports have in common.

pub mod check;
pub mod demo;
pub mod doctor;
pub mod plan;
pub mod run;
pub mod top;
mod warnings;

use std::io;

use crate::config::ConfigError;
use crate::exit::Exit;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file is refused.
    #[error(transparent)]
    Config(ConfigError),
    /// The report could not be written.
    #[error("the report cannot be written: {0}")]
    Output(io::Error),
}

impl ReportError {
    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_) => Exit::Usage,
            Self::Output(_) => Exit::Failed,
        }
    }
}
