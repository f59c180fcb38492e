//! `unix-backlog-full`: the queue of a Unix listener is full, and connect(2) says so at once.
//!
//! Over TCP whoever finds a full queue waits and tries again. Over a Unix socket a program that does not block is told
//! `EAGAIN` and has to try again itself, which most do not.

use super::phrase::{count, counted};
use crate::finding::{Amount, Code, Finding, Severity, Subject};
use crate::remedy::listen::Queue;
use crate::snapshot::{Snapshot, UnixListener};

/// Of a queue's places, in percent: from here on a burst of a quarter of them is refused.
const WARNING_PERCENT: u64 = 75;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    let mut listeners: Vec<&UnixListener> = snapshot
        .unix_listeners
        .iter()
        .filter(|listener| u64::from(listener.queue) * 100 >= places(listener) * WARNING_PERCENT)
        .collect();
    // A path is listened on once for each network namespace and each file that had the name: the fullest speaks.
    listeners.sort_by(|a, b| (&a.name, b.queue).cmp(&(&b.name, a.queue)));
    listeners.dedup_by(|a, b| a.name == b.name);
    listeners
        .into_iter()
        .map(|listener| finding(snapshot, listener))
        .collect()
}

/// One more than the backlog (`unix_recvq_full` in net/unix/af_unix.c compares with `>`).
fn places(listener: &UnixListener) -> u64 {
    u64::from(listener.backlog) + 1
}

fn finding(snapshot: &Snapshot, listener: &UnixListener) -> Finding {
    let places = places(listener);
    let is_full = u64::from(listener.queue) >= places;
    let (severity, what) = if is_full {
        (Severity::Critical, "the queue is full: ")
    } else {
        (Severity::Warning, "")
    };
    let mut evidence = vec![
        if is_full {
            "connect(2) says EAGAIN to whoever does not block; nginx writes (11: Resource temporarily unavailable)".to_owned()
        } else {
            "when it is full, connect(2) says EAGAIN to whoever does not block".to_owned()
        },
        format!(
            "its backlog is {}{}",
            count(listener.backlog),
            snapshot
                .settings
                .somaxconn
                .map_or_else(String::new, |max| format!(
                    ", net.core.somaxconn {}",
                    count(max)
                ))
        ),
    ];
    if listener.connections > 0 {
        evidence.push(format!(
            "{} open through it",
            counted(listener.connections, "connection")
        ));
    }
    Finding {
        code: Code::UnixBacklogFull,
        severity,
        headline: format!(
            "{}: {what}{} of {} taken",
            listener.name,
            count(listener.queue),
            counted(places, "place")
        ),
        subject: Subject::UnixSocket {
            path: listener.name.clone(),
        },
        usage: Some(Amount {
            used: u64::from(listener.queue),
            limit: places,
            unit: "connections",
        }),
        forecast: None,
        processes: listener.owners.clone(),
        evidence,
        remedies: Queue {
            address: &format!("unix:{}", listener.name),
            backlog: listener.backlog,
            somaxconn: snapshot.settings.somaxconn,
            owner: listener.owners.first(),
            namespace: &snapshot.namespace,
        }
        .remedies(),
    }
}
