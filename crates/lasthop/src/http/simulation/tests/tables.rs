//! Whole exchanges, cut at every byte: the cases one would think of, and the places where readers of
//! HTTP have always stumbled.

use super::*;

/// Up to here all pairs of cuts are tried as well, in bytes of both sides together.
const PAIRS_MAX: usize = 64;

/// The same outcome however the bytes of both sides are cut, and however little a write takes.
#[track_caller]
fn holds_however_it_is_cut(case: &Case) -> Outcome {
    let whole = simulate(case, &Schedule::Whole);
    let client_bytes = bytes_said([&case.client]);
    let app_bytes = bytes_said(case.app.iter().flatten());
    let mut schedules = Vec::new();
    let mut cut = |client: Vec<usize>, app: Vec<usize>, write_max| {
        schedules.push(Schedule::Cuts {
            client,
            app,
            write_max,
        });
    };
    let every = |bytes: usize| (1..bytes).collect::<Vec<_>>();
    for write_max in [1, 7, usize::MAX] {
        cut(vec![], vec![], write_max);
        cut(every(client_bytes), every(app_bytes), write_max);
    }
    (1..client_bytes).for_each(|at| cut(vec![at], vec![], usize::MAX));
    (1..app_bytes).for_each(|at| cut(vec![], vec![at], usize::MAX));
    if client_bytes + app_bytes <= PAIRS_MAX {
        for first in 1..client_bytes {
            (first + 1..client_bytes).for_each(|at| cut(vec![first, at], vec![], usize::MAX));
            (1..app_bytes).for_each(|at| cut(vec![first], vec![at], usize::MAX));
        }
        for first in 1..app_bytes {
            (first + 1..app_bytes).for_each(|at| cut(vec![], vec![first, at], usize::MAX));
        }
    }
    for schedule in &schedules {
        let outcome = simulate(case, schedule);
        assert_eq!(outcome, whole, "\nunder {schedule:?}\nof {case:#?}");
    }
    whole
}

/// One request and what the app does with it, under both extremes of buffering.
#[track_caller]
fn exchange(client: &str, app: &[Step]) -> Outcome {
    let case = |settings| Case {
        settings,
        client: vec![send(client)],
        heads: vec![client.starts_with("HEAD ")],
        app: vec![vec![app.to_vec()]],
    };
    let streamed = holds_however_it_is_cut(&case(STREAMING));
    assert_eq!(streamed, holds_however_it_is_cut(&case(PLENTY)));
    streamed
}

fn statuses(outcome: &Outcome) -> Vec<u16> {
    outcome.answers.iter().map(Message::status).collect()
}

#[test]
fn a_request_and_its_answer() {
    let outcome = exchange(
        "POST /0 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        &answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld"),
    );
    assert_eq!(outcome.apps[0].requests[0].body, b"hello");
    assert_eq!(outcome.answers[0].body, b"world");
    assert_eq!(outcome.client, End::Kept);
}

#[test]
fn chunks_both_ways() {
    let outcome = exchange(
        "PUT /0 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n\
         3;a=b\r\nabc\r\n00a\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n",
        &answers(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x\r\n!\r\n0\r\n\r\n",
        ),
    );
    assert_eq!(outcome.apps[0].requests[0].body, b"abc0123456789");
    assert_eq!(outcome.answers[0].body, b"hi!");
    assert!(outcome.answers[0].is_whole);
}

#[test]
fn an_answer_that_ends_with_its_connection() {
    let body = "HTTP/1.1 200 OK\r\n\r\nuntil the end";
    let outcome = exchange(
        "GET /0 HTTP/1.1\r\nHost: a\r\n\r\n",
        &answers_and_leaves(body, Ending::Close),
    );
    assert_eq!(
        outcome.client,
        End::Kept,
        "a client of HTTP/1.1 gets chunks"
    );
    let outcome = exchange(
        "GET /0 HTTP/1.0\r\n\r\n",
        &answers_and_leaves(body, Ending::Close),
    );
    assert_eq!(outcome.answers[0].body, b"until the end");
    assert_eq!(outcome.client, End::Orderly);
    let outcome = exchange(
        "GET /0 HTTP/1.0\r\n\r\n",
        &answers_and_leaves(body, Ending::Reset),
    );
    assert!(!outcome.answers[0].is_whole);
    assert_eq!(outcome.client, End::Reset, "nobody takes it for whole");
}

#[test]
fn answers_without_a_body() {
    for (client, answer) in [
        (
            "HEAD /0 HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
        ),
        (
            "GET /0 HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
        ),
        (
            "GET /0 HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
        ),
    ] {
        let outcome = exchange(client, &answers(answer));
        assert!(outcome.answers[0].is_whole);
        assert_eq!(outcome.client, End::Kept);
    }
}

#[test]
fn interim_answers_before_the_answer() {
    let outcome = exchange(
        "GET /0 HTTP/1.1\r\nHost: a\r\n\r\n",
        &answers(
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
             HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        ),
    );
    assert_eq!(statuses(&outcome), [103, 102, 200]);
}

#[test]
fn a_client_that_waits_until_it_may_go_on() {
    for settings in [STREAMING, PLENTY] {
        let outcome = holds_however_it_is_cut(&Case {
            settings,
            client: vec![
                send(
                    "PUT /0 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
                ),
                Step::Wait(Until::MayGoOn(0)),
                send("body"),
            ],
            heads: vec![false],
            app: vec![vec![vec![
                Step::Wait(Until::Body(0)),
                send("HTTP/1.1 100 Continue\r\n\r\n"),
                Step::Wait(Until::Whole),
                send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
            ]]],
        });
        assert_eq!(statuses(&outcome), [100, 201]);
        assert_eq!(outcome.apps[0].requests[0].body, b"body");
    }
}

#[test]
fn requests_that_do_not_wait_for_answers() {
    let request = |number, more| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    let outcome = holds_however_it_is_cut(&Case {
        settings: PLENTY,
        client: vec![send(
            request(0, "")
                + "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n\r\n"
                + "HEAD /2 HTTP/1.1\r\nHost: a\r\n\r\n"
                + &request(3, "Connection: close\r\n")
                + &request(4, ""),
        )],
        heads: vec![false, false, true, false, false],
        app: ["zero", "one", "", "three", "never"]
            .map(|body| {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: ";
                vec![answers(format!("{head}{}\r\n\r\n{body}", body.len()))]
            })
            .to_vec(),
    });
    assert_eq!(statuses(&outcome), [200; 4]);
    assert_eq!(outcome.answers[3].body, b"three");
    assert_eq!(outcome.client, End::Orderly);
}

#[test]
fn a_tunnel_carries_what_was_said_before_it_and_both_ends() {
    let outcome = holds_however_it_is_cut(&Case {
        settings: PLENTY,
        client: vec![
            send(
                "GET /0/switch HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nearly",
            ),
            Step::Wait(Until::Answers(1)),
            send(" late"),
            Step::Wait(Until::Tunnel(5)),
            Step::Finish(Ending::Half),
        ],
        heads: vec![false],
        app: vec![vec![vec![
            Step::Wait(Until::Whole),
            send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nfirst",
            ),
            Step::Wait(Until::Tunnel(10)),
            Step::Wait(Until::End),
            send(" last"),
            Step::Finish(Ending::Close),
        ]]],
    });
    assert_eq!(outcome.apps[0].rest, b"early late");
    assert_eq!(outcome.to_client, b"first last");
    assert_eq!(outcome.client, End::Orderly);
}

#[test]
fn an_answer_that_is_cut_is_never_whole() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    for ending in [Ending::Half, Ending::Close, Ending::Reset] {
        for (answer, answered) in [
            ("", Some(502)),
            ("HTTP/1.1 20", Some(502)),
            (&format!("{head}par"), None),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\npar\r\n4\r\nti",
                None,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\npar\r\n0\r\nX: y\r\n",
                None,
            ),
        ] {
            let outcome = exchange(
                "GET /0 HTTP/1.1\r\nHost: a\r\n\r\n",
                &answers_and_leaves(answer, ending),
            );
            let last = outcome.answers.last().unwrap();
            match answered {
                Some(status) => assert_eq!(last.status(), status),
                None => assert!(!last.is_whole && last.body.starts_with(b"par")),
            }
            assert_eq!(outcome.client == End::Kept, answered.is_some());
        }
    }
}

#[test]
fn an_answer_that_is_no_http_is_refused() {
    for answer in [
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 1\r\n\r\nx",
        "hello\r\n\r\n",
    ] {
        let outcome = exchange("GET /0 HTTP/1.1\r\nHost: a\r\n\r\n", &answers(answer));
        assert_eq!(statuses(&outcome), [502], "{answer}");
        assert_eq!(outcome.client, End::Kept);
    }
}

#[test]
fn an_answer_whose_chunks_are_malformed_ends_where_they_are() {
    let outcome = exchange(
        "GET /0 HTTP/1.1\r\nHost: a\r\n\r\n",
        &answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\ndef"),
    );
    assert_eq!(outcome.answers[0].body, b"abc");
    assert!(!outcome.answers[0].is_whole);
    assert_eq!(outcome.client, End::Orderly, "without its last chunk");
}

#[test]
fn a_request_that_is_malformed_is_refused() {
    for (request, status) in [
        ("GET /0 HTTP/1.1\nHost: a\n\n", 400),
        ("GET  /0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /0 HTTP/1.1\r\n\r\n", 400),
        ("GET /0 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /0 HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        ("GET /0 HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("\r\n\r\nGET /0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (
            "POST /0 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "POST /0 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
            501,
        ),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405),
    ] {
        let outcome = exchange(request, &answers("HTTP/1.1 200 OK\r\n\r\n"));
        assert_eq!(statuses(&outcome), [status], "{request}");
        assert_eq!(outcome.client, End::Orderly);
        assert!(outcome.apps.is_empty(), "{request}");
    }
}

#[test]
fn a_request_that_is_sent_again_comes_to_its_app_whole() {
    let post = "PUT /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    let ok = answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    for ending in [Ending::Half, Ending::Close, Ending::Reset] {
        let outcome = holds_however_it_is_cut(&Case {
            settings: PLENTY,
            client: vec![
                send("GET /0 HTTP/1.1\r\nHost: a\r\n\r\n"),
                Step::Wait(Until::Answers(1)),
                send(post),
            ],
            heads: vec![false; 2],
            app: vec![
                vec![ok.clone()],
                vec![answers_and_leaves("", ending), ok.clone()],
            ],
        });
        assert_eq!(statuses(&outcome), [200, 200]);
        assert_eq!(outcome.apps[1].requests[0].body, b"body");
    }
}

/// The rest of the interim answer goes out before the answer, so nothing is torn any more when the answer
/// breaks off; the client may have what came of it, which a reset would put at risk.
#[test]
fn an_interim_answer_that_was_held_up_does_not_make_a_later_end_a_reset() {
    let interim = "HTTP/1.1 103 Hints\r\nLink: <ab>\r\n\r\n";
    let case = Case {
        settings: PLENTY,
        client: vec![send("GET /0 HTTP/1.1\r\nHost: a\r\n\r\n")],
        heads: vec![false],
        app: vec![vec![answers_and_leaves(
            interim.to_owned() + "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npar",
            Ending::Close,
        )]],
    };
    // No room for the client at first; all that it says; room for the app, accepted; the interim answer
    // alone (34 bytes); room for five bytes of it; the rest of the app's words.
    let schedule = Schedule::Choices(vec![1, 0, 11, 0, 0, 11, 0, 7, 0, 3, 1, 11]);
    assert_eq!(interim.len(), 34);
    let outcome = simulate(&case, &schedule);
    assert_eq!(statuses(&outcome), [103, 200]);
    assert!(!outcome.answers[1].is_whole);
    assert_eq!(outcome.client, End::Orderly);
}

#[test]
fn an_app_that_has_said_something_is_not_asked_again() {
    let get = |number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n");
    let outcome = holds_however_it_is_cut(&Case {
        settings: PLENTY,
        client: vec![send(get(0)), Step::Wait(Until::Answers(1)), send(get(1))],
        heads: vec![false; 2],
        app: vec![
            vec![answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")],
            vec![answers_and_leaves(
                "HTTP/1.1 103 Early Hints\r\n\r\n",
                Ending::Half,
            )],
        ],
    });
    assert_eq!(statuses(&outcome), [200, 103, 502]);
    assert_eq!(outcome.apps.len(), 1);
}
