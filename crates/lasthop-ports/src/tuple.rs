//! The four numbers that make a TCP connection unique, as types with a role.
//!
//! A bare pair of `SocketAddr` cannot be told apart from its reverse; a [`SourceAddress`] and a [`TargetAddress`] can.
//! From the proxy to an app the target is fixed, so what is left to choose is the source address and the source port:
//! a [`Pair`] is one supply of source ports, a [`Tuple`] is one connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// The local address of a connection to the app; its port is chosen by the kernel and not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceAddress(IpAddr);

/// Where the app listens: address and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetAddress(SocketAddr);

/// One source address towards one target: a supply of source ports of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    source: SourceAddress,
    target: TargetAddress,
}

/// One connection, as the kernel tells connections apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple {
    /// Source and target address.
    pub pair: Pair,
    /// The port on our side, 1 to 65535.
    pub source_port: u16,
}

/// Why two addresses cannot make a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TupleError {
    /// One is IPv4 and the other IPv6.
    Families {
        /// The source as given.
        source: SourceAddress,
        /// The target as given.
        target: TargetAddress,
    },
    /// The target has port 0, on which nothing can listen.
    PortZero(TargetAddress),
}

impl fmt::Display for TupleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Families { source, target } => write!(
                f,
                "the source {source} and the target {target} are not of the same address family"
            ),
            Self::PortZero(target) => write!(f, "the target {target} has port 0"),
        }
    }
}

impl std::error::Error for TupleError {}

impl SourceAddress {
    /// An IPv4 address in IPv6 clothes (`::ffff:127.0.0.1`) becomes the IPv4 address it stands for, because both
    /// draw from the same ports.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// The address.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.0
    }
}

impl TargetAddress {
    /// As [`SourceAddress::new`]; the flow label of an IPv6 address is dropped, because it does not tell connections
    /// apart. The scope (the interface of a link-local address) stays.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self(match (address, address.ip().to_canonical()) {
            (SocketAddr::V6(v6), IpAddr::V6(ip)) => {
                SocketAddr::V6(SocketAddrV6::new(ip, v6.port(), 0, v6.scope_id()))
            }
            (_, ip) => SocketAddr::new(ip, address.port()),
        })
    }

    /// Address and port.
    #[must_use]
    pub const fn socket_address(self) -> SocketAddr {
        self.0
    }
}

impl Pair {
    /// One source towards one target.
    ///
    /// # Errors
    /// [`TupleError`] when the families differ or the target's port is 0.
    pub fn new(source: SourceAddress, target: TargetAddress) -> Result<Self, TupleError> {
        if source.0.is_ipv4() != target.0.is_ipv4() {
            return Err(TupleError::Families { source, target });
        }
        if target.0.port() == 0 {
            return Err(TupleError::PortZero(target));
        }
        Ok(Self { source, target })
    }

    /// Our side.
    #[must_use]
    pub const fn source(self) -> SourceAddress {
        self.source
    }

    /// The app's side.
    #[must_use]
    pub const fn target(self) -> TargetAddress {
        self.target
    }
}

impl Tuple {
    /// Whether the two connections cannot exist at the same time. All four numbers must be equal: one more target
    /// address, target port or source address is a whole new supply of source ports.
    #[must_use]
    pub fn collides_with(self, other: Self) -> bool {
        self == other
    }
}

impl fmt::Display for SourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TargetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.source, self.target)
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = SocketAddr::new(self.pair.source.0, self.source_port);
        write!(f, "{source} -> {}", self.pair.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair(source: &str, target: &str) -> Result<Pair, TupleError> {
        Pair::new(
            SourceAddress::new(source.parse().unwrap()),
            TargetAddress::new(target.parse().unwrap()),
        )
    }

    fn tuple(source: &str, source_port: u16, target: &str) -> Tuple {
        Tuple {
            pair: pair(source, target).unwrap(),
            source_port,
        }
    }

    #[test]
    fn any_one_number_that_differs_keeps_two_connections_apart() {
        let base = tuple("127.0.0.1", 40000, "127.0.0.1:3000");
        assert!(base.collides_with(base));
        for other in [
            tuple("127.0.0.2", 40000, "127.0.0.1:3000"),
            tuple("127.0.0.1", 40001, "127.0.0.1:3000"),
            tuple("127.0.0.1", 40000, "127.0.0.2:3000"),
            tuple("127.0.0.1", 40000, "127.0.0.1:3001"),
        ] {
            assert!(!base.collides_with(other), "{base} and {other}");
        }
    }

    #[test]
    fn a_mapped_address_draws_from_the_ports_of_the_ipv4_address() {
        assert!(
            tuple("::ffff:127.0.0.1", 40000, "[::ffff:127.0.0.1]:3000").collides_with(tuple(
                "127.0.0.1",
                40000,
                "127.0.0.1:3000"
            ))
        );
    }

    #[test]
    fn the_flow_label_does_not_tell_connections_apart_but_the_scope_does() {
        let target = |flow, scope| {
            TargetAddress::new(SocketAddr::V6(SocketAddrV6::new(
                "fe80::1".parse().unwrap(),
                3000,
                flow,
                scope,
            )))
        };
        assert_eq!(target(1, 2), target(7, 2));
        assert_ne!(target(0, 2), target(0, 3));
    }

    #[test]
    fn a_pair_of_two_families_is_refused() {
        let error = pair("::1", "127.0.0.1:3000").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the source ::1 and the target 127.0.0.1:3000 are not of the same address family"
        );
    }

    #[test]
    fn a_target_without_a_port_is_refused() {
        assert!(matches!(
            pair("127.0.0.1", "127.0.0.1:0"),
            Err(TupleError::PortZero(_))
        ));
    }

    #[test]
    fn addresses_print_as_operators_write_them() {
        assert_eq!(
            tuple("::1", 40000, "[::1]:3000").to_string(),
            "[::1]:40000 -> [::1]:3000"
        );
    }

    proptest! {
        #[test]
        fn collision_is_symmetric(
            a in (any::<u8>(), any::<u16>(), 1u16..), b in (any::<u8>(), any::<u16>(), 1u16..),
        ) {
            let make = |(host, port, target): (u8, u16, u16)| {
                tuple(&format!("127.0.0.{host}"), port, &format!("127.0.0.1:{target}"))
            };
            prop_assert_eq!(make(a).collides_with(make(b)), make(b).collides_with(make(a)));
            prop_assert_eq!(make(a).collides_with(make(b)), a == b);
        }
    }
}
