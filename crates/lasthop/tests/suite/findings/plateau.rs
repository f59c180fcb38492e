//! The flat top: ports in use that have stood at their limit for a while. Time is what these tests are about.

use std::time::Duration;

use lasthop_ports::finding::Code;

use crate::support::doctor::Watch;
use crate::support::held::Held;
use crate::support::namespace;

const TWO_HUNDRED_PORTS: &str = "40000 40199";

/// From when on a flat top is one.
const LONG: Duration = Duration::from_secs(10);

#[test]
fn ports_plateau_is_told_when_the_limit_has_been_reached_for_ten_seconds() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        let _held = Held::of(200);
        let mut watch = Watch::start();
        watch.next().is_silent_about(Code::PortsPlateau);
        let told = watch.until(|visit| !visit.all(Code::PortsPlateau).is_empty());
        told.tells(Code::PortsPlateau, "critical");
    });
}

#[test]
fn ports_plateau_is_silent_about_a_pool_that_is_as_large_as_it_may_be() {
    namespace::with_ports(TWO_HUNDRED_PORTS, || {
        let _held = Held::of(197);
        let last = Watch::start().for_as_long_as(LONG);
        last.is_silent_about(Code::PortsPlateau);
        last.tells(Code::PortsTight, "warning");
    });
}
