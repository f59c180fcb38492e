//! The pool of connections to the app: which one is taken, which one leaves, and how many stay. What may be sent twice is in
//! `retries`.

use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use crate::support::misbehave::{app_that_answers, app_that_closes_after_each_answer};
use crate::support::{App, Gate, Lasthop, PATIENCE, Place, Setup};

/// A POST with three bytes.
pub(super) const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";

/// An app that answers with the number of the connection; `/a` and `/b` wait for their gate.
fn numbered(a: &Gate, b: &Gate) -> App {
    let (a, b) = (a.clone(), b.clone());
    App::scripted(move |mut conn| {
        while let Some(request) = conn.request() {
            match request.head.target() {
                "/a" => a.wait(),
                "/b" => b.wait(),
                _ => {}
            }
            conn.answer(conn.number.to_string());
        }
    })
}

#[test]
fn many_clients_share_one_connection_to_the_app() {
    for place in [Place::Tcp, Place::Unix] {
        let app = app_that_answers(place);
        let proxy = Lasthop::before(&app);
        for _ in 0..20 {
            assert_eq!(proxy.get("/").status(), 200);
        }
        assert_eq!(app.accepted(), 1);
    }
}

#[test]
fn the_connection_that_came_back_last_is_taken_first() {
    let (a, b) = (Gate::closed(), Gate::closed());
    let app = numbered(&a, &b);
    let proxy = Lasthop::before(&app);
    let (mut first, mut second) = (proxy.client(), proxy.client());
    first.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    app.wait_for_accepted(1);
    second.send("GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    app.wait_for_accepted(2);
    b.open();
    assert_eq!(second.answer().text(), "1");
    a.open();
    assert_eq!(first.answer().text(), "0");
    for _ in 0..3 {
        assert_eq!(proxy.get("/").text(), "0");
    }
}

#[test]
fn no_more_idle_connections_are_kept_than_allowed() {
    let (a, b) = (Gate::closed(), Gate::closed());
    let (tell, told) = channel();
    let (at_a, at_b) = (a.clone(), b.clone());
    let app = App::scripted(move |mut conn| {
        while let Some(request) = conn.request() {
            match request.head.target() {
                "/a" => at_a.wait(),
                _ => at_b.wait(),
            }
            conn.answer("ok");
        }
        // The test may be over.
        let _ = tell.send(conn.number);
    });
    let proxy = Setup::to(&[&app.target()])
        .upstream("keepalive = { idle = 1, timeout = \"60s\" }")
        .start();
    let (mut first, mut second) = (proxy.client(), proxy.client());
    first.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    app.wait_for_accepted(1);
    second.send("GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    app.wait_for_accepted(2);
    a.open();
    assert_eq!(first.answer().status(), 200);
    b.open();
    assert_eq!(second.answer().status(), 200);
    // Either of the two may go; one must.
    told.recv_timeout(PATIENCE)
        .expect("one of two idle connections is closed");
}

/// What one target does says nothing of another, nor what it does after a GET of what it does after a POST.
#[test]
fn a_post_takes_no_connection_that_was_answered_once_and_a_moment_ago_whatever_others_did() {
    for place in [Place::Tcp, Place::Unix] {
        let keeps = app_that_answers(place);
        let (tell, told) = channel();
        let other = App::on(place, move |mut conn| {
            let mut answered = None;
            while conn.request().is_some() {
                if let Some(first) = answered.replace(Instant::now()) {
                    // The test may be over.
                    let _ = tell.send(Instant::now() - first);
                    break;
                }
                conn.answer("ok");
            }
        });
        let proxy = Setup::to(&[&keeps.target(), &other.target()])
            .server("workers = 1")
            .start();
        for _ in 0..4 {
            assert_eq!(proxy.get("/").status(), 200);
        }
        // A GET may have any connection, and is sent once more.
        while told.try_recv().is_ok() {}
        let mut client = proxy.client();
        for _ in 0..20 {
            client.exchange(POST);
        }
        // Silent for two ticks is as good as kept, and on a busy host that much time may pass.
        let soonest = told.try_iter().min();
        assert!(
            soonest.is_none_or(|gap| gap >= Duration::from_millis(100)),
            "{soonest:?}"
        );
    }
}

#[test]
fn requests_that_come_at_once_again_and_again_keep_their_connections_beyond_the_bound() {
    const AT_ONCE: usize = 12;
    let all_there = Arc::new(Barrier::new(AT_ONCE));
    let (tell, told) = channel();
    let app = App::scripted(move |mut conn| {
        while conn.request().is_some() {
            all_there.wait();
            conn.answer("ok");
        }
        // The test may be over.
        let _ = tell.send(conn.number);
    });
    let proxy = Setup::to(&[&app.target()])
        .upstream("keepalive = { idle = 2, timeout = \"60s\" }")
        .server("workers = 1")
        .start();
    let mut clients: Vec<_> = (0..AT_ONCE).map(|_| proxy.client()).collect();
    let mut round = || {
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for client in &mut clients {
            assert_eq!(client.answer().status(), 200);
        }
    };
    // The two that are kept of the first round have answered twice after the second: the app is known to keep them.
    round();
    round();
    round();
    let before = app.accepted();
    // Some may have to wait for more than a tick, on a busy host.
    for _ in 0..20 {
        round();
    }
    let made = app.accepted() - before;
    assert!(made <= 2 * AT_ONCE, "{made} for {} requests", 20 * AT_ONCE);
    // Those before the last round's have gone on the way.
    let gone = app.accepted() - 2;
    for _ in 0..gone {
        told.recv_timeout(PATIENCE)
            .expect("two stay, and the others are closed soon after");
    }
}

#[test]
fn posts_that_come_thick_and_fast_share_connections_once_the_app_has_kept_one() {
    for place in [Place::Tcp, Place::Unix] {
        let app = app_that_answers(place);
        let proxy = Setup::to(&[&app.target()])
            .upstream("keepalive = { idle = 4, timeout = \"60s\" }")
            .start();
        let mut client = proxy.client();
        // At first nothing is known of the app, and none of those four connections is older than a few POSTs. It is known
        // once one of them has been silent for two ticks of the proxy's clock, 300 ms at the most.
        let settled = Instant::now() + Duration::from_millis(600);
        while Instant::now() < settled {
            assert_eq!(client.exchange(POST).status(), 200);
        }
        let before = app.accepted();
        for _ in 0..200 {
            assert_eq!(client.exchange(POST).status(), 200);
        }
        assert_eq!(app.accepted(), before);
    }
}

#[test]
fn an_idle_connection_is_closed_in_time() {
    for (keepalive, field) in [
        ("{ idle = 4, timeout = \"100ms\" }", ""),
        (
            "{ idle = 4, timeout = \"60s\" }",
            "Keep-Alive: timeout=1\r\n",
        ),
    ] {
        let closed = Gate::closed();
        let gate = closed.clone();
        let app = App::scripted(move |mut conn| {
            while conn.request().is_some() {
                conn.send(format!(
                    "HTTP/1.1 200 OK\r\n{field}Content-Length: 0\r\n\r\n"
                ));
            }
            gate.open();
        });
        let proxy = Setup::to(&[&app.target()])
            .upstream(&format!("keepalive = {keepalive}"))
            .start();
        assert_eq!(proxy.get("/").status(), 200);
        closed.wait();
    }
}

#[test]
fn without_keepalive_each_request_has_its_own_connection() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .upstream("keepalive = { idle = 0, timeout = \"1s\" }")
        .start();
    let mut client = proxy.client();
    for n in 1..=5 {
        assert_eq!(client.request("/").status(), 200);
        assert_eq!(app.accepted(), n);
    }
}

#[test]
fn an_app_that_closes_after_each_answer_serves_everyone() {
    for place in [Place::Tcp, Place::Unix] {
        let app = app_that_closes_after_each_answer(place);
        let proxy = Lasthop::before(&app);
        let mut client = proxy.client();
        for n in 0..200 {
            let answer = if n % 2 == 0 {
                client.request("/")
            } else {
                client.exchange(POST)
            };
            assert_eq!(
                answer.status(),
                200,
                "{place:?}, request {n}: {}",
                answer.text()
            );
        }
    }
}

#[test]
fn connection_close_of_the_app_is_believed() {
    let app = App::scripted(|mut conn| {
        while conn.request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let proxy = Lasthop::before(&app);
    for n in 1..=3 {
        assert_eq!(proxy.get("/").status(), 200);
        assert_eq!(app.accepted(), n);
    }
}

#[test]
fn an_idle_connection_that_the_app_closes_leaves_the_pool_at_once() {
    let (tell, told) = channel();
    let app = App::scripted(move |mut conn| {
        // Kept at first, so that the proxy has reason to rely on it.
        for _ in 0..2 {
            if conn.request().is_some() {
                conn.answer("ok");
            }
        }
        drop(conn);
        // The test may be over.
        let _ = tell.send(());
    });
    let proxy = Lasthop::before(&app);
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status(), 200);
        assert_eq!(proxy.get("/").status(), 200);
        told.recv_timeout(PATIENCE).expect("closed");
        let before = app.accepted();
        // A POST: were it sent on the dead connection, it could not be sent again.
        assert_eq!(proxy.client().exchange(POST).status(), 200);
        assert_eq!(app.accepted(), before + 1);
        // The second request on that one, which closes it.
        assert_eq!(proxy.get("/").status(), 200);
        told.recv_timeout(PATIENCE).expect("closed");
    }
}

#[test]
fn an_idle_connection_on_which_the_app_speaks_leaves_the_pool_at_once() {
    let (tell, told) = channel();
    let app = App::scripted(move |mut conn| {
        for about_to_speak in [0, 1] {
            if conn.request().is_none() {
                return;
            }
            // The test may be over, here and below.
            let _ = tell.send(about_to_speak);
            conn.answer("ok");
        }
        // As some servers do before they close; it must not become the answer to the next request.
        conn.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
        let _ = tell.send(-1);
        conn.until_closed();
    });
    let proxy = Lasthop::before(&app);
    // An app that is held up between its answer and the rest cannot be seen through (SECURITY.md), so it is waited for.
    let mut about_to_speak = 0;
    let mut until_it_has_spoken = || {
        about_to_speak += told.try_iter().sum::<i32>();
        while about_to_speak > 0 {
            about_to_speak += told.recv_timeout(PATIENCE).expect("spoken");
        }
    };
    for n in 0..20 {
        let mut client = proxy.client();
        let answer = if n % 2 == 0 {
            client.request("/")
        } else {
            client.exchange(POST)
        };
        assert_eq!(answer.text(), "ok", "{:?}", answer.head);
        until_it_has_spoken();
        assert_eq!(proxy.get("/").text(), "ok");
        until_it_has_spoken();
    }
    // An app that does this right behind its answers is not trusted with a second request at once.
    assert!((20..=40).contains(&app.accepted()), "{}", app.accepted());
}
