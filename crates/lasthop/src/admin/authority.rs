//! By which names the admin address may be called: what stands between its pages and any web site.
//!
//! A web site can make its own name resolve to 127.0.0.1 and then read what its visitors' hosts serve there (DNS
//! rebinding). The browser still sends that name in `Host`, so a name that is not ours is refused. An IP literal cannot
//! be rebound, and `localhost` is nobody else's name.

use std::net::{IpAddr, Ipv6Addr};

/// Which names are answered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// Any: a Unix socket is reached by no browser.
    Any,
    /// IP literals, `localhost` and these, in lower case.
    Local(Vec<String>),
}

impl Names {
    /// Whether `authority` (RFC 3986 section 3.2: a host, and a port that does not matter) is one of ours.
    pub(super) fn include(&self, authority: &str) -> bool {
        let Self::Local(names) = self else {
            return true;
        };
        let Some(host) = host_of(authority) else {
            return false;
        };
        let literal = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').map(str::parse::<Ipv6Addr>),
            None => return is_ipv4(host) || is_named(host, names),
        };
        matches!(literal, Some(Ok(_)))
    }
}

/// Without brackets an IPv6 address would be taken for a name and a port.
fn is_ipv4(host: &str) -> bool {
    matches!(host.parse::<IpAddr>(), Ok(IpAddr::V4(_)))
}

fn is_named(host: &str, names: &[String]) -> bool {
    // The name of the root at its end changes nothing.
    let host = host.strip_suffix('.').unwrap_or(host);
    let ours = names.iter().map(String::as_str);
    ours.chain(["localhost"])
        .any(|name| host.eq_ignore_ascii_case(name))
}

/// The host without its port; `None` where what follows the host is no port.
fn host_of(authority: &str) -> Option<&str> {
    let end = match authority.strip_prefix('[') {
        Some(_) => authority.find(']')? + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(end);
    let port = match rest {
        "" => "",
        _ => rest.strip_prefix(':')?,
    };
    port.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_answers_to_literals_localhost_and_the_names_it_was_given() {
        let names = Names::Local(vec!["metrics.internal".to_owned(), "[::2]".to_owned()]);
        for (authority, ours) in [
            ("127.0.0.1", true),
            ("127.0.0.1:9180", true),
            ("192.0.2.7:80", true),
            ("[::1]", true),
            ("[::1]:9180", true),
            ("[2001:db8::1]:", true),
            ("localhost", true),
            ("LocalHost:9180", true),
            ("localhost.:9180", true),
            ("metrics.internal", true),
            ("Metrics.Internal:9180", true),
            ("", false),
            (":9180", false),
            ("evil.example", false),
            ("evil.example:9180", false),
            ("a.metrics.internal", false),
            ("metrics.internal.evil.example", false),
            ("a.localhost", false),
            ("localhost..", false),
            ("127.0.0.1.evil.example", false),
            ("127.0.0.1:9180x", false),
            ("127.0.0.1:9180:1", false),
            ("127.1", false),
            ("0x7f.0.0.1", false),
            ("user@127.0.0.1", false),
            ("::1", false),
            ("[::1", false),
            ("[::1]x", false),
            ("[127.0.0.1]", false),
            ("[evil.example]", false),
            ("[fe80::1%25eth0]", false),
            (" localhost", false),
        ] {
            assert_eq!(names.include(authority), ours, "{authority:?}");
        }
    }

    #[test]
    fn a_unix_socket_answers_to_any_name() {
        for authority in ["", "app", "evil.example:1", "///"] {
            assert!(Names::Any.include(authority), "{authority:?}");
        }
    }
}
