//! `app-exposed`.

use lasthop_ports::Severity::Note;
use lasthop_ports::finding::{Code, Subject};
use lasthop_ports::snapshot::{Group, GroupKey, Program, Snapshot};

use crate::support::{listener, of, one, owner, pasted, severity, snapshot};

fn app(address: &str, local: u32, remote: u32) -> Snapshot {
    let mut host = snapshot();
    let mut app = listener(address, 0, 511);
    (app.local_clients, app.remote_clients) = (local, remote);
    host.listeners = vec![app];
    host
}

#[test]
fn an_app_that_only_this_host_uses_is_a_note_where_the_network_reaches_it() {
    for (address, local, remote, expected) in [
        ("0.0.0.0:3000", 12, 0, Some(Note)),
        ("[::]:3000", 12, 0, Some(Note)),
        ("192.0.2.7:3000", 12, 0, Some(Note)),
        ("0.0.0.0:3000", 2, 0, Some(Note)),
        // Somebody tries it by hand.
        ("0.0.0.0:3000", 1, 0, None),
        ("0.0.0.0:3000", 0, 0, None),
        ("0.0.0.0:3000", 12, 1, None),
        ("127.0.0.1:3000", 12, 0, None),
        ("127.64.0.1:3000", 12, 0, None),
        ("[::1]:3000", 12, 0, None),
        ("[::ffff:127.0.0.1]:3000", 12, 0, None),
        ("0.0.0.0:22", 12, 0, None),
        ("0.0.0.0:80", 12, 0, None),
        ("[::]:443", 12, 0, None),
    ] {
        let host = app(address, local, remote);
        assert_eq!(
            severity(&host, Code::AppExposed),
            expected,
            "{address} {local} {remote}"
        );
    }
}

#[test]
fn a_proxy_is_there_for_the_network() {
    for program in [
        Program::Lasthop,
        Program::Nginx,
        Program::HaProxy,
        Program::Envoy,
        Program::Caddy,
        Program::Apache,
        Program::Traefik,
    ] {
        let mut host = app("0.0.0.0:8080", 12, 0);
        host.listeners[0].owners = vec![owner(7, "proxy", program)];
        assert_eq!(severity(&host, Code::AppExposed), None, "{program:?}");
    }
}

#[test]
fn the_note_says_who_connects_and_that_it_is_inferred() {
    let mut host = app("0.0.0.0:3000", 12, 0);
    host.listeners[0].owners = vec![owner(812, "gunicorn", Program::Python)];
    let mut group = Group::empty(GroupKey {
        source: "127.0.0.1".parse().unwrap(),
        destination: "127.0.0.1:3000".parse().unwrap(),
    });
    group.is_local = true;
    group.owners = vec![owner(700, "nginx", Program::Nginx)];
    host.groups = vec![group];
    let finding = one(&host, Code::AppExposed);
    assert_eq!(
        finding.headline,
        "0.0.0.0:3000, gunicorn (pid 812): open to the network, 12 connections from this host and none from elsewhere"
    );
    assert_eq!(
        finding.subject,
        Subject::Listener {
            address: "0.0.0.0:3000".parse().unwrap()
        }
    );
    assert_eq!(finding.evidence[1], "connected to it: nginx (pid 700)");
    assert!(finding.evidence[2].starts_with("inferred from this moment alone"));
}

#[test]
fn each_program_is_told_its_own_setting() {
    for (name, program, line) in [
        ("gunicorn", Program::Python, "--bind 127.0.0.1:3000"),
        ("node", Program::Node, "server.listen(3000, '127.0.0.1')"),
        (
            "api",
            Program::Go,
            "http.ListenAndServe(\"127.0.0.1:3000\", handler)",
        ),
        ("java", Program::Java, "server.address=127.0.0.1"),
        ("docker-proxy", Program::Go, "-p 127.0.0.1:3000:PORT"),
        ("postgres", Program::Other, "listen_addresses = 'localhost'"),
        ("redis-server", Program::Other, "bind 127.0.0.1"),
        ("mariadbd", Program::Other, "bind-address = 127.0.0.1"),
        ("php-fpm", Program::Other, "listen = 127.0.0.1:3000"),
    ] {
        let mut host = app("0.0.0.0:3000", 12, 0);
        host.listeners[0].owners = vec![owner(7, name, program)];
        let finding = one(&host, Code::AppExposed);
        assert_eq!(pasted(&finding.remedies[0])[0], line, "{name}");
        let closes = finding
            .remedies
            .iter()
            .flat_map(pasted)
            .any(|line| line.contains("dport 3000 drop"));
        assert_eq!(closes, name != "docker-proxy", "{name}");
    }
}

#[test]
fn a_hundred_such_apps_are_eight_notes_the_busiest_ones() {
    let mut host = snapshot();
    host.listeners = (1..=100u16)
        .map(|n| {
            let mut app = listener(&format!("0.0.0.0:{}", 3_000 + n), 0, 511);
            app.local_clients = u32::from(n) + 1;
            app
        })
        .collect();
    let findings = of(&host, Code::AppExposed);
    assert_eq!(findings.len(), 8);
    assert!(findings.iter().all(|finding| {
        let Subject::Listener { address } = finding.subject else {
            panic!("{finding:?}")
        };
        address.port() > 3_092
    }));
}

#[test]
fn a_worker_with_clients_from_outside_speaks_for_all_on_its_address() {
    let mut host = app("0.0.0.0:3000", 12, 0);
    let mut other = host.listeners[0].clone();
    other.remote_clients = 1;
    host.listeners.push(other);
    assert_eq!(severity(&host, Code::AppExposed), None);
}
