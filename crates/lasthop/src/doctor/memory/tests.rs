//! What is remembered, and for how long.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use lasthop_ports::finding::{Code, Severity, Subject};

use super::super::collect::{Depth, Samples, collect};
use super::*;

const SEARCH: OwnerSearch = OwnerSearch {
    time_max: Duration::from_secs(10),
    age_max: Duration::from_secs(60),
};

fn about(address: SocketAddr) -> Finding {
    Finding {
        code: Code::ListenBacklogOverflow,
        severity: Severity::Warning,
        headline: String::new(),
        subject: Subject::Listener { address },
        usage: None,
        forecast: None,
        processes: Vec::new(),
        evidence: Vec::new(),
        remedies: Vec::new(),
    }
}

fn listener_address() -> SocketAddr {
    "127.0.0.1:3000".parse().unwrap()
}

#[test]
fn counters_are_compared_with_those_of_half_a_minute_ago_or_the_first() {
    let begun = Instant::now();
    let mut memory = Memory::default();
    let mut compared = Vec::new();
    for (second, overflows) in [(0, 5), (2, 6), (4, 6), (32, 6), (34, 6)] {
        let mut snapshot = Snapshot::empty(1_000_000 + second * 1_000);
        snapshot.counters.listen_overflows = Some(overflows);
        memory.recall(&mut snapshot, begun + Duration::from_secs(second));
        compared.push(snapshot.counters_before.map(|before| {
            let overflows = before.counters.listen_overflows;
            (before.before_ms, overflows)
        }));
        memory.keep(snapshot);
    }
    let expected = [
        None,
        Some((2_000, Some(5))),
        Some((4_000, Some(5))),
        Some((30_000, Some(6))),
        Some((32_000, Some(6))),
    ];
    assert_eq!(compared, expected);
}

#[test]
fn owners_are_looked_for_once_and_again_when_that_is_long_ago_or_one_is_gone() {
    let begun = Instant::now();
    let after = |seconds| begun + Duration::from_secs(seconds);
    let place = Place::Listener(listener_address());
    let mut memory = Memory::default();
    let is_due = |memory: &Memory, seconds| memory.is_due(&place, SEARCH.age_max, after(seconds));
    assert!(is_due(&memory, 0));
    let searched = Searched {
        at: begun,
        is_hidden: false,
        has_lost: false,
    };
    memory.searched.insert(place.clone(), searched);
    // A search of a tenth of a second.
    memory.rests_until = Some(after(10));
    assert!(!is_due(&memory, 0) && !is_due(&memory, 59) && is_due(&memory, 60));
    memory.searched.get_mut(&place).unwrap().has_lost = true;
    assert!(!is_due(&memory, 9) && is_due(&memory, 10));
}

#[test]
fn what_was_hidden_is_told_until_it_is_looked_for_again() {
    let now = Instant::now();
    let mut memory = Memory::default();
    let searched = Searched {
        at: now,
        is_hidden: true,
        has_lost: false,
    };
    memory
        .searched
        .insert(Place::Listener(listener_address()), searched);
    let unseen = |memory: &mut Memory, findings: &[Finding]| {
        let mut reading = Reading {
            snapshot: Snapshot::empty(0),
            samples: Samples::default(),
            unix_files: Vec::new(),
        };
        memory.name_owners(&mut reading, findings, SEARCH, now);
        reading.snapshot.unseen.join("\n")
    };
    for _ in 0..2 {
        let told = unseen(&mut memory, &[about(listener_address())]);
        assert!(told.starts_with("whose 127.0.0.1:3000 is:"), "{told:?}");
    }
    // With the finding it is forgotten.
    assert_eq!(unseen(&mut memory, &[]), "");
    assert!(memory.searched.is_empty());
}

/// A process that has the socket as well, until it is ended. It bears our name: where control groups tell nothing,
/// workers of one program are known by that.
fn another_owner(socket: OwnedFd) -> Child {
    let name = std::fs::read_to_string("/proc/self/comm").unwrap();
    let script = r#"printf %s "$1" >/proc/self/comm; echo; read -r _"#;
    let mut child = Command::new("/bin/sh")
        .args(["-c", script, "sh", name.trim_end()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(socket)
        .spawn()
        .unwrap();
    let mut ready = [0];
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut ready).unwrap();
    child
}

#[test]
fn a_second_owner_is_found_while_the_first_lives_and_goes_when_it_is_gone() {
    let begun = Instant::now();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut memory = Memory::default();
    let mut owners_after = |seconds| {
        let now = begun + Duration::from_secs(seconds);
        let mut reading = collect(Depth::Sampling);
        memory.recall(&mut reading.snapshot, now);
        memory.name_owners(&mut reading, &[about(address)], SEARCH, now);
        let mut listeners = reading.snapshot.listeners.iter();
        let ours = listeners.find(|one| one.address == address).unwrap();
        let pids: Vec<u32> = ours.owners.iter().map(|one| one.pid).collect();
        memory.keep(reading.snapshot);
        pids
    };
    let us = std::process::id();
    assert!(owners_after(0).contains(&us));
    let mut other = another_owner(listener.try_clone().unwrap().into());
    let both = owners_after(60);
    assert!(both.contains(&us) && both.contains(&other.id()), "{both:?}");
    // Known, and not looked for.
    assert_eq!(owners_after(61), both);
    other.kill().unwrap();
    other.wait().unwrap();
    let left = owners_after(62);
    assert!(
        left.contains(&us) && !left.contains(&other.id()),
        "{left:?}"
    );
}
