//! What to write into a haproxy.cfg.
//!
//! Source: the configuration manual of HAProxy, sections 4.2 (`http-reuse`, `option http-keep-alive`), 5.2 (`source`)
//! and 11 (`unix@`).

use super::generic::{AS_BEFORE, NEW_PEERS, SOCKET, let_app_listen};
use super::paste::{lines, shell, words};
use super::{Plight, Ways};
use crate::finding::{Remedy, Step};

pub(super) const WAYS: Ways = Ways {
    unix,
    addresses,
    fewer,
};

fn unix(plight: &Plight<'_>) -> Option<Remedy> {
    plight.is_local().then(|| Remedy {
        title: "HAProxy: connect over a Unix socket, which has no ports to run out of".to_owned(),
        steps: vec![
            let_app_listen(plight),
            lines(
                format!("haproxy.cfg, in the backend, instead of the server line with {}", plight.target()),
                [format!("server app unix@{SOCKET}")],
            ),
            reload(),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: Some(
            "the user that HAProxy runs as needs permission to write to the socket; with chroot, the path is one \
             inside it"
                .to_owned(),
        ),
    })
}

fn addresses(plight: &Plight<'_>) -> Option<Remedy> {
    let (what, servers, risk) = if let Some(targets) = plight.targets() {
        let servers: Vec<String> = targets.iter().map(ToString::to_string).collect();
        ("connect to", servers, "")
    } else {
        let target = plight.target();
        let servers = plight
            .sources()?
            .iter()
            .map(|source| format!("{target} source {source}"))
            .collect();
        ("connect from", servers, NEW_PEERS)
    };
    let each =
        "options of the old line (check, maxconn) are for each of the new ones: divide maxconn";
    let risk = if risk.is_empty() {
        each.to_owned()
    } else {
        format!("{each}; {risk}")
    };
    Some(Remedy {
        title: format!(
            "HAProxy: {what} {} addresses, a server line for each",
            servers.len()
        ),
        steps: vec![
            lines(
                format!(
                    "haproxy.cfg, in the backend, instead of the server line with {}",
                    plight.target()
                ),
                servers
                    .iter()
                    .enumerate()
                    .map(|(index, server)| format!("server app-{} {server}", index + 1)),
            ),
            reload(),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: Some(risk),
    })
}

fn fewer(plight: &Plight<'_>) -> Option<Remedy> {
    plight.churns().then(|| Remedy {
        title: "HAProxy: keep connections to the app and use them again".to_owned(),
        steps: vec![
            lines(
                "haproxy.cfg, in the backend",
                ["option http-keep-alive", "http-reuse aggressive"],
            ),
            words(
                "And take `option httpclose` and `option http-server-close` out of defaults, frontend and backend: \
                 they close the connection to the app after each answer.",
            ),
            reload(),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: Some(
            "an app that closes idle connections just as they are used again costs that request a 502: let it keep \
             them longer than HAProxy does (pool-purge-delay, 5 s)"
                .to_owned(),
        ),
    })
}

fn reload() -> Step {
    shell(["haproxy -c -f /etc/haproxy/haproxy.cfg && systemctl reload haproxy"])
}
