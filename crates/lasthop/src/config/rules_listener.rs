//! The rules for `[[listener]]`: each for itself, against each other, and against the targets.

use std::net::{IpAddr, Ipv6Addr};

use toml::Spanned;

use super::defaults::{
    HEADER_SIZE_CEILING, HEADER_SIZE_MIN, HEADERS_MAX_CEILING, LISTENER_CONNECTIONS_CEILING,
    LISTENERS_MAX,
};
use super::error::Fault;
use super::rules::{at_most, count, duplicate_name, name, parsed, size, span_or, time, word};
use super::spelling::{File, ListenerTable};
use super::{IpRange, ListenAddress, Listener, Target};

/// All listeners; at least one, no two whose addresses overlap or whose names are the same.
pub(super) fn listeners(tables: &[Spanned<ListenerTable>]) -> Result<Vec<Listener>, Fault> {
    if tables.is_empty() {
        return Err(
            Fault::missing("no [[listener]]: there is nothing for clients to connect to")
                .advise("[[listener]]\naddress = \"127.0.0.1:8080\""),
        );
    }
    at_most(tables, LISTENERS_MAX, "listeners")?;
    let mut listeners: Vec<Listener> = Vec::with_capacity(tables.len());
    for table in tables {
        let new = listener(table)?;
        for (earlier, at) in listeners.iter().zip(tables) {
            if let Some(collision) = collision(&new.address, &earlier.address) {
                let [a, b] = [&new.address, &earlier.address].map(ListenAddress::label);
                let why = match collision {
                    Collision::Same => format!("two listeners on {a}"),
                    Collision::Overlap => format!("{a} and the listener on {b} overlap"),
                };
                let span = span_or(&table.get_ref().address, table);
                let other = span_or(&at.get_ref().address, at);
                return Err(Fault::value(span, why).other(other));
            }
            if new.name == earlier.name {
                let span = span_or(&table.get_ref().name, table);
                let other = span_or(&at.get_ref().name, at);
                return Err(duplicate_name("listeners", &new.name, span).other(other));
            }
        }
        listeners.push(new);
    }
    Ok(listeners)
}

fn listener(table: &Spanned<ListenerTable>) -> Result<Listener, Fault> {
    let span = table.span();
    let table = table.get_ref();
    if let Some(protocol) = &table.protocol {
        word(protocol, ("listener", "protocol"), &[("http", ())])?;
    }
    let Some(address) = &table.address else {
        return Err(Fault::at(span, "[[listener]] without an `address`").advise(
            "address = \"127.0.0.1:8080\", \"[::1]:8080\" or \"unix:/run/lasthop/web.sock\"",
        ));
    };
    let defaults = Listener::new(parsed(address)?);
    let header_size = HEADER_SIZE_MIN..=HEADER_SIZE_CEILING;
    Ok(Listener {
        name: name(&table.name)?.unwrap_or(defaults.name),
        address: defaults.address,
        max_connections: count(
            &table.max_connections,
            defaults.max_connections,
            0..=LISTENER_CONNECTIONS_CEILING,
        )?,
        header_timeout: time(&table.header_timeout, defaults.header_timeout)?,
        idle_timeout: time(&table.idle_timeout, defaults.idle_timeout)?,
        body_timeout: time(&table.body_timeout, defaults.body_timeout)?,
        header_size_max: size(
            &table.header_size_max,
            defaults.header_size_max,
            header_size,
        )?,
        headers_max: count(
            &table.headers_max,
            defaults.headers_max,
            1..=HEADERS_MAX_CEILING,
        )?,
    })
}

/// How two addresses to listen on are in each other's way.
pub(super) enum Collision {
    /// They are the same.
    Same,
    /// One takes in the other.
    Overlap,
}

/// Why two addresses cannot both be had. Every address of a family takes in each of its addresses, and none of the other
/// family: IPv6 listeners take IPv6 alone (ipv6(7), `IPV6_V6ONLY`). Port 0 is a different port each time.
pub(super) fn collision(a: &ListenAddress, b: &ListenAddress) -> Option<Collision> {
    match (a, b) {
        (ListenAddress::Tcp(a), ListenAddress::Tcp(b)) => {
            let port = a.port() == b.port() && a.port() != 0;
            let every = a.ip().is_unspecified() || b.ip().is_unspecified();
            match port {
                true if a == b => Some(Collision::Same),
                true if every && a.is_ipv4() == b.is_ipv4() => Some(Collision::Overlap),
                _ => None,
            }
        }
        (ListenAddress::Unix { path: a, .. }, ListenAddress::Unix { path: b, .. }) => {
            (a == b).then_some(Collision::Same)
        }
        _ => None,
    }
}

/// A target that is one of our own listeners would be asked by us, which asks us, until the descriptors are gone.
pub(super) fn refuse_loops(file: &File, listeners: &[Listener]) -> Result<(), Fault> {
    let targets = file
        .upstream
        .iter()
        .filter_map(|table| table.get_ref().targets.as_ref());
    for target in targets.flat_map(|targets| &targets.get_ref().0) {
        let parsed: Target = parsed(target)?;
        if let Some(listener) = listeners.iter().find(|l| reaches(&parsed, &l.address)) {
            let label = listener.address.label();
            return Err(Fault::value(
                target.span(),
                format_args!(
                    "{parsed} is reached by the listener on {label}: requests would go in circles"
                ),
            )
            .advise("give the address of the application"));
        }
    }
    Ok(())
}

/// Whether a connection to the target, or to one address of it, arrives at the listener. A listener on every address is on
/// the loopback ones; which other addresses the host has is not for this file to know.
pub(super) fn reaches(target: &Target, listener: &ListenAddress) -> bool {
    match (target, listener) {
        (Target::Tcp(_) | Target::Spread(_), ListenAddress::Tcp(listener)) => {
            let Some((network, port)) = target.tcp() else {
                return false;
            };
            let ip = listener.ip();
            let taken = match ip.is_unspecified() {
                true if ip.is_ipv4() => IpRange::LOOPBACK_V4,
                true => IpRange::from(IpAddr::V6(Ipv6Addr::LOCALHOST)),
                false => IpRange::from(ip),
            };
            port == listener.port() && network.overlaps(&taken)
        }
        (Target::Unix(target), ListenAddress::Unix { path, .. }) => target == path,
        _ => false,
    }
}
