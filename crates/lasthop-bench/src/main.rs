//! The benchmark harness: drives lasthop and its rivals with the same work and writes the tables of `docs/benchmarks.md`.
//!
//! [`mod@compare`] is the first command; [`scenario`] lists the work, and each kind of it is an [`experiment`]: one file that brings
//! proxies ([`rival`]), apps and loads ([`endpoint`], [`load`]) together and counts what the proxy used ([`accounting`]).
//! [`mod@hold`] and [`mod@fill`] hold as many connections as it takes to run out of ports: each [`contestant`] has a
//! [`stage`] of its own. [`mod@million`] holds a million through lasthop alone. [`mod@sockets`] measures what looking at a full
//! host costs, [`mod@churn`] whether memory grows. A [`report`] goes to [`output`]. Everything that is started is a guard that
//! ends it. Not part of the proxy and not
//! installed with it.

mod accounting;
mod churn;
mod cli;
mod compare;
mod contestant;
mod core_use;
mod cores;
mod criteria;
mod endpoint;
mod error;
mod experiment;
mod fill;
mod hold;
mod host;
mod interrupt;
mod load;
mod million;
mod output;
mod ports;
mod report;
mod rival;
mod scenario;
mod sockets;
mod spread;
mod stage;
mod tally;
mod traffic;
mod trend;
mod upstream;

use std::error::Error as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use endpoint::{app, hold_app, holder, pace, pacer, pairs};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Compare(wanted) => compare::compare(&wanted),
        Command::Hold(wanted) => hold::hold(&wanted),
        Command::Fill(wanted) => fill::fill(&wanted),
        Command::Million(wanted) => million::million(&wanted),
        Command::Sockets(wanted) => sockets::sockets(&wanted),
        Command::Churn(wanted) => churn::churn(&wanted),
        Command::App(wanted) => app::serve(&wanted.directory),
        Command::HoldApp(wanted) => hold_app::serve(wanted.over),
        Command::Holder(wanted) => holder::serve(&holder::Errand {
            address: wanted.address,
            source: wanted.source,
            kind: wanted.kind,
        }),
        Command::Pairs(wanted) => pairs::serve(&pairs::Errand {
            address: wanted.address,
            source: wanted.source,
            count: wanted.count,
        }),
        Command::Pace(wanted) => pace::serve(pacer::Pace {
            address: wanted.address,
            connections: wanted.connections,
            per_second: wanted.per_second,
            requests: wanted.requests,
            body_bytes: wanted.bytes,
        }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("lasthop-bench: {error}"));
            let mut cause = error.source();
            while let Some(error) = cause {
                say(&format!("    {error}"));
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// A line for the one who waits, on the standard error.
fn say(line: &str) {
    // With nobody listening there is nobody to tell.
    let _ = writeln!(io::stderr(), "{line}");
}
