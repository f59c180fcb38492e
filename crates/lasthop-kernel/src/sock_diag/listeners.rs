//! Who listens on a port or on any, how long the queue before it is, and what it had to drop.

use super::tcp::{TcpStates, Wanted};
use super::{Complete, DiagError};
use crate::socket::TcpState;
use crate::wire::inet_diag::{Filter, InetSocket, Memory};
use std::net::{IpAddr, SocketAddr};

/// Listeners that [`tcp_listeners`] and [`every_tcp_listener`] tell at most. One port has one, or one for each worker
/// with `SO_REUSEPORT`; a host of many containers publishes each of their ports on two families, and a proxy on 64 cores
/// has 64 of each of its addresses. Some 1.5 MiB.
pub const LISTENERS_MAX: usize = 16_384;

/// A TCP listener of this network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpListening {
    /// The address it was bound to; unspecified for all addresses. Canonical: an IPv4 address is one also on a socket
    /// of IPv6.
    pub address: SocketAddr,
    /// On `[::]`: whether it leaves IPv4 alone (`IPV6_V6ONLY`).
    pub v6only: bool,
    /// Connections waiting to be accepted.
    pub queue: u32,
    /// How many may wait: one more than this do, then handshakes stall.
    pub backlog: u32,
    /// The user who made it.
    pub uid: u32,
    /// The inode by which [`owner::of`](crate::owner::of) finds the process.
    pub inode: u64,
    /// The cgroup of the process that made it: the inode of its directory in the tree of version 2. Told since Linux 5.7.
    pub cgroup: Option<u64>,
    /// Connections that it has refused or dropped since it began to listen, most of them because its queue was full
    /// (`tcp_listendrop` in include/net/tcp.h). Wraps.
    pub drops: u32,
}

impl TcpListening {
    /// Whether a connection to `target` would come out here, or at another listener on the same address and port.
    #[must_use]
    pub fn takes(&self, target: SocketAddr) -> bool {
        let ip = target.ip().to_canonical();
        let address = match self.address.ip() {
            own if own == ip => true,
            IpAddr::V4(own) => own.is_unspecified() && ip.is_ipv4(),
            IpAddr::V6(own) => own.is_unspecified() && (ip.is_ipv6() || !self.v6only),
        };
        address && self.address.port() == target.port()
    }

    /// Whether it listens on all addresses of its family.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.address.ip().is_unspecified()
    }
}

/// Who listens on `port`, of both families, at most [`LISTENERS_MAX`] of them.
///
/// # Errors
/// [`DiagError`].
pub fn tcp_listeners(port: u16) -> Result<Vec<TcpListening>, DiagError> {
    listening(port, LISTENERS_MAX).map(|(listeners, _)| listeners)
}

/// Who listens on any port, of both families, at most [`LISTENERS_MAX`] of them: [`Complete::Cut`] says that there are
/// more. The kernel keeps them in a table of their own: 40 µs for ten, whatever else is connected.
///
/// # Errors
/// [`DiagError`].
pub fn every_tcp_listener() -> Result<(Vec<TcpListening>, Complete), DiagError> {
    listening(0, LISTENERS_MAX)
}

/// Who listens on `port`, where 0 is any: the first `count_max` of them.
fn listening(port: u16, count_max: usize) -> Result<(Vec<TcpListening>, Complete), DiagError> {
    let mut listeners = Vec::new();
    let mut cut = Complete::Yes;
    let wanted = Wanted {
        states: TcpStates::of(&[TcpState::Listen]).bits(),
        ipv4: true,
        local_port: port,
        peer_port: 0,
        memory: Memory::Told,
    };
    let complete = wanted.list(Filter::default(), |socket| {
        if port != 0 && socket.local.port() != port {
            return;
        }
        if listeners.len() < count_max {
            listeners.push(socket.into());
        } else {
            cut = Complete::Cut;
        }
    })?;
    Ok((listeners, complete.and(cut)))
}

impl From<InetSocket> for TcpListening {
    fn from(socket: InetSocket) -> Self {
        Self {
            address: socket.local,
            v6only: socket.v6only.unwrap_or(false),
            queue: socket.receive_queue,
            backlog: socket.send_queue,
            uid: socket.uid,
            inode: socket.inode.into(),
            cgroup: socket.cgroup,
            drops: socket.drops.unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_that_reached_its_bound_says_so() {
        let listener = std::net::TcpListener::bind("[::1]:0");
        let _one = listener.unwrap_or_else(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let _two = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (listeners, complete) = listening(0, 1).unwrap();
        assert_eq!((listeners.len(), complete), (1, Complete::Cut));
    }

    fn takes(address: &str, v6only: bool, target: &str) -> bool {
        let listening = TcpListening {
            address: address.parse().unwrap(),
            v6only,
            queue: 0,
            backlog: 128,
            uid: 0,
            inode: 1,
            cgroup: None,
            drops: 0,
        };
        listening.takes(target.parse().unwrap())
    }

    #[test]
    fn a_listener_takes_its_address_or_all_of_its_families() {
        assert!(takes("127.0.0.1:80", false, "127.0.0.1:80"));
        assert!(takes("127.0.0.1:80", false, "[::ffff:127.0.0.1]:80"));
        assert!(!takes("127.0.0.1:80", false, "127.0.0.1:81"));
        assert!(!takes("127.0.0.1:80", false, "127.0.0.2:80"));
        assert!(takes("0.0.0.0:80", false, "10.0.0.1:80"));
        assert!(!takes("0.0.0.0:80", false, "[::1]:80"));
        assert!(takes("[::]:80", true, "[::1]:80"));
        assert!(!takes("[::]:80", true, "127.0.0.1:80"));
        assert!(takes("[::]:80", false, "127.0.0.1:80"));
        assert!(!takes("[::1]:80", false, "127.0.0.1:80"));
    }
}
