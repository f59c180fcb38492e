//! What the calls of this crate cost on this host, printed: the figures in their documentation come from here.
//!
//! `cargo run --release -p lasthop-kernel --example kernel_costs`. Run it in a network namespace of its own
//! (`unshare --map-root-user --net`, then `ip link set lo up`), where nobody minds what it holds.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that fails has nothing to say, and what it says goes to the one who ran it"
)]

use lasthop_kernel::{probe, socket};
use std::hint::black_box;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

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
