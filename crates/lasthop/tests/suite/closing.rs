//! Who closes a connection to the app first, because that side keeps its ports in TIME_WAIT: decided on purpose.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use lasthop_kernel::namespace::add_loopback_address;

use crate::support::load::ask;
use crate::support::process::{settled_descriptors, wait_for_descriptors};
use crate::support::{Address, After, App, CrowdApp, PATIENCE, Watched, namespace};

const HUNDRED_PORTS: &str = "40000 40099";

/// Connections of the namespace with one app.
#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    /// In TIME_WAIT, on our side.
    ours: usize,
    /// In TIME_WAIT, on the app's.
    apps: usize,
    /// Not closed by both yet.
    open: usize,
}

impl Table {
    fn read(app: &str) -> Self {
        const LISTEN: &str = "0A";
        const TIME_WAIT: &str = "06";
        /// 127.64.0.0/16, of which handshakes are tried that no request has to do with.
        const SPREAD: &str = "407F:";
        let table = std::fs::read_to_string("/proc/self/net/tcp").expect("/proc/net/tcp");
        let mut counts = Self::default();
        for line in table.lines().skip(1) {
            // sl local remote st … (proc(5)).
            let fields: Vec<_> = line.split_whitespace().collect();
            let (local, remote, state) = (fields[1], fields[2], fields[3]);
            if local.contains(SPREAD) || remote.contains(SPREAD) || state == LISTEN {
                continue;
            }
            match state {
                TIME_WAIT if remote == app => counts.ours += 1,
                TIME_WAIT if local == app => counts.apps += 1,
                _ if local == app || remote == app => counts.open += 1,
                _ => {}
            }
        }
        counts
    }

    /// When both sides have closed every connection.
    fn settled(app: &str) -> Self {
        let (ip, port) = app.split_once(':').expect("ADDRESS:PORT");
        let ip: Ipv4Addr = ip.parse().expect("an IPv4 address");
        let port: u16 = port.parse().expect("a port");
        // As the kernel has it in memory, in hex.
        let app = format!("{:08X}:{port:04X}", u32::from_ne_bytes(ip.octets()));
        let until = Instant::now() + PATIENCE;
        loop {
            let table = Self::read(&app);
            if table.open == 0 {
                return table;
            }
            assert!(Instant::now() < until, "{table:?}");
        }
    }
}

#[test]
fn an_orderly_close_of_ours_leaves_time_wait_and_a_reset_leaves_nothing() {
    namespace::with_ports(HUNDRED_PORTS, || {
        for (close, leaves) in [("reset", false), ("orderly", true)] {
            let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
            let upstream = format!("keepalive = {{ idle = 0 }}\nclose = \"{close}\"");
            let watched = Watched::to(&app.target(), &upstream);
            let tally = ask(
                &watched.proxy,
                5,
                Duration::from_millis(500),
                Duration::from_millis(50),
            );
            assert_eq!(tally.failed, 0, "{tally:?}");
            assert!(tally.served >= 20, "{tally:?}");
            let table = Table::settled(&app.target());
            assert_eq!(table.ours > 0, leaves, "{close}: {table:?}");
        }
    });
}

#[test]
fn a_connection_that_the_app_would_keep_for_no_time_is_closed_by_reset_too() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let app = App::at(&Address::parse("127.0.0.1:3000"), |mut conn| {
            while conn.request().is_some() {
                conn.send(
                    "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 2\r\n\r\nok",
                );
            }
        });
        let watched = Watched::to(&app.target(), "close = \"reset\"");
        for _ in 0..5 {
            assert_eq!(watched.proxy.get("/").status(), 200);
        }
        assert_eq!(app.accepted(), 5);
        assert_eq!(Table::settled(&app.target()), Table::default());
    });
}

#[test]
fn an_app_that_says_it_closes_is_left_to_where_time_wait_of_ours_would_hurt() {
    namespace::with_ports(HUNDRED_PORTS, || {
        add_loopback_address(IpAddr::from([10, 9, 9, 9]), 32).expect("an address on lo");
        // On a loopback address a port of ours is free again after a second: nothing hurts, and nobody waits.
        for (target, ours) in [("10.9.9.9:3000", false), ("127.0.0.1:3000", true)] {
            let app = CrowdApp::at(target, After::SaysSo(Duration::from_millis(200)));
            let watched = Watched::to(&app.target(), "");
            let tally = ask(
                &watched.proxy,
                4,
                Duration::from_millis(500),
                Duration::from_millis(100),
            );
            assert_eq!(tally.failed, 0, "{tally:?}");
            assert!(tally.served >= 12, "{tally:?}");
            let table = Table::settled(&app.target());
            // Fewer than requests: a port that is free at once is taken again.
            assert_eq!(table.ours > 0, ours, "{target}: {table:?}");
            assert_eq!(table.apps > 0, !ours, "{target}: {table:?}");
        }
    });
}

#[test]
fn sockets_that_serve_an_app_that_closes_again_and_again_are_given_back() {
    namespace::with_ports(HUNDRED_PORTS, || {
        // Over and over the same few sockets of ours, which nobody must notice.
        for (close, apps) in [("reset", false), ("orderly", true)] {
            let app = CrowdApp::at("127.0.0.1:3000", After::SaysSo(Duration::ZERO));
            let watched = Watched::to(&app.target(), &format!("close = \"{close}\""));
            let before = settled_descriptors(watched.proxy.pid());
            let time = Duration::from_millis(500);
            let tally = ask(&watched.proxy, 4, time, Duration::from_millis(5));
            assert_eq!(tally.failed, 0, "{close}: {tally:?}");
            assert!(tally.served >= 40, "{close}: {tally:?}");
            assert_eq!(app.seen().len(), tally.served, "one connection for each");
            wait_for_descriptors(watched.proxy.pid(), before);
            let table = Table::settled(&app.target());
            assert_eq!(table.apps > 0, apps, "{close}: {table:?}");
        }
    });
}

#[test]
fn a_connection_on_a_socket_that_has_served_before_brings_nothing_of_the_one_before() {
    namespace::with_ports(HUNDRED_PORTS, || {
        // Behind each answer something more that nobody has asked for, and the end right behind it.
        let app = App::at(&Address::parse("127.0.0.1:3000"), |mut conn| {
            if let Some(request) = conn.request() {
                let line = request.head.start;
                let length = line.len();
                conn.send(format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{line}\
                     HTTP/1.1 500 Surplus\r\nContent-Length: 0\r\n\r\n"
                ));
            }
        });
        for close in ["reset", "orderly"] {
            let watched = Watched::to(&app.target(), &format!("close = \"{close}\""));
            for number in 0..50 {
                let answer = watched.proxy.get(&format!("/{number}"));
                assert_eq!(answer.status(), 200);
                assert_eq!(answer.text(), format!("GET /{number} HTTP/1.1"));
            }
        }
    });
}

/// For how long connections are closed by us without end.
fn churn_time() -> Duration {
    let seconds = std::env::var("LASTHOP_CHURN_SECONDS");
    Duration::from_secs(seconds.map_or(10, |seconds| seconds.parse().expect("seconds")))
}

#[test]
fn twenty_thousand_connections_a_minute_that_we_close_do_not_run_out_of_a_thousand_ports() {
    namespace::with_ports_for("40000 40999", churn_time(), || {
        add_loopback_address(IpAddr::from([10, 9, 9, 9]), 32).expect("an address on lo");
        let app = CrowdApp::at("10.9.9.9:3000", After::Keeps);
        let watched = Watched::to(&app.target(), "keepalive = { idle = 0 }");
        // A hundred clients, each of which asks every 300 ms.
        let time = churn_time();
        let tally = ask(&watched.proxy, 100, time, Duration::from_millis(300));
        println!(
            "{tally:?} in {time:?}, from {} addresses",
            app.sources().len()
        );
        assert_eq!(tally.failed, 0, "{tally:?}");
        let least = usize::try_from(time.as_secs()).unwrap() * 300;
        assert!(tally.served >= least, "{tally:?} of {least}");
    });
}
