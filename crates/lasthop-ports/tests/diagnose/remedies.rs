//! What is said to be done, by program: the right lines, only where they help, the best first.

use lasthop_ports::Code;
use lasthop_ports::snapshot::{Group, Program, Snapshot};

use crate::support::{
    default_host, group, group_to, listener, owner, settings, text, the, titles, waiting,
};

/// What can be done about a pair that is used up, by its program.
fn remedies(mut snapshot: Snapshot, group: Group, program: Program) -> Vec<String> {
    let owners = vec![owner(812, "proxy", program)];
    snapshot.groups.push(Group { owners, ..group });
    let finding = the(&snapshot, Code::PortsExhausted);
    assert!(finding.remedies.len() <= 5);
    for remedy in &finding.remedies {
        assert!(!remedy.undo.is_empty(), "{}", remedy.title);
        assert!(!remedy.steps.is_empty(), "{}", remedy.title);
    }
    finding.remedies.iter().map(text).collect()
}

const PROGRAMS: [Program; 12] = [
    Program::Lasthop,
    Program::Nginx,
    Program::HaProxy,
    Program::Envoy,
    Program::Caddy,
    Program::Apache,
    Program::Traefik,
    Program::Go,
    Program::Node,
    Program::Java,
    Program::Python,
    Program::Other,
];

#[test]
fn nginx_is_given_its_own_lines() {
    let mut snapshot = default_host();
    snapshot.listeners.push(listener(
        "127.0.0.1:3000",
        vec![owner(900, "gunicorn", Program::Python)],
    ));
    let [unix, addresses, wider] = &remedies(snapshot, group(28_232), Program::Nginx)[..] else {
        unreachable!("three remedies")
    };
    assert_eq!(
        unix,
        "nginx: connect over a Unix socket, which has no ports to run out of\n\
         Let the app listen on a Unix socket, /run/app/app.sock in these lines (gunicorn: --bind unix:/run/app/app.sock; uvicorn: --uds /run/app/app.sock).\n\
         [nginx.conf, in upstream {}, instead of `server 127.0.0.1:3000;`]\n\
         server unix:/run/app/app.sock;\n\
         # nginx -t && nginx -s reload\n\
         undo: put back the lines as they were and reload\n\
         risk: the user that nginx runs as needs permission to write to the socket"
    );
    assert_eq!(
        addresses.lines().skip(1).take(10).collect::<Vec<_>>(),
        [
            "[nginx.conf, in http {}]",
            "split_clients \"$request_id\" $upstream_source {",
            "    25% 127.0.0.2;",
            "    25% 127.0.0.3;",
            "    25% 127.0.0.4;",
            "    *   127.0.0.5;",
            "}",
            "[nginx.conf, in the location with proxy_pass]",
            "proxy_bind $upstream_source;",
            "# nginx -t && nginx -s reload",
        ]
    );
    assert_eq!(
        wider,
        "Widen the range of source ports: 64,511 for each pair instead of 28,232, +128 %\n\
         # sysctl -w net.ipv4.ip_local_reserved_ports=3000\n\
         [/etc/sysctl.d/90-ip_local_reserved_ports.conf, so that it outlives a boot]\n\
         net.ipv4.ip_local_reserved_ports = 3000\n\
         # sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"\n\
         [/etc/sysctl.d/90-ip_local_port_range.conf, so that it outlives a boot]\n\
         net.ipv4.ip_local_port_range = 1024 65535\n\
         undo: sysctl -w net.ipv4.ip_local_port_range=\"32768 60999\"\n\
         undo: rm /etc/sysctl.d/90-ip_local_port_range.conf\n\
         undo: echo > /proc/sys/net/ipv4/ip_local_reserved_ports\n\
         undo: rm /etc/sysctl.d/90-ip_local_reserved_ports.conf\n\
         risk: a connection can take a port that a program wants to listen on later, which then fails to start; reserve those ports"
    );
}

#[test]
fn lasthop_is_restarted_because_it_reads_its_configuration_once() {
    let all = remedies(default_host(), group(28_232), Program::Lasthop);
    let of_ours: Vec<_> = all
        .iter()
        .filter(|one| one.starts_with("lasthop:"))
        .collect();
    assert_eq!(of_ours.len(), 2);
    for remedy in of_ours {
        assert!(remedy.contains("Then restart lasthop"), "{remedy}");
        assert!(!remedy.contains("reload"), "{remedy}");
    }
}

#[test]
fn an_app_that_listens_on_every_address_is_spread_over_by_its_addresses() {
    for (program, line) in [
        (Program::Nginx, "server 127.0.0.4:3000;"),
        (Program::HaProxy, "server app-4 127.0.0.4:3000"),
        (Program::Envoy, "address: \"127.0.0.4\", port_value: 3000"),
        (
            Program::Caddy,
            "reverse_proxy 127.0.0.1:3000 127.0.0.2:3000 127.0.0.3:3000 127.0.0.4:3000",
        ),
        (Program::Apache, "BalancerMember \"http://127.0.0.4:3000\""),
        (Program::Traefik, "- url: \"http://127.0.0.4:3000\""),
        (Program::Go, "127.0.0.3:3000, 127.0.0.4:3000"),
    ] {
        for (address, takes) in [
            ("0.0.0.0:3000", true),
            ("[::]:3000", true),
            ("127.0.0.1:3000", false),
        ] {
            let mut snapshot = default_host();
            snapshot.listeners.push(listener(address, Vec::new()));
            let all = remedies(snapshot, group(28_232), program).join("\n");
            assert_eq!(all.contains(line), takes, "{program:?} {address}: {all}");
        }
    }
}

#[test]
fn a_target_on_another_host_has_neither_unix_sockets_nor_loopback_addresses() {
    for program in PROGRAMS {
        let far = Group {
            is_local: false,
            ..group_to("192.0.2.1", "192.0.2.9:5432", 28_232)
        };
        let all = remedies(default_host(), far, program).join("\n");
        assert!(
            !all.contains("unix") && !all.contains("Unix"),
            "{program:?}: {all}"
        );
        assert!(!all.contains("127.0.0."), "{program:?}: {all}");
        assert!(all.contains("net.ipv4.ip_local_port_range"), "{program:?}");
    }
}

#[test]
fn connections_that_are_held_are_not_told_to_be_used_again() {
    for program in PROGRAMS {
        let all = remedies(default_host(), group(28_232), program).join("\n");
        assert!(
            !all.contains("again, with") && !all.contains("use them again"),
            "{program:?}: {all}"
        );
        assert!(!all.contains("tcp_tw_reuse"), "{program:?}: {all}");
    }
}

#[test]
fn where_time_wait_has_the_ports_connections_are_used_again_first() {
    for program in PROGRAMS {
        let group = waiting(group_to("10.9.9.1", "10.9.9.9:3000", 232), 28_000);
        let all = remedies(default_host(), group, program);
        let first = &all[0];
        assert!(
            ["keep", "Keep", "again", "live longer"]
                .iter()
                .any(|word| first.contains(word)),
            "{program:?}: {first}"
        );
        let all = all.join("\n");
        assert!(
            all.contains("sysctl -w net.ipv4.tcp_tw_reuse=1"),
            "{program:?}: {all}"
        );
        assert!(
            all.contains("undo: sysctl -w net.ipv4.tcp_tw_reuse=2"),
            "{program:?}: {all}"
        );
        assert!(!all.contains("recycle"));
    }
}

#[test]
fn connections_are_kept_where_a_tenth_of_the_ports_comes_and_goes() {
    for (held, is_told) in [(2_824, true), (2_823, false)] {
        let group = waiting(group(28_232 - held), held);
        let all = remedies(default_host(), group, Program::Nginx);
        assert_eq!(all.join("\n").contains("keepalive 64;"), is_told, "{held}");
    }
}

#[test]
fn a_listener_of_ipv6_alone_takes_no_connection_of_ipv4() {
    for (v6only, is_told) in [(false, true), (true, false)] {
        let mut snapshot = default_host();
        let mut everywhere = listener("[::]:3000", Vec::new());
        everywhere.v6only = v6only;
        snapshot.listeners.push(everywhere);
        let all = remedies(snapshot, group(28_232), Program::Caddy).join("\n");
        assert_eq!(all.contains("127.0.0.4:3000"), is_told, "{v6only}");
    }
}

#[test]
fn time_wait_that_passes_in_a_second_needs_no_setting() {
    let all = remedies(default_host(), waiting(group(232), 28_000), Program::Nginx);
    assert!(!all.join("\n").contains("tcp_tw_reuse"));
    assert!(all[0].contains("keepalive 64;"));
}

#[test]
fn on_loopback_the_default_is_enough_and_timestamps_are_switched_on() {
    let mut snapshot = default_host();
    settings(&mut snapshot).tcp_tw_reuse = 0;
    settings(&mut snapshot).tcp_timestamps = 0;
    let all = remedies(snapshot, waiting(group(232), 28_000), Program::Nginx).join("\n");
    assert!(all.contains("# sysctl -w net.ipv4.tcp_tw_reuse=2"), "{all}");
    assert!(
        all.contains("# sysctl -w net.ipv4.tcp_timestamps=1"),
        "{all}"
    );
    assert!(
        all.contains("undo: sysctl -w net.ipv4.tcp_timestamps=0"),
        "{all}"
    );
}

#[test]
fn a_range_that_is_wide_already_is_not_widened() {
    for (range, is_widened) in [
        ("32768 60999", true),
        ("15000 65535", true),
        ("10240 65535", false),
        ("1024 65535", false),
    ] {
        let mut snapshot = crate::support::host(range);
        snapshot.groups.push(group(snapshot.port_limit().unwrap()));
        let finding = the(&snapshot, Code::PortsExhausted);
        let is_found = titles(&finding)
            .iter()
            .any(|title| title.starts_with("Widen"));
        assert_eq!(is_found, is_widened, "{range}");
    }
}

#[test]
fn in_a_container_settings_are_those_of_its_network() {
    let mut snapshot = default_host();
    snapshot.namespace.pid = Some(4711);
    let all = remedies(snapshot, group(28_232), Program::HaProxy).join("\n");
    assert!(
        all.contains(
            "# nsenter --target 4711 --net sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\""
        ),
        "{all}"
    );
    assert!(!all.contains("/etc/sysctl.d"), "{all}");
}
