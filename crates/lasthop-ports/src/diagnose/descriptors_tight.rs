//! `descriptors-tight`: a process has few descriptors left, and with none it accepts and connects no more.
//!
//! One finding for a service: its workers share the load, so they get tight together, and what helps one helps all.

use super::phrase::{count, named, percent};
use crate::finding::{Amount, Code, Finding, Severity, Subject};
use crate::remedy::descriptors;
use crate::snapshot::{Process, Program, Snapshot, Usage};

/// From here on somebody should act: a fifth is what a burst takes.
const WARNING_PERCENT: u64 = 80;

/// From here on the next burst is refused. Not 100: a server that keeps a reserve, or stops accepting, never gets there.
const CRITICAL_PERCENT: u64 = 98;

/// A limit below this is a sandbox's: whoever sets it wants no descriptors opened (`sshd` gives its unprivileged child
/// none at all).
const LIMIT_MIN: u64 = 64;

/// Processes that a finding names.
const NAMED_MAX: usize = 8;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    let mut tight: Vec<&Process> = snapshot
        .processes
        .iter()
        .filter(|process| process.descriptors.limit >= LIMIT_MIN)
        .filter(|process| percent(usage(process)) >= WARNING_PERCENT)
        .collect();
    tight.sort_by_key(|process| {
        (
            std::cmp::Reverse(percent(usage(process))),
            process.owner.pid,
        )
    });
    let mut findings = Vec::new();
    while let Some(&fullest) = tight.first() {
        let (siblings, others): (Vec<&Process>, Vec<&Process>) = tight
            .into_iter()
            .partition(|process| std::ptr::eq(*process, fullest) || is_sibling(process, fullest));
        findings.push(finding(snapshot, fullest, &siblings));
        tight = others;
    }
    findings
}

/// Whether two processes are of one service: the same program in the same control group, as far as that is known.
fn is_sibling(a: &Process, b: &Process) -> bool {
    let (a, b) = (&a.owner, &b.owner);
    a.cgroup.is_some() && a.cgroup == b.cgroup && a.name == b.name && a.uid == b.uid
}

const fn usage(process: &Process) -> Usage {
    Usage {
        used: process.descriptors.open,
        limit: process.descriptors.limit,
    }
}

fn finding(snapshot: &Snapshot, fullest: &Process, siblings: &[&Process]) -> Finding {
    let (owner, usage) = (&fullest.owner, usage(fullest));
    let part = percent(usage);
    let severity = if part >= CRITICAL_PERCENT {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let which = match siblings.len() {
        1 => format!("{} (pid {})", owner.name, owner.pid),
        all => format!("{} (pid {}, the fullest of {all})", owner.name, owner.pid),
    };
    Finding {
        code: Code::DescriptorsTight,
        severity,
        headline: format!(
            "{which}: {} of {} descriptors ({part} %)",
            count(usage.used),
            count(usage.limit)
        ),
        subject: Subject::Process { pid: owner.pid },
        usage: Some(Amount {
            used: usage.used,
            limit: usage.limit,
            unit: "descriptors",
        }),
        forecast: None,
        processes: siblings
            .iter()
            .take(NAMED_MAX)
            .map(|process| process.owner.clone())
            .collect(),
        evidence: evidence(fullest, siblings),
        remedies: descriptors::more(
            fullest,
            siblings,
            snapshot.settings.nr_open,
            &snapshot.namespace,
        ),
    }
}

fn evidence(fullest: &Process, siblings: &[&Process]) -> Vec<String> {
    let descriptors = fullest.descriptors;
    let mut evidence = vec![if descriptors.hard_limit > descriptors.limit {
        format!(
            "its soft limit is {}, which it may raise itself to {}",
            count(descriptors.limit),
            count(descriptors.hard_limit)
        )
    } else {
        format!(
            "its limit is {}, soft and hard alike: it cannot raise it itself",
            count(descriptors.limit)
        )
    }];
    if let Some(cgroup) = &fullest.owner.cgroup {
        evidence.push(format!("it runs in {cgroup}"));
    }
    let others = siblings
        .iter()
        .filter(|process| process.owner.pid != fullest.owner.pid);
    for process in others.take(NAMED_MAX) {
        evidence.push(format!(
            "{}: {} of {}",
            named(&process.owner),
            count(process.descriptors.open),
            count(process.descriptors.limit)
        ));
    }
    match fullest.owner.program {
        Program::Node | Program::Java | Program::Go | Program::Caddy | Program::Traefik => {
            evidence.push(
                "programs of this kind raise their soft limit to the hard one when they start: the hard one is to be raised"
                    .to_owned(),
            );
        }
        Program::Envoy => {
            evidence
                .push("Envoy has no setting for it: since 1.35 it raises its soft limit to the hard one, before that it takes what it is started with".to_owned());
        }
        _ => {}
    }
    evidence
}
