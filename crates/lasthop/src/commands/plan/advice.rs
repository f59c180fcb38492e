//! The one change that would raise most what an upstream can hold, in words to paste.

use lasthop_ports::Sources;

use super::facts::{Descriptors, Facts, Listening};
use super::sum::{Bound, DESCRIPTORS_EACH, PortSum};
use crate::config::{Source, Upstream};

/// What most kernels allow one process (`fs.nr_open`).
const DESCRIPTORS_USUAL_MAX: u64 = 1 << 20;

/// The range that is left when the well-known ports and those of usual services are: what is often set where the
/// default is too small.
const WIDE_RANGE: &str = "10240 65535";

/// A queue shorter than this overflows when a few hundred clients come at once.
const BACKLOG_COMFORTABLE: u32 = 512;

/// What to do about the limit that binds.
pub(super) fn against(
    bound: Bound,
    upstream: &Upstream,
    facts: &Facts,
    sums: &[Option<PortSum<'_>>],
) -> String {
    match bound {
        Bound::Ports => more_ports(upstream, sums),
        Bound::Descriptors => more_descriptors(facts.descriptors),
        Bound::Memory => "more memory, or another host for a part of it".to_owned(),
        Bound::MaxConnections => format!(
            "a higher max_connections in [[upstream]] {}, if the app can take more at once",
            upstream.name
        ),
    }
}

fn more_ports(upstream: &Upstream, sums: &[Option<PortSum<'_>>]) -> String {
    let name = &upstream.name;
    let mut targets = sums.iter().flatten();
    let is_local = targets.clone().all(|sum| sum.facts.is_local);
    let has_sources = targets.all(|sum| {
        let mut stages = sum.facts.plan.stages().iter();
        stages.any(|stage| matches!(stage.sources, Sources::Bound { .. }))
    });
    match (&upstream.source, is_local) {
        (Source::Kernel, true) => format!("source = \"auto\" in [[upstream]] {name}"),
        (Source::Auto | Source::Kernel, false) => {
            format!("source = [\"…\", \"…\"] in [[upstream]] {name}, with more addresses of this host")
        }
        (Source::Listed(_), _) => {
            format!("more addresses in source of [[upstream]] {name}")
        }
        (Source::Auto, true) if !has_sources => {
            "ip -6 route add local fd00:1::/64 dev lo (undone by: ip -6 route del local fd00:1::/64 dev lo)".to_owned()
        }
        (Source::Auto, true) => format!("sysctl -w net.ipv4.ip_local_port_range=\"{WIDE_RANGE}\""),
    }
}

fn more_descriptors(descriptors: Option<Descriptors>) -> String {
    let has_usual_max = descriptors.is_some_and(|all| all.limit >= DESCRIPTORS_USUAL_MAX);
    if has_usual_max {
        "several instances with share = true in [server]: each has descriptors of its own"
            .to_owned()
    } else {
        format!(
            "LimitNOFILE={DESCRIPTORS_USUAL_MAX} in the [Service] section of the unit, {DESCRIPTORS_EACH} for each \
             connection; or several instances with share = true in [server]"
        )
    }
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
