//! How connections are spread over the workers, by number: a burst, tunnels that stay, and what a worker full of them does
//! to the clients of the other one. (Few connections that stay: `shedding`.)

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use crate::support::misbehave::app_that_answers;
use crate::support::process::{settled_descriptors, wait_for_descriptors};
use crate::support::workers::by_worker;
use crate::support::{App, Client, Lasthop, PATIENCE, Place, Setup};

/// A worker keeps what it accepts while it has a quarter and eight more than the other, so it may have one more than that.
fn is_fair(more: usize, less: usize) -> bool {
    more <= less + less / 4 + 9
}

/// How many of `clients` each worker has, the most first.
fn counts(proxy: &Lasthop, clients: &[Client]) -> Vec<usize> {
    let mut counts: Vec<usize> = by_worker(proxy, clients).iter().map(Vec::len).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts
}

/// An app that answers requests, and echoes where it is asked for an upgrade.
fn app_that_upgrades() -> App {
    App::on(Place::Unix, |mut conn| {
        while let Some(request) = conn.request() {
            if request.head.field("Upgrade").is_none() {
                conn.answer("ok");
                continue;
            }
            conn.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
            );
            while let Ok(bytes) = conn.wire.some() {
                conn.send(bytes);
            }
            return;
        }
    })
}

const WORD: &str = "word";

/// A proxy with two workers, one of which has more than a hundred tunnels and the other none.
struct Lopsided {
    proxy: Lasthop,
    tunnels: Vec<Client>,
    _app: App,
}

impl Lopsided {
    fn new() -> Self {
        const TUNNELS: usize = 240;
        let app = app_that_upgrades();
        let proxy = Setup::to(&[&app.target()]).server("workers = 2").start();
        let upgraded = |_| {
            let mut client = proxy.client();
            client.send(
                "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
            );
            assert_eq!(client.head().status(), 101);
            client
        };
        let mut tunnels: Vec<Client> = (0..TUNNELS).map(upgraded).collect();
        let heavy: Vec<u16> = {
            let workers = by_worker(&proxy, &tunnels);
            assert_eq!(workers.len(), 2, "one worker has them all");
            let ports = |client: &&Client| client.0.local_port();
            workers[0].iter().map(ports).collect()
        };
        // The other worker loses all of its own; the hash does not know.
        let before = settled_descriptors(proxy.pid());
        tunnels.retain(|client| heavy.contains(&client.0.local_port()));
        wait_for_descriptors(proxy.pid(), before - 2 * (TUNNELS - tunnels.len()));
        Self {
            proxy,
            tunnels,
            _app: app,
        }
    }

    /// So many clients that the worker without tunnels is to have every one of them, each with an answer.
    fn newcomers(&self) -> Vec<Client> {
        let count = (self.tunnels.len() - 9) * 4 / 5;
        let mut clients: Vec<_> = (0..count).map(|_| self.proxy.client()).collect();
        for client in &mut clients {
            assert_eq!(client.request("/").status(), 200);
        }
        clients
    }
}

#[test]
fn a_burst_of_connections_leaves_no_worker_with_more_than_a_quarter_and_a_few_more_than_the_other()
{
    let app = app_that_answers(Place::Unix);
    let proxy = Setup::to(&[&app.target()]).server("workers = 2").start();
    // All of them are there before the first is asked for anything.
    let mut clients: Vec<_> = (0..400).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.answer().status(), 200);
    }
    let counts = counts(&proxy, &clients);
    assert!(
        matches!(counts[..], [more, less] if is_fair(more, less)),
        "{counts:?}"
    );
}

#[test]
fn newcomers_go_where_no_tunnels_are() {
    let mut scene = Lopsided::new();
    let mut clients = scene.newcomers();
    let workers = by_worker(&scene.proxy, &clients);
    let held = scene.tunnels.len();
    assert_eq!(workers.len(), 1, "some are with the {held} tunnels");
    clients.append(&mut scene.tunnels);
    let [tunnels, newcomers] = [held, clients.len() - held];
    let counts = counts(&scene.proxy, &clients);
    assert_eq!(counts, [tunnels, newcomers]);
}

/// Says that it is over when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counted in echoes and not in seconds: beside a request there are three, and 120 where one worker has both, since a request
/// waits there until each tunnel has had its turn.
#[test]
fn a_worker_full_of_tunnels_that_echo_without_a_pause_does_not_keep_the_other_from_its_requests() {
    const REQUESTS: usize = 400;
    let mut scene = Lopsided::new();
    let mut clients = scene.newcomers();
    let (is_over, echoes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let tunnels = &mut scene.tunnels;
    let held = tunnels.len();
    let mut seen = std::thread::scope(|scope| {
        scope.spawn(|| {
            tunnels.iter_mut().for_each(|tunnel| tunnel.send(WORD));
            while !is_over.load(Ordering::Relaxed) {
                for tunnel in &mut *tunnels {
                    assert_eq!(tunnel.0.exactly(WORD.len()).unwrap(), WORD.as_bytes());
                    tunnel.send(WORD);
                    echoes.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        // Also where a request fails: else the tunnels echo for ever.
        let _ends = Over(&is_over);
        let begun = Instant::now();
        while echoes.load(Ordering::Relaxed) < held {
            assert!(begun.elapsed() < PATIENCE, "the tunnels do not echo");
            std::thread::yield_now();
        }
        let echoes_beside = |request: usize| {
            let before = echoes.load(Ordering::Relaxed);
            let client = request % clients.len();
            assert_eq!(clients[client].request("/").status(), 200);
            echoes.load(Ordering::Relaxed) - before
        };
        (0..REQUESTS).map(echoes_beside).collect::<Vec<_>>()
    });
    let all: usize = seen.iter().sum();
    seen.sort_unstable();
    let median = seen[REQUESTS / 2];
    println!(
        "{all} echoes of {held} tunnels beside {REQUESTS} requests, {median} beside the median one"
    );
    assert!(all > 0, "the tunnels do not echo");
    // The median and not the mean: a test that waits for its turn on a busy host is no request that waits.
    assert!(
        median < held / 4,
        "{median} echoes of {held} tunnels beside a request"
    );
}
