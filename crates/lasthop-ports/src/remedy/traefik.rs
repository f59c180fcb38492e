//! What to write into the configuration of Traefik. It has no Unix sockets towards apps.
//!
//! Source: Traefik's documentation of `serversTransport` and of services in the file provider.

use super::generic::AS_BEFORE;
use super::paste::lines;
use super::{Plight, Ways};
use crate::finding::Remedy;

/// Idle connections that Traefik keeps for each server.
const IDLE: u32 = 256;

pub(super) const WAYS: Ways = Ways {
    unix: |_| None,
    addresses,
    fewer,
};

fn addresses(plight: &Plight<'_>) -> Option<Remedy> {
    let targets = plight.targets()?;
    let mut service = vec![
        "http:".to_owned(),
        "  services:".to_owned(),
        "    app:".to_owned(),
        "      loadBalancer:".to_owned(),
        "        servers:".to_owned(),
    ];
    service.extend(
        targets
            .iter()
            .map(|target| format!("          - url: \"http://{target}\"")),
    );
    Some(Remedy {
        title: format!(
            "Traefik: connect to {} addresses of the app, which listens on all of them",
            targets.len()
        ),
        steps: vec![lines(
            format!(
                "the dynamic configuration, in the service with {}",
                plight.target()
            ),
            service,
        )],
        undo: vec![AS_BEFORE.to_owned()],
        risk: None,
    })
}

fn fewer(plight: &Plight<'_>) -> Option<Remedy> {
    plight.churns().then(|| Remedy {
        title: "Traefik: keep more connections to the app and use them again".to_owned(),
        steps: vec![lines(
            "the static configuration (traefik.yml), which takes a restart",
            [
                "serversTransport:".to_owned(),
                format!("  maxIdleConnsPerHost: {IDLE}"),
            ],
        )],
        undo: vec!["put back the lines as they were and restart Traefik".to_owned()],
        risk: None,
    })
}
