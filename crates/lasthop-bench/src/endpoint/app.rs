//! The app of the benchmark: [`lasthop::demo::app`] in a process of its own, so that it can be pinned and is not counted.
//!
//! Both ends are here: `lasthop-bench app`, the hidden command that serves, and [`AppProcess`], the guard that starts it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lasthop::demo::app::App;

use super::{Endpoint, PATIENCE, next_order, say};
use crate::error::BenchError;
use crate::interrupt::Interrupt;
use crate::upstream::Upstream;

/// Serves until the standard input ends. Says its TCP address first.
pub(crate) fn serve(body_bytes: usize, directory: &Path) -> Result<(), BenchError> {
    let app = App::start(body_bytes, directory).map_err(BenchError::host("start the app"))?;
    say(&app.tcp_address().to_string())?;
    while next_order().is_some() {}
    Ok(())
}

/// A running app; dropping it ends the process.
#[derive(Debug)]
pub(crate) struct AppProcess {
    _endpoint: Endpoint,
    tcp: SocketAddr,
    unix: PathBuf,
}

impl AppProcess {
    /// Starts the app with its socket in `directory`.
    pub(crate) fn start(
        body_bytes: usize,
        directory: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self, BenchError> {
        let arguments = ["--bytes".into(), body_bytes.to_string().into()];
        let arguments = arguments
            .into_iter()
            .chain(["--directory".into(), directory.into()]);
        let name = "app";
        let endpoint = Endpoint::start(name, arguments)?;
        let line = endpoint.line(PATIENCE, interrupt)?;
        let tcp = line.parse().map_err(|_| BenchError::Endpoint {
            name,
            what: "does not say where it listens",
        })?;
        Ok(Self {
            _endpoint: endpoint,
            tcp,
            unix: directory.join("app.sock"),
        })
    }

    /// Where it listens for TCP.
    pub(crate) fn tcp_address(&self) -> SocketAddr {
        self.tcp
    }

    /// Its two addresses, TCP first: the order of runs and of rows.
    pub(crate) fn upstreams(&self) -> [Upstream; 2] {
        [Upstream::Tcp(self.tcp), Upstream::Unix(self.unix.clone())]
    }
}
