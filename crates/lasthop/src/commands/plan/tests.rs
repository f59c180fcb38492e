//! The tables on given facts, whole, and what follows from single facts.

use std::net::IpAddr;
use std::time::Duration;

use lasthop_ports::{
    AddressBlock, Condition, Holding, HostPorts, PairCounts, Plan, Sources, Stage, TimeWaitReuse,
};
use proptest::prelude::*;

use super::facts::{Descriptors, Listening, PortFacts, TargetFacts};
use super::sum::TargetSum;
use super::*;

const TCP: &str = "targets = [\"127.0.0.1:3000\"]";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn block(network: &str, prefix: u8) -> AddressBlock {
    AddressBlock::network(ip(network), prefix).unwrap()
}

fn config(lines: &str) -> Config {
    let text =
        format!("[[listener]]\naddress = \"127.0.0.1:0\"\n[[upstream]]\nname = \"app\"\n{lines}\n");
    Config::from_toml("test.toml", &text).unwrap()
}

fn host(range: &str, reserved: &str) -> HostPorts {
    HostPorts {
        range: range.parse().unwrap(),
        reserved: reserved.parse().unwrap(),
        flat_search: true,
        reuse: TimeWaitReuse::Loopback(Duration::from_secs(1)),
    }
}

/// What `source = "auto"` means for an app on 127.0.0.1 with four addresses to spill over.
fn auto() -> Plan {
    let kernel = Sources::Kernel(Some(ip("127.0.0.1")));
    let spread = Sources::Bound {
        block: block("127.64.0.0", 29),
        any_ip: false,
    };
    let target = AddressBlock::single(ip("127.0.0.1"));
    let stage = |sources, destinations, condition| Stage {
        sources,
        destinations,
        condition,
    };
    Plan::new(
        3000,
        vec![
            stage(kernel, target, Condition::None),
            stage(kernel, block("127.64.0.0", 29), Condition::Wildcard),
            stage(spread, target, Condition::None),
        ],
    )
}

/// Seven connections from 127.0.0.1, one from 127.64.0.1, two in TIME_WAIT of which one is old, one of somebody else's.
fn taken() -> PairCounts {
    let mut taken = PairCounts::new(TimeWaitReuse::Loopback(Duration::from_secs(1)));
    let app = ip("127.0.0.1");
    for _ in 0..7 {
        taken.add(ip("127.0.0.1"), app, Holding::Connection);
    }
    taken.add(ip("127.64.0.1"), app, Holding::Connection);
    taken.add(
        ip("127.0.0.1"),
        app,
        Holding::TimeWait(Duration::from_secs(60)),
    );
    taken.add(
        ip("127.0.0.1"),
        app,
        Holding::TimeWait(Duration::from_secs(30)),
    );
    taken.add(ip("127.99.0.1"), app, Holding::Connection);
    taken
}

fn tcp_facts(everywhere: Gate) -> TargetFacts {
    TargetFacts {
        ports: Some(PortFacts {
            plan: auto(),
            is_local: true,
            everywhere: Ok(everywhere),
            taken: Ok(taken()),
        }),
        listening: Listening::Yes {
            waiting: 3,
            max: 128,
        },
    }
}

fn unix_facts() -> TargetFacts {
    TargetFacts {
        ports: None,
        listening: Listening::No,
    }
}

fn facts(target: TargetFacts) -> Facts {
    Facts {
        ports: host("40000 40099", "40000,40001"),
        descriptors: Some(Descriptors {
            limit: 20_000,
            for_connections: 19_900,
        }),
        memory: Some(1 << 30),
        somaxconn: Some(4096),
        time_wait_max: Some(500),
        targets: vec![vec![target]],
    }
}

fn tables(config: &Config, facts: &Facts) -> String {
    Tables {
        config,
        facts,
        warnings: &[],
    }
    .to_string()
}

#[test]
fn the_sum_of_a_tcp_target_is_printed_term_by_term() {
    let expected = "\
upstream app

  127.0.0.1:3000
    100 ports (40000-40099) - 2 reserved = 98 for each pair of addresses

    127.0.0.1                 -> 127.0.0.1                           1 x 98 =            98
    127.0.0.1                 -> 127.64.0.1-127.64.0.6                                    0  not used: the app does not listen on every address
    127.64.0.1-127.64.0.6     -> 127.0.0.1                           6 x 98 =           588
                                                                       in all           686  on 7 pairs
                                                                  - taken now             9  by whatever program; 2 are in TIME_WAIT, where only the young keep a port
                                                                   = free now           677

    TIME_WAIT keeps the port of a connection that we close for 1 s: 98 a second on the first pair, 686 on all
    TIME_WAIT of the host: 500 at most (net.ipv4.tcp_max_tw_buckets); what is closed beyond that keeps no port
    backlog: 129 connections can wait for the app to accept them, 3 do (listen 128, net.core.somaxconn 4096)
    for more in one moment: a longer queue of the app: --backlog 2048 with gunicorn and uvicorn

  at once                connections
    source ports                 686  the sum above
    descriptors                9,950  (20,000 - 100 for everything else) / 2, for all upstreams (LimitNOFILE)
    memory                    65,075  1,073 MB available / 16,500 bytes, the app's own not counted
    max_connections                -  none is set
  first to bind: source ports, at 686
  for more: net.ipv4.ip_local_port_range = \"1024 65535\" gives each pair more ports: then 9,950 connections, by descriptors
";
    assert_eq!(
        tables(&config(TCP), &facts(tcp_facts(Gate::Shut))),
        expected
    );
}

#[test]
fn a_unix_target_has_no_ports_and_the_rest_of_the_table() {
    let expected = "\
upstream app

  unix:/run/app.sock
    no ports: a Unix socket needs none
    backlog: nobody listens there now

  at once                connections
    source ports                   -  a Unix socket needs none
    descriptors                9,950  (20,000 - 100 for everything else) / 2, for all upstreams (LimitNOFILE)
    memory                    78,375  1,073 MB available / 13,700 bytes, the app's own not counted
    max_connections              100  of the upstream, over all workers
  first to bind: max_connections, at 100
  for more: a higher max_connections in [[upstream]] app, if the app can take more at once
";
    let config = config("targets = [\"unix:/run/app.sock\"]\nmax_connections = 100");
    assert_eq!(tables(&config, &facts(unix_facts())), expected);
}

#[test]
fn addresses_of_the_app_count_where_it_listens_on_all_of_them() {
    let facts = facts(tcp_facts(Gate::Open));
    let sum = TargetSum::of(&facts.targets[0][0], &facts);
    assert_eq!((sum.pairs(), sum.capacity.ports()), (13, Some(13 * 98)));
    let text = tables(&config(TCP), &facts);
    assert!(
        text.contains("the app listens on every address\n"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_seen_is_said_and_does_not_count() {
    let mut target = tcp_facts(Gate::Open);
    let ports = target.ports.as_mut().unwrap();
    ports.everywhere = Err("no sock_diag".to_owned());
    ports.taken = Err("no sock_diag".to_owned());
    target.listening = Listening::Unseen("no sock_diag".to_owned());
    let mut facts = facts(target);
    facts.descriptors = None;
    facts.memory = None;
    let text = tables(&config(TCP), &facts);
    for line in [
        "only for an app that listens on every address, which cannot be seen: no sock_diag\n",
        "    what is taken now cannot be seen: no sock_diag\n",
        "    backlog: cannot be seen: no sock_diag\n",
        "    descriptors                    -  cannot be seen on this host\n",
        "    memory                         -  cannot be seen on this host\n",
        "  first to bind: source ports, at 686\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn the_change_that_helps_is_that_against_the_first_limit() {
    let kernel = |target: &str| {
        let target: std::net::SocketAddr = target.parse().unwrap();
        Plan::of_the_kernel(target, Some(target.ip()))
    };
    let bounded = format!("{TCP}\nmax_connections = 5");
    for (lines, plan, descriptors, advice) in [
        (
            TCP,
            auto(),
            20_000,
            "net.ipv4.ip_local_port_range = \"1024 65535\" gives each pair more ports: then ",
        ),
        (
            TCP,
            kernel("127.0.0.1:1"),
            20_000,
            "source = \"auto\" spreads connections",
        ),
        (
            TCP,
            kernel("[::1]:1"),
            20_000,
            "ip -6 route add local fd00:1::/64 dev lo\n",
        ),
        (
            &bounded,
            auto(),
            20_000,
            "a higher max_connections in [[upstream]] app",
        ),
        (TCP, auto(), 1000, "LimitNOFILE=1472 (ulimit -n)"),
    ] {
        let mut target = tcp_facts(Gate::Shut);
        target.ports.as_mut().unwrap().plan = plan;
        let mut facts = facts(target);
        facts.descriptors = Some(Descriptors {
            limit: descriptors,
            for_connections: descriptors - 100,
        });
        let text = tables(&config(lines), &facts);
        let line = format!("  for more: {advice}");
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

#[test]
fn where_descriptors_cannot_be_more_instances_can() {
    let mut facts = facts(unix_facts());
    facts.memory = None;
    facts.descriptors = Some(Descriptors {
        limit: 1 << 20,
        for_connections: (1 << 20) - 100,
    });
    let text = tables(&config("targets = [\"unix:@app\"]"), &facts);
    assert!(
        text.contains("  for more: several instances with"),
        "{text}"
    );
}

#[test]
fn several_targets_share_what_is_not_ports() {
    let mut facts = facts(tcp_facts(Gate::Shut));
    facts.targets[0].push(tcp_facts(Gate::Shut));
    facts.descriptors = Some(Descriptors {
        limit: 2100,
        for_connections: 2000,
    });
    let text = tables(
        &config("targets = [\"127.0.0.1:3000\", \"127.0.0.1:3001\"]"),
        &facts,
    );
    for line in [
        "    source ports               1,372  the sum above\n",
        "  first to bind: descriptors, at 1,000\n  for more: LimitNOFILE=",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn an_app_on_every_address_need_not_be_told_of_others() {
    let config = config(TCP);
    let all = || warnings(&config, &way_of_this_host);
    let is_told = |gate| {
        let relevant = relevant(&config, &facts(tcp_facts(gate)), all());
        relevant
            .iter()
            .any(|one| matches!(one.what, What::MaySpill(_)))
    };
    assert!(is_told(Gate::Shut) && !is_told(Gate::Open));
}

#[test]
fn a_file_that_is_wrong_is_wrong_usage() {
    let mut out = Vec::new();
    let error = run(Path::new("/nonexistent/lasthop.toml"), &mut out).unwrap_err();
    assert_eq!(error.exit(), crate::exit::Exit::Usage);
    assert!(out.is_empty());
}

proptest! {
    #[test]
    fn the_terms_add_up(first in 1024u16..=60000, width in 0u16..=5000, live in 0u32..200, is_open in any::<bool>()) {
        let mut target = tcp_facts(if is_open { Gate::Open } else { Gate::Shut });
        let mut counts = PairCounts::new(TimeWaitReuse::Never);
        for _ in 0..live {
            counts.add(ip("127.64.0.2"), ip("127.0.0.1"), Holding::Connection);
        }
        target.ports.as_mut().unwrap().taken = Ok(counts);
        let mut facts = facts(target);
        facts.ports = host(&format!("{first} {}", first + width), "");
        let sum = TargetSum::of(&facts.targets[0][0], &facts);
        let by_term: u64 = sum.counted().map(|term| term.connections()).sum();
        prop_assert_eq!(sum.capacity.ports(), Some(by_term));
        prop_assert_eq!(by_term, sum.pairs() * u64::from(facts.ports.limit()));
        prop_assert_eq!(sum.taken.held, u64::from(live));
    }
}
