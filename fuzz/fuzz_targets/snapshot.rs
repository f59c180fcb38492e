//! Any bytes as a recorded snapshot: refused, or judged, the worst finding first.

#![no_main]

use lasthop_ports::{Snapshot, diagnose};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(snapshot) = serde_json::from_slice::<Snapshot>(bytes) else {
        return;
    };
    let findings = diagnose(&snapshot);
    assert!(findings.is_sorted_by(|a, b| a.severity >= b.severity));
    assert!(findings.iter().all(|finding| !finding.headline.is_empty()));
});
