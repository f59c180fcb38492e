//! What `plan` reckons with: this host as it is now. Reads and asks, opens nothing and changes nothing.
//!
//! Plain data, so that the sum can be checked on any host.

use std::net::IpAddr;

use lasthop_kernel::connect::UnixTarget;
use lasthop_kernel::sock_diag::{self, DiagError};
use lasthop_kernel::{limits, memory, sysctl};
use lasthop_ports::ledger::Gate;
use lasthop_ports::{Condition, HostPorts, PairCounts, Plan};

use crate::config::{Config, Target, Upstream};
use crate::ports::{self, survey};
use crate::server;

/// The host, and each target on it.
pub(super) struct Facts {
    pub(super) ports: HostPorts,
    /// None where the host does not tell.
    pub(super) descriptors: Option<Descriptors>,
    /// In bytes; none where the host does not tell.
    pub(super) memory: Option<u64>,
    /// `net.core.somaxconn`.
    pub(super) somaxconn: Option<u32>,
    /// `net.ipv4.tcp_max_tw_buckets`.
    pub(super) time_wait_max: Option<u32>,
    /// By upstream, then by target.
    pub(super) targets: Vec<Vec<TargetFacts>>,
}

/// The descriptors of a process that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptors {
    /// As many as it may have, once it has raised its limit.
    pub(super) limit: u64,
    /// Of those, for connections to clients and apps.
    pub(super) for_connections: u64,
}

/// One target.
pub(super) struct TargetFacts {
    /// None for a Unix socket.
    pub(super) ports: Option<PortFacts>,
    pub(super) listening: Listening,
}

/// What there is to know of the ports towards a TCP target.
pub(super) struct PortFacts {
    pub(super) plan: Plan,
    /// Whether the target is this host.
    pub(super) is_local: bool,
    /// Whether the app is to be reached at every address that connections can be spread to.
    pub(super) everywhere: Result<Gate, Unseen>,
    /// Who holds ports now.
    pub(super) taken: Result<PairCounts, Unseen>,
}

impl PortFacts {
    /// Whether connections can be spread over addresses of the app before any other source of ours is used.
    pub(super) fn spreads_destinations(&self) -> bool {
        let mut stages = self.plan.stages().iter();
        stages.any(|stage| stage.condition == Condition::Wildcard)
    }
}

/// How the app listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listening {
    /// Connections wait in its queue, and so many can.
    Yes { waiting: u32, max: u32 },
    /// Nobody does.
    No,
    /// The target is another host, which is not looked at.
    Elsewhere,
    /// It could not be seen.
    Unseen(Unseen),
}

/// Why something could not be seen, in words.
pub(super) type Unseen = String;

/// This host, for this configuration.
pub(super) fn of_this_host(config: &Config) -> Facts {
    let ports = survey::host();
    let descriptors = limits::nofile().ok().map(|limit| Descriptors {
        limit: limit.hard,
        for_connections: server::connections_max(config, limit.hard) as u64,
    });
    let targets = config.upstreams.iter().map(|upstream| {
        let targets = upstream.targets.iter();
        targets
            .map(|target| target_facts(config, upstream, target, &ports))
            .collect()
    });
    Facts {
        targets: targets.collect(),
        descriptors,
        memory: memory::available().ok(),
        somaxconn: sysctl::somaxconn().ok(),
        time_wait_max: sysctl::tcp_max_tw_buckets().ok(),
        ports,
    }
}

fn target_facts(
    config: &Config,
    upstream: &Upstream,
    target: &Target,
    host: &HostPorts,
) -> TargetFacts {
    let unix = |target: Result<UnixTarget, _>| TargetFacts {
        ports: None,
        listening: target.map_or(Listening::No, |target: UnixTarget| unix_listening(&target)),
    };
    match target {
        Target::Unix(path) => return unix(UnixTarget::path(path)),
        Target::Abstract(name) => return unix(UnixTarget::abstract_name(name)),
        Target::Tcp(_) | Target::Spread(_) => {}
    }
    let Some(plan) = survey::plan(target, &upstream.source, config.server.spill_range) else {
        return TargetFacts {
            ports: None,
            listening: Listening::No,
        };
    };
    let first = plan.pair(0).map(|pair| pair.destination);
    let is_local = first.is_some_and(|first| is_this_host(first.ip()));
    let listening = match first {
        Some(first) if is_local => match ports::listener(first) {
            Ok(Some(one)) => Listening::Yes {
                waiting: one.queue,
                max: one.backlog,
            },
            Ok(None) => Listening::No,
            Err(error) => Listening::Unseen(why(&error)),
        },
        _ => Listening::Elsewhere,
    };
    TargetFacts {
        listening,
        ports: Some(PortFacts {
            is_local,
            everywhere: ports::listens_everywhere(&plan).map_err(|error| why(&error)),
            taken: ports::pair_counts(&plan, host.reuse).map_err(|error| why(&error)),
            plan,
        }),
    }
}

fn is_this_host(address: IpAddr) -> bool {
    address.is_loopback() || survey::Way::to(address).is_local
}

fn unix_listening(target: &UnixTarget) -> Listening {
    match sock_diag::unix_listener(target) {
        Ok(Some(one)) => Listening::Yes {
            waiting: one.queue,
            max: one.backlog,
        },
        Ok(None) => Listening::No,
        Err(error) => Listening::Unseen(why(&error)),
    }
}

/// The error and its cause: nothing else is said about it.
fn why(error: &DiagError) -> Unseen {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
