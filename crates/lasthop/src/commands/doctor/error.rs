//! Why there is no verdict, and whose fault that is.

use std::io;

use lasthop_kernel::namespace::EnterError;

use crate::config::ConfigError;
use crate::doctor::{RecordingError, UnknownCode};
use crate::exit::Exit;

/// What kept the doctor from a verdict.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// The report could not be written.
    #[error("the report cannot be written")]
    Output(#[source] io::Error),
    /// A recording cannot be read or written.
    #[error(transparent)]
    Recording(RecordingError),
    /// There is no such finding.
    #[error(transparent)]
    Code(UnknownCode),
    /// The configuration that was named is refused.
    #[error(transparent)]
    Config(ConfigError),
    /// The network namespace of the process that was named cannot be looked at.
    #[error(transparent)]
    Enter(EnterError),
    /// The processes of this host cannot be listed.
    #[error("the network namespaces of this host cannot be listed")]
    Namespaces(#[source] io::Error),
    /// No signal can be waited for.
    #[error("the watch cannot wait for signals")]
    Signals(#[source] io::Error),
}

impl DoctorError {
    /// The exit status that goes with it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Code(_) | Self::Config(_) => Exit::Usage,
            Self::Recording(error) if error.is_usage() => Exit::Usage,
            Self::Recording(_)
            | Self::Output(_)
            | Self::Enter(_)
            | Self::Namespaces(_)
            | Self::Signals(_) => Exit::Failed,
        }
    }
}
