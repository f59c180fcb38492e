//! `app-exposed`: an app can be reached from the network, and at this moment only programs on this host use it.
//!
//! A note and never more: it hurts nobody as it is, a firewall may close the port already, and one moment does not show
//! who comes at night. It is inferred, and says so.

use super::phrase::{counted, list, named};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::remedy::exposure;
use crate::snapshot::{Listener, Owner, Program, Snapshot};

/// Connections from this host from which on it looks like an app behind a proxy, or a database behind an app: a pool,
/// and not somebody who tries it with curl.
const LOCAL_CLIENTS_MIN: u32 = 2;

/// Ports that are open to the network on purpose: SSH, HTTP and HTTPS.
const PUBLIC_PORTS: [u16; 3] = [22, 80, 443];

/// Findings of this kind, the busiest apps first: a host with a hundred such services needs no page for each.
const FINDINGS_MAX: usize = 8;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    let mut exposed: Vec<&Listener> = snapshot
        .listeners
        .iter()
        .filter(|listener| is_exposed(listener))
        .collect();
    exposed.sort_by_key(|listener| {
        (
            std::cmp::Reverse(listener.local_clients),
            listener.address,
            listener.owners.is_empty(),
        )
    });
    // Several listeners share an address with SO_REUSEPORT.
    exposed.dedup_by_key(|listener| listener.address);
    let reached: Vec<&Listener> = exposed
        .into_iter()
        .filter(|listener| {
            // One of them may have all the clients from outside.
            snapshot
                .listeners
                .iter()
                .filter(|other| other.address == listener.address)
                .all(is_exposed)
        })
        .collect();
    reached
        .into_iter()
        .take(FINDINGS_MAX)
        .map(|listener| finding(snapshot, listener))
        .collect()
}

fn is_exposed(listener: &Listener) -> bool {
    let ip = listener.address.ip().to_canonical();
    !ip.is_loopback()
        && listener.local_clients >= LOCAL_CLIENTS_MIN
        && listener.remote_clients == 0
        && !PUBLIC_PORTS.contains(&listener.address.port())
        && !listener.owners.iter().any(is_proxy)
}

/// A proxy is there for the network.
const fn is_proxy(owner: &Owner) -> bool {
    matches!(
        owner.program,
        Program::Lasthop
            | Program::Nginx
            | Program::HaProxy
            | Program::Envoy
            | Program::Caddy
            | Program::Apache
            | Program::Traefik
    )
}

fn finding(snapshot: &Snapshot, listener: &Listener) -> Finding {
    let address = listener.address;
    let who = listener.owners.first().map_or_else(
        || address.to_string(),
        |owner| format!("{address}, {}", named(owner)),
    );
    let mut clients: Vec<String> = snapshot
        .groups
        .iter()
        .filter(|group| group.is_local && listener.takes(group.key.destination))
        .flat_map(|group| &group.owners)
        .map(named)
        .collect();
    clients.sort();
    clients.dedup();
    let mut evidence = vec![
        if listener.is_wildcard() {
            "it listens on all addresses of this host".to_owned()
        } else {
            format!("it listens on {}, which is not a loopback address", address.ip())
        },
        "inferred from this moment alone: who connected before or will is not known, nor whether a firewall closes the port"
            .to_owned(),
    ];
    if !clients.is_empty() {
        evidence.insert(1, format!("connected to it: {}", list(&clients)));
    }
    Finding {
        code: Code::AppExposed,
        severity: Severity::Note,
        headline: format!(
            "{who}: open to the network, {} from this host and none from elsewhere",
            counted(listener.local_clients, "connection")
        ),
        subject: Subject::Listener { address },
        usage: None,
        forecast: None,
        processes: listener.owners.clone(),
        evidence,
        remedies: exposure::local_only(address, listener.owners.first(), &snapshot.namespace),
    }
}
