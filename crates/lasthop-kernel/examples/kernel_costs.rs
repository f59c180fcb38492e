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
use lasthop_kernel::{owner, probe, route, socket, sysctl};
use std::hint::black_box;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Connections that are left in TIME_WAIT, each an entry to walk past that needs no descriptor.
const HELD: u32 = 50_000;

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
    each("owner::of, every descriptor of the host", 10, || {
        black_box(owner::of(&[u64::MAX], Duration::MAX));
    });
    listings();
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
    each("sock_diag::tcp_listeners", 100, || {
        black_box(sock_diag::tcp_listeners(one.port()).unwrap());
    });
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
