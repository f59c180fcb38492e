//! How a program chooses its source address without taking the port from everybody, by the program.
//!
//! Sources: ip(7) (`IP_BIND_ADDRESS_NO_PORT`), Go's net (`Dialer.Control`), Envoy's SocketOption, Node's net
//! (`localAddress`), Python's http.client and asyncio (`source_address`, `local_addr`).

use super::paste::{lines, words};
use crate::finding::Remedy;
use crate::snapshot::{Bind, Owner, PlainHolders, Program};

/// Remedies: one for each kind of program, then the one for all.
const PROGRAMS_MAX: usize = 3;

/// For sockets that hold ports, and the processes they belong to, as far as known.
pub(crate) fn without_ports(holders: &PlainHolders, owners: &[Owner]) -> Vec<Remedy> {
    let mut programs: Vec<Program> = Vec::new();
    for owner in owners {
        if !programs.contains(&owner.program) {
            programs.push(owner.program);
        }
    }
    let mut remedies: Vec<Remedy> = programs
        .into_iter()
        .filter_map(of)
        .take(PROGRAMS_MAX)
        .collect();
    remedies.push(in_general());
    if holders.sample.iter().any(|plain| plain.bind == Bind::Bound) {
        remedies.push(close_unused());
    }
    remedies
}

fn of(program: Program) -> Option<Remedy> {
    match program {
        Program::Go => Some(go()),
        Program::Envoy => Some(envoy()),
        Program::Caddy => Some(without(
            "Caddy: take local_address out of transport http",
            "Caddy binds plainly where it is set, and has no other way to choose the source. For more ports give \
             reverse_proxy several addresses of the app, or a Unix socket.",
        )),
        Program::Apache => Some(without(
            "Apache: take ProxySourceAddress out",
            "mod_proxy binds plainly where it is set. For more ports use a balancer with several addresses of the \
             app, or a Unix socket.",
        )),
        Program::HaProxy => Some(without(
            "HAProxy: name the source without ports",
            "`source ADDRESS:LOW-HIGH` binds ports by number, which HAProxy chooses itself; `source ADDRESS` leaves \
             the port to connect(2) and shares it. Where the range of ports is on purpose, choose one outside \
             net.ipv4.ip_local_port_range.",
        )),
        Program::Nginx => Some(without(
            "nginx: name the source in proxy_bind without a port",
            "proxy_bind with an address leaves the port to connect(2) and shares it; with `$remote_addr:$remote_port` \
             or another port, it binds that one.",
        )),
        Program::Node => Some(without(
            "Node: leave out localAddress and localPort",
            "Node binds plainly where they are set, and has no option for anything else. Connect to several addresses \
             instead, or over a Unix socket (path).",
        )),
        Program::Python => Some(python()),
        Program::Lasthop | Program::Traefik | Program::Java | Program::Other => None,
    }
}

fn go() -> Remedy {
    Remedy {
        title: "Go: set IP_BIND_ADDRESS_NO_PORT where net.Dialer has a LocalAddr".to_owned(),
        steps: vec![
            lines(
                "where the net.Dialer is made, with LocalAddr as it is (imports syscall and golang.org/x/sys/unix)",
                [
                    "dialer.Control = func(_, _ string, c syscall.RawConn) error {",
                    "    var failed error",
                    "    err := c.Control(func(fd uintptr) {",
                    "        failed = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)",
                    "    })",
                    "    if err != nil {",
                    "        return err",
                    "    }",
                    "    return failed",
                    "}",
                ],
            ),
            words("Or leave LocalAddr out: then connect(2) chooses both, and shares the port."),
        ],
        undo: vec!["take the lines out again".to_owned()],
        risk: None,
    }
}

fn envoy() -> Remedy {
    Remedy {
        title: "Envoy: set IP_BIND_ADDRESS_NO_PORT beside source_address".to_owned(),
        steps: vec![lines(
            "the cluster, in upstream_bind_config",
            [
                "socket_options:",
                "  - description: IP_BIND_ADDRESS_NO_PORT",
                "    level: 0",
                "    name: 24",
                "    int_value: 1",
                "    state: STATE_PREBIND",
            ],
        )],
        undo: vec!["take the lines out again".to_owned()],
        risk: None,
    }
}

fn python() -> Remedy {
    Remedy {
        title: "Python: set IP_BIND_ADDRESS_NO_PORT where a source address is chosen".to_owned(),
        steps: vec![
            lines(
                "before the socket's bind(), in a program of your own",
                ["sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT"],
            ),
            words(
                "Or leave out source_address (http.client, urllib3) and local_addr (asyncio, aiohttp), which bind \
                 plainly.",
            ),
        ],
        undo: vec!["take the line out again".to_owned()],
        risk: None,
    }
}

fn in_general() -> Remedy {
    Remedy {
        title: "Set IP_BIND_ADDRESS_NO_PORT before bind(2), in whatever program binds".to_owned(),
        steps: vec![words(
            "setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT (24), 1), then bind(2) with the address and port 0, \
             then connect(2): the port is chosen last and shared with all that lead elsewhere. A port that a program \
             needs by its number belongs outside net.ipv4.ip_local_port_range.",
        )],
        undo: vec!["leave the option out again".to_owned()],
        risk: None,
    }
}

fn close_unused() -> Remedy {
    Remedy {
        title: "Close sockets that are bound and not used".to_owned(),
        steps: vec![words(
            "Some sockets are bound and neither listen nor are connected. A program that reserves ports so can take \
             them outside the range; one that forgets to close them leaks descriptors as well.",
        )],
        undo: vec!["nothing to take back".to_owned()],
        risk: None,
    }
}

fn without(title: &str, text: &str) -> Remedy {
    Remedy {
        title: title.to_owned(),
        steps: vec![words(text)],
        undo: vec!["put the line back".to_owned()],
        risk: None,
    }
}
