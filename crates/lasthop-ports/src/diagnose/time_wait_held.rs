//! time-wait-held: TIME_WAIT has a great part of a pair's ports. This end closes its connections first.
//!
//! The kernel keeps no owner for TIME_WAIT, so who closes is inferred, and said to be.

use super::phrase::count;
use super::view::{View, is_part, part, views};
use super::words::processes;
use crate::finding::{Amount, Code, Finding, Severity};
use crate::remedy;
use crate::snapshot::Snapshot;

/// From this part of a pair's ports on, in percent: what is lost is worth a look, long before it hurts.
const HELD_PERCENT: u32 = 25;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    let held =
        views(snapshot).filter(|view| is_part(view.group.time_wait_held, view.limit, HELD_PERCENT));
    let found = held.map(|view| {
        let held = view.group.time_wait_held;
        let headline = format!(
            "{}: TIME_WAIT holds {} of {} ports ({} %)",
            view.group.key,
            count(held),
            count(view.limit),
            part(held, view.limit)
        );
        let mut finding = view.finding(Code::TimeWaitHeld, Severity::Warning, headline);
        finding.usage = Some(Amount {
            used: held.into(),
            limit: view.limit.into(),
            unit: "ports",
        });
        finding
            .evidence
            .splice(0..0, [how_long(view), who_closes(view)]);
        finding.remedies = remedy::less_time_wait(&view.plight());
        finding
    });
    found.collect()
}

fn how_long(view: View<'_>) -> String {
    let cooling = view.ports.reuse().cooling(view.is_loopback());
    let rate = f64::from(view.limit) / cooling.as_secs_f64().max(0.001);
    // A whole number of connections; the cast saturates.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is not negative, and a float becomes the nearest number there is"
    )]
    let rate = rate as u64;
    let seconds = cooling.as_secs_f64();
    format!(
        "each port is held for {seconds} s after its connection, so that this pair bears {} new connections a second",
        count(rate)
    )
}

fn who_closes(view: View<'_>) -> String {
    let key = &view.group.key;
    let who = match view.group.owners.as_slice() {
        [] => "nobody has other connections of this pair at the moment".to_owned(),
        owners => format!(
            "{} has the other connections of this pair",
            processes(owners)
        ),
    };
    format!(
        "the end at {} closes first, as a client or proxy does that makes a connection for each request; {who} \
         (inferred: the kernel keeps no owner for TIME_WAIT)",
        key.source
    )
}
