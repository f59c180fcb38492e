//! Snapshots made in a line, and findings looked up in them.

use std::net::IpAddr;

use lasthop_ports::finding::{Remedy, Step};
use lasthop_ports::snapshot::{
    Group, GroupKey, Listener, Owner, PortSettings, Program, Snapshot, StateCounts,
};
use lasthop_ports::{Code, Finding, Sample, diagnose};

pub(crate) const NOW_MS: u64 = 1_800_000_000_000;

/// A host with these ports and settings as a kernel has them by default.
pub(crate) fn host(range: &str) -> Snapshot {
    Snapshot {
        kernel: "6.12.0".to_owned(),
        ports: Some(PortSettings {
            range: range.parse().unwrap(),
            reserved: "".parse().unwrap(),
            tcp_tw_reuse: 2,
            tcp_timestamps: 1,
            tcp_tw_reuse_delay_ms: 1000,
            flat_search: true,
        }),
        ..Snapshot::empty(NOW_MS)
    }
}

/// A host with 28,232 ports.
pub(crate) fn default_host() -> Snapshot {
    host("32768 60999")
}

pub(crate) fn settings(snapshot: &mut Snapshot) -> &mut PortSettings {
    snapshot.ports.as_mut().unwrap()
}

/// From 127.0.0.1 to 127.0.0.1:3000, this many established, both parities alike.
pub(crate) fn group(established: u32) -> Group {
    group_to("127.0.0.1", "127.0.0.1:3000", established)
}

pub(crate) fn group_to(source: &str, destination: &str, established: u32) -> Group {
    Group {
        is_local: true,
        states: StateCounts {
            established,
            ..StateCounts::default()
        },
        even_ports: established.div_ceil(2),
        odd_ports: established / 2,
        ..Group::empty(GroupKey {
            source: source.parse::<IpAddr>().unwrap(),
            destination: destination.parse().unwrap(),
        })
    }
}

/// The same with so many held in TIME_WAIT besides.
pub(crate) fn waiting(mut group: Group, held: u32) -> Group {
    group.time_wait_held = held;
    group.time_wait = held;
    group
}

pub(crate) fn owner(pid: u32, name: &str, program: Program) -> Owner {
    Owner {
        pid,
        name: name.to_owned(),
        program,
        uid: Some(33),
        cgroup: None,
    }
}

pub(crate) fn listener(address: &str, owners: Vec<Owner>) -> Listener {
    Listener {
        address: address.parse().unwrap(),
        v6only: false,
        queue: 0,
        backlog: 511,
        drops: None,
        drops_before: None,
        local_clients: 0,
        remote_clients: 0,
        owners,
    }
}

/// One reading a second, the last one now.
pub(crate) fn readings(counts: impl IntoIterator<Item = u32>) -> Vec<Sample> {
    let counts: Vec<u32> = counts.into_iter().collect();
    let first = NOW_MS - 1000 * (counts.len() as u64 - 1);
    let times = (0..).map(|index| first + index * 1000);
    times
        .zip(counts)
        .map(|(at_ms, used)| Sample { at_ms, used })
        .collect()
}

/// The findings with this code.
pub(crate) fn found(snapshot: &Snapshot, code: Code) -> Vec<Finding> {
    let mut findings = diagnose(snapshot);
    findings.retain(|finding| finding.code == code);
    findings
}

/// The one finding with this code.
pub(crate) fn the(snapshot: &Snapshot, code: Code) -> Finding {
    let mut findings = found(snapshot, code);
    assert_eq!(findings.len(), 1, "{code}: {findings:#?}");
    findings.remove(0)
}

/// The codes of all findings, in their order.
pub(crate) fn codes(snapshot: &Snapshot) -> Vec<&'static str> {
    let findings = diagnose(snapshot);
    findings
        .iter()
        .map(|finding| finding.code.as_str())
        .collect()
}

/// Everything that a remedy says to write or run, a line each.
pub(crate) fn text(remedy: &Remedy) -> String {
    let mut text = vec![remedy.title.clone()];
    for step in &remedy.steps {
        match step {
            Step::Shell { lines } => text.extend(lines.iter().map(|line| format!("# {line}"))),
            Step::Lines { place, lines } => {
                text.push(format!("[{place}]"));
                text.extend(lines.iter().cloned());
            }
            Step::Words { text: words } => text.push(words.clone()),
        }
    }
    text.extend(remedy.undo.iter().map(|line| format!("undo: {line}")));
    text.extend(remedy.risk.iter().map(|risk| format!("risk: {risk}")));
    text.join("\n")
}

pub(crate) fn titles(finding: &Finding) -> Vec<&str> {
    finding
        .remedies
        .iter()
        .map(|remedy| remedy.title.as_str())
        .collect()
}
