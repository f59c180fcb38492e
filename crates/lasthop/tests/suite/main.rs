//! The tests of the binary from outside: a real `lasthop` process between real sockets.
//!
//! One test binary for all of them: they spend their time waiting, so they run side by side, and they are linked once.
//! Each file is a theme and each test name is a sentence, a promise of `docs/` or of an RFC. What the tests share is in
//! [`support`]: the process under test, a strict client, and apps that misbehave on purpose. Nothing here looks inside
//! the proxy; unit tests beside the code do that.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed expectation is how a test reports"
)]

mod support;

mod abuse;
mod access_log;
mod admin;
mod admission;
mod answers_refused;
mod backlog;
mod bodies;
mod cli;
mod closing;
mod connect_errors;
mod contrib;
mod dashboard;
mod demo;
mod doctor;
mod doctor_recordings;
mod drain;
mod error_rows;
mod findings;
mod forwarding;
mod hosts;
mod leaving;
mod lifecycle;
mod memory;
mod neighbours;
mod operator_log;
mod plan;
mod prometheus;
mod real_apps;
mod requests_refused;
mod restart;
mod retries;
mod reuse;
mod routes;
mod sampler;
mod shedding;
mod shortages;
mod source_ports;
mod splice;
mod streaming;
mod timeouts;
mod top;
mod upgrade;
mod waiting_for_ports;
mod workers;
