//! What to write into the configuration of the Apache HTTP server.
//!
//! Source: the documentation of mod_proxy (`ProxyPass` with `unix:`, `enablereuse`, balancers, `ProxySourceAddress`).

use super::generic::{AS_BEFORE, SOCKET, let_app_listen};
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
        title: "Apache: connect over a Unix socket, which has no ports to run out of".to_owned(),
        steps: vec![
            let_app_listen(plight),
            lines(
                format!("the virtual host, instead of ProxyPass to {}", plight.target()),
                [format!("ProxyPass \"/\" \"unix:{SOCKET}|http://localhost/\"")],
            ),
            reload(),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: Some(
            "the user that Apache runs as needs permission to write to the socket; the app sees Host: localhost \
             without ProxyPreserveHost On"
                .to_owned(),
        ),
    })
}

fn addresses(plight: &Plight<'_>) -> Option<Remedy> {
    let targets = plight.targets()?;
    let mut balancer = vec!["<Proxy \"balancer://app\">".to_owned()];
    balancer.extend(
        targets
            .iter()
            .map(|target| format!("    BalancerMember \"http://{target}\"")),
    );
    balancer.push("</Proxy>".to_owned());
    balancer.push("ProxyPass \"/\" \"balancer://app/\"".to_owned());
    Some(Remedy {
        title: format!(
            "Apache: connect to {} addresses of the app, which listens on all of them",
            targets.len()
        ),
        steps: vec![
            lines(
                format!("the virtual host, instead of ProxyPass to {}", plight.target()),
                balancer,
            ),
            words("It needs mod_proxy_balancer and mod_lbmethod_byrequests."),
            reload(),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: Some(
            "not with ProxySourceAddress instead: it binds in a way that takes each port from the whole host"
                .to_owned(),
        ),
    })
}

fn fewer(plight: &Plight<'_>) -> Option<Remedy> {
    plight.churns().then(|| Remedy {
        title: "Apache: keep connections to the app and use them again".to_owned(),
        steps: vec![
            lines(
                "the virtual host",
                [format!("ProxyPass \"/\" \"http://{}/\" enablereuse=on", plight.target())],
            ),
            words(
                "And take out what forbids it: disablereuse=on, and SetEnv of proxy-nokeepalive, \
                 proxy-initial-not-pooled or force-proxy-request-1.0. Each child process has a pool of its own, so \
                 the event or worker MPM needs fewer connections than prefork.",
            ),
            reload(),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: None,
    })
}

fn reload() -> Step {
    shell(["apachectl configtest && apachectl graceful"])
}
