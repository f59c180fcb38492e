//! Source ports in numbers: where connections to one app come from, in which order, and that they come from the first
//! address again. In namespaces with a hundred ports, so that what takes 28,232 connections elsewhere takes a hundred.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::support::{After, Crowd, CrowdApp, PATIENCE, Watched, namespace};

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
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}
