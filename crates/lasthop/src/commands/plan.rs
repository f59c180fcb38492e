//! `lasthop plan [CONFIG]`: how many connections each upstream can hold on this host, as a sum that can be checked by hand.
//!
//! Never opens a port, never connects and changes nothing: it reads the configuration, a few settings, and once the
//! kernel's table of connections. What it cannot see it says.

mod advice;
mod facts;
mod sum;
mod table;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::Path;

use super::ReportError;
use super::warnings::{Warning, What, warnings, way_of_this_host};
use crate::config::Config;
use lasthop_ports::ledger::Gate;

use facts::Facts;
use table::Tables;

/// Reads the file, looks at the host, and writes the tables.
///
/// # Errors
/// [`ReportError::Config`] where the file is refused, [`ReportError::Output`] where `out` is.
pub fn run(path: &Path, out: &mut impl Write) -> Result<(), ReportError> {
    let config = Config::from_file(path).map_err(ReportError::Config)?;
    let facts = facts::of_this_host(&config);
    let warnings = relevant(&config, &facts, warnings(&config, &way_of_this_host));
    let tables = Tables {
        config: &config,
        facts: &facts,
        warnings: &warnings,
    };
    write!(out, "{tables}")
        .and_then(|()| out.flush())
        .map_err(ReportError::Output)
}

/// Without what is known not to be so: an app that listens on every address sees one peer, however many connections.
fn relevant(config: &Config, facts: &Facts, all: Vec<Warning>) -> Vec<Warning> {
    let is_everywhere = |warning: &Warning| {
        let upstreams = config.upstreams.iter().zip(&facts.targets);
        let mut targets = upstreams
            .filter(|(upstream, _)| upstream.name == warning.upstream())
            .flat_map(|(_, targets)| targets)
            .filter_map(|target| target.ports.as_ref());
        targets
            .all(|ports| matches!(ports.everywhere, Ok(Gate::Open)) && ports.spreads_destinations())
    };
    all.into_iter()
        .filter(|warning| !matches!(warning.what, What::MaySpill(_)) || !is_everywhere(warning))
        .collect()
}
