//! Every row of the table of what a client sees when the proxy itself answers: the answer, and
//! what both logs say of it: what happened, whose doing it was, and what to do.
//!
//! When each of them comes about is the business of other files; here is how it is told. A test or a line of a table for
//! each row, so that a new one has a place to stand.

use serde_json::Value;

use crate::support::logs::field;
use crate::support::misbehave::{
    app_behind, app_that_answers, app_that_closes_early, app_that_never_answers, app_that_says,
    app_that_says_and_closes, app_with_full_backlog, held_port,
};
use crate::support::process::{descriptors, limit_descriptors};
use crate::support::programs::without_permission;
use crate::support::{
    Address, Answer, App, Client, Conn, Ending, Gate, Lasthop, Place, QUIET, Setup, TempDir,
    namespace,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// More than the buffers of a socket pair take at once, so that it is on its way when the answer comes.
const MUCH: usize = 1024 * 1024;

/// One way to fail, and how it is told.
struct Row {
    /// Of the answer.
    status: u16,
    /// The error type of `Proxy-Status`.
    error: &'static str,
    /// Words of the reason.
    details: &'static str,
    /// The short name in the operator log.
    kind: &'static str,
    /// Words of what to do about it.
    fix: &'static str,
    /// Who, in the words of the access log, ended it.
    ended_by: &'static str,
}

impl Row {
    /// The answer as the contract has it: one line of text, its length, and the reason in `Proxy-Status`.
    fn answered(&self, answer: &Answer) {
        assert_eq!(answer.status(), self.status, "{}", answer.text());
        assert_eq!(answer.error(), self.error);
        let details = answer.details();
        assert!(details.contains(self.details), "{details}");
        let (_, phrase) = answer.head.start.split_once(' ').expect("a status line");
        assert_eq!(answer.text(), format!("{phrase}: {details}\n"));
        let length = answer.body.len().to_string();
        for (name, value) in [
            ("Content-Type", Some("text/plain; charset=utf-8")),
            ("Content-Length", Some(&*length)),
            ("Cache-Control", Some("no-store")),
            ("Retry-After", (self.status == 503).then_some("1")),
        ] {
            assert_eq!(answer.field(name), value, "{name} in {answer:?}");
        }
        assert!(answer.head.has("Date"));
    }

    /// The operator log says it once, with what to do; `status` is what the client was sent instead of an answer.
    fn logged(&self, proxy: &Lasthop, status: Option<u16>) {
        let line = proxy.logs(&["request failed", &format!("kind=\"{}\"", self.kind)]);
        // A client's mistake is not the operator's trouble.
        let level = match self.status {
            400..=499 | 501 | 505 => " INFO ",
            _ => " WARN ",
        };
        assert!(line.contains(level), "{level} in {line}");
        let status = status.map(|status| status.to_string());
        assert_eq!(field(&line, "status"), status, "{line}");
        assert_eq!(field(&line, "error").as_deref(), Some(self.error), "{line}");
        assert_eq!(field(&line, "listener").as_deref(), Some("front"), "{line}");
        for (name, words) in [("details", self.details), ("fix", self.fix)] {
            let text = field(&line, name).unwrap_or_else(|| panic!("no {name} in {line}"));
            assert!(text.contains(words), "{words:?} in {name} of {line}");
        }
        let lines = proxy.log_so_far();
        let told = lines.iter().filter(|line| line.contains("request failed"));
        assert_eq!(told.count(), 1, "{lines:#?}");
    }

    /// The access log has it on the request's line, which this gives back.
    fn lined(&self, proxy: &Lasthop, status: u16) -> Value {
        let line = proxy.access_log(&[&format!("\"error\":\"{}\"", self.error)]);
        let line = crate::support::logs::access(&line);
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["ended_by"], self.ended_by, "{line}");
        let details = line["details"].as_str().unwrap_or_default();
        assert!(details.contains(self.details), "{line}");
        assert_eq!(line["listener"], "front", "{line}");
        line
    }

    /// All of it, for an answer of ours.
    fn told(&self, proxy: &Lasthop, answer: &Answer) -> Value {
        self.answered(answer);
        self.logged(proxy, Some(self.status));
        let line = self.lined(proxy, self.status);
        assert_eq!(line["details"], answer.details(), "{line}");
        let sent = answer.head.raw.len() + answer.body.len();
        assert_eq!(line["sent_bytes"], sent, "{line}");
        line
    }
}

/// A request that is refused for what it is.
struct Refused {
    sent: String,
    row: Row,
}

const fn row(status: u16, kind: &'static str, details: &'static str, fix: &'static str) -> Row {
    Row {
        status,
        error: "http_request_error",
        details,
        kind,
        fix,
        ended_by: "proxy",
    }
}

/// One for each status, and for each way to come to it that the log tells apart.
fn refusals() -> Vec<Refused> {
    let head = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    let long = "x".repeat(5000);
    let cases = [
        (
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(),
            row(400, "malformed_request", "field name", "mended"),
        ),
        (
            post("Content-Length: 1\r\nTransfer-Encoding: chunked"),
            row(400, "malformed_request", "Transfer-Encoding", "mended"),
        ),
        (
            head(&format!("GET / HTTP/1.1\r\nX: {long}")),
            row(431, "head_too_large", "", "header_size_max"),
        ),
        (
            head(&format!("GET / HTTP/1.1{}", "\r\nX: y".repeat(20))),
            row(431, "head_too_large", "", "headers_max"),
        ),
        (
            post("Content-Length: 1048576"),
            row(413, "body_too_large", "body", "body_size_max"),
        ),
        (
            post("Transfer-Encoding: chunked") + "100000\r\n",
            row(413, "body_too_large", "body", "body_size_max"),
        ),
        (
            head(&format!("GET /{} HTTP/1.1", "a".repeat(8000))),
            row(414, "target_too_long", "request line", "shorten"),
        ),
        (
            post("Transfer-Encoding: gzip, chunked"),
            row(501, "not_implemented", "oding", "Content-Length"),
        ),
        (
            head("GET / HTTP/1.2"),
            row(505, "version", "ersion", "HTTP/1.1"),
        ),
        (
            head("CONNECT a:443 HTTP/1.1"),
            Row {
                error: "http_request_denied",
                ..row(405, "connect_method", "CONNECT", "nothing to change")
            },
        ),
        (
            "POST / HTTP/1.1\r\nHost: elsewhere\r\nContent-Length: 1048576\r\n\r\n".to_owned(),
            Row {
                error: "destination_not_found",
                ..row(404, "no_route", "no route", "[[route]]")
            },
        ),
    ];
    let refused = |(sent, row)| Refused { sent, row };
    cases.into_iter().map(refused).collect()
}

fn strict(app: &App) -> Setup {
    Setup::to(&[&app.target()])
        .listener("header_size_max = \"4KiB\"\nheaders_max = 20")
        .route("host = \"a\"\nbody_size_max = \"1KiB\"")
}

#[test]
fn a_refused_request_is_told_to_its_client_and_to_both_logs() {
    let app = app_that_answers(Place::Tcp);
    for Refused { sent, row } in refusals() {
        let seen = app.accepted();
        let proxy = strict(&app).start();
        let mut client = proxy.client();
        // It goes on sending, and reads its answer all the same. Where the proxy has had enough, the answer counts.
        let _ = client.try_send([sent.as_bytes(), &vec![b'x'; MUCH]].concat());
        let answer = client.answer();
        assert_eq!(answer.field("Connection"), Some("close"), "{sent:.80}");
        let is_connect = row.status == 405;
        assert_eq!(answer.head.has("Allow"), is_connect, "{sent:.80}");
        let line = row.told(&proxy, &answer);
        assert!(line["received_bytes"].as_u64() > Some(10), "{line}");
        assert_eq!(client.ending(), Ending::Closed, "{sent:.80}");
        // A body of unknown length does not wait to be whole, so its head may be with the app when it is too long.
        let is_chunked = sent.contains("Encoding: chunked\r\n\r\n1");
        assert!(
            is_chunked || app.accepted() == seen,
            "the app saw {sent:.80}"
        );
    }
}

#[test]
fn a_request_without_a_route_is_told_and_its_client_goes_on() {
    let app = app_that_answers(Place::Tcp);
    let proxy = strict(&app).start();
    let mut client = proxy.client();
    let request = "GET /path?query HTTP/1.1\r\nHost: elsewhere:81\r\n\r\n";
    let answer = client.exchange(request);
    assert_eq!(answer.field("Connection"), None);
    let row = Row {
        error: "destination_not_found",
        ..row(404, "no_route", "no route", "[[route]]")
    };
    let line = row.told(&proxy, &answer);
    assert_eq!(line["host"], "elsewhere:81");
    assert_eq!(line["uri"], "/path?query");
    assert_eq!(line["received_bytes"], request.len());
    for key in ["route", "upstream", "target", "attempts", "connect"] {
        assert!(line[key].is_null(), "{key} in {line}");
    }
    assert_eq!(client.exchange(GET).text(), "ok");
}

#[test]
fn a_request_that_does_not_come_to_its_end_is_told() {
    let slow = |status, kind, details, fix| Row {
        ended_by: "client",
        ..row(status, kind, details, fix)
    };
    let body = "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
    let slow_head = slow(408, "slow_head", "head took too long", "header_timeout");
    let slow_body = slow(408, "slow_body", "body took too long", "body_timeout");
    let cut_body = slow(400, "cut_body", "declared length", "broke off");
    let cut_head = row(400, "malformed_request", "within its head", "mended");
    let half = "GET / HTTP/1.1\r\nHo";
    for (sent, finish, row) in [
        (half, false, slow_head),
        (body, false, slow_body),
        (half, true, cut_head),
        (body, true, cut_body),
    ] {
        let app = app_that_answers(Place::Tcp);
        let timeouts = "header_timeout = \"300ms\"\nbody_timeout = \"300ms\"";
        let proxy = Setup::to(&[&app.target()]).listener(timeouts).start();
        let mut client = proxy.client();
        client.send(sent);
        if finish {
            client.finish_sending();
        }
        let answer = client.answer();
        assert_eq!(answer.field("Connection"), Some("close"));
        let line = row.told(&proxy, &answer);
        assert_eq!(line["received_bytes"], sent.len(), "{line}");
        let uri = (sent == body).then_some("/up");
        assert_eq!(line["uri"].as_str(), uri, "{line}");
        assert_eq!(client.ending(), Ending::Closed);
        assert_eq!(app.accepted(), 0);
    }
}

/// An app's fault, or a shortage on the way to it.
const fn behind_us(
    (status, error): (u16, &'static str),
    kind: &'static str,
    details: &'static str,
    fix: &'static str,
) -> Row {
    let ended_by = if status == 503 { "proxy" } else { "upstream" };
    Row {
        status,
        error,
        details,
        kind,
        fix,
        ended_by,
    }
}

/// Asks `proxy` once; the failure must be told as `row` says, and the client may go on. `target` is where it was tried.
fn fails(proxy: &Lasthop, row: &Row, target: Option<&str>) -> Value {
    let mut client = proxy.client();
    let answer = client.exchange(GET);
    assert_eq!(answer.field("Connection"), None);
    let line = row.told(proxy, &answer);
    assert_eq!(line["route"], "/", "{line}");
    assert_eq!(line["upstream"], "app", "{line}");
    assert_eq!(line["target"].as_str(), target, "{line}");
    assert!(
        client.is_quiet_for(QUIET / 3),
        "more than an answer, or an end"
    );
    line
}

/// A request that found no connection.
fn fails_to_connect(proxy: &Lasthop, row: &Row, target: Option<&str>) {
    let line = fails(proxy, row, target);
    for key in ["source", "reused", "attempts", "wait"] {
        assert!(line[key].is_null(), "{key} in {line}");
    }
    let (connect, total) = (line["connect"].as_f64(), line["total"].as_f64());
    assert!(connect > Some(0.0) && connect <= total, "{line}");
}

const REFUSED: Row = behind_us(
    (502, "connection_refused"),
    "refused",
    "connection refused by",
    "the app is not running",
);

#[test]
fn an_app_that_refuses_is_told() {
    let (_held, address) = held_port();
    let target = address.to_string();
    let setup = || Setup::to(&[&target]).upstream("restart_grace = \"50ms\"");
    fails_to_connect(&setup().start(), &REFUSED, Some(&target));

    // A client in the middle of its upload reads the answer as well.
    let proxy = setup().start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n");
    let _ = client.try_send(vec![b'x'; MUCH]);
    let answer = client.answer();
    assert_eq!(answer.field("Connection"), Some("close"));
    REFUSED.told(&proxy, &answer);
}

#[test]
fn a_socket_file_that_is_missing_is_told() {
    let dir = TempDir::new();
    let target = format!("unix:{}", dir.join("missing.sock").display());
    let proxy = Setup::to(&[&target])
        .upstream("restart_grace = \"50ms\"")
        .start();
    let row = behind_us(
        (502, "destination_unavailable"),
        "missing",
        "missing.sock does not exist",
        "listens on another path",
    );
    fails_to_connect(&proxy, &row, Some(&target));
}

#[test]
fn a_socket_without_permission_is_told_with_who_needs_what() {
    let app = app_that_answers(Place::Unix);
    let setup = Setup::to(&[&app.target()]).upstream("restart_grace = \"50ms\"");
    let Some((proxy, _dir)) = without_permission(setup, &app) else {
        return;
    };
    let row = behind_us(
        (502, "destination_unavailable"),
        "permission",
        "no permission to connect to unix:",
        "needs write permission",
    );
    fails_to_connect(&proxy, &row, Some(&app.target()));
}

#[test]
fn source_ports_that_are_used_up_are_told_with_their_number() {
    namespace::with_ports("40000 40009", || {
        let gate = Gate::closed();
        let app = App::at(&Address::parse("127.0.0.1:3000"), {
            let gate = gate.clone();
            move |mut conn| {
                while conn.request().is_some() {
                    gate.wait();
                    conn.answer("ok");
                }
            }
        });
        let dir = TempDir::new();
        let address = format!("unix:{}", dir.join("front.sock").display());
        let proxy = Setup::to(&[&app.target()])
            .upstream("source = \"kernel\"\nqueue = { size = 100, timeout = \"200ms\" }")
            .on(&address)
            .start();
        let mut holding: Vec<_> = (0..10).map(|_| asking(&proxy)).collect();
        app.wait_for_accepted(10);
        let row = behind_us(
            (503, "connection_limit_reached"),
            "source_ports",
            "source ports towards 127.0.0.1:3000: all 10 in use (10 ours, 0 in TIME_WAIT, 0 of others), range 40000-40009",
            "ip_local_port_range",
        );
        fails_to_connect(&proxy, &row, Some("127.0.0.1:3000"));
        gate.open();
        for client in &mut holding {
            assert_eq!(client.answer().text(), "ok");
        }
    });
}

#[test]
fn a_full_backlog_is_told() {
    let app = app_with_full_backlog(Place::Unix);
    let proxy = Setup::to(&[&app.target()])
        .upstream("queue = { size = 100, timeout = \"200ms\" }")
        .start();
    let row = behind_us(
        (503, "connection_limit_reached"),
        "backlog",
        "backlog: the listen queue of",
        "more workers or a longer backlog",
    );
    fails_to_connect(&proxy, &row, Some(&app.target()));
}

#[test]
fn descriptors_that_are_used_up_are_told() {
    let app = app_that_answers(Place::Unix);
    let proxy = Setup::to(&[&app.target()])
        .upstream("queue = { size = 100, timeout = \"200ms\" }")
        .start();
    let mut client = proxy.client();
    // The client is in: what is lacking from now on is a descriptor for its connection to the app.
    client.send("GET / HTTP/1.1\r\nHo");
    assert!(client.is_quiet_for(QUIET));
    let open = descriptors(proxy.pid());
    let next = (0..).find(|number| !open.contains(number)).unwrap();
    limit_descriptors(proxy.pid(), next);
    let answer = client.exchange("st: a\r\n\r\n");
    let row = behind_us(
        (503, "proxy_internal_error"),
        "descriptors",
        "file descriptors: ",
        "LimitNOFILE",
    );
    let line = row.told(&proxy, &answer);
    assert_eq!(line["target"], app.target(), "{line}");
    assert_eq!(answer.field("Connection"), None);
    limit_descriptors(proxy.pid(), 1000);
    assert_eq!(client.exchange(GET).text(), "ok");
}

/// A client that has sent a GET.
fn asking(proxy: &Lasthop) -> Client {
    let mut client = proxy.client();
    client.send(GET);
    client
}

#[test]
fn the_bound_on_connections_to_the_app_is_told_past_the_queue_and_when_the_queue_is_full() {
    for (queue, details) in [
        (
            "{ size = 10, timeout = \"100ms\" }",
            "max_connections: all 1 connections in use",
        ),
        (
            "{ size = 0, timeout = \"20s\" }",
            "all 1 connections in use, 0 requests queued",
        ),
    ] {
        let gate = Gate::closed();
        let app = app_behind(&gate, Place::Tcp);
        let proxy = Setup::to(&[&app.target()])
            .upstream(&format!("max_connections = 1\nqueue = {queue}"))
            .start();
        let mut first = asking(&proxy);
        app.wait_for_accepted(1);
        let row = behind_us(
            (503, "connection_limit_reached"),
            "max_connections",
            details,
            "raise max_connections of this upstream",
        );
        // No target was to blame, and none was asked.
        fails_to_connect(&proxy, &row, None);
        gate.open();
        assert_eq!(first.answer().text(), "ok");
    }
}

#[test]
fn a_newcomer_without_room_is_told_and_leaves_no_line_because_it_has_asked_nothing() {
    let gate = Gate::closed();
    let app = app_behind(&gate, Place::Unix);
    let mut proxy = Setup::to(&[&app.target()])
        .listener("max_connections = 1")
        .start();
    let mut first = asking(&proxy);
    app.wait_for_accepted(1);
    let mut newcomer = proxy.client();
    let _ = newcomer.try_send(GET);
    let answer = newcomer.answer();
    let row = Row {
        status: 503,
        error: "connection_limit_reached",
        details: "max_connections: all 1 in use",
        kind: "",
        fix: "",
        ended_by: "",
    };
    row.answered(&answer);
    assert_eq!(answer.field("Connection"), Some("close"));
    assert_eq!(newcomer.ending(), Ending::Closed);
    let line = proxy.logs(&["WARN client refused, no room"]);
    assert_eq!(field(&line, "details"), Some(answer.details()));
    let fix = field(&line, "fix").expect("what to do");
    assert!(fix.contains("raise max_connections of this listener"));
    gate.open();
    assert_eq!(first.answer().text(), "ok");
    proxy.signal("TERM");
    assert!(proxy.ends_within(crate::support::PATIENCE).is_some());
    assert_eq!(proxy.stdout_to_end().lines().count(), 1);
}

#[test]
fn an_app_that_does_not_take_the_connection_in_time_is_told() {
    let app = app_with_full_backlog(Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .upstream("connect_timeout = \"200ms\"")
        .start();
    let row = behind_us(
        (504, "connection_timeout"),
        "timeout",
        "no connection to",
        "does not accept",
    );
    fails_to_connect(&proxy, &row, Some(&app.target()));
}

/// A request that went to the app, on its only attempt.
fn fails_at_the_app(proxy: &Lasthop, row: &Row, app: &App) {
    let line = fails(proxy, row, Some(&app.target()));
    assert_eq!(line["attempts"], 1, "{line}");
    assert_eq!(line["reused"], false, "{line}");
    assert!(line["source"].is_string(), "{line}");
}

const BAD: Row = behind_us(
    (502, "http_protocol_error"),
    "bad_answer",
    "",
    "mend the application",
);
const CUT: Row = behind_us(
    (502, "http_response_incomplete"),
    "cut_answer",
    "the application",
    "look into the application's log",
);
const SILENT: Row = behind_us(
    (504, "http_response_timeout"),
    "body_timeout",
    "neither sent nor read",
    "raise body_timeout of the upstream",
);

#[test]
fn an_app_that_does_not_answer_in_time_is_told() {
    let (app, given_up) = app_that_never_answers();
    let proxy = Setup::to(&[&app.target()])
        .upstream("response_timeout = \"200ms\"")
        .start();
    let row = behind_us(
        (504, "http_response_timeout"),
        "response_timeout",
        "no answer from the application within 200ms",
        "raise response_timeout",
    );
    fails_at_the_app(&proxy, &row, &app);
    given_up.wait();
}

#[test]
fn an_app_that_does_not_take_a_body_is_told() {
    let freed = Gate::closed();
    let app = App::scripted({
        let freed = freed.clone();
        move |mut conn| {
            conn.head();
            freed.wait();
        }
    });
    let proxy = Setup::to(&[&app.target()])
        .upstream("body_timeout = \"200ms\"")
        .start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000000\r\n\r\n");
    let _ = client.try_send(vec![b'x'; 20_000_000]);
    let answer = client.answer();
    freed.open();
    assert_eq!(answer.field("Connection"), Some("close"));
    SILENT.told(&proxy, &answer);
}

#[test]
fn an_answer_that_cannot_be_read_is_told() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nbad field\r\n\r\n",
    ] {
        let app = app_that_says(answer);
        fails_at_the_app(&Lasthop::before(&app), &BAD, &app);
    }
}

#[test]
fn an_answer_that_ends_within_its_head_is_told() {
    let resets = App::scripted(|mut conn| {
        conn.request();
        conn.reset();
    });
    for app in [
        app_that_closes_early(),
        app_that_says_and_closes("HTTP/1.1 200 OK\r\nContent-Le"),
    ] {
        fails_at_the_app(&Lasthop::before(&app), &CUT, &app);
    }
    let reset = Row {
        details: "connection reset",
        ..CUT
    };
    fails_at_the_app(&Lasthop::before(&resets), &reset, &resets);
}

/// An app that answers with `begin`, and does `end` once the gate is open.
fn app_that_breaks_off(begin: String, gate: &Gate, end: fn(Conn)) -> App {
    let gate = gate.clone();
    App::scripted(move |mut conn| {
        if conn.request().is_some() {
            conn.send(&begin);
            gate.wait();
            end(conn);
        }
    })
}

/// The framing and the first bytes of an answer, what its app does then, and how that is told.
type Break = (&'static str, fn(Conn), Row);

/// How answers break off when their client has had a part of them.
const BREAKS: [Break; 6] = [
    ("Content-Length: 10\r\n\r\nabc", drop, CUT),
    ("Content-Length: 10\r\n\r\nabc", Conn::reset, CUT),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", drop, CUT),
    (
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        |mut conn| assert!(conn.send("zz\r\n")),
        BAD,
    ),
    ("X: until the end\r\n\r\nabc", Conn::reset, CUT),
    (
        "Content-Length: 10\r\n\r\nabc",
        |mut conn| conn.until_closed(),
        SILENT,
    ),
];

#[test]
fn an_answer_that_breaks_off_is_taken_for_whole_by_nobody_and_told() {
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        for (begin, end, row) in BREAKS {
            let gate = Gate::closed();
            let answer = format!("HTTP/1.1 200 OK\r\n{begin}");
            let app = app_that_breaks_off(answer, &gate, end);
            let proxy = Setup::to(&[&app.target()])
                .upstream("body_timeout = \"200ms\"")
                .start();
            let mut client = proxy.client();
            client.send(format!("GET / {version}\r\nHost: a\r\n\r\n"));
            let head = client.head();
            let mut body = client
                .0
                .through(b"abc")
                .expect("what came before the break");
            gate.open();
            let (rest, ending) = client.0.rest();
            body.extend_from_slice(&rest);
            let case = format!("{version}, {begin:?}: {:?}", String::from_utf8_lossy(&body));
            // Neither the last chunk nor as much as was promised; where the end is the end of the connection, a reset.
            assert!(!body.ends_with(b"0\r\n\r\n"), "{case}");
            let ends_by_close = !head.has("Content-Length") && !head.has("Transfer-Encoding");
            assert!(!ends_by_close || ending == Ending::Reset, "{case}");
            row.logged(&proxy, None);
            let line = row.lined(&proxy, 200);
            assert_eq!(line["sent_bytes"], head.raw.len() + body.len(), "{case}");
            assert_eq!(line["target"], app.target(), "{case}");
        }
    }
}

#[test]
fn what_is_behind_the_proxy_is_told_to_clients_only_on_demand() {
    let dir = TempDir::new();
    let target = format!("unix:{}", dir.join("secret.sock").display());
    let proxy = Setup::to(&[&target])
        .server("error_details = false")
        .upstream("restart_grace = \"1ms\"")
        .start();
    let answer = proxy.client().exchange(GET);
    let told = answer.field("Proxy-Status");
    assert_eq!(told, Some("lasthop; error=destination_unavailable"));
    assert_eq!(answer.text(), "502 Bad Gateway\n");
    let line = proxy.access_log(&["destination_unavailable"]);
    assert!(line.contains("secret.sock does not exist"), "{line}");
    proxy.logs(&["request failed", "secret.sock does not exist"]);
}
