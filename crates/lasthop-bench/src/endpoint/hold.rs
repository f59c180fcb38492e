//! The load that holds connections: so many clients through a proxy, each answered once, then silent.
//!
//! Both ends are here: `lasthop-bench hold`, the hidden command that opens and holds, and [`Held`], the guard that starts
//! as many of them as it takes. A process holds what a usual descriptor limit allows, and has a source address of its
//! own, since the ports of one address end at about 28,000.

use std::cell::Cell;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::ValueEnum;
use lasthop_kernel::{connect, limits, socket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::answer::{self, AnswerError};
use super::{Endpoint, FAILED, PATIENCE, next_order, runtime, say};
use crate::error::BenchError;
use crate::interrupt::Interrupt;

/// Connections of one process: below the hard descriptor limits that hosts have, and below the ports of an address.
const PROCESS_CONNECTIONS_MAX: usize = 15_000;
/// Requests that wait for their answers at once. As few as this, so that the proxy does not open a connection to the app
/// for each client, and the idle ones are not counted with the clients.
const IN_FLIGHT: usize = 32;
/// How long one connection may take to be opened and answered.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// For each connection on top of [`PATIENCE`], until all are there: a hundred times what it takes.
const PATIENCE_EACH: Duration = Duration::from_millis(10);
/// The order to exchange something over every connection.
const CHECK: &str = "check";
/// What goes through a tunnel and back.
const ECHO: &[u8] = b"ping";

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// The key is the one of RFC 6455, section 1.3, so that the app can answer without computing.
const UPGRADE: &[u8] =
    b"GET /tunnel HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What a held connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A client that had one answer and may send another request.
    Idle,
    /// An upgraded connection.
    Tunnel,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Tunnel => "tunnel",
        }
    }
}

/// What one process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) address: SocketAddr,
    pub(crate) source: Ipv4Addr,
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
}

/// Opens what `order` says, says `held`, and goes on holding until the standard input ends; says `alive` to each
/// `check`, after something went over every connection.
pub(crate) fn serve(order: &Order) -> Result<(), BenchError> {
    limits::raise_nofile()?;
    let runtime = runtime()?;
    let mut streams = match runtime.block_on(open_all(order)) {
        Ok(streams) => streams,
        Err(error) => {
            let connections = order.connections;
            return say(&format!(
                "{FAILED}one of {connections} connections to be held: {error}"
            ));
        }
    };
    say("held")?;
    while let Some(line) = next_order() {
        if line != CHECK {
            continue;
        }
        match runtime.block_on(exchange_over_all(&mut streams, order.kind)) {
            Ok(()) => say("alive")?,
            Err(error) => return say(&format!("{FAILED}a held connection: {error}")),
        }
    }
    Ok(())
}

/// All connections, or why one of them failed.
async fn open_all(order: &Order) -> Result<Vec<TcpStream>, AnswerError> {
    let begun = std::rc::Rc::new(Cell::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT.min(order.connections) {
        let (order, begun) = (*order, std::rc::Rc::clone(&begun));
        tasks.spawn_local(async move {
            let mut streams = Vec::new();
            while begun.get() < order.connections {
                begun.set(begun.get() + 1);
                let opened = tokio::time::timeout(ANSWER_DEADLINE, open(&order)).await;
                streams.push(opened.unwrap_or(Err(AnswerError::Late))?);
            }
            Ok::<_, AnswerError>(streams)
        });
    }
    let mut all = Vec::with_capacity(order.connections);
    while let Some(task) = tasks.join_next().await {
        // The outer error is a panic of the task, which has said so itself.
        all.extend(task.map_err(|error| AnswerError::Stream(error.into()))??);
    }
    Ok(all)
}

async fn open(order: &Order) -> Result<TcpStream, AnswerError> {
    let origin = connect::Origin::Address {
        ip: order.source.into(),
        foreign: false,
    };
    let stream = connect::tcp(order.address, origin)?;
    let mut stream = TcpStream::from_std(stream)?;
    stream.writable().await?;
    connect::tcp_finish(&stream)?;
    // Thousands in TIME_WAIT would be in the way of the next run.
    socket::reset_on_close(&stream, true)?;
    let (request, status) = match order.kind {
        Kind::Idle => (REQUEST, 200),
        Kind::Tunnel => (UPGRADE, 101),
    };
    stream.write_all(request).await?;
    answer::read(&mut stream, &mut Vec::new(), status).await?;
    Ok(stream)
}

/// One more request over each idle connection, one echo through each tunnel, one after the other.
async fn exchange_over_all(streams: &mut [TcpStream], kind: Kind) -> Result<(), AnswerError> {
    for stream in streams {
        tokio::time::timeout(ANSWER_DEADLINE, exchange(stream, kind))
            .await
            .unwrap_or(Err(AnswerError::Late))?;
    }
    Ok(())
}

async fn exchange(stream: &mut TcpStream, kind: Kind) -> Result<(), AnswerError> {
    if kind == Kind::Idle {
        stream.write_all(REQUEST).await?;
        answer::read(stream, &mut Vec::new(), 200).await?;
        return Ok(());
    }
    stream.write_all(ECHO).await?;
    let mut back = [0; ECHO.len()];
    stream.read_exact(&mut back).await?;
    if back == ECHO {
        Ok(())
    } else {
        Err(AnswerError::Echo)
    }
}

/// Connections that are held, in one process or several; dropping it closes them.
#[derive(Debug)]
pub(crate) struct Held {
    endpoints: Vec<(Endpoint, Duration)>,
}

impl Held {
    /// Opens `connections` of a `kind` to the proxy at `address` and waits until each had its answer.
    pub(crate) fn open(
        kind: Kind,
        address: SocketAddr,
        connections: usize,
        interrupt: &Interrupt,
    ) -> Result<Self, BenchError> {
        let mut endpoints = Vec::new();
        for (source, connections) in shares(connections) {
            let words: [OsString; 8] = [
                "--kind".into(),
                kind.word().into(),
                "--address".into(),
                address.to_string().into(),
                "--source".into(),
                source.to_string().into(),
                "--connections".into(),
                connections.to_string().into(),
            ];
            let connections = u32::try_from(connections).unwrap_or(u32::MAX);
            let patience = PATIENCE + PATIENCE_EACH * connections;
            endpoints.push((Endpoint::start("hold", words)?, patience));
        }
        for (endpoint, patience) in &endpoints {
            endpoint.line(*patience, interrupt)?;
        }
        Ok(Self { endpoints })
    }

    /// Sends something over every connection and waits until it was answered: all of them were held.
    pub(crate) fn check(&mut self, interrupt: &Interrupt) -> Result<(), BenchError> {
        for (endpoint, _) in &mut self.endpoints {
            endpoint.tell(CHECK)?;
        }
        for (endpoint, patience) in &self.endpoints {
            endpoint.line(*patience, interrupt)?;
        }
        Ok(())
    }
}

/// How many connections come from which source address: 127.0.1.1 and on, where no server of a host listens.
fn shares(connections: usize) -> impl Iterator<Item = (Ipv4Addr, usize)> {
    let processes = connections.div_ceil(PROCESS_CONNECTIONS_MAX);
    (1_u8..=250).take(processes).map(move |process| {
        let before = (usize::from(process) - 1) * PROCESS_CONNECTIONS_MAX;
        let share = (connections - before).min(PROCESS_CONNECTIONS_MAX);
        (Ipv4Addr::new(127, 0, 1, process), share)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_the_processes_add_up() {
        for connections in [1, 15_000, 15_001, 100_000] {
            let shares: Vec<_> = shares(connections).collect();
            assert_eq!(
                shares.iter().map(|(_, share)| share).sum::<usize>(),
                connections
            );
            assert!(
                shares
                    .iter()
                    .all(|(_, share)| (1..=PROCESS_CONNECTIONS_MAX).contains(share))
            );
        }
        let sources: Vec<_> = shares(30_000).map(|(source, _)| source).collect();
        assert_eq!(
            sources,
            [Ipv4Addr::new(127, 0, 1, 1), Ipv4Addr::new(127, 0, 1, 2)]
        );
    }
}
