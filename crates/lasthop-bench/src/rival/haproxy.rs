//! HAProxy, with `haproxy.cfg` beside this file.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::{Setup, write_configuration};
use crate::error::BenchError;

pub(super) const TEMPLATE: &str = include_str!("haproxy.cfg");

/// What starts it on `address`, in the foreground (`-db`), as one process.
pub(super) fn command(
    binary: &Path,
    address: SocketAddr,
    setup: &Setup<'_>,
) -> Result<Command, BenchError> {
    let words = [
        ("@WORKERS@", setup.workers.to_string()),
        ("@LISTEN@", address.to_string()),
        ("@UPSTREAM@", setup.upstream.at_form()),
        ("@CONNECTIONS@", setup.room.clients().to_string()),
    ];
    let configuration = write_configuration(TEMPLATE, &words, setup, "haproxy.cfg")?;
    let mut command = Command::new(binary);
    arguments(&mut command, &configuration);
    Ok(command)
}

/// What it is started with, wherever its configuration comes from.
pub(super) fn arguments<'a>(command: &'a mut Command, configuration: &Path) -> &'a mut Command {
    command.arg("-db").arg("-f").arg(configuration)
}
