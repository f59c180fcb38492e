//! Bodies cross whole, in both directions, whatever their size and framing; and where none may be, there is none.

use crate::support::misbehave::app_that_says_and_closes;
use crate::support::{Answer, App, Ending, Framing, Lasthop, Place, Setup, pattern};

/// Sizes around the edges of the buffers: 16 KiB, the request buffer of 64 KiB, the response buffer of 256 KiB.
const SIZES: [usize; 12] = [
    0, 1, 100, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 262_144, 262_145, 3_000_000,
];

/// An app that sends the body of each request back, with a length or in chunks as the target says.
fn echo(place: Place) -> App {
    App::on(place, |mut conn| {
        while let Some(request) = conn.request() {
            if request.head.target() == "/sized" {
                conn.answer(&request.body);
                continue;
            }
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for part in request.body.chunks(10_000) {
                conn.send(format!("{:x}\r\n", part.len()));
                conn.send(part);
                conn.send("\r\n");
            }
            conn.send("0\r\n\r\n");
        }
    })
}

/// A POST of `body`, in chunks of `chunk` bytes when given, else with its length.
fn post(target: &str, body: &[u8], chunk: Option<usize>) -> Vec<u8> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\n");
    let Some(chunk) = chunk else {
        let mut request = format!("{head}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        request.extend_from_slice(body);
        return request;
    };
    let mut request = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for part in body.chunks(chunk) {
        request.extend_from_slice(format!("{:X}\r\n", part.len()).as_bytes());
        request.extend_from_slice(part);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

/// Sends while it reads, as a client must with bodies larger than all buffers on the way.
fn exchange_large(proxy: &Lasthop, request: Vec<u8>) -> Answer {
    let mut client = proxy.client();
    let mut sender = client.twin();
    std::thread::scope(|scope| {
        scope.spawn(move || sender.send(request));
        client.answer()
    })
}

fn bodies_come_back(place: Place, target: &str, chunk: Option<usize>) {
    let app = echo(place);
    let proxy = Lasthop::before(&app);
    for size in SIZES {
        let body = pattern(size);
        let answer = exchange_large(&proxy, post(target, &body, chunk));
        assert_eq!(answer.status(), 200, "{size} bytes");
        assert!(answer.body == body, "{size} bytes came back changed");
        let wanted = if target == "/sized" {
            Framing::Sized(size as u64)
        } else {
            Framing::Chunked
        };
        assert_eq!(answer.framing, wanted, "{size} bytes");
    }
}

#[test]
fn sized_bodies_of_every_size_cross_both_ways() {
    bodies_come_back(Place::Tcp, "/sized", None);
    bodies_come_back(Place::Unix, "/sized", None);
}

#[test]
fn chunked_bodies_of_every_size_cross_both_ways() {
    bodies_come_back(Place::Tcp, "/chunked", Some(7_000));
    bodies_come_back(Place::Unix, "/chunked", Some(100_000));
}

#[test]
fn a_body_of_one_byte_chunks_crosses() {
    let app = echo(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let body = pattern(20_000);
    let answer = exchange_large(&proxy, post("/sized", &body, Some(1)));
    assert!(answer.body == body);
}

#[test]
fn a_chunked_request_stays_chunked_and_a_sized_one_sized() {
    let (app, told) = crate::support::misbehave::app_that_tells(Place::Tcp);
    let proxy = Lasthop::before(&app);
    proxy.client().exchange(post("/", b"abc", None));
    let request = told
        .recv_timeout(crate::support::PATIENCE)
        .expect("a request");
    assert_eq!(request.head.field("Content-Length"), Some("3"));
    proxy.client().exchange(post("/", b"abc", Some(2)));
    let request = told
        .recv_timeout(crate::support::PATIENCE)
        .expect("a request");
    assert_eq!(request.body, b"abc");
    let length = request.head.field("Content-Length");
    assert!(request.head.field("Transfer-Encoding") == Some("chunked") || length == Some("3"));
}

#[test]
fn a_request_without_a_body_gets_none() {
    let (app, told) = crate::support::misbehave::app_that_tells(Place::Tcp);
    let proxy = Lasthop::before(&app);
    proxy.get("/");
    let request = told
        .recv_timeout(crate::support::PATIENCE)
        .expect("a request");
    assert_eq!(request.head.request_framing(), Framing::None);
}

#[test]
fn trailers_cross_both_ways() {
    let app = App::scripted(|mut conn| {
        while let Some(request) = conn.request() {
            let sum = request.trailers.iter().find(|(name, _)| name == "X-Sum");
            let sum = sum.map_or("none", |(_, value)| value.as_str());
            conn.send(format!(
                "HTTP/1.1 200 OK\r\nTrailer: X-Back\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Back: {sum}\r\n\r\n"
            ));
        }
    });
    let proxy = Lasthop::before(&app);
    let answer = proxy.client().exchange(
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
    assert_eq!(answer.body, b"ok");
    assert_eq!(answer.trailers, [("X-Back".to_owned(), "42".to_owned())]);
}

#[test]
fn a_trailer_that_would_change_framing_or_routing_does_not_cross() {
    let (app, told) = crate::support::misbehave::app_that_tells(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\nContent-Length: 5\r\nHost: b\r\nX-Forwarded-For: 6.6.6.6\r\nTransfer-Encoding: gzip\r\n\r\n",
    );
    // Dropped or refused (RFC 9110 section 6.5.1 allows both); passed on, never.
    if client.answer().status() == 200 {
        let request = told
            .recv_timeout(crate::support::PATIENCE)
            .expect("a request");
        assert!(request.trailers.is_empty(), "{:?}", request.trailers);
    }
}

#[test]
fn an_answer_to_head_keeps_its_length_and_has_no_body() {
    let app = App::scripted(|mut conn| {
        while let Some(request) = conn.request() {
            let body = if request.head.method() == "HEAD" {
                ""
            } else {
                "hello"
            };
            conn.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}"
            ));
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer_to("HEAD");
    assert_eq!(answer.field("Content-Length"), Some("5"));
    assert_eq!(client.request("/").body, b"hello");
    // The HEAD's connection rests for a moment, in case the app sends the body all the same.
    assert_eq!(app.accepted(), 2);
}

#[test]
fn answers_without_body_keep_the_connection() {
    let app = App::scripted(|mut conn| {
        while let Some(request) = conn.request() {
            conn.send(match request.head.target() {
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            });
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    for (target, status) in [("/204", 204), ("/304", 304), ("/", 200), ("/304", 304)] {
        let answer = client.request(target);
        assert_eq!(answer.status(), status);
        assert!(answer.body.is_empty());
        if status != 200 {
            assert!(!answer.head.has("Transfer-Encoding"));
        }
    }
    assert_eq!(app.accepted(), 1);
}

#[test]
fn a_body_that_ends_with_the_connection_reaches_a_client_in_chunks() {
    let app = app_that_says_and_closes("HTTP/1.1 200 OK\r\n\r\nabc");
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    let answer = client.request("/");
    assert_eq!(answer.framing, Framing::Chunked);
    assert_eq!(answer.body, b"abc");
    assert_eq!(
        client.request("/").body,
        b"abc",
        "the client's connection stays"
    );
}

#[test]
fn an_http_1_0_app_is_understood() {
    let app = app_that_says_and_closes("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    let proxy = Lasthop::before(&app);
    let answer = proxy.get("/");
    assert_eq!(answer.body, b"abc");
}

#[test]
fn an_http_1_0_client_gets_no_chunks_and_no_interim_answers() {
    let app = App::scripted(|mut conn| {
        while conn.request().is_some() {
            conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n");
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let answer = client.answer();
    assert!(answer.interim.is_empty());
    assert_eq!(answer.framing, Framing::UntilClose);
    assert_eq!(answer.body, b"abc");
}

#[test]
fn a_truncated_answer_reaches_an_http_1_0_client_as_a_reset() {
    let app = app_that_says_and_closes(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    );
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    match client.try_answer_to("GET") {
        Err(cut) => assert_eq!(cut.cut.ending, Ending::Reset),
        Ok(answer) => assert_eq!(answer.status(), 502, "a cut answer came whole"),
    }
}

#[test]
fn an_http_1_0_client_keeps_its_connection_when_it_asks_and_the_length_is_known() {
    let app = echo(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    for body in ["one", "two"] {
        client.send(format!(
            "POST /sized HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\n{body}"
        ));
        let answer = client.answer();
        assert_eq!(answer.text(), body);
        let connection = answer.field("Connection").unwrap_or_default();
        assert!(
            connection.eq_ignore_ascii_case("keep-alive"),
            "{connection:?}"
        );
    }
    client.send("POST /sized HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(client.answer().text(), "x");
    assert_eq!(client.ending(), Ending::Closed);
}

#[test]
fn connection_close_of_a_client_is_kept() {
    let app = echo(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    let answer = client.exchange("GET /sized HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(answer.field("Connection"), Some("close"));
    assert_eq!(client.ending(), Ending::Closed);
}

#[test]
fn an_upload_that_is_cut_never_looks_whole_to_the_app() {
    for framing in ["Content-Length: 200000", "Transfer-Encoding: chunked"] {
        let (tell, told) = std::sync::mpsc::channel();
        let app = App::scripted(move |mut conn| {
            if let Some(head) = conn.head() {
                let whole = conn.body(&head).is_ok();
                // The test may be over.
                let _ = tell.send(whole);
            }
        });
        // No buffer: the upload goes to the app as it comes.
        let proxy = Setup::to(&[&app.target()])
            .upstream("buffer = { request = 0, response = 0 }")
            .start();
        let mut client = proxy.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        let part = format!("186a0\r\n{}\r\n", "x".repeat(100_000));
        client.send(&part);
        app.wait_for_accepted(1);
        drop(client);
        let whole = told
            .recv_timeout(crate::support::PATIENCE)
            .expect("the app saw its head");
        assert!(!whole, "{framing}");
    }
}
