//! Clients that leave: one that only ends its own direction still gets its answer, one that is gone frees the app.

use std::time::{Duration, Instant};

use crate::support::misbehave::{app_behind, app_that_answers, app_that_never_answers};
use crate::support::{App, Client, Ending, Gate, Lasthop, Place, QUIET, Setup, pattern};

#[test]
fn a_client_that_half_closes_after_its_requests_gets_all_answers() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    client.finish_sending();
    assert_eq!(client.answer().text(), "ok");
    assert_eq!(client.ending(), Ending::Closed);
}

#[test]
fn a_half_closed_client_gets_an_answer_that_takes_its_time() {
    let read = Gate::closed();
    let app = app_behind(&read, Place::Tcp);
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    app.wait_for_accepted(1);
    client.finish_sending();
    assert!(client.is_quiet_for(QUIET));
    read.open();
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn a_client_that_half_closes_at_once_is_answered_over_a_new_connection_too() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .upstream("keepalive = { idle = 0, timeout = \"1s\" }")
        .start();
    let mut clients: Vec<_> = (0..50).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.finish_sending();
    }
    for client in &mut clients {
        assert_eq!(client.answer().status(), 200);
    }
}

#[test]
fn a_client_that_leaves_frees_the_app() {
    let (app, given_up) = app_that_never_answers();
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    app.wait_for_accepted(1);
    client.0.reset();
    given_up.wait();
}

/// Sends until nobody takes any more: not the app, nor a buffer on the way to it.
fn send_until_it_is_held_up(client: &mut Client) {
    let socket = client.0.socket().upgrade().expect("an open connection");
    socket
        .set_write_timeout(Some(2 * QUIET))
        .expect("a timeout");
    let part = pattern(1_000_000);
    let mut parts = 0;
    while client.try_send(&part).is_ok() {
        parts += 1;
        assert!(parts < 100, "{parts} MB went to an app that does not read");
    }
}

#[test]
fn a_reset_of_a_client_whose_upload_is_held_up_frees_the_app_at_once() {
    let freed = Gate::closed();
    let go_on = freed.clone();
    let app = App::scripted(move |mut conn| {
        let Some(head) = conn.head() else { return };
        if head.method() == "GET" {
            conn.answer("ok");
            return;
        }
        // Reads nothing of the body: only then is the rest what the proxy had sent before it gave up.
        go_on.wait();
        assert!(conn.body(&head).is_err(), "the whole body came");
    });
    // With one connection allowed, the next request tells when it is free.
    let proxy = Setup::to(&[&app.target()])
        .upstream("max_connections = 1\nqueue = { size = 10, timeout = \"5s\" }")
        .start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    send_until_it_is_held_up(&mut client);
    assert_eq!(app.accepted(), 1);
    let mut next = proxy.client();
    next.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(next.is_quiet_for(QUIET), "the app had a second connection");
    let begun = Instant::now();
    client.0.reset();
    assert_eq!(next.answer().text(), "ok");
    let took = begun.elapsed();
    freed.open();
    assert!(took < Duration::from_secs(2), "freed after {took:?}");
}
