//! Whose forwarding fields are believed: ranges of addresses, and peers on Unix listeners.
//!
//! Membership only. What is done with the fields of a trusted peer is decided where requests are rewritten.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

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

/// One address or one block of addresses in CIDR notation (RFC 4632, RFC 4291 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpRange {
    network: IpAddr,
    prefix: u8,
}

impl IpRange {
    /// Whether the address lies in the range. Families never match each other.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()) & mask_v4(self.prefix) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()) & mask_v6(self.prefix) == 0
            }
            _ => false,
        }
    }
}

/// The ones of an IPv4 prefix. A shift by all 32 bits is what `checked_shl` is there for.
fn mask_v4(prefix: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0)
}

/// The ones of an IPv6 prefix.
fn mask_v6(prefix: u8) -> u128 {
    u128::MAX
        .checked_shl(128 - u32::from(prefix.min(128)))
        .unwrap_or(0)
}

/// Why a text is not a range of addresses.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IpRangeError {
    /// Neither an address nor an address with a prefix.
    #[error("is neither an IP address nor a CIDR range")]
    Address,
    /// The part behind the slash is not a length that the family has.
    #[error("has no prefix length of 0 to {0}")]
    Prefix(u8),
    /// Bits behind the prefix are set; the range that contains the address is given.
    #[error("has bits behind its prefix; the range is {0}")]
    HostBits(IpRange),
}

impl FromStr for IpRange {
    type Err = IpRangeError;

    fn from_str(text: &str) -> Result<Self, IpRangeError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| IpRangeError::Address)?;
        let prefix_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => prefix_max,
            // `u8::from_str` would take a plus sign.
            Some(digits) if !digits.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(IpRangeError::Prefix(prefix_max));
            }
            Some(digits) => match digits.parse() {
                Ok(prefix) if prefix <= prefix_max => prefix,
                _ => return Err(IpRangeError::Prefix(prefix_max)),
            },
        };
        let network = match address {
            IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & mask_v4(prefix))),
            IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & mask_v6(prefix))),
        };
        let range = Self { network, prefix };
        if network != address {
            return Err(IpRangeError::HostBits(range));
        }
        Ok(range)
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let single = if self.network.is_ipv4() { 32 } else { 128 };
        if self.prefix == single {
            write!(f, "{}", self.network)
        } else {
            write!(f, "{}/{}", self.network, self.prefix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> IpRange {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_contains_its_first_and_last_address_and_not_its_neighbours() {
        let net = range("10.1.0.0/16");
        for inside in ["10.1.0.0", "10.1.255.255"] {
            assert!(net.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["10.0.255.255", "10.2.0.0", "::ffff:10.1.0.0"] {
            assert!(!net.contains(outside.parse().unwrap()), "{outside}");
        }
        let net = range("fd00::/8");
        assert!(net.contains("fdff::1".parse().unwrap()));
        assert!(!net.contains("fe00::1".parse().unwrap()));
    }

    #[test]
    fn the_ends_of_the_prefix_scale_work() {
        assert!(range("0.0.0.0/0").contains("203.0.113.9".parse().unwrap()));
        assert!(range("::/0").contains("2001:db8::1".parse().unwrap()));
        assert!(!range("::/0").contains("203.0.113.9".parse().unwrap()));
        assert!(range("192.0.2.7").contains("192.0.2.7".parse().unwrap()));
        assert!(!range("192.0.2.7").contains("192.0.2.6".parse().unwrap()));
    }

    #[test]
    fn an_ipv4_peer_on_an_ipv6_socket_is_still_that_peer() {
        let trusted = TrustedProxies::new(vec![range("192.0.2.0/24")], false);
        assert!(trusted.contains("::ffff:192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn a_range_that_is_none_says_why() {
        let refuse = |text: &str| text.parse::<IpRange>().unwrap_err();
        assert_eq!(refuse("localhost"), IpRangeError::Address);
        assert_eq!(refuse("10.0.0/8"), IpRangeError::Address);
        assert_eq!(refuse("10.0.0.0/33"), IpRangeError::Prefix(32));
        assert_eq!(refuse("10.0.0.0/+8"), IpRangeError::Prefix(32));
        assert_eq!(refuse("::/"), IpRangeError::Prefix(128));
        assert_eq!(
            refuse("10.0.0.1/8"),
            IpRangeError::HostBits(range("10.0.0.0/8"))
        );
    }

    #[test]
    fn trusting_nobody_is_the_default() {
        let nobody = TrustedProxies::default();
        assert!(nobody.is_empty() && !nobody.trusts_unix());
        assert!(!nobody.contains("127.0.0.1".parse().unwrap()));
        assert_eq!(nobody.to_string(), "nobody");
    }
}
