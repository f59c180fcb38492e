//! `backlog-clipped`: listeners whose backlog is `net.core.somaxconn` to the number, which is what is left of a longer one.
//!
//! The kernel does not keep what was asked for, so it cannot be told whether anything was cut: a program in Go asks for
//! just that number. One finding names them all, and on a host with the default setting it is silent until a queue fills.

use super::phrase::{count, list};
use crate::finding::{Amount, Code, Finding, Severity, Subject};
use crate::remedy::listen::{COMFORTABLE, higher_somaxconn};
use crate::snapshot::{Owner, Snapshot};

/// Of a queue's places: one that is fuller wants more of them.
const FULL_PART: u64 = 2;

/// Listeners are looked at as one kind, TCP and Unix.
struct Clipped<'a> {
    name: String,
    queue: u32,
    owners: &'a [Owner],
}

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    let Some(somaxconn) = snapshot.settings.somaxconn else {
        return Vec::new();
    };
    let mut clipped = clipped(snapshot, somaxconn);
    let places = u64::from(somaxconn) + 1;
    let Some(fullest) = clipped.iter().max_by_key(|listener| listener.queue) else {
        return Vec::new();
    };
    let (queue, is_filling) = (
        u64::from(fullest.queue),
        u64::from(fullest.queue) * FULL_PART > places,
    );
    if !is_filling && somaxconn >= COMFORTABLE {
        return Vec::new();
    }
    clipped.sort_by(|a, b| (b.queue, &a.name).cmp(&(a.queue, &b.name)));
    let mut owners: Vec<Owner> = Vec::new();
    for owner in clipped.iter().flat_map(|listener| listener.owners) {
        if !owners.contains(owner) {
            owners.push(owner.clone());
        }
    }
    let names: Vec<String> = clipped.into_iter().map(|listener| listener.name).collect();
    let severity = if is_filling {
        Severity::Warning
    } else {
        Severity::Note
    };
    let listeners = if names.len() == 1 {
        "listener has"
    } else {
        "listeners have"
    };
    vec![Finding {
        code: Code::BacklogClipped,
        severity,
        headline: format!(
            "{} {listeners} a backlog of {}, all that net.core.somaxconn allows",
            count(names.len() as u64),
            count(somaxconn)
        ),
        subject: Subject::Namespace,
        usage: Some(Amount {
            used: queue,
            limit: places,
            unit: "connections",
        }),
        forecast: None,
        processes: owners,
        evidence: vec![
            list(&names),
            format!("the fullest of their queues has {} waiting", count(queue)),
            "whether they asked for more or for just that cannot be told: the kernel does not keep the number".to_owned(),
        ],
        remedies: vec![higher_somaxconn(
            &snapshot.namespace,
            somaxconn,
            COMFORTABLE.max(somaxconn.saturating_mul(2)),
        )],
    }]
}

fn clipped(snapshot: &Snapshot, somaxconn: u32) -> Vec<Clipped<'_>> {
    let tcp = snapshot.listeners.iter().map(|listener| {
        let clipped = Clipped {
            name: listener.address.to_string(),
            queue: listener.queue,
            owners: &listener.owners,
        };
        (listener.backlog, clipped)
    });
    let unix = snapshot.unix_listeners.iter().map(|listener| {
        let clipped = Clipped {
            name: listener.name.clone(),
            queue: listener.queue,
            owners: &listener.owners,
        };
        (listener.backlog, clipped)
    });
    let mut clipped: Vec<Clipped<'_>> = tcp
        .chain(unix)
        .filter_map(|(backlog, clipped)| (backlog == somaxconn).then_some(clipped))
        .collect();
    // Several on one address count as one, the fullest.
    clipped.sort_by(|a, b| (&a.name, b.queue).cmp(&(&b.name, a.queue)));
    clipped.dedup_by(|a, b| a.name == b.name);
    clipped
}
