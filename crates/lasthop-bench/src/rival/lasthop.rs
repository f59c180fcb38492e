//! lasthop itself, with `lasthop.toml` beside this file.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::{Setup, write_configuration};
use crate::error::BenchError;

pub(super) const TEMPLATE: &str = include_str!("lasthop.toml");

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
    ];
    let configuration = write_configuration(TEMPLATE, &words, setup, "lasthop.toml")?;
    let mut command = Command::new(binary);
    command.arg("run").arg(configuration);
    Ok(command)
}
