//! Others on the same host who hold source ports, or rewrite where connections go: requests are served all the same, and
//! where they cannot be, whoever is in the way is named.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use lasthop_kernel::namespace::{add_local_network, add_loopback_address};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::support::lasthop::binary;
use crate::support::load::ask;
use crate::support::{
    Address, After, App, Crowd, CrowdApp, PATIENCE, Setup, TempDir, Watched, namespace, programs,
};

const HUNDRED_PORTS: &str = "40000 40099";

const REFUSALS: &str = "lasthop_source_ports_refusals_total{upstream=\"app\"}";

/// Takes every port of the range by plain bind(2) to an address and no port, as many programs do before they connect.
fn bind_all(address: &str) -> Vec<Socket> {
    let address: IpAddr = address.parse().unwrap();
    let any = SocketAddr::new(address, 0);
    let mut sockets = Vec::new();
    loop {
        let socket = Socket::new(Domain::for_address(any), Type::STREAM, None).expect("a socket");
        match socket.bind(&SockAddr::from(any)) {
            Ok(()) => sockets.push(socket),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{error}");
                assert_eq!(sockets.len(), 100);
                return sockets;
            }
        }
    }
}

#[test]
fn a_neighbour_that_binds_every_port_of_its_address_keeps_nobody_from_being_served() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
        let watched = Watched::to(&app.target(), "");
        let neighbour = bind_all("127.0.0.78");
        let tally = ask(
            &watched.proxy,
            150,
            Duration::from_secs(3),
            Duration::from_millis(500),
        );
        assert_eq!(tally.failed, 0, "{tally:?}");
        let sources = app.sources();
        let is_ours = |source: &IpAddr| source.to_string().starts_with("127.64.");
        assert!(sources.iter().all(is_ours), "{sources:?}");

        // Once it has gone, the kernel chooses again: nothing that we leave behind keeps it from that.
        drop(neighbour);
        let until = Instant::now() + Duration::from_secs(4);
        loop {
            let mut next = Crowd::new();
            next.join(&watched.proxy, 1);
            if next.sources()[0] == IpAddr::from([127, 0, 0, 1]) {
                break;
            }
            assert!(Instant::now() < until, "still from {:?}", next.sources());
            std::thread::sleep(Duration::from_millis(50)); // tidy: each look takes a port; so as not to take them all
        }
    });
}

#[test]
fn such_a_neighbour_on_ipv6_keeps_nobody_from_being_served_either() {
    namespace::with_ports(HUNDRED_PORTS, || {
        add_local_network("fd00:1::".parse().unwrap(), 64).expect("a route to lo");
        let app = CrowdApp::at("[::1]:3000", After::Keeps);
        let watched = Watched::to(&app.target(), "");
        // The handshakes by which addresses are tried that requests may come from.
        app.wait_for_seen(4);
        let neighbour = bind_all("::1");
        let tally = ask(
            &watched.proxy,
            50,
            Duration::from_secs(1),
            Duration::from_millis(200),
        );
        assert_eq!(tally.failed, 0, "{tally:?}");
        drop(neighbour);
    });
}

#[test]
fn a_neighbour_that_binds_every_port_of_every_address_is_named() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
        let watched = Watched::to(&app.target(), "queue = { timeout = \"200ms\" }");
        let neighbour = bind_all("0.0.0.0");
        let us = format!("(pid {})", std::process::id());
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = watched.proxy.get("/");
            assert_eq!(answer.status(), 503, "{}", answer.text());
            assert_eq!(answer.error(), "connection_limit_reached");
            let details = answer.details();
            assert!(details.contains("refused by the kernel"), "{details}");
            // Where processes have many descriptors, it takes a while to find whose the ports are.
            if details.contains(&us) {
                break;
            }
            assert!(Instant::now() < until, "{us} is missing: {details}");
        }

        drop(neighbour);
        let until = Instant::now() + Duration::from_secs(4);
        while watched.proxy.get("/").status() != 200 {
            assert!(Instant::now() < until, "nothing is served");
        }
    });
}

#[test]
fn a_neighbour_that_holds_most_of_a_pair_is_seen_before_requests_pay_for_it() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
        let watched = Watched::to(&app.target(), "keepalive = { idle = 0 }");
        let neighbour: Vec<_> = (0..90)
            .map(|_| TcpStream::connect("127.0.0.1:3000").expect("a port"))
            .collect();
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 300);
        crowd.all_echo();
        // A reading is never far, but rare where it is dear.
        let until = Instant::now() + PATIENCE;
        let others = || {
            let status = watched.status();
            let first = &status["upstreams"][0]["source_ports"][0];
            first["others"].as_u64().expect("a number")
        };
        while others() != 90 {
            assert!(Instant::now() < until, "{} of 90 are seen", others());
            assert_eq!(watched.proxy.get("/").status(), 200);
        }
        let refusals = watched.metric(REFUSALS);
        let tally = ask(
            &watched.proxy,
            10,
            Duration::from_secs(3),
            Duration::from_millis(50),
        );
        assert_eq!(tally.failed, 0, "{tally:?}");
        // A reading can be off by what comes and goes while it is made, and then the kernel says so, once.
        let more = watched.metric(REFUSALS) - refusals;
        assert!(more <= 3, "{more} refusals of {} requests", tally.served);
        drop(neighbour);
    });
}

/// A container's address behind a rule that rewrites 10.9.9.9: what a published port of a container runtime is.
const CONTAINER: &str = "172.31.0.2:3000";

/// In a network namespace of its own, another proxy, in front of an app on a Unix socket: the container. The rule and
/// the interfaces are made in ours.
fn container(app: &App) -> crate::support::Lasthop {
    let ours = std::process::id();
    let script = format!(
        "ip link set lo up && ip link add eth0 type veth peer name veth0 netns {ours} && \
         ip addr add 172.31.0.2/24 dev eth0 && ip link set eth0 up && \
         ip route add default via 172.31.0.1 && exec \"$0\" \"$@\""
    );
    let proxy = Setup::to(&[&app.target()])
        .on(CONTAINER)
        .instead_of_binary(&["unshare", "--net", "sh", "-c", &script, binary(), "run"])
        .start();
    namespace::run("ip addr add 172.31.0.1/24 dev veth0");
    namespace::run("ip link set veth0 up");
    proxy
}

/// The rule.
fn publish() {
    namespace::run("nft add table ip published");
    namespace::run("nft add chain ip published output { type nat hook output priority -100 ; }");
    namespace::run(&format!(
        "nft add rule ip published output ip daddr 10.9.9.9 tcp dport 3000 dnat to {CONTAINER}"
    ));
}

/// What answers, and echoes on what is upgraded.
fn app_of_container(dir: &TempDir) -> App {
    App::at(&Address::Unix(dir.join("app.sock")), |mut conn| {
        while let Some(request) = conn.request() {
            if !request.head.start.starts_with("GET /ws ") {
                conn.answer("ok");
                continue;
            }
            conn.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\nX-Source: 0.0.0.0\r\n\r\n",
            );
            while let Ok(bytes) = conn.wire.some() {
                conn.send(bytes);
            }
            return;
        }
    })
}

#[test]
fn a_pair_whose_packets_a_rule_rewrites_is_condemned_and_the_app_is_not() {
    if let Err(why) = programs::ip().and_then(|()| programs::nft()) {
        return programs::skip(&why);
    }
    namespace::with_ports(HUNDRED_PORTS, || {
        add_loopback_address(IpAddr::from([10, 9, 9, 9]), 32).expect("an address on lo");
        let dir = TempDir::new();
        let app = app_of_container(&dir);
        let _container = container(&app);
        publish();
        let watched = Watched::to("10.9.9.9:3000", "queue = { timeout = \"500ms\" }");
        let mut crowd = Crowd::new();
        // The kernel's pair has a hundred ports; they work as ever, while others are tried.
        crowd.join(&watched.proxy, 95);
        watched
            .proxy
            .logs(&["a spread pair of addresses does not work", "DNAT"]);
        crowd.join(&watched.proxy, 5);
        crowd.all_echo();
        let refused = crowd.try_join(&watched.proxy, 1);
        assert!(refused[0].contains(" 503 "), "{refused:?}");
        assert!(
            refused[0].contains("all 100 in use (100 ours"),
            "{refused:?}"
        );
        // Nobody takes it for the app's fault, and what is given back is used again.
        for result in ["timeout", "refused", "other"] {
            let begin =
                format!("lasthop_upstream_connects_total{{upstream=\"app\",result=\"{result}\"}}");
            assert_eq!(watched.metric(&begin), 0, "{begin}");
        }
        crowd.all_echo();
    });
}

#[test]
fn a_rule_that_comes_later_costs_pairs_that_worked_and_no_request() {
    if let Err(why) = programs::ip().and_then(|()| programs::nft()) {
        return programs::skip(&why);
    }
    namespace::with_ports(HUNDRED_PORTS, || {
        add_loopback_address(IpAddr::from([10, 9, 9, 9]), 32).expect("an address on lo");
        let before = CrowdApp::at("10.9.9.9:3000", After::Keeps);
        let dir = TempDir::new();
        let app = app_of_container(&dir);
        let _container = container(&app);
        // A host that is busy with something else tries pairs slowly.
        let watched = Watched::to(&before.target(), "queue = { timeout = \"15s\" }");
        // The first pair up to its mark, and more on pairs that have been tried: were they slow, all of its ports would go first.
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 90);
        let spills = "lasthop_source_ports_spills_total{upstream=\"app\"}";
        let mut extra = 0;
        while watched.metric(spills) == 0 {
            assert!(extra < 8, "no other pair works");
            std::thread::sleep(Duration::from_millis(300)); // tidy: nothing tells of a pair that works and is not used yet
            crowd.join(&watched.proxy, 1);
            extra += 1;
        }
        crowd.join(&watched.proxy, 20 - extra);
        publish();
        let mut more = Crowd::new();
        let refused = more.try_join(&watched.proxy, 3);
        assert!(refused.is_empty(), "{refused:?}");
        watched
            .proxy
            .logs(&["a spread pair of addresses does not work", "DNAT"]);
        more.all_echo();
    });
}

#[test]
fn an_app_that_is_busy_for_a_while_costs_no_pair() {
    namespace::with_ports("40000 40009", || {
        let address = IpAddr::from([10, 9, 9, 9]);
        add_loopback_address(address, 32).expect("an address on lo");
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let target = std::net::SocketAddr::from((address, 3000));
        listener.bind(&target.into()).expect("an address of lo");
        listener.listen(4).expect("a listener");
        let watched = Watched::to(
            "10.9.9.9:3000",
            "queue = { timeout = \"10s\" }\nconnect_timeout = \"10s\"",
        );
        std::thread::scope(|scope| {
            let asked: Vec<_> = (0..80)
                .map(|_| scope.spawn(|| watched.proxy.get("/").status()))
                .collect();
            std::thread::sleep(Duration::from_millis(2800)); // tidy: the app is busy for so long that a retransmission is lost too
            // From here on it is quick, so that nobody waits for one retransmission after the other.
            listener.listen(1024).expect("a longer queue");
            let listener: std::net::TcpListener = listener.into();
            scope.spawn(move || {
                // As many as have asked, and handshakes that try pairs.
                let mut answered = 0;
                while answered < 80 {
                    let (mut connection, _) = listener.accept().expect("a connection");
                    let mut head = [0; 4096];
                    if connection.read(&mut head).is_ok_and(|read| read > 0) {
                        let answer =
                            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
                        connection.write_all(answer.as_bytes()).expect("an answer");
                        answered += 1;
                    }
                }
            });
            for asked in asked {
                assert_eq!(asked.join().expect("a client"), 200);
            }
        });
        let log = watched.proxy.log_so_far();
        assert!(
            !log.iter().any(|line| line.contains("does not work")),
            "{log:#?}"
        );
    });
}

#[test]
fn a_neighbour_that_binds_every_port_keeps_nobody_from_an_app_on_another_address() {
    namespace::with_ports(HUNDRED_PORTS, || {
        add_loopback_address(IpAddr::from([10, 9, 9, 9]), 32).expect("an address on lo");
        let app = CrowdApp::at("10.9.9.9:3000", After::Keeps);
        let neighbour = bind_all("127.64.0.1");
        let watched = Watched::to(&app.target(), "");
        let tally = ask(
            &watched.proxy,
            150,
            Duration::from_secs(3),
            Duration::from_millis(500),
        );
        assert_eq!(tally.failed, 0, "{tally:?}");
        drop(neighbour);
    });
}

#[test]
fn a_source_that_is_taken_from_the_host_is_passed_over() {
    if let Err(why) = programs::ip() {
        return programs::skip(&why);
    }
    namespace::with_ports(HUNDRED_PORTS, || {
        for last in 1..=2 {
            add_loopback_address(IpAddr::from([10, 7, 0, last]), 32).expect("an address on lo");
        }
        let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
        let watched = Watched::to(&app.target(), "source = [\"10.7.0.1\", \"10.7.0.2\"]");
        namespace::run("ip addr del 10.7.0.1/32 dev lo");
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 20);
        assert!(
            crowd
                .sources()
                .iter()
                .all(|source| *source == IpAddr::from([10, 7, 0, 2]))
        );
    });
}

#[test]
fn a_neighbour_that_has_gone_is_not_told_of_for_ever() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
        let neighbour: Vec<_> = (0..90)
            .map(|_| TcpStream::connect("127.0.0.1:3000").expect("a port"))
            .collect();
        let watched = Watched::to(&app.target(), "");
        let others = || {
            let status = watched.status();
            let first = &status["upstreams"][0]["source_ports"][0];
            first["others"].as_u64().expect("a number")
        };
        let until = Instant::now() + PATIENCE;
        while others() != 90 {
            assert!(Instant::now() < until, "{} of 90 are seen", others());
        }
        // And nobody asks for anything after it.
        drop(neighbour);
        while others() != 0 {
            assert!(
                Instant::now() < until + PATIENCE,
                "{} are still told of",
                others()
            );
        }
    });
}
