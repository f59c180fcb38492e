//! `file-max-tight`: the whole host is short of open files.

use super::phrase::{count, percent};
use crate::finding::{Amount, Code, Finding, Severity, Subject};
use crate::remedy::sysctl::{self, Setting};
use crate::snapshot::{Snapshot, Usage};

/// From here on somebody should act.
const WARNING_PERCENT: u64 = 80;

/// From here on any program may be the one that is refused.
const CRITICAL_PERCENT: u64 = 95;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    let Some(files) = snapshot.files else {
        return Vec::new();
    };
    let part = percent(files);
    if part < WARNING_PERCENT {
        return Vec::new();
    }
    let severity = if part >= CRITICAL_PERCENT {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let fullest = snapshot
        .processes
        .iter()
        .max_by_key(|process| process.descriptors.open);
    let mut evidence = vec![
        "all programs but those of root are refused when it is reached (ENFILE), whatever their own limits".to_owned(),
    ];
    evidence.extend(fullest.map(|process| {
        format!(
            "of the processes that were counted {} (pid {}) has most: {} descriptors",
            process.owner.name,
            process.owner.pid,
            count(process.descriptors.open)
        )
    }));
    vec![Finding {
        code: Code::FileMaxTight,
        severity,
        headline: format!(
            "the host: {} of {} files open ({part} %)",
            count(files.used),
            count(files.limit)
        ),
        subject: Subject::Host,
        usage: Some(Amount {
            used: files.used,
            limit: files.limit,
            unit: "files",
        }),
        forecast: None,
        processes: fullest
            .map(|process| process.owner.clone())
            .into_iter()
            .collect(),
        evidence,
        remedies: vec![twice(snapshot, files)],
    }]
}

fn twice(snapshot: &Snapshot, files: Usage) -> crate::finding::Remedy {
    sysctl::set(
        &snapshot.namespace,
        &Setting {
            name: "fs.file-max",
            value: &files.limit.saturating_mul(2).to_string(),
            before: &files.limit.to_string(),
        },
        "Allow the host twice as many files, and look for who leaks them",
        Some("Each open file takes some hundred bytes of the kernel's memory, a socket a few thousand.".to_owned()),
    )
}
