//! Why there is no verdict, and whose fault that is.

use std::io;

use crate::exit::Exit;

/// What kept the doctor from a verdict.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// The report could not be written.
    #[error("the report cannot be written")]
    Output(#[source] io::Error),
}

impl DoctorError {
    /// The exit status that goes with it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Output(_) => Exit::Failed,
        }
    }
}
