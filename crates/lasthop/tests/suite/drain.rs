//! How serving ends: whoever was let in is served, nobody else is, and it takes no longer than it must.

use std::time::{Duration, Instant};

use crate::support::misbehave::{app_behind, app_that_answers};
use crate::support::{Address, App, Client, Ending, Gate, Lasthop, PATIENCE, Place, Setup};
use crate::support::{QUIET, TempDir};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// An app that switches protocols and echoes.
fn echoing_tunnel() -> App {
    App::scripted(|mut conn| {
        if conn.head().is_some() {
            conn.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            );
            while let Ok(bytes) = conn.wire.some() {
                conn.send(bytes);
            }
        }
    })
}

fn tunnel(proxy: &Lasthop) -> Client {
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.head().status(), 101);
    client
}

fn echoes(client: &mut Client) -> bool {
    client.try_send("ping").is_ok() && client.0.exactly(4).is_ok_and(|bytes| bytes == b"ping")
}

/// Waits until nobody accepts at `address` any more.
fn wait_until_refused(address: &Address) {
    let begun = std::time::Instant::now();
    while address.socket().connect(&address.sock_addr()).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "{address} is still served");
        std::thread::yield_now();
    }
}

#[test]
fn a_drain_lets_requests_in_flight_finish() {
    for signal in ["TERM", "INT"] {
        let gate = Gate::closed();
        let app = app_behind(&gate, Place::Tcp);
        let mut proxy = Lasthop::before(&app);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        app.wait_for_accepted(1);
        proxy.signal(signal);
        wait_until_refused(proxy.address());
        assert!(proxy.runs());
        gate.open();
        let answer = client.answer();
        assert_eq!(answer.text(), "ok");
        assert_eq!(answer.field("Connection"), Some("close"));
        assert_eq!(client.ending(), Ending::Closed);
        let status = proxy.ends_within(PATIENCE).expect("it ends");
        assert_eq!(status.code(), Some(0));
    }
}

#[test]
fn a_drain_closes_idle_connections_at_once() {
    let app = app_that_answers(Place::Tcp);
    let mut proxy = Lasthop::before(&app);
    let mut used = proxy.client();
    assert_eq!(used.request("/").status(), 200);
    let mut fresh = proxy.client();
    proxy.signal("TERM");
    assert_eq!(used.ending(), Ending::Closed);
    fresh.ending();
    let status = proxy.ends_within(Duration::from_secs(5)).expect("it ends");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_drain_serves_what_has_connected_before_it() {
    let app = app_that_answers(Place::Unix);
    let mut proxy = Setup::to(&[&app.target()]).server("workers = 2").start();
    let mut clients: Vec<_> = (0..100)
        .map(|_| {
            let mut client = proxy.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    proxy.signal("TERM");
    for client in &mut clients {
        assert_eq!(client.answer().text(), "ok");
    }
    assert!(proxy.ends_within(PATIENCE).is_some_and(|s| s.success()));
}

#[test]
fn a_tunnel_lives_until_the_deadline_of_the_drain() {
    let app = echoing_tunnel();
    let mut proxy = Setup::to(&[&app.target()])
        .server("drain_timeout = \"1s\"")
        .start();
    let mut client = tunnel(&proxy);
    proxy.signal("TERM");
    wait_until_refused(proxy.address());
    assert!(echoes(&mut client), "the tunnel ended before its deadline");
    client.ending();
    assert!(proxy.ends_within(PATIENCE).is_some());
}

#[test]
fn a_drain_ends_as_soon_as_the_last_tunnel_does() {
    let app = echoing_tunnel();
    let mut proxy = Lasthop::before(&app);
    let client = tunnel(&proxy);
    proxy.signal("TERM");
    wait_until_refused(proxy.address());
    drop(client);
    let status = proxy.ends_within(Duration::from_secs(10)).expect("it ends");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let app = echoing_tunnel();
    let mut proxy = Lasthop::before(&app);
    let mut client = tunnel(&proxy);
    proxy.signal("TERM");
    wait_until_refused(proxy.address());
    assert!(proxy.runs());
    proxy.signal("TERM");
    assert!(proxy.ends_within(Duration::from_secs(5)).is_some());
    client.ending();
}

#[test]
fn a_drain_does_not_wait_for_a_client_that_sends_half_a_head() {
    let app = app_that_answers(Place::Tcp);
    let mut proxy = Setup::to(&[&app.target()])
        .server("drain_timeout = \"500ms\"")
        .start();
    let mut client = proxy.client();
    client.send("GET / HT");
    assert!(client.is_quiet_for(QUIET));
    proxy.signal("TERM");
    assert!(proxy.ends_within(Duration::from_secs(5)).is_some());
}

/// A proxy with so many workers on each kind of listener, one after the other.
fn on_each_kind_of_listener(app: &App, workers: u32, test: impl Fn(Lasthop)) {
    let setup = || Setup::to(&[&app.target()]).server(&format!("workers = {workers}"));
    test(setup().start());
    let dir = TempDir::new();
    let path = dir.join("front.sock");
    test(setup().on(&format!("unix:{}", path.display())).start());
}

/// Stops the process as a debugger or a busy machine would, and waits until each of its threads stands still.
fn stop(proxy: &Lasthop) {
    proxy.signal("STOP");
    let begun = Instant::now();
    let threads = format!("/proc/{}/task", proxy.pid());
    let stands_still = |thread: std::io::Result<std::fs::DirEntry>| {
        let stat = thread.and_then(|thread| std::fs::read_to_string(thread.path().join("stat")));
        // The state stands behind the name, which is in parentheses (proc(5)); T is stopped.
        stat.is_ok_and(|stat| {
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('T'))
        })
    };
    while !std::fs::read_dir(&threads)
        .expect("its threads")
        .all(stands_still)
    {
        assert!(begun.elapsed() < PATIENCE, "it does not stop");
        std::thread::yield_now();
    }
}

#[test]
fn whoever_waits_in_the_queue_of_a_listener_when_the_drain_begins_is_served() {
    let app = app_that_answers(Place::Unix);
    on_each_kind_of_listener(&app, 2, |mut proxy| {
        stop(&proxy);
        let mut clients: Vec<_> = (0..50)
            .map(|_| {
                let mut client = proxy.client();
                client.send(GET);
                client
            })
            .collect();
        proxy.signal("TERM");
        proxy.signal("CONT");
        for (n, client) in clients.iter_mut().enumerate() {
            let answer = client.try_answer_to("GET");
            let answer = answer.unwrap_or_else(|cut| {
                panic!("client {n} on {}: {cut:?}", proxy.address());
            });
            assert_eq!(answer.text(), "ok");
            // Whether it says so depends on who of the threads, all woken at once, comes first.
            assert_eq!(client.ending(), Ending::Closed);
        }
        assert!(proxy.ends_within(PATIENCE).is_some_and(|s| s.success()));
    });
}

#[test]
fn a_first_request_right_after_the_drain_began_is_answered_and_an_idle_client_is_closed() {
    let app = app_that_answers(Place::Unix);
    // With one worker, so that what one connection sees of the drain holds for the others.
    on_each_kind_of_listener(&app, 1, |mut proxy| {
        let mut used = proxy.client();
        assert_eq!(used.request("/").status(), 200);
        let mut fresh: Vec<_> = (0..10).map(|_| proxy.client()).collect();
        proxy.signal("TERM");
        // Now the drain has reached the worker.
        assert_eq!(used.ending(), Ending::Closed);
        for client in &mut fresh {
            let answer = client.exchange(GET);
            assert_eq!(answer.text(), "ok");
            assert_eq!(answer.field("Connection"), Some("close"));
        }
        assert!(proxy.ends_within(PATIENCE).is_some_and(|s| s.success()));
    });
}

#[test]
fn an_answer_that_a_second_signal_cuts_reaches_an_http_1_0_client_as_a_reset() {
    for framing in ["Transfer-Encoding: chunked", "Connection: close"] {
        let app = App::scripted(move |mut conn| {
            if conn.request().is_some() {
                conn.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n3\r\nabc\r\n"));
                conn.until_closed();
            }
        });
        let mut proxy = Lasthop::before(&app);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        assert_eq!(client.head().status(), 200);
        client.0.exactly(3).expect("the beginning of the body");
        proxy.signal("TERM");
        wait_until_refused(proxy.address());
        proxy.signal("TERM");
        assert!(proxy.ends_within(PATIENCE).is_some());
        let (_, ending) = client.0.rest();
        assert_eq!(ending, Ending::Reset, "{framing}: a cut answer looks whole");
    }
}
