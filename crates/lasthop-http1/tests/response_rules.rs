//! Answers: what is malformed, how a body is framed, and what the client gets to read.
//!
//! Long because it is the list of the rules, a table each, to be read beside the RFC.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]
#![allow(
    clippy::too_many_lines,
    reason = "a table has as many lines as it has rows"
)]

mod common;

use common::{answered, delivered, lines, malformed};
use lasthop_http1::Version;
use lasthop_http1::fields::FieldStorage;
use lasthop_http1::limits::HeadLimits;
use lasthop_http1::response::{
    self, ConnectionField, Delivery, Framing, RequestKind, ResponseBody,
};
use lasthop_http1::scan::{HeadScan, RawFault};

const GET: RequestKind<'_> = RequestKind {
    is_head: false,
    upgrade: None,
};
const HEAD: RequestKind<'_> = RequestKind {
    is_head: true,
    upgrade: None,
};
const WEBSOCKET: RequestKind<'_> = RequestKind {
    is_head: false,
    upgrade: Some("foo/1, websocket"),
};

#[test]
fn an_answer_that_can_be_read_in_two_ways_is_malformed() {
    let rows = [
        (
            "9112 6.3",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "both",
        ),
        (
            "9112 6.3",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            "more than one Content-Length",
        ),
        (
            "9112 6.3",
            "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\n",
            "Content-Length is malformed",
        ),
        (
            "9110 8.6",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "Content-Length is malformed",
        ),
        (
            "9110 8.6",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: x\r\n\r\n",
            "Content-Length is malformed",
        ),
        (
            "9112 6.1",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "unknown transfer coding",
        ),
        (
            "9112 6.1",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
            "unknown transfer coding",
        ),
        (
            "9112 6.3",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
            "not the final",
        ),
        (
            "9112 6.1",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "more than once",
        ),
        (
            "9112 6.1",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n",
            "Transfer-Encoding is malformed",
        ),
        (
            "9112 6.1",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.0",
        ),
        ("9112 2.2", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "LF"),
        ("9112 2.2", "HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", "CRLF"),
        ("9112 2.2", "HTTP/1.1 200 OK\r\nA: b\n\r\n\r\n", "CRLF"),
        (
            "9112 2.2",
            "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
            "control",
        ),
        ("9112 2.2", "\r\nHTTP/1.1 200 OK\r\n\r\n", "blank lines"),
        (
            "9112 5.2",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "folded",
        ),
        (
            "9112 5.1",
            "HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\n",
            "before the colon",
        ),
        ("9110 5.5", "HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", "control"),
        (
            "9110 5.1",
            "HTTP/1.1 200 OK\r\nnothing\r\n\r\n",
            "field name",
        ),
        ("9112 4", "HTTP/1.1 20 OK\r\n\r\n", "status line"),
        ("9112 4", "HTTP/1.1 2000 OK\r\n\r\n", "status line"),
        ("9112 4", "HTTP/1.1 2x0 OK\r\n\r\n", "status line"),
        ("9112 4", "HTTP/1.1  200 OK\r\n\r\n", "status line"),
        ("9112 4", "HTTP/1.1 200 O\x01K\r\n\r\n", "status line"),
        ("9110 15", "HTTP/1.1 099 OK\r\n\r\n", "between 100 and 599"),
        ("9110 15", "HTTP/1.1 600 OK\r\n\r\n", "between 100 and 599"),
        ("9112 2.3", "HTTP/1.2 200 OK\r\n\r\n", "does not begin"),
        ("9112 2.3", "HTTP/2.0 200 OK\r\n\r\n", "not HTTP/1"),
        ("9112 2.3", "<html>hello</html>", "not HTTP/1"),
    ];
    for (section, head, reason) in rows {
        let malformed = malformed(head.as_bytes(), GET);
        assert!(
            malformed.reason.contains(reason),
            "{section}: {head:?}: {malformed}"
        );
    }
}

#[test]
fn garbage_is_known_by_its_first_byte() {
    assert_eq!(HeadScan::response().scan(b"h"), Err(RawFault::NotHttp));
    assert_eq!(HeadScan::response().scan(b"HTTP/2"), Err(RawFault::NotHttp));
    assert_eq!(HeadScan::response().scan(b"HTTP/1"), Ok(None));
}

#[test]
fn an_answer_beyond_its_bounds_is_malformed() {
    let limits = HeadLimits {
        bytes_max: 60,
        fields_max: 2,
        ..HeadLimits::default()
    };
    let parses = |head: &str| {
        response::parse(head.as_bytes(), &mut FieldStorage::default(), GET, &limits).is_ok()
    };
    assert!(parses("HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n"));
    assert!(!parses("HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\nE: f\r\n\r\n"));
    assert!(!parses(&format!(
        "HTTP/1.1 200 OK\r\nA: {}\r\n\r\n",
        "b".repeat(60)
    )));
    assert!(!parses("HTTP/1.1 200 OK\r\nA: b\r\n"));
    assert!(!parses("HTTP/1.1 200 OK\r\n\r\nbody"));
}

#[test]
fn the_body_follows_status_method_and_framing() {
    // RFC 9112 section 6.3.
    for (head, request, body, keep_alive) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
            GET,
            ResponseBody::Sized(3),
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
            HEAD,
            ResponseBody::None,
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", HEAD, ResponseBody::None, true),
        (
            "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n",
            GET,
            ResponseBody::Chunked,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            HEAD,
            ResponseBody::None,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\n",
            GET,
            ResponseBody::UntilClose,
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
            GET,
            ResponseBody::UntilClose,
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\n",
            GET,
            ResponseBody::Sized(3),
            true,
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n",
            GET,
            ResponseBody::Sized(3),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 3\r\n\r\n",
            GET,
            ResponseBody::Sized(3),
            false,
        ),
        (
            "HTTP/1.1 204 No Content\r\n\r\n",
            GET,
            ResponseBody::None,
            true,
        ),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            GET,
            ResponseBody::None,
            true,
        ),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n",
            GET,
            ResponseBody::None,
            false,
        ),
        (
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
            GET,
            ResponseBody::None,
            false,
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 300\r\n\r\n",
            GET,
            ResponseBody::None,
            true,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\n",
            GET,
            ResponseBody::None,
            true,
        ),
    ] {
        answered(head.as_bytes(), request, |parsed| {
            assert_eq!(
                (parsed.body, parsed.keep_alive),
                (body, keep_alive),
                "{head:?}"
            );
        });
    }
}

#[test]
fn interim_answers_are_told_from_the_one_that_counts() {
    for (status, is_interim) in [
        (100, true),
        (102, true),
        (103, true),
        (199, true),
        (200, false),
        (599, false),
    ] {
        let head = format!("HTTP/1.1 {status} X\r\n\r\n");
        assert_eq!(
            answered(head.as_bytes(), GET, |head| head.is_interim()),
            is_interim,
            "{status}"
        );
    }
}

#[test]
fn a_switch_is_taken_only_if_it_was_asked_for() {
    // RFC 9110 section 7.8 and 15.2.2.
    const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nX: y\r\n\r\n";
    answered(SWITCH.as_bytes(), WEBSOCKET, |head| {
        assert!(head.is_switching() && !head.is_interim())
    });
    assert_eq!(
        lines(&delivered(SWITCH.as_bytes(), WEBSOCKET, Version::Http11)),
        [
            "HTTP/1.1 101 Switching Protocols",
            "X: y",
            "Connection: Upgrade",
            "Upgrade: WebSocket"
        ]
    );
    for (head, request, reason) in [
        (SWITCH, GET, "without having been asked"),
        (
            "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: bar\r\n\r\n",
            WEBSOCKET,
            "not offered",
        ),
        (
            "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket, bar\r\n\r\n",
            WEBSOCKET,
            "not offered",
        ),
        (
            "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
            WEBSOCKET,
            "without a valid",
        ),
        (
            "HTTP/1.1 101 X\r\nConnection: Upgrade\r\n\r\n",
            WEBSOCKET,
            "without a valid",
        ),
        (
            "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n",
            WEBSOCKET,
            "without a valid",
        ),
        (
            "HTTP/1.0 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            WEBSOCKET,
            "without a valid",
        ),
    ] {
        let malformed = malformed(head.as_bytes(), request);
        assert!(malformed.reason.contains(reason), "{head:?}: {malformed}");
    }
}

#[test]
fn how_long_the_app_keeps_a_connection_is_read_from_keep_alive() {
    for (value, expected) in [
        ("timeout=5, max=100", Some(5)),
        ("max=1, Timeout = 72", Some(72)),
        ("timeout=0", Some(0)),
        ("timeout", None),
        ("timeout=-1", None),
        ("timeout=99999999999", None),
        ("x=5", None),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\nKeep-Alive: {value}\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(
            answered(head.as_bytes(), GET, |head| head.keep_alive_timeout),
            expected,
            "{value}"
        );
    }
    let closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(answered(closing, GET, |head| head.keep_alive_timeout), None);
}

#[test]
fn an_answer_is_written_in_one_form() {
    // RFC 9110 section 7.6.1.
    let sent = b"HTTP/1.0 404 Not  Found\r\nServer:x\r\nConnection: X-Hop, keep-alive, content-length\r\nKeep-Alive: timeout=5\r\n\
        X-Hop: 1\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTE: x\r\nSet-Cookie: a\r\nset-cookie:  b \r\nTrailer: X-Sum\r\n\
        Content-Length: 03\r\nVia: 1.1 app\r\nDate: D\r\n\r\n";
    assert_eq!(
        delivered(sent, GET, Version::Http11),
        "HTTP/1.1 404 Not  Found\r\nServer: x\r\nSet-Cookie: a\r\nset-cookie: b\r\nTrailer: X-Sum\r\nVia: 1.1 app\r\n\
         Date: D\r\nContent-Length: 3\r\n\r\n"
    );
    assert_eq!(
        lines(&delivered(b"HTTP/1.1 200\r\n\r\n", GET, Version::Http11))[0],
        "HTTP/1.1 200 "
    );
    assert_eq!(
        lines(&delivered(
            b"HTTP/1.1 200 \xe9\r\n\r\n",
            GET,
            Version::Http11
        ))[0],
        "HTTP/1.1 200 "
    );
}

#[test]
fn each_version_gets_the_framing_it_understands() {
    // RFC 9112 sections 6.1 and 9.3; RFC 9110 section 8.6 for lengths without a body.
    let rows = [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
            GET,
            Version::Http11,
            &["Content-Length: 3"][..],
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
            GET,
            Version::Http10,
            &["Connection: keep-alive", "Content-Length: 3"],
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
            HEAD,
            Version::Http11,
            &["Content-Length: 3"],
        ),
        (
            "HTTP/1.1 304 X\r\nContent-Length: 3\r\n\r\n",
            GET,
            Version::Http11,
            &["Content-Length: 3"],
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            HEAD,
            Version::Http11,
            &[],
        ),
        (
            "HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n",
            GET,
            Version::Http11,
            &[],
        ),
        (
            "HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n",
            GET,
            Version::Http11,
            &[],
        ),
        (
            "HTTP/1.1 100 X\r\nContent-Length: 0\r\n\r\n",
            GET,
            Version::Http11,
            &[],
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            GET,
            Version::Http11,
            &["Transfer-Encoding: chunked"],
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            GET,
            Version::Http10,
            &["Connection: close"],
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\n",
            GET,
            Version::Http11,
            &["Transfer-Encoding: chunked"],
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\n",
            GET,
            Version::Http10,
            &["Connection: close"],
        ),
    ];
    for (head, request, client, expected) in rows {
        let got = delivered(head.as_bytes(), request, client);
        assert_eq!(&lines(&got)[1..], expected, "{head:?} to {client:?}");
    }
}

#[test]
fn a_client_that_loses_its_connection_is_told() {
    for (client, keep_alive, expected) in [
        (Version::Http11, true, ConnectionField::Omit),
        (Version::Http11, false, ConnectionField::Close),
        (Version::Http10, true, ConnectionField::KeepAlive),
        (Version::Http10, false, ConnectionField::Close),
    ] {
        answered(
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
            GET,
            |head| {
                assert_eq!(Delivery::of(head, client, keep_alive).connection, expected);
            },
        );
        answered(b"HTTP/1.1 103 X\r\n\r\n", GET, |head| {
            let delivery = Delivery::of(head, client, keep_alive);
            assert_eq!(
                (delivery.framing, delivery.connection),
                (Framing::None, ConnectionField::Omit)
            );
        });
    }
}

#[test]
fn an_answer_that_demands_an_upgrade_says_which() {
    // RFC 9110 section 15.5.22.
    let sent = b"HTTP/1.1 426 X\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        lines(&delivered(sent, GET, Version::Http11))[1..],
        [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Content-Length: 0"
        ]
    );
    assert_eq!(
        lines(&delivered(sent, GET, Version::Http10))[1..],
        [
            "Connection: keep-alive, Upgrade",
            "Upgrade: websocket",
            "Content-Length: 0"
        ]
    );
}

#[test]
fn a_date_is_added_where_the_app_sent_none() {
    // RFC 9110 section 6.6.1.
    let write = |head: &[u8]| {
        answered(head, GET, |head| {
            let mut out = Vec::new();
            let delivery = Delivery {
                date: Some("now"),
                ..Delivery::of(head, Version::Http11, true)
            };
            response::write(&mut out, head, &delivery);
            String::from_utf8(out).unwrap()
        })
    };
    assert_eq!(
        write(b"HTTP/1.1 204 X\r\n\r\n"),
        "HTTP/1.1 204 X\r\nDate: now\r\n\r\n"
    );
    assert_eq!(
        write(b"HTTP/1.1 204 X\r\ndate: then\r\n\r\n"),
        "HTTP/1.1 204 X\r\ndate: then\r\n\r\n"
    );
}
