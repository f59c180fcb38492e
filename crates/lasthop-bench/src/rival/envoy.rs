//! Envoy, with `envoy.yaml` beside this file.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::{Setup, write_configuration};
use crate::error::BenchError;
use crate::upstream;

pub(super) const TEMPLATE: &str = include_str!("envoy.yaml");

/// What starts it on `address`. Hot restart is off, since it needs a name that is free on the whole host.
pub(super) fn command(
    binary: &Path,
    address: SocketAddr,
    setup: &Setup<'_>,
) -> Result<Command, BenchError> {
    let words = [
        ("@LISTEN@", upstream::envoy_address(address)),
        ("@UPSTREAM@", setup.upstream.envoy_form()),
        ("@CONNECTIONS@", setup.room.clients().to_string()),
    ];
    let configuration = write_configuration(TEMPLATE, &words, setup, "envoy.yaml")?;
    let mut command = Command::new(binary);
    command
        .args(["--concurrency", &setup.workers.to_string()])
        .arg("--disable-hot-restart")
        .args(["--log-level", "error", "-c"])
        .arg(configuration);
    Ok(command)
}
