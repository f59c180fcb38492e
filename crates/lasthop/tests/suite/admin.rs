//! The admin address of a running lasthop: it tells what the workers do, to the end of the drain and when all else is short.

use std::time::{Duration, Instant};

use crate::support::misbehave::{app_that_answers, app_with_full_backlog, held_port};
use crate::support::{
    Address, Answer, App, Client, Gate, Lasthop, PATIENCE, Place, QUIET, Setup, TempDir,
};

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"";

/// A page, asked for by the IP address.
fn page(client: &mut Client, path: &str) -> Answer {
    client.exchange(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
}

fn page_of(proxy: &Lasthop, path: &str) -> Answer {
    page(&mut Client::connect(&proxy.admin()), path)
}

/// Reads `/metrics` until this line is on it: gauges follow a connection's end a moment late.
fn wait_for_metric(client: &mut Client, line: &str) {
    let begun = Instant::now();
    loop {
        let text = page(client, "/metrics").text();
        if text.lines().any(|it| it == line) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "no {line} in {text}");
    }
}

#[test]
fn what_clients_and_apps_do_is_on_the_page_of_metrics() {
    let app = app_that_answers(Place::Unix);
    let proxy = Setup::to(&[&app.target()])
        .server("workers = 2")
        .more(ADMIN)
        .start();
    let mut clients: Vec<Client> = (0..4).map(|_| proxy.client()).collect();
    for client in &mut clients {
        for _ in 0..3 {
            assert_eq!(client.request("/").status(), 200);
        }
    }
    let mut admin = Client::connect(&proxy.admin());
    for line in [
        "lasthop_client_connections_accepted_total{listener=\"front\"} 4",
        "lasthop_upstream_connects_total{upstream=\"app\",result=\"refused\"} 0",
        "lasthop_queue_length{upstream=\"app\"} 0",
        "lasthop_workers 2",
    ] {
        wait_for_metric(&mut admin, line);
    }
}

/// Answers `ok`, or 404 to `/missing`, or nothing at all to `/never`.
fn app_with_paths() -> App {
    App::scripted(|mut conn| {
        while let Some(request) = conn.request() {
            match request.head.target() {
                "/missing" => conn.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
                "/never" => return conn.until_closed(),
                _ => conn.answer("ok"),
            };
        }
    })
}

#[test]
fn requests_are_counted_by_their_status_and_each_has_its_duration_and_its_bytes() {
    let app = app_with_paths();
    let proxy = Setup::to(&[&app.target()])
        .route("name = \"site\"\nhost = \"a\"")
        .more(ADMIN)
        .start();
    let mut client = proxy.client();
    let get = |path: &str, host: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let requests = [
        (get("/", "a"), 200),
        (get("/", "a"), 200),
        (get("/missing", "a"), 404),
        (get("/", "b"), 404),
        (get("/", "a"), 200),
        (get("/", "a b"), 400),
    ];
    let (mut received, mut sent) = (0, 0);
    for (request, status) in requests {
        let answer = client.exchange(&request);
        assert_eq!(answer.status(), status);
        received += request.len();
        sent += answer.head.raw.len() + answer.body.len();
    }
    // Says nothing, so it asks for nothing.
    drop(proxy.client());
    let mut leaving = proxy.client();
    let request = get("/never", "a");
    leaving.send(&request);
    received += request.len();
    assert!(leaving.is_quiet_for(QUIET));
    leaving.0.reset();
    let mut admin = Client::connect(&proxy.admin());
    for line in [
        "lasthop_requests_total{route=\"site\",upstream=\"app\",code=\"200\"} 3",
        "lasthop_requests_total{route=\"site\",upstream=\"app\",code=\"404\"} 1",
        "lasthop_requests_total{route=\"site\",upstream=\"app\",code=\"499\"} 1",
        "lasthop_requests_total{route=\"\",upstream=\"\",code=\"400\"} 1",
        "lasthop_requests_total{route=\"\",upstream=\"\",code=\"404\"} 1",
        "lasthop_request_duration_seconds_bucket{le=\"+Inf\"} 7",
        "lasthop_request_duration_seconds_count 7",
        &format!("lasthop_client_received_bytes_total{{listener=\"front\"}} {received}"),
        &format!("lasthop_client_sent_bytes_total{{listener=\"front\"}} {sent}"),
        "lasthop_client_connections{listener=\"front\"} 0",
        // One connection for all of them, but where there was no answer there was no time to it.
        "lasthop_upstream_connects_total{upstream=\"app\",result=\"ok\"} 1",
        "lasthop_upstream_connect_duration_seconds_count{upstream=\"app\"} 1",
        "lasthop_upstream_reuse_total{upstream=\"app\"} 4",
        "lasthop_upstream_retries_total{upstream=\"app\"} 0",
        "lasthop_upstream_response_duration_seconds_count{upstream=\"app\"} 4",
        "lasthop_upstream_connections{upstream=\"app\",state=\"active\"} 0",
        "lasthop_log_lines_dropped_total{log=\"access\"} 0",
    ] {
        wait_for_metric(&mut admin, line);
    }
    assert_eq!(app.accepted(), 1);
}

#[test]
fn attempts_to_connect_are_counted_by_what_came_of_them() {
    let dir = TempDir::new();
    let missing = format!("unix:{}", dir.join("missing.sock").display());
    let (_held, refusing) = held_port();
    let (full, crowded) = (
        app_with_full_backlog(Place::Tcp),
        app_with_full_backlog(Place::Unix),
    );
    for (target, status, result) in [
        (missing, 502, "missing"),
        (refusing.to_string(), 502, "refused"),
        (full.target(), 504, "timeout"),
        (crowded.target(), 503, "backlog"),
    ] {
        let proxy = Setup::to(&[&target])
            // No patience: one attempt is all there is.
            .upstream("restart_grace = \"0s\"\nconnect_timeout = \"1ms\"")
            .more(ADMIN)
            .start();
        assert_eq!(proxy.get("/").status(), status);
        let page = page_of(&proxy, "/metrics").text();
        let counts = page.lines().filter_map(|line| {
            let line =
                line.strip_prefix("lasthop_upstream_connects_total{upstream=\"app\",result=")?;
            let (label, count) = line.split_once("} ").expect("a sample");
            (count != "0").then_some((label.trim_matches('"'), count))
        });
        let counts: Vec<_> = counts.collect();
        // A full backlog is asked again after 2 ms, but not where the time is up before.
        assert_eq!(counts.len(), 1, "{counts:?}");
        assert_eq!(counts[0].0, result);
        assert!(result == "backlog" || counts[0].1 == "1", "{counts:?}");
    }
}

#[test]
fn a_tunnel_is_a_101_a_connection_in_use_and_in_the_end_its_bytes() {
    let app = App::scripted(|mut conn| {
        if conn.head().is_some() {
            conn.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            );
            while let Ok(bytes) = conn.wire.some() {
                conn.send(bytes);
            }
        }
    });
    let proxy = Setup::to(&[&app.target()]).more(ADMIN).start();
    let mut client = proxy.client();
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    client.send(upgrade);
    let head = client.head();
    client.send("ping");
    client.0.exactly(4).expect("an echo");
    let mut admin = Client::connect(&proxy.admin());
    let bytes = |direction: &str, count: usize| {
        format!("lasthop_client_{direction}_bytes_total{{listener=\"front\"}} {count}")
    };
    for line in [
        "lasthop_requests_total{route=\"/\",upstream=\"app\",code=\"101\"} 1",
        "lasthop_request_duration_seconds_count 1",
        "lasthop_upstream_connections{upstream=\"app\",state=\"active\"} 1",
        "lasthop_client_connections{listener=\"front\"} 1",
        &bytes("received", upgrade.len()),
        &bytes("sent", head.raw.len()),
    ] {
        wait_for_metric(&mut admin, line);
    }
    drop(client);
    for line in [
        "lasthop_upstream_connections{upstream=\"app\",state=\"active\"} 0",
        "lasthop_client_connections{listener=\"front\"} 0",
        &bytes("received", upgrade.len() + 4),
        &bytes("sent", head.raw.len() + 4),
        "lasthop_requests_total{route=\"/\",upstream=\"app\",code=\"101\"} 1",
        "lasthop_request_duration_seconds_count 1",
    ] {
        wait_for_metric(&mut admin, line);
    }
}

#[test]
fn health_tells_of_a_drain_until_the_process_ends() {
    let gate = Gate::closed();
    let held = gate.clone();
    let app = App::scripted(move |mut conn| {
        conn.request();
        held.wait();
        conn.answer("ok");
    });
    let mut proxy = Setup::to(&[&app.target()]).more(ADMIN).start();
    let mut admin = Client::connect(&proxy.admin());
    assert_eq!(page(&mut admin, "/healthz").text(), "ok\n");
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    app.wait_for_accepted(1);
    proxy.signal("TERM");
    proxy.logs(&["draining"]);
    // The state changes just after the log line.
    let begun = Instant::now();
    while page(&mut admin, "/healthz").status() != 503 {
        assert!(begun.elapsed() < PATIENCE, "healthy during a drain");
    }
    assert_eq!(page(&mut admin, "/healthz").text(), "draining\n");
    // A new connection is answered as well.
    assert_eq!(page_of(&proxy, "/healthz").status(), 503);
    gate.open();
    assert_eq!(client.answer().status(), 200);
    let status = proxy.ends_within(PATIENCE).expect("the drain ends");
    assert!(status.success(), "{status}");
}

#[test]
fn the_admin_address_of_the_command_line_is_printed_with_its_port() {
    let app = app_that_answers(Place::Tcp);
    let target = app.target();
    let flags = [
        "--listen",
        "127.0.0.1:0",
        "--to",
        &target,
        "--admin",
        "127.0.0.1:0",
    ];
    let proxy = Lasthop::with_flags(&flags);
    let Address::Tcp(address) = proxy.admin() else {
        panic!("{}", proxy.admin());
    };
    assert_ne!(address.port(), 0);
    let status = page_of(&proxy, "/status").text();
    assert!(
        status.contains(&format!("\"pid\": {},", proxy.pid())),
        "{status}"
    );
}

#[test]
fn an_admin_address_that_is_taken_fails_the_start() {
    let app = app_that_answers(Place::Unix);
    let first = Setup::to(&[&app.target()]).more(ADMIN).start();
    let same = format!("[admin]\naddress = \"{}\"", first.admin());
    let Err((status, said)) = Setup::to(&[&app.target()]).more(&same).try_start() else {
        panic!("two instances on {same}");
    };
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("is already served"), "{said}");
}

#[test]
fn the_socket_of_the_admin_address_is_removed_at_the_end() {
    let app = app_that_answers(Place::Unix);
    let dir = TempDir::new();
    let socket = dir.join("admin.sock");
    let admin = format!("[admin]\naddress = \"unix:{}?mode=0600\"", socket.display());
    let mut proxy = Setup::to(&[&app.target()]).more(&admin).start();
    let answer = page_of(&proxy, "/healthz");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok\n"));
    proxy.signal("TERM");
    let status = proxy.ends_within(PATIENCE).expect("nothing to wait for");
    assert!(status.success() && !socket.exists(), "{status}");
}

#[test]
fn who_is_connected_is_answered_while_descriptors_are_used_up() {
    let app = app_that_answers(Place::Unix);
    let proxy = Setup::to(&[&app.target()])
        .more(ADMIN)
        .under("ulimit -n 48")
        .start();
    let mut admin = Client::connect(&proxy.admin());
    let limit = "lasthop_file_descriptors{kind=\"limit\"} 48";
    wait_for_metric(&mut admin, limit);
    // More than there is room for.
    let clients: Vec<Client> = (0..100).map(|_| proxy.client()).collect();
    let asked = Instant::now();
    wait_for_metric(&mut admin, limit);
    assert_eq!(page(&mut admin, "/status").status(), 200);
    // Loose, since other tests run beside it: far from a second that anybody would wait.
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    drop(clients);
}
