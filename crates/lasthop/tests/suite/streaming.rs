//! Nothing waits that need not wait: events, interim answers, early answers, pipelines; and uploads that should, do.

use std::time::Instant;

use crate::support::misbehave::{app_that_answers, app_that_answers_before_the_upload_ends};
use crate::support::{App, Gate, Lasthop, PATIENCE, Place, QUIET, Setup, pattern};

#[test]
fn an_event_reaches_the_client_before_the_app_writes_the_next() {
    for framing in ["Transfer-Encoding: chunked", "Connection: close"] {
        let read = Gate::closed();
        let go_on = read.clone();
        let chunked = framing.starts_with("Transfer");
        let app = App::scripted(move |mut conn| {
            if conn.request().is_none() {
                return;
            }
            conn.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n\r\n"
            ));
            let event = |text: &str| {
                if chunked {
                    format!("{:x}\r\n{text}\r\n", text.len())
                } else {
                    text.to_owned()
                }
            };
            conn.send(event("data: 1\n\n"));
            go_on.wait();
            conn.send(event("data: 2\n\n"));
            if chunked {
                conn.send("0\r\n\r\n");
            }
        });
        let proxy = Lasthop::before(&app);
        let mut client = proxy.client();
        client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.head();
        assert_eq!(head.field("Content-Type"), Some("text/event-stream"));
        let mut trailers = Vec::new();
        let first = client.0.chunk(&mut trailers).expect("the first event");
        assert_eq!(first, b"data: 1\n\n");
        read.open();
        assert_eq!(
            client.0.chunk(&mut trailers).expect("the second"),
            b"data: 2\n\n"
        );
        assert_eq!(client.0.chunk(&mut trailers).expect("the last chunk"), b"");
    }
}

#[test]
fn the_head_of_an_answer_reaches_the_client_before_its_body_exists() {
    let read = Gate::closed();
    let go_on = read.clone();
    let app = App::scripted(move |mut conn| {
        if conn.request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
            go_on.wait();
            conn.send("body");
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    read.open();
    assert_eq!(client.0.exactly(4).expect("the body"), b"body");
}

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";

#[test]
fn a_100_continue_is_passed_on_when_the_app_says_it() {
    let app = App::scripted(|mut conn| {
        let Some(head) = conn.head() else { return };
        assert_eq!(head.field("Expect"), Some("100-continue"));
        conn.send("HTTP/1.1 100 Continue\r\n\r\n");
        if let Ok(body) = conn.body(&head) {
            conn.answer(body.bytes);
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send(EXPECTING);
    assert_eq!(client.head().status(), 100);
    let answer = client.exchange("body");
    assert_eq!(answer.text(), "body");
}

#[test]
fn a_100_continue_is_not_guessed() {
    let said = Gate::closed();
    let go_on = said.clone();
    let app = App::scripted(move |mut conn| {
        if conn.head().is_some() {
            go_on.wait();
            conn.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
            conn.until_closed();
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send(EXPECTING);
    assert!(client.is_quiet_for(QUIET), "somebody said 100 Continue");
    said.open();
    let answer = client.answer();
    assert_eq!(answer.status(), 417);
    assert!(answer.interim.is_empty());
}

#[test]
fn a_client_that_does_not_wait_for_100_is_served() {
    let app = App::scripted(|mut conn| {
        while let Some(head) = conn.head() {
            conn.send("HTTP/1.1 100 Continue\r\n\r\n");
            let Ok(body) = conn.body(&head) else { return };
            conn.answer(body.bytes);
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    for _ in 0..3 {
        let answer = client.exchange(format!("{EXPECTING}body"));
        assert_eq!(answer.text(), "body");
    }
}

#[test]
fn early_hints_are_passed_on_at_once() {
    let read = Gate::closed();
    let go_on = read.clone();
    let app = App::scripted(move |mut conn| {
        if conn.request().is_some() {
            conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
            go_on.wait();
            conn.answer("ok");
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let hints = client.head();
    assert_eq!(hints.status(), 103);
    assert_eq!(hints.field("Link"), Some("</a.css>; rel=preload"));
    read.open();
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn an_answer_to_an_upload_in_progress_reaches_the_client() {
    let app = app_that_answers_before_the_upload_ends();
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n");
    // Past the request buffer, so that the app is asked; the rest never comes.
    client.send(pattern(200_000));
    let answer = client.answer();
    assert_eq!(answer.status(), 413);
    assert_eq!(answer.text(), "enough");
}

#[test]
fn an_early_answer_is_read_by_a_client_that_keeps_sending() {
    let app = app_that_answers_before_the_upload_ends();
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    let mut sender = client.twin();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let part = pattern(1_000_000);
            // Ends when the proxy closes, or when it has read it all.
            for _ in 0..50 {
                if sender.try_send(&part).is_err() {
                    break;
                }
            }
        });
        let answer = client.answer();
        assert_eq!(answer.status(), 413);
        assert_eq!(answer.text(), "enough");
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let app = App::scripted(|mut conn| {
        while let Some(request) = conn.request() {
            conn.answer(request.head.target());
        }
    });
    let proxy = Setup::to(&[&app.target()]).server("workers = 2").start();
    let mut client = proxy.client();
    let mut requests = String::new();
    for n in 0..200 {
        let body = "x".repeat(n);
        requests.push_str(&format!(
            "POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: {n}\r\n\r\n{body}"
        ));
    }
    client.send(requests);
    for n in 0..200 {
        assert_eq!(client.answer().text(), format!("/{n}"));
    }
}

#[test]
fn requests_byte_by_byte_are_understood() {
    let app = app_that_answers(Place::Unix);
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nabcd\r\n0\r\nX: y\r\n\r\n";
    for byte in request.bytes() {
        client.send([byte]);
    }
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn a_stalled_upload_below_the_buffer_does_not_reach_the_app() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let mut slow = proxy.client();
    slow.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
    slow.send(pattern(59_999));
    assert!(slow.is_quiet_for(QUIET));
    assert_eq!(
        app.accepted(),
        0,
        "the app holds a connection for a stalled upload"
    );
    assert_eq!(slow.exchange("x").status(), 200);
    assert_eq!(app.accepted(), 1);
}

#[test]
fn an_upload_beyond_the_buffer_goes_to_the_app_as_it_comes() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    client.send(pattern(500_000));
    app.wait_for_accepted(1);
    client.send(pattern(500_000));
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn a_body_of_unknown_length_does_not_wait() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    app.wait_for_accepted(1);
    assert_eq!(client.exchange("0\r\n\r\n").status(), 200);
}

#[test]
fn four_stalled_uploads_do_not_keep_four_sync_workers_from_the_next_request() {
    // An app that serves one connection at a time: the strictest of sync workers.
    let turn = std::sync::Arc::new(std::sync::Mutex::new(()));
    let app = App::on(Place::Unix, move |mut conn| {
        let _turn = turn.lock().unwrap();
        if conn.request().is_some() {
            conn.answer("ok");
        }
    });
    let proxy = Lasthop::before(&app);
    let stalled: Vec<_> = (0..4)
        .map(|_| {
            let mut client = proxy.client();
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n");
            client.send(pattern(40_000));
            client
        })
        .collect();
    let begun = Instant::now();
    assert_eq!(proxy.get("/").status(), 200);
    assert!(begun.elapsed() < PATIENCE / 10, "{:?}", begun.elapsed());
    for mut client in stalled {
        assert_eq!(client.exchange(vec![b'x'; 10_000]).status(), 200);
    }
}

#[test]
fn a_client_that_reads_slowly_does_not_hold_the_app() {
    let (tell, told) = std::sync::mpsc::channel();
    let app = App::on(Place::Unix, move |mut conn| {
        if conn.request().is_some() {
            conn.answer(pattern(200_000));
            // The test may be over.
            let _ = tell.send(());
            conn.until_closed();
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    // Below the response buffer: the app gets rid of it though the client has not read a byte.
    told.recv_timeout(PATIENCE)
        .expect("the app has written its answer");
    assert!(client.answer().body == pattern(200_000));
}

#[test]
fn a_client_that_does_not_read_stops_the_app_not_the_memory() {
    let (tell, told) = std::sync::mpsc::channel();
    let app = App::scripted(move |mut conn| {
        if conn.request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n");
            let part = pattern(1_000_000);
            for n in 0..200 {
                if !conn.send(&part) {
                    return;
                }
                // The test may be over.
                let _ = tell.send(n);
            }
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    // It goes on until the buffers on the way are full, and no further.
    let mut parts = 0;
    while told.recv_timeout(4 * QUIET).is_ok() {
        parts += 1;
    }
    assert!(parts < 60, "{parts} MB went to a client that does not read");
    let all = client.0.exactly(200_000_000).expect("the rest");
    assert!(all[..1_000_000] == pattern(1_000_000) && all[199_000_000..] == pattern(1_000_000));
}
