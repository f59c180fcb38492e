//! What `lasthop plan` prints, and that the numbers in it belong together.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by its panic"
)]

use std::net::IpAddr;
use std::time::Duration;

use lasthop_ports::ledger::{Gate, Usage};
use lasthop_ports::{
    AddressBlock, Bound, Change, Condition, HostPorts, Limits, Plan, Sources, Stage,
    TargetCapacity, TimeWaitReuse,
};
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn block(network: &str, prefix: u8) -> AddressBlock {
    AddressBlock::network(ip(network), prefix).unwrap()
}

fn host(range: &str, reserved: &str) -> HostPorts {
    HostPorts {
        range: range.parse().unwrap(),
        reserved: reserved.parse().unwrap(),
        flat_search: true,
        reuse: TimeWaitReuse::Loopback(Duration::from_secs(1)),
    }
}

fn default_host() -> HostPorts {
    host("32768 60999", "")
}

/// What `source = "auto"` means for an app on 127.0.0.1.
fn auto() -> Plan {
    let kernel = Sources::Kernel(Some(ip("127.0.0.1")));
    let spill = block("127.64.0.0", 16);
    let target = AddressBlock::single(ip("127.0.0.1"));
    let stage = |sources, destinations, condition| Stage {
        sources,
        destinations,
        condition,
    };
    let bound = Sources::Bound {
        block: spill,
        any_ip: false,
    };
    Plan::new(
        3000,
        vec![
            stage(kernel, target, Condition::None),
            stage(kernel, spill, Condition::Wildcard),
            stage(bound, target, Condition::None),
        ],
    )
}

fn kernel_only(target: &str, source: Option<&str>) -> Plan {
    Plan::of_the_kernel(target.parse().unwrap(), source.map(ip))
}

fn limits(descriptors: u64) -> Limits {
    Limits {
        descriptors,
        descriptors_each: 2,
        memory_bytes: Some(4 << 30),
        memory_bytes_each: 10_000,
        backlog: Some(128),
    }
}

/// Neither descriptors nor memory bind before a hundred million connections.
fn ample() -> Limits {
    Limits {
        memory_bytes: None,
        backlog: None,
        ..limits(200_000_000)
    }
}

const NOTHING: Usage = Usage {
    live: 0,
    cooling: 0,
    foreign: 0,
};

#[test]
fn the_sum_is_printed_line_by_line_with_every_term() {
    let taken = Usage {
        live: 12,
        cooling: 300,
        foreign: 40,
    };
    let host = host("32768 60999", "40000-40001");
    let capacity = TargetCapacity::tcp(&auto(), &host, Gate::Unknown, taken, limits(1_048_576));
    let lines = "\
ports: 28,232 ports (32768-60999) - 2 reserved = 28,230 per pair
  x 1 pair (127.0.0.1 -> 127.0.0.1) = 28,230
  + x 8,192 pairs (127.0.0.1 -> 127.64.0.1-127.64.32.0) = 231,260,160, not counted: only if the app listens on every address
  + x 8,192 pairs (127.64.0.1-127.64.32.0 -> 127.0.0.1) = 231,260,160
  - 300 in TIME_WAIT - 40 of others
  = 231,288,050 connections
  a second, where we close first: 28,230 / 1 s + 231,260,160 / 1 s = 231,288,390 connections
descriptors: 1,048,576 / 2 each = 524,288 connections
memory: 4,294,967,296 bytes / 10,000 each = 429,496 connections
backlog of the app: 128 + 1 = 129 connections that it has not accepted yet; more wait in our queue
at once: 429,496 connections, by memory";
    assert_eq!(capacity.to_string(), lines);
    assert_eq!(capacity.terms().len(), 3);
    assert_eq!(capacity.ports(), Some(231_288_050));
}

#[test]
fn a_unix_socket_has_no_ports_to_run_out_of() {
    let capacity = TargetCapacity::unix(limits(1024));
    let lines = "\
ports: none needed, a Unix socket has none
descriptors: 1,024 / 2 each = 512 connections
memory: 4,294,967,296 bytes / 10,000 each = 429,496 connections
backlog of the app: 128 + 1 = 129 connections that it has not accepted yet; more wait in our queue
at once: 512 connections, by descriptors";
    assert_eq!(capacity.to_string(), lines);
    assert_eq!((capacity.ports(), capacity.closing_rate()), (None, None));
    assert!(capacity.terms().is_empty());
}

#[test]
fn a_stage_that_waits_for_the_wildcard_counts_once_the_app_is_known_to_listen_there() {
    for (gate, pairs) in [
        (Gate::Unknown, 8193),
        (Gate::Shut, 8193),
        (Gate::Open, 16_385),
    ] {
        let capacity = TargetCapacity::tcp(&auto(), &default_host(), gate, NOTHING, ample());
        assert_eq!(capacity.ports(), Some(28_232 * pairs), "{gate:?}");
    }
}

#[test]
fn the_rate_follows_how_long_ports_cool() {
    let far = kernel_only("10.9.9.9:3000", Some("10.9.9.1"));
    let near = kernel_only("127.0.0.1:3000", None);
    let with = |reuse| HostPorts {
        reuse,
        ..default_host()
    };
    let second = Duration::from_secs(1);
    for (plan, reuse, rate) in [
        (&far, TimeWaitReuse::Loopback(second), 470),
        (&far, TimeWaitReuse::Always(second), 28_232),
        (&near, TimeWaitReuse::Loopback(second), 28_232),
        (&near, TimeWaitReuse::Never, 470),
        (&near, TimeWaitReuse::Loopback(second / 20), 564_640),
        (&near, TimeWaitReuse::Loopback(Duration::ZERO), 28_232_000),
    ] {
        let capacity = TargetCapacity::tcp(plan, &with(reuse), Gate::Shut, NOTHING, ample());
        assert_eq!(capacity.closing_rate(), Some(rate), "{reuse:?}");
    }
    let told = TargetCapacity::tcp(&far, &default_host(), Gate::Shut, NOTHING, ample());
    let line = "  a second, where we close first: 28,232 / 60 s = 470 connections";
    assert!(told.to_string().contains(line), "{told}");
}

/// The change that is advised towards a target of which nothing but the kernel's choice is planned, and what then.
fn advised(target: &str, host: HostPorts, cooling: u32, limits: Limits) -> (Change, Bound) {
    let taken = Usage { cooling, ..NOTHING };
    let plan = kernel_only(target, None);
    let capacity = TargetCapacity::tcp(&plan, &host, Gate::Shut, taken, limits);
    let advice = capacity.advice().unwrap();
    (advice.change, advice.then.unwrap())
}

#[test]
fn towards_loopback_spreading_is_advised_as_long_as_it_raises_as_much_as_a_unix_socket() {
    let ipv4 = "127.0.0.1:3000";
    let nearly_reserved = || host("32768 60999", "32768-60989");
    assert_eq!(
        advised(ipv4, default_host(), 0, limits(100_000)),
        (Change::SpreadSources, Bound::Descriptors(50_000))
    );
    assert_eq!(
        advised(ipv4, nearly_reserved(), 0, limits(100_000)),
        (Change::SpreadSources, Bound::Descriptors(50_000))
    );
    assert_eq!(
        advised(ipv4, nearly_reserved(), 0, ample()),
        (Change::UnixSocket, Bound::Descriptors(100_000_000))
    );
    // IPv6 has but one loopback address.
    assert_eq!(
        advised("[::1]:3000", default_host(), 0, ample()),
        (Change::UnixSocket, Bound::Descriptors(100_000_000))
    );
    assert_eq!(
        advised("[::1]:3000", default_host(), 0, limits(100_000)),
        (Change::WidenRange, Bound::Descriptors(50_000))
    );
}

#[test]
fn towards_another_host_whatever_raises_it_most_is_advised() {
    let far = "10.9.9.9:3000";
    let wide = || host("1024 65535", "");
    assert_eq!(
        advised(far, default_host(), 0, ample()),
        (Change::WidenRange, Bound::Ports(64_512))
    );
    assert_eq!(
        advised(far, wide(), 0, ample()),
        (Change::MoreSources, Bound::Ports(129_024))
    );
    assert_eq!(
        advised(far, host("1024 65535", "1024-65525"), 0, ample()),
        (Change::ReserveLess, Bound::Ports(64_512))
    );
    // With 28,000 in TIME_WAIT: of what raises it equally, our own line.
    assert_eq!(
        advised(far, default_host(), 28_000, limits(50_000)),
        (Change::MoreSources, Bound::Descriptors(25_000))
    );
    assert_eq!(
        advised(far, default_host(), 28_000, limits(80_000)),
        (Change::WidenRange, Bound::Ports(36_512))
    );
}

#[test]
fn time_wait_that_takes_most_of_the_ports_is_to_be_reused() {
    let host = host("1024 65535", "");
    let taken = Usage {
        cooling: 64_000,
        ..NOTHING
    };
    let many = Limits {
        memory_bytes: None,
        ..limits(20_000)
    };
    let far = kernel_only("10.9.9.9:3000", None);
    // An address more gives as much as descriptors allow; it is our own line to change.
    let advice = TargetCapacity::tcp(&far, &host, Gate::Shut, taken, many).advice();
    assert_eq!(advice.unwrap().change, Change::MoreSources);
    let near = HostPorts {
        reuse: TimeWaitReuse::Never,
        ..host
    };
    let ipv6 = kernel_only("[::1]:3000", Some("::1"));
    let advice = TargetCapacity::tcp(&ipv6, &near, Gate::Shut, taken, many).advice();
    assert_eq!(
        advice.unwrap().to_string(),
        "net.ipv4.tcp_tw_reuse = 1 (with net.ipv4.tcp_timestamps = 1) gives ports in TIME_WAIT back early: \
         then 10,000 connections, by descriptors"
    );
}

#[test]
fn descriptors_are_to_rise_as_far_as_it_is_worth_while_and_then_instances_help() {
    let unbounded = Limits {
        memory_bytes: None,
        ..limits(1024)
    };
    let told = |limits| TargetCapacity::unix(limits).advice().unwrap().to_string();
    assert_eq!(
        told(limits(1024)),
        "LimitNOFILE=858992 (ulimit -n), or several instances with server.share = true: \
         then 429,496 connections, by memory"
    );
    assert_eq!(
        told(unbounded),
        "LimitNOFILE=1048576 (ulimit -n), or several instances with server.share = true: \
         then 524,288 connections, by descriptors"
    );
    let at_most = Limits {
        descriptors: 1_048_576,
        ..unbounded
    };
    assert_eq!(
        told(at_most),
        "several instances with server.share = true have a limit of descriptors each"
    );
    let poor = Limits {
        memory_bytes: Some(1 << 20),
        ..limits(1024)
    };
    assert_eq!(
        told(poor),
        "more memory, or less for each connection (buffer.request and buffer.response)"
    );
}

#[test]
fn a_range_that_is_reserved_whole_has_no_connections_and_no_nonsense() {
    let host = host("40000 40009", "1-65535");
    let capacity = TargetCapacity::tcp(&auto(), &host, Gate::Open, NOTHING, ample());
    assert_eq!(capacity.bound(), Bound::Ports(0));
    assert_eq!(capacity.advice().unwrap().change, Change::UnixSocket);
    let nothing = Limits {
        descriptors: 0,
        descriptors_each: 0,
        memory_bytes: Some(0),
        memory_bytes_each: 0,
        backlog: None,
    };
    assert_eq!(TargetCapacity::unix(nothing).bound().connections(), 0);
}

fn any_limits() -> impl Strategy<Value = Limits> {
    let memory = proptest::option::of(any::<u64>());
    let backlog = proptest::option::of(any::<u32>());
    (any::<u64>(), any::<u32>(), memory, any::<u64>(), backlog).prop_map(
        |(descriptors, descriptors_each, memory_bytes, memory_bytes_each, backlog)| Limits {
            descriptors,
            descriptors_each,
            memory_bytes,
            memory_bytes_each,
            backlog,
        },
    )
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let sources = prop_oneof![
        Just(Sources::Kernel(None)),
        Just(Sources::Kernel(Some(ip("10.0.0.1")))),
        (0u8..=32).prop_map(|prefix| Sources::Bound {
            block: block("0.0.0.0", prefix),
            any_ip: false
        }),
    ];
    let condition = prop_oneof![
        Just(Condition::None),
        Just(Condition::Wildcard),
        Just(Condition::Proof)
    ];
    let stage = (sources, 0u8..=32, condition).prop_map(|(sources, prefix, condition)| Stage {
        sources,
        destinations: block("0.0.0.0", prefix),
        condition,
    });
    proptest::collection::vec(stage, 1..6).prop_map(|stages| Plan::new(3000, stages))
}

proptest! {
    #[test]
    fn the_numbers_belong_together_whatever_the_facts(
        plan in any_plan(), limits in any_limits(),
        first in 1u16..=65_535, width in 0u16.., reserved in 1u16..=65_535, more in 0u16..,
        live in any::<u32>(), cooling in any::<u32>(), foreign in any::<u32>(), delay_ms in 0u64..100_000, open in any::<bool>(),
    ) {
        let (last, reserved_last) = (first.saturating_add(width), reserved.saturating_add(more));
        let host = HostPorts {
            reuse: TimeWaitReuse::Always(Duration::from_millis(delay_ms)),
            ..host(&format!("{first} {last}"), &format!("{reserved}-{reserved_last}"))
        };
        let gate = if open { Gate::Open } else { Gate::Shut };
        let taken = Usage { live, cooling, foreign };
        let capacity = TargetCapacity::tcp(&plan, &host, gate, taken, limits);

        let counted = capacity.terms().iter().filter(|term| term.counts);
        let sum: u64 = counted.map(|term| term.connections()).sum();
        let ports = capacity.ports().unwrap();
        prop_assert_eq!(ports, sum.saturating_sub(u64::from(cooling) + u64::from(foreign)));
        if open {
            prop_assert_eq!(sum, u64::from(plan.pairs()) * u64::from(host.limit()));
        }

        let bound = capacity.bound().connections();
        let each = [Some(ports), Some(capacity.descriptors()), capacity.memory()];
        prop_assert!(each.iter().flatten().all(|limit| bound <= *limit));
        prop_assert!(each.contains(&Some(bound)));

        // Advice never makes it worse, and the words for all of it can be found.
        if let Some(advice) = capacity.advice() {
            prop_assert!(advice.then.is_none_or(|then| then.connections() >= bound));
            prop_assert!(!advice.to_string().is_empty());
        }
        prop_assert!(capacity.to_string().ends_with(&capacity.bound().to_string()));
    }
}
