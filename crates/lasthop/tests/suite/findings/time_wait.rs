//! Ports that rest in TIME_WAIT, at whose end, and how many may.

use std::net::TcpListener;

use lasthop_ports::finding::Code;

use crate::support::doctor::visit;
use crate::support::held::{APP, First, connections_that_are_closed};
use crate::support::namespace;

const TWO_HUNDRED_PORTS: &str = "40000 40199";

/// `count` connections are opened and closed at once, in a namespace of two hundred ports of which none may be used again.
fn closed(count: usize, first: First) -> TcpListener {
    namespace::set("net/ipv4/tcp_tw_reuse", "0");
    let listener = TcpListener::bind(APP).expect("a port of our own");
    connections_that_are_closed(&listener, count, first);
    listener
}

#[test]
fn time_wait_held_is_told_of_a_proxy_without_keep_alive() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        let _listener = closed(60, First::Client);
        let visit = visit();
        let finding = visit.tells(Code::TimeWaitHeld, "warning");
        assert_eq!(finding["usage"]["used"], 60);
        assert_eq!(finding["subject"]["target"], APP);
    });
}

#[test]
fn time_wait_held_is_silent_when_the_app_closes_first() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        let _listener = closed(60, First::App);
        let visit = visit();
        visit.is_silent_about(Code::TimeWaitHeld);
        // They are there, at the other end, where they take no port; but for those whose port was taken again since.
        let time_wait = &visit.namespace()["sockets"]["time_wait"];
        assert!(time_wait.as_u64() > Some(20), "{time_wait}");
    });
}

#[test]
fn time_wait_reuse_useless_is_told_where_a_setting_forbids_it() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        let _listener = closed(50, First::Client);
        visit().tells(Code::TimeWaitReuseUseless, "warning");
    });
}

#[test]
fn time_wait_reuse_useless_is_silent_where_the_setting_allows_it() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        let _listener = closed(50, First::Client);
        namespace::set("net/ipv4/tcp_tw_reuse", "1");
        visit().is_silent_about(Code::TimeWaitReuseUseless);
    });
}

#[test]
fn time_wait_bucket_overflow_is_told_when_connections_end_without() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        namespace::set("net/ipv4/tcp_max_tw_buckets", "20");
        let _listener = closed(40, First::Client);
        visit().tells(Code::TimeWaitBucketOverflow, "warning");
    });
}

#[test]
fn time_wait_bucket_overflow_is_silent_while_there_is_room() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        namespace::set("net/ipv4/tcp_max_tw_buckets", "60");
        let _listener = closed(40, First::Client);
        visit().is_silent_about(Code::TimeWaitBucketOverflow);
    });
}
