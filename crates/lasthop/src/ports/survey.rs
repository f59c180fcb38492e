//! What this host allows: the facts about its source ports, and the plan of pairs towards a target.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use lasthop_kernel::route::{self, LoopbackNetwork, RouteKind};
use lasthop_kernel::{probe, sysctl};
use lasthop_ports::{
    AddressBlock, Condition, HostPorts, Plan, PortRange, ReservedPorts, Sources, Stage,
    TimeWaitReuse,
};

use crate::config::{IpRange, Source, Target};

/// How soon TIME_WAIT can be reused where the kernel has no setting for it (`tcp_twsk_unique`: more than a second).
const REUSE_DELAY: Duration = Duration::from_secs(1);

/// What the routes of the host say about an address.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// Whether the address is this host.
    pub is_local: bool,
    /// The source that the kernel would choose; none where there is no way, or none is told.
    pub source: Option<IpAddr>,
    /// The kernel knows no route there: it is no address of this host, which has one to each of its own.
    pub is_unreachable: bool,
    /// IPv6 networks on `lo` that could be sources.
    pub loopback: Vec<LoopbackNetwork>,
}

/// The facts about the source ports of this host, in our network namespace. What cannot be read is taken to be as the
/// kernel has it by default, or worse: the kernel has the last word anyway.
pub fn host() -> HostPorts {
    HostPorts {
        range: sysctl::local_port_range().unwrap_or_else(|_| default_range()),
        reserved: sysctl::reserved_ports().unwrap_or_else(|_| ReservedPorts::default()),
        flat_search: probe::flat_port_search(),
        reuse: reuse().unwrap_or(TimeWaitReuse::Never),
    }
}

/// The same, later on: what cannot be read any more (for want of descriptors, as a rule) is taken to be as it was.
pub fn host_again(before: &HostPorts) -> HostPorts {
    HostPorts {
        range: sysctl::local_port_range().unwrap_or(before.range),
        reserved: sysctl::reserved_ports().unwrap_or_else(|_| before.reserved.clone()),
        // A kernel whose search was flat has not changed; where the answer could not be told, it may now.
        flat_search: before.flat_search || probe::flat_port_search(),
        reuse: reuse().unwrap_or(before.reuse),
    }
}

fn default_range() -> PortRange {
    // Documentation/networking/ip-sysctl.rst; the numbers are in order.
    PortRange::new(32_768, 60_999).unwrap_or_else(|_| unreachable!("a range in order"))
}

fn reuse() -> Option<TimeWaitReuse> {
    let reuse = sysctl::tcp_tw_reuse().ok()?;
    let timestamps = sysctl::tcp_timestamps().ok()?;
    let delay = sysctl::tcp_tw_reuse_delay().ok().flatten();
    let delay = delay.unwrap_or(REUSE_DELAY);
    Some(TimeWaitReuse::of_settings(reuse, timestamps, delay))
}

/// The pairs towards a target, in order; none for a Unix socket, which has no ports.
pub fn plan(target: &Target, source: &Source, spill_range: IpRange) -> Option<Plan> {
    let (destinations, port) = match target {
        Target::Tcp(address) => (
            AddressBlock::single(address.ip().to_canonical()),
            address.port(),
        ),
        Target::Spread(range) => (block(range.network)?, range.port),
        Target::Unix(_) | Target::Abstract(_) => return None,
    };
    let way = Way::to(destinations.first());
    let stages = stages(destinations, source, spill_range, &way);
    Some(Plan::new(port, stages))
}

impl Way {
    /// Asks the kernel, in 11 us.
    pub fn to(destination: IpAddr) -> Self {
        let route = match route::to(destination) {
            Ok(route) => route,
            Err(error) => {
                let is_unreachable = error.kind() == std::io::ErrorKind::NetworkUnreachable;
                return Self {
                    is_unreachable,
                    ..Self::default()
                };
            }
        };
        let is_local = route.kind == RouteKind::Local;
        let loopback = match destination {
            IpAddr::V6(_) if is_local => route::loopback_ipv6().unwrap_or_default(),
            _ => Vec::new(),
        };
        Self {
            is_local,
            is_unreachable: false,
            source: route.source,
            loopback,
        }
    }
}

/// The policy. Destinations that the operator has listed are used before any source is spread.
fn stages(
    destinations: AddressBlock,
    source: &Source,
    spill_range: IpRange,
    way: &Way,
) -> Vec<Stage> {
    if let Source::Listed(ranges) = source {
        return listed(destinations, ranges, way);
    }
    let kernel = Sources::Kernel(way.source);
    let is_in_127 = is_in_127(destinations.first());
    let mut stages = vec![Stage {
        sources: kernel,
        destinations: AddressBlock::single(destinations.first()),
        condition: Condition::None,
    }];
    if let Some(rest) = destinations.without_first() {
        stages.push(Stage {
            sources: kernel,
            destinations: rest,
            condition: unless(is_in_127, Condition::Proof),
        });
    }
    if *source == Source::Kernel || !(way.is_local || is_in_127) {
        // Towards another host a loopback source would be a lie, and its answer would never arrive.
        return stages;
    }
    if let Some(spill) = block(spill_range)
        && destinations.first().is_ipv4()
    {
        if is_in_127 && destinations.len() == 1 {
            stages.push(Stage {
                sources: kernel,
                destinations: spill,
                condition: Condition::Wildcard,
            });
        }
        stages.push(Stage {
            sources: Sources::Bound {
                block: spill,
                any_ip: false,
            },
            destinations,
            condition: unless(is_in_127, Condition::Proof),
        });
    }
    for network in &way.loopback {
        let Ok(block) = AddressBlock::network(network.network.into(), network.prefix) else {
            continue;
        };
        stages.push(Stage {
            sources: Sources::Bound {
                block,
                any_ip: network.any_ip,
            },
            destinations,
            condition: Condition::Proof,
        });
    }
    stages
}

/// The sources that the operator lists, and nothing else.
fn listed(destinations: AddressBlock, ranges: &[IpRange], way: &Way) -> Vec<Stage> {
    let is_ipv4 = destinations.first().is_ipv4();
    let mut stages: Vec<Stage> = ranges
        .iter()
        .filter_map(|range| block(*range))
        .filter(|block| block.first().is_ipv4() == is_ipv4)
        .map(|block| Stage {
            sources: Sources::Bound {
                block,
                any_ip: way
                    .loopback
                    .iter()
                    .any(|network| network.any_ip && holds(network, block.first())),
            },
            destinations,
            condition: Condition::None,
        })
        .collect();
    if stages.is_empty() {
        // The rules of the configuration ask for one of each family; without, the kernel chooses.
        let plan = Plan::of_the_kernel(SocketAddr::new(destinations.first(), 1), way.source);
        stages.extend(plan.stages());
    }
    stages
}

fn holds(network: &LoopbackNetwork, address: IpAddr) -> bool {
    AddressBlock::network(network.network.into(), network.prefix)
        .is_ok_and(|block| block.position(address).is_some())
}

fn unless(is_fine: bool, condition: Condition) -> Condition {
    if is_fine { Condition::None } else { condition }
}

fn block(range: IpRange) -> Option<AddressBlock> {
    AddressBlock::network(range.network(), range.prefix()).ok()
}

/// Whether an address is in 127/8, which no packet ever leaves and nothing rewrites by accident.
fn is_in_127(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.octets()[0] == Ipv4Addr::LOCALHOST.octets()[0])
}
