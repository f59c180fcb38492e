//! A block of IP addresses, as an operator writes it and as everybody here compares it.
//!
//! Arithmetic on addresses alone: which of them the host has, and which are reachable, is not known here. Also the one
//! place that says which addresses can be neither end of a TCP connection.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// One address or one block of addresses in CIDR notation (RFC 4632, RFC 4291 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpRange {
    network: IpAddr,
    prefix: u8,
}

impl IpRange {
    /// All loopback addresses of IPv4 (RFC 1122 §3.2.1.3); IPv6 has only `::1`.
    pub const LOOPBACK_V4: Self = Self::v4(Ipv4Addr::new(127, 0, 0, 0), 8);

    /// A block of IPv4 that is written in the program. `network` has no bits behind the prefix, which is at most 32.
    pub(super) const fn v4(network: Ipv4Addr, prefix: u8) -> Self {
        Self {
            network: IpAddr::V4(network),
            prefix,
        }
    }

    /// The lowest address, which for a block is most often not one to use: see [`IpRange::first`].
    pub fn network(&self) -> IpAddr {
        self.network
    }

    /// How many bits all its addresses share: 0 to 32, or to 128.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether it is of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.network.is_ipv4()
    }

    /// Whether it is one address and no block.
    pub fn is_single(&self) -> bool {
        self.prefix == self.bits()
    }

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

    /// Whether there is an address that lies in both. Of two blocks that do, one lies wholly in the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }

    /// How many addresses of it a connection may use, at least 1. Of a block the first is left out, which is the network
    /// itself (RFC 1122 §3.2.1.3) or any of its routers (RFC 4291 §2.6.1), and of IPv4 the last, a broadcast address;
    /// blocks of two addresses have neither (RFC 3021, RFC 6164).
    pub fn hosts(&self) -> u128 {
        let left_out = if self.is_ipv4() { 2 } else { 1 };
        match self.bits() - self.prefix {
            0 => 1,
            1 => 2,
            // ::/0 has one address more than the type has numbers; one less does not matter to anybody.
            bits => 1u128.checked_shl(u32::from(bits)).unwrap_or(u128::MAX) - left_out,
        }
    }

    /// The address with this number among the [`IpRange::hosts`], from 0; `None` beyond the last.
    pub fn host(&self, number: u128) -> Option<IpAddr> {
        if number >= self.hosts() {
            return None;
        }
        let skipped = u128::from(self.bits() - self.prefix > 1);
        let offset = number + skipped;
        Some(match self.network {
            // Below `hosts`, so it is less than 2^32.
            IpAddr::V4(network) => {
                let offset = u32::try_from(offset).ok()?;
                Ipv4Addr::from_bits(network.to_bits() | offset).into()
            }
            IpAddr::V6(network) => Ipv6Addr::from_bits(network.to_bits() | offset).into(),
        })
    }

    /// The first address of it that a connection may use: of 127.0.0.0/8 it is 127.0.0.1.
    pub fn first(&self) -> IpAddr {
        self.host(0).unwrap_or(self.network)
    }

    /// The same addresses, IPv4 in IPv6 form (`::ffff:a.b.c.d`, RFC 4291 §2.5.5.2) as the IPv4 that it is.
    #[must_use]
    pub fn to_canonical(self) -> Self {
        match (self.network.to_canonical(), self.prefix.checked_sub(96)) {
            (network @ IpAddr::V4(_), Some(prefix)) if !self.is_ipv4() => Self { network, prefix },
            _ => self,
        }
    }

    /// What is in it that can be neither end of a TCP connection; `None`: nothing, as far as digits can tell. Asked of
    /// canonical ranges.
    pub(super) fn unfit(&self) -> Option<&'static str> {
        let unspecified: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let multicast = [
            Self::v4(Ipv4Addr::new(224, 0, 0, 0), 4),
            Self {
                network: Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(),
                prefix: 8,
            },
        ];
        let ipv4_in_ipv6 = Self {
            network: Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().into(),
            prefix: 96,
        };
        // Of a block the broadcast address of the loopback network is left out anyway.
        let loopback_broadcast = Ipv4Addr::new(127, 255, 255, 255);
        if unspecified.iter().any(|any| self.contains(*any)) {
            Some("the unspecified address")
        } else if multicast.iter().any(|block| self.overlaps(block)) {
            Some("a multicast address")
        } else if self.contains(Ipv4Addr::BROADCAST.into())
            || *self == Self::from(IpAddr::V4(loopback_broadcast))
        {
            Some("a broadcast address")
        } else if self.overlaps(&ipv4_in_ipv6) {
            Some("IPv4 in IPv6 form")
        } else {
            None
        }
    }

    /// Whether it has link-local addresses of IPv6 in it (RFC 4291 §2.5.6), which mean something only together with an
    /// interface.
    pub(super) fn is_link_local_v6(&self) -> bool {
        let block = Self {
            network: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0).into(),
            prefix: 10,
        };
        self.overlaps(&block)
    }

    /// 32 or 128.
    fn bits(&self) -> u8 {
        if self.is_ipv4() { 32 } else { 128 }
    }
}

impl From<IpAddr> for IpRange {
    /// The address alone, canonical.
    fn from(address: IpAddr) -> Self {
        let network = address.to_canonical();
        let prefix = if network.is_ipv4() { 32 } else { 128 };
        Self { network, prefix }
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
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> IpRange {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_contains_its_first_and_last_address_and_not_its_neighbours() {
        let net = range("10.1.0.0/16");
        for inside in ["10.1.0.0", "10.1.255.255"] {
            assert!(net.contains(ip(inside)), "{inside}");
        }
        for outside in ["10.0.255.255", "10.2.0.0", "::ffff:10.1.0.0"] {
            assert!(!net.contains(ip(outside)), "{outside}");
        }
        let net = range("fd00::/8");
        assert!(net.contains(ip("fdff::1")));
        assert!(!net.contains(ip("fe00::1")));
    }

    #[test]
    fn the_ends_of_the_prefix_scale_work() {
        assert!(range("0.0.0.0/0").contains(ip("203.0.113.9")));
        assert!(range("::/0").contains(ip("2001:db8::1")));
        assert!(!range("::/0").contains(ip("203.0.113.9")));
        assert!(range("192.0.2.7").contains(ip("192.0.2.7")));
        assert!(!range("192.0.2.7").contains(ip("192.0.2.6")));
        assert_eq!(range("::/0").hosts(), u128::MAX - 1);
        assert_eq!(range("::/0").host(u128::MAX), None);
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
    fn a_connection_uses_neither_the_network_nor_its_broadcast_address() {
        for (text, hosts, first, last) in [
            ("127.0.0.0/8", 16_777_214, "127.0.0.1", "127.255.255.254"),
            ("127.64.0.0/30", 2, "127.64.0.1", "127.64.0.2"),
            ("127.64.0.0/31", 2, "127.64.0.0", "127.64.0.1"),
            ("127.0.0.1", 1, "127.0.0.1", "127.0.0.1"),
            ("0.0.0.0/0", (1 << 32) - 2, "0.0.0.1", "255.255.255.254"),
            ("fd00::/126", 3, "fd00::1", "fd00::3"),
            ("fd00::/127", 2, "fd00::", "fd00::1"),
            ("::1", 1, "::1", "::1"),
        ] {
            let range = range(text);
            assert_eq!(range.hosts(), hosts, "{text}");
            assert_eq!(range.first(), ip(first), "{text}");
            assert_eq!(range.host(hosts - 1), Some(ip(last)), "{text}");
            assert_eq!(range.host(hosts), None, "{text}");
        }
    }

    #[test]
    fn ipv4_in_ipv6_form_is_ipv4() {
        let canonical = |text: &str| range(text).to_canonical().to_string();
        assert_eq!(canonical("::ffff:127.0.0.2"), "127.0.0.2");
        assert_eq!(canonical("::ffff:127.0.0.0/104"), "127.0.0.0/8");
        assert_eq!(canonical("fd00::/104"), "fd00::/104");
        assert_eq!(canonical("10.0.0.0/8"), "10.0.0.0/8");
        assert_eq!(IpRange::from(ip("::ffff:127.0.0.2")), range("127.0.0.2"));
    }

    #[test]
    fn what_no_connection_can_have_at_its_end_is_found_in_a_range() {
        for (text, unfit) in [
            ("0.0.0.0", Some("the unspecified address")),
            ("::/0", Some("the unspecified address")),
            ("128.0.0.0/1", Some("a multicast address")),
            ("239.1.2.3", Some("a multicast address")),
            ("ff02::1", Some("a multicast address")),
            ("255.255.255.255", Some("a broadcast address")),
            ("240.0.0.0/4", Some("a broadcast address")),
            ("127.255.255.255", Some("a broadcast address")),
            ("::fffe:0:0/95", Some("IPv4 in IPv6 form")),
            ("127.0.0.0/8", None),
            ("223.255.255.255", None),
            ("::1", None),
            ("fd00::/8", None),
        ] {
            assert_eq!(range(text).unfit(), unfit, "{text}");
        }
    }

    fn any_range() -> impl Strategy<Value = IpRange> {
        let v4 = (any::<u32>(), 0u8..=32).prop_map(|(bits, prefix)| {
            IpRange::v4(Ipv4Addr::from_bits(bits & mask_v4(prefix)), prefix)
        });
        let v6 = (any::<u128>(), 0u8..=128).prop_map(|(bits, prefix)| IpRange {
            network: Ipv6Addr::from_bits(bits & mask_v6(prefix)).into(),
            prefix,
        });
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn a_range_is_read_again_as_printed(range in any_range()) {
            prop_assert_eq!(range.to_string().parse(), Ok(range));
        }

        #[test]
        fn every_host_is_inside_and_has_a_number_of_its_own(range in any_range(), number in any::<u128>()) {
            let number = number % range.hosts();
            let host = range.host(number).unwrap();
            prop_assert!(range.contains(host));
            let next = range.host(number + 1);
            prop_assert_eq!(next.is_some(), number + 1 < range.hosts());
            prop_assert!(next.is_none_or(|next| next > host));
        }

        #[test]
        fn ranges_overlap_as_one_contains_the_other(a in any_range(), b in any_range()) {
            prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
            let within = |a: &IpRange, b: &IpRange| a.prefix >= b.prefix && b.contains(a.network);
            prop_assert_eq!(a.overlaps(&b), within(&a, &b) || within(&b, &a));
            prop_assert!(a.overlaps(&IpRange::from(a.network)) || a.network != a.network.to_canonical());
        }
    }
}
