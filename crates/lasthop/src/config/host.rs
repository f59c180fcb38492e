//! Which hosts a route is for, as an operator writes it.
//!
//! Parsing and printing only: how the host of a request is compared with it is decided where routes are chosen.

use std::fmt;
use std::str::FromStr;

use super::address::{AddressError, malformed};

/// Which hosts a route is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// One host, in lower case, without a port. An IPv6 address keeps its brackets.
    Exact(String),
    /// `*.example.com`: every host below this suffix, at any depth. Lower case, begins with a dot.
    Wildcard(String),
}

const HOST: &str = "a host";

impl FromStr for HostPattern {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse_host(text).map_err(|why| malformed(text, HOST, why))
    }
}

fn parse_host(text: &str) -> Result<HostPattern, String> {
    if text == "*" {
        return Err("leave `host` out for a route that takes any".to_owned());
    }
    if let Some(inner) = text.strip_prefix('[') {
        return match inner
            .strip_suffix(']')
            .map(str::parse::<std::net::Ipv6Addr>)
        {
            Some(Ok(address)) => Ok(HostPattern::Exact(format!("[{address}]"))),
            _ => Err("an IPv6 address in brackets, without a port, was expected".to_owned()),
        };
    }
    if text.contains("://") || text.contains('/') {
        return Err("scheme and path do not belong to it".to_owned());
    }
    if text.contains(':') {
        return Err("a host is compared without its port".to_owned());
    }
    if !text.is_ascii() {
        return Err("write the ASCII form of the name (xn--…)".to_owned());
    }
    let (wildcard, name) = match text.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, text),
    };
    if name.contains('*') {
        return Err("`*` may only stand for the whole first part, as in *.example.com".to_owned());
    }
    if name.len() > 253 {
        return Err("a name has at most 253 bytes".to_owned());
    }
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    for label in name.split('.') {
        if label.is_empty() || !label.bytes().all(known) {
            return Err(
                "write a name such as example.com, *.example.com, or an IP address".to_owned(),
            );
        }
    }
    let name = name.to_ascii_lowercase();
    Ok(if wildcard {
        HostPattern::Wildcard(format!(".{name}"))
    } else {
        HostPattern::Exact(name)
    })
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) => write!(f, "*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_compared_in_lower_case_and_without_a_port() {
        let host = |text: &str| text.parse::<HostPattern>();
        assert_eq!(
            host("Example.COM"),
            Ok(HostPattern::Exact("example.com".to_owned()))
        );
        assert_eq!(
            host("*.Example.com"),
            Ok(HostPattern::Wildcard(".example.com".to_owned()))
        );
        assert_eq!(
            host("192.0.2.1"),
            Ok(HostPattern::Exact("192.0.2.1".to_owned()))
        );
        assert_eq!(host("[::0:1]"), Ok(HostPattern::Exact("[::1]".to_owned())));
        for text in [
            "",
            "*",
            "*.",
            "a.*.b",
            "a..b",
            "example.com.",
            "a:80",
            "http://a",
            "a/b",
            "a b",
            "caf\u{e9}",
            "[::1]:80",
            "[x]",
        ] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_host_is_read_again_as_printed(text in "(\\*\\.)?[a-zA-Z0-9_-]{1,8}(\\.[a-zA-Z0-9_-]{1,8}){0,3}") {
            let host: HostPattern = text.parse().unwrap();
            prop_assert_eq!(host.to_string().parse(), Ok(host));
        }

        #[test]
        fn no_text_makes_a_host_panic(text in "\\PC{0,60}|[*\\[]?[0-9a-f:.*\\]/-]{0,30}") {
            let _ = text.parse::<HostPattern>();
        }
    }
}
