//! `time-wait-bucket-overflow`: more connections are in TIME_WAIT than the kernel keeps, so some end without it.
//!
//! Nobody is refused, and the ports are free at once. What is lost is what TIME_WAIT is for: a late segment of an old
//! connection may meet a new one with the same ports.

use super::phrase::{count, counted, percent, seconds};
use crate::finding::{Amount, Code, Finding, Remedy, Severity, Subject};
use crate::remedy::paste::words;
use crate::remedy::sysctl::{self, Setting};
use crate::snapshot::{Snapshot, Usage};

/// From here on it will happen soon.
const WARNING_PERCENT: u64 = 90;

/// What an entry takes of the kernel's memory, in bytes (`tw_sock_TCP`).
const ENTRY_BYTES: u64 = 256;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    let ever = snapshot.counters.time_wait_overflow;
    let rose = snapshot.counters_before.and_then(|before| {
        let more = ever?.checked_sub(before.counters.time_wait_overflow?)?;
        (more > 0).then_some((more, before.before_ms))
    });
    let usage = snapshot.time_wait_buckets;
    let near = usage.filter(|usage| percent(*usage) >= WARNING_PERCENT);
    let (severity, headline) = match (rose, near, ever) {
        (Some((more, ms)), _, _) => (
            Severity::Warning,
            format!(
                "{} ended without TIME_WAIT in {}{}",
                counted(more, "connection"),
                seconds(ms),
                usage.map_or_else(String::new, |usage| format!(
                    ": {} of {} are in it",
                    count(usage.used),
                    count(usage.limit)
                ))
            ),
        ),
        (None, Some(usage), _) => (
            Severity::Warning,
            format!(
                "TIME_WAIT: {} of {} connections ({} %)",
                count(usage.used),
                count(usage.limit),
                percent(usage)
            ),
        ),
        (None, None, Some(ever)) if ever > 0 => (
            Severity::Note,
            format!(
                "{} ended without TIME_WAIT, at some time",
                counted(ever, "connection")
            ),
        ),
        _ => return Vec::new(),
    };
    vec![Finding {
        code: Code::TimeWaitBucketOverflow,
        severity,
        headline,
        subject: Subject::Namespace,
        usage: usage.map(|usage| Amount {
            used: usage.used,
            limit: usage.limit,
            unit: "connections",
        }),
        forecast: None,
        processes: Vec::new(),
        evidence: evidence(ever),
        remedies: remedies(snapshot, usage),
    }]
}

fn evidence(ever: Option<u64>) -> Vec<String> {
    let mut evidence = vec![
        "nobody is refused: what ends beyond the limit keeps no port, and has no protection from late segments of its \
         predecessor"
            .to_owned(),
    ];
    evidence.extend(ever.map(|ever| {
        format!(
            "TCPTimeWaitOverflow counts {} since this namespace began",
            count(ever)
        )
    }));
    evidence
}

fn remedies(snapshot: &Snapshot, usage: Option<Usage>) -> Vec<Remedy> {
    let mut remedies = vec![Remedy {
        title: "Keep connections instead of opening one for each request".to_owned(),
        steps: vec![words(
            "keepalive to the app and to databases: TIME_WAIT is at whoever closes first, and comes once for each connection.",
        )],
        undo: vec!["Nothing is to be taken back.".to_owned()],
        risk: None,
    }];
    if let Some(usage) = usage {
        let value = usage.limit.saturating_mul(2);
        remedies.push(sysctl::set(
            &snapshot.namespace,
            &Setting {
                name: "net.ipv4.tcp_max_tw_buckets",
                value: &value.to_string(),
                before: &usage.limit.to_string(),
            },
            "Allow twice as many",
            Some(format!(
                "Up to {} MiB more memory of the kernel, and more ports that are held for a minute.",
                usage.limit.saturating_mul(ENTRY_BYTES).div_ceil(1024 * 1024)
            )),
        ));
    }
    remedies
}
