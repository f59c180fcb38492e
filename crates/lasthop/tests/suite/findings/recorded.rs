//! Findings about what a network namespace does not have for itself: the files of the host, the firewall's table, whose
//! limit is the host's, and the memory of TCP. Judged from recordings.
//!
//! Each is what `lasthop doctor --record` wrote in a namespace of three connections and a firewall, with the memory of TCP
//! put in from the host, which alone tells it. In `below-every-threshold.jsonl` three numbers were then raised to one below
//! where the doctor speaks, and each of the others is that file with one of them one higher.

use std::path::PathBuf;

use lasthop_ports::finding::Code;
use serde_json::Value;

use crate::support::doctor::{Visit, replay};

const BELOW: &str = "below-every-threshold";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/suite/findings/recordings")
        .join(format!("{name}.jsonl"))
}

fn recording(name: &str) -> Value {
    let text = std::fs::read_to_string(path(name)).expect("a recording");
    serde_json::from_str(&text).expect("one JSON object")
}

/// Where two values differ, as paths of names.
fn differences(a: &Value, b: &Value, at: &str) -> Vec<String> {
    match (a, b) {
        (Value::Object(a_members), Value::Object(b_members)) => {
            let names = a_members.keys().chain(b_members.keys());
            let names: std::collections::BTreeSet<&String> = names.collect();
            let each = names.into_iter();
            each.flat_map(|name| differences(&a[name], &b[name], &format!("{at}/{name}")))
                .collect()
        }
        _ if a == b => Vec::new(),
        _ => vec![at.to_owned()],
    }
}

/// The judgement of the recording that is called like the code and differs from the quiet one in `number` alone.
fn with_one_more(code: Code, number: &str) -> Visit {
    let (below, above) = (recording(BELOW), recording(code.as_str()));
    assert_eq!(differences(&below, &above, ""), [number]);
    let of = |recording: &Value| recording.pointer(number).and_then(Value::as_u64);
    assert_eq!(of(&above), of(&below).map(|number| number + 1));
    let visit = replay(&path(code.as_str()));
    assert_eq!(visit.exit, Some(3));
    visit
}

fn is_silent_below(code: Code) {
    let visit = replay(&path(BELOW));
    visit.is_silent_about(code);
    visit.is_healthy();
}

#[test]
fn file_max_tight_is_told_from_four_fifths_of_the_hosts_files_on() {
    let visit = with_one_more(Code::FileMaxTight, "/files/used");
    visit.tells(Code::FileMaxTight, "warning");
}

#[test]
fn file_max_tight_is_silent_with_one_file_less() {
    is_silent_below(Code::FileMaxTight);
}

#[test]
fn conntrack_tight_is_told_from_four_fifths_of_the_table_on() {
    let visit = with_one_more(Code::ConntrackTight, "/conntrack/used");
    visit.tells(Code::ConntrackTight, "warning");
}

#[test]
fn conntrack_tight_is_silent_with_one_connection_less() {
    is_silent_below(Code::ConntrackTight);
}

#[test]
fn tcp_memory_tight_is_told_from_the_first_page_over_pressure_on() {
    let visit = with_one_more(Code::TcpMemoryTight, "/tcp_memory/pages");
    visit.tells(Code::TcpMemoryTight, "warning");
}

#[test]
fn tcp_memory_tight_is_silent_without_it() {
    is_silent_below(Code::TcpMemoryTight);
}
