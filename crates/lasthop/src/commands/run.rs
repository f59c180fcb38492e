//! `lasthop run`: serves until a signal ends it.

use std::io::Write as _;

use crate::config::Config;
use crate::observe::start_log;
use crate::server::{Ended, ServeError, serve};

/// Serves `config`. Once every listener is served, one line for each goes to standard error:
/// `listening on ADDRESS (NAME)`, without the name where it has none of its own. The operator log
/// goes there too; standard output is the access log's alone.
///
/// # Errors
/// [`ServeError`] if it could not begin.
pub fn run(config: Config) -> Result<Ended, ServeError> {
    let log = start_log(config.log.level);
    serve(config, &log, |listener| {
        // Whoever started us may have closed our standard error; serving goes on.
        // In one write: the operator log writes there too.
        let line = format!("listening on {listener}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    })
}
