//! Recordings come from anybody: whatever numbers and names they hold, the judgement is made, and is fit to be told.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by its panic"
)]

mod whole;

use lasthop_ports::finding::Step;
use lasthop_ports::{Snapshot, diagnose};
use proptest::prelude::*;
use serde_json::Value;

/// Values changed in one case, of the about two hundred that a snapshot of [`whole`] has.
const CHANGES_MAX: usize = 24;

/// What a value is changed to; the kind of the old one decides which of both.
#[derive(Debug, Clone)]
struct Change {
    /// Which value, counted around.
    position: usize,
    number: u64,
    text: &'static str,
}

fn change() -> impl Strategy<Value = Change> {
    let number = prop_oneof![
        0..64_u64,
        Just(u64::from(u16::MAX)),
        Just(u64::from(u32::MAX) - 1),
        Just(u64::from(u32::MAX)),
        Just(u64::MAX - 1),
        Just(u64::MAX),
    ];
    let text = prop_oneof![
        Just(""),
        Just("\u{1b}[2J\u{7}"),
        Just("a\nrm -rf /"),
        Just("$(reboot)`'\""),
        Just("1 65535"),
        Just("::1"),
        Just("0.0.0.0:0"),
        Just("other"),
    ];
    (any::<usize>(), number, text).prop_map(|(position, number, text)| Change {
        position,
        number,
        text,
    })
}

/// All numbers and texts in a value.
fn leaves(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(items) => items.iter_mut().flat_map(leaves).collect(),
        Value::Object(fields) => fields.values_mut().flat_map(leaves).collect(),
        Value::Number(_) | Value::String(_) => vec![value],
        Value::Null | Value::Bool(_) => Vec::new(),
    }
}

/// The snapshot with those changes that leave it a recording: a port of 65,536 or an address of no meaning is refused
/// where a recording is read.
fn changed(changes: &[Change]) -> Snapshot {
    let mut snapshot = whole::snapshot();
    for change in changes {
        let mut value = serde_json::to_value(&snapshot).unwrap();
        let mut leaves = leaves(&mut value);
        let position = change.position % leaves.len();
        let leaf = &mut leaves[position];
        **leaf = match leaf {
            Value::Number(_) => change.number.into(),
            _ => change.text.into(),
        };
        if let Ok(changed) = serde_json::from_value(value) {
            snapshot = changed;
        }
    }
    snapshot
}

fn assert_can_be_told(snapshot: &Snapshot) {
    let findings = diagnose(snapshot);
    for pair in findings.windows(2) {
        assert!(pair[0].severity >= pair[1].severity, "the worst first");
    }
    for finding in &findings {
        assert!(!finding.headline.trim().is_empty());
        if let Some(forecast) = finding.forecast {
            assert!(forecast.seconds_left.is_finite() && forecast.seconds_left >= 0.0);
            assert!(forecast.per_minute.is_finite());
        }
        for step in finding.remedies.iter().flat_map(|remedy| &remedy.steps) {
            if let Step::Shell { lines } | Step::Lines { lines, .. } = step {
                assert!(!lines.is_empty());
                for line in lines {
                    assert!(!line.chars().any(char::is_control), "{line:?}");
                    assert!(!line.contains("$(reboot)") || line.contains("'$(reboot)"));
                }
            }
        }
    }
}

#[test]
fn the_whole_snapshot_is_a_recording_and_much_is_found_in_it() {
    let text = serde_json::to_string(&whole::snapshot()).unwrap();
    let back: Snapshot = serde_json::from_str(&text).unwrap();
    assert_eq!(back, whole::snapshot());
    let mut codes: Vec<_> = diagnose(&back).iter().map(|finding| finding.code).collect();
    codes.sort_unstable();
    codes.dedup();
    // Enough that the changes below meet most rules where they speak.
    assert!(codes.len() >= 15, "{codes:?}");
    assert_can_be_told(&back);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_numbers_and_names_are_judged(changes in prop::collection::vec(change(), 1..CHANGES_MAX)) {
        assert_can_be_told(&changed(&changes));
    }
}
