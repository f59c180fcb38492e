//! What crosses: the request as the app receives it, the answer as the client receives it.
//!
//! RFC 9110 section 7.6 says what an intermediary removes and adds; `docs/configuration.md` says whom it believes.

use crate::support::misbehave::{app_that_echoes_the_head, app_that_says};
use crate::support::{Client, Head, Lasthop, Place, Setup};

/// What the app received of `request`, through a proxy that `setup` changes.
fn crossed_with(setup: impl FnOnce(Setup) -> Setup, request: &str) -> Head {
    let app = app_that_echoes_the_head(Place::Tcp);
    let proxy = setup(Setup::to(&[&app.target()])).start();
    let answer = proxy.client().exchange(request);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    Head::parse(answer.body)
}

fn crossed(request: &str) -> Head {
    crossed_with(|setup| setup, request)
}

#[test]
fn method_target_and_host_cross_unchanged() {
    let head = crossed("DELETE /a%20b/../c?q=1&r=%00 HTTP/1.1\r\nHost: Site.Test:8080\r\n\r\n");
    assert_eq!(head.start, "DELETE /a%20b/../c?q=1&r=%00 HTTP/1.1");
    assert_eq!(head.field("Host"), Some("Site.Test:8080"));
}

#[test]
fn fields_cross_in_order_and_as_spelled() {
    let head = crossed(
        "GET / HTTP/1.1\r\nhost: a\r\nX-b: 1\r\nCookie: c=d\r\nx-B: 2\r\nAccept:   spaced  \r\n\r\n",
    );
    let own: Vec<_> = head
        .fields
        .iter()
        .filter(|(name, _)| {
            !name.starts_with("X-Forwarded") && !["Via", "X-Real-IP"].contains(&name.as_str())
        })
        .filter(|(name, _)| !name.eq_ignore_ascii_case("host"))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    assert_eq!(own, ["X-b: 1", "Cookie: c=d", "x-B: 2", "Accept: spaced"]);
}

#[test]
fn the_authority_of_an_absolute_target_replaces_host() {
    let head = crossed("GET http://real.test:81/a?b HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_eq!(head.target(), "/a?b");
    assert_eq!(head.field("Host"), Some("real.test:81"));
    assert_eq!(head.field("X-Forwarded-Host"), Some("real.test:81"));
}

#[test]
fn options_asterisk_crosses() {
    let head = crossed("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.start, "OPTIONS * HTTP/1.1");
}

#[test]
fn forwarding_fields_are_set() {
    let head = crossed("GET / HTTP/1.1\r\nHost: site.test\r\n\r\n");
    assert_eq!(head.field("X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(head.field("X-Forwarded-Proto"), Some("http"));
    assert_eq!(head.field("X-Forwarded-Host"), Some("site.test"));
    assert_eq!(head.field("X-Real-IP"), Some("127.0.0.1"));
    assert_eq!(head.field("Via"), Some("1.1 lasthop"));
    assert!(!head.has("Forwarded"));
}

const SPOOFED: &str = "GET / HTTP/1.1\r\nHost: site.test\r\n\
    X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 7.7.7.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n\
    X-Forwarded-Port: 666\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nVia: 1.0 evil\r\n\r\n";

#[test]
fn forwarding_fields_of_a_stranger_are_replaced() {
    let head = crossed(SPOOFED);
    assert_eq!(head.field("X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(head.field("X-Forwarded-Proto"), Some("http"));
    assert_eq!(head.field("X-Forwarded-Host"), Some("site.test"));
    assert_eq!(head.field("X-Real-IP"), Some("127.0.0.1"));
    assert_eq!(head.field("Via"), Some("1.1 lasthop"));
    let text = String::from_utf8_lossy(&head.raw).into_owned();
    for spoofed in ["6.6.6.6", "7.7.7.7", "evil", "666"] {
        assert!(!text.contains(spoofed), "{spoofed} crossed: {text}");
    }
}

#[test]
fn forwarding_fields_of_a_trusted_proxy_are_believed_and_appended_to() {
    let head = crossed_with(|s| s.server("trusted_proxies = [\"127.0.0.0/8\"]"), SPOOFED);
    assert_eq!(
        head.field("X-Forwarded-For"),
        Some("6.6.6.6, 7.7.7.7, 127.0.0.1")
    );
    assert_eq!(head.field("X-Forwarded-Proto"), Some("https"));
    assert_eq!(head.field("X-Forwarded-Host"), Some("evil.test"));
    assert_eq!(head.field("X-Real-IP"), Some("6.6.6.6"));
    let via = head.all("Via").join(", ");
    assert_eq!(via, "1.0 evil, 1.1 lasthop");
}

#[test]
fn a_proxy_outside_the_trusted_ones_is_a_stranger() {
    let head = crossed_with(|s| s.server("trusted_proxies = [\"10.0.0.0/8\"]"), SPOOFED);
    assert_eq!(head.field("X-Forwarded-For"), Some("127.0.0.1"));
}

#[test]
fn forwarding_fields_spelled_with_underscores_do_not_cross() {
    // A CGI or WSGI app reads `X_Forwarded_For` and `X-Forwarded-For` as one.
    let head = crossed(
        "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\nX_Forwarded-Proto: https\r\n\r\n",
    );
    let text = String::from_utf8_lossy(&head.raw).into_owned();
    assert!(
        !text.contains("6.6.6.6") && !text.contains("https"),
        "{text}"
    );
}

#[test]
fn forwarded_is_set_when_it_is_asked_for() {
    let head = crossed_with(|s| s.upstream("forwarded = true"), SPOOFED);
    let forwarded = head
        .field("Forwarded")
        .expect("Forwarded")
        .to_ascii_lowercase();
    for pair in ["for=127.0.0.1", "proto=http", "host=site.test"] {
        assert!(forwarded.contains(pair), "{forwarded}");
    }
    assert!(!forwarded.contains("6.6.6.6"), "{forwarded}");
}

#[test]
fn via_can_be_switched_off() {
    let head = crossed_with(
        |s| s.upstream("via = false"),
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert!(!head.has("Via"));
}

#[test]
fn hop_by_hop_fields_do_not_cross() {
    let head = crossed(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Mine\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: foo\r\nX-Mine: 1\r\nX-Other: 2\r\n\r\n",
    );
    for name in ["Keep-Alive", "Proxy-Connection", "TE", "Upgrade", "X-Mine"] {
        assert!(!head.has(name), "{name} crossed");
    }
    assert!(!head.all("Connection").iter().any(|v| v.contains("X-Mine")));
    assert_eq!(head.field("X-Other"), Some("2"));
}

#[test]
fn connection_can_remove_neither_host_nor_framing_nor_our_own_fields() {
    let head = crossed(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\
         Connection: close, host, content-length, x-forwarded-for, x-forwarded-proto, x-forwarded-host, x-real-ip, via\r\n\r\nab",
    );
    assert_eq!(head.field("Host"), Some("a"));
    assert_eq!(head.field("Content-Length"), Some("2"));
    assert_eq!(head.field("X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(head.field("X-Forwarded-Proto"), Some("http"));
    assert_eq!(head.field("X-Forwarded-Host"), Some("a"));
    assert_eq!(head.field("X-Real-IP"), Some("127.0.0.1"));
    assert_eq!(head.field("Via"), Some("1.1 lasthop"));
}

#[test]
fn te_crosses_only_as_trailers() {
    let head =
        crossed("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: gzip;q=0.5, trailers\r\n\r\n");
    assert_eq!(head.field("TE"), Some("trailers"));
}

#[test]
fn an_http_1_0_request_without_host_crosses_with_one() {
    let app = app_that_echoes_the_head(Place::Tcp);
    let proxy = Lasthop::before(&app);
    let answer = proxy.client().exchange("GET /old HTTP/1.0\r\n\r\n");
    let head = Head::parse(answer.body);
    assert_eq!(head.start, "GET /old HTTP/1.1");
    assert!(head.field("Host").is_some_and(|host| !host.is_empty()));
    assert_eq!(head.field("Via"), Some("1.0 lasthop"));
}

#[test]
fn a_client_on_a_unix_socket_has_no_address_to_forward() {
    let app = app_that_echoes_the_head(Place::Unix);
    let dir = crate::support::TempDir::new();
    let address = format!("unix:{}", dir.join("front.sock").display());
    let proxy = Setup::to(&[&app.target()]).on(&address).start();
    let answer = proxy.client().exchange(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\r\n",
    );
    let head = Head::parse(answer.body);
    assert!(!head.has("X-Real-IP"));
    assert!(
        !head
            .all("X-Forwarded-For")
            .iter()
            .any(|v| v.contains("6.6.6.6"))
    );
    assert_eq!(head.field("X-Forwarded-Proto"), Some("http"));
}

#[test]
fn proxies_on_unix_sockets_can_be_trusted() {
    let app = app_that_echoes_the_head(Place::Unix);
    let dir = crate::support::TempDir::new();
    let address = format!("unix:{}", dir.join("front.sock").display());
    let proxy = Setup::to(&[&app.target()])
        .server("trusted_proxies = [\"unix\"]")
        .on(&address)
        .start();
    let answer = proxy.client().exchange(SPOOFED);
    let head = Head::parse(answer.body);
    assert_eq!(head.field("X-Forwarded-For"), Some("6.6.6.6, 7.7.7.7"));
    assert_eq!(head.field("X-Forwarded-Proto"), Some("https"));
}

#[test]
fn an_app_on_each_kind_of_socket_is_reached() {
    for place in [Place::Tcp, Place::Unix, Place::Abstract] {
        let app = app_that_echoes_the_head(place);
        let proxy = Lasthop::before(&app);
        assert_eq!(proxy.get("/").status(), 200, "{place:?}");
    }
}

/// The answer that reaches the client when the app gives `answer`.
fn answered(answer: &str) -> crate::support::Answer {
    let app = app_that_says(answer);
    let proxy = Lasthop::before(&app);
    let mut client: Client = proxy.client();
    client.request("/")
}

#[test]
fn status_reason_and_fields_of_an_answer_cross() {
    let answer = answered(
        "HTTP/1.1 404 Nothing Here\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nServer: app\r\nDate: x\r\nContent-Length: 2\r\n\r\nno",
    );
    assert_eq!(answer.head.start, "HTTP/1.1 404 Nothing Here");
    assert_eq!(answer.head.all("Set-Cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.field("Server"), Some("app"));
    assert!(
        !answer.head.has("Proxy-Status"),
        "the app's own answer is not our error"
    );
}

#[test]
fn hop_by_hop_fields_of_an_answer_do_not_cross() {
    let answer = answered(
        "HTTP/1.1 200 OK\r\nConnection: close, X-Mine\r\nKeep-Alive: timeout=5\r\nX-Mine: 1\r\nUpgrade: h2c\r\n\
         Proxy-Connection: close\r\nX-Other: 2\r\nContent-Length: 0\r\n\r\n",
    );
    for name in ["Keep-Alive", "X-Mine", "Upgrade", "Proxy-Connection"] {
        assert!(!answer.head.has(name), "{name} crossed");
    }
    // The app's connection ends, not the client's.
    assert_eq!(answer.field("Connection"), None);
    assert_eq!(answer.field("X-Other"), Some("2"));
}

#[test]
fn an_empty_reason_crosses_as_a_valid_status_line() {
    let answer = answered("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n");
    assert_eq!(answer.status(), 200);
}

/// Whether this is an IMF-fixdate, the one form that may be sent (RFC 9110 section 5.6.7).
fn is_imf_fixdate(text: &str) -> bool {
    let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    // A pattern: 0 stands for a digit, a for a letter, the rest for itself.
    let form = "aaa, 00 aaa 0000 00:00:00 GMT";
    let fits = |(byte, form): (u8, u8)| match form {
        b'0' => byte.is_ascii_digit(),
        b'a' => byte.is_ascii_alphabetic(),
        other => byte == other,
    };
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(fits)
        && days.contains(&&text[..3])
}

#[test]
fn an_answer_without_date_gets_one() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        let answer = answered(answer);
        let date = answer.field("Date").expect("a Date");
        assert!(is_imf_fixdate(date), "Date: {date}");
        let date = httpdate::parse_http_date(date).expect("a date");
        let now = std::time::SystemTime::now();
        let apart = now.duration_since(date).unwrap_or_else(|e| e.duration());
        assert!(apart.as_secs() < 10, "Date is {apart:?} off");
    }
}

#[test]
fn an_answer_with_date_keeps_its_own() {
    for name in ["Date", "date"] {
        let answer = answered(&format!(
            "HTTP/1.1 200 OK\r\n{name}: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n"
        ));
        // Fails as well where there are two.
        assert_eq!(answer.field("Date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    }
}
