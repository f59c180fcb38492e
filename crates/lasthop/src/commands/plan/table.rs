//! The tables of `plan`, for a person to check by hand.

use std::fmt;

use lasthop_ports::capacity::Term;
use lasthop_ports::{Grouped, HostPorts, Sources};

use super::advice;
use super::facts::{Facts, Listening};
use super::sum::{DESCRIPTORS_EACH, Limit, Limiting, TargetSum, Usable, first_of, limits};
use crate::commands::warnings::Warning;
use crate::config::{Config, Target, Upstream};

/// Columns of an address or a block of them; longer ones push the line.
const ADDRESSES: usize = 25;

/// Columns of a count.
const COUNT: usize = 13;

/// Columns before the count of a limit.
const NAME: usize = 20;

/// All of it: printed, it is what `plan` says.
pub(super) struct Tables<'a> {
    pub(super) config: &'a Config,
    pub(super) facts: &'a Facts,
    pub(super) warnings: &'a [Warning],
}

impl fmt::Display for Tables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let upstreams = self.config.upstreams.iter().zip(&self.facts.targets);
        for (index, (upstream, targets)) in upstreams.enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let sums: Vec<TargetSum<'_>> = targets
                .iter()
                .map(|target| TargetSum::of(target, self.facts))
                .collect();
            writeln!(f, "upstream {}", upstream.name)?;
            for (target, sum) in upstream.targets.iter().zip(&sums) {
                write_target(f, target, sum, self.facts)?;
                write_backlog(f, sum, self.facts.somaxconn)?;
            }
            write_limits(f, upstream, self.facts, &sums)?;
        }
        if !self.warnings.is_empty() {
            writeln!(f, "\nworth knowing")?;
        }
        self.warnings
            .iter()
            .try_for_each(|warning| writeln!(f, "  {warning}"))
    }
}

fn write_target(
    f: &mut fmt::Formatter<'_>,
    target: &Target,
    sum: &TargetSum<'_>,
    facts: &Facts,
) -> fmt::Result {
    writeln!(f, "\n  {target}")?;
    let (Some(ports), Some(total)) = (&sum.facts.ports, sum.capacity.ports()) else {
        return writeln!(f, "    no ports: a Unix socket needs none");
    };
    let HostPorts {
        range, reserved, ..
    } = &facts.ports;
    writeln!(
        f,
        "    {} ports ({range}) - {} reserved = {} for each pair of addresses\n",
        Grouped(range.len().into()),
        Grouped(reserved.count_within(*range).into()),
        Grouped(facts.ports.limit().into()),
    )?;
    for term in sum.capacity.terms() {
        write_term(f, term, sum.usable(term))?;
    }
    write_total(f, "in all", total, &on_pairs(sum.pairs()))?;
    match &ports.taken {
        Ok(taken) => {
            let mut told = "by whatever program".to_owned();
            if sum.taken.time_wait > 0 {
                let time_wait = Grouped(sum.taken.time_wait);
                told +=
                    &format!("; {time_wait} are in TIME_WAIT, where only the young keep a port");
            }
            if taken.uncounted() > 0 {
                told += &format!("; {} more are not counted", Grouped(taken.uncounted()));
            }
            write_total(f, "- taken now", sum.taken.held, &told)?;
            write_total(f, "= free now", total.saturating_sub(sum.taken.held), "")?;
        }
        Err(why) => writeln!(f, "    what is taken now cannot be seen: {why}")?,
    }
    write_rate(f, sum, total, facts.time_wait_max)
}

fn write_term(f: &mut fmt::Formatter<'_>, term: &Term, usable: Usable<'_>) -> fmt::Result {
    let from = match term.sources {
        Sources::Kernel(Some(source)) => source.to_string(),
        Sources::Kernel(None) => "the kernel's choice".to_owned(),
        Sources::Bound { block, .. } => block.to_string(),
    };
    let to = term.destinations.to_string();
    write!(f, "    {from:ADDRESSES$} -> {to:ADDRESSES$} ")?;
    let (pairs, each) = (Grouped(term.pairs.into()), Grouped(term.per_pair.into()));
    let working = format!("{pairs} x {each}");
    if term.counts {
        write!(f, "{working:>16} = {:>COUNT$}", Grouped(term.connections()))?;
    } else {
        write!(f, "{:>16}   {:>COUNT$}", "", "0")?;
    }
    match usable {
        Usable::Yes => writeln!(f),
        Usable::AfterHandshake => writeln!(f, "  each once a handshake has come about on it"),
        Usable::AppIsEverywhere => writeln!(f, "  the app listens on every address"),
        Usable::AppIsNot => writeln!(f, "  not used: the app does not listen on every address"),
        Usable::NobodyListens => {
            writeln!(
                f,
                "  only for an app that listens on every address; nobody listens now"
            )
        }
        Usable::Unseen(why) => writeln!(
            f,
            "  only for an app that listens on every address, which cannot be seen: {why}"
        ),
    }
}

/// A line under the counts of the stages.
fn write_total(f: &mut fmt::Formatter<'_>, what: &str, count: u64, remark: &str) -> fmt::Result {
    let before = 4 + 2 * ADDRESSES + 4 + 1 + 16 + 3;
    let gap = if remark.is_empty() { "" } else { "  " };
    writeln!(
        f,
        "{what:>width$} {:>COUNT$}{gap}{remark}",
        Grouped(count),
        width = before - 1
    )
}

fn on_pairs(pairs: u64) -> String {
    match pairs {
        1 => "on 1 pair".to_owned(),
        pairs => format!("on {} pairs", Grouped(pairs)),
    }
}

fn write_rate(
    f: &mut fmt::Formatter<'_>,
    sum: &TargetSum<'_>,
    total: u64,
    time_wait_max: Option<u32>,
) -> fmt::Result {
    let (Some(first), Some(all)) = (sum.counted().next(), sum.capacity.closing_rate()) else {
        return Ok(());
    };
    let cooling = u64::try_from(first.cooling.as_millis()).unwrap_or(u64::MAX);
    write!(
        f,
        "\n    TIME_WAIT keeps the port of a connection that we close for {} s: {} a second on the first pair",
        first.cooling.as_secs_f32(),
        Grouped(u64::from(first.per_pair) * 1000 / cooling.max(1)),
    )?;
    match sum.pairs() {
        1 => writeln!(f)?,
        _ => writeln!(f, ", {} on all", Grouped(all))?,
    }
    match time_wait_max {
        Some(max) if total > max.into() => writeln!(
            f,
            "    TIME_WAIT of the host: {} at most (net.ipv4.tcp_max_tw_buckets); what is closed beyond that keeps no port",
            Grouped(max.into())
        ),
        _ => Ok(()),
    }
}

fn write_backlog(
    f: &mut fmt::Formatter<'_>,
    sum: &TargetSum<'_>,
    somaxconn: Option<u32>,
) -> fmt::Result {
    match &sum.facts.listening {
        Listening::Yes { waiting, max } => {
            write!(
                f,
                "    backlog: {} connections can wait for the app to accept them, {} do",
                Grouped(sum.capacity.waiting().unwrap_or_default()),
                Grouped((*waiting).into())
            )?;
            match somaxconn {
                Some(most) => writeln!(f, " (listen {max}, net.core.somaxconn {most})")?,
                None => writeln!(f)?,
            }
            match advice::backlog(&sum.facts.listening, somaxconn) {
                Some(advice) => writeln!(f, "    for more in one moment: {advice}"),
                None => Ok(()),
            }
        }
        Listening::No => writeln!(f, "    backlog: nobody listens there now"),
        Listening::Elsewhere => {
            writeln!(
                f,
                "    backlog: that of another host, which is not looked at"
            )
        }
        Listening::Unseen(why) => writeln!(f, "    backlog: cannot be seen: {why}"),
    }
}

fn write_limits(
    f: &mut fmt::Formatter<'_>,
    upstream: &Upstream,
    facts: &Facts,
    sums: &[TargetSum<'_>],
) -> fmt::Result {
    let limits = limits(upstream, facts, sums);
    writeln!(f, "\n  {:NAME$} {:>COUNT$}", "at once", "connections")?;
    for limit in &limits {
        let count = match limit.connections {
            Some(connections) => Grouped(connections).to_string(),
            None => "-".to_owned(),
        };
        writeln!(
            f,
            "    {:<width$} {count:>COUNT$}  {}",
            name(limit.by),
            working(limit, facts, sums),
            width = NAME - 2
        )?;
    }
    let Some(first) = first_of(&limits) else {
        return writeln!(f, "  which of them binds first is not known");
    };
    let most = Grouped(first.connections.unwrap_or_default());
    writeln!(f, "  first to bind: {}, at {most}", name(first.by))?;
    match advice::against(first.by, upstream, facts.descriptors, sums) {
        Some(advice) => writeln!(f, "  for more: {advice}"),
        None => Ok(()),
    }
}

fn name(by: Limiting) -> &'static str {
    match by {
        Limiting::Ports => "source ports",
        Limiting::Descriptors => "descriptors",
        Limiting::Memory => "memory",
        Limiting::MaxConnections => "max_connections",
    }
}

/// How a limit comes about.
fn working(limit: &Limit, facts: &Facts, sums: &[TargetSum<'_>]) -> String {
    let unseen = || "cannot be seen on this host".to_owned();
    match (limit.by, limit.connections) {
        (Limiting::Ports, Some(_)) => "the sum above".to_owned(),
        (Limiting::Ports, None) => "a Unix socket needs none".to_owned(),
        (Limiting::Descriptors, _) => facts.descriptors.map_or_else(unseen, |all| {
            let rest = all.limit.saturating_sub(all.for_connections);
            format!(
                "({} - {} for everything else) / {DESCRIPTORS_EACH}, for all upstreams (LimitNOFILE)",
                Grouped(all.limit),
                Grouped(rest)
            )
        }),
        (Limiting::Memory, Some(_)) => {
            let each = sums.iter().map(|sum| sum.capacity.limits().memory_bytes_each);
            format!(
                "{} MB available / {} bytes, the app's own not counted",
                Grouped(facts.memory.unwrap_or_default() / 1_000_000),
                Grouped(each.max().unwrap_or_default())
            )
        }
        (Limiting::Memory, None) => unseen(),
        (Limiting::MaxConnections, Some(_)) => "of the upstream, over all workers".to_owned(),
        (Limiting::MaxConnections, None) => "none is set".to_owned(),
    }
}
