//! Hosts that are not as most are: settings that keep ports in TIME_WAIT for a minute, kernels and sandboxes that lack
//! something. What is missing costs room or foresight, and no request.

use std::net::IpAddr;
use std::time::Duration;

use lasthop_kernel::namespace::{
    add_local_network, add_loopback_address, deny_port_range_option, deny_sock_diag,
};

use crate::support::load::ask;
use crate::support::{After, Crowd, CrowdApp, Setup, Watched, namespace, programs};

const HUNDRED_PORTS: &str = "40000 40099";

/// Many more requests than one pair has ports, each on a connection that we close.
fn serves_more_than_ports(setting: &str) {
    namespace::set(setting, "0");
    let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
    let watched = Watched::to(&app.target(), "keepalive = { idle = 0 }");
    let tally = ask(
        &watched.proxy,
        20,
        Duration::from_secs(4),
        Duration::from_millis(40),
    );
    assert_eq!(tally.failed, 0, "{tally:?}");
    assert!(tally.served > 1000, "{tally:?}");
    // None comes back for a minute, so each hundred had to come from another address.
    assert!(app.sources().len() * 100 >= tally.served, "{tally:?}");
}

#[test]
fn without_tcp_timestamps_more_requests_than_ports_are_served() {
    namespace::with_ports(HUNDRED_PORTS, || {
        serves_more_than_ports("net/ipv4/tcp_timestamps");
    });
}

#[test]
fn without_reuse_of_time_wait_more_requests_than_ports_are_served() {
    namespace::with_ports(HUNDRED_PORTS, || {
        serves_more_than_ports("net/ipv4/tcp_tw_reuse")
    });
}

#[test]
fn a_kernel_that_searches_one_half_first_has_only_that_half_used() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
        let setup = Setup::to(&[&app.target()]).prepared(deny_port_range_option);
        let watched = Watched::start(setup);
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 150);
        crowd.all_echo();
        let from = |last: [u8; 4]| {
            let source = IpAddr::from(last);
            crowd.sources().iter().filter(|of| **of == source).count()
        };
        assert_eq!(from([127, 0, 0, 1]), 50);
        assert_eq!(from([127, 64, 0, 1]), 50);
        assert_eq!(from([127, 64, 0, 2]), 50);
    });
}

#[test]
fn a_sandbox_that_hides_the_table_of_connections_costs_one_warning() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
        let setup = Setup::to(&[&app.target()]).prepared(deny_sock_diag);
        let watched = Watched::start(setup);
        // Somebody else is there, too, and cannot be seen coming.
        let neighbour: Vec<_> = (0..50)
            .map(|_| std::net::TcpStream::connect("127.0.0.1:3000").expect("a port"))
            .collect();
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 600);
        crowd.all_echo();
        let warning = "table of connections cannot be read";
        watched.proxy.logs(&[warning]);
        let lines = watched.proxy.log_so_far();
        let warnings = lines.iter().filter(|line| line.contains(warning)).count();
        assert_eq!(warnings, 1, "{lines:#?}");
        drop(neighbour);
    });
}

#[test]
fn a_listed_source_that_the_host_has_lost_is_passed_over() {
    if let Err(why) = programs::ip() {
        return programs::skip(&why);
    }
    namespace::with_ports(HUNDRED_PORTS, || {
        for last in [5, 6] {
            add_loopback_address(IpAddr::from([10, 0, 0, last]), 32).expect("an address on lo");
        }
        add_loopback_address(IpAddr::from([10, 9, 9, 9]), 32).expect("an address on lo");
        let app = CrowdApp::at("10.9.9.9:3000", After::Keeps);
        let watched = Watched::to(&app.target(), "source = [\"10.0.0.5\", \"10.0.0.6\"]");
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 5);
        namespace::run("ip addr del 10.0.0.5/32 dev lo");
        let mut later = Crowd::new();
        later.join(&watched.proxy, 5);
        assert_eq!(crowd.sources(), [IpAddr::from([10, 0, 0, 5]); 5]);
        assert_eq!(later.sources(), [IpAddr::from([10, 0, 0, 6]); 5]);
        watched
            .proxy
            .logs(&["10.0.0.5 -> 10.9.9.9:3000", "is passed over"]);
        namespace::run("ip addr del 10.0.0.6/32 dev lo");
        // That none is left is no shortage of ports, and is said.
        let refused = later.try_join(&watched.proxy, 1);
        assert!(refused[0].contains(" 502 "), "{refused:?}");
        assert!(refused[0].contains("address not available"), "{refused:?}");
    });
}

#[test]
fn a_network_on_lo_that_goes_away_costs_one_request_and_not_all() {
    if let Err(why) = programs::ip() {
        return programs::skip(&why);
    }
    namespace::with_ports("40000 40009", || {
        add_local_network("fd00:1::".parse().unwrap(), 64).expect("a network on lo");
        let app = CrowdApp::at("[::1]:3000", After::Keeps);
        let limits = "connect_timeout = \"500ms\"\nqueue = { timeout = \"100ms\" }";
        let watched = Watched::to(&app.target(), limits);
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 12);
        namespace::run("ip -6 route del local fd00:1::/64 dev lo");
        let refused = crowd.try_join(&watched.proxy, 1);
        assert!(refused[0].contains(" 504 "), "{refused:?}");
        for _ in 0..3 {
            let refused = crowd.try_join(&watched.proxy, 1);
            assert!(refused[0].contains(" 503 "), "{refused:?}");
        }
    });
}

#[test]
fn a_drain_does_not_wait_for_handshakes_that_get_no_answer() {
    if let Err(why) = programs::ip().and_then(|()| programs::nft()) {
        return programs::skip(&why);
    }
    namespace::with_ports(HUNDRED_PORTS, || {
        add_loopback_address(IpAddr::from([10, 9, 9, 9]), 32).expect("an address on lo");
        namespace::run("nft add table ip deaf");
        namespace::run("nft add chain ip deaf input { type filter hook input priority 0 ; }");
        namespace::run("nft add rule ip deaf input ip saddr 127.64.0.0/16 tcp dport 3000 drop");
        let app = CrowdApp::at("10.9.9.9:3000", After::Keeps);
        let mut watched = Watched::to(&app.target(), "");
        let mut crowd = Crowd::new();
        crowd.join(&watched.proxy, 90);
        // The first of the pairs that are tried ahead of need; two more follow, for 0.8 s each.
        watched
            .proxy
            .logs(&["a spread pair of addresses does not work"]);
        crowd.keep(0);
        app.wait_for_open(0);
        watched.proxy.signal("TERM");
        let ended = watched.proxy.ends_within(Duration::from_millis(700));
        assert!(ended.is_some_and(|status| status.success()));
    });
}
