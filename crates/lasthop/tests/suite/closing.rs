//! Who closes a connection to the app first, because that side keeps its ports in TIME_WAIT: decided on purpose.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lasthop_kernel::namespace::add_loopback_address;

use crate::support::load::ask;
use crate::support::{After, CrowdApp, PATIENCE, Watched, namespace};

const HUNDRED_PORTS: &str = "40000 40099";

/// Connections of the namespace in TIME_WAIT: those on our side of an app on port 3000, and those on its own.
fn in_time_wait() -> (usize, usize) {
    const TIME_WAIT: &str = "06";
    const APP: &str = ":0BB8";
    /// 127.64.0.0/16, of which handshakes are tried that no request has to do with.
    const SPREAD: &str = "407F:";
    let table = std::fs::read_to_string("/proc/self/net/tcp").expect("/proc/net/tcp");
    let mut counts = (0, 0);
    for line in table.lines().skip(1) {
        // sl local remote st … (proc(5)).
        let fields: Vec<_> = line.split_whitespace().collect();
        match fields[3] == TIME_WAIT {
            true if fields[1].contains(SPREAD) => {}
            true if fields[2].ends_with(APP) => counts.0 += 1,
            true if fields[1].ends_with(APP) => counts.1 += 1,
            _ => {}
        }
    }
    counts
}

#[test]
fn an_orderly_close_of_ours_leaves_time_wait_and_a_reset_leaves_nothing() {
    namespace::with_ports(HUNDRED_PORTS, || {
        for (close, leaves) in [("reset", false), ("orderly", true)] {
            let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
            let upstream = format!("keepalive = {{ idle = 0 }}\nclose = \"{close}\"");
            let watched = Watched::to(&app.target(), &upstream);
            let before = in_time_wait();
            let tally = ask(
                &watched.proxy,
                5,
                Duration::from_millis(500),
                Duration::from_millis(50),
            );
            assert_eq!(tally.failed, 0, "{tally:?}");
            assert!(tally.served >= 20, "{tally:?}");
            app.wait_for_open(0);
            assert_eq!(in_time_wait() != before, leaves, "{close}");
        }
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
            let before = in_time_wait();
            let tally = ask(
                &watched.proxy,
                4,
                Duration::from_millis(500),
                Duration::from_millis(100),
            );
            assert_eq!(tally.failed, 0, "{tally:?}");
            assert!(tally.served >= 12, "{tally:?}");
            // It is settled when both sides have closed.
            app.wait_for_open(0);
            let until = Instant::now() + PATIENCE;
            let (ours_more, apps_more) = loop {
                let after = in_time_wait();
                let more = (after.0 - before.0, after.1 - before.1);
                if more.0 + more.1 == tally.served || Instant::now() > until {
                    break more;
                }
            };
            let expected = if ours {
                (tally.served, 0)
            } else {
                (0, tally.served)
            };
            let told = "connections in TIME_WAIT: ours, the app's";
            assert_eq!((ours_more, apps_more), expected, "{target}: {told}");
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
