//! What is written can be read again, and what is no recording is told as such.

use std::sync::atomic::{AtomicU32, Ordering};

use lasthop_ports::Sample;
use lasthop_ports::snapshot::{Group, GroupKey, Owner, Program};

use super::*;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A file of a test's own, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        // Relaxed: only the uniqueness of the number matters.
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lasthop-recording-{}.{n}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn with(text: &str) -> Self {
        let scratch = Self::new();
        std::fs::write(&scratch.0, text).unwrap();
        scratch
    }

    fn refused(&self) -> (String, bool) {
        let error = replay(&self.0).unwrap_err();
        let name = self.0.display().to_string();
        (error.to_string().replace(&name, "FILE"), error.is_usage())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn snapshot_at(at_ms: u64, used: u32) -> Snapshot {
    let mut snapshot = Snapshot::empty(at_ms);
    let mut group = Group::empty(GroupKey {
        source: "127.0.0.1".parse().unwrap(),
        destination: "127.0.0.1:3000".parse().unwrap(),
    });
    group.states.established = used;
    group.recent.push(Sample { at_ms, used });
    snapshot.groups.push(group);
    snapshot
}

fn line(snapshot: &Snapshot) -> String {
    serde_json::to_string(snapshot).unwrap()
}

#[test]
fn what_was_recorded_is_judged_with_its_trend() {
    let scratch = Scratch::new();
    for (at_ms, used) in [(1000, 1), (2000, 2)] {
        let mut recorder = Recorder::open(&scratch.0).unwrap();
        recorder.add(&snapshot_at(at_ms, used)).unwrap();
    }
    let mut recorder = Recorder::open(&scratch.0).unwrap();
    let mut other = snapshot_at(2500, 9);
    other.namespace.pid = Some(7);
    recorder.add(&other).unwrap();
    let report = replay(&scratch.0).unwrap();
    let snapshot = &report.namespaces[0].snapshot;
    assert_eq!((report.namespaces.len(), snapshot.taken_ms), (2, 2000));
    let used: Vec<u32> = snapshot.groups[0]
        .recent
        .iter()
        .map(|one| one.used)
        .collect();
    assert_eq!(used, [1, 2]);
    assert!(report.unseen.is_empty());
    assert_eq!(report.namespaces[1].snapshot, other);
}

#[test]
fn a_recording_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new();
    Recorder::open(&scratch.0).unwrap();
    let mode = std::fs::metadata(&scratch.0).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

#[test]
fn nothing_is_written_over_or_behind_what_is_no_recording() {
    for text in ["#!/bin/sh\n", "{}\n", "{\"schema\":\"lasthop.doctor/1\"}\n"] {
        let scratch = Scratch::with(text);
        let error = Recorder::open(&scratch.0).unwrap_err();
        assert!(
            matches!(error, RecordingError::NotOurs(_)),
            "{text}: {error}"
        );
        assert_eq!(std::fs::read_to_string(&scratch.0).unwrap(), text);
    }
    let whole = line(&Snapshot::empty(1));
    let scratch = Scratch::with(&format!("{whole}\n{}", &whole[..20]));
    let error = Recorder::open(&scratch.0).unwrap_err();
    assert!(matches!(error, RecordingError::CutBefore(_)), "{error}");
}

#[test]
fn what_is_no_recording_is_refused_with_its_line() {
    let whole = line(&Snapshot::empty(1));
    let newer = whole.replace("lasthop.snapshot/1", "lasthop.snapshot/2");
    let unknown = whole.replace("\"kernel\"", "\"colonel\"");
    for (text, expected) in [
        (String::new(), "the recording FILE is empty".to_owned()),
        ("\n\n".to_owned(), "the recording FILE is empty".to_owned()),
        (
            format!("{whole}\n{newer}\n"),
            "FILE:2: written by another version of lasthop (lasthop.snapshot/2); this one reads lasthop.snapshot/1"
                .to_owned(),
        ),
        (
            format!("{whole}\nx\n"),
            "FILE:2: column 1: expected value".to_owned(),
        ),
        (
            "{\"schema\":\"lasthop.doctor/1\"}\n".to_owned(),
            "FILE:1: `lasthop.doctor/1` is no recording: `lasthop doctor --record FILE` writes one".to_owned(),
        ),
        (
            "[]".to_owned(),
            "FILE:1: no snapshot: `lasthop doctor --record FILE` writes some".to_owned(),
        ),
        (whole[..30].to_owned(), "FILE:1: ".to_owned()),
        (unknown, "FILE:1: column ".to_owned()),
    ] {
        let (said, is_usage) = Scratch::with(&text).refused();
        assert!(is_usage && said.starts_with(&expected), "{text}\n{said}");
    }
}

#[test]
fn a_line_that_was_cut_is_told_and_the_others_judged() {
    let whole = line(&Snapshot::empty(1));
    let scratch = Scratch::with(&format!("{whole}\n{}", &whole[..whole.len() / 2]));
    let report = replay(&scratch.0).unwrap();
    assert_eq!(report.unseen, ["line 2 of the recording, which is cut"]);
    assert_eq!(report.namespaces.len(), 1);
    // A whole line without its end is whole.
    let scratch = Scratch::with(&whole);
    assert!(replay(&scratch.0).unwrap().unseen.is_empty());
}

#[test]
fn lists_that_no_lasthop_writes_are_refused() {
    let mut long = snapshot_at(1, 1);
    let sample = Sample { at_ms: 1, used: 1 };
    long.groups[0].recent = vec![sample; SAMPLES_MAX + 1];
    let (said, _) = Scratch::with(&line(&long)).refused();
    assert_eq!(said, "FILE:1: `groups.recent` has 121 entries, 120 at most");
    let mut crowded = snapshot_at(1, 1);
    let owner = Owner {
        pid: 7,
        name: "nginx".to_owned(),
        program: Program::Nginx,
        uid: None,
        cgroup: None,
    };
    crowded.groups[0].owners = vec![owner; OWNERS_MAX + 1];
    let (said, _) = Scratch::with(&line(&crowded)).refused();
    assert_eq!(said, "FILE:1: `groups.owners` has 9 entries, 8 at most");
}

#[test]
fn a_file_that_is_not_there_is_no_slip_of_the_format() {
    let scratch = Scratch::new();
    let (said, is_usage) = scratch.refused();
    assert_eq!(
        (said.as_str(), is_usage),
        ("the recording FILE cannot be read", false)
    );
}
