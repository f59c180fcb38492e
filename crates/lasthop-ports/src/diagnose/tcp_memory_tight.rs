//! `tcp-memory-tight`: the sockets of the host hold nearly all the memory that TCP may have.

use super::phrase::{count, counted, percent, seconds};
use crate::finding::{Amount, Code, Finding, Remedy, Severity, Subject};
use crate::remedy::paste::shell;
use crate::remedy::sysctl::{self, Setting};
use crate::snapshot::{Snapshot, TcpMemory, Usage};

/// Of the limit, in percent: from here on segments are thrown away and connections ended for want of memory.
const CRITICAL_PERCENT: u64 = 95;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    let aborted = snapshot.counters_before.and_then(|before| {
        let now = snapshot.counters.aborts_on_memory?;
        let more = now.checked_sub(before.counters.aborts_on_memory?)?;
        (more > 0).then_some((more, before.before_ms))
    });
    let memory = snapshot.tcp_memory;
    let full = memory.filter(|memory| percent(usage(*memory)) >= CRITICAL_PERCENT);
    // A kernel that sets nothing aside (0) has no pressure to be under.
    let pressed =
        memory.filter(|memory| memory.limit_pages > 0 && memory.pages > memory.pressure_pages);
    let severity = match (aborted, full, pressed) {
        (Some(_), _, _) | (None, Some(_), _) => Severity::Critical,
        (None, None, Some(_)) => Severity::Warning,
        (None, None, None) => return Vec::new(),
    };
    vec![Finding {
        code: Code::TcpMemoryTight,
        severity,
        headline: headline(memory, aborted),
        subject: Subject::Host,
        usage: memory.map(|memory| Amount {
            used: memory.pages,
            limit: memory.limit_pages,
            unit: "pages",
        }),
        forecast: None,
        processes: Vec::new(),
        evidence: evidence(snapshot, memory),
        remedies: remedies(snapshot, memory),
    }]
}

const fn usage(memory: TcpMemory) -> Usage {
    Usage {
        used: memory.pages,
        limit: memory.limit_pages,
    }
}

fn headline(memory: Option<TcpMemory>, aborted: Option<(u64, u64)>) -> String {
    let held = memory.map(|memory| {
        format!(
            "memory of TCP: {} of {} pages ({} %)",
            count(memory.pages),
            count(memory.limit_pages),
            percent(usage(memory))
        )
    });
    let ended = aborted.map(|(more, ms)| {
        format!(
            "{} ended for want of memory in {}",
            counted(more, "connection"),
            seconds(ms)
        )
    });
    [held, ended]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; ")
}

fn evidence(snapshot: &Snapshot, memory: Option<TcpMemory>) -> Vec<String> {
    let mut evidence = Vec::new();
    if let Some(memory) = memory {
        evidence.push(format!(
            "sockets are pressed to use less from {} pages on (net.ipv4.tcp_mem)",
            count(memory.pressure_pages)
        ));
    }
    if let Some(pressures) = snapshot
        .counters
        .memory_pressures
        .filter(|times| *times > 0)
    {
        evidence.push(format!(
            "TCP has come under pressure {} since this namespace began",
            counted(pressures, "time")
        ));
    }
    if let Some(orphans) = snapshot.counters.orphans.filter(|orphans| *orphans > 0) {
        evidence.push(format!(
            "{} that no process has any more",
            counted(orphans, "socket")
        ));
    }
    evidence
}

fn remedies(snapshot: &Snapshot, memory: Option<TcpMemory>) -> Vec<Remedy> {
    let mut remedies = vec![Remedy {
        title: "See which sockets hold it: bytes that somebody does not read".to_owned(),
        steps: vec![shell([crate::remedy::paste::inside(
            &snapshot.namespace,
            "ss -tn | sort -k2,2nr -k3,3nr | head",
        )])],
        undo: vec!["It changes nothing.".to_owned()],
        risk: None,
    }];
    if let Some(memory) = memory {
        let more = |pages: u64| pages.saturating_add(pages / 2);
        let (low, pressure, limit) = (memory.low_pages, memory.pressure_pages, memory.limit_pages);
        remedies.push(sysctl::set(
            &snapshot.namespace,
            &Setting {
                name: "net.ipv4.tcp_mem",
                value: &format!("{} {} {}", more(low), more(pressure), more(limit)),
                before: &format!("{low} {pressure} {limit}"),
            },
            "Give TCP half as much again",
            Some(format!(
                "TCP may then hold {} pages, of 4 KiB on most hosts, that no program has: see that there is as much to spare.",
                count(more(limit))
            )),
        ));
    }
    remedies
}
