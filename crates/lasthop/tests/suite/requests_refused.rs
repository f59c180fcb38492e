//! Requests that must not reach the app: what the client sees, and that the app sees nothing.
//!
//! One test per rule that could be read in two ways by two programs (RFC 9112 section 11.2), through the whole binary;
//! the full tables are beside the parser, in `lasthop-http1`.
//!
//! Long because each refusal is a promise and a test of its own.

use crate::support::misbehave::app_that_answers;
use crate::support::{Answer, App, Client, Ending, Lasthop, Place, Setup};

/// Sends `request` to a proxy of its own; it must be refused in the one right way. Gives the answer back.
fn refused(request: impl AsRef<[u8]>) -> Answer {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    refused_by(&proxy, &app, request)
}

fn refused_by(proxy: &Lasthop, app: &App, request: impl AsRef<[u8]>) -> Answer {
    let mut client = proxy.client();
    client.send(request);
    let answer = client.answer();
    assert_eq!(answer.error(), "http_request_error");
    assert!(!answer.details().is_empty());
    assert_eq!(answer.field("Connection"), Some("close"));
    assert!(!answer.text().trim().is_empty(), "a line of reason");
    assert_eq!(client.ending(), Ending::Closed);
    assert_eq!(app.accepted(), 0, "the app saw something of it");
    answer
}

#[test]
fn content_length_together_with_transfer_encoding_is_refused() {
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(refused(request).status(), 400);
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n";
    assert_eq!(refused(request).status(), 400);
}

#[test]
fn several_content_lengths_are_refused_even_when_they_agree() {
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(refused(request).status(), 400);
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab";
    assert_eq!(refused(request).status(), 400);
}

#[test]
fn a_malformed_content_length_is_refused() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    for length in [
        "+2",
        "-2",
        "2, 2",
        "2 2",
        "0x2",
        "2.0",
        "",
        "18446744073709551616",
        "two",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nab");
        let answer = refused_by(&proxy, &app, request);
        assert_eq!(answer.status(), 400, "Content-Length: {length}");
    }
}

#[test]
fn a_transfer_coding_other_than_one_final_chunked_is_refused() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    for (coding, status) in [
        ("gzip, chunked", 501),
        ("gzip", 501),
        ("identity", 501),
        ("chunked, chunked", 400),
        ("chunked\r\nTransfer-Encoding: chunked", 400),
        ("\"chunked\"", 400),
        ("chunked;q=1", 400),
        (" ", 400),
    ] {
        let request =
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n");
        let answer = refused_by(&proxy, &app, request);
        let wanted = if status == 501 {
            &[501][..]
        } else {
            &[400, 501]
        };
        assert!(
            wanted.contains(&answer.status()),
            "Transfer-Encoding: {coding}: {}",
            answer.status()
        );
    }
}

#[test]
fn a_transfer_coding_in_http_1_0_is_refused() {
    let request = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(refused(request).status(), 400);
}

#[test]
fn whitespace_before_a_colon_is_refused() {
    assert_eq!(refused("GET / HTTP/1.1\r\nHost : a\r\n\r\n").status(), 400);
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 2\r\n\r\nab";
    assert_eq!(refused(request).status(), 400);
}

#[test]
fn a_folded_field_line_is_refused() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Long: one\r\n two\r\n\r\n";
    assert_eq!(refused(request).status(), 400);
}

#[test]
fn bare_line_ends_and_control_bytes_are_refused() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    for request in [
        &b"GET / HTTP/1.1\nHost: a\n\n"[..],
        b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x0bc\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x7fc\r\n\r\n",
    ] {
        let answer = refused_by(&proxy, &app, request);
        assert_eq!(answer.status(), 400, "{}", String::from_utf8_lossy(request));
    }
}

#[test]
fn a_bad_method_or_field_name_is_refused() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    for request in [
        "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX(Y): b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
    ] {
        let answer = refused_by(&proxy, &app, request);
        assert_eq!(answer.status(), 400, "{request:?}");
    }
}

#[test]
fn a_missing_host_is_refused_in_http_1_1() {
    assert_eq!(refused("GET / HTTP/1.1\r\nX: y\r\n\r\n").status(), 400);
}

#[test]
fn a_request_with_two_hosts_is_refused() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n";
    assert_eq!(refused(request).status(), 400);
    let request = "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n";
    assert_eq!(refused(request).status(), 400);
}

#[test]
fn a_malformed_host_is_refused() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    for host in [
        "a b", "a,b", "a/b", "user@a", "a:99999", "a:b", "[::1", "[zz]",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = refused_by(&proxy, &app, request);
        assert_eq!(answer.status(), 400, "Host: {host}");
    }
}

#[test]
fn a_malformed_target_is_refused() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    for target in [
        "/a#b",
        "/a b",
        "a",
        "*",
        "/a\u{1}b",
        "ftp://a/",
        "http://u:p@a/",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = refused_by(&proxy, &app, request);
        assert_eq!(answer.status(), 400, "{target:?}");
    }
}

#[test]
fn an_unknown_version_is_refused() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    for (version, wanted) in [
        ("HTTP/1.2", 505),
        ("HTTP/2.0", 505),
        ("HTTP/3.0", 505),
        ("HTTP/1", 400),
        ("http/1.1", 400),
    ] {
        let request = format!("GET / {version}\r\nHost: a\r\n\r\n");
        let answer = refused_by(&proxy, &app, request);
        assert_eq!(answer.status(), wanted, "{version}");
    }
}

#[test]
fn an_http_2_preface_is_refused_with_a_reason() {
    let answer = refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(answer.status(), 505);
    assert!(answer.details().contains("HTTP/2"), "{}", answer.details());
}

#[test]
fn a_tls_hello_on_a_plain_listener_is_refused_from_its_first_bytes() {
    assert_eq!(
        refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").status(),
        400
    );
}

#[test]
fn connect_is_refused() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    let answer = client.exchange("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.error(), "http_request_denied");
    assert_eq!(client.ending(), Ending::Closed);
    assert_eq!(app.accepted(), 0);
}

#[test]
fn a_head_beyond_its_bounds_is_refused() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .listener("header_size_max = \"4KiB\"\nheaders_max = 20")
        .start();
    let large = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(5000)
    );
    assert_eq!(refused_by(&proxy, &app, large).status(), 431);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(20));
    assert_eq!(refused_by(&proxy, &app, many).status(), 431);
    let endless_target = format!("GET /{}", "a".repeat(8000));
    assert_eq!(refused_by(&proxy, &app, endless_target).status(), 414);
}

#[test]
fn a_body_beyond_its_bound_is_refused_by_its_length() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .route("body_size_max = \"1KiB\"")
        .start();
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n";
    assert_eq!(refused_by(&proxy, &app, request).status(), 413);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n");
    assert_eq!(client.exchange(vec![b'x'; 1024]).status(), 200);
}

#[test]
fn a_chunked_body_beyond_its_bound_is_refused_as_it_grows() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .route("body_size_max = \"1KiB\"")
        .start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(format!("600\r\n{}\r\n", "x".repeat(0x600)));
    let answer = client.answer();
    assert_eq!(answer.status(), 413);
    assert_eq!(answer.error(), "http_request_error");
    assert_eq!(client.ending(), Ending::Closed);
}

#[test]
fn a_malformed_chunk_is_refused() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    for chunk in [
        "-1\r\n",
        "+1\r\na\r\n",
        "0x1\r\na\r\n",
        " 1\r\na\r\n",
        "1 \r\na\r\n",
        "g\r\n",
        "\r\n",
        "1\na\r\n",
        "1\r\nab\r\n",
        "10000000000000000\r\n",
        "ffffffffffffffffff\r\n",
    ] {
        let mut client = proxy.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"
        ));
        let answer = client.answer();
        assert_eq!(answer.status(), 400, "the chunk {chunk:?}");
        assert_eq!(answer.error(), "http_request_error");
        assert_eq!(client.ending(), Ending::Closed);
    }
}

#[test]
fn chunk_extensions_and_trailers_beyond_their_bounds_are_refused() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let extension = format!("{head}1;{}", "x".repeat(64 * 1024));
    let trailers = format!("{head}0\r\nX: {}", "x".repeat(64 * 1024));
    for request in [extension, trailers] {
        let mut client = proxy.client();
        client.send(request);
        let answer = client.answer();
        assert!([400, 431].contains(&answer.status()), "{answer:?}");
        assert_eq!(client.ending(), Ending::Closed);
    }
}

#[test]
fn a_field_that_a_cgi_app_reads_as_framing_is_refused() {
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n";
    assert_eq!(refused(request).status(), 400);
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n";
    assert_eq!(refused(request).status(), 400);
}

#[test]
fn a_client_that_still_sends_sees_the_refusal() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    let mut request =
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_vec();
    // More than the socket buffers hold, so that a plain close would answer it with a reset.
    request.resize(request.len() + 3_000_000, b'x');
    // The proxy may stop reading in the middle: the answer counts.
    let _ = client.try_send(request);
    let answer = client.answer();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.error(), "http_request_error");
}

#[test]
fn what_follows_a_refused_request_is_not_read_as_another() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let bad =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let good = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    refused_by(&proxy, &app, format!("{bad}{good}"));
}

#[test]
fn requests_before_a_refused_one_are_answered_first() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    let good = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    client.send(format!("{good}{good}GET / HTTP/1.1\r\n\r\n{good}"));
    assert_eq!(client.answer().status(), 200);
    assert_eq!(client.answer().status(), 200);
    assert_eq!(client.answer().status(), 400);
    assert_eq!(client.ending(), Ending::Closed);
}

#[test]
fn details_are_kept_from_clients_unless_they_are_asked_for() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .server("error_details = false")
        .start();
    let answer = proxy.client().exchange("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(answer.status(), 400);
    assert_eq!(
        answer.field("Proxy-Status"),
        Some("lasthop; error=http_request_error")
    );
}

#[test]
fn a_refused_head_request_has_no_body() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let mut client: Client = proxy.client();
    client
        .send("HEAD / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1, 1\r\n\r\n");
    let answer = client.answer_to("HEAD");
    assert_eq!(answer.status(), 400);
    assert_eq!(client.ending(), Ending::Closed);
}

#[test]
fn one_empty_line_before_a_request_is_forgiven() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let answer = proxy
        .client()
        .exchange("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.status(), 200);
}

#[test]
fn a_head_request_is_known_behind_an_empty_line() {
    let app = App::scripted(|mut conn| {
        while conn.request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send("\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer_to("HEAD").status(), 200);
    client.send("\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer_to("HEAD").status(), 200);
    // Refused before the head is whole, and still without a body.
    let long = "x".repeat(40_000);
    client.send(format!("HEAD / HTTP/1.1\r\nHost: a\r\nX: {long}"));
    assert_eq!(client.answer_to("HEAD").status(), 431);
    assert_eq!(client.ending(), Ending::Closed);
}
