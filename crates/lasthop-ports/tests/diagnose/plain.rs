//! ports-bound-plainly.

use lasthop_ports::snapshot::{Bind, Owner, Plain, PlainHolders, Program, Snapshot};
use lasthop_ports::{Code, Severity};

use crate::support::{default_host, found, host, owner, text, the, titles};

fn with(mut snapshot: Snapshot, sockets: u32, sample: Vec<Plain>) -> Snapshot {
    snapshot.plain_holders = Some(PlainHolders { sockets, sample });
    snapshot
}

fn one(bind: Bind, port: u16, owner: Option<Owner>) -> Plain {
    Plain {
        bind,
        local: format!("127.0.0.78:{port}").parse().unwrap(),
        peer: (bind != Bind::Bound).then(|| "127.0.0.1:3000".parse().unwrap()),
        owner,
    }
}

#[test]
fn who_keeps_ports_from_everybody_is_named() {
    let sample = vec![
        one(Bind::Address, 40_001, Some(owner(901, "api", Program::Go))),
        one(Bind::Address, 40_003, Some(owner(901, "api", Program::Go))),
        one(Bind::Bound, 40_005, None),
    ];
    let finding = the(
        &with(default_host(), 4_000, sample),
        Code::PortsBoundPlainly,
    );
    assert_eq!(
        finding.headline,
        "4,000 of 28,232 ports are kept from everybody by api (pid 901) (14 %)"
    );
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(finding.processes.len(), 1);
    assert_eq!(
        finding.evidence,
        [
            "bound to an address with port 0, and connected: 2 of 3 sockets that were looked at",
            "bound and not connected: 1 of 3 sockets that were looked at",
            "holds a port: 127.0.0.78:40001 -> 127.0.0.1:3000, api (pid 901)",
            "holds a port: 127.0.0.78:40003 -> 127.0.0.1:3000, api (pid 901)",
            "holds a port: 127.0.0.78:40005",
        ]
    );
    assert_eq!(
        titles(&finding),
        [
            "Go: set IP_BIND_ADDRESS_NO_PORT where net.Dialer has a LocalAddr",
            "Set IP_BIND_ADDRESS_NO_PORT before bind(2), in whatever program binds",
            "Close sockets that are bound and not used",
        ]
    );
}

#[test]
fn each_program_is_told_in_its_own_words() {
    for (program, words) in [
        (Program::Envoy, "name: 24"),
        (Program::Caddy, "local_address"),
        (Program::Apache, "ProxySourceAddress"),
        (Program::HaProxy, "LOW-HIGH"),
        (Program::Node, "localAddress"),
        (Program::Python, "sock.setsockopt(socket.IPPROTO_IP, 24, 1)"),
        (Program::Nginx, "proxy_bind"),
        (Program::Other, "IP_BIND_ADDRESS_NO_PORT (24)"),
    ] {
        let sample = vec![one(Bind::Address, 40_001, Some(owner(9, "p", program)))];
        let finding = the(&with(default_host(), 500, sample), Code::PortsBoundPlainly);
        let first = text(&finding.remedies[0]);
        assert!(first.contains(words), "{program:?}: {first}");
        assert!(
            finding
                .remedies
                .iter()
                .all(|remedy| !remedy.undo.is_empty())
        );
    }
}

#[test]
fn a_few_are_a_note_and_none_are_nothing() {
    for (range, sockets, severity) in [
        ("32768 60999", 0, None),
        ("32768 60999", 1, Some(Severity::Note)),
        ("32768 60999", 282, Some(Severity::Note)),
        ("32768 60999", 283, Some(Severity::Warning)),
        ("40000 40009", 1, Some(Severity::Warning)),
    ] {
        let findings = found(
            &with(host(range), sockets, Vec::new()),
            Code::PortsBoundPlainly,
        );
        assert_eq!(
            findings.first().map(|finding| finding.severity),
            severity,
            "{sockets} of {range}"
        );
    }
    assert!(
        found(&default_host(), Code::PortsBoundPlainly).is_empty(),
        "not looked for"
    );
}
