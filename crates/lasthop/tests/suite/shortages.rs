//! Our own shortages: source ports, descriptors, the allowed number of connections. Clients are told, nobody is blamed,
//! and everything goes on when there is room again.

use crate::support::misbehave::{app_behind, app_that_answers};
use crate::support::{
    Address, Answer, App, Client, Gate, Lasthop, Place, QUIET, Setup, TempDir, namespace,
};

/// Ten source ports.
const TEN_PORTS: &str = "40000 40009";

/// A proxy on a Unix socket, so that its clients need no ports.
fn on_a_unix_socket(target: &str, upstream: &str) -> (Lasthop, TempDir) {
    let dir = TempDir::new();
    let address = format!("unix:{}", dir.join("front.sock").display());
    let proxy = Setup::to(&[target]).upstream(upstream).on(&address).start();
    (proxy, dir)
}

/// An app on a port outside of the range, of which it would take one; inside the namespace nobody else wants it.
fn app_in_namespace(gate: &Gate) -> App {
    let gate = gate.clone();
    App::at(&Address::parse("127.0.0.1:3000"), move |mut conn| {
        while conn.request().is_some() {
            gate.wait();
            conn.answer("ok");
        }
    })
}

/// Clients that have each sent a GET.
fn asking(proxy: &Lasthop, count: usize) -> Vec<Client> {
    (0..count)
        .map(|_| {
            let mut client = proxy.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect()
}

/// An answer that says that something of ours is used up.
fn assert_shortage(answer: &Answer, error: &str) {
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert_eq!(answer.error(), error);
    let after = answer.field("Retry-After").expect("Retry-After");
    assert!(after.parse::<u32>().is_ok(), "Retry-After: {after}");
}

#[test]
fn a_request_beyond_the_last_source_port_gets_503_and_the_log_has_the_numbers() {
    namespace::with_ports(TEN_PORTS, || {
        let gate = Gate::closed();
        let app = app_in_namespace(&gate);
        let (proxy, _dir) = on_a_unix_socket(
            &app.target(),
            "source = \"kernel\"\nqueue = { size = 100, timeout = \"200ms\" }",
        );
        let mut holding = asking(&proxy, 10);
        app.wait_for_accepted(10);
        let mut eleventh = proxy.client();
        let answer = eleventh.request("/");
        assert_shortage(&answer, "connection_limit_reached");
        let details = answer.details();
        assert!(details.contains("source ports"), "{details}");
        assert!(details.contains("10"), "the number is missing: {details}");
        proxy.logs(&["source ports", "ip_local_port_range"]);
        gate.open();
        for client in &mut holding {
            assert_eq!(client.answer().text(), "ok");
        }
        assert_eq!(eleventh.request("/").text(), "ok");
        assert_eq!(app.accepted(), 10);
    });
}

#[test]
fn a_request_that_waits_for_a_source_port_is_served_when_one_comes_free() {
    namespace::with_ports(TEN_PORTS, || {
        let gate = Gate::closed();
        let app = app_in_namespace(&gate);
        let (proxy, _dir) = on_a_unix_socket(&app.target(), "source = \"kernel\"");
        let mut clients = asking(&proxy, 10);
        app.wait_for_accepted(10);
        let mut waiting = asking(&proxy, 20);
        assert!(waiting[0].is_quiet_for(QUIET), "it did not wait");
        gate.open();
        for client in clients.iter_mut().chain(&mut waiting) {
            assert_eq!(client.answer().text(), "ok");
        }
    });
}

#[test]
fn a_unix_socket_needs_no_source_ports() {
    namespace::with_ports(TEN_PORTS, || {
        let gate = Gate::closed();
        let app = app_behind(&gate, Place::Unix);
        let (proxy, _dir) = on_a_unix_socket(&app.target(), "");
        let mut clients = asking(&proxy, 60);
        app.wait_for_accepted(60);
        gate.open();
        for client in &mut clients {
            assert_eq!(client.answer().text(), "ok");
        }
    });
}

#[test]
fn an_app_that_closes_each_connection_does_not_use_up_the_source_ports() {
    namespace::with_ports(TEN_PORTS, || {
        let app = crate::support::misbehave::app_that_closes_after_each_answer(Place::Tcp);
        let (proxy, _dir) = on_a_unix_socket(&app.target(), "");
        let mut client = proxy.client();
        for n in 0..100 {
            assert_eq!(client.request("/").text(), "ok", "request {n}");
        }
    });
}

#[test]
fn no_more_connections_are_made_than_allowed() {
    let gate = Gate::closed();
    let app = app_behind(&gate, Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .server("workers = 2")
        .upstream("max_connections = 2\nqueue = { size = 1000, timeout = \"20s\" }")
        .start();
    let mut clients = asking(&proxy, 20);
    app.wait_for_accepted(2);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.answer().text(), "ok");
    }
    // A worker may close an idle one for another worker's sake, so more may come one after the other.
    assert!(app.accepted() < 20, "{} connections", app.accepted());
}

#[test]
fn a_request_that_waits_too_long_for_a_place_gets_503() {
    let gate = Gate::closed();
    let app = app_behind(&gate, Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .upstream("max_connections = 1\nqueue = { size = 10, timeout = \"100ms\" }")
        .start();
    let mut first = asking(&proxy, 1).remove(0);
    app.wait_for_accepted(1);
    assert_shortage(&proxy.get("/"), "connection_limit_reached");
    assert_eq!(app.accepted(), 1);
    gate.open();
    assert_eq!(first.answer().text(), "ok");
    assert_eq!(proxy.get("/").text(), "ok");
}

#[test]
fn a_request_beyond_the_queue_gets_503_at_once() {
    let gate = Gate::closed();
    let app = app_behind(&gate, Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .upstream("max_connections = 1\nqueue = { size = 1, timeout = \"20s\" }")
        .start();
    let mut first = asking(&proxy, 1).remove(0);
    app.wait_for_accepted(1);
    // Of two more one has the place in the queue; which one is the proxy's to say.
    let mut more = asking(&proxy, 2);
    let turned_away = usize::from(more[0].is_quiet_for(QUIET));
    assert_shortage(&more[turned_away].answer(), "connection_limit_reached");
    gate.open();
    assert_eq!(first.answer().text(), "ok");
    assert_eq!(more[1 - turned_away].answer().text(), "ok");
}

#[test]
fn a_client_that_leaves_the_queue_makes_room_in_it() {
    let gate = Gate::closed();
    let app = app_behind(&gate, Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .upstream("max_connections = 1\nqueue = { size = 1, timeout = \"20s\" }")
        .start();
    let mut first = asking(&proxy, 1).remove(0);
    app.wait_for_accepted(1);
    let mut leaving = asking(&proxy, 1).remove(0);
    assert!(leaving.is_quiet_for(QUIET));
    leaving.0.reset();
    // The proxy notices in its own time; until then the queue is full.
    let mut waiting = loop {
        let mut client = asking(&proxy, 1).remove(0);
        if client.is_quiet_for(QUIET) {
            break client;
        }
        assert_eq!(client.answer().status(), 503);
    };
    gate.open();
    assert_eq!(first.answer().text(), "ok");
    assert_eq!(waiting.answer().text(), "ok");
}

#[test]
fn a_client_that_half_closes_while_it_is_queued_is_dropped() {
    let gate = Gate::closed();
    let app = app_behind(&gate, Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .upstream("max_connections = 1\nqueue = { size = 10, timeout = \"20s\" }")
        .start();
    let mut first = asking(&proxy, 1).remove(0);
    app.wait_for_accepted(1);
    let mut queued = asking(&proxy, 1).remove(0);
    assert!(queued.is_quiet_for(QUIET));
    queued.finish_sending();
    queued.ending();
    gate.open();
    assert_eq!(first.answer().text(), "ok");
}

/// The processor time that a process has used, in clock ticks.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
    // The fields after the command, which stands in parentheses: utime and stime are 14 and 15 (proc(5)).
    let (_, rest) = stat.rsplit_once(')').expect("a stat line");
    let fields: Vec<_> = rest.split_whitespace().collect();
    let ticks = |n: usize| fields[n].parse::<u64>().expect("a number");
    ticks(11) + ticks(12)
}

#[test]
fn without_descriptors_clients_are_told_and_nobody_spins_or_dies() {
    let gate = Gate::closed();
    let app = app_behind(&gate, Place::Unix);
    let mut proxy = Setup::to(&[&app.target()])
        .upstream("queue = { size = 1000, timeout = \"300ms\" }")
        .under("ulimit -n 64")
        .start();
    // More than there are descriptors for: some wait for one to the app, some are not even accepted.
    let mut clients: Vec<_> = (0..100)
        .map(|_| {
            let mut client = proxy.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            client
        })
        .collect();
    app.wait_for_accepted(1);
    proxy.logs(&["descriptors"]);

    let mut onlooker = proxy.client();
    let before = cpu_ticks(proxy.pid());
    let begun = std::time::Instant::now();
    onlooker.is_quiet_for(4 * QUIET);
    // A tick is 10 ms: half of the time would be a loop that spins.
    let ticks = cpu_ticks(proxy.pid()) - before;
    let bound = 10 + begun.elapsed().as_millis() / 20;
    assert!(
        u128::from(ticks) < bound,
        "{ticks} ticks in {:?} of nothing",
        begun.elapsed()
    );
    assert!(proxy.runs());

    gate.open();
    let mut served = 0;
    for client in &mut clients {
        let answer = client.answer();
        if answer.status() == 200 {
            served += 1;
            continue;
        }
        assert_shortage(&answer, "proxy_internal_error");
        assert!(
            answer.details().contains("file descriptors"),
            "{}",
            answer.details()
        );
    }
    assert!(
        served > 0,
        "accepting took every descriptor and left none for the app"
    );
    drop(onlooker);
    assert_eq!(proxy.get("/").status(), 200);
}

#[test]
fn the_limit_of_descriptors_is_raised_to_the_hard_one() {
    let app = app_that_answers(Place::Tcp);
    let proxy = Setup::to(&[&app.target()])
        .under("ulimit -Sn 100; ulimit -Hn 2000")
        .start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", proxy.pid()));
    let limits = limits.expect("/proc");
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files: Vec<_> = files.expect("a limit").split_whitespace().collect();
    assert_eq!(files[3..5], ["2000", "2000"]);
}
