//! Connections that are held at both their ends by one process: `lasthop-bench pairs`, a hidden command.
//!
//! What fills a host's table of sockets at the least cost: each connection is two sockets and two descriptors of this
//! process, and nothing is ever said over it. It listens itself, at an address and with a source address of its own, so
//! that each process makes one group of connections; a port of its own choice for nobody
//! ([`Origin::Address`](connect::Origin)).

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use lasthop_kernel::{connect, limits, socket};

use super::{Endpoint, FAILED, next_order, say};
use crate::error::BenchError;
use crate::interrupt::Interrupt;

/// Connections of one process at most, also where descriptors would do for more: well below the ports of one pair of
/// addresses.
const PAIRS_MAX: usize = 9_900;
/// Descriptors of a process that are no connection's.
const DESCRIPTORS_APART: u64 = 64;
/// How long opening may take: several times what ten thousand searches for one of the last ports do.
const PATIENCE: Duration = Duration::from_secs(120);
/// What it says once all are open.
const READY: &str = "ready";

/// Where the connections of a process come from and go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errand {
    pub(crate) address: SocketAddr,
    pub(crate) source: Ipv4Addr,
    pub(crate) count: usize,
}

/// Opens all of them, says so, and holds them until the standard input ends.
pub(crate) fn serve(errand: &Errand) -> Result<(), BenchError> {
    limits::raise_nofile()?;
    match open(errand) {
        Ok(held) => {
            say(READY)?;
            while next_order().is_some() {}
            drop(held);
            Ok(())
        }
        Err(error) => say(&format!("{FAILED}{error}")),
    }
}

fn open(errand: &Errand) -> Result<Vec<std::net::TcpStream>, String> {
    let listener = TcpListener::bind(errand.address).map_err(|error| error.to_string())?;
    let origin = connect::Origin::Address {
        ip: errand.source.into(),
        foreign: false,
    };
    let mut held = Vec::with_capacity(2 * errand.count);
    for _ in 0..errand.count {
        // Over loopback the handshake is over when connect(2) returns, so the accept below never waits.
        let near = connect::tcp(errand.address, origin).map_err(|error| error.to_string())?;
        // None of them shall stay in TIME_WAIT when this process ends.
        socket::reset_on_close(&near, true).map_err(|error| error.to_string())?;
        let (far, _) = listener.accept().map_err(|error| error.to_string())?;
        held.push(near);
        held.push(far);
    }
    Ok(held)
}

/// Processes that hold connections; dropping it ends them.
#[derive(Debug)]
pub(crate) struct Pairs {
    endpoints: Vec<Endpoint>,
}

impl Pairs {
    /// One process for each errand, all opening at once; returns when all are open.
    pub(crate) fn hold(errands: &[Errand], interrupt: &Interrupt) -> Result<Self, BenchError> {
        let mut endpoints = Vec::with_capacity(errands.len());
        for errand in errands {
            let words: [OsString; 6] = [
                "--address".into(),
                errand.address.to_string().into(),
                "--source".into(),
                errand.source.to_string().into(),
                "--count".into(),
                errand.count.to_string().into(),
            ];
            endpoints.push(Endpoint::start("pairs", words)?);
        }
        for endpoint in &endpoints {
            endpoint.line(PATIENCE, interrupt)?;
        }
        Ok(Self { endpoints })
    }

    pub(crate) fn processes(&self) -> usize {
        self.endpoints.len()
    }
}

/// How many connections one process holds at most, both ends counted by its descriptors.
pub(crate) fn room_of_a_process() -> Result<usize, BenchError> {
    let descriptors = limits::nofile()?.hard.saturating_sub(DESCRIPTORS_APART) / 2;
    let room = usize::try_from(descriptors).unwrap_or(usize::MAX);
    Ok(room.clamp(1, PAIRS_MAX))
}
