//! Several source addresses for one app, as each rival has them configured by hand.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use lasthop_kernel::sysctl;

use crate::upstream::Upstream;

/// Ports of one address where the range cannot be read: the default range.
const PORTS_DEFAULT: u32 = 28_232;
/// Source addresses at most: the last byte of 127.1.0.x.
const SOURCES_MAX: usize = 250;

/// The source addresses for `connections`: as many as keep each below half of its ports, up to where the kernel finds one
/// at once. They are 127.1.0.1 and on, which nothing else here uses.
pub(crate) fn needed(connections: usize) -> Vec<Ipv4Addr> {
    let ports = sysctl::local_port_range().map_or(PORTS_DEFAULT, |range| range.len());
    // Three sevenths: the shares are even only on average.
    let each = usize::try_from(ports * 3 / 7).unwrap_or(1).max(1);
    // Two at least, as the configuration is about several.
    let count = connections.div_ceil(each).clamp(2, SOURCES_MAX);
    (1..=u8::MAX)
        .take(count)
        .map(|last| Ipv4Addr::new(127, 1, 0, last))
        .collect()
}

/// A `split_clients` that chooses among the sources, by a number that is new for each request; nothing without any.
pub(super) fn of_nginx(sources: &[Ipv4Addr]) -> String {
    let Some((last, others)) = sources.split_last() else {
        return String::new();
    };
    let mut text = String::from("\n    split_clients \"$request_id\" $source {\n");
    // In hundredths of a percent, which is as exact as nginx reads them.
    let part = 10_000 / sources.len();
    for source in others {
        let _ = writeln!(text, "        {}.{:02}% {source};", part / 100, part % 100); // cannot fail, as below
    }
    let _ = writeln!(text, "        * {last};\n    }}");
    text
}

pub(super) fn bind_of_nginx(sources: &[Ipv4Addr]) -> String {
    if sources.is_empty() {
        String::new()
    } else {
        "proxy_bind $source;".to_owned()
    }
}

/// One server line for each source, which HAProxy uses in turn; one line without any.
pub(super) fn servers_of_haproxy(upstream: &Upstream, sources: &[Ipv4Addr]) -> String {
    let address = upstream.at_form();
    if sources.is_empty() {
        return format!("    server app {address}");
    }
    let mut text = String::new();
    for (index, source) in sources.iter().enumerate() {
        let _ = writeln!(text, "    server app{index} {address} source {source}");
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_gets_a_share_for_each_source() {
        let sources = [1, 2, 3].map(|last| Ipv4Addr::new(127, 1, 0, last));
        let text = of_nginx(&sources);
        assert!(text.contains("33.33% 127.1.0.1;"), "{text}");
        assert!(text.contains("33.33% 127.1.0.2;"), "{text}");
        assert!(text.contains("* 127.1.0.3;"), "{text}");
        assert_eq!(of_nginx(&[]), "");
    }

    #[test]
    fn no_source_has_more_than_half_of_its_ports_to_give() {
        let sources = needed(100_000);
        let ports = sysctl::local_port_range().unwrap().len() as usize;
        assert!(100_000 / sources.len() < ports / 2);
        assert_eq!(needed(1).len(), 2);
    }

    #[test]
    fn haproxy_gets_a_server_for_each_source() {
        let upstream = Upstream::Tcp("127.0.0.1:3000".parse().unwrap());
        assert_eq!(
            servers_of_haproxy(&upstream, &[]),
            "    server app 127.0.0.1:3000"
        );
        let sources = [1, 2].map(|last| Ipv4Addr::new(127, 1, 0, last));
        let text = servers_of_haproxy(&upstream, &sources);
        assert_eq!(text.lines().count(), 2);
        assert!(text.ends_with("source 127.1.0.2"), "{text}");
    }
}
