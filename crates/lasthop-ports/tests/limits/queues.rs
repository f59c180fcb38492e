//! `listen-backlog-overflow`, `unix-backlog-full` and `backlog-clipped`.

use lasthop_ports::Severity::{Critical, Note, Warning};
use lasthop_ports::finding::{Code, Subject};
use lasthop_ports::snapshot::{Counters, Program, Snapshot};

use crate::support::{
    a_second_ago, drops, listener, of, one, owner, pasted, severity, snapshot, titles,
    unix_listener,
};

/// A host with one listener that dropped `dropped` while the namespace counted `overflows` and `all`.
fn losing(dropped: u32, overflows: u64, all: u64) -> Snapshot {
    let mut host = snapshot();
    let mut app = listener("127.0.0.1:3000", 129, 128);
    app.drops = Some(1_000 + dropped);
    app.drops_before = Some(1_000);
    app.owners = vec![owner(4_711, "gunicorn", Program::Python)];
    host.listeners = vec![listener("0.0.0.0:80", 0, 511), app];
    host.counters = drops(5_000 + overflows, 5_000 + all);
    host.counters_before = a_second_ago(drops(5_000, 5_000));
    host
}

#[test]
fn a_listener_that_drops_is_named_with_what_it_dropped() {
    let finding = one(&losing(214, 214, 214), Code::ListenBacklogOverflow);
    assert_eq!(finding.severity, Critical);
    assert_eq!(
        finding.headline,
        "127.0.0.1:3000: 214 connections dropped in 1.0 s; 129 of 129 places in the queue taken at this moment"
    );
    assert_eq!(
        finding.subject,
        Subject::Listener {
            address: "127.0.0.1:3000".parse().unwrap()
        }
    );
    assert_eq!(finding.processes[0].pid, 4_711);
    assert_eq!(
        titles(&finding),
        [
            "Give gunicorn or uvicorn a longer queue",
            "Let it accept faster"
        ]
    );
    assert_eq!(pasted(&finding.remedies[0]), ["--backlog 4096"]);
}

#[test]
fn drops_that_no_counter_of_full_queues_confirms_are_stray_segments() {
    let mut scanned = losing(214, 0, 0);
    scanned.listeners[1].queue = 0;
    scanned.counters = drops(0, 0);
    scanned.counters_before = a_second_ago(drops(0, 0));
    assert_eq!(of(&scanned, Code::ListenBacklogOverflow), []);
}

#[test]
fn what_nobody_in_particular_dropped_is_told_of_the_namespace() {
    let mut host = losing(0, 7, 7);
    host.listeners[1].queue = 0;
    let finding = one(&host, Code::ListenBacklogOverflow);
    assert_eq!(
        (finding.severity, &finding.subject),
        (Critical, &Subject::Namespace)
    );
    assert_eq!(
        finding.headline,
        "7 connections dropped by listeners in 1.0 s"
    );
    // What is dropped for another reason may be a filter's doing, and is not called a full queue.
    host.counters = drops(5_000, 5_007);
    let finding = one(&host, Code::ListenBacklogOverflow);
    assert_eq!(finding.severity, Warning);
    assert!(
        finding.evidence[0].starts_with("no queue was full"),
        "{finding:?}"
    );
}

#[test]
fn a_queue_warns_from_three_quarters_on() {
    for (queue, backlog, expected) in [
        (0, 128, None),
        (96, 128, None),
        (97, 128, Some(Warning)),
        (129, 128, Some(Warning)),
        (2, 3, None),
        (3, 3, Some(Warning)),
        // Too short to say anything at one moment.
        (3, 2, None),
        (1, 0, None),
        (0, 0, None),
        (u32::MAX, u32::MAX, Some(Warning)),
    ] {
        let mut host = snapshot();
        host.listeners = vec![listener("127.0.0.1:3000", queue, backlog)];
        assert_eq!(
            severity(&host, Code::ListenBacklogOverflow),
            expected,
            "{queue} of {backlog}"
        );
    }
}

#[test]
fn what_overflowed_once_is_a_note_that_names_who_dropped() {
    let mut host = snapshot();
    host.counters = drops(12, 15);
    host.counters_before = a_second_ago(host.counters);
    host.listeners = vec![
        listener("127.0.0.1:3000", 0, 128),
        listener("0.0.0.0:80", 0, 511),
    ];
    host.listeners[0].drops = Some(12);
    let finding = one(&host, Code::ListenBacklogOverflow);
    assert_eq!(finding.severity, Note);
    assert_eq!(
        finding.headline,
        "12 connections dropped because a listener's queue was full, at some time"
    );
    assert!(
        finding.evidence[1].contains("127.0.0.1:3000 (12 drops, backlog 128)"),
        "{finding:?}"
    );
    // The only reading there is cannot say whether it rises.
    host.counters_before = None;
    assert_eq!(severity(&host, Code::ListenBacklogOverflow), Some(Note));
    host.counters = drops(0, 15);
    assert_eq!(severity(&host, Code::ListenBacklogOverflow), None);
    // Counters that were reset, by a new namespace of the same name in a recording, are no overflow.
    host.counters = drops(3, 3);
    host.counters_before = a_second_ago(drops(500, 500));
    assert_eq!(severity(&host, Code::ListenBacklogOverflow), Some(Note));
}

#[test]
fn workers_that_share_an_address_are_one_finding() {
    let mut host = snapshot();
    host.listeners = vec![
        listener("0.0.0.0:80", 3, 511),
        listener("0.0.0.0:80", 500, 511),
        listener("[::]:80", 0, 511),
    ];
    let finding = one(&host, Code::ListenBacklogOverflow);
    assert_eq!(
        finding.headline,
        "0.0.0.0:80: 500 of 512 places in the queue are taken"
    );
    assert!(
        finding
            .evidence
            .iter()
            .any(|line| line.starts_with("2 listeners share"))
    );
}

#[test]
fn each_program_is_told_its_own_setting() {
    for (name, program, line) in [
        (
            "nginx",
            Program::Nginx,
            "listen 127.0.0.1:3000 backlog=4096;",
        ),
        (
            "haproxy",
            Program::HaProxy,
            "bind 127.0.0.1:3000 backlog 4096",
        ),
        ("envoy", Program::Envoy, "tcp_backlog_size: 4096"),
        (
            "node",
            Program::Node,
            "server.listen({ host, port, backlog: 4096 })",
        ),
        ("java", Program::Java, "server.tomcat.accept-count=4096"),
        ("apache2", Program::Apache, "ListenBackLog 4096"),
        ("uvicorn", Program::Python, "--backlog 4096"),
        ("php-fpm8.2", Program::Other, "listen.backlog = 4096"),
        ("redis-server", Program::Other, "tcp-backlog 4096"),
    ] {
        let mut host = losing(9, 9, 9);
        host.listeners[1].owners = vec![owner(7, name, program)];
        let finding = one(&host, Code::ListenBacklogOverflow);
        assert_eq!(pasted(&finding.remedies[0])[0], line, "{name}");
    }
}

#[test]
fn a_setting_of_the_host_comes_first_where_it_is_what_cuts() {
    let mut host = losing(9, 9, 9);
    host.settings.somaxconn = Some(128);
    let finding = one(&host, Code::ListenBacklogOverflow);
    assert_eq!(
        pasted(&finding.remedies[0])[0],
        "sysctl -w net.core.somaxconn=4096"
    );
    assert_eq!(
        finding.remedies[0].undo[0],
        "sysctl -w net.core.somaxconn=128"
    );
}

#[test]
fn a_unix_queue_warns_from_three_quarters_on_and_is_full_with_one_more_than_its_backlog() {
    for (queue, backlog, expected) in [
        (0, 128, None),
        (96, 128, None),
        (97, 128, Some(Warning)),
        (128, 128, Some(Warning)),
        (129, 128, Some(Critical)),
        (0, 0, None),
        (1, 0, Some(Critical)),
    ] {
        let mut host = snapshot();
        host.unix_listeners = vec![unix_listener("/run/app.sock", queue, backlog)];
        assert_eq!(
            severity(&host, Code::UnixBacklogFull),
            expected,
            "{queue} of {backlog}"
        );
    }
}

#[test]
fn a_full_unix_queue_says_what_clients_are_told() {
    let mut host = snapshot();
    host.unix_listeners = vec![unix_listener("/run/app.sock", 129, 128)];
    host.unix_listeners[0].owners = vec![owner(7, "nginx", Program::Nginx)];
    let finding = one(&host, Code::UnixBacklogFull);
    assert_eq!(
        finding.headline,
        "/run/app.sock: the queue is full: 129 of 129 places taken"
    );
    assert!(finding.evidence[0].contains("(11: Resource temporarily unavailable)"));
    assert_eq!(
        pasted(&finding.remedies[0]),
        [
            "listen unix:/run/app.sock backlog=4096;",
            "nginx -t && systemctl restart nginx"
        ]
    );
}

#[test]
fn haproxy_is_not_told_the_name_that_it_bound_and_renamed() {
    let mut host = snapshot();
    host.unix_listeners = vec![unix_listener("/run/app.sock.12792.tmp", 129, 128)];
    host.unix_listeners[0].owners = vec![owner(7, "haproxy", Program::HaProxy)];
    let finding = one(&host, Code::UnixBacklogFull);
    assert_eq!(pasted(&finding.remedies[0])[0], "backlog 4096");
}

#[test]
fn clipped_backlogs_are_one_finding_and_silent_with_the_default_setting() {
    let mut host = snapshot();
    host.listeners = vec![
        listener("127.0.0.1:3000", 0, 4_096),
        listener("127.0.0.1:3001", 1, 4_096),
        listener("127.0.0.1:3002", 0, 511),
    ];
    assert_eq!(severity(&host, Code::BacklogClipped), None);
    host.listeners[0].queue = 2_049;
    assert_eq!(severity(&host, Code::BacklogClipped), Some(Warning));
    host.listeners[0].queue = 2_048;
    assert_eq!(severity(&host, Code::BacklogClipped), None);

    host.settings.somaxconn = Some(128);
    assert_eq!(
        severity(&host, Code::BacklogClipped),
        None,
        "none has that backlog"
    );
    host.listeners[0] = listener("127.0.0.1:3000", 0, 128);
    host.listeners[1] = listener("127.0.0.1:3000", 0, 128);
    host.unix_listeners = vec![unix_listener("/run/app.sock", 3, 128)];
    let finding = one(&host, Code::BacklogClipped);
    assert_eq!(finding.severity, Note);
    assert_eq!(
        finding.headline,
        "2 listeners have a backlog of 128, all that net.core.somaxconn allows"
    );
    assert_eq!(finding.evidence[0], "/run/app.sock, 127.0.0.1:3000");
    assert!(finding.evidence[2].contains("cannot be told"));
    host.settings.somaxconn = None;
    assert_eq!(severity(&host, Code::BacklogClipped), None);
}

#[test]
fn counters_that_were_not_read_say_nothing() {
    let mut host = losing(9, 9, 9);
    host.listeners[1].queue = 0;
    host.counters = Counters::default();
    assert_eq!(of(&host, Code::ListenBacklogOverflow), []);
}
