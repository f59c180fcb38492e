//! Why an app on TCP cannot be connected to.

use super::{backlog_limit, common};
use crate::connect::ConnectFault;
use crate::sysctl;
use lasthop_ports::Capacity;
use std::net::{IpAddr, SocketAddr};

/// One sentence or two on why connecting to `target` failed with `fault`, and what would help. `source` is the address
/// that was bound to, if any. Reads a few files of /proc/sys.
#[must_use]
pub fn tcp(target: SocketAddr, source: Option<IpAddr>, fault: ConnectFault) -> String {
    if let Some(text) = common(fault) {
        return text;
    }
    match fault {
        ConnectFault::SourcePorts => source_ports(target, source),
        ConnectFault::SourceAddress => {
            let source =
                source.map_or_else(|| "the source address".to_owned(), |ip| ip.to_string());
            format!("{source} is not an address of this host, so no connection can come from it")
        }
        ConnectFault::Refused => format!(
            "nothing listens on {target}: the app is not running, or listens on another address or port"
        ),
        ConnectFault::TimedOut => format!(
            "{target} did not answer: the app does not accept and its backlog is full{}, or a firewall drops the \
             packets",
            backlog_limit()
        ),
        ConnectFault::Unreachable => format!(
            "there is no route to {}: its network or container is down, or the address is wrong",
            target.ip()
        ),
        ConnectFault::Permission => format!(
            "this host forbids connecting to {target}: a firewall rule that rejects, or a security module (SELinux: \
             setsebool httpd_can_network_connect)"
        ),
        _ => format!("connecting to {target} failed for a reason of its own"),
    }
}

fn source_ports(target: SocketAddr, source: Option<IpAddr>) -> String {
    let from = source.map_or_else(String::new, |ip| format!(" from {ip}"));
    let head = format!("every source port{from} to {target} is in use or held by TIME_WAIT");
    let advice = "connect to the app over a Unix socket, which needs no ports, spread over more source addresses, or \
                  widen net.ipv4.ip_local_port_range";
    match (sysctl::local_port_range(), sysctl::reserved_ports()) {
        (Ok(range), Ok(reserved)) => format!(
            "{head}: {} (net.ipv4.ip_local_port_range, ip_local_reserved_ports); {advice}",
            Capacity::new(range, &reserved, 1)
        ),
        _ => format!("{head}; {advice}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> SocketAddr {
        "127.0.0.1:3000".parse().unwrap()
    }

    #[test]
    fn source_ports_are_explained_with_the_numbers_of_this_host() {
        let range = sysctl::local_port_range().unwrap();
        let text = tcp(
            target(),
            Some("127.0.0.1".parse().unwrap()),
            ConnectFault::SourcePorts,
        );
        assert!(
            text.starts_with("every source port from 127.0.0.1 to 127.0.0.1:3000 is in use"),
            "{text}"
        );
        assert!(text.contains(&range.to_string()), "{text}");
        assert!(text.contains("net.ipv4.ip_local_port_range"), "{text}");
    }

    #[test]
    fn every_fault_has_words_of_its_own() {
        let faults = [
            ConnectFault::Refused,
            ConnectFault::Permission,
            ConnectFault::SourcePorts,
            ConnectFault::SourceAddress,
            ConnectFault::Descriptors,
            ConnectFault::Memory,
            ConnectFault::TimedOut,
            ConnectFault::Unreachable,
            ConnectFault::Other,
        ];
        let mut texts = faults.map(|fault| tcp(target(), None, fault)).to_vec();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), faults.len());
    }
}
