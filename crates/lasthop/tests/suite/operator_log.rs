//! The operator log over time: the first failure of a kind is a line, those that follow are a count, for all workers
//! together, and the count is told whether failures go on or stop.

use std::time::{Duration, Instant};

use crate::support::logs::field;
use crate::support::misbehave::app_that_answers;
use crate::support::{Client, Ending, Lasthop, PATIENCE, Place, Setup, TempDir};

/// How long a kind of failure stays quiet after it was logged.
const SILENCE: Duration = Duration::from_secs(10);

/// A proxy with two workers before a socket that is not there.
fn before_nobody(dir: &TempDir) -> Lasthop {
    let target = format!("unix:{}", dir.join("missing.sock").display());
    Setup::to(&[&target])
        .server("workers = 2")
        .upstream("restart_grace = \"1ms\"")
        .start()
}

/// Fails so often, on many connections, which the kernel spreads over the workers.
fn fail(proxy: &Lasthop, times: usize) {
    let mut clients: Vec<Client> = (0..40).map(|_| proxy.client()).collect();
    for n in 0..times {
        assert_eq!(clients[n % 40].request("/").status(), 502);
    }
}

fn lines_with(proxy: &Lasthop, words: &str) -> Vec<String> {
    let lines = proxy.log_so_far().into_iter();
    lines.filter(|line| line.contains(words)).collect()
}

/// Ends the process in good order, and waits until its log is whole.
fn end(proxy: &mut Lasthop) {
    proxy.signal("TERM");
    let status = proxy.ends_within(PATIENCE).expect("the drain ends");
    assert!(status.success(), "{status}");
    proxy.stderr_to_end();
}

#[test]
fn repeated_failures_of_all_workers_are_one_line_and_at_the_end_a_count() {
    let dir = TempDir::new();
    let mut proxy = before_nobody(&dir);
    fail(&proxy, 200);
    // Of another kind: it has a line of its own.
    let refused = proxy.client().exchange("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(refused.status(), 400);
    proxy.logs(&["request failed", "kind=\"malformed_request\""]);
    end(&mut proxy);
    let failed = lines_with(&proxy, "request failed ");
    assert_eq!(failed.len(), 2, "{failed:#?}");
    assert_eq!(field(&failed[0], "repeated"), None, "{failed:?}");
    let again = lines_with(&proxy, "requests failed again");
    assert_eq!(again.len(), 1, "{again:#?}");
    assert!(again[0].contains(" WARN "), "{again:?}");
    for (name, value) in [
        ("kind", "missing"),
        ("upstream", "app"),
        ("repeated", "199"),
    ] {
        assert_eq!(field(&again[0], name).as_deref(), Some(value), "{again:?}");
    }
}

#[test]
fn failures_that_stop_are_counted_to_the_last_while_the_process_goes_on() {
    let dir = TempDir::new();
    let proxy = before_nobody(&dir);
    let begun = Instant::now();
    fail(&proxy, 50);
    let again = proxy.logs(&["requests failed again"]);
    assert!(begun.elapsed() >= SILENCE, "after {:?}", begun.elapsed());
    assert_eq!(field(&again, "repeated").as_deref(), Some("49"), "{again}");
    // It was told just now, so the next ones wait for the next time.
    fail(&proxy, 3);
    assert_eq!(lines_with(&proxy, "request failed ").len(), 1);
}

#[test]
fn clients_without_room_are_summed_up_by_their_listener() {
    let app = app_that_answers(Place::Unix);
    // More listeners than upstreams: the one must not be taken for the other.
    let mut proxy = Setup::to(&[&app.target()])
        .more("[[listener]]\nname = \"side\"\naddress = \"127.0.0.1:0\"\nmax_connections = 1")
        .start();
    let side = proxy.listening[1].0.clone();
    let mut last: Option<Client> = None;
    for _ in 0..4 {
        let mut client = Client::connect(&side);
        assert_eq!(client.request("/").status(), 200);
        if let Some(mut evicted) = last.replace(client) {
            assert_eq!(evicted.ending(), Ending::Closed);
        }
    }
    proxy.logs(&["idle client closed to make room", "listener=\"side\""]);
    end(&mut proxy);
    let again = lines_with(&proxy, "idle clients closed again to make room");
    assert_eq!(again.len(), 1, "{:#?}", proxy.log_so_far());
    assert_eq!(field(&again[0], "listener").as_deref(), Some("side"));
    assert_eq!(field(&again[0], "repeated").as_deref(), Some("2"));
    assert_eq!(lines_with(&proxy, "requests failed again"), [""; 0]);
}

#[test]
fn what_clients_do_wrong_is_below_the_level_of_a_warning() {
    let dir = TempDir::new();
    let target = format!("unix:{}", dir.join("missing.sock").display());
    let mut proxy = Setup::to(&[&target])
        .upstream("restart_grace = \"1ms\"")
        .more("[log]\nlevel = \"warn\"")
        .start();
    for _ in 0..3 {
        let refused = proxy.client().exchange("GET / HTTP/1.1\r\n\r\n");
        assert_eq!(refused.status(), 400);
    }
    assert_eq!(proxy.get("/").status(), 502);
    end(&mut proxy);
    let lines = lines_with(&proxy, "failed");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("kind=\"missing\""), "{lines:?}");
}
