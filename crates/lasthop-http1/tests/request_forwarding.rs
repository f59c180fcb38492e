//! What the app gets to read: one form, whatever the client sent.

mod common;

use common::{SILENT, STRANGER, TRUSTED, accepted, forwarded, lines};
use lasthop_http1::fields::Kind;
use lasthop_http1::forwarding::Forwarding;

#[test]
fn a_request_is_written_in_one_form() {
    let sent = b"GET /a?b HTTP/1.1\r\nAccept:  */*\t\r\nhost: a.test:81\r\nX-Empty:\r\nX-Tab:\ty\r\nuser-AGENT:x\r\n\r\n";
    assert_eq!(
        forwarded(sent, &STRANGER),
        "GET /a?b HTTP/1.1\r\nHost: a.test:81\r\nAccept: */*\r\nX-Empty: \r\nX-Tab: y\r\nuser-AGENT: x\r\n\
         X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.test:81\r\n\
         X-Real-IP: 192.0.2.7\r\nVia: 1.1 lasthop\r\n\r\n"
    );
}

#[test]
fn the_authority_of_the_target_replaces_host() {
    // RFC 9112 section 3.2.2.
    for (target, line, host) in [
        ("http://x.test/p?q", "GET /p?q HTTP/1.1", "Host: x.test"),
        ("https://x.test:444", "GET / HTTP/1.1", "Host: x.test:444"),
        ("http://x.test?q", "GET /?q HTTP/1.1", "Host: x.test"),
    ] {
        let sent = format!("GET {target} HTTP/1.1\r\nHost: other.test\r\n\r\n");
        let got = forwarded(sent.as_bytes(), &SILENT);
        assert_eq!(lines(&got)[..2], [line, host]);
        assert!(!got.contains("other.test"), "{got}");
    }
}

#[test]
fn options_about_the_server_as_a_whole_stay_so() {
    // RFC 9112 section 3.2.4.
    for target in ["*", "http://a.test"] {
        let sent = format!("OPTIONS {target} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(
            lines(&forwarded(sent.as_bytes(), &SILENT))[..2],
            ["OPTIONS * HTTP/1.1", "Host: a.test"]
        );
    }
}

#[test]
fn a_request_of_http_1_0_is_forwarded_as_http_1_1_with_a_host() {
    // RFC 9110 section 2.5; an expectation does not exist in 1.0 (section 10.1.1).
    let got = forwarded(
        b"POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        &STRANGER,
    );
    assert_eq!(
        lines(&got)[..2],
        ["POST /a HTTP/1.1", "Host: fallback.test"]
    );
    assert!(
        got.contains("\r\nContent-Length: 2\r\n") && got.contains("\r\nVia: 1.0 lasthop\r\n"),
        "{got}"
    );
    assert!(
        got.contains("\r\nX-Forwarded-Host: fallback.test\r\n") && !got.contains("Expect"),
        "{got}"
    );
}

#[test]
fn fields_for_this_hop_do_not_travel() {
    // RFC 9110 section 7.6.1.
    let sent = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\n\
        Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTE: gzip\r\nUpgrade: websocket\r\nX-Hop: 1\r\n\
        x-hop: 2\r\nHTTP2-Settings: AAM\r\nTrailer: X-Sum\r\nX-Stays: 1\r\nConnection: , \"odd\"\r\n\r\n";
    assert_eq!(
        lines(&forwarded(sent, &SILENT)),
        [
            "GET / HTTP/1.1",
            "Host: a",
            "Trailer: X-Sum",
            "X-Stays: 1",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: a"
        ]
    );
}

#[test]
fn connection_cannot_remove_host_framing_or_forwarding_fields() {
    let sent = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: host, content-length, x-forwarded-for, x-forwarded-proto, via, \
        x-real-ip, x-forwarded-host, forwarded, x-forwarded-port, cookie\r\nContent-Length: 3\r\nX-Forwarded-For: 10.0.0.1\r\n\
        X-Forwarded-Port: 9\r\nForwarded: for=b\r\nVia: 1.1 edge\r\nCookie: c\r\n\r\n";
    assert_eq!(
        lines(&forwarded(sent, &TRUSTED)),
        [
            "POST / HTTP/1.1",
            "Host: a",
            "X-Forwarded-Port: 9",
            "Content-Length: 3",
            "X-Forwarded-For: 10.0.0.1, 192.0.2.7",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: a",
            "X-Real-IP: 192.0.2.7",
            "Forwarded: for=b",
            "Via: 1.1 edge, 1.1 lasthop"
        ]
    );
    let chunked = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\nTransfer-Encoding: CHUNKED\r\n\r\n";
    assert!(forwarded(chunked, &SILENT).contains("\r\nTransfer-Encoding: chunked\r\n"));
}

#[test]
fn nothing_a_stranger_says_about_itself_is_believed() {
    let sent = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n\
        X-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Ssl: on\r\nX-Forwarded: x\r\nX-Real-IP: 1.1.1.1\r\n\
        Forwarded: for=1.1.1.1\r\nVia: 1.1 evil\r\nX-Forwarded-For: 2.2.2.2\r\nX_Forwarded_For: 3.3.3.3\r\n\
        X_Real-IP: 3.3.3.3\r\nX-Forwarded_Proto: https\r\n\r\n";
    assert_eq!(
        lines(&forwarded(sent, &STRANGER)),
        [
            "GET / HTTP/1.1",
            "Host: a",
            "X-Forwarded-For: 192.0.2.7",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: a",
            "X-Real-IP: 192.0.2.7",
            "Via: 1.1 lasthop"
        ]
    );
}

#[test]
fn a_stranger_and_a_trusted_peer_that_says_nothing_are_forwarded_alike() {
    for head in [
        "GET / HTTP/1.1\r\nHost: a:80\r\n\r\n",
        "GET http://b/c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
        "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n",
    ] {
        for via in [true, false] {
            for request_id in [None, Some("7f")] {
                let stranger = Forwarding {
                    via,
                    request_id,
                    ..STRANGER
                };
                let trusted = Forwarding {
                    trusted: true,
                    ..stranger
                };
                let written = forwarded(head.as_bytes(), &stranger);
                assert_eq!(written, forwarded(head.as_bytes(), &trusted));
                assert_eq!(written.contains("\r\nVia: 1."), via);
                assert_eq!(
                    written.contains("\r\nX-Request-ID: 7f\r\n"),
                    request_id.is_some()
                );
            }
        }
    }
}

#[test]
fn what_a_trusted_peer_says_is_kept_and_joined_into_one_line_each() {
    let sent = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n\
        X-Forwarded-Port: 443\r\nX-Real-IP: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nX_Forwarded_For: 3.3.3.3\r\n\
        Via: 1.0 one\r\nVia: 2 two\r\nForwarded: for=1.1.1.1\r\nX-Forwarded-For:\r\n\r\n";
    let with_forwarded = Forwarding {
        forwarded: true,
        ..TRUSTED
    };
    assert_eq!(
        lines(&forwarded(sent, &with_forwarded)),
        [
            "GET / HTTP/1.1",
            "Host: a",
            "X-Forwarded-Port: 443",
            "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.7",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: b",
            "X-Real-IP: 1.1.1.1",
            "Forwarded: for=1.1.1.1, for=192.0.2.7;host=a;proto=http",
            "Via: 1.0 one, 2 two, 1.1 lasthop"
        ]
    );
}

#[test]
fn forwarded_quotes_what_is_not_a_token() {
    // RFC 7239 section 4; section 6.2 for a client without an address.
    let sent = b"GET / HTTP/1.1\r\nHost: a.test:81\r\n\r\n";
    for (peer_ip, line) in [
        (
            Some("2001:db8::1"),
            "Forwarded: for=\"[2001:db8::1]\";host=\"a.test:81\";proto=https",
        ),
        (
            Some("192.0.2.7"),
            "Forwarded: for=192.0.2.7;host=\"a.test:81\";proto=https",
        ),
        (
            None,
            "Forwarded: for=unknown;host=\"a.test:81\";proto=https",
        ),
    ] {
        let forwarding = Forwarding {
            peer_ip,
            proto: "https",
            forwarded: true,
            ..STRANGER
        };
        assert!(
            lines(&forwarded(sent, &forwarding)).contains(&line),
            "{line}"
        );
    }
}

#[test]
fn of_a_client_on_a_unix_socket_no_address_is_claimed() {
    let sent =
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\n\r\n";
    let stranger = forwarded(
        sent,
        &Forwarding {
            peer_ip: None,
            ..STRANGER
        },
    );
    assert!(
        !stranger.contains("X-Forwarded-For") && !stranger.contains("X-Real-IP"),
        "{stranger}"
    );
    let trusted = forwarded(
        sent,
        &Forwarding {
            peer_ip: None,
            ..TRUSTED
        },
    );
    assert!(
        trusted.contains("\r\nX-Forwarded-For: 1.1.1.1\r\n")
            && trusted.contains("\r\nX-Real-IP: 1.1.1.1\r\n")
    );
}

#[test]
fn via_can_be_switched_off() {
    let sent = b"GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 edge\r\n\r\n";
    assert!(
        !forwarded(
            sent,
            &Forwarding {
                via: false,
                ..STRANGER
            }
        )
        .contains("Via")
    );
    assert!(
        forwarded(
            sent,
            &Forwarding {
                via: false,
                ..TRUSTED
            }
        )
        .contains("\r\nVia: 1.1 edge\r\n")
    );
}

#[test]
fn an_upgrade_is_passed_on_without_h2c() {
    // RFC 9110 section 7.8, RFC 9113 section 3.1.
    let sent = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade, TE\r\nUpgrade: h2c, websocket\r\nTE: trailers\r\n\
        Sec-WebSocket-Key: k\r\n\r\n";
    assert_eq!(
        lines(&forwarded(sent, &SILENT))[2..5],
        [
            "Sec-WebSocket-Key: k",
            "Connection: Upgrade",
            "Upgrade: websocket"
        ]
    );
    let h2c = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n";
    let got = forwarded(h2c, &SILENT);
    assert!(
        !got.contains("Upgrade") && !got.contains("HTTP2") && !got.contains("Connection"),
        "{got}"
    );
}

#[test]
fn te_travels_as_trailers_or_not_at_all() {
    // RFC 9110 section 10.1.4: TE counts only where Connection lists it.
    for (fields, is_forwarded) in [
        ("TE: trailers\r\nConnection: TE\r\n", true),
        (
            "TE: deflate;q=0.5, Trailers\r\nConnection: close, te\r\n",
            true,
        ),
        ("TE: trailers\r\n", false),
        ("TE: deflate\r\nConnection: TE\r\n", false),
    ] {
        let got = forwarded(
            format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes(),
            &SILENT,
        );
        assert_eq!(
            got.contains("\r\nConnection: TE\r\nTE: trailers\r\n"),
            is_forwarded,
            "{got}"
        );
        assert_eq!(
            got.matches("TE:").count(),
            usize::from(is_forwarded),
            "{got}"
        );
    }
}

#[test]
fn an_expectation_is_passed_on() {
    let got = forwarded(
        b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
        &SILENT,
    );
    assert!(got.contains("\r\nExpect: 100-continue\r\n"), "{got}");
}

#[test]
fn lengths_are_written_without_leading_zeros() {
    let got = forwarded(
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0010\r\n\r\n",
        &SILENT,
    );
    assert!(got.contains("\r\nContent-Length: 10\r\n"), "{got}");
}

#[test]
fn fields_are_readable_with_their_kinds() {
    accepted(
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Y: \xff z \r\nVIA: b\r\nContent_Type: c\r\n\r\n",
        |head| {
            let fields: Vec<_> = head
                .fields()
                .iter()
                .map(|field| (field.name, field.value, field.kind))
                .collect();
            assert_eq!(
                fields,
                [
                    ("Host", &b"a"[..], Kind::Host),
                    ("X-Y", b"\xff z", Kind::Other),
                    ("VIA", b"b", Kind::Via),
                    ("Content_Type", b"c", Kind::Other)
                ]
            );
            assert!(head.fields().len() == 4 && !head.fields().is_empty());
        },
    );
}

#[test]
fn a_request_id_travels_as_it_is_or_is_the_one_that_is_set() {
    let sent = b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: theirs\r\nX_Request_Id: shadow\r\n\r\n";
    let passed = forwarded(sent, &SILENT);
    assert!(lines(&passed).contains(&"X-Request-ID: theirs"), "{passed}");
    let set = forwarded(
        sent,
        &Forwarding {
            request_id: Some("ours"),
            ..SILENT
        },
    );
    assert!(lines(&set).contains(&"X-Request-ID: ours"), "{set}");
    assert!(
        !set.contains("theirs") && !set.contains("shadow"),
        "an app must not find two: {set}"
    );
}

#[test]
fn only_a_single_printable_request_id_is_taken_over() {
    let id = |fields: &str| {
        let sent = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        accepted(sent.as_bytes(), |head| head.request_id().map(str::to_owned))
    };
    assert_eq!(id("X-Request-ID: a-1/b\r\n").as_deref(), Some("a-1/b"));
    let longest = "x".repeat(128);
    assert_eq!(
        id(&format!("X-Request-ID: {longest}\r\n")),
        Some(longest.clone())
    );
    for unfit in [
        String::new(),
        "X-Request-ID: \r\n".to_owned(),
        "X-Request-ID: a b\r\n".to_owned(),
        "X-Request-ID: \u{e9}\r\n".to_owned(),
        format!("X-Request-ID: {longest}x\r\n"),
        "X-Request-ID: a\r\nX-Request-ID: a\r\n".to_owned(),
    ] {
        assert_eq!(id(&unfit), None, "{unfit:?}");
    }
}
