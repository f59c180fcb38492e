//! The sockets of a network of its own, as the kernel lists them: what is made here is what must be found, and nothing
//! else.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share count as tests, which the lint cannot see here"
)]

use lasthop_kernel::connect::{self, Origin, UnixTarget};
use lasthop_kernel::namespace::in_private_network;
use lasthop_kernel::owner;
use lasthop_kernel::sock_diag::{
    self, Complete, Destination, Hold, TcpEntry, TcpFilter, TcpListening, TcpStates,
};
use lasthop_kernel::socket::{TcpState, reset_on_close, tcp_state};
use lasthop_ports::PortRange;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use std::time::Duration;

fn range(first: u16, last: u16) -> PortRange {
    PortRange::new(first, last).unwrap()
}

fn listed(filter: &TcpFilter) -> Vec<TcpEntry> {
    let mut entries = Vec::new();
    let complete = sock_diag::tcp(filter, |entry| entries.push(entry)).unwrap();
    assert_eq!(complete, Complete::Yes);
    entries
}

fn towards(destination: impl Into<Destination>) -> TcpFilter {
    TcpFilter {
        destination: Some(destination.into()),
        ..TcpFilter::default()
    }
}

fn pair(listener: &TcpListener, target: SocketAddr) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(target).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn connections_are_listed_by_where_they_lead() {
    in_private_network("connections_are_listed_by_where_they_lead", || {
        let listener = TcpListener::bind("0.0.0.0:80").unwrap();
        let target = SocketAddr::from(([127, 0, 0, 1], 80));
        let other = SocketAddr::from(([127, 0, 1, 1], 80));
        let (client, _server) = pair(&listener, target);
        let (_client, _server) = pair(&listener, other);
        let entries = listed(&towards(target));
        assert_eq!(entries.len(), 1, "{entries:?}");
        let entry = entries[0];
        assert_eq!(entry.state, TcpState::Established);
        assert_eq!(
            (entry.local, entry.peer),
            (client.local_addr().unwrap(), target)
        );
        assert_eq!(entry.time_wait_left, None);
        assert_eq!(entry.uid, 0);
        assert_eq!(
            owner::of(&[entry.inode], Duration::MAX).owners[0].pid,
            std::process::id()
        );

        let network = |prefix, port| {
            listed(&towards(Destination {
                network: target.ip(),
                prefix,
                port,
            }))
            .len()
        };
        assert_eq!(network(24, Some(80)), 1);
        assert_eq!(network(16, Some(80)), 2);
        assert_eq!(network(16, Some(81)), 0);
        // The ends of the servers lead to 127.0.0.1 too, at other ports.
        assert_eq!(network(8, None), 4);
        let port = client.local_addr().unwrap().port();
        let local = TcpFilter {
            local_ports: Some(range(port, port)),
            ..towards(target)
        };
        assert_eq!(listed(&local).len(), 1);
        let elsewhere = TcpFilter {
            local_ports: Some(range(1, 1023)),
            ..towards(target)
        };
        assert_eq!(listed(&elsewhere).len(), 0);
        let waiting = TcpFilter {
            states: TcpStates::of(&[TcpState::TimeWait]),
            ..towards(target)
        };
        assert_eq!(listed(&waiting).len(), 0);
    });
}

/// A program on a socket of both families has the IPv4 connection on a socket of IPv6.
#[test]
fn an_ipv4_destination_is_found_on_sockets_of_ipv6() {
    in_private_network("an_ipv4_destination_is_found_on_sockets_of_ipv6", || {
        let listener = TcpListener::bind("[::]:80").unwrap();
        let target = SocketAddr::from(([127, 0, 0, 1], 80));
        let mapped = SocketAddr::from((target_mapped(target), 80));
        let client = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        client.connect(&SockAddr::from(mapped)).unwrap();
        let server = listener.accept().unwrap().0;
        let entries = listed(&towards(target));
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].peer, target);
        assert_eq!(entries[0].local.ip(), target.ip());
        // The server's end is found as well, and one of IPv6 proper is not.
        let back = SocketAddr::new(target.ip(), entries[0].local.port());
        assert_eq!(listed(&towards(back)).len(), 1);
        let (_client, _server) = pair(&listener, SocketAddr::from((Ipv6Addr::LOCALHOST, 80)));
        assert_eq!(listed(&towards(target)).len(), 1);
        let six = SocketAddr::from((Ipv6Addr::LOCALHOST, 80));
        assert_eq!(listed(&towards(six)).len(), 1);
        // In TIME_WAIT likewise.
        client.shutdown(std::net::Shutdown::Both).unwrap();
        drop((client, server));
        let entries = in_time_wait(target, 1);
        assert_eq!(entries[0].peer, target);
    });
}

fn target_mapped(target: SocketAddr) -> Ipv6Addr {
    match target.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// The entries in TIME_WAIT towards `target`, once there are `count`: the last packets come on their own time.
fn in_time_wait(target: SocketAddr, count: usize) -> Vec<TcpEntry> {
    let filter = TcpFilter {
        states: TcpStates::of(&[TcpState::TimeWait]),
        ..towards(target)
    };
    let patience = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let entries = listed(&filter);
        if entries.len() == count || std::time::Instant::now() > patience {
            assert_eq!(entries.len(), count);
            return entries;
        }
        std::thread::yield_now();
    }
}

#[test]
fn whoever_closes_first_is_listed_in_time_wait_for_a_minute() {
    let name = "whoever_closes_first_is_listed_in_time_wait_for_a_minute";
    in_private_network(name, || {
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let target = listener.local_addr().unwrap();
        let (client, server) = pair(&listener, target);
        let local = client.local_addr().unwrap();
        drop(client);
        drop(server);
        let entries = in_time_wait(target, 1);
        assert_eq!(entries[0].local, local);
        assert_eq!((entries[0].uid, entries[0].inode), (0, 0));
        let left = entries[0].time_wait_left.unwrap();
        assert!(
            left <= Duration::from_secs(60) && left > Duration::from_secs(30),
            "{left:?}"
        );
        // The app first, and a reset: neither leaves anything at our end.
        let (client, server) = pair(&listener, target);
        drop(server);
        drop(client);
        let (client, _server) = pair(&listener, target);
        reset_on_close(&client, true).unwrap();
        drop(client);
        assert_eq!(in_time_wait(target, 1)[0].local, local);
    });
}

/// Why `Established` just before close(2) promises a TIME_WAIT only where nothing waits unread.
#[test]
fn a_close_with_bytes_unread_is_a_reset_and_leaves_nothing() {
    let name = "a_close_with_bytes_unread_is_a_reset_and_leaves_nothing";
    in_private_network(name, || {
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let target = listener.local_addr().unwrap();
        let (client, mut server) = pair(&listener, target);
        server.write_all(b"unread").unwrap();
        client.peek(&mut [0]).unwrap();
        assert_eq!(tcp_state(&client).unwrap(), TcpState::Established);
        drop(client);
        let error = server.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(listed(&towards(target)), []);
    });
}

#[test]
fn a_thousand_connections_are_listed_each_once() {
    in_private_network("a_thousand_connections_are_listed_each_once", || {
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let target = listener.local_addr().unwrap();
        // Left in TIME_WAIT, so that no descriptor limit stands in the way.
        for _ in 0..1000 {
            drop(pair(&listener, target));
        }
        let mut ports: Vec<_> = in_time_wait(target, 1000)
            .iter()
            .map(|entry| entry.local.port())
            .collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 1000);
    });
}

fn listeners(port: u16) -> Vec<TcpListening> {
    let mut listeners = sock_diag::tcp_listeners(port).unwrap();
    listeners.sort_by_key(|listening| listening.address);
    listeners
}

#[test]
fn listeners_say_what_they_take_and_how_many_wait() {
    in_private_network("listeners_say_what_they_take_and_how_many_wait", || {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let target = SocketAddr::from(([127, 0, 0, 1], 80));
        listener.bind(&SockAddr::from(target)).unwrap();
        listener.listen(5).unwrap();
        let _other = TcpListener::bind("127.0.0.1:81").unwrap();
        assert_eq!(listeners(80).len(), 1);
        let held: Vec<_> = (0..3)
            .map(|_| TcpStream::connect(target).unwrap())
            .collect();
        let found = listeners(80)[0];
        assert_eq!(found.address, target);
        assert_eq!((found.queue, found.backlog), (3, 5));
        assert!(found.takes(target) && !found.is_wildcard());
        let who = owner::of(&[found.inode], Duration::MAX);
        assert_eq!(who.owners[0].pid, std::process::id());
        drop((held, listener));

        for (v6only, takes_ipv4) in [(false, true), (true, false)] {
            let listener = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
            listener.set_only_v6(v6only).unwrap();
            let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 82));
            listener.bind(&SockAddr::from(any)).unwrap();
            listener.listen(128).unwrap();
            let found = listeners(82)[0];
            assert_eq!((found.address, found.v6only), (any, v6only));
            assert!(found.is_wildcard());
            let over_ipv4 = SocketAddr::from(([127, 0, 0, 1], 82));
            assert_eq!(found.takes(over_ipv4), takes_ipv4);
            assert_eq!(TcpStream::connect(over_ipv4).is_ok(), takes_ipv4);
        }
        assert_eq!(listeners(83), []);
    });
}

#[test]
fn a_unix_listener_is_found_by_its_file_and_by_its_name() {
    let name = "a_unix_listener_is_found_by_its_file_and_by_its_name";
    in_private_network(name, || {
        let directory = std::env::temp_dir().join(format!("lasthop-diag-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("app.sock");
        let target = UnixTarget::path(&path).unwrap();
        assert_eq!(sock_diag::unix_listener(&target).unwrap(), None);
        // Bound under another name, and reached by a link: it is the file that counts.
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        let first = directory.join("first.sock");
        listener.bind(&SockAddr::unix(&first).unwrap()).unwrap();
        listener.listen(2).unwrap();
        std::fs::rename(&first, &path).unwrap();
        std::os::unix::fs::symlink(&path, directory.join("link.sock")).unwrap();
        let held: Vec<_> = (0..2)
            .map(|_| UnixStream::connect(&path).unwrap())
            .collect();
        for name in ["app.sock", "link.sock"] {
            let target = UnixTarget::path(directory.join(name)).unwrap();
            let found = sock_diag::unix_listener(&target).unwrap().unwrap();
            assert_eq!((found.queue, found.backlog), (2, 2));
            let who = owner::of(&[found.inode], Duration::MAX);
            assert_eq!(who.owners[0].pid, std::process::id());
        }
        // The file is unlinked and bound anew: the old listener is no longer meant.
        std::fs::remove_file(&path).unwrap();
        let successor = UnixListener::bind(&path).unwrap();
        let found = sock_diag::unix_listener(&target).unwrap().unwrap();
        assert_eq!(found.queue, 0);
        drop((held, successor));
        assert_eq!(sock_diag::unix_listener(&target).unwrap(), None);

        let address = UnixAddress::from_abstract_name("lasthop diag").unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        let target = UnixTarget::abstract_name("lasthop diag").unwrap();
        assert!(sock_diag::unix_listener(&target).unwrap().is_some());
        let target = UnixTarget::abstract_name("lasthop").unwrap();
        assert_eq!(sock_diag::unix_listener(&target).unwrap(), None);
        std::fs::remove_dir_all(&directory).unwrap();
    });
}

fn bind(address: &str) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address: SocketAddr = address.parse().unwrap();
    socket.bind(&SockAddr::from(address)).unwrap();
    socket
}

#[test]
fn those_who_keep_ports_from_others_are_named_and_ordinary_connections_are_not() {
    let name = "those_who_keep_ports_from_others_are_named_and_ordinary_connections_are_not";
    in_private_network(name, || {
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40099").unwrap();
        let listener = TcpListener::bind("0.0.0.0:80").unwrap();
        let target = SocketAddr::from(([127, 0, 0, 1], 80));
        // Ordinary: the kernel's choice, and an address without a port, each alone on its port.
        let ip = IpAddr::from([127, 64, 0, 1]);
        let _ordinary = [
            connect::tcp(target, Origin::Kernel).unwrap(),
            connect::tcp(target, Origin::Address { ip, foreign: false }).unwrap(),
        ];
        let within = range(40000, 40099);
        let found = sock_diag::bound(within).unwrap();
        assert_eq!((found.sample.len(), found.sockets), (0, 0), "{found:?}");

        let waiting = bind("127.0.0.78:0");
        let plain = bind("127.0.0.79:0");
        plain.connect(&SockAddr::from(target)).unwrap();
        let chosen = connect::tcp(
            target,
            Origin::Port {
                ip,
                port: 40077,
                foreign: false,
            },
        )
        .unwrap();
        let served = TcpListener::bind("127.0.0.80:40088").unwrap();
        let _outside = bind("127.0.0.81:39999");
        let found = sock_diag::bound(within).unwrap();
        let told: Vec<_> = found
            .sample
            .iter()
            .map(|holder| (holder.hold, holder.local, holder.peer))
            .collect();
        let local = |socket: &Socket| socket.local_addr().unwrap().as_socket().unwrap();
        let expected = [
            (Hold::Bound, local(&waiting), None),
            (Hold::PortBound, chosen.local_addr().unwrap(), Some(target)),
            (Hold::AddressBound, local(&plain), Some(target)),
            (Hold::Listening, served.local_addr().unwrap(), None),
        ];
        assert_eq!(told, expected);
        assert_eq!(found.sockets, 4);
        drop(listener);
    });
}

#[test]
fn many_holders_are_counted_and_a_few_are_named() {
    in_private_network("many_holders_are_counted_and_a_few_are_named", || {
        let _bound: Vec<_> = (0..100).map(|_| bind("127.0.0.78:0")).collect();
        let found = sock_diag::bound(range(1, 65535)).unwrap();
        assert_eq!(found.sample.len(), sock_diag::PORT_HOLDERS_MAX);
        assert_eq!(found.sockets, 100);
        let inodes: Vec<_> = found.sample.iter().map(|holder| holder.inode).collect();
        assert_eq!(owner::of(&inodes, Duration::MAX).owners.len(), inodes.len());
    });
}
