//! Where the load comes from: `wrk` if it is installed, else a client of our own.
//!
//! `wrk` is preferred because it is nobody's of the compared ones and everybody can repeat its part. It does not check
//! what it gets, so our own client, which does, always runs the warm-up first.

mod own;
mod wrk;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use own::Seen;

use crate::endpoint::runtime;
use crate::error::BenchError;
use crate::rival::{first_line_of, in_path};
use crate::traffic::Traffic;

/// The program that sends the load.
#[derive(Clone, Debug)]
pub(crate) enum Load {
    Wrk { binary: PathBuf, version: String },
    Own,
}

/// One run of load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) address: SocketAddr,
    pub(crate) traffic: Traffic,
    pub(crate) seconds: u64,
}

/// What a run of load saw, whoever sent it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    /// Failed connects, reads and writes, timeouts, and answers with another status than 2xx.
    pub(crate) errors: u64,
    pub(crate) requests_per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrk { version, .. } => write!(f, "wrk, one thread ({version})"),
            Self::Own => f.write_str("a client of our own, one thread (wrk is not installed)"),
        }
    }
}

impl Load {
    /// `wrk` if it can be run.
    pub(crate) fn choose() -> Self {
        let Some(binary) = in_path("wrk") else {
            return Self::Own;
        };
        match first_line_of(&binary, "-v") {
            // "wrk debian/4.1.0-3 [epoll] Copyright (C) …": the version is the second word.
            Ok(line) => Self::Wrk {
                version: line
                    .split_whitespace()
                    .nth(1)
                    .unwrap_or("unknown version")
                    .to_owned(),
                binary,
            },
            Err(_) => Self::Own, // it is there and does not run: as good as missing
        }
    }

    /// Sends load for `work.seconds` and waits for its end.
    pub(crate) fn run(&self, work: &Work) -> Result<Outcome, BenchError> {
        match self {
            Self::Wrk { binary, .. } => wrk::run(binary, work),
            Self::Own => {
                let seen = checked(work, Duration::from_secs(work.seconds))?;
                Ok(Outcome {
                    requests: seen.requests,
                    errors: seen.errors,
                    requests_per_second: seen.requests_per_second(),
                    p50: seen.latency.quantile(500).unwrap_or_default(),
                    p99: seen.latency.quantile(990).unwrap_or_default(),
                })
            }
        }
    }
}

/// Load of our own, every answer checked, for `duration`.
pub(crate) fn checked(work: &Work, duration: Duration) -> Result<Seen, BenchError> {
    Ok(runtime()?.block_on(own::run(work, duration)))
}
