//! The access log from outside: what its lines say is what clients and apps have seen, and whoever reads it, or does not,
//! is nobody's business but the log's.
//!
//! Long because each kind of request is a promise of its own. Failures and their lines are in `error_rows`.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::misbehave::{
    app_behind, app_that_answers, app_that_never_answers, app_that_tells,
};
use crate::support::{
    App, Client, Conn, Ending, Gate, Lasthop, PATIENCE, Place, QUIET, Setup, TempDir, logs,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// The keys of docs/access-log.md in their order.
const KEYS: [&str; 25] = [
    "time",
    "request_id",
    "listener",
    "client",
    "method",
    "host",
    "uri",
    "protocol",
    "user_agent",
    "referer",
    "status",
    "error",
    "details",
    "ended_by",
    "route",
    "upstream",
    "target",
    "source",
    "reused",
    "attempts",
    "connect",
    "wait",
    "total",
    "received_bytes",
    "sent_bytes",
];

/// Answers with the address of whoever asks: to an app, that is the proxy's source.
fn app_that_tells_the_source() -> App {
    App::scripted(|mut conn| {
        let peer = conn.wire.peer().expect("TCP").to_string();
        while conn.request().is_some() {
            conn.answer(&peer);
        }
    })
}

fn with_log(app: &App, log: &str) -> Setup {
    Setup::to(&[&app.target()]).more(&format!("[log]\n{log}"))
}

fn seconds(line: &Value, key: &str) -> f64 {
    let seconds = line[key].as_f64();
    seconds.unwrap_or_else(|| panic!("no {key} in {line}"))
}

/// The end of the process by SIGTERM, and its whole access log.
fn ended(mut proxy: Lasthop) -> Vec<String> {
    proxy.signal("TERM");
    let status = proxy.ends_within(PATIENCE).expect("the drain ends");
    assert!(status.success(), "{status}");
    let log = proxy.stdout_to_end();
    log.lines().map(str::to_owned).collect()
}

#[test]
fn a_line_says_what_the_client_and_the_app_have_seen() {
    let app = app_that_tells_the_source();
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    // PUT, because a connection that was used once only is not trusted with a request that must not come twice.
    let request = "PUT /shop?item=7 HTTP/1.1\r\nHost: shop.test:81\r\nUser-Agent: \"me\"\r\nReferer: http://b/\r\nContent-Length: 3\r\n\r\nabc";
    let begun = Instant::now();
    for reused in [false, true] {
        let asked = Instant::now();
        let answer = client.exchange(request);
        let lines = proxy.access_lines(1 + usize::from(reused));
        // After the line: the proxy may read its clock when the client has its answer already.
        let took = asked.elapsed().as_secs_f64();
        let line = lines.last().unwrap();
        for (key, value) in [
            ("listener", "front"),
            ("client", "127.0.0.1"),
            ("method", "PUT"),
            ("host", "shop.test:81"),
            ("uri", "/shop?item=7"),
            ("protocol", "HTTP/1.1"),
            ("user_agent", "\"me\""),
            ("referer", "http://b/"),
            ("route", "/"),
            ("upstream", "app"),
            ("target", &app.target()),
            ("source", &answer.text()),
        ] {
            assert_eq!(line[key], value, "{key} in {line}");
        }
        assert_eq!(line["status"], 200);
        assert_eq!(line["reused"], reused);
        assert_eq!(line["attempts"], 1);
        assert_eq!(line["received_bytes"], request.len());
        let sent = answer.head.raw.len() + answer.body.len();
        assert_eq!(line["sent_bytes"], sent);
        for absent in ["error", "details", "ended_by"] {
            assert!(line[absent].is_null(), "{absent} in {line}");
        }
        // An idle connection is not waited for.
        assert_eq!(line["connect"].is_null(), reused, "{line}");
        let connect = line["connect"].as_f64().unwrap_or(0.0);
        let (wait, total) = (seconds(line, "wait"), seconds(line, "total"));
        assert!(wait > 0.0 && connect + wait <= total, "{line}");
        assert!(total <= took, "{total} of {took} s: {line}");
    }
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(app.accepted(), 1);
}

#[test]
fn the_keys_of_a_line_stand_in_their_order() {
    let app = app_that_tells_the_source();
    let proxy = Lasthop::before(&app);
    proxy.get("/");
    let line = proxy.access_log(&["\"uri\":\"/\""]);
    let known: Vec<_> = KEYS
        .iter()
        .filter_map(|key| Some((line.find(&format!("\"{key}\":"))?, *key)))
        .collect();
    assert!(known.is_sorted(), "{known:?} in {line}");
    let keys = logs::access(&line).as_object().unwrap().len();
    assert_eq!(known.len(), keys, "a key that is not documented: {line}");
    // All but those of a failure and of fields that were not sent.
    assert_eq!(keys, 20, "{line}");
}

#[test]
fn the_time_of_a_line_is_when_its_request_began() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let mut slow = proxy.client();
    slow.send("GET /slow HTTP/1.1\r\nHo");
    assert!(slow.is_quiet_for(QUIET));
    proxy.get("/quick");
    assert_eq!(slow.exchange("st: a\r\n\r\n").status(), 200);
    let lines = proxy.access_lines(2);
    let [quick, slow] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert_eq!(
        (&quick["uri"], &slow["uri"]),
        (&"/quick".into(), &"/slow".into())
    );
    // RFC 3339 in UTC with equal digits: the order of text is the order of time.
    assert!(slow["time"].as_str() < quick["time"].as_str(), "{lines:?}");
    let total = seconds(slow, "total");
    assert!(total > QUIET.as_secs_f64() / 2.0, "{slow}");
}

/// All that comes in answer to `request`, which asks for the connection to be closed.
fn bytes_in_answer_to(proxy: &Lasthop, request: &str) -> Vec<u8> {
    let mut client = proxy.client();
    client.send(request);
    let (bytes, ending) = client.0.rest();
    assert_eq!(ending, Ending::Closed);
    bytes
}

#[test]
fn bytes_are_those_on_the_wire_for_head_requests_chunks_and_old_clients() {
    let app = App::scripted(|mut conn| {
        while let Some(request) = conn.request() {
            match request.head.method() {
                "HEAD" => conn.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
                "GET" => conn.answer("hello"),
                _ => conn.send(
                    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
                     HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                ),
            };
        }
    });
    let proxy = Lasthop::before(&app);
    let rest = "Host: a\r\nConnection: close\r\n\r\n";
    let chunks = "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n";
    for (n, request) in [
        format!("HEAD / HTTP/1.1\r\n{rest}"),
        format!("GET / HTTP/1.1\r\n{rest}"),
        format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{rest}{chunks}"),
        format!("POST / HTTP/1.0\r\nContent-Length: 0\r\n{rest}"),
        format!("\r\nGET / HTTP/1.1\r\n{rest}"),
    ]
    .iter()
    .enumerate()
    {
        let answer = bytes_in_answer_to(&proxy, request);
        let line = proxy.access_lines(n + 1).pop().unwrap();
        assert_eq!(line["received_bytes"], request.len(), "{request:?}: {line}");
        assert_eq!(line["sent_bytes"], answer.len(), "{request:?}: {line}");
        assert_eq!(line["status"], 200, "{line}");
    }
    let old = proxy.access_lines(4).remove(3);
    assert_eq!(old["protocol"], "HTTP/1.0");
}

#[test]
fn pipelined_requests_have_their_own_bytes_each() {
    let app = App::scripted(|mut conn| {
        while let Some(request) = conn.request() {
            conn.answer(vec![b'x'; 10 * request.body.len()]);
        }
    });
    let proxy = Lasthop::before(&app);
    let request = |length: usize| {
        let body = "y".repeat(length);
        format!("POST /{length} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    // The end of the last one comes later than the others.
    let requests = [request(7), request(3000), request(1), request(20_000)];
    let mut client = proxy.client();
    let all = requests.concat();
    let (begin, end) = all.split_at(all.len() - 100);
    client.send(begin);
    let mut answers: Vec<_> = (0..3).map(|_| client.answer()).collect();
    client.send(end);
    answers.push(client.answer());
    let lines = proxy.access_lines(4);
    for ((line, request), answer) in lines.iter().zip(&requests).zip(&answers) {
        assert_eq!(line["received_bytes"], request.len(), "{line}");
        let sent = answer.head.raw.len() + answer.body.len();
        assert_eq!(line["sent_bytes"], sent, "{line}");
    }
}

#[test]
fn unix_sockets_have_neither_client_nor_source() {
    let app = app_that_answers(Place::Unix);
    let dir = TempDir::new();
    let front = format!("unix:{}", dir.join("front.sock").display());
    for format in ["json", "combined"] {
        let proxy = with_log(&app, &format!("format = \"{format}\""))
            .on(&front)
            .start();
        assert_eq!(proxy.get("/").status(), 200);
        let line = proxy.access_log(&["200"]);
        if format == "combined" {
            assert!(line.starts_with("- - - ["), "{line}");
            continue;
        }
        let line = logs::access(&line);
        assert!(
            line["client"].is_null() && line["source"].is_null(),
            "{line}"
        );
        assert_eq!(line["target"], app.target());
        assert_eq!(line["reused"], false);
    }
}

#[test]
fn a_client_that_leaves_before_its_answer_was_sent_nothing() {
    for format in ["json", "combined"] {
        let (app, given_up) = app_that_never_answers();
        let proxy = with_log(&app, &format!("format = \"{format}\"")).start();
        let mut client = proxy.client();
        client.send(GET);
        app.wait_for_accepted(1);
        client.0.reset();
        given_up.wait();
        let line = proxy.access_log(&["GET"]);
        if format == "combined" {
            assert!(line.contains("\"GET / HTTP/1.1\" 499 0 "), "{line}");
            continue;
        }
        let line = logs::access(&line);
        assert!(line["status"].is_null(), "{line}");
        assert_eq!(line["error"], "connection_terminated", "{line}");
        assert_eq!(line["ended_by"], "client", "{line}");
        assert_eq!(line["received_bytes"], GET.len(), "{line}");
        assert_eq!(line["sent_bytes"], 0, "{line}");
        assert_eq!(line["attempts"], 1, "{line}");
    }
}

#[test]
fn a_client_that_leaves_the_queue_says_how_long_it_was_in_it() {
    let gate = Gate::closed();
    let app = app_behind(&gate, Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .upstream("max_connections = 1")
        .start();
    let mut first = proxy.client();
    first.send(GET);
    app.wait_for_accepted(1);
    let mut queued = proxy.client();
    queued.send("GET /queued HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(queued.is_quiet_for(QUIET));
    queued.0.reset();
    let line = logs::access(&proxy.access_log(&["/queued"]));
    gate.open();
    assert_eq!(line["ended_by"], "client", "{line}");
    assert!(
        line["attempts"].is_null() && line["wait"].is_null(),
        "{line}"
    );
    // Half of it: the proxy's count begins when it reads, which may be a moment later.
    let waited = seconds(&line, "connect");
    assert!(waited > QUIET.as_secs_f64() / 2.0, "{line}");
    assert_eq!(first.answer().text(), "ok");
}

/// An app that sends the head of a long answer and three bytes of it, and waits.
fn app_that_stops_half_way() -> App {
    App::scripted(|mut conn| {
        if conn.request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc");
            conn.until_closed();
        }
    })
}

#[test]
fn who_ended_an_answer_in_its_middle_is_on_its_line() {
    // When it was the app: `error_rows`.
    let app = app_that_stops_half_way();
    let mut proxy = Setup::to(&[&app.target()])
        .server("drain_timeout = \"100ms\"")
        .start();
    let half = |path: &str| {
        let mut client = proxy.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = client.head();
        client.0.exactly(3).expect("three bytes");
        (client, head.raw.len() + 3)
    };
    let (client, sent) = half("/client");
    client.0.reset();
    let line = logs::access(&proxy.access_log(&["/client"]));
    assert_eq!(line["ended_by"], "client", "{line}");
    assert_eq!(
        (&line["status"], &line["sent_bytes"]),
        (&200.into(), &sent.into())
    );

    let (_client, sent) = half("/proxy");
    proxy.signal("TERM");
    assert!(proxy.ends_within(PATIENCE).is_some());
    let line = logs::access(&proxy.access_log(&["/proxy"]));
    assert_eq!(line["ended_by"], "proxy", "{line}");
    assert_eq!(line["details"], "the proxy was stopped", "{line}");
    assert_eq!(
        (&line["status"], &line["sent_bytes"]),
        (&200.into(), &sent.into())
    );
    assert_eq!(line["route"], "/", "{line}");
    assert_eq!(line["target"], app.target(), "{line}");
}

#[test]
fn a_request_that_the_end_of_the_process_cuts_off_has_its_own_bytes_on_its_line() {
    let gate = Gate::closed();
    let app = App::scripted({
        let gate = gate.clone();
        move |mut conn| {
            while let Some(request) = conn.request() {
                if request.head.target() == "/second" {
                    gate.open();
                    conn.until_closed();
                    return;
                }
                conn.answer("ok");
            }
        }
    });
    let mut proxy = Setup::to(&[&app.target()])
        .server("drain_timeout = \"100ms\"")
        .start();
    let mut client = proxy.client();
    assert_eq!(client.request("/first").status(), 200);
    let request = "GET /second HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(request);
    gate.wait();
    proxy.signal("TERM");
    assert!(proxy.ends_within(PATIENCE).is_some());
    let line = logs::access(&proxy.access_log(&["/second"]));
    assert_eq!(line["ended_by"], "proxy", "{line}");
    assert!(line["status"].is_null(), "{line}");
    assert_eq!(line["received_bytes"], request.len(), "{line}");
    assert_eq!(line["sent_bytes"], 0, "{line}");
    assert_eq!(line["reused"], true, "{line}");
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";

/// An app that switches protocols, echoes, and ends the tunnel when it reads `bye`.
fn app_with_tunnels() -> App {
    App::scripted(|mut conn: Conn| {
        if conn.head().is_none() {
            return;
        }
        conn.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        while let Ok(bytes) = conn.wire.some() {
            conn.send(&bytes);
            if bytes.ends_with(b"bye") {
                return;
            }
        }
    })
}

#[test]
fn a_tunnel_has_its_line_at_its_end_with_the_bytes_of_both_ways_and_who_ended_it() {
    let app = app_with_tunnels();
    for (ended_by, details) in [
        ("client", "closed"),
        ("client", "connection reset"),
        ("upstream", "closed"),
        ("proxy", "tunnel_timeout"),
        ("proxy", "the proxy was stopped"),
    ] {
        let timeout = if details == "tunnel_timeout" {
            "300ms"
        } else {
            "1h"
        };
        let mut proxy = Setup::to(&[&app.target()])
            .server("drain_timeout = \"100ms\"")
            .upstream(&format!("tunnel_timeout = {timeout:?}"))
            .start();
        let mut client = proxy.client();
        // The first bytes of the tunnel come with the head.
        client.send(format!("{UPGRADE}hello"));
        let head = client.head();
        let word: &[u8] = if ended_by == "upstream" {
            b"bye"
        } else {
            b"ping"
        };
        client.send(word);
        client.0.exactly(5 + word.len()).expect("an echo");
        match details {
            "connection reset" => client.0.reset(),
            "closed" if ended_by == "client" => drop(client),
            "the proxy was stopped" => {
                assert!(proxy.access_lines(0).is_empty(), "before its end");
                proxy.signal("TERM");
                assert!(proxy.ends_within(PATIENCE).is_some());
            }
            _ => {
                client.0.rest();
                // The other half of the tunnel is the client's to close.
                drop(client);
            }
        }
        let line = proxy.access_lines(1).remove(0);
        assert_eq!(line["ended_by"], ended_by, "{line}");
        assert_eq!(line["details"], details, "{line}");
        assert!(line["error"].is_null(), "{line}");
        assert_eq!(line["status"], 101, "{line}");
        assert_eq!(line["uri"], "/ws", "{line}");
        let received = UPGRADE.len() + 5 + word.len();
        assert_eq!(line["received_bytes"], received, "{line}");
        let sent = head.raw.len() + 5 + word.len();
        assert_eq!(line["sent_bytes"], sent, "{line}");
        assert!(line["source"].is_string(), "{line}");
    }
}

#[test]
fn a_connection_that_asks_nothing_leaves_no_line() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    drop(proxy.client());
    proxy.client().0.reset();
    proxy.client().finish_sending();
    let mut silent = proxy.client();
    silent.send("\r\n");
    let mut served = proxy.client();
    assert_eq!(served.request("/the-only-one").status(), 200);
    served.send("\r\n");
    drop(silent);
    let lines = ended(proxy);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("/the-only-one"), "{lines:?}");
}

#[test]
fn combined_lines_are_those_of_other_servers() {
    let app = app_that_answers(Place::Tcp);
    let proxy = with_log(&app, "format = \"combined\"").start();
    let mut client = proxy.client();
    let answer = client.exchange(
        "GET /a?b=\"c\" HTTP/1.1\r\nHost: a\r\nUser-Agent: me \\ \"x\"\r\nReferer: http://b/\r\n\r\n",
    );
    let sent = answer.head.raw.len() + answer.body.len();
    let refused = client.exchange("GET / HTTP/1.1\r\n\r\n");
    let length = refused.head.raw.len() + refused.body.len();
    let lines = ended(proxy);
    let [served, refused] = &lines[..] else {
        panic!("{lines:#?}")
    };
    // 127.0.0.1 - - [03/Nov/2026:12:34:56 +0000] "request line" …
    let (before, after) = served.split_once("] ").expect("a time");
    let time = before.strip_prefix("127.0.0.1 - - [").expect("the client");
    let shape: String = time
        .chars()
        .map(|letter| match letter {
            '0'..='9' => '0',
            'a'..='z' | 'A'..='Z' => 'a',
            other => other,
        })
        .collect();
    assert_eq!(shape, "00/aaa/0000:00:00:00 +0000");
    let wanted = format!(
        "\"GET /a?b=\\x22c\\x22 HTTP/1.1\" 200 {sent} \"http://b/\" \"me \\x5c \\x22x\\x22\""
    );
    assert_eq!(after, wanted);
    let wanted = format!("] \"-\" 400 {length} \"-\" \"-\"");
    assert!(refused.ends_with(&wanted), "{refused}");
}

/// Reads a log until it has so many lines: they come up to a tenth of a second late.
fn lines_of(file: &std::path::Path, count: usize) -> Vec<String> {
    let begun = Instant::now();
    loop {
        // It may not be there yet.
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if text.lines().count() >= count {
            return text.lines().map(str::to_owned).collect();
        }
        assert!(begun.elapsed() < PATIENCE, "{count} lines, not {text:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_file_is_rotated_by_a_rename_and_a_signal() {
    let app = app_that_answers(Place::Tcp);
    let dir = TempDir::new();
    let (file, old) = (dir.join("access.log"), dir.join("access.log.1"));
    let proxy = with_log(&app, &format!("access = {file:?}")).start();
    let mut client = proxy.client();
    client.request("/before");
    assert!(lines_of(&file, 1)[0].contains("/before"));
    std::fs::rename(&file, &old).expect("a rename");
    client.request("/between");
    assert!(lines_of(&old, 2)[1].contains("/between"));
    proxy.signal("USR1");
    proxy.logs(&["access log reopened", "access.log"]);
    client.request("/after");
    assert!(lines_of(&file, 1)[0].contains("/after"));
    assert_eq!(ended(proxy), [""; 0], "nothing on standard output");
    assert_eq!(lines_of(&file, 1).len(), 1);
    assert_eq!(lines_of(&old, 2).len(), 2);
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o137, 0, "the log is not for everybody: {mode:o}");
}

#[test]
fn a_file_that_cannot_be_opened_again_is_told_and_the_old_one_written_on() {
    let app = app_that_answers(Place::Tcp);
    let dir = TempDir::new();
    let (file, old) = (dir.join("access.log"), dir.join("access.log.1"));
    let proxy = with_log(&app, &format!("access = {file:?}")).start();
    std::fs::rename(&file, &old).expect("a rename");
    std::fs::create_dir(&file).expect("something in its place");
    proxy.signal("USR1");
    proxy.logs(&["ERROR cannot reopen the access log", "fix=", "access.log"]);
    proxy.get("/on");
    assert!(lines_of(&old, 1)[0].contains("/on"));
}

#[test]
fn without_an_access_log_nothing_is_on_standard_output() {
    let app = app_that_answers(Place::Tcp);
    let target = app.target();
    let by_flag = [
        "--listen",
        "127.0.0.1:0",
        "--to",
        &target,
        "--access-log",
        "off",
    ];
    for proxy in [
        with_log(&app, "access = \"off\"").start(),
        Lasthop::with_flags(&by_flag),
    ] {
        let mut client = proxy.client();
        assert_eq!(client.request("/").status(), 200);
        // A rotation that finds nothing to rotate is no reason to end.
        proxy.signal("USR1");
        proxy.logs(&["no access log to reopen"]);
        assert_eq!(client.exchange("GET / HTTP/1.1\r\n\r\n").status(), 400);
        assert_eq!(ended(proxy), [""; 0]);
    }
}

#[test]
fn the_request_id_of_a_line_is_the_one_that_the_app_was_told() {
    let (app, told) = app_that_tells(Place::Tcp);
    let sent = "GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: from-outside\r\n\r\n";
    for trusts in [false, true] {
        let trusted = if trusts { "[\"127.0.0.0/8\"]" } else { "[]" };
        let proxy = Setup::to(&[&app.target()])
            .server(&format!("trusted_proxies = {trusted}"))
            .upstream("request_id = true")
            .start();
        let mut client = proxy.client();
        let mut seen = HashSet::new();
        for (n, request) in [GET, GET, sent].iter().enumerate() {
            assert_eq!(client.exchange(request).status(), 200);
            let request = told.recv_timeout(PATIENCE).expect("the request");
            let id = request
                .head
                .field("X-Request-ID")
                .expect("an id")
                .to_owned();
            let line = proxy.access_lines(n + 1).pop().unwrap();
            assert_eq!(line["request_id"], *id, "{line}");
            let is_ours = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            if trusts && n == 2 {
                assert_eq!(id, "from-outside");
            } else {
                assert!(is_ours, "{id}");
            }
            assert!(seen.insert(id), "an id twice: {seen:?}");
        }
    }
}

#[test]
fn every_line_is_there_after_a_drain() {
    let app = app_that_answers(Place::Unix);
    let proxy = Setup::to(&[&app.target()]).server("workers = 2").start();
    let mut clients: Vec<Client> = (0..20).map(|_| proxy.client()).collect();
    for n in 0..1000 {
        let answer = clients[n % 20].request(&format!("/{n}"));
        assert_eq!(answer.status(), 200);
    }
    let lines = ended(proxy);
    let lines: Vec<_> = lines.iter().map(|line| logs::access(line)).collect();
    let different = |key: &str| {
        let values = lines.iter().map(|line| line[key].as_str());
        values.collect::<HashSet<_>>().len()
    };
    assert_eq!(lines.len(), 1000);
    assert_eq!(different("uri"), 1000);
    assert_eq!(different("request_id"), 1000);
}

/// Requests whose lines are more than may wait for a reader: 3,000 of 4 KiB.
const MANY: usize = 3000;

/// Sends them, each tenth to fail, and returns how long that took.
fn ask_for_much(proxy: &Lasthop) -> Duration {
    let mut client = proxy.client();
    let long = "x".repeat(4000);
    let begun = Instant::now();
    for n in 0..MANY {
        let (host, status) = if n % 10 == 0 { ("b", 404) } else { ("a", 200) };
        let request = format!("GET /{n}/{long} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(client.exchange(request).status(), status);
    }
    begun.elapsed()
}

/// A proxy whose standard output and standard error are pipes that are full, and that nobody reads.
fn blocked(app: &App) -> Lasthop {
    let proxy = Setup::to(&[&app.target()])
        .route("host = \"a\"")
        .more("[admin]\naddress = \"127.0.0.1:0\"")
        .start();
    proxy.admin();
    proxy.stop_reading();
    proxy
}

/// What `/metrics` says of lines of the access log that were dropped.
fn dropped(proxy: &Lasthop) -> usize {
    let name = "lasthop_log_lines_dropped_total{log=\"access\"} ";
    let answer = Client::connect(&proxy.admin()).request_as("127.0.0.1", "/metrics");
    let page = answer.text();
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.expect(name).parse().expect("a number")
}

#[test]
fn a_reader_that_stops_slows_no_request_and_what_it_has_lost_is_told_when_it_reads_on() {
    let app = app_that_answers(Place::Unix);
    let unlogged = with_log(&app, "access = \"off\"\nlevel = \"off\"")
        .route("host = \"a\"")
        .start();
    let alone = ask_for_much(&unlogged);
    let proxy = blocked(&app);
    let beside = ask_for_much(&proxy);
    // Loose, since other tests run beside it; a worker that waits for the reader waits for ever.
    let most = 5 * alone + Duration::from_secs(3);
    assert!(beside < most, "{beside:?}, and {alone:?} without a log");
    let lost = dropped(&proxy);
    assert!(lost > 0 && lost < MANY, "{lost} lines");

    proxy.read_on();
    let lines = ended(proxy_with_told_drops(proxy, lost));
    let lines: Vec<_> = lines.iter().filter(|line| !line.is_empty()).collect();
    let different: HashSet<_> = lines
        .iter()
        .map(|line| logs::access(line)["uri"].to_string())
        .collect();
    assert_eq!(different.len(), MANY - lost);
    assert_eq!(lines.len(), MANY - lost);
}

/// Waits until the operator log has told of the lines that were lost.
fn proxy_with_told_drops(proxy: Lasthop, lost: usize) -> Lasthop {
    let line = proxy.logs(&["WARN access log lines dropped", &format!(" total={lost} ")]);
    let fix = logs::field(&line, "fix").expect("what to do");
    assert!(fix.contains("has to read faster"), "{line}");
    proxy
}

#[test]
fn a_reader_that_stops_does_not_hold_up_the_end() {
    let app = app_that_answers(Place::Unix);
    let mut proxy = blocked(&app);
    ask_for_much(&proxy);
    proxy.signal("TERM");
    let begun = Instant::now();
    // Nobody reads its outputs, so their end is not to be waited for.
    while proxy.runs() {
        // One second for the access log, one for the operator log, and some for a busy machine.
        assert!(begun.elapsed() < Duration::from_secs(6), "it does not end");
        std::thread::yield_now();
    }
    let status = proxy.ends_within(Duration::ZERO).expect("it has ended");
    assert!(status.success(), "{status}");
}

#[test]
fn a_full_disk_slows_no_request_and_is_told() {
    let app = app_that_answers(Place::Unix);
    let mut proxy = with_log(&app, "access = \"/dev/full\"")
        .route("host = \"a\"")
        .more("[admin]\naddress = \"127.0.0.1:0\"")
        .start();
    ask_for_much(&proxy);
    let begun = Instant::now();
    while dropped(&proxy) < MANY {
        assert!(begun.elapsed() < PATIENCE, "{} lines", dropped(&proxy));
    }
    proxy.signal("TERM");
    assert!(proxy.ends_within(Duration::from_secs(5)).is_some());
    let line = proxy.logs(&["access log lines dropped", &format!(" total={MANY} ")]);
    assert!(line.contains("No space left on device"), "{line}");
    let fix = logs::field(&line, "fix").expect("what to do");
    assert!(fix.contains("make room"), "{line}");
}
