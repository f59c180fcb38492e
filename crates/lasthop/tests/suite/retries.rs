//! A connection to the app that turns out to be dead: what is sent once more on another one, and what never is.

use std::sync::mpsc::{Receiver, channel};

use super::reuse::POST;
use crate::support::{App, Lasthop, Setup};

/// An app whose first connection answers `kept` requests, reads the next one and dies; the others do as `fresh` says.
/// The test is told of each request that comes whole.
fn dies_on_reuse(kept: usize, fresh: &'static str, reset: bool) -> (App, Receiver<String>) {
    let (tell, told) = channel();
    let app = App::scripted(move |mut conn| {
        let mut served = 0;
        while let Some(request) = conn.request() {
            // The test may be over.
            let _ = tell.send(format!("{} on {}", request.head.method(), conn.number));
            if conn.number == 0 && served == kept {
                if reset {
                    conn.reset();
                }
                return;
            }
            if conn.number > 0 && fresh == "dies" {
                return;
            }
            served += 1;
            conn.answer(request.body);
        }
    });
    (app, told)
}

#[test]
fn a_get_on_a_reused_connection_that_dies_is_sent_once_more() {
    for reset in [false, true] {
        let (app, told) = dies_on_reuse(1, "answers", reset);
        let proxy = Lasthop::before(&app);
        assert_eq!(proxy.get("/").status(), 200);
        assert_eq!(proxy.get("/").status(), 200);
        let seen: Vec<_> = told.try_iter().collect();
        assert_eq!(seen, ["GET on 0", "GET on 0", "GET on 1"]);
    }
}

#[test]
fn a_put_on_a_reused_connection_that_dies_is_sent_once_more_whole_or_not_at_all() {
    let (app, told) = dies_on_reuse(1, "answers", false);
    let proxy = Lasthop::before(&app);
    assert_eq!(proxy.get("/").status(), 200);
    let answer = proxy
        .client()
        .exchange("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    let seen: Vec<_> = told.try_iter().collect();
    match answer.status() {
        200 => assert_eq!(answer.text(), "abc"),
        status => {
            assert_eq!(status, 502);
            assert_eq!(seen, ["GET on 0", "PUT on 0"]);
        }
    }
}

#[test]
fn a_post_whose_bytes_have_gone_out_is_never_sent_again() {
    for reset in [false, true] {
        // Kept twice, so that the proxy has reason to rely on it.
        let (app, told) = dies_on_reuse(2, "answers", reset);
        let proxy = Lasthop::before(&app);
        assert_eq!(proxy.get("/").status(), 200);
        assert_eq!(proxy.get("/").status(), 200);
        let answer = proxy.client().exchange(POST);
        let seen: Vec<_> = told.try_iter().collect();
        assert_eq!(seen, ["GET on 0", "GET on 0", "POST on 0"]);
        assert_eq!(answer.status(), 502);
        assert_eq!(answer.error(), "http_response_incomplete");
    }
}

#[test]
fn a_get_is_sent_again_once_and_not_twice() {
    let (app, told) = dies_on_reuse(1, "dies", false);
    let proxy = Lasthop::before(&app);
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(proxy.get("/").status(), 502);
    let seen: Vec<_> = told.try_iter().collect();
    assert_eq!(seen, ["GET on 0", "GET on 0", "GET on 1"]);
}

#[test]
fn with_no_retries_nothing_is_sent_again() {
    let (app, told) = dies_on_reuse(1, "answers", false);
    let proxy = Setup::to(&[&app.target()]).upstream("retries = 0").start();
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(proxy.get("/").status(), 502);
    let seen: Vec<_> = told.try_iter().collect();
    assert_eq!(seen, ["GET on 0", "GET on 0"]);
}

#[test]
fn a_reused_connection_that_dies_inside_its_answer_is_not_tried_again() {
    let app = App::scripted(|mut conn| {
        if conn.request().is_some() {
            conn.answer("ok");
        }
        if conn.request().is_some() {
            conn.send("HTTP/1.1 200");
        }
    });
    let proxy = Lasthop::before(&app);
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(proxy.get("/").status(), 502);
    assert_eq!(app.accepted(), 1);
}

#[test]
fn more_retries_send_nothing_that_an_app_may_have_seen_once_more() {
    for (request, seen) in [
        (POST, &["GET on 0", "GET on 0", "POST on 0"][..]),
        // The second attempt goes over a fresh connection: what dies there may have been seen.
        (
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &["GET on 0", "GET on 0", "GET on 0", "GET on 1"],
        ),
    ] {
        let (app, told) = dies_on_reuse(2, "dies", false);
        let proxy = Setup::to(&[&app.target()]).upstream("retries = 5").start();
        assert_eq!(proxy.get("/").status(), 200);
        assert_eq!(proxy.get("/").status(), 200);
        let answer = proxy.client().exchange(request);
        assert_eq!(answer.status(), 502);
        assert_eq!(answer.error(), "http_response_incomplete");
        let told: Vec<_> = told.try_iter().collect();
        assert_eq!(told, seen);
    }
}
