//! The source ports in use, by pair of addresses: for `/metrics` and `/status`.
//!
//! A pair is told as long as something is taken on it, and the first one always. An upstream that spreads over hundreds
//! has its fullest pairs told by name and the rest as one sum, so that a page stays bounded.

use std::cmp::Reverse;

use serde::Serialize;

use super::exposition::{Kind, Page};
use super::view::View;
use crate::ports::PairInUse;

/// Pairs of one target that are told by name: at the default range 1.8 million connections.
const PAIRS_MAX: usize = 64;

/// The label of what is summed up.
const OTHERS: &str = "others";

/// One pair of one upstream.
#[derive(Default, Serialize)]
pub(super) struct SourcePorts {
    pub(super) source: String,
    pub(super) target: String,
    pub(super) in_use: u64,
    pub(super) limit: u64,
    pub(super) live: u64,
    pub(super) time_wait: u64,
    pub(super) others: u64,
}

/// The pairs of one upstream, the first one of each target first.
pub(super) fn of_upstream(view: &View, upstream: usize) -> Vec<SourcePorts> {
    let accounts = view.ports.of_upstream(upstream).iter().flatten();
    accounts
        .flat_map(|account| told(account.pairs_in_use()))
        .collect()
}

fn told(mut pairs: Vec<PairInUse>) -> Vec<SourcePorts> {
    let rest = match pairs.len() {
        ..=PAIRS_MAX => Vec::new(),
        _ => {
            // The first stays where it is.
            pairs[1..].sort_by_key(|pair| Reverse(pair.usage.total()));
            pairs.split_off(PAIRS_MAX)
        }
    };
    let mut told: Vec<_> = pairs.iter().map(SourcePorts::of).collect();
    if let Some(first) = rest.first() {
        let zero = SourcePorts {
            source: OTHERS.to_owned(),
            target: first.target.to_string(),
            ..SourcePorts::default()
        };
        told.push(
            rest.iter()
                .map(SourcePorts::of)
                .fold(zero, SourcePorts::plus),
        );
    }
    told
}

impl SourcePorts {
    fn of(pair: &PairInUse) -> Self {
        let source = pair.source.map(|source| source.to_string());
        Self {
            source: source.unwrap_or_else(|| "kernel".to_owned()),
            target: pair.target.to_string(),
            in_use: pair.usage.total().into(),
            limit: pair.limit.into(),
            live: pair.usage.live.into(),
            time_wait: pair.usage.cooling.into(),
            others: pair.usage.foreign.into(),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            in_use: self.in_use + other.in_use,
            limit: self.limit + other.limit,
            live: self.live + other.live,
            time_wait: self.time_wait + other.time_wait,
            others: self.others + other.others,
            ..self
        }
    }
}

/// The families of `/metrics`.
pub(super) fn metrics(view: &View, page: &mut Page) {
    let upstreams: Vec<_> = (0..view.config.upstreams.len())
        .map(|index| {
            (
                &*view.config.upstreams[index].name,
                of_upstream(view, index),
            )
        })
        .collect();
    let mut family = |name, help, value: fn(&SourcePorts) -> u64| {
        let mut family = page.family(name, Kind::Gauge, help);
        for (upstream, pairs) in &upstreams {
            for pair in pairs {
                let labels = [
                    ("upstream", *upstream),
                    ("source", &*pair.source),
                    ("target", &*pair.target),
                ];
                family.sample(&labels, value(pair));
            }
        }
    };
    family(
        "lasthop_source_ports_in_use",
        "Source ports taken on a pair of addresses: by connections, by TIME_WAIT of ours, and by others as last read.",
        |pair| pair.in_use,
    );
    family(
        "lasthop_source_ports_limit",
        "Source ports that a pair of addresses has.",
        |pair| pair.limit,
    );
    let mut family = page.family(
        "lasthop_source_ports_refusals_total",
        Kind::Counter,
        "Attempts on a pair of addresses that the kernel refused although there should have been room; the next was tried.",
    );
    for (index, upstream) in view.config.upstreams.iter().enumerate() {
        let accounts = view.ports.of_upstream(index).iter().flatten();
        let refusals: u64 = accounts.map(|account| account.refusals()).sum();
        family.sample(&[("upstream", &*upstream.name)], refusals);
    }
}
