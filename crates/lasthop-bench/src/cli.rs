//! What can be asked of the harness.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Drives lasthop and its rivals with the same work and compares what it costs.
#[derive(Debug, Parser)]
#[command(name = "lasthop-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// CPU per request with all connections kept, over TCP and over a Unix socket
    Keepalive(Keepalive),
    /// The app behind the proxies, for the harness itself
    #[command(hide = true)]
    App(App),
}

#[derive(Debug, Args)]
pub(crate) struct Keepalive {
    /// Seconds of each measured run
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// Runs of each proxy over each transport
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Client connections, each with one request at a time
    #[arg(long, default_value_t = 64, value_parser = connections)]
    pub(crate) clients: usize,
    /// Body bytes of each answer
    #[arg(long, default_value_t = 100, value_parser = body_bytes)]
    pub(crate) bytes: usize,
    /// Let the rivals set the forwarding fields that lasthop always sets
    #[arg(long)]
    pub(crate) same_fields: bool,
    /// Our binary; without it, the one beside this harness
    #[arg(long, value_name = "PATH")]
    pub(crate) lasthop: Option<PathBuf>,
    /// Leave a proxy out; may be repeated
    #[arg(long, value_name = "NAME", value_parser = ["lasthop", "nginx", "haproxy"])]
    pub(crate) without: Vec<String>,
    /// Write every run to a file as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the section into a Markdown file, in the place of an older one
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct App {
    /// Body bytes of each answer
    #[arg(long)]
    pub(crate) bytes: usize,
    /// Where its socket is made
    #[arg(long)]
    pub(crate) directory: PathBuf,
}

/// What the rivals' configurations have room for, with a connection to the app for each.
const CLIENTS_MAX: usize = 1000;
/// The app keeps the whole answer in memory.
const BODY_BYTES_MAX: usize = 64 << 20;

fn connections(text: &str) -> Result<usize, String> {
    bounded(text, 1, CLIENTS_MAX)
}

fn body_bytes(text: &str) -> Result<usize, String> {
    bounded(text, 0, BODY_BYTES_MAX)
}

fn bounded(text: &str, min: usize, max: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (min..=max).contains(&count) => Ok(count),
        _ => Err(format!("a whole number from {min} to {max} is wanted")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn more_clients_than_the_rivals_have_room_for_are_refused() {
        assert!(Cli::try_parse_from(["lasthop-bench", "keepalive", "--clients", "1001"]).is_err());
        assert!(Cli::try_parse_from(["lasthop-bench", "keepalive", "--clients", "0"]).is_err());
        assert!(Cli::try_parse_from(["lasthop-bench", "keepalive", "--clients", "1000"]).is_ok());
    }
}
