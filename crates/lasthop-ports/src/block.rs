//! A block of consecutive addresses, walked by number instead of being written out.
//!
//! 127.64.0.0/16 is 65,534 source addresses and an IPv6 /64 more than can be counted, of which a proxy uses the first
//! few. So a block is a first address and a length, and its n-th address is arithmetic.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses of a block beyond this many are not counted: a plan never gets that far.
const LEN_MAX: u64 = 1 << 32;

/// Consecutive addresses of one family, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressBlock {
    first: IpAddr,
    len: u64,
}

/// Why an address and a prefix are not a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockError {
    /// The prefix is longer than the address.
    Prefix {
        /// As given.
        prefix: u8,
        /// 32 or 128.
        bits: u8,
    },
    /// The address has bits set behind the prefix; holds the network that was probably meant.
    HostBits {
        /// The address with those bits cleared.
        network: IpAddr,
        /// As given.
        prefix: u8,
    },
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix { prefix, bits } => {
                write!(
                    f,
                    "a prefix of {prefix} bits is longer than the {bits} of an address"
                )
            }
            Self::HostBits { network, prefix } => write!(
                f,
                "the address has bits set behind its prefix; the network is {network}/{prefix}"
            ),
        }
    }
}

impl std::error::Error for BlockError {}

impl AddressBlock {
    /// One address. Here and in networks, IPv4 in IPv6 clothes (`::ffff:127.0.0.1`) is the IPv4 that it stands for,
    /// because both draw from the same ports.
    #[must_use]
    pub const fn single(address: IpAddr) -> Self {
        Self {
            first: address.to_canonical(),
            len: 1,
        }
    }

    /// The addresses of a network that a host can have: without the network's own address, which is also IPv6's
    /// subnet-router anycast address (RFC 4291 section 2.6.1), and for IPv4 without the broadcast address. The short
    /// networks /31, /32, /127 and /128 have neither (RFC 3021, RFC 6164).
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn network(network: IpAddr, prefix: u8) -> Result<Self, BlockError> {
        if let IpAddr::V6(v6) = network
            && let Some(v4) = v6.to_ipv4_mapped()
            && let Some(prefix) = prefix.checked_sub(96).filter(|prefix| *prefix <= 32)
        {
            return Self::network(v4.into(), prefix);
        }
        let (bits, number) = match network {
            IpAddr::V4(v4) => (32_u8, u128::from(v4.to_bits())),
            IpAddr::V6(v6) => (128, v6.to_bits()),
        };
        let host_bits = bits
            .checked_sub(prefix)
            .ok_or(BlockError::Prefix { prefix, bits })?;
        let mask = u128::MAX.checked_shl(host_bits.into()).unwrap_or(0);
        let inside = number & !mask;
        if inside != 0 {
            return Err(BlockError::HostBits {
                network: address_of(network, number - inside),
                prefix,
            });
        }
        if host_bits <= 1 {
            let len = 1 << host_bits;
            return Ok(Self {
                first: network,
                len,
            });
        }
        let unusable = if network.is_ipv4() { 2 } else { 1 };
        Ok(Self {
            first: address_of(network, number + 1),
            len: u64::try_from(!mask - unusable + 1)
                .unwrap_or(LEN_MAX)
                .min(LEN_MAX),
        })
    }

    /// The first address.
    #[must_use]
    pub const fn first(self) -> IpAddr {
        self.first
    }

    /// How many addresses there are, at least 1; four billion stands for that many or more.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a block is never empty by construction"
    )]
    pub const fn len(self) -> u64 {
        self.len
    }

    /// The smallest network that all addresses are in, as its address and prefix.
    #[must_use]
    pub fn covering_network(self) -> (IpAddr, u8) {
        let last = self.nth(self.len - 1).unwrap_or(self.first);
        let (bits, first, last) = match (self.first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                (32, u128::from(first.to_bits()), u128::from(last.to_bits()))
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => (128, first.to_bits(), last.to_bits()),
            _ => return (self.first, 0),
        };
        let host_bits = u128::BITS - (first ^ last).leading_zeros();
        let inside = 1_u128
            .checked_shl(host_bits)
            .map_or(u128::MAX, |size| size - 1);
        let prefix = u8::try_from(bits - host_bits).unwrap_or(0);
        (address_of(self.first, first & !inside), prefix)
    }

    /// The first `n` addresses; at least one, and no more than there are.
    #[must_use]
    pub fn first_n(self, n: u64) -> Self {
        Self {
            len: self.len.min(n.max(1)),
            ..self
        }
    }

    /// The block without its first address; none where that was the only one.
    #[must_use]
    pub fn without_first(self) -> Option<Self> {
        let first = self.nth(1)?;
        Some(Self {
            first,
            len: self.len - 1,
        })
    }

    /// Address number `n`, counted from 0; none past the end.
    #[must_use]
    pub fn nth(self, n: u64) -> Option<IpAddr> {
        if n >= self.len {
            return None;
        }
        // No overflow: the block has an n-th address.
        Some(match self.first {
            IpAddr::V4(v4) => {
                Ipv4Addr::from_bits(v4.to_bits().checked_add(u32::try_from(n).ok()?)?).into()
            }
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits().checked_add(n.into())?).into(),
        })
    }

    /// The number of an address, if it is in the block.
    #[must_use]
    pub fn position(self, address: IpAddr) -> Option<u64> {
        let distance = match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                u128::from(address.to_bits().checked_sub(first.to_bits())?)
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                address.to_bits().checked_sub(first.to_bits())?
            }
            _ => return None,
        };
        u64::try_from(distance).ok().filter(|n| *n < self.len)
    }
}

impl fmt::Display for AddressBlock {
    /// `127.64.0.1` or `127.64.0.1-127.64.255.254`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        match self.nth(self.len - 1) {
            Some(last) if last != self.first => write!(f, "-{last}"),
            _ => Ok(()),
        }
    }
}

/// `number` as an address of the family of `like`.
fn address_of(like: IpAddr, number: u128) -> IpAddr {
    match like {
        // The number of an IPv4 address fits: it came from one.
        IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(number).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(network: &str, prefix: u8) -> Result<AddressBlock, BlockError> {
        AddressBlock::network(network.parse().unwrap(), prefix)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_private_block_begins_at_its_first_host_and_ends_before_its_broadcast_address() {
        let block = block("127.64.0.0", 16).unwrap();
        assert_eq!(block.len(), 65_534);
        assert_eq!(block.to_string(), "127.64.0.1-127.64.255.254");
        assert_eq!(block.nth(0), Some(ip("127.64.0.1")));
        assert_eq!(block.nth(255), Some(ip("127.64.1.0")));
        assert_eq!(block.nth(65_534), None);
        assert_eq!(block.position(ip("127.64.1.0")), Some(255));
        assert_eq!(block.position(ip("127.63.255.255")), None);
        assert_eq!(block.position(ip("127.64.255.255")), None);
        assert_eq!(block.position(ip("::1")), None);
    }

    #[test]
    fn short_networks_have_all_their_addresses() {
        for (network, prefix, len) in [
            ("127.0.0.1", 32, 1),
            ("127.0.0.2", 31, 2),
            ("127.0.0.4", 30, 2),
            ("::1", 128, 1),
            ("fd00::2", 127, 2),
            ("fd00::4", 126, 3),
        ] {
            assert_eq!(
                block(network, prefix).unwrap().len(),
                len,
                "{network}/{prefix}"
            );
        }
    }

    #[test]
    fn the_largest_networks_are_cut_and_do_not_overflow() {
        for (network, prefix) in [("0.0.0.0", 0), ("::", 0), ("fd00::", 8), ("fd00::", 64)] {
            let block = block(network, prefix).unwrap();
            assert!(block.len() >= (1 << 32) - 2);
            assert!(block.nth(block.len() - 1).is_some());
            assert!(!block.to_string().is_empty());
        }
    }

    #[test]
    fn a_block_is_covered_by_the_network_it_was_made_of() {
        for (network, prefix) in [
            ("127.64.0.0", 16),
            ("127.0.0.0", 8),
            ("127.0.0.1", 32),
            ("fd00::", 112),
        ] {
            let covering = block(network, prefix).unwrap().covering_network();
            assert_eq!(covering, (ip(network), prefix));
        }
        let rest = block("127.0.0.0", 29).unwrap().without_first().unwrap();
        assert_eq!((rest.first(), rest.len()), (ip("127.0.0.2"), 5));
        assert_eq!(rest.covering_network(), (ip("127.0.0.0"), 29));
        assert_eq!(AddressBlock::single(ip("::1")).without_first(), None);
        for (n, len) in [(0, 1), (2, 2), (9, 5)] {
            assert_eq!(
                (rest.first_n(n).first(), rest.first_n(n).len()),
                (rest.first(), len)
            );
        }
        assert_eq!(block("::", 0).unwrap().covering_network().0, ip("::"));
    }

    #[test]
    fn bits_behind_the_prefix_are_refused_with_the_network_that_was_meant() {
        assert_eq!(
            block("127.0.0.1", 8).unwrap_err().to_string(),
            "the address has bits set behind its prefix; the network is 127.0.0.0/8"
        );
        assert_eq!(
            block("127.0.0.1", 33).unwrap_err().to_string(),
            "a prefix of 33 bits is longer than the 32 of an address"
        );
        assert_eq!(
            block("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0)
                .unwrap_err()
                .to_string(),
            "the address has bits set behind its prefix; the network is ::/0"
        );
        assert_eq!(
            block("::ffff:127.0.0.1", 129).unwrap_err(),
            BlockError::Prefix {
                prefix: 129,
                bits: 128
            }
        );
    }

    #[test]
    fn ipv4_in_ipv6_clothes_is_the_ipv4_that_it_stands_for() {
        assert_eq!(
            block("::ffff:127.64.0.0", 112).unwrap(),
            block("127.64.0.0", 16).unwrap()
        );
        assert_eq!(
            AddressBlock::single(ip("::ffff:127.0.0.1")),
            AddressBlock::single(ip("127.0.0.1"))
        );
    }

    proptest! {
        #[test]
        fn a_number_and_its_address_belong_together(bits in any::<u32>(), prefix in 0u8..=32, n in any::<u64>()) {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            let network = IpAddr::V4(Ipv4Addr::from_bits(bits & mask));
            let block = AddressBlock::network(network, prefix).unwrap();
            let n = n % block.len();
            let address = block.nth(n).unwrap();
            prop_assert_eq!(block.position(address), Some(n));
        }
    }
}
