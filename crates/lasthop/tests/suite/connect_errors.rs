//! What happens when no connection to the app comes about: each reason has its status, its `error=` and its words in the log.

use std::time::Duration;

use crate::support::misbehave::{app_that_answers, app_with_full_backlog, held_port};
use crate::support::programs::without_permission;
use crate::support::{Address, App, Gate, Lasthop, Place, QUIET, Setup, TempDir};

/// A socket file that a dead process has left behind.
fn stale_socket(dir: &TempDir) -> Address {
    let address = Address::Unix(dir.join("stale.sock"));
    let socket = address.socket();
    socket.bind(&address.sock_addr()).expect("a socket file");
    address
}

/// Asks a proxy with a short grace; the answer must be a 502 with this error.
fn fails_with(target: &str, error: &str) -> Lasthop {
    let proxy = Setup::to(&[target])
        .upstream("restart_grace = \"50ms\"")
        .start();
    let mut client = proxy.client();
    let answer = client.request("/");
    assert_eq!(answer.status(), 502, "{}", answer.text());
    assert_eq!(answer.error(), error);
    assert!(!answer.details().is_empty());
    // The client has done nothing wrong: its connection stays.
    assert_eq!(client.request("/").status(), 502);
    proxy
}

#[test]
fn an_app_that_refuses_gives_502_after_the_grace() {
    let (_held, address) = held_port();
    let proxy = fails_with(&address.to_string(), "connection_refused");
    proxy.logs(&[&address.to_string()]);
}

#[test]
fn an_abstract_name_that_nobody_has_gives_502() {
    fails_with("unix:@lasthop-nobody-has-this-name", "connection_refused");
}

#[test]
fn a_stale_socket_file_gives_502_and_the_log_says_so() {
    let dir = TempDir::new();
    let address = stale_socket(&dir);
    let proxy = fails_with(&address.to_string(), "connection_refused");
    proxy.logs(&["stale.sock"]);
}

#[test]
fn a_missing_socket_file_gives_502_and_the_log_names_it() {
    let dir = TempDir::new();
    let target = format!("unix:{}", dir.join("missing.sock").display());
    let proxy = fails_with(&target, "destination_unavailable");
    proxy.logs(&["missing.sock"]);
}

#[test]
fn a_socket_without_permission_gives_502_and_the_log_says_who_needs_what() {
    let app = app_that_answers(Place::Unix);
    let setup = Setup::to(&[&app.target()]).upstream("restart_grace = \"50ms\"");
    let Some((proxy, _dir)) = without_permission(setup, &app) else {
        return;
    };
    let answer = proxy.get("/");
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.error(), "destination_unavailable");
    proxy.logs(&["app.sock", "permission", "mode"]);
    assert_eq!(app.accepted(), 0);
}

#[test]
fn a_request_waits_for_an_app_that_restarts() {
    let dir = TempDir::new();
    let (_held, tcp) = held_port();
    let missing = Address::Unix(dir.join("app.sock"));
    for address in [tcp, stale_socket(&dir), missing] {
        let proxy = Setup::to(&[&address.to_string()])
            .upstream("restart_grace = \"20s\"")
            .start();
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert!(client.is_quiet_for(QUIET), "{address}: it did not wait");
        let _app = App::at(&address, |mut conn| {
            while let Some(request) = conn.request() {
                conn.answer(request.body);
            }
        });
        assert_eq!(client.answer().text(), "hi", "{address}");
    }
}

#[test]
fn a_full_unix_backlog_gives_503_past_the_queue() {
    for place in [Place::Unix, Place::Abstract] {
        let app = app_with_full_backlog(place);
        let proxy = Setup::to(&[&app.target()])
            .upstream("connect_timeout = \"200ms\"\nqueue = { size = 100, timeout = \"200ms\" }")
            .start();
        let answer = proxy.get("/");
        assert_eq!(answer.status(), 503, "{}", answer.text());
        assert_eq!(answer.error(), "connection_limit_reached");
        assert!(answer.details().contains("backlog"), "{}", answer.details());
        assert!(answer.head.has("Retry-After"));
        proxy.logs(&["backlog"]);
    }
}

#[test]
fn a_request_that_meets_a_full_unix_backlog_waits_for_a_place() {
    let mut app = app_with_full_backlog(Place::Unix);
    let proxy = Setup::to(&[&app.target()]).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.is_quiet_for(QUIET), "it did not wait");
    app.release();
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn a_full_tcp_backlog_gives_504_after_the_connect_timeout() {
    let app = app_with_full_backlog(Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .upstream("connect_timeout = \"200ms\"")
        .start();
    let answer = proxy.get("/");
    assert_eq!(answer.status(), 504, "{}", answer.text());
    assert_eq!(answer.error(), "connection_timeout");
}

#[test]
fn an_error_to_a_head_request_has_no_body() {
    let dir = TempDir::new();
    let target = format!("unix:{}", dir.join("missing.sock").display());
    let proxy = Setup::to(&[&target])
        .upstream("restart_grace = \"1ms\"")
        .start();
    let mut client = proxy.client();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer_to("HEAD").status(), 502);
    // Were there a body, it would be taken for the next answer.
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer_to("HEAD").status(), 502);
}

#[test]
fn a_failed_request_with_a_body_leaves_the_connection_in_order() {
    let (_held, address) = held_port();
    let proxy = Setup::to(&[&address.to_string()])
        .upstream("restart_grace = \"1ms\"")
        .start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
    // The proxy may answer and close before it has read everything; then the answer counts.
    let _ = client.try_send(vec![b'x'; 300_000]);
    let answer = client.answer();
    assert_eq!(answer.status(), 502);
    if answer.field("Connection") != Some("close") {
        assert_eq!(client.request("/").status(), 502);
    }
}

#[test]
fn repeated_failures_do_not_flood_the_log() {
    let (_held, address) = held_port();
    let proxy = Setup::to(&[&address.to_string()])
        .upstream("restart_grace = \"1ms\"")
        .start();
    let mut client = proxy.client();
    for _ in 0..200 {
        assert_eq!(client.request("/").status(), 502);
    }
    let lines = proxy.log_so_far();
    assert!(lines.len() < 50, "{} lines for one cause", lines.len());
}

#[test]
fn the_grace_is_not_longer_than_it_says() {
    let (_held, address) = held_port();
    let proxy = Setup::to(&[&address.to_string()])
        .upstream("restart_grace = \"300ms\"")
        .start();
    let begun = std::time::Instant::now();
    assert_eq!(proxy.get("/").status(), 502);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(290), "gave up after {took:?}");
    assert!(took < Duration::from_secs(5), "gave up after {took:?}");
}

#[test]
fn the_grace_begins_when_the_app_is_first_asked_and_not_in_the_queue() {
    let grace = Duration::from_millis(400);
    let gate = Gate::closed();
    let go_on = gate.clone();
    let app = App::on(Place::Unix, move |mut conn| {
        if conn.request().is_some() {
            go_on.wait();
            conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let proxy = Setup::to(&[&app.target()])
        .upstream("max_connections = 1\nrestart_grace = \"400ms\"")
        .start();
    let (mut first, mut queued) = (proxy.client(), proxy.client());
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    app.wait_for_accepted(1);
    queued.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(queued.is_quiet_for(grace + QUIET), "it was not queued");
    let Address::Unix(path) = app.address() else {
        unreachable!("the app listens on a path")
    };
    std::fs::remove_file(path).expect("the socket file");
    let begun = std::time::Instant::now();
    gate.open();
    assert_eq!(first.answer().status(), 200);
    let answer = queued.answer();
    let took = begun.elapsed();
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.error(), "destination_unavailable");
    assert!(took >= grace, "gave up after {took:?}");
    assert!(took < Duration::from_secs(5), "gave up after {took:?}");
}
