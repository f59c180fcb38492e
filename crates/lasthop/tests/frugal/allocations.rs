//! Allocations: what a request, a connection and a tunnel take from the allocator, in a proxy between real sockets.
//!
//! The proxy runs in this process, with its threads and logs. The simulation counts the request path alone, one thread
//! and no sockets; here counts what the event loop, the logs and the sockets add as well.

use std::fmt::Write as _;
use std::sync::mpsc;

use lasthop::config::{Config, Level};
use lasthop::observe::start_log;
use lasthop::server::serve;

use super::COUNTED;
use super::app::App;
use super::kind::{Client, Kind};
use super::turn;
use crate::support::{Address, PATIENCE, Place, Setup, TempDir};

/// Requests before the counted ones, until every queue, table and pool has its size.
const WARM_UP: usize = 200;

/// Of these, requests after which the app is known to keep its connections: a POST is sent on no other.
const PROVING: usize = 2;

/// Counted requests of a round.
const COUNTED_REQUESTS: usize = 100;

/// The round with the fewest allocations counts. Whatever allocates for every request is in each of them, and a thread
/// of this process that happens to allocate something (the test harness, a tick) is in one.
const ROUNDS: usize = 5;

/// A request of a kind on kept connections, and how many allocations it may take, with an app over TCP and on a Unix
/// socket. [`Kind::Closing`] takes a new connection to the app each time.
const REQUESTS: &[(Kind, usize, usize)] = &[
    (Kind::Small, 0, 0),
    (Kind::Head, 0, 0),
    (Kind::Post, 0, 0),
    (Kind::Chunked, 0, 0),
    (Kind::Large, 1, 1),
    (Kind::Closing, 6, 6),
    (Kind::Tunnelled, 2, 2),
];

/// A client that comes, makes one small request and goes.
const CLIENT_MAX: usize = 10;

/// A client that comes, gets a tunnel and goes. What is between the two ends of the old one is freed while the new one is
/// made, so the figure varies: 14 to 17 today.
const TUNNEL_MAX: usize = 19;

/// A proxy in this process, which serves for as long as that runs: only a signal ends one.
fn proxy(target: &str, log: &str) -> Address {
    let setup = Setup::to(&[target]).more(log);
    let config = Config::from_toml("frugal", &setup.toml()).expect("a configuration");
    let (announce, announced) = mpsc::channel();
    std::thread::spawn(move || {
        let log = start_log(Level::Error);
        let ended = serve(config, &log, |listener| {
            // The test may have failed and gone.
            let _ = announce.send(listener.to_owned());
        });
        panic!("it served, and then: {ended:?}");
    });
    let listener = announced.recv_timeout(PATIENCE).expect("a listener");
    let address = listener.split(' ').next().unwrap_or_default();
    Address::parse(address)
}

/// The fewest allocations that a round of `COUNTED_REQUESTS` times `work` takes.
fn allocations(mut work: impl FnMut()) -> usize {
    let round = |_| {
        let before = COUNTED.stats();
        for _ in 0..COUNTED_REQUESTS {
            work();
        }
        let after = COUNTED.stats();
        after.allocations - before.allocations + after.reallocations - before.reallocations
    };
    (0..ROUNDS).map(round).min().unwrap_or_default()
}

/// Allocations for one request, rounded up.
fn allocations_per_request(proxy: &Address, kind: Kind) -> usize {
    let mut client = Client::connect(proxy);
    for _ in 0..PROVING {
        client.exchange(Kind::Small, &Kind::Small.request(""));
    }
    if kind == Kind::Tunnelled {
        client.upgrade();
    }
    let request = kind.request("");
    allocations_each(|| client.exchange(kind, &request))
}

/// Allocations for whatever `work` does once, rounded up.
fn allocations_each(mut work: impl FnMut()) -> usize {
    for _ in 0..WARM_UP {
        work();
    }
    allocations(work).div_ceil(COUNTED_REQUESTS)
}

/// Counts everything in front of an app, with these tables in the configuration.
fn check(place: Place, tables: &str) {
    let app = App::on(place);
    let proxy = proxy(&app.target(), tables);
    let mut failures = String::new();
    let mut note = |what: &str, now: usize, most: usize| {
        println!("{what}, app over {place:?}: {now} allocations, at most {most}");
        if now > most {
            let _ = writeln!(failures, "{what}: {now} allocations, at most {most}");
        }
    };
    for (kind, tcp, unix) in REQUESTS {
        let most = if place == Place::Tcp { tcp } else { unix };
        let now = allocations_per_request(&proxy, *kind);
        note(&format!("{kind:?}"), now, *most);
    }
    let request = Kind::Small.request("");
    let client = || Client::connect(&proxy).exchange(Kind::Small, &request);
    note("a client", allocations_each(client), CLIENT_MAX);
    let tunnel = || Client::connect(&proxy).upgrade();
    note("a tunnel", allocations_each(tunnel), TUNNEL_MAX);
    assert!(failures.is_empty(), "app over {place:?}:\n{failures}");
}

#[test]
fn a_request_allocates_no_more_than_its_kind_may() {
    let _turn = turn();
    for place in [Place::Tcp, Place::Unix] {
        check(place, "[log]\naccess = \"off\"");
    }
}

#[test]
fn a_line_of_the_access_log_adds_no_allocation() {
    let _turn = turn();
    let dir = TempDir::new();
    let log = dir.join("access.log");
    check(
        Place::Unix,
        &format!("[log]\naccess = \"{}\"", log.display()),
    );
    let lines = std::fs::metadata(log).expect("the access log").len();
    assert!(lines > 0, "nothing was logged");
}
