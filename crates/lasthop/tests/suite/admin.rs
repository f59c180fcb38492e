//! The admin address of a running lasthop: it tells what the workers do, to the end of the drain and when all else is short.

use std::time::{Duration, Instant};

use crate::support::misbehave::app_that_answers;
use crate::support::{
    Address, Answer, App, Client, Gate, Lasthop, PATIENCE, Place, Setup, TempDir,
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
