//! HAProxy, with `haproxy.cfg` beside this file.

use std::path::Path;
use std::process::{Command, Stdio};

use super::process::Server;
use super::{Fields, Running, free_address, write_configuration};
use crate::error::BenchError;
use crate::upstream::Upstream;

pub(super) const TEMPLATE: &str = include_str!("haproxy.cfg");

/// Starts it in front of `upstream`, in the foreground (`-db`), as one process.
pub(super) fn start(
    binary: &Path,
    upstream: &Upstream,
    fields: Fields,
    directory: &Path,
) -> Result<Running, BenchError> {
    Server::start_on_a_free_port("haproxy", directory, || {
        let address = free_address()?;
        let words = [
            ("@LISTEN@", &*address.to_string()),
            ("@UPSTREAM@", &*upstream.at_form()),
            ("@DIRECTORY@", &*directory.display().to_string()),
        ];
        let configuration = write_configuration(TEMPLATE, words, fields, directory, "haproxy.cfg")?;
        let mut command = Command::new(binary);
        command.arg("-db").arg("-f").arg(&configuration);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok((address, command))
    })
    .map(Running::Rival)
}
