//! `descriptors-tight` and `file-max-tight`.

use lasthop_ports::Severity::{Critical, Warning};
use lasthop_ports::finding::{Amount, Code, Subject};
use lasthop_ports::snapshot::{Program, Usage};

use crate::support::{of, one, pasted, process, severity, snapshot, titles};

#[test]
fn a_process_is_tight_from_80_percent_on_and_at_its_end_from_98() {
    for (open, limit, expected) in [
        (819, 1_024, None),
        (820, 1_024, Some(Warning)),
        (1_003, 1_024, Some(Warning)),
        (1_004, 1_024, Some(Critical)),
        (1_024, 1_024, Some(Critical)),
        // Its limit was lowered after it had opened them.
        (2_000, 1_024, Some(Critical)),
        (1_000_000, 1_048_576, Some(Warning)),
        // Sandboxes, which want it so.
        (6, 0, None),
        (16, 16, None),
        (0, 1_024, None),
    ] {
        let mut host = snapshot();
        host.processes = vec![process(7, "app", Program::Other, open, limit)];
        assert_eq!(
            severity(&host, Code::DescriptorsTight),
            expected,
            "{open} of {limit}"
        );
    }
}

#[test]
fn the_headline_has_the_process_and_the_numbers() {
    let mut host = snapshot();
    host.processes = vec![process(4_711, "nginx", Program::Nginx, 1_003, 1_024)];
    let finding = one(&host, Code::DescriptorsTight);
    assert_eq!(
        finding.headline,
        "nginx (pid 4711): 1,003 of 1,024 descriptors (97 %)"
    );
    assert_eq!(finding.subject, Subject::Process { pid: 4_711 });
    assert_eq!(
        finding.usage,
        Some(Amount {
            used: 1_003,
            limit: 1_024,
            unit: "descriptors"
        })
    );
    assert_eq!(finding.processes.len(), 1);
}

#[test]
fn who_raises_its_own_limit_is_said_to_do_so() {
    for (name, program, word) in [
        (
            "node",
            Program::Node,
            "raise their soft limit to the hard one",
        ),
        (
            "java",
            Program::Java,
            "raise their soft limit to the hard one",
        ),
        (
            "traefik",
            Program::Traefik,
            "raise their soft limit to the hard one",
        ),
        (
            "envoy",
            Program::Envoy,
            "since 1.35 it raises its soft limit",
        ),
    ] {
        let mut host = snapshot();
        host.processes = vec![process(4_711, name, program, 1_003, 1_024)];
        let evidence = one(&host, Code::DescriptorsTight).evidence;
        assert!(
            evidence.iter().any(|fact| fact.contains(word)),
            "{evidence:?}"
        );
    }
}

#[test]
fn workers_of_one_service_are_one_finding_and_strangers_are_not() {
    let mut host = snapshot();
    let in_cgroup = |pid, open, cgroup: Option<&str>| {
        let mut process = process(pid, "nginx", Program::Nginx, open, 1_024);
        process.owner.cgroup = cgroup.map(str::to_owned);
        process
    };
    let service = Some("/system.slice/nginx.service");
    host.processes = vec![
        in_cgroup(11, 900, service),
        in_cgroup(12, 1_010, service),
        in_cgroup(13, 100, service),
        in_cgroup(21, 950, Some("/system.slice/other.service")),
        in_cgroup(31, 960, None),
        in_cgroup(32, 970, None),
    ];
    let headlines: Vec<String> = of(&host, Code::DescriptorsTight)
        .into_iter()
        .map(|finding| finding.headline)
        .collect();
    assert_eq!(
        headlines,
        [
            "nginx (pid 12, the fullest of 2): 1,010 of 1,024 descriptors (98 %)",
            "nginx (pid 21): 950 of 1,024 descriptors (92 %)",
            "nginx (pid 31): 960 of 1,024 descriptors (93 %)",
            "nginx (pid 32): 970 of 1,024 descriptors (94 %)",
        ]
    );
}

#[test]
fn nginx_gets_its_limit_at_once_in_its_file_and_in_its_unit() {
    let mut host = snapshot();
    let mut nginx = process(4_711, "nginx", Program::Nginx, 1_020, 1_024);
    nginx.owner.cgroup = Some("/system.slice/nginx.service".to_owned());
    nginx.descriptors.hard_limit = 524_288;
    host.processes = vec![nginx];
    let finding = one(&host, Code::DescriptorsTight);
    assert_eq!(
        titles(&finding),
        [
            "Raise the limit of what runs, at once",
            "Raise nginx' own limits",
            "Raise the limit of the unit nginx.service",
            "See what they are, in case the program leaks them",
        ]
    );
    let [now, own, unit, ..] = finding.remedies.as_slice() else {
        panic!("{finding:#?}")
    };
    assert_eq!(pasted(now), ["prlimit --pid 4711 --nofile=65536:"]);
    assert_eq!(now.undo, ["prlimit --pid 4711 --nofile=1024:"]);
    assert_eq!(
        pasted(own),
        [
            "worker_rlimit_nofile 65536;",
            "worker_connections 32768;",
            "nginx -t && nginx -s reload"
        ]
    );
    assert_eq!(
        pasted(unit),
        [
            "mkdir -p /etc/systemd/system/nginx.service.d",
            r"printf '[Service]\nLimitNOFILE=65536\n' > /etc/systemd/system/nginx.service.d/zz-descriptors.conf",
            "systemctl daemon-reload",
            "systemctl restart nginx.service",
        ]
    );
    assert_eq!(
        unit.undo,
        [
            "rm /etc/systemd/system/nginx.service.d/zz-descriptors.conf",
            "systemctl daemon-reload",
            "systemctl restart nginx.service",
        ]
    );
}

#[test]
fn beyond_the_hard_limit_both_are_raised_and_both_put_back() {
    let mut host = snapshot();
    host.processes = vec![process(7, "node", Program::Node, 4_000, 4_096)];
    let finding = one(&host, Code::DescriptorsTight);
    let remedy = &finding.remedies[0];
    assert_eq!(pasted(remedy), ["prlimit --pid 7 --nofile=65536:65536"]);
    assert_eq!(remedy.undo, ["prlimit --pid 7 --nofile=4096:4096"]);
}

#[test]
fn no_limit_is_advised_that_the_kernel_refuses() {
    for (limit, nr_open, value) in [
        (524_288, Some(1_048_576), Some("1048576")),
        (700_000, Some(1_048_576), Some("1048576")),
        (1_048_576, Some(1_048_576), None),
        (1_048_576, Some(4_194_304), Some("2097152")),
        (1_048_576, None, None),
    ] {
        let mut host = snapshot();
        host.settings.nr_open = nr_open;
        host.processes = vec![process(7, "app", Program::Other, limit, limit)];
        let finding = one(&host, Code::DescriptorsTight);
        let first = pasted(&finding.remedies[0]);
        match value {
            Some(value) => assert_eq!(first, [format!("prlimit --pid 7 --nofile={value}:{value}")]),
            None => assert_eq!(first[0], "sysctl -w fs.nr_open=2097152"),
        }
    }
}

#[test]
fn haproxy_is_told_maxconn_and_not_a_limit_that_it_would_not_notice() {
    let mut host = snapshot();
    host.processes = vec![process(7, "haproxy", Program::HaProxy, 4_080, 4_096)];
    let finding = one(&host, Code::DescriptorsTight);
    assert!(titles(&finding)[0].starts_with("Raise HAProxy's maxconn"));
    assert_eq!(pasted(&finding.remedies[0])[0], "maxconn 29491");
    assert!(
        finding
            .remedies
            .iter()
            .flat_map(pasted)
            .all(|line| !line.contains("prlimit"))
    );
}

#[test]
fn the_host_is_tight_from_80_percent_of_its_files_on() {
    for (used, expected) in [
        (79_999, None),
        (80_000, Some(Warning)),
        (94_999, Some(Warning)),
        (95_000, Some(Critical)),
    ] {
        let mut host = snapshot();
        host.files = Some(Usage {
            used,
            limit: 100_000,
        });
        assert_eq!(severity(&host, Code::FileMaxTight), expected, "{used}");
    }
    let mut host = snapshot();
    host.files = Some(Usage {
        used: 812_000,
        limit: 1_000_000,
    });
    let finding = one(&host, Code::FileMaxTight);
    assert_eq!(
        finding.headline,
        "the host: 812,000 of 1,000,000 files open (81 %)"
    );
    assert_eq!(finding.subject, Subject::Host);
    assert_eq!(
        pasted(&finding.remedies[0]),
        ["sysctl -w fs.file-max=2000000", "fs.file-max = 2000000"]
    );
    assert_eq!(finding.remedies[0].undo[0], "sysctl -w fs.file-max=1000000");
}
