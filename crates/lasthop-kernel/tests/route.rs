//! Where packets go in a network of its own, and the addresses that an operator has given to `lo`.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share count as tests, which the lint cannot see here"
)]

use lasthop_kernel::connect::{self, ConnectFault, Origin, Step};
use lasthop_kernel::namespace::{add_local_network, add_loopback_address, in_private_network};
use lasthop_kernel::route::{self, LoopbackNetwork, RouteKind};
use std::net::{IpAddr, SocketAddr, TcpListener};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_kernel_says_what_is_local_and_what_is_nowhere() {
    let name = "the_kernel_says_what_is_local_and_what_is_nowhere";
    in_private_network(name, || {
        let error = route::to(address("10.9.9.9")).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NetworkUnreachable);
        add_loopback_address(address("10.9.9.9"), 32).unwrap();
        let route = route::to(address("10.9.9.9")).unwrap();
        assert_eq!((route.kind, route.interface), (RouteKind::Local, 1));
        assert_eq!(route.source, Some(address("10.9.9.9")));
        let one = route::to(address("::1")).unwrap();
        assert_eq!(
            (one.kind, one.source),
            (RouteKind::Local, Some(address("::1")))
        );
        let from = route::to_from(address("127.0.0.1"), address("10.9.9.9")).unwrap();
        assert_eq!(from.kind, RouteKind::Local);
        // An address that is not ours is not where a connection could come from.
        assert!(route::to_from(address("127.0.0.1"), address("192.0.2.1")).is_err());
    });
}

#[test]
fn a_host_as_it_comes_has_no_more_ipv6_than_one_address() {
    let name = "a_host_as_it_comes_has_no_more_ipv6_than_one_address";
    in_private_network(name, || assert_eq!(route::loopback_ipv6().unwrap(), []));
}

#[test]
fn addresses_and_ranges_given_to_the_loopback_are_found() {
    let name = "addresses_and_ranges_given_to_the_loopback_are_found";
    in_private_network(name, || {
        add_loopback_address(address("fd00:2::7"), 64).unwrap();
        add_local_network(address("fd00:1::"), 64).unwrap();
        let mut found = route::loopback_ipv6().unwrap();
        found.sort_by_key(|network| network.network);
        let network = |network: &str, prefix, any_ip| LoopbackNetwork {
            network: network.parse().unwrap(),
            prefix,
            any_ip,
        };
        let expected = [
            network("fd00:1::", 64, true),
            network("fd00:2::7", 128, false),
        ];
        assert_eq!(found, expected);
    });
}

/// What facts about ranges are for: more sources towards one target.
#[test]
fn a_connection_can_come_from_a_range_that_no_interface_has() {
    let name = "a_connection_can_come_from_a_range_that_no_interface_has";
    in_private_network(name, || {
        add_local_network(address("fd00:1::"), 64).unwrap();
        add_local_network(address("10.50.0.0"), 16).unwrap();
        let table = [
            ("[::1]:80", "fd00:1::77", true),
            ("127.0.0.1:80", "10.50.3.4", false),
        ];
        for (target, source, foreign) in table {
            let target: SocketAddr = target.parse().unwrap();
            let listener = TcpListener::bind(target).unwrap();
            let ip = address(source);
            let _stream = connect::tcp(target, Origin::Address { ip, foreign }).unwrap();
            assert_eq!(listener.accept().unwrap().1.ip(), ip);
        }
        let target: SocketAddr = "[::1]:80".parse().unwrap();
        let ip = address("fd00:1::78");
        let error = connect::tcp(target, Origin::Address { ip, foreign: false }).unwrap_err();
        assert_eq!(
            (error.step, error.fault()),
            (Step::Bind, ConnectFault::SourceAddress)
        );
    });
}
