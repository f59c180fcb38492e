//! What is refused in a request, and what is not: one row per rule, each with its section.
//!
//! Long because it is the list of the rules, a table each, to be read beside the RFC.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]
#![allow(
    clippy::too_many_lines,
    reason = "a table has as many lines as it has rows"
)]

mod common;

use common::{accepted, refused};
use lasthop_http1::Version;
use lasthop_http1::fields::FieldStorage;
use lasthop_http1::limits::{FIELDS_MAX, HeadLimits};
use lasthop_http1::request::{self, RequestBody};
use lasthop_http1::scan::{HeadScan, RawFault};
use lasthop_http1::target::Target;

/// A row: where it is written, the status, the head.
type Row = (&'static str, u16, &'static str);

fn refuse_all(rows: &[Row]) {
    for (section, status, head) in rows {
        let refusal = refused(head.as_bytes());
        assert_eq!(refusal.status, *status, "{section}: {head:?}: {refusal}");
        assert!(
            !refusal.reason.is_empty() && !refusal.reason.contains(['\r', '\n']),
            "{refusal:?}"
        );
    }
}

#[test]
fn a_body_that_is_framed_ambiguously_is_refused() {
    refuse_all(&[
        (
            "9112 6.3",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "9112 6.3",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "9112 6.3",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: gzip\r\ncontent-length: 3\r\n\r\n",
        ),
        (
            "9112 6.3",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        ),
        (
            "9112 6.3",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
        ),
        (
            "9112 6.3",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n",
        ),
        (
            "9110 8.6",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        ),
        (
            "9110 8.6",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n",
        ),
        (
            "9110 8.6",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n",
        ),
        (
            "9110 8.6",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\n",
        ),
        (
            "9110 8.6",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n",
        ),
        (
            "9110 8.6",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3.0\r\n\r\n",
        ),
        (
            "9110 8.6",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"3\"\r\n\r\n",
        ),
        (
            "9110 8.6",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
        ),
        (
            "9110 8.6",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999999\r\n\r\n",
        ),
        (
            "9110 8.6",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n",
        ),
        (
            "9110 8.6",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \u{663}\r\n\r\n",
        ),
        (
            "9112 6.1",
            501,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        ),
        (
            "9112 6.1",
            501,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "9112 6.1",
            501,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        ),
        (
            "9112 7",
            501,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        ),
        (
            "9112 6.3",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        ),
        (
            "9112 6.1",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        ),
        (
            "9112 6.1",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "9110 5.6.1",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n",
        ),
        (
            "9110 5.6.1",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked\r\n\r\n",
        ),
        (
            "9112 6.1",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n",
        ),
        (
            "9112 7",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n",
        ),
        (
            "9112 7",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
        ),
        (
            "9112 7",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun\u{212a}ed\r\n\r\n",
        ),
        (
            "9112 6.1",
            400,
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "3875 4.1.18",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 3\r\n\r\n",
        ),
        (
            "3875 4.1.18",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\ntransfer_encoding: chunked\r\n\r\n",
        ),
        (
            "3875 4.1.18",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: Content_Length\r\nContent_Length: 3\r\n\r\n",
        ),
    ]);
}

#[test]
fn a_body_that_is_framed_in_one_way_is_read_so() {
    let rows = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestBody::None),
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", RequestBody::None),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            RequestBody::Sized(0),
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t 0012 \r\n\r\n",
            RequestBody::Sized(12),
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nCONTENT-LENGTH: 9223372036854775807\r\n\r\n",
            RequestBody::Sized(i64::MAX as u64),
        ),
        (
            "POST / HTTP/1.0\r\nContent-Length: 7\r\n\r\n",
            RequestBody::Sized(7),
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked \r\n\r\n",
            RequestBody::Chunked,
        ),
        (
            "DELETE / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:chunked\r\n\r\n",
            RequestBody::Chunked,
        ),
    ];
    for (head, body) in rows {
        assert_eq!(
            accepted(head.as_bytes(), |head| head.body),
            body,
            "{head:?}"
        );
    }
}

#[test]
fn lines_and_fields_that_two_recipients_read_differently_are_refused() {
    refuse_all(&[
        ("9112 2.2", 400, "GET / HTTP/1.1\nHost: a\n\n"),
        ("9112 2.2", 400, "GET / HTTP/1.1\nHost: a\r\n\r\n"),
        ("9112 2.2", 400, "GET / HTTP/1.1\r\nHost: a\n\r\n\r\n"),
        (
            "9112 2.2",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\n\nGET /b HTTP/1.1\r\n\r\n",
        ),
        (
            "9112 2.2",
            400,
            "GET / HTTP/1.1\r\nHost: a\n\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "9112 2.2",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n",
        ),
        ("9112 2.2", 400, "GET / HTTP/1.1\rHost: a\r\n\r\n"),
        ("9112 2.2", 400, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("9112 2.2", 400, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("9112 2.2", 400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("9112 2.2", 400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        (
            "9112 5.2",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
        ),
        (
            "9112 5.2",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n",
        ),
        ("9112 5.2", 400, "GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n"),
        ("9112 5.1", 400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        (
            "9112 5.1",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n",
        ),
        (
            "9110 5.5",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n",
        ),
        (
            "9110 5.5",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\x0bc\r\n\r\n",
        ),
        (
            "9110 5.5",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\x7fc\r\n\r\n",
        ),
        ("9110 5.1", 400, "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
        ("9110 5.1", 400, "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"),
        (
            "9110 5.1",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nX(Y): b\r\n\r\n",
        ),
        (
            "9110 5.1",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nX\u{e9}: b\r\n\r\n",
        ),
        (
            "9110 5.1",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n",
        ),
    ]);
}

#[test]
fn a_request_line_that_is_not_one_is_refused() {
    refuse_all(&[
        ("9110 9.1", 400, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("9110 9.1", 400, "G\u{e9}T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "9112 3",
            501,
            "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("9112 3", 400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("9112 3", 400, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("9112 3", 400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("9112 3", 400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
        ("9112 3", 400, "GET / b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("9112 3", 400, "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("9112 3", 400, "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("9112 3", 400, "GET /\r\nHost: a\r\n\r\n"),
        ("9112 3", 400, "GET\r\nHost: a\r\n\r\n"),
        ("9112 3.2", 400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("9112 3.2.1", 400, "GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("9112 3.2.1", 400, "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "9112 3.2.2",
            400,
            "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "9112 3.2.2",
            400,
            "GET http:/a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("9112 3.2.2", 400, "GET http:// HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "9112 3.2.2",
            400,
            "GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "9110 4.2.4",
            400,
            "GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "9110 4.2.4",
            400,
            "GET https://user:pw@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "9112 3.2.2",
            400,
            "GET http://a:99999/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "9112 3.2.2",
            400,
            "GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("9112 3.2.3", 400, "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "9112 3.2.3",
            405,
            "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("9110 9.3.6", 405, "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("9112 3.2.4", 400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("9110 15.6.6", 505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
        ("9110 15.6.6", 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        ("9110 15.6.6", 505, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
        ("9113 3.4", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("9112 2.3", 400, "GET / HTTP/1\r\nHost: a\r\n\r\n"),
        ("9112 2.3", 400, "GET / HTTP/11\r\nHost: a\r\n\r\n"),
        ("9112 2.3", 400, "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
        ("9112 2.3", 400, "GET / HTTP/1,1\r\nHost: a\r\n\r\n"),
        ("9112 2.3", 400, "GET / http/1.1\r\nHost: a\r\n\r\n"),
        ("9112 2.3", 400, "GET / HTTPS/1.1\r\nHost: a\r\n\r\n"),
    ]);
    assert!(
        refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .reason
            .contains("HTTP/2")
    );
    assert_eq!(
        refused(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n").status,
        400
    );
}

#[test]
fn a_host_that_is_missing_doubled_or_malformed_is_refused() {
    refuse_all(&[
        ("9112 3.2", 400, "GET / HTTP/1.1\r\n\r\n"),
        ("9112 3.2", 400, "GET / HTTP/1.1\r\nX-Host: a\r\n\r\n"),
        ("9112 3.2", 400, "GET http://a/ HTTP/1.1\r\n\r\n"),
        (
            "9112 3.2",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        ),
        (
            "9112 3.2",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nhOST: a\r\n\r\n",
        ),
        (
            "9112 3.2",
            400,
            "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        ),
        ("9112 3.2", 400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        ("9112 3.2", 400, "GET / HTTP/1.0\r\nHost: \r\n\r\n"),
        (
            "9112 3.2",
            400,
            "GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n",
        ),
        ("9110 7.2", 400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
        ("9110 7.2", 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        ("9110 7.2", 400, "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n"),
        ("9110 7.2", 400, "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n"),
        ("3986 3.2.3", 400, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
        ("3986 3.2.2", 400, "GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n"),
    ]);
}

#[test]
fn the_forms_of_the_target_are_told_apart() {
    let origin = accepted(
        b"GET /a//b/../c?d=/e HTTP/1.1\r\nHost: h:81\r\n\r\n",
        |head| {
            (
                head.path().to_owned(),
                head.authority().unwrap().to_owned(),
                head.host().unwrap().to_owned(),
            )
        },
    );
    assert_eq!(
        origin,
        ("/a//b/../c".to_owned(), "h:81".to_owned(), "h".to_owned())
    );

    // RFC 9112 section 3.2.2: the target's authority wins over Host.
    for (target, path, host) in [
        ("http://x.test/p?q", "/p", "x.test"),
        ("HTTPS://[::1]:8443", "/", "[::1]"),
        ("http://x.test?q", "/", "x.test"),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: other.test\r\n\r\n");
        accepted(head.as_bytes(), |head| {
            assert_eq!((head.path(), head.host()), (path, Some(host)), "{target}")
        });
    }
    accepted(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", |head| {
        assert_eq!((head.target, head.path()), (Target::Asterisk, "*"));
    });
    accepted(
        "GET /caf\u{e9}?a={b|c}\"^` HTTP/1.1\r\nHost: a\r\n\r\n".as_bytes(),
        |head| {
            assert_eq!(head.path(), "/caf\u{e9}");
        },
    );
}

#[test]
fn one_blank_line_before_the_request_line_is_forgiven() {
    // RFC 9112 section 2.2.
    let head = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    assert_eq!(HeadScan::request().scan(head), Ok(Some(head.len() - 4)));
    accepted(head, |head| assert_eq!(head.method, "GET"));
}

#[test]
fn whether_the_connection_persists_follows_version_and_options() {
    // RFC 9112 section 9.3.
    for (version, connection, persists) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, Close\r\n", false),
        ("1.1", "Connection: foo\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Keep-Alive: timeout=5\r\n", false),
    ] {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
        assert_eq!(
            accepted(head.as_bytes(), |head| head.keep_alive),
            persists,
            "{head:?}"
        );
    }
}

#[test]
fn an_upgrade_counts_only_where_it_is_asked_for_properly() {
    // RFC 9110 section 7.8.
    const ASKS: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for (head, expected) in [
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{ASKS}\r\n"), Some("websocket")),
        (format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n{ASKS}\r\n"), Some("websocket")),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, upgrade\r\nUpgrade: a/1, b\r\n\r\n".into(), Some("a/1, b")),
        (format!("GET / HTTP/1.0\r\nHost: a\r\n{ASKS}\r\n"), None),
        (format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n{ASKS}\r\n"), None),
        (format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n{ASKS}\r\n"), None),
        ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n".into(), None),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n".into(), None),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: web socket\r\n\r\n".into(), None),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n".into(), None),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n".into(), None),
    ] {
        accepted(head.as_bytes(), |parsed| assert_eq!(parsed.upgrade, expected, "{head:?}"));
    }
}

#[test]
fn an_expectation_counts_in_http_1_1_only() {
    // RFC 9110 section 10.1.1.
    for (version, expect, expected) in [
        ("1.1", "Expect: 100-Continue\r\n", true),
        ("1.1", "Expect: foo\r\n", false),
        (
            "1.1",
            "Expect: 100-continue\r\nConnection: expect\r\n",
            false,
        ),
        ("1.0", "Expect: 100-continue\r\n", false),
    ] {
        let head = format!("POST / HTTP/{version}\r\nHost: a\r\nContent-Length: 3\r\n{expect}\r\n");
        assert_eq!(
            accepted(head.as_bytes(), |head| head.expects_continue),
            expected,
            "{head:?}"
        );
    }
}

#[test]
fn methods_are_known_by_what_they_promise() {
    // RFC 9110 section 9.2.2.
    for (method, is_idempotent) in [
        ("GET", true),
        ("HEAD", true),
        ("OPTIONS", true),
        ("TRACE", true),
        ("PUT", true),
        ("DELETE", true),
        ("POST", false),
        ("PATCH", false),
        ("get", false),
        ("UPDATEREDIRECTREF", false),
    ] {
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        accepted(head.as_bytes(), |head| {
            assert_eq!(head.is_idempotent(), is_idempotent, "{method}");
            assert_eq!(head.is_head(), method == "HEAD");
            assert_eq!(head.version, Version::Http11);
        });
    }
}

#[test]
fn what_is_too_large_is_refused_with_the_status_that_says_what() {
    let limits = HeadLimits {
        bytes_max: 200,
        fields_max: 3,
        target_bytes_max: 20,
    };
    let status = |head: &str| {
        request::parse(head.as_bytes(), &mut FieldStorage::default(), &limits)
            .map_err(|r| r.status)
            .err()
    };
    let long = "a".repeat(200);
    assert_eq!(
        status("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n"),
        None
    );
    assert_eq!(
        status("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"),
        Some(431)
    );
    assert_eq!(
        status(&format!("GET / HTTP/1.1\r\nHost: a\r\nA: {long}\r\n\r\n")),
        Some(431)
    );
    assert_eq!(
        status(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..19])),
        None
    );
    assert_eq!(
        status(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..20])),
        Some(414)
    );
    // Beyond what a head may have as a whole: as it would be refused in parts.
    assert_eq!(
        status(&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")),
        Some(414)
    );

    let partial = |head: &str| {
        limits
            .check_partial_request(head.as_bytes())
            .map_err(|r| r.status)
            .err()
    };
    assert_eq!(partial(&format!("GET /{}", &long[..194])), None);
    assert_eq!(partial(&format!("GET /{}", &long[..195])), Some(414));
    assert_eq!(partial(&format!("\r\nGET /{long}")), Some(414));
    assert_eq!(partial(&format!("GET / HTTP/1.1\r\nA: {long}")), Some(431));
    assert!(
        limits
            .check_partial_response(&long.as_bytes()[..199])
            .is_ok()
    );
    assert!(limits.check_partial_response(long.as_bytes()).is_err());
}

#[test]
fn no_setting_makes_room_for_more_fields_than_there_is() {
    let limits = HeadLimits {
        fields_max: usize::MAX,
        ..HeadLimits::default()
    };
    let head = |fields: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "A: b\r\n".repeat(fields - 1)
        )
    };
    let status = |head: &str| {
        request::parse(head.as_bytes(), &mut FieldStorage::default(), &limits)
            .map_err(|r| r.status)
            .err()
    };
    assert_eq!(status(&head(FIELDS_MAX)), None);
    assert_eq!(status(&head(FIELDS_MAX + 1)), Some(431));
}

#[test]
fn connection_may_not_name_hundreds_of_fields() {
    let head = |names: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n",
            vec!["a"; names].join(",")
        )
    };
    accepted(head(32).as_bytes(), |_| ());
    assert_eq!(refused(head(33).as_bytes()).status, 400);
}

#[test]
fn what_cannot_become_a_request_is_refused_at_its_first_bytes() {
    for (bytes, fault) in [
        (&b"\x16\x03\x01"[..], RawFault::NotHttp),
        (b"\x80", RawFault::NotHttp),
        (b"{", RawFault::NotHttp),
        (b"\0", RawFault::NotHttp),
        (b" ", RawFault::Fold),
        (b"\n", RawFault::BareLf),
        (b"\rG", RawFault::BareCr),
        (b"\r\n\r\n", RawFault::BlankLines),
        (b"\r\n\x16", RawFault::NotHttp),
        (b"GET / HTTP/1.1\n", RawFault::BareLf),
        (b"GET / HTTP/1.1\rH", RawFault::BareCr),
        (b"GET / HTTP/1.1\r\nA\0", RawFault::Nul),
        (b"GET / HTTP/1.1\r\n ", RawFault::Fold),
        (b"GET / HTTP/1.1\r\nA: b\r\n\t", RawFault::Fold),
    ] {
        assert_eq!(
            HeadScan::request().scan(bytes),
            Err(fault),
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn a_head_in_the_buffer_with_more_behind_it_is_cut_at_its_blank_line() {
    let first = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let both = format!("{first}GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        HeadScan::request().scan(both.as_bytes()),
        Ok(Some(first.len()))
    );
}

#[test]
fn a_parser_that_is_given_more_or_less_than_one_head_refuses_it() {
    for bytes in [
        "",
        "\r\n",
        "GET",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nX",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nB: c\n\r\n",
    ] {
        let refusal = request::parse(
            bytes.as_bytes(),
            &mut FieldStorage::default(),
            &HeadLimits::default(),
        )
        .unwrap_err();
        assert_eq!(refusal.status, 400, "{bytes:?}");
    }
}
