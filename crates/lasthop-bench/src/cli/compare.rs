//! What can be asked of `compare`.

use std::path::PathBuf;

use clap::Args;

use super::Outputs;
use crate::experiment::REPEATS_MAX;
use crate::rival::Rival;
use crate::scenario;

#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Run this scenario or group of scenarios alone, such as keepalive, keepalive-64 or memory; may be repeated
    #[arg(long, value_name = "SCENARIO", value_parser = known_scenario)]
    pub(crate) only: Vec<String>,
    /// Seconds of each measured run; those at a fixed rate take twice as long
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// Runs of each proxy in each scenario
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Of these, those that Envoy and Caddy take part in; without it, all
    #[arg(long, value_name = "ROUNDS", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds_of_others: Option<u32>,
    /// One round of one second: to see that everything works, not to measure
    #[arg(long, conflicts_with_all = ["seconds", "rounds"])]
    pub(crate) quick: bool,
    /// The fixed rate, in percent of what nginx reaches (without nginx: the slowest)
    #[arg(long, value_name = "PERCENT", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) rate: u64,
    /// Connections that are held for a reading of memory
    #[arg(long, value_name = "N", default_value_t = 9000, value_parser = held)]
    pub(crate) held: usize,
    /// Let the rivals set no forwarding field that they can leave out, instead of those that lasthop always sets
    #[arg(long)]
    pub(crate) fewest_fields: bool,
    /// Leave a proxy out; may be repeated
    #[arg(long, value_name = "NAME", value_parser = Rival::ALL.map(Rival::name))]
    pub(crate) without: Vec<String>,
    /// Our binary; without it, the one beside this harness
    #[arg(long, value_name = "PATH")]
    pub(crate) lasthop: Option<PathBuf>,
    /// The binary of nginx; without it, the one in PATH; likewise the following
    #[arg(long, value_name = "PATH")]
    pub(crate) nginx: Option<PathBuf>,
    /// The binary of HAProxy
    #[arg(long, value_name = "PATH")]
    pub(crate) haproxy: Option<PathBuf>,
    /// The binary of Envoy
    #[arg(long, value_name = "PATH")]
    pub(crate) envoy: Option<PathBuf>,
    /// The binary of Caddy
    #[arg(long, value_name = "PATH")]
    pub(crate) caddy: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) outputs: Outputs,
}

impl Compare {
    /// How long a measured run takes, in seconds.
    pub(crate) fn seconds(&self) -> u64 {
        if self.quick { 1 } else { self.seconds }
    }

    /// How often it is repeated.
    pub(crate) fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.rounds }
    }

    /// How often with Envoy and Caddy.
    pub(crate) fn rounds_of_others(&self) -> u32 {
        self.rounds_of_others.unwrap_or(u32::MAX).min(self.rounds())
    }

    /// How many runs may be made once more because others were too busy.
    pub(crate) fn repeats(&self) -> u32 {
        if self.quick { 0 } else { REPEATS_MAX }
    }

    /// The binary of a proxy where one was named.
    pub(crate) fn binary(&self, rival: Rival) -> Option<&PathBuf> {
        match rival {
            Rival::Lasthop => self.lasthop.as_ref(),
            Rival::Nginx => self.nginx.as_ref(),
            Rival::Haproxy => self.haproxy.as_ref(),
            Rival::Envoy => self.envoy.as_ref(),
            Rival::Caddy => self.caddy.as_ref(),
        }
    }
}

/// More is refused here; whether this host has room for so many is seen later.
const HELD_MAX: usize = 9400;

fn held(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=HELD_MAX).contains(&count) => Ok(count),
        _ => Err(format!("a whole number from 1 to {HELD_MAX} is wanted")),
    }
}

fn known_scenario(text: &str) -> Result<String, String> {
    if scenario::ALL.iter().any(|one| one.is_meant_by(text)) {
        return Ok(text.to_owned());
    }
    let names: Vec<&str> = scenario::ALL.iter().map(|one| one.name).collect();
    Err(format!("there are {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::super::Cli;
    use clap::Parser as _;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["lasthop-bench", "compare"].iter().chain(words))
    }

    #[test]
    fn a_scenario_that_does_not_exist_is_refused_with_those_that_do() {
        assert!(parse(&["--only", "keepalive", "--only", "memory-idle"]).is_ok());
        let error = parse(&["--only", "keepaliv"]).unwrap_err().to_string();
        assert!(error.contains("keepalive-64"), "{error}");
    }

    #[test]
    fn more_held_connections_than_proxies_are_set_up_for_are_refused() {
        assert!(parse(&["--held", "9401"]).is_err());
        assert!(parse(&["--held", "0"]).is_err());
        assert!(parse(&["--held", "9400"]).is_ok());
    }
}
