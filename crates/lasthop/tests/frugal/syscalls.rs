//! System calls: what a request costs the worker that serves it.
//!
//! Requests come one after the other, so that every read finds what it was told of, and waits are not shared: that they
//! are when requests come together has a test of its own.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use lasthop::transport::TICK;

use super::app::App;
use super::kind::{Client, Kind};
use super::trace::{Counts, Traced};
use super::turn;
use crate::support::programs::skip;
use crate::support::{PATIENCE, Place, Setup};

/// Requests of a kind before the counted ones.
const WARM_UP: usize = 20;

/// Counted requests.
const COUNTED: usize = 200;

/// Calls of one name beyond the bound that are let through: those of the marked requests, of a connection that is made
/// anew, of another thread's waking this one.
const STRAYS: usize = 20;

/// And for each tick of the worker, who looks at the clock and wakes whoever is due. strace makes requests slow, and a
/// busy machine does, so that many ticks may come meanwhile.
const STRAYS_PER_TICK: usize = 2;

/// But however slow it is, a call for each request is never let through: that would be `COUNTED` calls. So many waits are
/// always let through, since it depends on who is faster whether an end is told together with the last bytes or after.
const STRAYS_MAX: usize = COUNTED / 2;

/// Clients whose requests come together.
const TOGETHER: usize = 16;

/// How often a system call may be made for a request; what is not named may not be made at all.
type Bounds = &'static [(&'static str, usize)];

/// A head in, a head out, and the same again for the answer.
const KEPT: Bounds = &[("epoll_wait", 2), ("recvfrom", 2), ("sendto", 2)];

/// A POST cannot be sent again, so it is preceded by a look whether the app has closed the connection.
const POST: Bounds = &[
    ("epoll_wait", 2),
    ("recvfrom", 3),
    ("recvfrom EAGAIN", 1),
    ("sendto", 2),
];

/// 64 KiB, as large as a buffer lets them be. How many bytes a read finds is the kernel's affair, so there is some room.
const LARGE: Bounds = &[
    ("epoll_wait", 3),
    ("recvfrom", 8),
    ("recvfrom EAGAIN", 2),
    ("sendto", 3),
    ("writev", 3),
];

/// A connection of its own to the app. Where the app is quick it is never watched; else it is looked at once in vain, and
/// then watched. And where the app is the first to close, the socket is rid of its connection and connected again; else it
/// is closed, and another one made. So the bounds are those of both ways at once.
const CLOSING_TCP: Bounds = &[
    ("close", 1),
    ("connect", 2),
    ("epoll_ctl", 2),
    ("epoll_wait", 2),
    ("getpeername", 2),
    ("getsockopt", 2),
    ("recvfrom", 3),
    ("recvfrom EAGAIN", 1),
    ("sendto", 2),
    ("setsockopt", 2),
    ("shutdown", 1),
    ("socket", 1),
];

const CLOSING_UNIX: Bounds = &[
    ("close", 1),
    ("connect", 1),
    ("epoll_ctl", 2),
    ("epoll_wait", 2),
    ("recvfrom", 3),
    ("recvfrom EAGAIN", 1),
    ("sendto", 2),
    ("socket", 1),
];

/// Each kind, with an app over TCP and on a Unix socket.
const TABLE: &[(Kind, Bounds, Bounds)] = &[
    (Kind::Small, KEPT, KEPT),
    (Kind::Head, KEPT, KEPT),
    (Kind::Post, POST, POST),
    (Kind::Chunked, KEPT, KEPT),
    (Kind::Large, LARGE, LARGE),
    (Kind::Closing, CLOSING_TCP, CLOSING_UNIX),
    (Kind::Tunnelled, KEPT, KEPT),
];

/// A traced proxy before an app; none, said loudly, where nothing can be traced.
struct Scene {
    traced: Traced,
    marker: Client,
    marks: usize,
    _app: App,
}

impl Scene {
    fn before(place: Place, tables: &str) -> Option<Self> {
        let app = App::on(place);
        match Traced::start(Setup::to(&[&app.target()]).more(tables)) {
            Ok(traced) => Some(Self {
                marker: traced.client(),
                traced,
                marks: 0,
                _app: app,
            }),
            Err(why) => {
                skip(&why);
                None
            }
        }
    }

    /// The calls that the worker made while `work` was done, and how many of a name may be strays.
    fn during(&mut self, work: impl FnOnce()) -> (Counts, usize) {
        self.marks += 1;
        let [first, second] = ["from", "to"].map(|end| format!("?mark-{}-{end}", self.marks));
        let begun = Instant::now();
        self.mark(&first);
        work();
        self.mark(&second);
        let ticks = begun.elapsed().as_millis() / TICK.as_millis();
        let strays = STRAYS + STRAYS_PER_TICK * usize::try_from(ticks).unwrap_or(STRAYS_MAX);
        (self.traced.between(&first, &second), strays.min(STRAYS_MAX))
    }

    fn mark(&mut self, mark: &str) {
        self.marker
            .exchange(Kind::Small, &Kind::Small.request(mark));
    }
}

/// What is more than the bounds allow for [`COUNTED`] requests; empty if nothing is.
fn excess(counts: &Counts, bounds: Bounds, strays: usize) -> String {
    let mut excess = String::new();
    for (name, count) in counts {
        let bound = bounds.iter().find(|(known, _)| known == name);
        let bound = bound.map_or(0, |(_, bound)| *bound);
        let strays = if name == "epoll_wait" {
            STRAYS_MAX
        } else {
            strays
        };
        if *count > bound * COUNTED + strays {
            let _ = writeln!(
                excess,
                "  {name}: {count} in {COUNTED} requests, not {bound} for each and {strays} strays"
            );
        }
    }
    excess
}

#[test]
fn a_request_makes_no_more_system_calls_than_its_kind_needs() {
    let _turn = turn();
    let mut failures = String::new();
    for place in [Place::Tcp, Place::Unix] {
        let Some(mut scene) = Scene::before(place, "[log]\naccess = \"off\"") else {
            return;
        };
        for (kind, tcp, unix) in TABLE {
            let mut client = scene.traced.client();
            if *kind == Kind::Tunnelled {
                client.upgrade();
            }
            let request = kind.request("");
            for _ in 0..WARM_UP {
                client.exchange(*kind, &request);
            }
            let (counts, strays) = scene.during(|| {
                for _ in 0..COUNTED {
                    client.exchange(*kind, &request);
                }
            });
            println!("{kind:?}, app over {place:?}, {COUNTED} requests: {counts:?}");
            let bounds = if place == Place::Tcp { tcp } else { unix };
            let excess = excess(&counts, bounds, strays);
            if !excess.is_empty() {
                let _ = writeln!(failures, "{kind:?}, app over {place:?}:\n{excess}");
            }
        }
    }
    assert!(failures.is_empty(), "too many system calls:\n{failures}");
}

#[test]
fn a_line_of_the_access_log_costs_the_worker_no_system_call() {
    let _turn = turn();
    let Some(mut scene) = Scene::before(Place::Tcp, "") else {
        return;
    };
    let mut client = scene.traced.client();
    let request = Kind::Small.request("");
    for _ in 0..WARM_UP {
        client.exchange(Kind::Small, &request);
    }
    let (counts, strays) = scene.during(|| {
        for _ in 0..COUNTED {
            client.exchange(Kind::Small, &request);
        }
    });
    println!("{COUNTED} requests: {counts:?}");
    let excess = excess(&counts, KEPT, strays);
    assert!(excess.is_empty(), "too many system calls:\n{excess}");
    scene.traced.proxy.access_lines(COUNTED);
}

#[test]
fn requests_that_come_together_share_the_waits() {
    /// Of each round: the proxy has woken up for some of the requests, then for some of the answers, then for the rest
    /// of both. One for each is what it would be if nothing were shared.
    const WAITS_MAX: usize = TOGETHER / 2;
    let _turn = turn();
    let Some(mut scene) = Scene::before(Place::Unix, "[log]\naccess = \"off\"") else {
        return;
    };
    let client = |_| scene.traced.client();
    let mut clients: Vec<Client> = (0..TOGETHER).map(client).collect();
    let request = Kind::Small.request("");
    let mut together = |rounds: usize| {
        for _ in 0..rounds {
            for client in &mut clients {
                client.send(&request);
            }
            for client in &mut clients {
                client.answer(Kind::Small);
            }
        }
    };
    together(WARM_UP);
    let (counts, strays) = scene.during(|| together(COUNTED));
    println!("{COUNTED} rounds of {TOGETHER} requests: {counts:?}");
    let waits = counts["epoll_wait"];
    assert!(
        waits <= COUNTED * WAITS_MAX,
        "{waits} waits in {COUNTED} rounds of {TOGETHER} requests"
    );
    let reads = counts["recvfrom"];
    assert!(
        reads <= COUNTED * TOGETHER * 2 + strays,
        "{reads} reads in {COUNTED} rounds of {TOGETHER} requests"
    );
}

#[test]
fn an_instance_that_does_nothing_makes_hardly_any_system_call() {
    /// In this time there are at most so many calls, of all threads together: the clock of the worker stands still, and
    /// nobody is woken but the one who asks every ten seconds whether the logs have lost lines, which takes up to four.
    const WINDOW: Duration = Duration::from_secs(2);
    const CALLS_MAX: usize = 8;
    let _turn = turn();
    let Some(scene) = Scene::before(Place::Unix, "") else {
        return;
    };
    let mut tunnels: Vec<Client> = (0..8).map(|_| scene.traced.client()).collect();
    tunnels.iter_mut().for_each(Client::upgrade);
    let mut idle: Vec<Client> = (0..8).map(|_| scene.traced.client()).collect();
    let mut converse = || {
        for (tunnel, client) in tunnels.iter_mut().zip(&mut idle) {
            tunnel.exchange(Kind::Tunnelled, &Kind::Tunnelled.request(""));
            client.exchange(Kind::Small, &Kind::Small.request(""));
        }
    };
    converse();
    // Idle connections to the app are closed in the second after.
    let begun = Instant::now();
    loop {
        let before = scene.traced.so_far();
        // tidy: that nothing happens in a time is what is tested
        std::thread::sleep(WINDOW);
        let calls = scene.traced.so_far() - before;
        println!("{calls} calls in {WINDOW:?}");
        if calls <= CALLS_MAX {
            break;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{calls} calls in {WINDOW:?} of doing nothing"
        );
    }
    converse();
}

#[test]
fn a_call_for_each_request_is_an_excess_and_a_stray_one_is_not() {
    let counts = |waits: usize, clocks: usize| {
        Counts::from([
            ("epoll_wait".to_owned(), waits),
            ("clock_gettime".to_owned(), clocks),
        ])
    };
    assert_eq!(excess(&counts(COUNTED * 2 + 50, 3), KEPT, STRAYS), "");
    let excess = excess(&counts(COUNTED * 3, COUNTED), KEPT, STRAYS_MAX);
    let names: Vec<_> = excess
        .lines()
        .filter_map(|line| line.split_once(':'))
        .collect();
    let names: Vec<_> = names.iter().map(|(name, _)| name.trim()).collect();
    assert_eq!(names, ["clock_gettime", "epoll_wait"]);
}
