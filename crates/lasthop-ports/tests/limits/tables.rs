//! `conntrack-tight`, `time-wait-bucket-overflow` and `tcp-memory-tight`.

use lasthop_ports::Severity::{Critical, Note, Warning};
use lasthop_ports::finding::Code;
use lasthop_ports::snapshot::{Counters, Group, GroupKey, Snapshot, TcpMemory, Usage};

use crate::support::{a_second_ago, one, pasted, severity, snapshot, titles};

fn followed(used: u64) -> Snapshot {
    let mut host = snapshot();
    host.conntrack = Some(Usage {
        used,
        limit: 262_144,
    });
    host
}

#[test]
fn the_table_of_connections_warns_from_80_percent_on_and_is_full_from_95() {
    for (used, expected) in [
        (0, None),
        (209_715, None),
        (209_716, Some(Warning)),
        (249_036, Some(Warning)),
        (249_037, Some(Critical)),
        (262_144, Some(Critical)),
    ] {
        assert_eq!(
            severity(&followed(used), Code::ConntrackTight),
            expected,
            "{used}"
        );
    }
    let finding = one(&followed(250_000), Code::ConntrackTight);
    assert_eq!(
        finding.headline,
        "the firewall's table: 250,000 of 262,144 connections (95 %)"
    );
    assert_eq!(
        titles(&finding),
        ["Make the table twice as large", "Open fewer connections"]
    );
    assert_eq!(
        pasted(&finding.remedies[0])[0],
        "sysctl -w net.netfilter.nf_conntrack_max=524288"
    );
}

#[test]
fn connections_within_the_host_are_left_out_of_the_table_only_where_that_is_a_great_part() {
    let mut host = followed(250_000);
    let mut group = Group::empty(GroupKey {
        source: "127.0.0.1".parse().unwrap(),
        destination: "127.0.0.1:3000".parse().unwrap(),
    });
    group.is_local = true;
    group.states.established = 20_000;
    group.time_wait = 8_000;
    host.groups = vec![group];
    let finding = one(&host, Code::ConntrackTight);
    assert_eq!(finding.remedies.len(), 4);
    assert_eq!(
        pasted(&finding.remedies[1]),
        [
            "nft add table inet lasthop_notrack",
            "nft add chain inet lasthop_notrack prerouting '{ type filter hook prerouting priority raw; policy accept; }'",
            "nft add chain inet lasthop_notrack output '{ type filter hook output priority raw; policy accept; }'",
            "nft add rule inet lasthop_notrack prerouting iif lo notrack",
            "nft add rule inet lasthop_notrack output oif lo notrack",
        ]
    );
    assert_eq!(
        finding.remedies[1].undo,
        ["nft delete table inet lasthop_notrack"]
    );
    assert_eq!(
        pasted(&finding.remedies[2])[1],
        "iptables -t raw -I OUTPUT -o lo -j CT --notrack"
    );
    assert_eq!(
        finding.remedies[2].undo[1],
        "iptables -t raw -D OUTPUT -o lo -j CT --notrack"
    );
    for (local, remedies) in [(26_215, 4), (26_214, 2)] {
        host.groups[0].states.established = local - host.groups[0].time_wait;
        let finding = one(&host, Code::ConntrackTight);
        assert_eq!(finding.remedies.len(), remedies, "{local} of 262,144");
    }
    host.groups[0].states.established = 200_000;
    host.groups[0].is_local = false;
    assert_eq!(one(&host, Code::ConntrackTight).remedies.len(), 2);
}

#[test]
fn in_a_container_the_rules_are_made_inside_and_the_table_outside() {
    let mut host = followed(250_000);
    host.namespace.pid = Some(77);
    let finding = one(&host, Code::ConntrackTight);
    assert_eq!(
        pasted(&finding.remedies[0])[0],
        "sysctl -w net.netfilter.nf_conntrack_max=524288"
    );
}

#[test]
fn the_memory_of_tcp_is_the_hosts_and_set_there() {
    let mut host = snapshot();
    host.namespace.pid = Some(77);
    host.tcp_memory = Some(TcpMemory {
        pages: 99_000,
        low_pages: 50_000,
        pressure_pages: 66_000,
        limit_pages: 100_000,
    });
    let finding = one(&host, Code::TcpMemoryTight);
    assert_eq!(
        pasted(&finding.remedies[1])[0],
        "sysctl -w net.ipv4.tcp_mem=\"75000 99000 150000\""
    );
}

/// A host whose count of lost TIME_WAIT was `then` and is `now`, with `used` of 4,096 in it.
fn time_wait(then: Option<u64>, now: u64, used: u64) -> Snapshot {
    let mut host = snapshot();
    host.time_wait_buckets = Some(Usage { used, limit: 4_096 });
    host.counters.time_wait_overflow = Some(now);
    host.counters_before = then.and_then(|then| {
        a_second_ago(Counters {
            time_wait_overflow: Some(then),
            ..Counters::default()
        })
    });
    host
}

#[test]
fn lost_time_wait_warns_while_it_happens_and_is_a_note_afterwards() {
    for (then, now, used, expected) in [
        (Some(5), 5, 0, Some(Note)),
        (Some(5), 6, 0, Some(Warning)),
        (None, 6, 0, Some(Note)),
        (None, 0, 0, None),
        (None, 0, 3_686, None),
        (None, 0, 3_687, Some(Warning)),
        (Some(0), 0, 4_096, Some(Warning)),
    ] {
        let host = time_wait(then, now, used);
        assert_eq!(
            severity(&host, Code::TimeWaitBucketOverflow),
            expected,
            "{then:?} {now} {used}"
        );
    }
    assert_eq!(
        one(
            &time_wait(Some(5), 1_205, 4_096),
            Code::TimeWaitBucketOverflow
        )
        .headline,
        "1,200 connections ended without TIME_WAIT in 1.0 s: 4,096 of 4,096 are in it"
    );
    assert_eq!(
        one(&time_wait(None, 0, 4_000), Code::TimeWaitBucketOverflow).headline,
        "TIME_WAIT: 4,000 of 4,096 connections (97 %)"
    );
    assert_eq!(
        one(&time_wait(None, 1, 0), Code::TimeWaitBucketOverflow).headline,
        "1 connection ended without TIME_WAIT, at some time"
    );
}

fn memory(pages: u64, aborts: Option<(u64, u64)>) -> Snapshot {
    let mut host = snapshot();
    host.tcp_memory = Some(TcpMemory {
        pages,
        low_pages: 50_000,
        pressure_pages: 66_000,
        limit_pages: 100_000,
    });
    if let Some((then, now)) = aborts {
        host.counters.aborts_on_memory = Some(now);
        host.counters_before = a_second_ago(Counters {
            aborts_on_memory: Some(then),
            ..Counters::default()
        });
    }
    host
}

#[test]
fn tcp_memory_warns_under_pressure_and_hurts_when_connections_are_ended() {
    for (pages, aborts, expected) in [
        (0, None, None),
        (66_000, None, None),
        (66_001, None, Some(Warning)),
        (94_999, None, Some(Warning)),
        (95_000, None, Some(Critical)),
        (10, Some((4, 5)), Some(Critical)),
        (10, Some((5, 5)), None),
    ] {
        let host = memory(pages, aborts);
        assert_eq!(
            severity(&host, Code::TcpMemoryTight),
            expected,
            "{pages} {aborts:?}"
        );
    }
    let finding = one(&memory(96_000, Some((1, 3))), Code::TcpMemoryTight);
    assert_eq!(
        finding.headline,
        "memory of TCP: 96,000 of 100,000 pages (96 %); 2 connections ended for want of memory in 1.0 s"
    );
    assert_eq!(
        pasted(&finding.remedies[1])[0],
        "sysctl -w net.ipv4.tcp_mem=\"75000 99000 150000\""
    );
    assert_eq!(
        finding.remedies[1].undo[0],
        "sysctl -w net.ipv4.tcp_mem=\"50000 66000 100000\""
    );
}

#[test]
fn a_kernel_that_sets_no_memory_aside_is_not_under_pressure() {
    let mut host = memory(0, None);
    host.tcp_memory = Some(TcpMemory {
        pages: 0,
        low_pages: 0,
        pressure_pages: 0,
        limit_pages: 0,
    });
    assert_eq!(severity(&host, Code::TcpMemoryTight), None);
}
