//! How much of a pair of addresses is in use: used up, tight, rising; and which half of the ports is full.

use std::net::TcpStream;
use std::time::Duration;

use lasthop_ports::finding::Code;

use crate::support::doctor::{visit, visit_naming, visit_until};
use crate::support::held::{APP, Held, Rise};
use crate::support::namespace;

const TWO_HUNDRED_PORTS: &str = "40000 40199";
const THOUSAND_PORTS: &str = "40000 40999";

#[test]
fn ports_exhausted_is_told_when_no_port_is_left() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        let _held = Held::of(200);
        TcpStream::connect(APP).expect_err("no port is left");
        let visit = visit();
        let finding = visit.tells(Code::PortsExhausted, "critical");
        assert_eq!(finding["usage"]["used"], 200);
        assert_eq!(visit.exit, Some(4));
    });
}

#[test]
fn ports_exhausted_is_silent_with_five_ports_left() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        let _held = Held::of(195);
        visit().is_silent_about(Code::PortsExhausted);
    });
}

#[test]
fn ports_tight_is_told_from_four_fifths_on() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        let _held = Held::of(160);
        let visit = visit_naming(Code::PortsTight);
        let finding = visit.tells(Code::PortsTight, "warning");
        assert_eq!(finding["usage"]["used"], 160);
        assert_eq!(finding["processes"][0]["pid"], std::process::id());
        assert_eq!(visit.exit, Some(3));
    });
}

#[test]
fn ports_tight_is_silent_one_port_below_four_fifths() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        let _held = Held::of(159);
        visit().is_silent_about(Code::PortsTight);
    });
}

#[test]
fn ports_forecast_is_told_of_connections_that_become_more_steadily() {
    namespace::with_ports(THOUSAND_PORTS, || {
        let mut held = Held::of(250);
        let rise = Rise::start(Duration::from_millis(20), move || {
            held.join(1);
            held.len() < 700
        });
        let visit = visit_until(|visit| !visit.all(Code::PortsForecast).is_empty());
        drop(rise);
        let finding = visit.tells(Code::PortsForecast, "warning");
        assert!(finding["forecast"]["per_minute"].as_f64() > Some(0.0));
    });
}

#[test]
fn ports_forecast_is_silent_about_as_many_connections_that_stay_as_many() {
    namespace::with_ports(THOUSAND_PORTS, || {
        let _held = Held::of(250);
        visit().is_silent_about(Code::PortsForecast);
    });
}

#[test]
fn port_parity_slope_is_told_when_one_half_of_the_ports_is_full() {
    namespace::with_ports(THOUSAND_PORTS, || {
        // connect(2) looks through all ports of one parity before it takes one of the other.
        let _held = Held::of(520);
        visit().tells(Code::PortParitySlope, "warning");
    });
}

#[test]
fn port_parity_slope_is_silent_below_one_half() {
    namespace::with_ports(THOUSAND_PORTS, || {
        let _held = Held::of(480);
        visit().is_silent_about(Code::PortParitySlope);
    });
}
