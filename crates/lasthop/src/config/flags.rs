//! A configuration from the command line: `run --listen ADDR --to TARGET`.
//!
//! The flags are spelled as a file would be and go through the same rules, so there is one set of defaults and refusals.
//! What is refused is shown within the flags, as it is within a file.

use std::ops::Range;

use toml::Spanned;

use super::error::ConfigError;
use super::spelling::{
    AdminTable, Count, File, List, ListenerTable, LogTable, ServerTable, UpstreamTable,
};
use super::text::Text;
use super::{Config, rules};

/// The name of the one upstream there is without a file.
const UPSTREAM_NAME: &str = "app";

/// What `lasthop run` was given instead of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFlags {
    /// `--listen`: addresses to listen on, as written.
    pub listen: Vec<String>,
    /// `--to`: targets, taken in turn, as written.
    pub to: Vec<String>,
    /// `--workers`; absent or `0`: one per core.
    pub workers: Option<usize>,
    /// `--admin`: the address for operators, as written.
    pub admin: Option<String>,
    /// `--access-log`: where it is written, as written.
    pub access_log: Option<String>,
    /// `--share`.
    pub share: bool,
}

impl Config {
    /// The configuration that these flags stand for: everything they do not say is as in an empty file.
    ///
    /// # Errors
    /// [`ConfigError`] where an address, a target or a number is refused, as in a file.
    pub fn from_flags(flags: &RunFlags) -> Result<Self, ConfigError> {
        let mut line = String::new();
        let file = spell(flags, &mut line);
        rules::config(&file)
            .map_err(|fault| ConfigError::in_text(&Text::command_line(&line), &fault))
    }
}

/// The file that says the same, with spans into `line`, where the flags are written out.
fn spell(flags: &RunFlags, line: &mut String) -> File {
    let listener = flags.listen.iter().map(|address| {
        let span = write(line, "--listen", address);
        let table = ListenerTable {
            address: Some(Spanned::new(span.clone(), address.clone())),
            ..ListenerTable::default()
        };
        Spanned::new(span, table)
    });
    let listener = listener.collect();
    let targets: Vec<_> = flags
        .to
        .iter()
        .map(|target| Spanned::new(write(line, "--to", target), target.clone()))
        .collect();
    let upstream = UpstreamTable {
        name: Some(Spanned::new(0..0, UPSTREAM_NAME.to_owned())),
        targets: Some(Spanned::new(0..0, List(targets))),
        ..UpstreamTable::default()
    };
    let workers = flags.workers.map(|workers| {
        let span = write(line, "--workers", &workers.to_string());
        Spanned::new(span, Count(workers as u64))
    });
    let admin = flags.admin.as_ref().map(|address| {
        let span = write(line, "--admin", address);
        let table = AdminTable {
            address: Some(Spanned::new(span.clone(), address.clone())),
            ..AdminTable::default()
        };
        Spanned::new(span, table)
    });
    let access = flags
        .access_log
        .as_ref()
        .map(|access| Spanned::new(write(line, "--access-log", access), access.clone()));
    File {
        log: LogTable {
            access,
            ..LogTable::default()
        },
        server: ServerTable {
            workers,
            share: Some(Spanned::new(0..0, flags.share)),
            ..ServerTable::default()
        },
        admin,
        listener,
        upstream: vec![Spanned::new(0..0, upstream)],
        ..File::default()
    }
}

/// Appends a flag and its value; where the value stands.
fn write(line: &mut String, flag: &str, value: &str) -> Range<usize> {
    if !line.is_empty() {
        line.push(' ');
    }
    line.push_str(flag);
    line.push(' ');
    let start = line.len();
    line.push_str(value);
    start..line.len()
}
