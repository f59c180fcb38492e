//! Snapshots of hosts as they might be, and questions to what is found in them.

use std::net::SocketAddr;

use lasthop_ports::finding::{Code, Finding, Remedy, Step};
use lasthop_ports::snapshot::{
    Counters, CountersBefore, DescriptorUse, Listener, Owner, Process, Program, Snapshot,
    TcpMemory, UnixListener, UnixProblem, UnixTarget, Usage,
};
use lasthop_ports::{Severity, diagnose};

/// When all these snapshots were taken.
pub(crate) const TAKEN_MS: u64 = 1_700_000_000_000;

pub(crate) fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::empty(TAKEN_MS);
    snapshot.settings.somaxconn = Some(4_096);
    snapshot.settings.nr_open = Some(1_048_576);
    snapshot
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

pub(crate) fn process(pid: u32, name: &str, program: Program, open: u64, limit: u64) -> Process {
    Process {
        owner: owner(pid, name, program),
        descriptors: DescriptorUse {
            open,
            limit,
            hard_limit: limit,
        },
    }
}

pub(crate) fn listener(address: &str, queue: u32, backlog: u32) -> Listener {
    Listener {
        address: address.parse::<SocketAddr>().unwrap(),
        v6only: false,
        queue,
        backlog,
        drops: Some(0),
        drops_before: None,
        local_clients: 0,
        remote_clients: 0,
        owners: Vec::new(),
    }
}

pub(crate) fn unix_listener(name: &str, queue: u32, backlog: u32) -> UnixListener {
    UnixListener {
        name: name.to_owned(),
        queue,
        backlog,
        connections: 0,
        owners: Vec::new(),
    }
}

pub(crate) fn unix_target(path: &str, named_by: Option<&str>, problem: UnixProblem) -> UnixTarget {
    UnixTarget {
        path: path.to_owned(),
        named_by: named_by.map(str::to_owned),
        problem,
        detail: format!("{path} is not as it should be"),
    }
}

/// Counters with these overflows and drops of listeners.
pub(crate) fn drops(overflows: u64, drops: u64) -> Counters {
    Counters {
        listen_overflows: Some(overflows),
        listen_drops: Some(drops),
        ..Counters::default()
    }
}

/// The same a second ago.
pub(crate) fn a_second_ago(counters: Counters) -> Option<CountersBefore> {
    Some(CountersBefore {
        before_ms: 1_000,
        counters,
    })
}

/// A host with a web server, a database and mail, on which nothing happens, and some old scars.
pub(crate) fn idle_host() -> Snapshot {
    let mut host = snapshot();
    host.listeners = vec![
        listener("0.0.0.0:22", 0, 128),
        listener("0.0.0.0:80", 0, 511),
        listener("[::]:80", 0, 511),
        listener("0.0.0.0:5432", 0, 200),
        listener("127.0.0.1:3000", 0, 4_096),
        listener("127.0.0.53:53", 0, 4_096),
    ];
    host.listeners[3].local_clients = 10;
    host.unix_listeners = vec![
        unix_listener("/run/systemd/private", 0, 4_096),
        unix_listener("@/tmp/.X11-unix/X0", 0, 4_096),
        unix_listener("/run/dbus/system_bus_socket", 1, 4_096),
    ];
    host.unix_targets = vec![unix_target("/run/old.sock", None, UnixProblem::Stale)];
    host.counters = Counters {
        time_wait_overflow: Some(3),
        memory_pressures: Some(0),
        aborts_on_memory: Some(7),
        ..drops(12, 15)
    };
    host.counters_before = a_second_ago(host.counters);
    host.conntrack = Some(Usage {
        used: 310,
        limit: 262_144,
    });
    host.files = Some(Usage {
        used: 4_000,
        limit: 9_223_372_036_854_775_807,
    });
    host.time_wait_buckets = Some(Usage {
        used: 12,
        limit: 131_072,
    });
    host.tcp_memory = Some(TcpMemory {
        pages: 20,
        low_pages: 287_898,
        pressure_pages: 383_867,
        limit_pages: 575_796,
    });
    host.processes = vec![
        process(1, "systemd", Program::Other, 120, 1_024),
        process(700, "nginx", Program::Nginx, 40, 1_024),
        // A sandboxed child that may not open anything.
        process(900, "sshd", Program::Other, 6, 0),
    ];
    host
}

/// A host on which everything that these rules look at goes wrong at once.
pub(crate) fn host_on_fire() -> Snapshot {
    let mut host = snapshot();
    host.settings.somaxconn = Some(128);
    host.listeners = vec![
        listener("127.0.0.1:3000", 129, 128),
        listener("0.0.0.0:8000", 0, 64),
    ];
    host.listeners[0].drops = Some(400);
    host.listeners[0].drops_before = Some(186);
    host.listeners[0].owners = vec![owner(4_711, "gunicorn", Program::Python)];
    host.listeners[1].local_clients = 20;
    host.unix_listeners = vec![unix_listener("/run/app.sock", 129, 128)];
    host.unix_targets = vec![
        unix_target(
            "/run/a.sock",
            Some("/etc/nginx/a.conf"),
            UnixProblem::Permission,
        ),
        unix_target(
            "/tmp/b.sock",
            Some("/etc/nginx/b.conf"),
            UnixProblem::Missing,
        ),
        unix_target("/run/c.sock", Some("/etc/nginx/c.conf"), UnixProblem::Stale),
    ];
    host.counters = Counters {
        time_wait_overflow: Some(100),
        aborts_on_memory: Some(3),
        ..drops(1_000, 1_000)
    };
    host.counters_before = a_second_ago(Counters {
        time_wait_overflow: Some(0),
        aborts_on_memory: Some(0),
        ..drops(786, 786)
    });
    host.conntrack = Some(Usage {
        used: 262_000,
        limit: 262_144,
    });
    host.files = Some(Usage {
        used: 98_000,
        limit: 100_000,
    });
    host.time_wait_buckets = Some(Usage {
        used: 4_096,
        limit: 4_096,
    });
    host.tcp_memory = Some(TcpMemory {
        pages: 575_000,
        low_pages: 287_898,
        pressure_pages: 383_867,
        limit_pages: 575_796,
    });
    host.processes = vec![process(4_711, "nginx", Program::Nginx, 1_023, 1_024)];
    host
}

/// What is found of one code.
pub(crate) fn of(snapshot: &Snapshot, code: Code) -> Vec<Finding> {
    let mut findings = diagnose(snapshot);
    findings.retain(|finding| finding.code == code);
    findings
}

/// The only finding of a code.
pub(crate) fn one(snapshot: &Snapshot, code: Code) -> Finding {
    let mut findings = of(snapshot, code);
    assert_eq!(findings.len(), 1, "{code}: {findings:#?}");
    findings.remove(0)
}

/// The severity of the only finding of a code; none where there is none.
pub(crate) fn severity(snapshot: &Snapshot, code: Code) -> Option<Severity> {
    let findings = of(snapshot, code);
    assert!(findings.len() <= 1, "{findings:#?}");
    findings.first().map(|finding| finding.severity)
}

/// All lines to paste of a remedy, and its words.
pub(crate) fn pasted(remedy: &Remedy) -> Vec<&str> {
    remedy
        .steps
        .iter()
        .flat_map(|step| match step {
            Step::Shell { lines } | Step::Lines { lines, .. } => {
                lines.iter().map(String::as_str).collect::<Vec<_>>()
            }
            Step::Words { text } => vec![text.as_str()],
        })
        .collect()
}

/// The titles of a finding's remedies.
pub(crate) fn titles(finding: &Finding) -> Vec<&str> {
    finding
        .remedies
        .iter()
        .map(|remedy| remedy.title.as_str())
        .collect()
}
