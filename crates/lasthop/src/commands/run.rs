//! `lasthop run`: serves until a signal ends it.

use std::io::Write as _;

use crate::config::Config;
use crate::observe::start_log;
use crate::server::{Ended, ServeError, serve};

/// Serves `config`. Once every listener is served, one line for each goes to standard output:
/// `listening on ADDRESS (NAME)`, without the name where it has none of its own. The log goes to
/// standard error.
///
/// # Errors
/// [`ServeError`] if it could not begin.
pub fn run(config: Config) -> Result<Ended, ServeError> {
    let _log = start_log(config.log.level);
    serve(config, |listener| {
        // Whoever started us may have closed our standard output; serving goes on.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "listening on {listener}").and_then(|()| out.flush());
    })
}
