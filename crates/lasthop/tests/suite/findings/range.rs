//! The range of source ports itself: too narrow, reserved, listened on, and held by those who bind.

use std::net::{TcpListener, TcpStream};

use lasthop_ports::finding::Code;

use crate::support::doctor::{visit, visit_naming};
use crate::support::held::{Held, client_that_binds_its_address_alone, client_that_binds_plainly};
use crate::support::namespace;

const TWO_HUNDRED_PORTS: &str = "40000 40199";
/// What the kernel has by default.
const DEFAULT: &str = "32768 60999";

#[test]
fn port_range_narrow_is_told_of_one_port_less_than_the_default() {
    namespace::with_ports("32768 60998", || {
        let visit = visit();
        visit.tells(Code::PortRangeNarrow, "note");
        visit.is_healthy();
    });
}

#[test]
fn port_range_narrow_is_told_as_a_warning_where_somebody_needs_more() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        let _held = Held::of(120);
        visit().tells(Code::PortRangeNarrow, "warning");
    });
}

#[test]
fn port_range_narrow_is_silent_about_the_default() {
    namespace::with_ports(DEFAULT, || {
        let visit = visit();
        visit.is_silent_about(Code::PortRangeNarrow);
        visit.is_healthy();
    });
}

#[test]
fn port_range_overlaps_listeners_is_told_of_a_listener_in_the_range() {
    namespace::with_ports(DEFAULT, || {
        let _listener = TcpListener::bind("127.0.0.1:33000").expect("a port of our own");
        visit().tells(Code::PortRangeOverlapsListeners, "note");
    });
}

#[test]
fn port_range_overlaps_listeners_is_silent_where_its_port_is_reserved() {
    namespace::with_ports(DEFAULT, || {
        namespace::set("net/ipv4/ip_local_reserved_ports", "33000");
        let _listener = TcpListener::bind("127.0.0.1:33000").expect("a port of our own");
        visit().is_silent_about(Code::PortRangeOverlapsListeners);
    });
}

#[test]
fn ports_reserved_is_told_of_more_than_half_of_the_range() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        namespace::set("net/ipv4/ip_local_reserved_ports", "40000-40119");
        let visit = visit();
        let finding = visit.tells(Code::PortsReserved, "warning");
        assert_eq!(finding["usage"]["used"], 120);
        assert_eq!(visit.exit, Some(3));
    });
}

#[test]
fn ports_reserved_is_silent_about_a_single_port() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        namespace::set("net/ipv4/ip_local_reserved_ports", "40100");
        visit().is_silent_about(Code::PortsReserved);
    });
}

/// Ten connections, each made by `client`.
fn ten(client: fn(&str) -> TcpStream) -> (Held, Vec<TcpStream>) {
    let held = Held::nobody();
    let clients = (0..10).map(|_| client(&held.app.target())).collect();
    held.app.wait_for_open(10);
    (held, clients)
}

#[test]
fn ports_bound_plainly_is_told_of_clients_that_bind_before_they_connect() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        let _held = ten(client_that_binds_plainly);
        let visit = visit_naming(Code::PortsBoundPlainly);
        let finding = visit.tells(Code::PortsBoundPlainly, "warning");
        assert_eq!(finding["usage"]["used"], 10);
        assert_eq!(finding["processes"][0]["pid"], std::process::id());
    });
}

#[test]
fn ports_bound_plainly_is_silent_about_clients_that_leave_the_port_to_connect() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        let _held = ten(client_that_binds_its_address_alone);
        visit().is_silent_about(Code::PortsBoundPlainly);
    });
}
