//! nginx, with `nginx.conf` beside this file.
//!
//! What is started is its master process, which starts the worker that does the work.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::{Setup, write_configuration};
use crate::error::BenchError;

pub(super) const TEMPLATE: &str = include_str!("nginx.conf");

/// What starts it on `address`.
pub(super) fn command(
    binary: &Path,
    address: SocketAddr,
    setup: &Setup<'_>,
) -> Result<Command, BenchError> {
    let words = [
        ("@WORKERS@", setup.workers.to_string()),
        ("@LISTEN@", address.to_string()),
        ("@UPSTREAM@", setup.upstream.colon_form()),
        ("@CONNECTIONS@", setup.room.clients().to_string()),
        ("@DIRECTORY@", setup.directory.display().to_string()),
        ("@DESCRIPTORS@", setup.room.descriptors().to_string()),
    ];
    let configuration = write_configuration(TEMPLATE, &words, setup, "nginx.conf")?;
    let mut command = Command::new(binary);
    arguments(&mut command, &configuration, setup.directory);
    Ok(command)
}

/// What it is started with, wherever its configuration comes from.
pub(super) fn arguments<'a>(
    command: &'a mut Command,
    configuration: &Path,
    directory: &Path,
) -> &'a mut Command {
    // Before it has read the file it would write to its packager's log, which is not ours to write to.
    command
        .args(["-e", "stderr", "-p"])
        .arg(directory)
        .arg("-c")
        .arg(configuration)
}
