//! What can be done, by the program and the setting that it is done with. Rules choose; here is how it is written.
//!
//! Every line is one that the program's own documentation has. Nothing foreign gets into a line for a shell but through
//! [`paste::word`].

mod apache;
pub(crate) mod bind;
mod caddy;
mod clients;
pub(crate) mod conntrack;
pub(crate) mod descriptors;
mod envoy;
pub(crate) mod exposure;
mod generic;
mod haproxy;
mod lasthop;
pub(crate) mod listen;
mod nginx;
pub(crate) mod paste;
pub(crate) mod plight;
pub(crate) mod ports;
pub(crate) mod sysctl;
mod traefik;
pub(crate) mod unix;

pub(crate) use plight::Plight;

use crate::finding::Remedy;
use crate::snapshot::{PortSettings, Program};

/// Remedies of a finding. Who has more to choose from does nothing.
const REMEDIES_MAX: usize = 5;

/// What a program can do for a group that is short of ports; none where it cannot, or it would not help.
struct Ways {
    /// Connect over a Unix socket, which has no ports.
    unix: fn(&Plight<'_>) -> Option<Remedy>,
    /// Connect to or from more addresses, each of which has all ports again.
    addresses: fn(&Plight<'_>) -> Option<Remedy>,
    /// Use connections again, or have fewer of them.
    fewer: fn(&Plight<'_>) -> Option<Remedy>,
}

const fn ways(program: Program) -> &'static Ways {
    match program {
        Program::Lasthop => &lasthop::WAYS,
        Program::Nginx => &nginx::WAYS,
        Program::HaProxy => &haproxy::WAYS,
        Program::Envoy => &envoy::WAYS,
        Program::Caddy => &caddy::WAYS,
        Program::Apache => &apache::WAYS,
        Program::Traefik => &traefik::WAYS,
        Program::Go => &clients::GO,
        Program::Node => &clients::NODE,
        Program::Java => &clients::JAVA,
        Program::Python => &clients::PYTHON,
        Program::Other => &generic::WAYS,
    }
}

/// For a group that is short of ports, the most effective first.
///
/// Where TIME_WAIT has most of them, connections that are used again come first: then there is no shortage at all.
/// Elsewhere it is a Unix socket, then more addresses, and the wider range last of what gives room, because it gives
/// least.
pub(crate) fn more_ports(plight: &Plight<'_>) -> Vec<Remedy> {
    let ways = ways(plight.program());
    let (unix, addresses, fewer) = (
        (ways.unix)(plight),
        (ways.addresses)(plight),
        (ways.fewer)(plight),
    );
    let reuse = ports::reuse_time_wait(plight);
    let wider = ports::wider_range(plight);
    let chosen = if plight.is_mostly_time_wait() {
        [fewer, unix, reuse, addresses, wider]
    } else {
        [unix, addresses, fewer, wider, reuse]
    };
    chosen.into_iter().flatten().take(REMEDIES_MAX).collect()
}

/// For a group of which TIME_WAIT holds a great part: what makes less of it first, then what bears it.
pub(crate) fn less_time_wait(plight: &Plight<'_>) -> Vec<Remedy> {
    let ways = ways(plight.program());
    let chosen = [
        (ways.fewer)(plight),
        (ways.unix)(plight),
        ports::reuse_time_wait(plight),
    ];
    chosen.into_iter().flatten().collect()
}

/// For a group whose pair has to be relieved because it is over half full: more addresses, or no ports at all.
pub(crate) fn more_pairs(plight: &Plight<'_>) -> Vec<Remedy> {
    let ways = ways(plight.program());
    let chosen = [(ways.unix)(plight), (ways.addresses)(plight)];
    chosen.into_iter().flatten().collect()
}

/// For a program whose connections make the kernel walk through a full half: what spares it the walk.
pub(crate) fn flat_search(ports: &PortSettings) -> Remedy {
    let kernel = if ports.flat_search {
        "This kernel can do it."
    } else {
        "It takes Linux 6.8; on this kernel the option does not change the search."
    };
    Remedy {
        title: "In a program of your own: set IP_LOCAL_PORT_RANGE, which makes the search flat"
            .to_owned(),
        steps: vec![paste::words(format!(
            "setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE (51), last << 16 | first) with the whole range, before \
             connect(2). lasthop does. {kernel}"
        ))],
        undo: vec!["leave the option out again".to_owned()],
        risk: None,
    }
}
