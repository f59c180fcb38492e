//! Who listens, how long the queues are, and what keeps ports from others.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::Owner;

/// Listeners of each kind that a snapshot keeps.
pub const LISTENERS_MAX: usize = 1024;

/// A TCP listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// The address it was bound to; unspecified for all addresses.
    pub address: SocketAddr,
    /// On `[::]`: whether it leaves IPv4 alone (`IPV6_V6ONLY`).
    pub v6only: bool,
    /// Connections waiting to be accepted.
    pub queue: u32,
    /// How many may wait; one more than this do.
    pub backlog: u32,
    /// Connections that it has refused or dropped since it listens; none where the kernel does not tell.
    pub drops: Option<u32>,
    /// The same some time before, as long ago as [`counters_before`](super::Snapshot::counters_before).
    pub drops_before: Option<u32>,
    /// Connections that lead here from this host.
    pub local_clients: u32,
    /// Connections that lead here from other hosts.
    pub remote_clients: u32,
    /// Who listens, as far as looked for.
    pub owners: Vec<Owner>,
}

impl Listener {
    /// Whether a connection to `target` would come out here, or at another listener on the same address and port.
    #[must_use]
    pub fn takes(&self, target: SocketAddr) -> bool {
        let ip = target.ip().to_canonical();
        let address = match self.address.ip().to_canonical() {
            own if own == ip => true,
            IpAddr::V4(own) => own.is_unspecified() && ip.is_ipv4(),
            IpAddr::V6(own) => own.is_unspecified() && (ip.is_ipv6() || !self.v6only),
        };
        address && self.address.port() == target.port()
    }

    /// Whether it listens on all addresses of its family.
    #[must_use]
    pub const fn is_wildcard(&self) -> bool {
        self.address.ip().is_unspecified()
    }
}

/// A Unix listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnixListener {
    /// Its path, or `@name` for an abstract one, as lasthop's configuration spells it; bytes that are no text replaced.
    pub name: String,
    /// Connections waiting to be accepted.
    pub queue: u32,
    /// How many may wait; one more than this do, then connect(2) says `EAGAIN`.
    pub backlog: u32,
    /// Connections that are open through it.
    pub connections: u32,
    /// Who listens, as far as looked for.
    pub owners: Vec<Owner>,
}

/// A Unix socket that somebody wants to connect to, or that lies about, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnixTarget {
    /// Its path.
    pub path: String,
    /// Which configuration names it (`/etc/nginx/conf.d/app.conf`); none for a file that was come across.
    pub named_by: Option<String>,
    /// What is wrong.
    pub problem: UnixProblem,
    /// One sentence on it: the first closed directory, the missing component, owner and mode.
    pub detail: String,
}

/// Why a Unix socket cannot be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnixProblem {
    /// The user of the proxy may not write to it or search a directory on the way.
    Permission,
    /// There is no such file.
    Missing,
    /// There is a socket file that nobody listens on.
    Stale,
}

/// Sockets that were bound without leaving the choice of the port to connect(2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainHolders {
    /// All of them, in sockets.
    pub sockets: u32,
    /// Some of them, at most 64.
    pub sample: Vec<Plain>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// How it was bound.
    pub bind: Bind,
    /// Its own address and port.
    pub local: SocketAddr,
    /// Where it leads, where it is connected.
    pub peer: Option<SocketAddr>,
    /// Whose it is, as far as looked for.
    pub owner: Option<Owner>,
}

/// How a socket came to its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bind {
    /// Bound and not connected.
    Bound,
    /// Connected, and the port was given to bind(2).
    Port,
    /// Connected, and an address was given to bind(2) without `IP_BIND_ADDRESS_NO_PORT`.
    Address,
}
