//! Answers that must not reach the client as they are, and connections to the app that must not be used again.

use crate::support::misbehave::{
    app_that_closes_early, app_that_says, app_that_says_and_closes, app_that_says_and_resets,
};
use crate::support::wire::Wire;
use crate::support::{
    Answer, App, Client, Ending, Gate, Lasthop, Place, QUIET, Setup, TempDir, pattern,
};

/// Asks once; the answer must be a 502, and the connection to the app must not be used again.
fn refused(answer: impl Into<Vec<u8>>) -> Answer {
    let answer = answer.into();
    let app = app_that_says(answer);
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    let first = client.request("/");
    assert_eq!(first.status(), 502);
    assert_eq!(first.error(), "http_protocol_error");
    assert!(!first.details().is_empty());
    assert_eq!(app.accepted(), 1, "a bad answer was asked for twice");
    assert_eq!(proxy.get("/").status(), 502);
    assert_eq!(app.accepted(), 2, "the connection was used again");
    first
}

#[test]
fn content_length_together_with_transfer_encoding_is_refused() {
    refused("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

#[test]
fn several_or_malformed_lengths_are_refused() {
    for length in [
        "2\r\nContent-Length: 3",
        "2\r\nContent-Length: 2",
        "+2",
        "-1",
        "2, 2",
        "two",
        "",
        "99999999999999999999",
    ] {
        refused(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nab"
        ));
    }
}

#[test]
fn a_transfer_coding_other_than_one_final_chunked_is_refused() {
    for coding in [
        "gzip, chunked",
        "identity",
        "chunked, chunked",
        "chunked\r\nTransfer-Encoding: chunked",
    ] {
        refused(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n"
        ));
    }
    refused("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

#[test]
fn a_bad_status_line_is_refused() {
    for line in [
        "HTTP/1.1 abc OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/2 200 OK",
        "HTTP/1.1200 OK",
        "ICY 200 OK",
        "HTTP/1.1 099 x",
    ] {
        refused(format!("{line}\r\nContent-Length: 0\r\n\r\n"));
    }
}

#[test]
fn an_answer_without_a_head_is_refused() {
    refused("<html>hello</html>\r\n\r\n");
}

#[test]
fn bare_line_ends_folds_and_control_bytes_are_refused() {
    for head in [
        &b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"[..],
        b"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
    ] {
        refused(head);
    }
}

#[test]
fn too_large_a_head_is_refused() {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ".to_vec();
    answer.resize(40 * 1024, b'x');
    answer.extend_from_slice(b"\r\n\r\n");
    refused(answer);
}

#[test]
fn a_101_that_nobody_asked_for_is_refused() {
    refused(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
}

#[test]
fn interim_answers_without_end_are_refused() {
    let app = App::scripted(|mut conn| {
        conn.request();
        while conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") {}
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status(), 502);
}

#[test]
fn an_app_that_closes_before_its_answer_gives_502_and_is_not_asked_again() {
    let app = app_that_closes_early();
    let proxy = Lasthop::before(&app);
    let answer = proxy.get("/");
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.error(), "http_response_incomplete");
    assert_eq!(app.accepted(), 1);
}

#[test]
fn an_app_that_closes_inside_its_head_gives_502() {
    let app = app_that_says_and_closes("HTTP/1.1 200 OK\r\nContent-Le");
    let proxy = Lasthop::before(&app);
    let answer = proxy.get("/");
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.error(), "http_response_incomplete");
}

/// Asks for an answer that goes wrong after its head: a 502 if nothing was out yet, else what came of the body, and
/// then an end that nobody can take for the end of the answer.
fn visibly_cut(app: &App, request: &str) -> Vec<u8> {
    let proxy = Lasthop::before(app);
    let mut client = proxy.client();
    client.send(request);
    match client.try_answer_to("GET") {
        Err(cut) => {
            assert_eq!(cut.head.map(|head| head.status()), Some(200));
            cut.cut.body
        }
        Ok(answer) => {
            assert_eq!(answer.status(), 502, "a cut answer came whole: {answer:?}");
            b"abc".to_vec()
        }
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_body_shorter_than_its_length_is_visibly_cut() {
    let app = app_that_says_and_closes("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(visibly_cut(&app, GET), b"abc");
    let app = app_that_says_and_resets("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    visibly_cut(&app, GET);
}

#[test]
fn a_chunked_body_without_its_last_chunk_is_visibly_cut() {
    let app = app_that_says_and_closes(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    );
    assert_eq!(visibly_cut(&app, GET), b"abc");
}

#[test]
fn a_bad_chunk_is_visibly_cut() {
    for chunk in [
        "zz\r\n",
        "-1\r\n",
        "3\r\nabcd",
        "1\nx\n",
        "ffffffffffffffffff\r\n",
    ] {
        let app = app_that_says(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n{chunk}"
        ));
        visibly_cut(&app, GET);
    }
}

#[test]
fn a_body_that_ends_with_the_connection_is_cut_by_a_reset() {
    let app = app_that_says_and_resets("HTTP/1.1 200 OK\r\n\r\nabc");
    visibly_cut(&app, GET);
}

/// The answer goes on as it should be; the connection that brought more is not used again.
fn passes_without_the_rest(app: &App, method: &str, status: u16, body: &[u8]) {
    let proxy = Lasthop::before(app);
    let mut client: Client = proxy.client();
    for n in 1..=3 {
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = client.answer_to(method);
        assert_eq!(answer.status(), status);
        assert_eq!(answer.body, body);
        assert_eq!(app.accepted(), n, "the connection was used again");
    }
}

#[test]
fn bytes_after_a_whole_answer_are_dropped_with_their_connection() {
    let app = app_that_says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokEXTRA");
    passes_without_the_rest(&app, "GET", 200, b"ok");
    let app = app_that_says(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nEXTRA",
    );
    passes_without_the_rest(&app, "GET", 200, b"ok");
}

#[test]
fn a_second_answer_to_one_request_reaches_nobody() {
    let one = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    let app = app_that_says(format!("{one}ok{one}no"));
    passes_without_the_rest(&app, "GET", 200, b"ok");
}

#[test]
fn a_body_where_none_may_be_is_dropped_with_its_connection() {
    let app = app_that_says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    passes_without_the_rest(&app, "HEAD", 200, b"");
    let app = app_that_says("HTTP/1.1 204 No Content\r\n\r\nbody");
    passes_without_the_rest(&app, "GET", 204, b"");
    let app =
        app_that_says("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 4\r\n\r\nbody");
    passes_without_the_rest(&app, "GET", 304, b"");
}

#[test]
fn a_large_answer_followed_by_extra_bytes_is_whole() {
    let body = pattern(300_000);
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n".to_vec();
    answer.extend_from_slice(&body);
    answer.extend_from_slice(b"HTTP/1.1 200 OK\r\n\r\n");
    let app = app_that_says(answer);
    passes_without_the_rest(&app, "GET", 200, &body);
}

#[test]
fn a_bad_answer_over_a_unix_socket_is_refused_too() {
    let app = App::on(Place::Unix, |mut conn| {
        while conn.request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na");
        }
    });
    let proxy = Setup::to(&[&app.target()]).start();
    assert_eq!(proxy.get("/").status(), 502);
}

#[test]
fn an_interim_answer_that_declares_a_body_is_refused() {
    for framing in ["Content-Length: 42", "Transfer-Encoding: chunked"] {
        refused(format!(
            "HTTP/1.1 103 Early Hints\r\n{framing}\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
        ));
    }
}

#[test]
fn a_body_behind_the_answer_to_a_head_request_answers_nobody_else() {
    let app = App::scripted(|mut conn| {
        while let Some(request) = conn.request() {
            if request.head.start.starts_with("HEAD ") {
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n");
                // In a write of its own, so that it may come when the answer has been passed on.
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL!!");
            } else {
                conn.answer("good");
            }
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    for n in 0..200 {
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer_to("HEAD").status(), 200);
        assert_eq!(client.request("/").text(), "good", "request {n}");
    }
}

#[test]
fn nothing_is_written_behind_an_interim_answer_that_is_only_half_out() {
    // 5.4 MB: more than a send buffer may grow to (net.ipv4.tcp_wmem), so that the last of it is still with the proxy,
    // whose response buffer takes all of it.
    let hints = format!(
        "HTTP/1.1 103 Early Hints\r\nLink: </{}>\r\n\r\n",
        "x".repeat(60_000)
    );
    for place in [Place::Tcp, Place::Unix] {
        let hints = hints.clone();
        let torn = Gate::closed();
        let may_close = torn.clone();
        let app = App::scripted(move |mut conn| {
            if conn.request().is_some() {
                for _ in 0..90 {
                    conn.send(&hints);
                }
                may_close.wait();
            }
        });
        let dir = TempDir::new();
        let address = match place {
            Place::Unix => format!("unix:{}", dir.join("front.sock").display()),
            _ => "127.0.0.1:0".to_owned(),
        };
        let proxy = Setup::to(&[&app.target()])
            .upstream("header_size_max = \"64KiB\"\nbuffer = { response = \"8MiB\" }")
            .on(&address)
            .start();
        let socket = proxy.address().socket();
        socket.set_recv_buffer_size(4096).expect("SO_RCVBUF");
        let connected = socket.connect(&proxy.address().sock_addr());
        connected.expect("a connection");
        let mut client = Client(Wire::new(socket));
        client.send(GET);
        // The proxy has read them all, and written what the client's socket takes. Had the app closed before, nothing
        // would have been written yet, and a refusal would be in place.
        client.0.wait_for_bytes();
        std::thread::sleep(2 * QUIET); // tidy: how far the proxy has read is not to be seen from outside
        torn.open();
        // The app has closed without an answer, and the proxy knows, before the client reads the first byte.
        proxy.logs(&["http_response_incomplete"]);
        let (bytes, ending) = client.0.rest();
        let text = String::from_utf8_lossy(&bytes);
        let whole = text.matches("\r\n\r\n").count();
        assert!(whole < 90, "the interim answers went out whole");
        assert!(!text.contains("502"), "a refusal inside of a torn head");
        if place == Place::Tcp {
            assert_eq!(ending, Ending::Reset);
        }
    }
}
