//! What to write into an Envoy cluster.
//!
//! Sources: config.core.v3.Address (`pipe`), config.core.v3.BindConfig and SocketOption, config.cluster.v3.Cluster
//! (`typed_extension_protocol_options`), extensions.upstreams.http.v3.HttpProtocolOptions.

use super::generic::{AS_BEFORE, SOCKET, let_app_listen};
use super::paste::{lines, words};
use super::{Plight, Ways};
use crate::finding::{Remedy, Step};

const PLACE: &str = "the cluster, in load_assignment.endpoints";

pub(super) const WAYS: Ways = Ways {
    unix,
    addresses,
    fewer,
};

fn unix(plight: &Plight<'_>) -> Option<Remedy> {
    plight.is_local().then(|| Remedy {
        title: "Envoy: connect over a Unix socket, which has no ports to run out of".to_owned(),
        steps: vec![
            let_app_listen(plight),
            lines(
                PLACE,
                [
                    "- lb_endpoints:".to_owned(),
                    "    - endpoint:".to_owned(),
                    "        address:".to_owned(),
                    format!("          pipe: {{ path: {SOCKET} }}"),
                ],
            ),
            load(),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: Some(
            "the user that Envoy runs as needs permission to write to the socket, and a container has to see its \
             directory"
                .to_owned(),
        ),
    })
}

fn addresses(plight: &Plight<'_>) -> Option<Remedy> {
    if let Some(targets) = plight.targets() {
        let mut endpoints = vec!["- lb_endpoints:".to_owned()];
        for target in &targets {
            endpoints.push(format!(
                "    - endpoint: {{ address: {{ socket_address: {{ address: \"{}\", port_value: {} }} }} }}",
                target.ip(),
                target.port()
            ));
        }
        return Some(Remedy {
            title: format!(
                "Envoy: connect to {} addresses of the app, which listens on all of them",
                targets.len()
            ),
            steps: vec![lines(PLACE, endpoints), load()],
            undo: vec![AS_BEFORE.to_owned()],
            risk: None,
        });
    }
    let source = *plight.sources()?.first()?;
    Some(Remedy {
        title: "Envoy: a second cluster that connects from an address of its own, with half of the weight".to_owned(),
        steps: vec![
            lines(
                "the second cluster",
                [
                    "upstream_bind_config:".to_owned(),
                    format!("  source_address: {{ address: \"{source}\", port_value: 0 }}"),
                    "  socket_options:".to_owned(),
                    "    - description: IP_BIND_ADDRESS_NO_PORT".to_owned(),
                    "      level: 0".to_owned(),
                    "      name: 24".to_owned(),
                    "      int_value: 1".to_owned(),
                    "      state: STATE_PREBIND".to_owned(),
                ],
            ),
            words("Then share the route out between the two clusters with weighted_clusters."),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: Some(format!(
            "without the socket option each connection takes its port from the whole host; the app sees {source} as \
             its peer"
        )),
    })
}

fn fewer(plight: &Plight<'_>) -> Option<Remedy> {
    plight.churns().then(|| Remedy {
        title: "Envoy: let connections to the app live longer".to_owned(),
        steps: vec![words(
            "Envoy keeps connections by itself. Look in the cluster's HttpProtocolOptions for what ends them: \
             max_requests_per_connection, idle_timeout and max_connection_duration in common_http_protocol_options; \
             and in the app for answers with Connection: close. An app that speaks HTTP/2 needs a few connections \
             only: explicit_http_config with http2_protocol_options.",
        )],
        undo: vec![AS_BEFORE.to_owned()],
        risk: None,
    })
}

fn load() -> Step {
    words("Then start Envoy anew, or hand the cluster out over CDS: a bootstrap file is read once.")
}
