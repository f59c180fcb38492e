//! `listen-backlog-overflow`: connections are dropped because a TCP listener's queue is full, or soon will be.
//!
//! What hurts is told by the counters of the namespace, which count nothing but dropped handshakes. The drops of a
//! listener say only which one it is: the kernel counts in them whatever it throws away at that socket, such as a stray
//! segment of a port scan.

use std::net::SocketAddr;

use super::phrase::{count, counted, list, seconds};
use crate::finding::{Amount, Code, Finding, Severity, Subject};
use crate::remedy::listen::Queue;
use crate::snapshot::{Listener, Owner, Snapshot};

/// Of a queue's places, in percent: from here on a burst of a quarter of them is dropped.
const WARNING_PERCENT: u64 = 75;

/// A shorter queue says nothing by being full at one moment: with `listen(fd, 0)` one connection on its way fills it.
const PLACES_MIN: u64 = 4;

/// The listeners on one address, as one: with `SO_REUSEPORT` there is one for each worker.
struct Address<'a> {
    address: SocketAddr,
    /// The one with the fullest queue.
    fullest: &'a Listener,
    listeners: u32,
    drops: u64,
    /// How many of them are new; none where the kernel does not tell.
    dropped: Option<u64>,
    owners: Vec<Owner>,
}

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    let addresses = addresses(snapshot);
    let lost = lost(snapshot);
    let mut findings = Vec::new();
    for at in &addresses {
        let is_losing = lost.is_some() && at.dropped.is_some_and(|dropped| dropped > 0);
        if is_losing || is_tight(at.fullest) {
            findings.push(of_listener(snapshot, at, lost.filter(|_| is_losing)));
        }
    }
    let is_told = addresses
        .iter()
        .any(|at| at.dropped.is_some_and(|dropped| dropped > 0));
    if let Some(lost) = lost
        && !is_told
    {
        findings.push(of_nobody(snapshot, lost));
    }
    if findings.is_empty() {
        findings.extend(of_the_past(snapshot, &addresses));
    }
    findings
}

/// Connections that were dropped since the reading before.
#[derive(Debug, Clone, Copy)]
struct Lost {
    /// Because a queue was full.
    overflows: u64,
    /// For any reason, those included.
    drops: u64,
    ms: u64,
}

impl Lost {
    /// Only a full queue is known to hurt: the kernel counts as drops as well what a filter refuses, and what it has no
    /// memory or no room among unfinished handshakes for.
    const fn severity(self) -> Severity {
        if self.overflows > 0 {
            Severity::Critical
        } else {
            Severity::Warning
        }
    }
}

fn lost(snapshot: &Snapshot) -> Option<Lost> {
    let before = snapshot.counters_before?;
    let rose = |now: Option<u64>, then: Option<u64>| now?.checked_sub(then?);
    let (now, then) = (snapshot.counters, before.counters);
    let overflows = rose(now.listen_overflows, then.listen_overflows).unwrap_or(0);
    let drops = rose(now.listen_drops, then.listen_drops)
        .unwrap_or(0)
        .max(overflows);
    (drops > 0).then_some(Lost {
        overflows,
        drops,
        ms: before.before_ms,
    })
}

fn addresses(snapshot: &Snapshot) -> Vec<Address<'_>> {
    let mut listeners: Vec<&Listener> = snapshot.listeners.iter().collect();
    listeners.sort_by_key(|listener| listener.address);
    listeners
        .chunk_by(|a, b| a.address == b.address)
        .filter_map(|same| {
            let fullest = same.iter().max_by(|a, b| {
                let cross = |a: &Listener, b: &Listener| u64::from(a.queue) * places(b);
                cross(a, b).cmp(&cross(b, a))
            })?;
            let dropped = |listener: &Listener| {
                Some(u64::from(
                    listener.drops?.saturating_sub(listener.drops_before?),
                ))
            };
            let mut owners: Vec<Owner> = Vec::new();
            for owner in same.iter().flat_map(|listener| &listener.owners) {
                if !owners.contains(owner) {
                    owners.push(owner.clone());
                }
            }
            Some(Address {
                address: fullest.address,
                fullest,
                listeners: u32::try_from(same.len()).unwrap_or(u32::MAX),
                drops: same.iter().filter_map(|l| l.drops).map(u64::from).sum(),
                dropped: same.iter().map(|l| dropped(l)).sum(),
                owners,
            })
        })
        .collect()
}

/// Places of a queue: one more than the backlog (`sk_acceptq_is_full` in include/net/sock.h compares with `>`).
fn places(listener: &Listener) -> u64 {
    u64::from(listener.backlog) + 1
}

fn is_tight(listener: &Listener) -> bool {
    let places = places(listener);
    places >= PLACES_MIN && u64::from(listener.queue) * 100 >= places * WARNING_PERCENT
}

fn of_listener(snapshot: &Snapshot, at: &Address<'_>, lost: Option<Lost>) -> Finding {
    let (queue, places) = (u64::from(at.fullest.queue), places(at.fullest));
    let of_places = format!("{} of {}", count(queue), counted(places, "place"));
    let (severity, headline) = match (lost, at.dropped) {
        (Some(lost), Some(dropped)) => (
            lost.severity(),
            format!(
                "{}: {} dropped in {}; {of_places} in the queue taken at this moment",
                at.address,
                counted(dropped, "connection"),
                seconds(lost.ms)
            ),
        ),
        _ => (
            Severity::Warning,
            format!("{}: {of_places} in the queue are taken", at.address),
        ),
    };
    let mut evidence = vec![format!(
        "its backlog is {}{}",
        count(at.fullest.backlog),
        snapshot
            .settings
            .somaxconn
            .map_or_else(String::new, |max| format!(
                ", net.core.somaxconn {}",
                count(max)
            ))
    )];
    if at.listeners > 1 {
        evidence.push(format!(
            "{} share the address (SO_REUSEPORT), each with a queue of its own; this is the fullest",
            counted(at.listeners, "listener")
        ));
    }
    if at.drops > 0 {
        evidence.push(format!("{} dropped since it listens", count(at.drops)));
    }
    evidence.extend(lost.map(counters));
    Finding {
        code: Code::ListenBacklogOverflow,
        severity,
        headline,
        subject: Subject::Listener {
            address: at.address,
        },
        usage: Some(Amount {
            used: queue,
            limit: places,
            unit: "connections",
        }),
        forecast: None,
        remedies: Queue {
            address: &at.address.to_string(),
            backlog: at.fullest.backlog,
            somaxconn: snapshot.settings.somaxconn,
            owner: at.owners.first(),
            namespace: &snapshot.namespace,
        }
        .remedies(),
        processes: at.owners.clone(),
        evidence,
    }
}

fn counters(lost: Lost) -> String {
    format!(
        "in {} ListenOverflows rose by {} and ListenDrops by {}, in the whole namespace",
        seconds(lost.ms),
        count(lost.overflows),
        count(lost.drops)
    )
}

/// The kernel does not tell which listener it was: before Linux 5.4 it does not list their drops, and a listener may have
/// come and gone.
fn of_nobody(snapshot: &Snapshot, lost: Lost) -> Finding {
    let why = if lost.overflows > 0 {
        "which listener's queue was full is not known"
    } else {
        "no queue was full: a filter refuses handshakes, or there is no memory or no room among the unfinished ones"
    };
    Finding {
        code: Code::ListenBacklogOverflow,
        severity: lost.severity(),
        headline: format!(
            "{} dropped by listeners in {}",
            counted(lost.drops, "connection"),
            seconds(lost.ms)
        ),
        subject: Subject::Namespace,
        usage: None,
        forecast: None,
        processes: Vec::new(),
        evidence: vec![why.to_owned(), counters(lost)],
        remedies: general(snapshot),
    }
}

fn of_the_past(snapshot: &Snapshot, addresses: &[Address<'_>]) -> Option<Finding> {
    let overflows = snapshot
        .counters
        .listen_overflows
        .filter(|times| *times > 0)?;
    let mut dropping: Vec<&Address<'_>> = addresses.iter().filter(|at| at.drops > 0).collect();
    dropping.sort_by_key(|at| std::cmp::Reverse(at.drops));
    let names: Vec<String> = dropping
        .iter()
        .map(|at| {
            let backlog = count(at.fullest.backlog);
            format!(
                "{} ({} drops, backlog {backlog})",
                at.address,
                count(at.drops)
            )
        })
        .collect();
    let mut evidence = vec![format!(
        "ListenOverflows counts {} since this namespace began; it does not rise at this moment",
        count(overflows)
    )];
    if !names.is_empty() {
        evidence.push(format!(
            "listeners that have dropped something: {}",
            list(&names)
        ));
    }
    Some(Finding {
        code: Code::ListenBacklogOverflow,
        severity: Severity::Note,
        headline: format!(
            "{} dropped because a listener's queue was full, at some time",
            counted(overflows, "connection")
        ),
        subject: Subject::Namespace,
        usage: None,
        forecast: None,
        processes: Vec::new(),
        evidence,
        remedies: dropping.first().map_or_else(
            || general(snapshot),
            |at| {
                Queue {
                    address: &at.address.to_string(),
                    backlog: at.fullest.backlog,
                    somaxconn: snapshot.settings.somaxconn,
                    owner: at.owners.first(),
                    namespace: &snapshot.namespace,
                }
                .remedies()
            },
        ),
    })
}

fn general(snapshot: &Snapshot) -> Vec<crate::finding::Remedy> {
    Queue {
        address: "",
        backlog: 0,
        somaxconn: snapshot.settings.somaxconn,
        owner: None,
        namespace: &snapshot.namespace,
    }
    .remedies()
}
