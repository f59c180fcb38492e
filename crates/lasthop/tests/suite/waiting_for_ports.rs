//! What a request meets when no source port is left: a wait, a port as soon as there is one, or a 503 with the numbers.
//! With `source = "kernel"` and ten ports, because otherwise they do not run out.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lasthop_kernel::namespace::add_loopback_address;

use crate::support::{
    Address, After, App, Client, Crowd, CrowdApp, Gate, QUIET, Setup, Watched, namespace,
};

const TEN_PORTS: &str = "40000 40009";

const UPSTREAM: &str = "source = \"kernel\"\nqueue = { timeout = \"200ms\" }";

/// What counts attempts that found no port.
const SHORT: &str = "lasthop_upstream_connects_total{upstream=\"app\",result=\"source_ports\"}";

fn ask(client: &mut Client) {
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn the_eleventh_connection_waits_and_is_told_the_numbers_and_the_app_is_not_blamed() {
    namespace::with_ports(TEN_PORTS, || {
        let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
        let watched = Watched::to(&app.target(), UPSTREAM);
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 10);
        assert_eq!(watched.metric(SHORT), 0);

        let begun = Instant::now();
        let answer = watched.proxy.get("/");
        let waited = begun.elapsed();
        assert!(
            waited >= Duration::from_millis(200),
            "it did not wait: {waited:?}"
        );
        assert_eq!(answer.status(), 503, "{}", answer.text());
        assert_eq!(answer.error(), "connection_limit_reached");
        let details = answer.details();
        let numbers = "source ports towards 127.0.0.1:3000: all 10 in use (10 ours, 0 in TIME_WAIT, 0 of others), \
                       range 40000-40009";
        assert!(details.starts_with(numbers), "{details}");
        assert!(watched.metric(SHORT) > 0);
        assert_eq!(
            watched.status()["upstreams"][0]["source_ports"][0]["live"],
            10
        );

        // The target is as good as before.
        crowd.keep(9);
        let mut twelfth = Crowd::new();
        let until = Instant::now() + Duration::from_secs(3);
        while !twelfth.try_join(&watched.proxy, 1).is_empty() {
            assert!(Instant::now() < until, "no port came back");
        }
        twelfth.all_echo();
        crowd.all_echo();
    });
}

#[test]
fn a_port_that_the_app_gives_back_by_closing_serves_the_next_waiter_at_once() {
    namespace::with_ports(TEN_PORTS, || {
        // A busy host may hold up any one of them.
        let took: Vec<_> = (0..3).map(|_| three_waiters_on_one_port()).collect();
        let quickest = took.iter().min().expect("three of them");
        assert!(*quickest < Duration::from_millis(50), "{took:?}");
    });
}

/// Ten connections hold the ports and three more requests wait; from when the app closes one of the ten until it has
/// served the three, one after the other, on that port.
fn three_waiters_on_one_port() -> Duration {
    let gates: Vec<_> = (0..10).map(|_| Gate::closed()).collect();
    let app = App::at(&Address::parse("127.0.0.1:3000"), {
        let gates = gates.clone();
        move |mut conn| {
            if conn.request().is_some() {
                if let Some(gate) = gates.get(conn.number) {
                    gate.wait();
                }
                conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    });
    let watched = Watched::to(&app.target(), "source = \"kernel\"");
    let mut holding: Vec<_> = (0..10).map(|_| watched.proxy.client()).collect();
    holding.iter_mut().for_each(ask);
    app.wait_for_accepted(10);
    let mut waiting: Vec<_> = (0..3).map(|_| watched.proxy.client()).collect();
    waiting.iter_mut().for_each(ask);
    assert!(waiting[0].is_quiet_for(QUIET), "it did not wait");

    let begun = Instant::now();
    gates[4].open();
    for client in &mut waiting {
        assert_eq!(client.answer().text(), "ok");
    }
    let took = begun.elapsed();
    gates.iter().for_each(Gate::open);
    for client in &mut holding {
        assert_eq!(client.answer().text(), "ok");
    }
    took
}

#[test]
fn a_port_that_we_leave_in_time_wait_serves_the_next_waiter_within_two_seconds() {
    namespace::with_ports(TEN_PORTS, || {
        let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
        let watched = Watched::to(&app.target(), "source = \"kernel\"");
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 10);
        let mut waiting = watched.proxy.client();
        ask(&mut waiting);
        assert!(waiting.is_quiet_for(QUIET), "it did not wait");
        let begun = Instant::now();
        crowd.keep(9);
        assert_eq!(waiting.answer().text(), "127.0.0.1");
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
    });
}

#[test]
fn a_port_of_another_workers_idle_connection_serves_the_next_request_at_once() {
    namespace::with_ports(TEN_PORTS, || {
        let gate = Gate::closed();
        let app = App::at(&Address::parse("127.0.0.1:3000"), {
            let gate = gate.clone();
            move |mut conn| {
                while conn.request().is_some() {
                    gate.wait();
                    conn.answer("ok");
                }
            }
        });
        let setup = Setup::to(&[&app.target()])
            .server("workers = 2")
            .upstream("source = \"kernel\"");
        let watched = Watched::start(setup);
        // Workers take turns with clients, so the ports are one's and the other has none.
        let mut clients: Vec<_> = (0..20).map(|_| watched.proxy.client()).collect();
        clients.iter_mut().step_by(2).for_each(ask);
        app.wait_for_accepted(10);
        gate.open();
        for client in clients.iter_mut().step_by(2) {
            assert_eq!(client.answer().text(), "ok");
        }
        let begun = Instant::now();
        for client in clients.iter_mut().skip(1).step_by(2) {
            ask(client);
            assert_eq!(client.answer().text(), "ok");
        }
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
    });
}

#[test]
fn a_connection_that_waits_for_the_apps_close_keeps_no_request_from_its_permit() {
    namespace::with_ports("40000 40099", || {
        add_loopback_address(IpAddr::from([10, 9, 9, 9]), 32).expect("an address on lo");
        let rest = Duration::from_millis(900);
        let app = CrowdApp::at("10.9.9.9:3000", After::SaysSo(rest));
        let watched = Watched::to(&app.target(), "max_connections = 2");
        let begun = Instant::now();
        for _ in 0..6 {
            assert_eq!(watched.proxy.get("/").status(), 200);
        }
        let took = begun.elapsed();
        assert!(took < rest, "{took:?}");
    });
}

#[test]
fn a_worker_that_is_always_busy_leaves_ports_to_the_other() {
    namespace::with_ports("40000 40001", || {
        let app = App::at(&Address::parse("127.0.0.1:3000"), |mut conn| {
            while conn.request().is_some() {
                std::thread::sleep(Duration::from_millis(5)); // tidy: an app that works for so long, so that others wait
                conn.answer("ok");
            }
        });
        let setup = Setup::to(&[&app.target()])
            .server("workers = 2")
            .upstream("source = \"kernel\"");
        let watched = Watched::start(setup);
        let begun = Instant::now();
        let served: Vec<_> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..40)
                .map(|_| {
                    scope.spawn(|| {
                        let mut client = watched.proxy.client();
                        let mut served = 0;
                        while begun.elapsed() < Duration::from_secs(3) {
                            assert_eq!(client.request("/").text(), "ok");
                            served += 1;
                        }
                        served
                    })
                })
                .collect();
            clients
                .into_iter()
                .map(|it| it.join().expect("a client"))
                .collect()
        });
        let (least, most) = (served.iter().min(), served.iter().max());
        let (least, most) = (*least.expect("clients"), *most.expect("clients"));
        assert!(10 * least > most, "some are starved: {served:?}");
    });
}
