//! Upgraded connections: a tunnel of bytes both ways, each direction ended by itself.

use crate::support::{App, Client, Conn, Ending, Gate, Lasthop, Place, Setup, pattern};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// An app that switches protocols and then does as it is told with the tunnel.
fn switches(place: Place, then: impl Fn(Conn) + Send + Sync + 'static) -> App {
    App::on(place, move |mut conn| {
        let Some(head) = conn.head() else { return };
        assert_eq!(head.field("Upgrade"), Some("websocket"));
        let connection = head.field("Connection").expect("Connection");
        assert!(connection.eq_ignore_ascii_case("upgrade"), "{connection}");
        conn.send(SWITCHING);
        then(conn);
    })
}

/// Sends back what comes until the proxy ends its direction.
fn echo(mut conn: Conn) {
    while let Ok(bytes) = conn.wire.some() {
        conn.send(bytes);
    }
}

/// A client whose connection is a tunnel now.
fn upgraded(proxy: &Lasthop) -> Client {
    let mut client = proxy.client();
    client.send(UPGRADE);
    let head = client.head();
    assert_eq!(head.status(), 101, "{head:?}");
    assert_eq!(head.field("Upgrade"), Some("websocket"));
    assert!(
        head.field("Connection")
            .is_some_and(|c| c.eq_ignore_ascii_case("upgrade"))
    );
    assert_eq!(
        head.field("Sec-WebSocket-Accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert!(!head.has("Content-Length") && !head.has("Transfer-Encoding"));
    client
}

#[test]
fn bytes_cross_a_tunnel_both_ways() {
    for place in [Place::Tcp, Place::Unix] {
        let app = switches(place, echo);
        let proxy = Lasthop::before(&app);
        let mut client = upgraded(&proxy);
        for message in ["one", "two", "three"] {
            client.send(message);
            assert_eq!(
                client.0.exactly(message.len()).expect("an echo"),
                message.as_bytes()
            );
        }
    }
}

#[test]
fn bytes_sent_with_the_heads_are_not_lost() {
    let app = App::scripted(|mut conn| {
        if conn.head().is_some() {
            conn.send(format!("{SWITCHING}first"));
            echo(conn);
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    client.send(format!("{UPGRADE}early"));
    assert_eq!(client.head().status(), 101);
    assert_eq!(client.0.exactly(10).expect("both"), b"firstearly");
}

#[test]
fn large_streams_cross_a_tunnel_in_both_directions_at_once() {
    let app = switches(Place::Tcp, echo);
    let proxy = Lasthop::before(&app);
    let mut client = upgraded(&proxy);
    let mut sender = client.twin();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            sender.send(pattern(20_000_000));
            sender.finish_sending();
        });
        let (bytes, ending) = client.0.rest();
        assert_eq!(ending, Ending::Closed);
        assert!(
            bytes == pattern(20_000_000),
            "{} bytes came back",
            bytes.len()
        );
    });
}

#[test]
fn a_half_close_of_the_client_reaches_the_app_and_the_other_half_stays() {
    for place in [Place::Tcp, Place::Unix] {
        let app = switches(place, |mut conn| {
            let (bytes, ending) = conn.wire.rest();
            assert_eq!(ending, Ending::Closed);
            conn.send(format!("got {}", bytes.len()));
        });
        let proxy = Lasthop::before(&app);
        let mut client = upgraded(&proxy);
        client.send("12345");
        client.finish_sending();
        assert_eq!(client.0.rest(), (b"got 5".to_vec(), Ending::Closed));
    }
}

#[test]
fn a_half_close_of_the_app_reaches_the_client_and_the_other_half_stays() {
    let (tell, told) = std::sync::mpsc::channel();
    let app = switches(Place::Tcp, move |mut conn| {
        conn.send("bye");
        conn.wire.finish_sending();
        // The test may be over.
        let _ = tell.send(conn.wire.rest());
    });
    let proxy = Lasthop::before(&app);
    let mut client = upgraded(&proxy);
    assert_eq!(client.0.rest(), (b"bye".to_vec(), Ending::Closed));
    client.send("still here");
    client.finish_sending();
    let got = told
        .recv_timeout(crate::support::PATIENCE)
        .expect("the other half");
    assert_eq!(got, (b"still here".to_vec(), Ending::Closed));
}

#[test]
fn a_reset_of_either_side_ends_the_tunnel() {
    let freed = Gate::closed();
    let gate = freed.clone();
    let app = switches(Place::Tcp, move |mut conn| {
        conn.until_closed();
        gate.open();
    });
    let proxy = Lasthop::before(&app);
    upgraded(&proxy).0.reset();
    freed.wait();

    let app = switches(Place::Tcp, |mut conn| {
        let _ = conn.wire.some();
        conn.reset();
    });
    let proxy = Lasthop::before(&app);
    let mut client = upgraded(&proxy);
    client.send("x");
    // A reset, or an end: the tunnel is over for the client.
    client.ending();
}

#[test]
fn a_silent_tunnel_ends_after_its_timeout() {
    let app = switches(Place::Tcp, |mut conn| conn.until_closed());
    let proxy = Setup::to(&[&app.target()])
        .upstream("tunnel_timeout = \"200ms\"")
        .start();
    let mut client = upgraded(&proxy);
    client.ending();
}

#[test]
fn a_tunnel_outlives_the_timeouts_of_requests() {
    let app = switches(Place::Tcp, echo);
    let proxy = Setup::to(&[&app.target()])
        .listener("header_timeout = \"100ms\"\nidle_timeout = \"100ms\"\nbody_timeout = \"100ms\"")
        .upstream("response_timeout = \"100ms\"\nbody_timeout = \"100ms\"")
        .start();
    let mut client = upgraded(&proxy);
    assert!(client.is_quiet_for(3 * crate::support::QUIET));
    client.send("x");
    assert_eq!(client.0.exactly(1).expect("an echo"), b"x");
}

#[test]
fn an_app_that_declines_to_switch_answers_as_ever() {
    let app = App::scripted(|mut conn| {
        while conn.request().is_some() {
            conn.answer("no");
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    for _ in 0..2 {
        let answer = client.exchange(UPGRADE);
        assert_eq!((answer.status(), answer.text().as_str()), (200, "no"));
    }
    assert_eq!(client.request("/").text(), "no");
}

#[test]
fn a_switch_to_something_that_was_not_asked_for_is_refused() {
    let app = App::scripted(|mut conn| {
        if conn.request().is_some() {
            conn.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n",
            );
            conn.until_closed();
        }
    });
    let proxy = Lasthop::before(&app);
    let answer = proxy.client().exchange(UPGRADE);
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.error(), "http_protocol_error");
}

#[test]
fn an_upgrade_to_h2c_does_not_cross() {
    let app = crate::support::misbehave::app_that_echoes_the_head(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let answer = proxy.client().exchange(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    assert!(
        !answer.text().to_ascii_lowercase().contains("upgrade: h2c"),
        "{}",
        answer.text()
    );
    assert!(
        !answer.text().contains("HTTP2-Settings"),
        "{}",
        answer.text()
    );
}

#[test]
fn many_tunnels_are_held_at_once() {
    let app = switches(Place::Unix, echo);
    let proxy = Setup::to(&[&app.target()]).server("workers = 2").start();
    let mut clients: Vec<_> = (0..100).map(|_| upgraded(&proxy)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        let message = format!("tunnel {n}");
        client.send(&message);
        assert_eq!(
            client.0.exactly(message.len()).expect("an echo"),
            message.as_bytes()
        );
    }
}
