//! A group and all that a rule looks at to judge it: its ports, who has its connections, who listens where they lead.

use super::phrase::{count, counted, percent};
use super::words;
use crate::finding::{Amount, Code, Finding, Severity, Subject};
use crate::forecast::{Forecast, forecast};
use crate::host::TIME_WAIT;
use crate::remedy;
use crate::snapshot::{Group, Listener, PortSettings, Snapshot, Usage};

/// From this part of the ports on a pair is tight, in percent: a fifth left is time to do something about it.
const TIGHT_PERCENT: u32 = 80;

/// No trend is told of a pair that has less than this part of its ports in use, in percent: a pool that fills at the
/// start of a program rises steeply, and ends far below.
const TREND_FLOOR_PERCENT: u32 = 20;

/// A trend is told when the ports will be used up within this time, in seconds: soon enough to act now.
const TREND_SECONDS_MAX: f64 = 3600.0;

/// A trend that was seen for a second says nothing about the next hour. Ten minutes, at most, for each second.
const TREND_SECONDS_EACH: f64 = 600.0;

/// A pair is used up when no more than this many ports are left: what is opened and closed at this moment.
const SLACK_MAX: u32 = 8;

/// Nor more than this part of all, so that a pair of ten ports is used up with all ten only: 99.5 percent.
const SLACK_PART: u32 = 200;

/// How much of a pair's ports is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Room,
    Tight,
    Exhausted,
}

/// A group and what belongs to it. There is none where the ports of the host could not be read, or it has none.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) group: &'a Group,
    pub(super) ports: &'a PortSettings,
    /// Who listens where the group leads, in this namespace.
    pub(super) listener: Option<&'a Listener>,
    /// Ports of the pair, at least 1.
    pub(super) limit: u32,
    /// Of these, how many no new connection can have.
    pub(super) used: u32,
}

/// Every group of a snapshot that can be judged.
pub(super) fn views(snapshot: &Snapshot) -> impl Iterator<Item = View<'_>> {
    let ports = snapshot.ports.as_ref();
    let limit = snapshot.port_limit().unwrap_or(0);
    let groups = ports
        .filter(|_| limit > 0)
        .into_iter()
        .flat_map(move |ports| {
            let groups = snapshot.groups.iter();
            groups.map(move |group| (ports, group))
        });
    groups.map(move |(ports, group)| View {
        snapshot,
        group,
        ports,
        listener: snapshot.listener_of(&group.key),
        limit,
        used: group.used(),
    })
}

impl<'a> View<'a> {
    pub(super) fn level(self) -> Level {
        let slack = (self.limit / SLACK_PART).min(SLACK_MAX);
        if self.used >= self.limit - slack {
            Level::Exhausted
        } else if is_part(self.used, self.limit, TIGHT_PERCENT) {
            Level::Tight
        } else {
            Level::Room
        }
    }

    /// When the ports will be used up; none where that is far off, or nothing to speak of is in use.
    pub(super) fn trend(self) -> Option<Forecast> {
        if !is_part(self.used, self.limit, TREND_FLOOR_PERCENT) {
            return None;
        }
        let samples = &self.group.recent;
        let (first, last) = (samples.first()?, samples.last()?);
        let seconds = last.at_ms.saturating_sub(first.at_ms) as f64 / 1000.0;
        forecast(samples, self.limit).filter(|forecast| {
            forecast.seconds_left <= TREND_SECONDS_MAX.min(seconds * TREND_SECONDS_EACH)
        })
    }

    /// Whether the kernel takes its connections for such that do not leave the host, as `tcp_tw_reuse = 2` asks
    /// (`tcp_twsk_unique` in net/ipv4/tcp_ipv4.c): one of the two addresses is a loopback address.
    pub(super) fn is_loopback(self) -> bool {
        let key = &self.group.key;
        [key.source, key.destination.ip()]
            .into_iter()
            .any(|address| address.to_canonical().is_loopback())
    }

    /// Whether a port in TIME_WAIT is lost for the whole minute.
    pub(super) fn waits_long(self) -> bool {
        self.ports.reuse().cooling(self.is_loopback()) >= TIME_WAIT
    }

    /// `127.0.0.1 -> 127.0.0.1:3000: 25,973 of 28,232 ports`.
    pub(super) fn of_ports(self) -> String {
        format!(
            "{}: {} of {} ports",
            self.group.key,
            count(self.used),
            count(self.limit)
        )
    }

    /// A finding about this group, with the ports as its usage and the evidence that all of them have.
    pub(super) fn finding(self, code: Code, severity: Severity, headline: String) -> Finding {
        Finding {
            code,
            severity,
            headline,
            subject: Subject::from(self.group.key),
            usage: Some(Amount {
                used: self.used.into(),
                limit: self.limit.into(),
                unit: "ports",
            }),
            forecast: None,
            processes: self.group.owners.clone(),
            evidence: self.evidence(),
            remedies: Vec::new(),
        }
    }

    /// What a group's remedies depend on.
    pub(super) fn plight(self) -> remedy::Plight<'a> {
        remedy::Plight {
            snapshot: self.snapshot,
            group: self.group,
            ports: self.ports,
            listener: self.listener,
            waits_long: self.waits_long(),
        }
    }

    /// The facts about the group, the most telling first.
    fn evidence(self) -> Vec<String> {
        let mut lines = vec![self.states()];
        if let Some(line) = self.time_wait() {
            lines.push(line);
        }
        if self.group.outside_range > 0 {
            lines.push(format!(
                "{} of them on ports outside the range, which take none of it",
                count(self.group.outside_range)
            ));
        }
        lines.push(self.arithmetic());
        lines.push(self.who_connects());
        if let Some(line) = self.who_listens() {
            lines.push(line);
        }
        lines
    }

    fn states(self) -> String {
        let states = self.group.states;
        let named = [
            (states.established, "established"),
            (states.syn_sent, "in SYN_SENT"),
            (states.close_wait, "in CLOSE_WAIT"),
            (states.fin_wait, "in FIN_WAIT"),
            (states.last_ack, "in LAST_ACK"),
            (states.other, "in other states"),
            (self.group.time_wait_held, "held in TIME_WAIT"),
        ];
        let some: Vec<String> = named
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, state)| format!("{} {state}", count(number)))
            .collect();
        format!("connections: {}", some.join(", "))
    }

    fn time_wait(self) -> Option<String> {
        let all = self.group.time_wait;
        (all > self.group.time_wait_held).then(|| {
            format!(
                "{} in TIME_WAIT at this end in all; those that are no longer held can be used again",
                count(all)
            )
        })
    }

    /// `28,232 ports = 32768-60999 (net.ipv4.ip_local_port_range) less 0 that are reserved`.
    fn arithmetic(self) -> String {
        let range = self.ports.range;
        let reserved = self.ports.reserved.count_within(range);
        let less = match reserved {
            0 => String::new(),
            some => format!(" less {} in net.ipv4.ip_local_reserved_ports", count(some)),
        };
        format!(
            "{} = net.ipv4.ip_local_port_range {range}{less}",
            counted(self.limit, "port")
        )
    }

    fn who_connects(self) -> String {
        match self.group.owners.as_slice() {
            [] => "who connects is not known".to_owned(),
            owners => format!("connects: {}", words::processes(owners)),
        }
    }

    fn who_listens(self) -> Option<String> {
        let listener = self.listener?;
        let who = match listener.owners.as_slice() {
            [] => "somebody on this host".to_owned(),
            owners => words::processes(owners),
        };
        Some(format!("listens on {}: {who}", listener.address))
    }

    /// `92 %`.
    pub(super) fn percent(self) -> u64 {
        part(self.used, self.limit)
    }
}

/// Whether `used` is at least this many percent of `limit`.
pub(super) fn is_part(used: u32, limit: u32, percent: u32) -> bool {
    u64::from(used) * 100 >= u64::from(limit) * u64::from(percent)
}

/// `used` in whole percent of `limit`, rounded down, so that 100 is all of it.
pub(super) fn part(used: u32, limit: u32) -> u64 {
    percent(Usage {
        used: used.into(),
        limit: limit.into(),
    })
}
