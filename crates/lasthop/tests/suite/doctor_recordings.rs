//! `lasthop doctor --record` and `--from`: what was seen can be judged later, elsewhere, and by somebody else.

use std::path::Path;
use std::process::Output;

use crate::doctor::{Held, complained, doctor, said};
use crate::support::{TempDir, namespace};

fn from(path: &Path) -> Output {
    doctor(&["--from", &path.display().to_string()])
}

#[test]
fn a_recording_is_judged_as_the_host_was() {
    namespace::with_ports("40000 40009", || {
        let dir = TempDir::new();
        let path = dir.join("wall.jsonl");
        let held = Held::new(10);
        let output = doctor(&["--record", &path.display().to_string()]);
        assert_eq!(output.status.code(), Some(4));
        drop(held);
        let again = from(&path);
        assert_eq!(again.status.code(), Some(4));
        // Its headline tells the time; all that follows is the same.
        let findings = |output: &Output| {
            let said = said(output);
            let (_, findings) = said.split_once("\n\n").expect("findings");
            findings.to_owned()
        };
        assert_eq!(findings(&again), findings(&output));
        assert!(
            said(&again).starts_with("this host at 2"),
            "{}",
            said(&again)
        );
        // A second visit goes on in the same file, and the last one counts.
        let output = doctor(&["--record", &path.display().to_string()]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let text = std::fs::read_to_string(&path).expect("a file");
        assert_eq!(text.lines().count(), 2);
        assert_eq!(from(&path).status.code(), Some(0));
    });
}

#[test]
fn what_is_no_recording_is_refused_with_its_line() {
    let dir = TempDir::new();
    for (name, text, said) in [
        ("a", "", "is empty"),
        ("b", "hello\n", ":1: column 1: expected value"),
        (
            "c",
            "{\"schema\":\"lasthop.snapshot/99\"}\n",
            "another version",
        ),
        (
            "d",
            "{\"schema\":\"lasthop.doctor/1\"}\n",
            "is no recording",
        ),
        ("e", "\u{0}\u{1b}\n", ":1: "),
    ] {
        let path = dir.join(name);
        std::fs::write(&path, text).expect("a file");
        let output = from(&path);
        let complaint = complained(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {complaint}");
        assert!(complaint.contains(said), "{name}: {complaint}");
        assert!(!complaint.contains('\x1b'));
    }
    assert_eq!(from(&dir.join("none")).status.code(), Some(1));
}

#[test]
fn a_file_that_is_something_else_is_not_written_to() {
    let dir = TempDir::new();
    let path = dir.join("notes.txt");
    std::fs::write(&path, "my notes\n").expect("a file");
    let output = doctor(&["--record", &path.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complained(&output).contains("is no recording"));
    assert_eq!(
        std::fs::read_to_string(&path).expect("a file"),
        "my notes\n"
    );
    let nowhere = dir.join("none/wall.jsonl");
    let output = doctor(&["--record", &nowhere.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
}
