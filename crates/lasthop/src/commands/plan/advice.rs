//! The one change that would raise most what an upstream can hold, in words to paste.
//!
//! What helps one target is `lasthop-ports`' arithmetic. Here it is asked for what binds the upstream, and what only the
//! configuration and the routes can tell is added.

use lasthop_ports::Sources;
use lasthop_ports::capacity::{Advice, Bound, Change, TargetCapacity};

use super::facts::{Descriptors, Listening};
use super::sum::{DESCRIPTORS_EACH, Limiting, TargetSum};
use crate::commands::warnings::ANY_IP;
use crate::config::{Source, Upstream};

/// What most kernels allow one process (`fs.nr_open`).
const DESCRIPTORS_USUAL_MAX: u64 = 1 << 20;

/// A queue shorter than this overflows when a few hundred clients come at once.
const BACKLOG_COMFORTABLE: u32 = 512;

/// What to do about the limit that binds; none where nothing is known that would help.
pub(super) fn against(
    by: Limiting,
    upstream: &Upstream,
    descriptors: Option<Descriptors>,
    sums: &[TargetSum<'_>],
) -> Option<String> {
    let ours = |advice| with_our_own(advice, descriptors);
    match (by, sums) {
        (Limiting::MaxConnections, _) => Some(format!(
            "a higher max_connections in [[upstream]] {}, if the app can take more at once",
            upstream.name
        )),
        (Limiting::Ports, _) if upstream.source == Source::Auto && could_have_any_ip(sums) => {
            Some(format!("ip -6 route add local {ANY_IP} dev lo"))
        }
        // With one target all limits are known to the arithmetic, and so is what binds next.
        (_, [one]) if upstream.max_connections == 0 => {
            let advice = one.capacity.advice().map(ours);
            advice.map(|advice| advice.to_string())
        }
        (Limiting::Ports, all) => {
            let advice = all.iter().find_map(|sum| sum.capacity.advice());
            advice.map(|advice| advice.change.to_string())
        }
        // Shared by all targets, whatever their ports.
        (Limiting::Descriptors | Limiting::Memory, all) => {
            let limits = *all.first()?.capacity.limits();
            let advice = TargetCapacity::unix(limits).advice().map(ours);
            advice.map(|advice| advice.change.to_string())
        }
    }
}

/// The arithmetic knows the descriptors for connections only; those for everything else come on top of the limit that
/// it advises.
fn with_our_own(advice: Advice, descriptors: Option<Descriptors>) -> Advice {
    let (Change::MoreDescriptors { limit }, Some(all)) = (advice.change, descriptors) else {
        return advice;
    };
    let own = all.limit.saturating_sub(all.for_connections);
    let limit = limit.saturating_add(own).min(DESCRIPTORS_USUAL_MAX);
    if limit > all.limit {
        let then = match advice.then {
            Some(Bound::Descriptors(_)) => Some(Bound::Descriptors(
                limit.saturating_sub(own) / u64::from(DESCRIPTORS_EACH),
            )),
            then => then,
        };
        let change = Change::MoreDescriptors { limit };
        return Advice { change, then };
    }
    Advice {
        change: Change::MoreInstances,
        then: None,
    }
}

/// Whether there is a target on this host with IPv6 and nothing to spread over.
fn could_have_any_ip(sums: &[TargetSum<'_>]) -> bool {
    let mut ports = sums.iter().filter_map(|sum| sum.facts.ports.as_ref());
    ports.any(|ports| {
        let mut stages = ports.plan.stages().iter();
        let is_ipv6 = |plan: &lasthop_ports::Plan| {
            plan.pair(0).is_some_and(|pair| pair.destination.is_ipv6())
        };
        ports.is_local
            && is_ipv6(&ports.plan)
            && !stages.any(|stage| matches!(stage.sources, Sources::Bound { .. }))
    })
}

/// What to do about a short queue in front of the app, where it is one.
pub(super) fn backlog(listening: &Listening, somaxconn: Option<u32>) -> Option<String> {
    let Listening::Yes { max, .. } = listening else {
        return None;
    };
    if *max >= BACKLOG_COMFORTABLE {
        return None;
    }
    let usual = "--backlog 2048 with gunicorn and uvicorn";
    Some(match somaxconn {
        Some(bound) if *max >= bound => {
            format!("sysctl -w net.core.somaxconn=4096, then a longer queue of the app: {usual}")
        }
        _ => format!("a longer queue of the app: {usual}"),
    })
}
