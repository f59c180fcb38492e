//! What can stop a benchmark, or spoil one run of it, and whose fault it is.
//!
//! One type for the whole harness: what spoils a run is kept beside the figures of the others, the rest has one caller,
//! `main`, which prints the chain and exits.

use std::io;

use lasthop_kernel::limits::LimitError;
use lasthop_kernel::process::ProcessError;
use thiserror::Error;

/// Why there is no table, or a figure less in it.
#[derive(Debug, Error)]
pub(crate) enum BenchError {
    /// Something of this host was not to be had, or a file not to be written.
    #[error("cannot {attempt}")]
    Host {
        attempt: String,
        #[source]
        source: io::Error,
    },
    /// The descriptor limit could not be raised.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A process could not be pinned, or its CPU time or memory not be read.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A proxy ended, or never answered, instead of serving.
    #[error("{name} {what}{complaints}")]
    Rival {
        name: &'static str,
        what: &'static str,
        /// The end of its standard error, each line on a line of its own, indented.
        complaints: String,
    },
    /// Answers were missing or wrong, so the figures would mean nothing.
    #[error("{errors} requests failed; the first: {first}")]
    Requests { errors: u64, first: String },
    /// A load of ours met something that is not as agreed.
    #[error("{0}")]
    Failed(String),
    /// The generator of load at a fixed rate was itself late too often, so the latencies would be its own.
    #[error(
        "the load generator could not keep the rate: {late} of {requests} requests were late by its own doing; \
         this host is too busy or too slow for it"
    )]
    Late { late: u64, requests: u64 },
    /// A process of ours ended or said something else than agreed: our own mistake, or a host that kills.
    #[error("the process `{name}` {what}")]
    Endpoint {
        name: &'static str,
        what: &'static str,
    },
    /// The load program said something that is not understood.
    #[error("wrk printed no figure for {figure}; it said:\n{said}")]
    Wrk { figure: &'static str, said: String },
    /// Nothing to measure.
    #[error("no proxy to measure: {0}")]
    Nobody(String),
    /// More clients than proxies, app and load have descriptors for.
    #[error(
        "{wanted} connections are more than this host's limit on open files has room for ({room}); raise it, or ask for \
         fewer with --held"
    )]
    Room { wanted: usize, room: usize },
    /// More held connections than this host has memory, files or processes for.
    #[error("this host has no room for {connections} held connections: {short}")]
    TooSmall { connections: usize, short: String },
    /// The tables are there, and say which runs are not in them.
    #[error("{0} runs failed; see above")]
    Spoilt(usize),
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

    /// Whether only the run in progress is lost by it: it is about the proxy or the moment, not about the harness.
    pub(crate) fn spoils_one_run(&self) -> bool {
        matches!(
            self,
            Self::Rival { .. }
                | Self::Requests { .. }
                | Self::Failed(_)
                | Self::Late { .. }
                | Self::Process(_)
        )
    }
}
