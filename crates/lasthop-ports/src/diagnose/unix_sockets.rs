//! `unix-socket-permission`, `unix-socket-missing`, `unix-socket-stale`: a Unix socket that nobody can connect to.
//!
//! A warning where a configuration names it: whether a request goes there at this moment is not known, and a proxy may
//! have others. Files that were merely come across are a note, all of them one.

use super::phrase::{count, list};
use crate::finding::{Code, Finding, Remedy, Severity, Subject};
use crate::remedy::unix;
use crate::snapshot::{Snapshot, UnixProblem, UnixTarget};

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    [
        UnixProblem::Permission,
        UnixProblem::Missing,
        UnixProblem::Stale,
    ]
    .into_iter()
    .flat_map(|problem| of_kind(snapshot, problem))
    .collect()
}

fn of_kind(snapshot: &Snapshot, problem: UnixProblem) -> Vec<Finding> {
    let mut targets: Vec<&UnixTarget> = snapshot
        .unix_targets
        .iter()
        .filter(|target| target.problem == problem)
        .collect();
    // The same path may stand in several files: one finding, which names them all.
    targets.sort_by_key(|target| (target.named_by.is_none(), &target.path, &target.named_by));
    let (named, found): (Vec<&UnixTarget>, Vec<&UnixTarget>) = targets
        .into_iter()
        .partition(|target| target.named_by.is_some());
    let mut findings: Vec<Finding> = named
        .chunk_by(|a, b| a.path == b.path)
        .filter_map(|same| {
            let files: Vec<String> = same
                .iter()
                .filter_map(|target| target.named_by.clone())
                .collect();
            Some(of_configuration(same.first()?, &files))
        })
        .collect();
    let found: Vec<&UnixTarget> = found
        .into_iter()
        .filter(|target| named.iter().all(|other| other.path != target.path))
        .collect();
    findings.extend(come_across(&found));
    findings
}

const fn words(problem: UnixProblem) -> (Code, &'static str, &'static str) {
    match problem {
        UnixProblem::Permission => (
            Code::UnixSocketPermission,
            "the proxy may not connect to it",
            "nginx writes (13: Permission denied)",
        ),
        UnixProblem::Missing => (
            Code::UnixSocketMissing,
            "there is no such socket",
            "nginx writes (2: No such file or directory)",
        ),
        UnixProblem::Stale => (
            Code::UnixSocketStale,
            "nobody listens on it",
            "nginx writes (111: Connection refused)",
        ),
    }
}

fn remedies(target: &UnixTarget) -> Vec<Remedy> {
    match target.problem {
        UnixProblem::Permission => unix::permitted(&target.path),
        UnixProblem::Missing => unix::present(&target.path),
        UnixProblem::Stale => unix::served(&target.path),
    }
}

fn of_configuration(target: &UnixTarget, files: &[String]) -> Finding {
    let (code, what, error) = words(target.problem);
    Finding {
        code,
        severity: Severity::Warning,
        headline: format!("{}: {what}", target.path),
        subject: Subject::UnixSocket {
            path: target.path.clone(),
        },
        usage: None,
        forecast: None,
        processes: Vec::new(),
        evidence: vec![
            target.detail.clone(),
            format!("named by {}", list(files)),
            error.to_owned(),
        ],
        remedies: remedies(target),
    }
}

fn come_across(found: &[&UnixTarget]) -> Option<Finding> {
    let first = found.first()?;
    let (code, what, _) = words(first.problem);
    let paths: Vec<String> = found.iter().map(|target| target.path.clone()).collect();
    let (headline, subject, evidence) = if found.len() == 1 {
        (
            format!("{}: {what}", first.path),
            Subject::UnixSocket {
                path: first.path.clone(),
            },
            vec![first.detail.clone()],
        )
    } else {
        (
            format!("{} socket files, each: {what}", count(found.len() as u64)),
            Subject::Host,
            vec![list(&paths)],
        )
    };
    Some(Finding {
        code,
        severity: Severity::Note,
        headline,
        subject,
        usage: None,
        forecast: None,
        processes: Vec::new(),
        evidence: evidence
            .into_iter()
            .chain([
                "no configuration that was read names it: it may be of no use to anybody"
                    .to_owned(),
            ])
            .collect(),
        remedies: Vec::new(),
    })
}
