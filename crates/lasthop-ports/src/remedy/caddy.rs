//! What to write into a Caddyfile.
//!
//! Source: Caddy's documentation of `reverse_proxy` (upstream addresses, the `http` transport).

use super::generic::{AS_BEFORE, SOCKET, let_app_listen};
use super::paste::{lines, shell};
use super::{Plight, Ways};
use crate::finding::{Remedy, Step};

/// Idle connections that Caddy keeps for each upstream; its default is 32.
const IDLE: u32 = 256;

pub(super) const WAYS: Ways = Ways {
    unix,
    addresses,
    fewer,
};

fn unix(plight: &Plight<'_>) -> Option<Remedy> {
    plight.is_local().then(|| Remedy {
        title: "Caddy: connect over a Unix socket, which has no ports to run out of".to_owned(),
        steps: vec![
            let_app_listen(plight),
            lines(
                format!("Caddyfile, instead of reverse_proxy {}", plight.target()),
                [format!("reverse_proxy unix/{SOCKET}")],
            ),
            reload(),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: Some(
            "the user that Caddy runs as needs permission to write to the socket".to_owned(),
        ),
    })
}

fn addresses(plight: &Plight<'_>) -> Option<Remedy> {
    let targets = plight.targets()?;
    let list: Vec<String> = targets.iter().map(ToString::to_string).collect();
    Some(Remedy {
        title: format!(
            "Caddy: connect to {} addresses of the app, which listens on all of them",
            list.len()
        ),
        steps: vec![
            lines(
                format!("Caddyfile, instead of reverse_proxy {}", plight.target()),
                [format!("reverse_proxy {}", list.join(" "))],
            ),
            reload(),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: Some(
            "not with local_address instead: it binds in a way that takes each port from the whole host".to_owned(),
        ),
    })
}

fn fewer(plight: &Plight<'_>) -> Option<Remedy> {
    plight.churns().then(|| Remedy {
        title: "Caddy: keep more connections to the app and use them again".to_owned(),
        steps: vec![
            lines(
                format!("Caddyfile, in reverse_proxy {} {{}}", plight.target()),
                [
                    "transport http {".to_owned(),
                    format!("    keepalive_idle_conns_per_host {IDLE}"),
                    "}".to_owned(),
                ],
            ),
            reload(),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: None,
    })
}

fn reload() -> Step {
    shell(["caddy reload --config /etc/caddy/Caddyfile"])
}
