//! What it costs to borrow a source port from the ledger and to give it back: `ledger_cost OPERATION COUNT` does it so
//! many times and prints nothing.
//!
//! Run twice under `valgrind --tool=callgrind`, with different counts, it gives the instructions of one; that is how
//! `tests/frugal` of `lasthop` counts them. It measures no time: the ledger's threads meet in the proxy, not here.

#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lasthop_ports::{
    AddressBlock, BlockError, Condition, Ended, HostPorts, Ledger, Plan, Sources, Stage,
    TimeWaitReuse, Walk,
};

/// Pairs beyond the kernel's own: as many as an app gets that has not asked for more.
const SPILL_PREFIX: u8 = 24;

/// Leases that are held beside the one that comes and goes: more than the first pair has ports for.
const HELD: usize = 1_500;

/// The ports of a pair.
const RANGE: &str = "40000 40999";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = arguments.as_slice() else {
        println!("usage: ledger_cost OPERATION COUNT, where OPERATION is lease or lease-spilled");
        return;
    };
    let held = match &**name {
        "lease" => 0,
        "lease-spilled" => HELD,
        _ => {
            println!("there is no {name}");
            return;
        }
    };
    let Ok(count) = count.parse() else {
        println!("{count} is no count");
        return;
    };
    let now = Instant::now();
    match ledger(now) {
        Some(ledger) => lend(&ledger, held, count, now),
        None => println!("the plan is none"),
    }
}

/// The ledger of an app on this host, whose connections may come from 256 addresses.
fn ledger(now: Instant) -> Option<Arc<Ledger>> {
    let app = AddressBlock::single(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let spill = spill().ok()?;
    let stage = |sources| Stage {
        sources,
        destinations: app,
        condition: Condition::None,
    };
    let stages = vec![
        stage(Sources::Kernel(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)))),
        stage(Sources::Bound {
            block: spill,
            any_ip: false,
        }),
    ];
    let host = HostPorts {
        range: RANGE.parse().ok()?,
        reserved: "".parse().ok()?,
        flat_search: true,
        reuse: TimeWaitReuse::Loopback(Duration::from_secs(1)),
    };
    Some(Arc::new(Ledger::new(Plan::new(3000, stages), host, now)))
}

fn spill() -> Result<AddressBlock, BlockError> {
    AddressBlock::network(IpAddr::V4(Ipv4Addr::new(127, 64, 0, 0)), SPILL_PREFIX)
}

/// Borrows a port and gives it back, `count` times, while `held` others are out.
fn lend(ledger: &Arc<Ledger>, held: usize, count: u32, now: Instant) {
    let next = || {
        let grant = ledger.next(&mut Walk::default(), now).ok()?;
        ledger.allowed(&grant);
        Some(grant.lease)
    };
    let held: Vec<_> = (0..held).map_while(|_| next()).collect();
    for _ in 0..count {
        if let Some(mut lease) = black_box(next()) {
            lease.ended(Ended::ByApp, now);
        }
    }
    black_box(held);
}
