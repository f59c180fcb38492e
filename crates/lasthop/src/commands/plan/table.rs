//! The tables of `plan`, for a person to check by hand.

use std::fmt;

use lasthop_ports::{HostPorts, Sources};

use super::advice;
use super::facts::{Facts, Listening};
use super::sum::{
    Bound, DESCRIPTORS_EACH, Limit, PortSum, StageSum, Usable, bytes_each, first_two, limits,
};
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
            let sums: Vec<Option<PortSum<'_>>> = targets
                .iter()
                .map(|target| PortSum::of(target, &self.facts.ports))
                .collect();
            writeln!(f, "upstream {}", upstream.name)?;
            for ((target, facts), sum) in upstream.targets.iter().zip(targets).zip(&sums) {
                write_target(f, target, sum.as_ref(), self.facts)?;
                write_backlog(f, &facts.listening, self.facts.somaxconn)?;
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
    sum: Option<&PortSum<'_>>,
    facts: &Facts,
) -> fmt::Result {
    writeln!(f, "\n  {target}")?;
    let Some(sum) = sum else {
        return writeln!(f, "    no ports: a Unix socket needs none");
    };
    let HostPorts {
        range, reserved, ..
    } = &facts.ports;
    let limit = facts.ports.limit();
    writeln!(
        f,
        "    {} ports ({range}) - {} reserved = {} for each pair of addresses\n",
        grouped(range.len().into()),
        grouped(reserved.count_within(*range).into()),
        grouped(limit.into()),
    )?;
    for stage in &sum.stages {
        write_stage(f, stage, limit)?;
    }
    write_total(f, "in all", sum.ports(), &on_pairs(sum.pairs()))?;
    match &sum.facts.taken {
        Ok(taken) => {
            let uncounted = match taken.uncounted() {
                0 => String::new(),
                more => format!(", {} more not counted", grouped(more)),
            };
            let time_wait = sum.time_wait();
            let told = match time_wait {
                0 => "by whatever program".to_owned(),
                _ => format!(
                    "by whatever program; {} are in TIME_WAIT, where only the young keep a port",
                    grouped(time_wait)
                ),
            };
            write_total(f, "- taken now", sum.held(), &format!("{told}{uncounted}"))?;
            write_total(f, "= free now", sum.free(), "")?;
        }
        Err(why) => writeln!(f, "    what is taken now cannot be seen: {why}")?,
    }
    write_rate(f, sum, facts.time_wait_max)
}

fn write_stage(f: &mut fmt::Formatter<'_>, stage: &StageSum<'_>, limit: u32) -> fmt::Result {
    let from = match stage.stage.sources {
        Sources::Kernel(Some(source)) => source.to_string(),
        Sources::Kernel(None) => "the kernel's choice".to_owned(),
        Sources::Bound { block, .. } => block.to_string(),
    };
    let to = stage.stage.destinations.to_string();
    write!(f, "    {from:ADDRESSES$} -> {to:ADDRESSES$} ")?;
    let pairs = stage.stage.pairs();
    let working = format!("{} x {}", grouped(pairs.into()), grouped(limit.into()));
    match stage.usable.counts() {
        true => write!(f, "{working:>16} = {:>COUNT$}", grouped(stage.ports))?,
        false => write!(f, "{:>16}   {:>COUNT$}", "", "0")?,
    }
    let mut remarks = Vec::new();
    match stage.usable {
        Usable::Yes => {}
        Usable::AfterHandshake => {
            remarks.push("each once a handshake has come about on it".to_owned())
        }
        Usable::AppIsEverywhere => remarks.push("the app listens on every address".to_owned()),
        Usable::AppIsNot => {
            remarks.push("not used: the app does not listen on every address".to_owned())
        }
        Usable::NobodyListens => {
            remarks.push(
                "only for an app that listens on every address; nobody listens now".to_owned(),
            );
        }
        Usable::Unseen(why) => remarks.push(format!(
            "only for an app that listens on every address, which cannot be seen: {why}"
        )),
    }
    if stage.usable.counts() && stage.is_cut() {
        let all = grouped(stage.addresses());
        remarks.push(format!("the first {} of {all}", grouped(pairs.into())));
    }
    match remarks.as_slice() {
        [] => writeln!(f),
        some => writeln!(f, "  {}", some.join("; ")),
    }
}

/// A line under the counts of the stages.
fn write_total(f: &mut fmt::Formatter<'_>, what: &str, count: u64, remark: &str) -> fmt::Result {
    let before = 4 + 2 * ADDRESSES + 4 + 1 + 16 + 3;
    let gap = if remark.is_empty() { "" } else { "  " };
    writeln!(
        f,
        "{what:>width$} {:>COUNT$}{gap}{remark}",
        grouped(count),
        width = before - 1
    )
}

fn on_pairs(pairs: u64) -> String {
    match pairs {
        1 => "on 1 pair".to_owned(),
        pairs => format!("on {} pairs", grouped(pairs)),
    }
}

fn write_rate(
    f: &mut fmt::Formatter<'_>,
    sum: &PortSum<'_>,
    time_wait_max: Option<u32>,
) -> fmt::Result {
    let Some(first) = sum.counted().next() else {
        return Ok(());
    };
    write!(
        f,
        "\n    TIME_WAIT keeps the port of a connection that we close for {} s: {} a second on the first pair",
        first.cooling.as_secs_f32(),
        grouped(first.closed_per_second(1)),
    )?;
    if sum.pairs() > 1 {
        let all = |stage: &StageSum<'_>| stage.closed_per_second(stage.stage.pairs());
        write!(f, ", {} on all", grouped(sum.counted().map(all).sum()))?;
    }
    writeln!(f)?;
    match time_wait_max {
        Some(max) if sum.ports() > max.into() => writeln!(
            f,
            "    TIME_WAIT of the host: {} at most (net.ipv4.tcp_max_tw_buckets); what is closed beyond that keeps no port",
            grouped(max.into())
        ),
        _ => Ok(()),
    }
}

fn write_backlog(
    f: &mut fmt::Formatter<'_>,
    listening: &Listening,
    somaxconn: Option<u32>,
) -> fmt::Result {
    match listening {
        Listening::Yes { waiting, max } => {
            write!(
                f,
                "    backlog: {} connections can wait for the app to accept them, {} do",
                grouped(u64::from(*max) + 1),
                grouped((*waiting).into())
            )?;
            match somaxconn {
                Some(most) => writeln!(f, " (listen {max}, net.core.somaxconn {most})")?,
                None => writeln!(f)?,
            }
            match advice::backlog(listening, somaxconn) {
                Some(advice) => writeln!(f, "    for more at once: {advice}"),
                None => Ok(()),
            }
        }
        Listening::No => writeln!(f, "    backlog: nobody listens there now"),
        Listening::Elsewhere => writeln!(
            f,
            "    backlog: that of another host, which is not looked at"
        ),
        Listening::Unseen(why) => writeln!(f, "    backlog: cannot be seen: {why}"),
    }
}

fn write_limits(
    f: &mut fmt::Formatter<'_>,
    upstream: &Upstream,
    facts: &Facts,
    sums: &[Option<PortSum<'_>>],
) -> fmt::Result {
    let limits = limits(upstream, facts, sums);
    writeln!(f, "\n  {:NAME$} {:>COUNT$}", "at once", "connections")?;
    for limit in &limits {
        let count = match limit.connections {
            Some(connections) => grouped(connections),
            None => "-".to_owned(),
        };
        writeln!(
            f,
            "    {:<width$} {count:>COUNT$}  {}",
            name(limit.bound),
            working(limit, facts, sums),
            width = NAME - 2
        )?;
    }
    let (Some(first), next) = first_two(&limits) else {
        return writeln!(f, "  which of them binds first is not known");
    };
    writeln!(
        f,
        "  first to bind: {}, at {}",
        name(first.bound),
        grouped(first.connections.unwrap_or_default())
    )?;
    write!(
        f,
        "  for more: {}",
        advice::against(first.bound, upstream, facts, sums)
    )?;
    match next {
        Some(next) => writeln!(
            f,
            "\n  next: {}, at {}",
            name(next.bound),
            grouped(next.connections.unwrap_or_default())
        ),
        None => writeln!(f),
    }
}

fn name(bound: Bound) -> &'static str {
    match bound {
        Bound::Ports => "source ports",
        Bound::Descriptors => "descriptors",
        Bound::Memory => "memory",
        Bound::MaxConnections => "max_connections",
    }
}

/// How a limit comes about.
fn working(limit: &Limit, facts: &Facts, sums: &[Option<PortSum<'_>>]) -> String {
    match (limit.bound, limit.connections) {
        (Bound::Ports, Some(_)) => "the sum above".to_owned(),
        (Bound::Ports, None) => "a Unix socket needs none".to_owned(),
        (Bound::Descriptors, _) => facts.descriptors.map_or_else(
            || "cannot be seen on this host".to_owned(),
            |all| {
                format!(
                    "({} - {} for everything else) / {DESCRIPTORS_EACH}, for all upstreams (LimitNOFILE)",
                    grouped(all.limit),
                    grouped(all.limit.saturating_sub(all.for_connections))
                )
            },
        ),
        (Bound::Memory, Some(_)) => format!(
            "{} MB available / {} bytes, the app's own not counted",
            grouped(facts.memory.unwrap_or_default() / 1_000_000),
            grouped(bytes_each(sums))
        ),
        (Bound::Memory, None) => "cannot be seen on this host".to_owned(),
        (Bound::MaxConnections, Some(_)) => "of the upstream, over all workers".to_owned(),
        (Bound::MaxConnections, None) => "none is set".to_owned(),
    }
}

/// A count with a comma every three digits.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
