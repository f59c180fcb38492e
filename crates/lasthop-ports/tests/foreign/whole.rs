//! A snapshot in which every field has a value, and nearly everything is wrong.

use lasthop_ports::Sample;
use lasthop_ports::snapshot::{
    Bind, Counters, CountersBefore, DescriptorUse, Group, GroupKey, Listener, Namespace,
    OmittedGroups, Owner, Plain, PlainHolders, PortSettings, Process, Program, Settings, Snapshot,
    SocketCounts, StateCounts, TcpMemory, UnixListener, UnixProblem, UnixTarget, Usage,
};

const NOW_MS: u64 = 1_800_000_000_000;

#[expect(clippy::too_many_lines, reason = "one literal that names every field")]
pub(crate) fn snapshot() -> Snapshot {
    Snapshot {
        kernel: "6.12.0".to_owned(),
        namespace: Namespace {
            inode: Some(4_026_531_840),
            pid: Some(4711),
            name: Some("postgres".to_owned()),
        },
        ports: Some(PortSettings {
            range: "20000 30000".parse().unwrap(),
            reserved: "20000-27000".parse().unwrap(),
            tcp_tw_reuse: 2,
            tcp_timestamps: 0,
            tcp_tw_reuse_delay_ms: 1000,
            flat_search: false,
        }),
        settings: Settings {
            somaxconn: Some(128),
            tcp_max_orphans: Some(4096),
            nr_open: Some(1_048_576),
        },
        sockets: Some(SocketCounts {
            established: 9000,
            time_wait: 4000,
            ..SocketCounts::default()
        }),
        groups: vec![
            group("127.0.0.1", "127.0.0.1:3000", 1000, 2000),
            group("127.0.0.1", "127.0.0.1:3001", 2500, 150),
            group("10.0.0.1", "10.0.0.2:5432", 1600, 1),
        ],
        groups_omitted: OmittedGroups {
            groups: 3,
            connections: 4,
        },
        listeners: vec![
            listener("0.0.0.0:3000", Program::Node),
            listener("127.0.0.1:28000", Program::Python),
        ],
        unix_listeners: vec![UnixListener {
            name: "/run/app.sock".to_owned(),
            queue: 129,
            backlog: 128,
            connections: 3,
            owners: vec![owner(70, Program::Python)],
        }],
        unix_targets: [
            UnixProblem::Permission,
            UnixProblem::Missing,
            UnixProblem::Stale,
        ]
        .map(|problem| UnixTarget {
            path: "/run/other.sock".to_owned(),
            named_by: Some("/etc/nginx/nginx.conf".to_owned()),
            problem,
            detail: "the socket belongs to root:root, mode 0600".to_owned(),
        })
        .to_vec(),
        plain_holders: Some(PlainHolders {
            sockets: 900,
            sample: vec![Plain {
                bind: Bind::Address,
                local: "127.0.0.1:29000".parse().unwrap(),
                peer: Some("127.0.0.1:3000".parse().unwrap()),
                owner: Some(owner(71, Program::Go)),
            }],
        }),
        counters: counters(100),
        counters_before: Some(CountersBefore {
            before_ms: 1000,
            counters: counters(7),
        }),
        conntrack: usage(97),
        files: usage(98),
        time_wait_buckets: usage(99),
        tcp_memory: Some(TcpMemory {
            pages: 990,
            low_pages: 300,
            pressure_pages: 600,
            limit_pages: 1000,
        }),
        processes: vec![Process {
            owner: owner(72, Program::Nginx),
            descriptors: DescriptorUse {
                open: 1020,
                limit: 1024,
                hard_limit: 4096,
            },
        }],
        unseen: vec!["what others keep to themselves".to_owned()],
        ..Snapshot::empty(NOW_MS)
    }
}

fn group(source: &str, destination: &str, established: u32, held: u32) -> Group {
    let key = GroupKey {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    };
    let samples = (0..20_u32).map(|n| Sample {
        at_ms: NOW_MS - u64::from(19 - n) * 1000,
        used: established + held - (19 - n),
    });
    Group {
        is_local: true,
        states: StateCounts {
            established,
            ..StateCounts::default()
        },
        time_wait: held,
        time_wait_held: held,
        time_wait_at_app: 2,
        even_ports: established.min(1490),
        odd_ports: established.saturating_sub(1490),
        owners: vec![owner(72, Program::Nginx), owner(73, Program::HaProxy)],
        recent: samples.collect(),
        ..Group::empty(key)
    }
}

fn owner(pid: u32, program: Program) -> Owner {
    Owner {
        pid,
        name: "program".to_owned(),
        program,
        uid: Some(33),
        cgroup: Some("/system.slice/program.service".to_owned()),
    }
}

fn listener(address: &str, program: Program) -> Listener {
    Listener {
        address: address.parse().unwrap(),
        v6only: false,
        queue: 129,
        backlog: 128,
        drops: Some(9),
        drops_before: Some(1),
        local_clients: 30,
        remote_clients: 0,
        owners: vec![owner(70, program)],
    }
}

fn counters(count: u64) -> Counters {
    Counters {
        listen_overflows: Some(count),
        listen_drops: Some(count),
        time_wait_overflow: Some(count),
        memory_pressures: Some(count),
        aborts_on_memory: Some(count),
        active_opens: Some(count),
        attempt_fails: Some(count),
        orphans: Some(count),
    }
}

fn usage(used: u64) -> Option<Usage> {
    Some(Usage { used, limit: 100 })
}
