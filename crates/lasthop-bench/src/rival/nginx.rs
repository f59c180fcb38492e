//! nginx, with `nginx.conf` beside this file.
//!
//! What is started is its master process, which starts the worker that does the work.

use std::path::Path;
use std::process::{Command, Stdio};

use super::process::Server;
use super::{Fields, Running, free_address, write_configuration};
use crate::error::BenchError;
use crate::upstream::Upstream;

pub(super) const TEMPLATE: &str = include_str!("nginx.conf");

/// Starts it in front of `upstream`.
pub(super) fn start(
    binary: &Path,
    upstream: &Upstream,
    fields: Fields,
    directory: &Path,
) -> Result<Running, BenchError> {
    Server::start_on_a_free_port("nginx", directory, || {
        let address = free_address()?;
        let words = [
            ("@LISTEN@", &*address.to_string()),
            ("@UPSTREAM@", &*upstream.colon_form()),
            ("@DIRECTORY@", &*directory.display().to_string()),
        ];
        let configuration = write_configuration(TEMPLATE, words, fields, directory, "nginx.conf")?;
        let mut command = Command::new(binary);
        // Before it has read the file it would write to its packager's log, which is not ours to write to.
        command
            .args(["-e", "stderr", "-p"])
            .arg(directory)
            .arg("-c")
            .arg(&configuration);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok((address, command))
    })
    .map(Running::Rival)
}
