//! What to write into an nginx.conf.
//!
//! Sources: ngx_http_upstream_module (`server`, `keepalive`), ngx_http_proxy_module (`proxy_bind`, `proxy_http_version`,
//! `proxy_set_header`), ngx_http_split_clients_module.

use super::generic::{AS_BEFORE, NEW_PEERS, SOCKET, let_app_listen};
use super::paste::{lines, shell};
use super::{Plight, Ways};
use crate::finding::{Remedy, Step};

/// Idle connections that each worker keeps: enough for a busy app, and no burden.
const IDLE: u32 = 64;

pub(super) const WAYS: Ways = Ways {
    unix,
    addresses,
    fewer,
};

fn unix(plight: &Plight<'_>) -> Option<Remedy> {
    plight.is_local().then(|| Remedy {
        title: "nginx: connect over a Unix socket, which has no ports to run out of".to_owned(),
        steps: vec![
            let_app_listen(plight),
            lines(
                format!(
                    "nginx.conf, in upstream {{}}, instead of `server {};`",
                    plight.target()
                ),
                [format!("server unix:{SOCKET};")],
            ),
            reload(),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: Some(
            "the user that nginx runs as needs permission to write to the socket".to_owned(),
        ),
    })
}

fn addresses(plight: &Plight<'_>) -> Option<Remedy> {
    if let Some(targets) = plight.targets() {
        return Some(Remedy {
            title: format!(
                "nginx: connect to {} addresses of the app, which listens on all of them",
                targets.len()
            ),
            steps: vec![
                lines(
                    format!(
                        "nginx.conf, in upstream {{}}, instead of `server {};`",
                        plight.target()
                    ),
                    targets.iter().map(|target| format!("server {target};")),
                ),
                reload(),
            ],
            undo: vec![AS_BEFORE.to_owned()],
            risk: None,
        });
    }
    let sources = plight.sources()?;
    let (last, others) = sources.split_last()?;
    let part = 100 / sources.len();
    let mut table = vec!["split_clients \"$request_id\" $upstream_source {".to_owned()];
    table.extend(others.iter().map(|source| format!("    {part}% {source};")));
    table.push(format!("    *   {last};"));
    table.push("}".to_owned());
    Some(Remedy {
        title: format!("nginx: connect from {} addresses, in turn", sources.len()),
        steps: vec![
            lines("nginx.conf, in http {}", table),
            lines(
                "nginx.conf, in the location with proxy_pass",
                ["proxy_bind $upstream_source;"],
            ),
            reload(),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: Some(NEW_PEERS.to_owned()),
    })
}

fn fewer(plight: &Plight<'_>) -> Option<Remedy> {
    plight.churns().then(|| Remedy {
        title: "nginx: keep connections to the app and use them again".to_owned(),
        steps: vec![
            lines(
                "nginx.conf, in upstream {}, after the server lines",
                [format!("keepalive {IDLE};")],
            ),
            lines(
                "nginx.conf, in the location with proxy_pass, which must name that upstream",
                [
                    "proxy_http_version 1.1;",
                    "proxy_set_header Connection \"\";",
                ],
            ),
            reload(),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: Some(
            "proxy_set_header in a location takes the place of all those it inherits, so repeat them there; leave \
             locations alone that pass Upgrade on (WebSockets)"
                .to_owned(),
        ),
    })
}

fn reload() -> Step {
    shell(["nginx -t && nginx -s reload"])
}
