//! port-parity-slope: one parity full, the other not.

use lasthop_ports::snapshot::{Group, Program};
use lasthop_ports::{Code, Severity};

use crate::support::{found, group, host, owner, settings, the, titles};

fn halves(even_ports: u32, odd_ports: u32) -> Group {
    Group {
        even_ports,
        odd_ports,
        owners: vec![owner(812, "haproxy", Program::HaProxy)],
        ..group(even_ports + odd_ports)
    }
}

#[test]
fn a_full_half_and_an_emptier_one_are_told() {
    let mut snapshot = host("32768 60999");
    snapshot.groups.push(halves(14_116, 1_412));
    let finding = the(&snapshot, Code::PortParitySlope);
    assert_eq!(
        finding.headline,
        "127.0.0.1 -> 127.0.0.1:3000: 15,528 of 28,232 ports in use, 100 % of the even ones and 10 % of the odd ones: connect(2) is slow"
    );
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(
        finding.evidence[0],
        "14,116 of 14,116 even ports and 1,412 of 14,116 odd ports are in use: the kernel looks through all of one kind first"
    );
    let titles = titles(&finding);
    assert!(
        titles[0].starts_with("HAProxy: connect over a Unix socket"),
        "{titles:?}"
    );
    assert!(
        titles[1].starts_with("HAProxy: connect from 4 addresses"),
        "{titles:?}"
    );
    assert!(titles[2].contains("IP_LOCAL_PORT_RANGE"), "{titles:?}");
}

#[test]
fn it_takes_a_full_half_an_emptier_one_and_enough_ports() {
    for (name, range, even, odd, is_told) in [
        ("below half", "32768 60999", 14_000, 100, false),
        (
            "over half, from the odd side",
            "32769 61000",
            2_000,
            14_116,
            true,
        ),
        (
            "both alike, as a flat search leaves it",
            "32768 60999",
            9_000,
            9_100,
            false,
        ),
        (
            "both alike and nearly full",
            "32768 60999",
            13_500,
            13_400,
            false,
        ),
        ("both full", "32768 60999", 14_116, 14_116, false),
        ("nearly at the end", "32768 60999", 14_116, 13_100, false),
        (
            "the fuller one with room",
            "32768 60999",
            13_000,
            5_000,
            false,
        ),
        ("few ports", "40000 40009", 5, 1, false),
        ("an empty host", "32768 60999", 0, 0, false),
    ] {
        let mut snapshot = host(range);
        snapshot.groups.push(halves(even, odd));
        let is_found = !found(&snapshot, Code::PortParitySlope).is_empty();
        assert_eq!(is_found, is_told, "{name}");
    }
}

#[test]
fn reserved_ports_are_no_ports_of_their_half() {
    let mut snapshot = host("40000 49999");
    let reserved: Vec<String> = (40_000..50_000)
        .step_by(4)
        .map(|port| port.to_string())
        .collect();
    settings(&mut snapshot).reserved = reserved.join(",").parse().unwrap();
    // 2,500 of the 5,000 even ports are left.
    snapshot.groups.push(halves(2_490, 1_500));
    assert!(
        the(&snapshot, Code::PortParitySlope)
            .headline
            .contains("99 % of the even ones and 30 % of the odd ones")
    );
}
