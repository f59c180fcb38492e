//! What the calls of this crate cost on this host, printed: the figures in their documentation come from here.
//!
//! `cargo run --release -p lasthop-kernel --example kernel_costs`. Run it in a network namespace of its own
//! (`unshare --map-root-user --net`, then `ip link set lo up`), where nobody minds what it holds.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that fails has nothing to say, and what it says goes to the one who ran it"
)]

use lasthop_kernel::sock_diag::{self, Destination, TcpFilter};
use lasthop_kernel::{counters, limits, namespace, owner, probe, process, route, socket, sysctl};
use socket2::{Domain, Socket, Type};
use std::hint::black_box;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// Connections that are left in TIME_WAIT, each an entry to walk past that needs no descriptor.
const HELD: u32 = 50_000;
/// Sockets of the process whose sockets are looked for.
const SOCKETS: u64 = 19_000;
/// Processes that have none of them.
const OTHERS: u32 = 50;
/// Pairs of connected Unix sockets.
const PAIRS: u32 = 9_500;

fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let probe = Instant::now();
    let flat = probe::flat_port_search();
    println!("probe::flat_port_search: {:?}, {flat}", probe.elapsed());
    each("socket::tcp_state", 1_000_000, || {
        black_box(socket::tcp_state(&stream).unwrap());
    });
    each("socket::pending_input, to compare", 1_000_000, || {
        black_box(socket::pending_input(&stream));
    });
    each("route::to", 10_000, || {
        black_box(route::to(IpAddr::from([127, 0, 0, 1])).unwrap());
    });
    each("counters::read", 1000, || {
        black_box(counters::read().unwrap());
    });
    each("namespace::every", 100, || {
        black_box(namespace::every().unwrap());
    });
    owners();
    listings();
}

/// A process with many sockets, this one, among others that have few.
fn owners() {
    limits::raise_nofile().unwrap();
    let mut others: Vec<_> = (0..OTHERS)
        .map(|_| Command::new("sleep").arg("300").spawn().unwrap())
        .collect();
    // A descriptor each for the rest of the program.
    let room = limits::nofile().unwrap().soft - 100;
    let sockets: Vec<_> = (0..SOCKETS.min(room))
        .map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap())
        .collect();
    let inodes: Vec<_> = sockets.iter().map(inode).collect();
    println!("{} sockets, {OTHERS} other processes", inodes.len());
    let us = std::process::id();
    each("process::descriptors", 1000, || {
        black_box(process::descriptors(us).unwrap());
    });
    each("process::identity", 1000, || {
        black_box(process::identity(us).unwrap());
    });
    each("owner::of, every descriptor of the host", 10, || {
        black_box(owner::of(&[u64::MAX], Duration::MAX));
    });
    let spread: Vec<_> = inodes.iter().copied().step_by(inodes.len() / 64).collect();
    let last: Vec<_> = inodes.iter().copied().rev().take(64).collect();
    for (name, inodes) in [
        ("one", &inodes[inodes.len() / 2..][..1]),
        ("a sample of 64", &spread),
        ("the 64 youngest", &last),
        ("one that nobody has", &[u64::MAX]),
    ] {
        let wanted = owner::Wanted {
            inodes,
            uid: lasthop_kernel::identity::effective_uid(),
            cgroup: None,
        };
        each(&format!("owner::search, {name}"), 20, || {
            black_box(owner::search(&[wanted], Duration::MAX));
        });
    }
    for other in &mut others {
        other.kill().unwrap();
        other.wait().unwrap();
    }
}

fn inode(socket: &Socket) -> u64 {
    let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
    std::fs::metadata(path).unwrap().ino()
}

/// A port of its own takes one fifth each, so that none needs all source ports.
fn listings() {
    let listeners: Vec<_> = (1..=5)
        .map(|last| TcpListener::bind(SocketAddr::from(([127, 0, 2, last], 0))).unwrap())
        .collect();
    let begin = Instant::now();
    for (_, listener) in (0..HELD).zip(listeners.iter().cycle()) {
        drop(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        drop(listener.accept().unwrap());
    }
    println!("{HELD} connections made and closed: {:?}", begin.elapsed());
    let one = listeners[0].local_addr().unwrap();
    let all = Destination {
        network: IpAddr::from([127, 0, 2, 0]),
        prefix: 24,
        port: None,
    };
    for (name, destination) in [
        ("one target", Some(one.into())),
        ("five targets", Some(all)),
        (
            "a target that nobody leads to",
            Some(SocketAddr::from(([127, 9, 9, 9], 9)).into()),
        ),
        ("no filter", None),
    ] {
        let filter = TcpFilter {
            destination,
            ..TcpFilter::default()
        };
        let mut entries = 0;
        let begin = Instant::now();
        let complete = sock_diag::tcp(&filter, |_| entries += 1).unwrap();
        let took = begin.elapsed();
        println!("sock_diag::tcp, {name}: {entries} entries in {took:?}, {complete:?}");
    }
    whole_tables(one.port());
}

/// What a diagnosis reads, while the listeners and what is left of the connections are there.
fn whole_tables(port: u16) {
    each("sock_diag::tcp_listeners", 100, || {
        black_box(sock_diag::tcp_listeners(port).unwrap());
    });
    each("sock_diag::every_tcp_listener", 100, || {
        black_box(sock_diag::every_tcp_listener().unwrap());
    });
    let every = TcpFilter::default();
    each("sock_diag::tcp, no filter", 10, || {
        black_box(
            sock_diag::tcp(&every, |entry| {
                black_box(entry.inode);
            })
            .unwrap(),
        );
    });
    each("sock_diag::unix_sockets", 100, || {
        black_box(
            sock_diag::unix_sockets(|entry| {
                black_box(entry.inode);
            })
            .unwrap(),
        );
    });
    let pairs: Vec<_> = (0..PAIRS)
        .map_while(|_| std::os::unix::net::UnixStream::pair().ok())
        .collect();
    each(
        &format!("sock_diag::unix_sockets, {} pairs", pairs.len()),
        10,
        || {
            black_box(
                sock_diag::unix_sockets(|entry| {
                    black_box(entry.inode);
                })
                .unwrap(),
            );
        },
    );
    drop(pairs);
    let range = sysctl::local_port_range().unwrap();
    each("sock_diag::bound", 3, || {
        black_box(sock_diag::bound(range).unwrap());
    });
}

/// The time of one call, over `calls` of them.
fn each(name: &str, calls: u32, mut call: impl FnMut()) {
    let begin = Instant::now();
    for _ in 0..calls {
        call();
    }
    let one: Duration = begin.elapsed() / calls;
    println!("{name}: {one:?}");
}
