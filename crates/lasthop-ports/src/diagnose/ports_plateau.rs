//! ports-plateau: the ports in use have stood at their limit for a while. On a chart it is the flat top.
//!
//! About the time, and who is refused meanwhile. That a pair is used up at this moment is what ports-exhausted says,
//! with all that can be done; it is not said twice.

use super::phrase::count;
use super::view::{View, is_part, views};
use super::words::{for_time, processes};
use crate::finding::{Code, Finding, Remedy, Severity, Step};
use crate::forecast::Sample;
use crate::snapshot::Snapshot;

/// It is flat when nothing was further below the highest count than this, in percent of it.
const WAVER_PERCENT: u32 = 1;

/// And the highest count is at least this part of the limit, in percent. Lower down there is another reason, such as a
/// pool that is as large as it may be.
const TOP_PERCENT: u32 = 99;

/// A shorter time is a moment, in milliseconds.
const SPAN_MS_MIN: u64 = 10_000;

/// Fewer readings do not show what was between them.
const SAMPLES_MIN: usize = 8;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    views(snapshot).filter_map(flat).collect()
}

fn flat(view: View<'_>) -> Option<Finding> {
    let samples = &view.group.recent;
    let top = flat_end(samples)?;
    let (first, last) = (top.first()?, top.last()?);
    let most = top.iter().map(|sample| sample.used).max()?;
    if !is_part(most, view.limit, TOP_PERCENT) {
        return None;
    }
    let seconds = last.at_ms.saturating_sub(first.at_ms) as f64 / 1000.0;
    // Where all that is kept is flat, it has been so for longer.
    let at_least = if top.len() == samples.len() {
        "at least "
    } else {
        ""
    };
    let headline = format!(
        "{}: flat at {} of {} ports for {at_least}{}",
        view.group.key,
        count(most),
        count(view.limit),
        for_time(seconds)
    );
    let finding = view.finding(Code::PortsPlateau, Severity::Critical, headline);
    Some(Finding {
        evidence: evidence(view, top),
        remedies: vec![relieve(view)],
        ..finding
    })
}

/// The readings at the end that are all as high as the highest, or nearly; none where they are too few or too short.
fn flat_end(samples: &[Sample]) -> Option<&[Sample]> {
    let last = samples.last()?;
    let most = samples.iter().map(|sample| sample.used).max()?;
    let is_high = |sample: &Sample| is_part(sample.used, most, 100 - WAVER_PERCENT);
    // A clock that was set back ends it as well: nobody knows how long what came before is ago.
    let mut after = last.at_ms;
    let length = samples
        .iter()
        .rev()
        .take_while(|sample| {
            let goes_on = is_high(sample) && sample.at_ms <= after;
            after = sample.at_ms;
            goes_on
        })
        .count();
    let top = &samples[samples.len() - length..];
    let span = last.at_ms.saturating_sub(top.first()?.at_ms);
    (length >= SAMPLES_MIN && span >= SPAN_MS_MIN).then_some(top)
}

fn evidence(view: View<'_>, top: &[Sample]) -> Vec<String> {
    let counts = || top.iter().map(|sample| sample.used);
    let (least, most) = (
        counts().min().unwrap_or_default(),
        counts().max().unwrap_or_default(),
    );
    let key = &view.group.key;
    let who = match view.group.owners.as_slice() {
        [] => "whoever connects".to_owned(),
        owners => processes(owners),
    };
    vec![
        format!(
            "{} readings between {} and {}: what ends is taken at once, so there are more who want one",
            top.len(),
            count(least),
            count(most)
        ),
        format!(
            "refused meanwhile: {who} from {} to {}, with EADDRNOTAVAIL (99)",
            key.source, key.destination
        ),
        format!(
            "not refused: connections from other addresses, and to other addresses or ports than {}",
            key.destination
        ),
    ]
}

fn relieve(view: View<'_>) -> Remedy {
    let key = &view.group.key;
    let destination = key.destination;
    Remedy {
        title: "See what the connections do, then do what ports-exhausted or ports-tight says about this pair"
            .to_owned(),
        steps: vec![
            Step::Shell {
                lines: vec![format!(
                    "ss -Htan 'src {} and dst {destination}' | awk '{{print $1}}' | sort | uniq -c",
                    bracketed(key.source)
                )],
            },
            Step::Words {
                text: "Where many are idle, a shorter timeout of the proxy towards the app frees their ports within \
                       that time. A restart of the proxy frees all of them, and ends what they carry."
                    .to_owned(),
            },
        ],
        undo: vec!["looking changes nothing".to_owned()],
        risk: None,
    }
}

/// As ss(8) reads an address.
fn bracketed(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => format!("[{address}]"),
    }
}
