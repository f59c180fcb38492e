//! Whoever is too slow is given up, with the status that says who it was.

use std::time::{Duration, Instant};

use crate::support::misbehave::{app_that_answers, app_that_never_answers};
use crate::support::{App, Ending, Lasthop, Place, QUIET, Setup, pattern};

/// The short time that most tests here set.
const SHORT: Duration = Duration::from_millis(200);

fn with_listener(app: &App, key: &str) -> Lasthop {
    Setup::to(&[&app.target()])
        .listener(&format!("{key} = \"200ms\""))
        .start()
}

fn with_upstream(app: &App, key: &str) -> Lasthop {
    Setup::to(&[&app.target()])
        .upstream(&format!("{key} = \"200ms\""))
        .start()
}

#[test]
fn a_head_that_does_not_come_gets_408() {
    let app = app_that_answers(Place::Tcp);
    let proxy = with_listener(&app, "header_timeout");
    let begun = Instant::now();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    let answer = client.answer();
    assert_eq!(answer.status(), 408);
    assert_eq!(answer.error(), "http_request_error");
    assert_eq!(client.ending(), Ending::Closed);
    assert!(begun.elapsed() >= SHORT);
    assert_eq!(app.accepted(), 0);
}

#[test]
fn what_has_come_in_time_counts_although_the_process_was_stopped_beyond_it() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .listener("idle_timeout = \"1s\"\nheader_timeout = \"1s\"")
        .start();
    let mut idle = proxy.client();
    assert_eq!(idle.request("/").status(), 200);
    let mut half = proxy.client();
    half.send("GET / HTTP/1.1\r\n");
    // Both are known to the worker before it is stopped.
    assert_eq!(proxy.get("/").status(), 200);
    // And that it sleeps.
    std::thread::sleep(Duration::from_millis(400)); // tidy: nothing tells
    proxy.signal("STOP");
    std::thread::sleep(Duration::from_millis(200)); // tidy: until all its threads have stopped
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    half.send("Host: a\r\n\r\n");
    std::thread::sleep(Duration::from_millis(1300)); // tidy: the time itself is what is tested
    proxy.signal("CONT");
    assert_eq!(idle.answer().status(), 200);
    assert_eq!(half.answer().status(), 200);
}

#[test]
fn a_head_that_drips_gets_408_too() {
    let app = app_that_answers(Place::Tcp);
    let proxy = with_listener(&app, "header_timeout");
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    // A byte now and then must not start the clock anew.
    while client.is_quiet_for(SHORT / 5) {
        if client.try_send("X").is_err() {
            break;
        }
    }
    assert_eq!(client.answer().status(), 408);
}

#[test]
fn a_connection_without_a_request_is_closed() {
    let app = app_that_answers(Place::Tcp);
    let proxy = with_listener(&app, "header_timeout");
    let mut client = proxy.client();
    // Nothing was asked; a 408 is allowed (RFC 9110 section 15.5.9), a plain end is enough.
    if let Ok(answer) = client.try_answer_to("GET") {
        assert_eq!(answer.status(), 408);
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let app = app_that_answers(Place::Tcp);
    let proxy = with_listener(&app, "idle_timeout");
    let mut client = proxy.client();
    assert_eq!(client.request("/").status(), 200);
    let begun = Instant::now();
    assert_eq!(client.ending(), Ending::Closed);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_body_that_does_not_come_gets_408() {
    let app = app_that_answers(Place::Tcp);
    let proxy = with_listener(&app, "body_timeout");
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    let answer = client.answer();
    assert_eq!(answer.status(), 408);
    assert_eq!(answer.error(), "http_request_error");
    assert_eq!(client.ending(), Ending::Closed);
    assert_eq!(
        app.accepted(),
        0,
        "an upload below the buffer reached the app"
    );
}

#[test]
fn a_large_body_that_stops_gets_408_and_frees_the_app() {
    let (app, given_up) = app_that_never_answers();
    let proxy = with_listener(&app, "body_timeout");
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    client.send(pattern(300_000));
    assert_eq!(client.answer().status(), 408);
    given_up.wait();
}

#[test]
fn a_slow_but_steady_body_is_no_timeout() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .listener("body_timeout = \"1s\"\nheader_timeout = \"500ms\"")
        .start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    for _ in 0..10 {
        assert!(client.is_quiet_for(QUIET));
        client.send("x");
    }
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn an_app_that_never_answers_gives_504_and_is_given_up() {
    let (app, given_up) = app_that_never_answers();
    let proxy = with_upstream(&app, "response_timeout");
    let mut client = proxy.client();
    let answer = client.request("/");
    assert_eq!(answer.status(), 504);
    assert_eq!(answer.error(), "http_response_timeout");
    given_up.wait();
    assert_eq!(
        app.accepted(),
        1,
        "a request that may have had effect was sent again"
    );
    // The client is not to blame.
    assert_eq!(client.request("/").status(), 504);
}

#[test]
fn interim_answers_do_not_put_off_the_response_timeout_for_ever() {
    let app = App::scripted(|mut conn| {
        if conn.request().is_some() {
            conn.send("HTTP/1.1 103 Early Hints\r\n\r\n");
            conn.until_closed();
        }
    });
    let proxy = with_upstream(&app, "response_timeout");
    let answer = proxy.get("/");
    assert_eq!(answer.interim.len(), 1);
    assert_eq!(answer.status(), 504);
}

#[test]
fn a_body_of_the_app_that_stops_is_visibly_cut() {
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let app = App::scripted(move |mut conn| {
            if conn.request().is_some() {
                conn.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n3\r\nabc\r\n"));
                conn.until_closed();
            }
        });
        let proxy = with_upstream(&app, "body_timeout");
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.try_answer_to("GET").is_err(), "{framing}");
    }
}

#[test]
fn a_client_that_does_not_read_is_given_up_and_frees_the_app() {
    let (tell, told) = std::sync::mpsc::channel();
    let app = App::scripted(move |mut conn| {
        if conn.request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            let part = pattern(1_000_000);
            while conn.send(&part) {}
            // The test may be over.
            let _ = tell.send(());
        }
    });
    let proxy = with_listener(&app, "body_timeout");
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    told.recv_timeout(crate::support::PATIENCE)
        .expect("the app is freed");
    assert!(client.try_answer_to("GET").is_err());
}

#[test]
fn interim_answers_do_not_prolong_the_response_timeout() {
    let app = App::scripted(|mut conn| {
        if conn.request().is_some() {
            // One each 200 ms: every one of them in time, the answer never.
            while conn.send("HTTP/1.1 103 Early Hints\r\n\r\n") && conn.wire.is_quiet_for(SHORT) {}
        }
    });
    let proxy = Setup::to(&[&app.target()])
        .upstream("response_timeout = \"500ms\"")
        .start();
    let begun = Instant::now();
    let answer = proxy.get("/");
    let took = begun.elapsed();
    assert_eq!(answer.status(), 504);
    assert_eq!(answer.error(), "http_response_timeout");
    assert!(!answer.interim.is_empty());
    assert!(took >= Duration::from_millis(500), "{took:?}");
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[test]
fn an_app_that_says_nothing_to_an_expectation_is_the_one_that_is_too_slow() {
    let app = App::scripted(|mut conn| {
        if conn.head().is_some() {
            conn.until_closed();
        }
    });
    // The client has less time for its body than the app for its answer, and yet is not to blame.
    let proxy = Setup::to(&[&app.target()])
        .listener("body_timeout = \"100ms\"")
        .upstream("response_timeout = \"400ms\"")
        .start();
    for body in ["Content-Length: 4", "Transfer-Encoding: chunked"] {
        let mut client = proxy.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\n{body}\r\nExpect: 100-continue\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!(answer.status(), 504, "{}", answer.text());
        assert_eq!(answer.error(), "http_response_timeout");
    }
}
