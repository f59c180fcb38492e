//! Where the load comes from: `wrk` if it is installed, else the load client of `lasthop demo`.
//!
//! `wrk` is preferred because it is nobody's of the compared ones and everybody can repeat its part. It does not check
//! what it gets, so our own client, which does, always runs the warm-up first.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use lasthop::demo::load::{self, Destination, LoadOutcome, LoadSettings};
use lasthop_kernel::process;

use crate::endpoint::runtime;
use crate::error::BenchError;
use crate::rival::{first_line_of, in_path};

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
    pub(crate) clients: usize,
    pub(crate) path: &'static str,
    pub(crate) seconds: u64,
    pub(crate) body_bytes: usize,
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
            Self::Own => {
                f.write_str("the load client of lasthop demo, one thread (wrk is not installed)")
            }
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
    pub(crate) fn run(&self, work: Work) -> Result<Outcome, BenchError> {
        match self {
            Self::Wrk { binary, .. } => {
                let mut command = Command::new(binary);
                command
                    .args(["-t1", "--latency", "--timeout", "5s"])
                    .args([
                        "-c",
                        &work.clients.to_string(),
                        "-d",
                        &format!("{}s", work.seconds),
                    ])
                    .arg(format!("http://{}{}", work.address, work.path))
                    .stdin(Stdio::null());
                let said = process::die_with_parent(&mut command)
                    .output()
                    .map_err(BenchError::host("run wrk"))?;
                outcome_of_wrk(&String::from_utf8_lossy(&said.stdout))
            }
            Self::Own => {
                let outcome = checked(work, Duration::from_secs(work.seconds))?;
                Ok(Outcome {
                    requests: outcome.requests,
                    errors: outcome.errors,
                    requests_per_second: outcome.requests_per_second(),
                    p50: outcome.latency.quantile(500).unwrap_or_default(),
                    p99: outcome.latency.quantile(990).unwrap_or_default(),
                })
            }
        }
    }
}

/// Load of our own, every answer checked, for `duration`.
pub(crate) fn checked(work: Work, duration: Duration) -> Result<LoadOutcome, BenchError> {
    Ok(runtime()?.block_on(load::run(&LoadSettings {
        destination: Destination::Tcp(work.address),
        path: work.path,
        connections: work.clients,
        duration,
        body_bytes: work.body_bytes as u64,
    })))
}

/// Reads the report that wrk prints. Its lines of errors are there only if there were some; all others must be there.
fn outcome_of_wrk(said: &str) -> Result<Outcome, BenchError> {
    let missing = |figure| {
        move || BenchError::Wrk {
            figure,
            said: said.to_owned(),
        }
    };
    let after = |mark: &str| {
        said.lines()
            .find_map(|line| line.trim().strip_prefix(mark).map(str::trim))
    };
    let latency = |mark, figure| {
        after(mark)
            .and_then(duration_of_wrk)
            .ok_or_else(missing(figure))
    };
    let requests = said
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())
        .ok_or_else(missing("requests"))?;
    // "Socket errors: connect 0, read 3, write 0, timeout 1"
    let socket_errors: u64 = after("Socket errors:").map_or(0, |line| {
        line.split(|c: char| !c.is_ascii_digit())
            .filter_map(|word| word.parse::<u64>().ok())
            .sum()
    });
    let refusals: u64 = match after("Non-2xx or 3xx responses:") {
        None => 0,
        Some(count) => count.parse().map_err(|_| missing("refused answers")())?,
    };
    Ok(Outcome {
        requests,
        errors: socket_errors + refusals,
        requests_per_second: after("Requests/sec:")
            .and_then(|figure| figure.parse().ok())
            .ok_or_else(missing("requests per second"))?,
        p50: latency("50%", "p50")?,
        p99: latency("99%", "p99")?,
    })
}

/// `905.00us`, `1.20ms`, `2.00s`, `1.50m`.
fn duration_of_wrk(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (figure, unit) = text.split_at(at);
    let seconds_per_unit = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(figure.parse::<f64>().ok()? * seconds_per_unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: &str = "Running 4s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.06ms  213.45us   4.64ms   86.11%
    Req/Sec    60.00k     1.50k   62.00k    75.00%
  Latency Distribution
     50%    1.02ms
     75%    1.10ms
     90%    1.25ms
     99%  905.00us
  240123 requests in 4.00s, 58.00MB read
Requests/sec:  60030.75
Transfer/sec:     14.50MB
";

    #[test]
    fn a_clean_report_is_read() {
        let outcome = outcome_of_wrk(CLEAN).unwrap();
        assert_eq!((outcome.requests, outcome.errors), (240_123, 0));
        assert_eq!(outcome.p50, Duration::from_micros(1020));
        assert_eq!(outcome.p99, Duration::from_micros(905));
        assert!((outcome.requests_per_second - 60_030.75).abs() < 1e-6);
    }

    #[test]
    fn socket_errors_and_refusals_are_errors() {
        let said = format!(
            "{CLEAN}  Socket errors: connect 1, read 20, write 300, timeout 4000\n  Non-2xx or 3xx responses: 50000\n"
        );
        assert_eq!(outcome_of_wrk(&said).unwrap().errors, 54_321);
    }

    #[test]
    fn a_report_without_its_figures_is_an_error_that_names_the_first() {
        let error =
            outcome_of_wrk("unable to connect to 127.0.0.1:1 Connection refused").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("wrk printed no figure for requests"),
            "{error}"
        );
    }
}
