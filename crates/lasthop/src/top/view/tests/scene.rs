//! Hosts to look at: made up, with the numbers that a real one would have.

use std::time::Duration;

use lasthop_ports::finding::{Amount, Code, Remedy, Severity, Step, Subject};
use lasthop_ports::snapshot::{
    Group, GroupKey, Owner, PortSettings, Program, Snapshot, SocketCounts, Usage,
};
use lasthop_ports::{Finding, PortRange, ReservedPorts, Sample};

use crate::top::model::{Event, HostSample, Model};
use crate::top::past::Past;

/// When all of it is looked at: 2 s after the last reading.
pub(super) const NOW_MS: u64 = 1_795_000_000_000;

const PERIOD_MS: u64 = 2000;

/// Ports of one pair in the usual range.
const LIMIT: u32 = 28_232;

/// What a host was like at each reading, oldest first, and what an instance says.
pub(super) struct Scene {
    samples: Vec<HostSample>,
    page: Option<String>,
}

impl Scene {
    /// Nothing was read.
    pub(super) const fn new() -> Self {
        Self {
            samples: Vec::new(),
            page: None,
        }
    }

    pub(super) fn model(&self) -> Model {
        let address = "127.0.0.1:9180".to_owned();
        let mut model = Model::new("web-1".to_owned(), address, true, NOW_MS);
        match &self.page {
            None => {
                let why = "connection refused".to_owned();
                model.apply(NOW_MS, Event::Lost(why));
            }
            Some(page) => {
                let past = Past::of_json(page.as_bytes()).unwrap();
                model.apply(NOW_MS, Event::Past(Box::new(past)));
            }
        }
        for sample in &self.samples {
            model.apply(NOW_MS, Event::Host(Box::new(sample.clone())));
        }
        model.apply(NOW_MS, Event::Second);
        model
    }

    /// 300 readings with what `at` makes of each; the last one has `findings`.
    fn of(readings: u64, at: impl Fn(u64, &mut Snapshot), findings: Vec<Finding>) -> Self {
        let mut samples: Vec<HostSample> = Vec::new();
        for reading in 0..readings {
            let taken_ms = NOW_MS - (readings - reading) * PERIOD_MS;
            let mut snapshot = Snapshot::empty(taken_ms);
            snapshot.ports = Some(settings());
            at(reading, &mut snapshot);
            let before = samples.last().map(|sample| sample.snapshot.clone());
            for group in &mut snapshot.groups {
                let earlier = before.as_ref().and_then(|before| before.group(&group.key));
                group.recent = earlier.map_or_else(Vec::new, |earlier| earlier.recent.clone());
                let used = group.used();
                group.recent.push(Sample {
                    at_ms: taken_ms,
                    used,
                });
            }
            samples.push(HostSample {
                snapshot,
                findings: Vec::new(),
                cost: Duration::from_micros(4200),
                period: Duration::from_millis(PERIOD_MS),
            });
        }
        if let Some(last) = samples.last_mut() {
            last.findings = findings;
        }
        Self {
            samples,
            page: None,
        }
    }

    pub(super) fn healthy() -> Self {
        let at = |reading: u64, snapshot: &mut Snapshot| {
            let wave = u32::try_from(reading * 7 % 23).unwrap();
            snapshot.sockets = Some(SocketCounts {
                established: 420 + u64::from(wave) * 2,
                time_wait: 60 + u64::from(wave) * 3,
                listen: 9,
                unix_established: 88,
                ..SocketCounts::default()
            });
            snapshot
                .groups
                .push(group("127.0.0.1", "127.0.0.1:3000", 180 + wave, 0));
            snapshot
                .groups
                .push(group("127.0.0.1", "127.0.0.1:5432", 24, 3));
            snapshot
                .groups
                .push(group("192.0.2.7", "198.51.100.9:443", 2, 0));
            let usage = |used, limit| Some(Usage { used, limit });
            snapshot.files = usage(4_224, 9_223_372);
            snapshot.time_wait_buckets = usage(60, 131_072);
        };
        Self::of(120, at, Vec::new())
    }

    /// The post's: a rise of four minutes, then flat.
    pub(super) fn plateau() -> Self {
        let at = |reading: u64, snapshot: &mut Snapshot| {
            let held = u32::try_from(reading * 235).unwrap().min(LIMIT - 1204);
            snapshot.sockets = Some(SocketCounts {
                established: 2410,
                time_wait: u64::from(held) + 41,
                close_wait: if held > 27_000 { 310 } else { 4 },
                listen: 12,
                ..SocketCounts::default()
            });
            let mut full = group("127.0.0.1", "127.0.0.1:3000", 1204, held);
            full.owners = vec![owner("nginx", 812), owner("nginx", 813)];
            snapshot.groups.push(full);
            snapshot
                .groups
                .push(group("127.0.0.1", "127.0.0.1:6379", 12, 400));
        };
        Self::of(240, at, vec![exhausted(), note()])
    }

    /// A sandbox in which sockets cannot be listed.
    pub(super) fn blind() -> Self {
        let at = |_: u64, snapshot: &mut Snapshot| {
            let why = "which sockets there are: this kernel does not answer sock_diag, or a sandbox is in between";
            snapshot.unseen.push(why.to_owned());
        };
        Self::of(3, at, Vec::new())
    }

    pub(super) fn many_groups(count: u16) -> Self {
        let at = |_: u64, snapshot: &mut Snapshot| {
            snapshot.sockets = Some(SocketCounts::default());
            for at in 0..count {
                let target = format!("10.0.{}.{}:443", at / 200, at % 200 + 1);
                snapshot
                    .groups
                    .push(group("10.9.8.7", &target, u32::from(count - at) * 100, 50));
            }
            snapshot.groups_omitted.groups = 14_249;
        };
        Self::of(5, at, Vec::new())
    }

    pub(super) fn many_findings(count: usize) -> Self {
        let at = |_: u64, snapshot: &mut Snapshot| {
            snapshot.sockets = Some(SocketCounts::default());
        };
        let finding = |at| Finding {
            headline: format!("finding number {at} of the host"),
            subject: Subject::UnixSocket {
                path: format!("/run/{at}.sock"),
            },
            ..note()
        };
        Self::of(1, at, (0..count).map(finding).collect())
    }

    pub(super) fn long_names() -> Self {
        let at = |reading: u64, snapshot: &mut Snapshot| {
            snapshot.sockets = Some(SocketCounts {
                established: 1_234_567 + reading,
                time_wait: 98_765_432_100,
                close_wait: 12_345_678,
                fin_wait2: 4_444_444,
                last_ack: 3_333_333,
                ..SocketCounts::default()
            });
            let from = "2001:db8:1111:2222:3333:4444:5555:6666";
            let to = "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535";
            let mut long = group(from, to, 20_000, 8000);
            long.owners = vec![
                owner("a-very-long-nam", 4_194_303),
                owner("日本語のプロセス", 7),
            ];
            snapshot.groups.push(long);
        };
        let mut finding = exhausted();
        finding.headline = "x".repeat(300);
        Self::of(100, at, vec![finding])
    }

    /// A process that wants to be somebody else.
    pub(super) fn hostile() -> Self {
        let name = "\x1b[2J\x1b]0;root\x07\u{9b}31m\u{202e}moc\n\t";
        let at = |_: u64, snapshot: &mut Snapshot| {
            snapshot.sockets = Some(SocketCounts::default());
            let mut one = group("127.0.0.1", "127.0.0.1:3000", 20_000, 8000);
            one.owners = vec![owner(name, 7)];
            snapshot.groups.push(one);
            snapshot.unseen.push(format!("descriptors of {name}"));
        };
        let mut finding = exhausted();
        finding.headline = format!("{name} has all ports");
        finding.evidence = vec![name.to_owned()];
        Self::of(4, at, vec![finding])
    }

    /// The same host with an instance that has sampled for ten minutes.
    pub(super) fn with_instance(mut self) -> Self {
        let points = 300u64;
        let column = |value: &dyn Fn(u64) -> f64| {
            let values: Vec<String> = (0..points).map(|at| format!("{}", value(at))).collect();
            format!("[{}]", values.join(","))
        };
        let times = column(&|at| (NOW_MS - (points - at) * PERIOD_MS) as f64);
        let wave = |at: u64| ((at * 13) % 37) as f64;
        self.page = Some(format!(
            r#"{{"schema":"lasthop.history/1","window":"10m","step_seconds":2,"host_period_seconds":2,"at_ms":{times},
            "host":{{"sockets":{{"time_wait":{},"established":{}}},"groups":[]}},
            "own":{{"requests_per_second":{},"duration_p50_seconds":{},"duration_p99_seconds":{},
            "failures_per_second":{{"connection_refused":{},"connection_timeout":{}}},
            "connects_per_second":{{"ok":{},"source_ports":{}}},"reuse_per_second":{},"client_connections":{},
            "file_descriptors":{},"file_descriptors_limit":{},
            "upstreams":[{{"name":"app","active":{},"idle":{},"connecting":{},"queue":{}}}]}}}}"#,
            column(&|at| 20.0 + wave(at)),
            column(&|at| 300.0 + wave(at)),
            column(&|at| 1200.0 + 10.0 * wave(at)),
            column(&|_| 0.00082),
            column(&|at| 0.004 + wave(at) / 1e4),
            column(&|at| if at % 50 == 0 { 2.5 } else { 0.2 }),
            column(&|_| 0.0),
            column(&|at| 4.0 + wave(at) / 10.0),
            column(&|_| 0.0),
            column(&|at| 1196.0 + 10.0 * wave(at)),
            column(&|at| 310.0 + wave(at)),
            column(&|_| 902.0),
            column(&|_| 65_536.0),
            column(&|_| 12.0),
            column(&|_| 30.0),
            column(&|_| 0.0),
            column(&|at| if at > 290 { 3.0 } else { 0.0 }),
        ));
        self
    }
}

fn settings() -> PortSettings {
    PortSettings {
        range: PortRange::new(32_768, 60_999).unwrap(),
        reserved: ReservedPorts::default(),
        tcp_tw_reuse: 2,
        tcp_timestamps: 1,
        tcp_tw_reuse_delay_ms: 1000,
        flat_search: true,
    }
}

fn group(source: &str, target: &str, established: u32, held: u32) -> Group {
    let mut group = Group::empty(GroupKey {
        source: source.parse().unwrap(),
        destination: target.parse().unwrap(),
    });
    group.is_local = true;
    group.states.established = established;
    group.time_wait = held + 41;
    group.time_wait_held = held;
    group
}

fn owner(name: &str, pid: u32) -> Owner {
    Owner {
        pid,
        name: name.to_owned(),
        program: Program::Nginx,
        uid: Some(33),
        cgroup: None,
    }
}

fn exhausted() -> Finding {
    Finding {
        code: Code::PortsExhausted,
        severity: Severity::Critical,
        headline: "127.0.0.1 -> 127.0.0.1:3000: all 28,232 ports are in use, 27,028 of them by TIME_WAIT".to_owned(),
        subject: Subject::Group {
            source: "127.0.0.1".parse().unwrap(),
            target: "127.0.0.1:3000".parse().unwrap(),
        },
        usage: Some(Amount {
            used: 28_232,
            limit: 28_232,
            unit: "ports",
        }),
        forecast: None,
        processes: vec![owner("nginx", 812)],
        evidence: vec![
            "net.ipv4.ip_local_port_range is 32768 60999".to_owned(),
            "nginx closes first after each answer, so TIME_WAIT is at its end and holds the port for 60 s".to_owned(),
        ],
        remedies: vec![Remedy {
            title: "Keep connections to the app open".to_owned(),
            steps: vec![
                Step::Lines {
                    place: "nginx.conf, in upstream {}".to_owned(),
                    lines: vec!["keepalive 64;".to_owned()],
                },
                Step::Shell {
                    lines: vec!["nginx -s reload".to_owned()],
                },
            ],
            undo: vec!["take the line out and reload".to_owned()],
            risk: None,
        }],
    }
}

fn note() -> Finding {
    Finding {
        code: Code::BacklogClipped,
        severity: Severity::Note,
        headline: "1 listener has a backlog of 4,096, all that net.core.somaxconn allows"
            .to_owned(),
        subject: Subject::Namespace,
        usage: None,
        forecast: None,
        processes: Vec::new(),
        evidence: Vec::new(),
        remedies: Vec::new(),
    }
}
