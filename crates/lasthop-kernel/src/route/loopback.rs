//! IPv6 networks that this host answers to on `lo`, from which connections to `[::1]` can come.
//!
//! IPv4 has 127.0.0.0/8 on every host; IPv6 has `::1` alone, unless an operator has given `lo` more.

use super::{RouteKind, to};
use crate::wire::proc_net::{addresses, routes};
use std::io;
use std::net::Ipv6Addr;

/// Networks that [`loopback_ipv6`] tells at most. Operators add one, or a handful of addresses.
pub const LOOPBACK_NETWORKS_MAX: usize = 1024;

/// An IPv6 network that is this host, by its loopback interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LoopbackNetwork {
    /// An address, of which the first `prefix` bits count.
    pub network: Ipv6Addr,
    /// How many bits; 128 for a single address.
    pub prefix: u8,
    /// Whether it is a range by a route alone (`ip -6 route add local fd00:1::/64 dev lo`), of which no interface has
    /// an address: to bind one of it takes `foreign` of [`Origin::Address`](crate::connect::Origin::Address).
    pub any_ip: bool,
}

/// The networks on `lo` besides `::1` and link-local addresses, at most [`LOOPBACK_NETWORKS_MAX`]; none on most hosts.
/// An address that `lo` has counts alone, also where it was added with a shorter prefix: its neighbours do not answer.
///
/// # Errors
/// Where /proc/net cannot be read. A kernel without IPv6 has none, which is no error.
pub fn loopback_ipv6() -> io::Result<Vec<LoopbackNetwork>> {
    let mut networks = Vec::new();
    let text = read("if_inet6")?;
    let own = addresses(&text)
        .filter(|line| line.interface == "lo")
        .map(|line| line.address)
        .filter(|address| !address.is_loopback() && !address.is_unicast_link_local());
    networks.extend(own.map(|network| LoopbackNetwork {
        network,
        prefix: 128,
        any_ip: false,
    }));
    let text = read("ipv6_route")?;
    let ranges = routes(&text)
        // A route for everything is there to catch what a transparent proxy wants, by a rule of its own.
        .filter(|route| route.local && route.interface == "lo" && (1..128).contains(&route.prefix))
        .filter(|route| !route.network.is_unicast_link_local() && !route.network.is_multicast());
    networks.extend(ranges.map(|route| LoopbackNetwork {
        network: route.network,
        prefix: route.prefix,
        any_ip: true,
    }));
    networks.truncate(LOOPBACK_NETWORKS_MAX);
    // The file lists the routes of all tables, whether or not a rule leads to them.
    networks.retain(|network| !network.any_ip || leads_home(network.network));
    Ok(networks)
}

fn leads_home(network: Ipv6Addr) -> bool {
    // The first address of a network means any router of it.
    let second = Ipv6Addr::from_bits(network.to_bits() | 1);
    to(second.into()).is_ok_and(|route| route.kind == RouteKind::Local)
}

/// Of the calling thread, because a network namespace belongs to a thread.
fn read(file: &str) -> io::Result<String> {
    match std::fs::read_to_string(format!("/proc/thread-self/net/{file}")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        outcome => outcome,
    }
}
