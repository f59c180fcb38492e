//! What can stop a benchmark, and whose fault it is.
//!
//! One type for the whole harness: it has one caller, `main`, which prints the chain and exits.

use std::io;

use lasthop::demo::proxy::ProxyError;
use lasthop_kernel::process::ProcessError;
use thiserror::Error;

/// Why there is no table.
#[derive(Debug, Error)]
pub(crate) enum BenchError {
    /// Something of this host was not to be had, or a file not to be written.
    #[error("cannot {attempt}")]
    Host {
        attempt: String,
        #[source]
        source: io::Error,
    },
    /// Our own proxy did not come up.
    #[error("lasthop did not come up")]
    Lasthop(#[from] ProxyError),
    /// A process could not be pinned, or its CPU time not be read.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A rival ended, or never answered, instead of serving.
    #[error("{name} {what}{complaints}")]
    Rival {
        name: &'static str,
        what: &'static str,
        /// The end of its standard error, each line on a line of its own, indented.
        complaints: String,
    },
    /// Answers were missing or wrong, so the figures would mean nothing.
    #[error("{errors} requests through {proxy} failed; the first: {first}")]
    Requests {
        proxy: String,
        errors: u64,
        first: String,
    },
    /// The load program said something that is not understood.
    #[error("wrk printed no figure for {figure}; it said:\n{said}")]
    Wrk { figure: &'static str, said: String },
    /// Nothing to measure.
    #[error("no proxy to measure: {0}")]
    Nobody(String),
    /// SIGINT or SIGTERM came.
    #[error("interrupted")]
    Interrupted,
}

impl BenchError {
    /// For `map_err`: an I/O error while attempting what `attempt` says.
    pub(crate) fn host(attempt: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Host { attempt, source }
    }
}
