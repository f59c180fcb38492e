//! Where packets to an address would go, and from which address: the kernel's own answer (rtnetlink(7)).
//!
//! Reads only. Sees the routes of the calling thread's network namespace.

mod loopback;

pub use loopback::{LOOPBACK_NETWORKS_MAX, LoopbackNetwork, loopback_ipv6};

use crate::netlink;
use crate::wire::route::{octets, parse, request};
use std::io;
use std::net::IpAddr;

/// What becomes of packets to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// They stay on this host.
    Local,
    /// They leave it, towards another host or a container.
    Unicast,
    /// Something else: broadcast, multicast, or thrown away.
    Other,
}

/// The way to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route {
    /// What becomes of packets.
    pub kind: RouteKind,
    /// The source address that the kernel would choose for a connection that leaves it the choice.
    pub source: Option<IpAddr>,
    /// The number of the interface by which they leave; `lo` is 1 and the way to everything local. 0 where there is none.
    pub interface: u32,
}

/// The way to `destination`, as a connect(2) without a bind(2) would go now. Takes 11 us.
///
/// # Errors
/// `ENETUNREACH` or `EHOSTUNREACH` where there is none, `EACCES` where a route forbids it; otherwise as socket(2),
/// where a sandbox allows no netlink.
pub fn to(destination: IpAddr) -> io::Result<Route> {
    ask(destination, None)
}

/// The way to `destination` for a connection from `source`, which rules may send another way.
///
/// # Errors
/// As [`to`]; `EINVAL` also where `source` is no IPv4 address of this host or is of the other family.
pub fn to_from(destination: IpAddr, source: IpAddr) -> io::Result<Route> {
    let (destination, source) = (destination.to_canonical(), source.to_canonical());
    if destination.is_ipv4() != source.is_ipv4() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    ask(destination, Some(source))
}

fn ask(destination: IpAddr, source: Option<IpAddr>) -> io::Result<Route> {
    let destination = destination.to_canonical();
    let body = request(destination, source);
    let (to, from) = (octets(destination), source.map(octets));
    let mut attributes = vec![(libc::RTA_DST, to.as_slice())];
    attributes.extend(from.as_deref().map(|from| (libc::RTA_SRC, from)));
    let answer = netlink::one(libc::NETLINK_ROUTE, libc::RTM_GETROUTE, &body, &attributes)?;
    let route = parse(&answer).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Route {
        kind: match route.kind {
            libc::RTN_LOCAL => RouteKind::Local,
            libc::RTN_UNICAST => RouteKind::Unicast,
            _ => RouteKind::Other,
        },
        source: route.preferred_source,
        interface: route.interface.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_loopback_network_is_local_and_comes_from_its_first_address() {
        for target in ["127.0.0.1", "127.83.201.9", "::ffff:127.0.0.1"] {
            let route = to(address(target)).unwrap();
            assert_eq!(route.kind, RouteKind::Local);
            assert_eq!(route.source, Some(address("127.0.0.1")));
        }
    }

    #[test]
    fn families_do_not_mix() {
        let error = to_from(address("127.0.0.1"), address("::1")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        let route = to_from(address("127.0.0.1"), address("127.64.0.1")).unwrap();
        assert_eq!(route.kind, RouteKind::Local);
    }
}
