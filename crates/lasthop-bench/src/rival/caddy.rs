//! Caddy, with `Caddyfile` beside this file.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::{Setup, write_configuration};
use crate::error::BenchError;

pub(super) const TEMPLATE: &str = include_str!("Caddyfile");

/// What starts it on `address`. It has no count of workers; `GOMAXPROCS` lets as many of its threads run at once.
pub(super) fn command(
    binary: &Path,
    address: SocketAddr,
    setup: &Setup<'_>,
) -> Result<Command, BenchError> {
    let words = [
        ("@PORT@", address.port().to_string()),
        ("@UPSTREAM@", setup.upstream.caddy_form()),
        ("@CONNECTIONS@", setup.room.clients().to_string()),
    ];
    let configuration = write_configuration(TEMPLATE, &words, setup, "Caddyfile")?;
    let mut command = Command::new(binary);
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(configuration)
        .env("GOMAXPROCS", setup.workers.to_string());
    // It makes its directories whether it needs them or not.
    for home in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env(home, setup.directory);
    }
    Ok(command)
}
