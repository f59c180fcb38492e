//! What can be asked of the harness.

mod churn;
mod compare;
mod endpoints;
mod million;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use churn::Churn;
pub(crate) use compare::Compare;
pub(crate) use endpoints::{App, HoldApp, Holder, Pace, Pairs};
pub(crate) use million::Million;

use crate::contestant;
use crate::error::BenchError;
use crate::rival::{Found, Rival};
use crate::upstream::Transport;

/// Drives lasthop and its rivals with the same work and compares what it costs.
#[derive(Debug, Parser)]
#[command(name = "lasthop-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// CPU, throughput, latency and memory of lasthop and its rivals, alternating in one run
    Compare(Box<Compare>),
    /// So many upgraded connections at once to one address of one app, through lasthop and its rivals
    Hold(Box<Hold>),
    /// Latency of a set-up and of a request, as a function of the connections held
    Fill(Box<Fill>),
    /// A million upgraded connections at once through lasthop to one app, and the memory that they take
    Million(Box<Million>),
    /// What it costs to look at a host with so many sockets: the doctor, top, the sampler of a running instance
    Sockets(Box<Sockets>),
    /// Whether memory grows while clients of all kinds, good and bad ones, come and go
    Churn(Churn),
    /// The app behind the proxies, for the harness itself
    #[command(hide = true)]
    App(App),
    /// The app that holds connections, for the harness itself
    #[command(hide = true)]
    HoldApp(HoldApp),
    /// The load that holds connections, for the harness itself
    #[command(hide = true)]
    Holder(Holder),
    /// Connections held at both ends, for the harness itself
    #[command(hide = true)]
    Pairs(Pairs),
    /// The load at a fixed rate, for the harness itself
    #[command(hide = true)]
    Pace(Pace),
}

#[derive(Debug, Args)]
pub(crate) struct Hold {
    /// Connections to be held
    #[arg(value_name = "N", value_parser = connections)]
    pub(crate) connections: usize,
    /// What the hop to the app goes over
    #[arg(long, value_name = "TRANSPORT", default_value = "both")]
    pub(crate) over: Over,
    /// Measure this contestant alone; several with commas, or repeated
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = contestant::known)]
    pub(crate) only: Vec<String>,
    /// Seconds that a contestant has to open them
    #[arg(long, value_name = "SECONDS", default_value_t = 240, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) deadline: u64,
    #[command(flatten)]
    pub(crate) binaries: Binaries,
    #[command(flatten)]
    pub(crate) outputs: Outputs,
}

impl Hold {
    /// What repeats it, after the name of the program.
    pub(crate) fn arguments(&self) -> String {
        let over = match self.over {
            Over::Tcp => " --over tcp",
            Over::Unix => " --over unix",
            Over::Both => "",
        };
        format!("hold {}{over}{}", self.connections, only(&self.only))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Fill {
    /// Connections held at the end
    #[arg(long, value_name = "N", default_value_t = 90_000, value_parser = connections)]
    pub(crate) to: usize,
    /// Connections between two readings
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = connections)]
    pub(crate) step: usize,
    /// Probes of each kind in a step; those of the set-up are part of the step
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = connections)]
    pub(crate) probes: usize,
    /// Measure this contestant alone; several with commas, or repeated
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = contestant::known)]
    pub(crate) only: Vec<String>,
    /// Seconds that a contestant has in all
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) deadline: u64,
    #[command(flatten)]
    pub(crate) binaries: Binaries,
    #[command(flatten)]
    pub(crate) outputs: Outputs,
}

impl Fill {
    /// What repeats it, after the name of the program.
    pub(crate) fn arguments(&self) -> String {
        format!(
            "fill --to {} --step {} --probes {}{}",
            self.to,
            self.step,
            self.probes,
            only(&self.only)
        )
    }

    /// Refuses figures that do not go together.
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        if self.probes > self.step || self.step > self.to {
            return Err(BenchError::Failed(format!(
                "--probes {} are part of --step {}, which is a part of --to {}: each is at most the next",
                self.probes, self.step, self.to
            )));
        }
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Sockets {
    /// TCP sockets to be held, both ends of a connection counted
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = connections)]
    pub(crate) count: usize,
    /// Seconds for which the sampler of an idle instance is watched
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Our binary; without it, the one beside this harness
    #[arg(long, value_name = "PATH")]
    pub(crate) lasthop: Option<PathBuf>,
    /// Write the section into a Markdown file, in the place of an older one
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// That this is the run in the namespace, and which one it was started from
    #[arg(long, value_name = "INODE", hide = true)]
    pub(crate) inside: Option<u64>,
}

impl Sockets {
    /// What is written besides the report on the terminal.
    pub(crate) fn outputs(&self) -> Outputs {
        Outputs {
            json: None,
            svg: None,
            markdown: self.markdown.clone(),
        }
    }
}

fn only(names: &[String]) -> String {
    if names.is_empty() {
        String::new()
    } else {
        format!(" --only {}", names.join(","))
    }
}

/// Which transports are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Over {
    Tcp,
    Unix,
    Both,
}

impl Over {
    pub(crate) fn transports(self) -> &'static [Transport] {
        match self {
            Self::Tcp => &[Transport::Tcp],
            Self::Unix => &[Transport::Unix],
            Self::Both => &[Transport::Tcp, Transport::Unix],
        }
    }
}

/// Where the proxies are that hold connections.
#[derive(Debug, Args)]
pub(crate) struct Binaries {
    /// Our binary; without it, the one beside this harness
    #[arg(long, value_name = "PATH")]
    lasthop: Option<PathBuf>,
    /// The binary of nginx; without it, the one in PATH
    #[arg(long, value_name = "PATH")]
    nginx: Option<PathBuf>,
    /// The binary of HAProxy; without it, the one in PATH
    #[arg(long, value_name = "PATH")]
    haproxy: Option<PathBuf>,
}

impl Binaries {
    pub(crate) fn look_for(&self, rival: Rival) -> Result<Found, String> {
        let path = match rival {
            Rival::Lasthop => self.lasthop.as_ref(),
            Rival::Nginx => self.nginx.as_ref(),
            Rival::Haproxy => self.haproxy.as_ref(),
            Rival::Envoy | Rival::Caddy => None,
        };
        Found::look_for_by_default(rival, path)
    }
}

/// What is written besides the report on the terminal.
#[derive(Debug, Args)]
pub(crate) struct Outputs {
    /// Write everything to a file as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a chart
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Write the section into a Markdown file, in the place of an older one
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

impl Outputs {
    /// How the document calls the chart, where both are written into one directory.
    pub(crate) fn chart_beside_document(&self) -> Option<String> {
        let (chart, document) = (self.svg.as_ref()?, self.markdown.as_ref()?);
        (chart.parent() == document.parent())
            .then(|| chart.file_name()?.to_str().map(str::to_owned))
            .flatten()
    }
}

/// More is refused here; whether this host has room for so many is seen later.
const CONNECTIONS_MAX: usize = 1_000_000;

fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=CONNECTIONS_MAX).contains(&count) => Ok(count),
        _ => Err(format!(
            "a whole number from 1 to {CONNECTIONS_MAX} is wanted"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
