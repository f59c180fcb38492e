//! Source ports in numbers: where connections to one app come from, in which order, and that they come from the first
//! address again. In namespaces with a hundred ports, so that what takes 28,232 connections elsewhere takes a hundred.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lasthop_kernel::namespace::{add_local_network, add_loopback_address};

use crate::support::{After, Crowd, CrowdApp, Watched, namespace};

/// A hundred source ports.
const HUNDRED_PORTS: &str = "40000 40099";

/// What the kernel chooses towards 127.0.0.1.
const FIRST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[test]
fn five_thousand_connections_to_one_app_are_held_with_a_hundred_ports() {
    namespace::with_ports(HUNDRED_PORTS, || {
        const COUNT: usize = 5000;
        let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
        let watched = Watched::to(&app.target(), "");
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, COUNT);
        crowd.all_echo();
        // Those that small sites have come from the address that small sites know.
        let sources = app.seen().into_iter().map(|seen| seen.source.ip());
        let first = sources.take_while(|source| *source == FIRST).count();
        assert!(
            first >= 90,
            "{first} connections before the first other source"
        );
        assert!(app.sources().len() <= 56, "{:?}", app.sources());

        let in_use = watched.metric("lasthop_source_ports_in_use{");
        assert_eq!(in_use, COUNT as u64);
        let limit = "lasthop_source_ports_limit{upstream=\"app\",source=\"127.0.0.1\",target=\"127.0.0.1:3000\"}";
        assert_eq!(watched.metric(limit), 100);
        let spills = watched.metric("lasthop_source_ports_spills_total{upstream=\"app\"}");
        assert_eq!(spills, (COUNT - first) as u64);
        let status = watched.status();
        let upstream = &status["upstreams"][0];
        assert_eq!(upstream["spills"], spills);
        let pairs = upstream["source_ports"].as_array().expect("pairs");
        assert_eq!(pairs[0]["source"], "127.0.0.1");
        assert_eq!(pairs[0]["live"], first);
        let live = pairs.iter().map(|pair| pair["live"].as_u64().unwrap());
        assert_eq!(live.sum::<u64>(), COUNT as u64);
        watched.proxy.logs(&[
            "source ports of the first pair are short",
            "--forwarded-allow-ips",
        ]);

        crowd.keep(0);
        app.wait_for_open(0);
        let closed = Instant::now();
        // Each is a connection of its own, and leaves a port behind.
        loop {
            let mut next = Crowd::new();
            next.join(&watched.proxy, 1);
            if next.sources() == [FIRST] {
                break;
            }
            assert!(
                closed.elapsed() < Duration::from_secs(2),
                "connections still come from {:?}",
                next.sources()
            );
            std::thread::sleep(Duration::from_millis(50)); // tidy: each look takes a port; so as not to take them all
        }
    });
}

#[test]
fn an_app_on_every_address_is_reached_at_many_and_sees_connections_from_one() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let app = CrowdApp::at("0.0.0.0:3000", After::Keeps);
        let watched = Watched::to("127.0.0.1:3000", "");
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 500);
        crowd.all_echo();
        assert_eq!(app.sources(), [FIRST]);
        assert!(app.destinations().len() >= 5, "{:?}", app.destinations());
        // Nothing that an app would have to be told of.
        let line = watched
            .proxy
            .logs(&["source ports of the first pair are short"]);
        assert!(!line.contains("forwarded"), "{line}");

        // The next release listens on one address only.
        drop((crowd, app));
        let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 500);
        crowd.all_echo();
        assert_eq!(app.destinations(), [FIRST]);
        assert!(app.sources().len() >= 5, "{:?}", app.sources());
        // Now it has to be.
        watched.proxy.logs(&[
            "source ports of the first pair are short",
            "--forwarded-allow-ips",
        ]);
    });
}

#[test]
fn a_range_of_targets_is_spread_over_without_another_source() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let app = CrowdApp::at("0.0.0.0:3000", After::Keeps);
        let watched = Watched::to("127.0.0.0/28:3000", "source = \"kernel\"");
        let mut crowd = Crowd::new();
        // Fourteen addresses: all but the first and the last of sixteen.
        crowd.join(&watched.proxy, 1400);
        crowd.all_echo();
        assert_eq!(app.sources(), [FIRST]);
        let range = (1..=14).map(|last| IpAddr::from([127, 0, 0, last]));
        assert_eq!(app.destinations(), range.collect::<Vec<_>>());
    });
}

#[test]
fn listed_sources_are_used_and_no_others() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
        let upstream = "source = [\"127.1.0.0/30\"]\nqueue = { timeout = \"200ms\" }";
        let watched = Watched::to(&app.target(), upstream);
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 200);
        let listed = [1, 2].map(|last| IpAddr::from([127, 1, 0, last]));
        assert_eq!(app.sources(), listed);
        let refused = crowd.try_join(&watched.proxy, 1);
        assert!(refused[0].contains("all 200 in use"), "{refused:?}");
        assert_eq!(app.sources(), listed);
        crowd.all_echo();
    });
}

#[test]
fn reserved_ports_are_never_used() {
    namespace::with_ports(HUNDRED_PORTS, || {
        namespace::set("net/ipv4/ip_local_reserved_ports", "40010-40099");
        let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
        let watched = Watched::to(&app.target(), "");
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 200);
        crowd.all_echo();
        let ports = app.seen().into_iter().map(|seen| seen.source.port());
        assert!(ports.clone().all(|port| (40_000..40_010).contains(&port)));
        assert!(app.sources().len() >= 20, "{:?}", app.sources());
        assert_eq!(watched.metric("lasthop_source_ports_refusals_total"), 0);
    });
}

#[test]
fn an_app_on_another_local_address_is_spread_to_after_a_handshake_that_no_request_waits_for() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let address = IpAddr::from([10, 9, 9, 9]);
        add_loopback_address(address, 32).expect("an address on lo");
        let app = CrowdApp::at("10.9.9.9:3000", After::Keeps);
        let watched = Watched::to(&app.target(), "");
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 1000);
        crowd.all_echo();
        let others: Vec<_> = app
            .sources()
            .into_iter()
            .filter(|ip| *ip != address)
            .collect();
        assert!(others.len() >= 9, "{others:?}");
        for (source, number) in others.iter().zip(1..) {
            assert_eq!(*source, IpAddr::from([127, 64, 0, number]));
            // The first connection from there was the handshake.
            let tunnels = crowd.sources().iter().filter(|of| *of == source).count();
            let seen = app.seen();
            let seen = seen
                .iter()
                .filter(|seen| seen.source.ip() == *source)
                .count();
            assert!(
                seen > tunnels,
                "{source}: {seen} connections, {tunnels} tunnels"
            );
        }
    });
}

#[test]
fn an_app_on_ipv6_is_spread_to_from_a_network_that_is_routed_to_lo() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let network: IpAddr = "fd00:1::".parse().unwrap();
        add_local_network(network, 64).expect("a route to lo");
        let app = CrowdApp::at("[::1]:3000", After::Keeps);
        let watched = Watched::to(&app.target(), "");
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 500);
        crowd.all_echo();
        let first: IpAddr = "::1".parse().unwrap();
        assert_eq!(crowd.sources()[0], first);
        let sources = app.sources();
        let others = sources.iter().filter(|ip| **ip != first);
        assert!(others.clone().count() >= 4, "{sources:?}");
        for source in others {
            assert!(source.to_string().starts_with("fd00:1::"), "{source}");
        }
    });
}

#[test]
fn an_app_on_ipv6_without_such_a_network_has_the_ports_of_one_address_and_the_log_says_what_to_do()
{
    namespace::with_ports(HUNDRED_PORTS, || {
        let app = CrowdApp::at("[::1]:3000", After::Keeps);
        let watched = Watched::to(&app.target(), "queue = { timeout = \"200ms\" }");
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 100);
        let refused = crowd.try_join(&watched.proxy, 1);
        assert!(refused[0].contains(" 503 "), "{refused:?}");
        assert!(
            refused[0].contains("all 100 in use (100 ours"),
            "{refused:?}"
        );
        watched
            .proxy
            .logs(&["source ports", "ip -6 route add local"]);
        crowd.all_echo();
    });
}

#[test]
fn three_instances_on_one_pair_leave_each_other_room() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
        let watched = [(); 3].map(|()| Watched::to(&app.target(), ""));
        let mut crowds: Vec<_> = watched
            .iter()
            .map(|watched| (watched, Crowd::new()))
            .collect();
        // In turns: each meets what the others have taken meanwhile.
        for _ in 0..5 {
            for (watched, crowd) in &mut crowds {
                crowd.join(&watched.proxy, 100);
            }
        }
        for (watched, crowd) in &mut crowds {
            crowd.all_echo();
            let failed =
                "lasthop_upstream_connects_total{upstream=\"app\",result=\"source_ports\"}";
            assert_eq!(watched.metric(failed), 0);
        }
        assert_eq!(app.open(), 1500);
    });
}
