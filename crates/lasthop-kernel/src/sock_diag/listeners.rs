//! Who listens on a port, and how long the queue before it is.

use super::DiagError;
use super::tcp::{TcpStates, Wanted};
use crate::socket::TcpState;
use crate::wire::inet_diag::Filter;
use std::net::{IpAddr, SocketAddr};

/// Listeners that [`tcp_listeners`] tells at most. One port has one, or one for each worker with `SO_REUSEPORT`.
pub const LISTENERS_MAX: usize = 4096;

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
    let mut listeners = Vec::new();
    let wanted = Wanted {
        states: TcpStates::of(&[TcpState::Listen]).bits(),
        ipv4: true,
        local_port: port,
        peer_port: 0,
    };
    wanted.list(Filter::default(), |socket| {
        if socket.local.port() == port && listeners.len() < LISTENERS_MAX {
            listeners.push(TcpListening {
                address: socket.local,
                v6only: socket.v6only.unwrap_or(false),
                queue: socket.receive_queue,
                backlog: socket.send_queue,
                uid: socket.uid,
                inode: socket.inode.into(),
            });
        }
    })?;
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(address: &str, v6only: bool, target: &str) -> bool {
        let listening = TcpListening {
            address: address.parse().unwrap(),
            v6only,
            queue: 0,
            backlog: 128,
            uid: 0,
            inode: 1,
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
