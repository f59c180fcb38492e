//! What the harness asks of its own processes: apps, clients, and the pace of a load. Nobody types these.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use crate::endpoint::holder::Kind;
use crate::upstream::Transport;

#[derive(Debug, Args)]
pub(crate) struct App {
    /// Where its socket is made
    #[arg(long)]
    pub(crate) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct HoldApp {
    /// What the listening socket is that it has as its standard input
    #[arg(long)]
    pub(crate) over: Transport,
}

#[derive(Debug, Args)]
pub(crate) struct Holder {
    /// What each connection is
    #[arg(long)]
    pub(crate) kind: Kind,
    /// The proxy
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// Where the connections come from
    #[arg(long)]
    pub(crate) source: Ipv4Addr,
}

#[derive(Debug, Args)]
pub(crate) struct Pairs {
    /// Where it listens, and connects to
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// Where the connections come from
    #[arg(long)]
    pub(crate) source: Ipv4Addr,
    /// Connections
    #[arg(long)]
    pub(crate) count: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Pace {
    /// The proxy
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// Connections, each with one request at a time
    #[arg(long)]
    pub(crate) connections: usize,
    /// Requests that are due each second
    #[arg(long)]
    pub(crate) per_second: u64,
    /// Requests in all
    #[arg(long)]
    pub(crate) requests: u64,
    /// Body bytes of each answer
    #[arg(long)]
    pub(crate) bytes: u64,
}
