//! Whose forwarding fields are believed: ranges of addresses, and peers on Unix listeners.
//!
//! Membership only. What is done with the fields of a trusted peer is decided where requests are rewritten.

use std::fmt;
use std::net::IpAddr;

use super::IpRange;

/// `trusted_proxies`: the peers whose `X-Forwarded-*` and `Forwarded` are believed and appended to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    ranges: Vec<IpRange>,
    unix: bool,
}

impl TrustedProxies {
    /// Trusts these ranges and, where `unix` says so, every peer on a Unix listener.
    pub fn new(ranges: Vec<IpRange>, unix: bool) -> Self {
        Self { ranges, unix }
    }

    /// Whether a peer at this address is trusted. An IPv4 peer on an IPv6 socket (`::ffff:a.b.c.d`) counts as IPv4.
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.ranges.iter().any(|range| range.contains(peer))
    }

    /// Whether peers on Unix listeners are trusted (the word `unix` in the list).
    pub fn trusts_unix(&self) -> bool {
        self.unix
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() && !self.unix
    }
}

impl fmt::Display for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nobody");
        }
        let mut separator = "";
        for range in &self.ranges {
            write!(f, "{separator}{range}")?;
            separator = ", ";
        }
        if self.unix {
            write!(f, "{separator}unix")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> IpRange {
        text.parse().unwrap()
    }

    #[test]
    fn an_ipv4_peer_on_an_ipv6_socket_is_still_that_peer() {
        let trusted = TrustedProxies::new(vec![range("192.0.2.0/24")], false);
        assert!(trusted.contains("::ffff:192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn trusting_nobody_is_the_default() {
        let nobody = TrustedProxies::default();
        assert!(nobody.is_empty() && !nobody.trusts_unix());
        assert!(!nobody.contains("127.0.0.1".parse().unwrap()));
        assert_eq!(nobody.to_string(), "nobody");
    }
}
