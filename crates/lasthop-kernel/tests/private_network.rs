//! What needs a network of its own: ten ports and no more, and the wildcard addresses.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share count as tests, which the lint cannot see here"
)]

use lasthop_kernel::connect::{self, ConnectFault, Origin, Step};
use lasthop_kernel::explain;
use lasthop_kernel::listen::{ListenError, Sharing, TcpListeners, tcp};
use lasthop_kernel::namespace::{self, in_private_network};
use lasthop_kernel::probe::flat_port_search;
use lasthop_kernel::socket::reset_on_close;
use socket2::SockRef;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn listen(address: SocketAddr, sharing: Sharing) -> Result<TcpListeners, ListenError> {
    tcp(address, 2, sharing, 128)
}

#[test]
fn a_private_network_has_a_loopback_and_nothing_else() {
    in_private_network("a_private_network_has_a_loopback_and_nothing_else", || {
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let interfaces = std::fs::read_to_string("/proc/self/net/dev").unwrap();
        assert!(interfaces.contains(" lo:"), "{interfaces}");
        assert!(!interfaces.contains("eth"), "{interfaces}");
    });
}

#[test]
fn the_eleventh_connection_over_ten_ports_lacks_a_source_port() {
    let name = "the_eleventh_connection_over_ten_ports_lacks_a_source_port";
    in_private_network(name, || {
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40009").unwrap();
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let target = listener.local_addr().unwrap();
        let mut held = Vec::new();
        // Every source is a whole new supply of the same ten ports: the one the kernel chooses, and two of ours.
        for source in [
            None,
            Some(IpAddr::from([127, 64, 0, 1])),
            Some(IpAddr::from([127, 64, 0, 2])),
        ] {
            let origin = source.map_or(Origin::Kernel, |ip| Origin::Address { ip, foreign: false });
            for _ in 0..10 {
                held.push(connect::tcp(target, origin).unwrap());
            }
            let error = connect::tcp(target, origin).unwrap_err();
            assert_eq!(
                (error.step, error.fault()),
                (Step::Connect, ConnectFault::SourcePorts),
                "from {source:?}"
            );
            let text = explain::tcp(target, source, error.fault());
            assert!(
                text.contains("10 ports (40000-40009) - 0 reserved"),
                "{text}"
            );
        }
    });
}

#[test]
fn the_port_search_is_judged_rightly_among_ten_ports() {
    let name = "the_port_search_is_judged_rightly_among_ten_ports";
    in_private_network(name, || {
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40009").unwrap();
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let target = listener.local_addr().unwrap();
        assert_eq!(flat_port_search(), comes_out_odd(target));
    });
}

/// Whether any of the first five of ten ports is an odd one, in as many tries as make it certain: all are even ones
/// where the search is not flat.
fn comes_out_odd(target: SocketAddr) -> bool {
    (0..64).any(|_| {
        let five = [(); 5].map(|()| connect::tcp(target, Origin::Kernel).unwrap());
        for stream in &five {
            reset_on_close(stream, true).unwrap();
        }
        five.iter()
            .any(|stream| stream.local_addr().unwrap().port() % 2 == 1)
    })
}

#[test]
fn the_port_search_of_one_port_cannot_be_judged() {
    let name = "the_port_search_of_one_port_cannot_be_judged";
    in_private_network(name, || {
        // The probe's listener takes the one port, or the neighbour has the first of two.
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40000").unwrap();
        assert!(!flat_port_search());
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40003").unwrap();
        let even = [40000, 40002].map(|port| TcpListener::bind(("127.0.0.9", port)).unwrap());
        assert!(!flat_port_search());
        // Nothing of that was taken for an answer: with all ports free it is told after all.
        drop(even);
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40009").unwrap();
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let flat = comes_out_odd(listener.local_addr().unwrap());
        assert_eq!(flat_port_search(), flat);
    });
}

/// A neighbour that binds plainly keeps ports from everybody's connect(2); a port chosen by hand can still be had.
#[test]
fn a_chosen_port_gets_through_where_a_neighbour_holds_all_ports() {
    let name = "a_chosen_port_gets_through_where_a_neighbour_holds_all_ports";
    in_private_network(name, || {
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40009").unwrap();
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let target = listener.local_addr().unwrap();
        let neighbour: Vec<_> = (40000..=40009)
            .map(|port| TcpListener::bind(("127.0.0.78", port)).unwrap())
            .collect();
        let ip = IpAddr::from([127, 64, 0, 1]);
        for origin in [Origin::Kernel, Origin::Address { ip, foreign: false }] {
            let error = connect::tcp(target, origin).unwrap_err();
            assert_eq!(
                (error.step, error.fault()),
                (Step::Connect, ConnectFault::SourcePorts)
            );
        }
        let held: Vec<_> = (40000..=40009)
            .map(|port| {
                connect::tcp(
                    target,
                    Origin::Port {
                        ip,
                        port,
                        foreign: false,
                    },
                )
                .unwrap()
            })
            .collect();
        let error = connect::tcp(
            target,
            Origin::Port {
                ip,
                port: 40003,
                foreign: false,
            },
        )
        .unwrap_err();
        assert_eq!(
            (error.step, error.fault()),
            (Step::Bind, ConnectFault::SourcePorts)
        );
        drop((held, neighbour));
    });
}

#[test]
fn the_wildcard_and_an_address_are_one_and_the_same_port() {
    in_private_network(
        "the_wildcard_and_an_address_are_one_and_the_same_port",
        || {
            let one = address("127.0.0.1:80");
            let wildcard = address("0.0.0.0:80");
            for (first, second) in [(one, wildcard), (wildcard, one)] {
                let held = listen(first, Sharing::Exclusive).unwrap();
                assert!(matches!(
                    listen(second, Sharing::Shared),
                    Err(ListenError::NotShared { .. })
                ));
                assert!(matches!(
                    listen(second, Sharing::Exclusive),
                    Err(ListenError::AlreadyServed { .. })
                ));
                drop(held);
            }
        },
    );
}

#[test]
fn both_families_can_have_the_wildcard_of_a_port() {
    in_private_network("both_families_can_have_the_wildcard_of_a_port", || {
        let _v4 = listen(address("0.0.0.0:80"), Sharing::Exclusive).unwrap();
        let v6 = listen(address("[::]:80"), Sharing::Exclusive).unwrap();
        assert!(SockRef::from(&v6.listeners[0]).only_v6().unwrap());
    });
}

/// The guard is per network namespace, as ports are: the same address can be had once in each.
#[test]
fn an_address_that_is_taken_outside_is_free_in_here() {
    let name = "an_address_that_is_taken_outside_is_free_in_here";
    if std::env::var_os("LASTHOP_PRIVATE_NETWORK").is_some() {
        in_private_network(name, || {
            let taken = std::env::var("TAKEN_OUTSIDE").unwrap();
            listen(address(&taken), Sharing::Exclusive).unwrap();
        });
        return;
    }
    let outside = listen(address("127.0.0.1:0"), Sharing::Exclusive).unwrap();
    let mut inside = std::process::Command::new(std::env::current_exe().unwrap());
    inside
        .args([name, "--exact"])
        .env("LASTHOP_PRIVATE_NETWORK", "1")
        .env("TAKEN_OUTSIDE", outside.address.to_string());
    match namespace::isolate(&mut inside).output() {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => namespace::skip(name, &error),
    }
}
