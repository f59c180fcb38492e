//! `CIDR:PORT`: a target that is many addresses, all of the same application.
//!
//! Each address of the block gives the kernel another supply of source ports, and the application sees one peer address
//! all the same. Spelled and ruled on here; which of the addresses a connection goes to is decided where it is made.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::address::PORT_ZERO;
use super::{IpRange, IpRangeError, Target};

/// A block of addresses and a port: `127.0.0.0/8:3000`, `[fd00:1::/64]:3000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetRange {
    /// At least two addresses, none of them unspecified, multicast or link-local IPv6; IPv4 is never in IPv6 form.
    pub network: IpRange,
    /// Not 0.
    pub port: u16,
}

impl TargetRange {
    /// The address that is tried first.
    pub fn first(&self) -> SocketAddr {
        SocketAddr::new(self.network.first(), self.port)
    }
}

impl fmt::Display for TargetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, port } = self;
        if network.is_ipv4() {
            write!(f, "{network}:{port}")
        } else {
            write!(f, "[{network}]:{port}")
        }
    }
}

/// A target that is written as a range; `None` where it is something else. A range of one address is that address.
/// The reason where it is refused names what was probably meant.
pub(super) fn parse(text: &str) -> Option<Result<Target, String>> {
    if let Some(network) = without_port(text) {
        // Any port serves as the example.
        let example = TargetRange {
            network,
            port: 8080,
        };
        return Some(Err(format!("the port is missing, as in {example}")));
    }
    let (written, port) = text.rsplit_once(':')?;
    let (address, prefix) = written.split_once('/')?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let prefix = prefix.trim_end_matches(']');
    let ip: IpAddr = address.parse().ok()?;
    let bare = format!("{address}/{prefix}");
    let expected = enclosed(ip, &bare);
    if written != expected {
        let why = if ip.is_ipv4() {
            "a range of IPv4 takes no brackets"
        } else {
            "a range of IPv6 takes brackets, around the prefix too"
        };
        return Some(Err(format!("{why}: {expected}:{port}")));
    }
    Some(network(ip, &bare, port).and_then(|network| target(network, port)))
}

/// A range that nothing stands behind.
fn without_port(text: &str) -> Option<IpRange> {
    if !text.contains('/') {
        return None;
    }
    match text.trim_matches(['[', ']']).parse() {
        Ok(network) | Err(IpRangeError::HostBits(network)) => Some(network),
        Err(IpRangeError::Address | IpRangeError::Prefix(_)) => None,
    }
}

/// As it stands before a port.
fn enclosed(ip: IpAddr, text: &str) -> String {
    if ip.is_ipv4() {
        text.to_owned()
    } else {
        format!("[{text}]")
    }
}

fn network(ip: IpAddr, bare: &str, port: &str) -> Result<IpRange, String> {
    bare.parse().map_err(|error| match error {
        IpRangeError::HostBits(network) => {
            let [range, alone] = [network.to_string(), ip.to_string()].map(|t| enclosed(ip, &t));
            format!("the range is {range}:{port}, and the one address is {alone}:{port}")
        }
        IpRangeError::Address | IpRangeError::Prefix(_) => format!("`{bare}` {error}"),
    })
}

fn target(network: IpRange, port: &str) -> Result<Target, String> {
    // `u16::from_str` would take a plus sign.
    let port = match port.parse() {
        Ok(0) => return Err(PORT_ZERO.to_owned()),
        Ok(number) if !port.starts_with('+') => number,
        _ => return Err("the port must be a number up to 65535".to_owned()),
    };
    let target = TargetRange { network, port };
    let canonical = TargetRange {
        network: network.to_canonical(),
        port,
    };
    if canonical != target {
        return Err(format!("IPv4 is written as IPv4: {canonical}"));
    }
    if let Some(what) = network.unfit() {
        return Err(format!("it contains {what}"));
    }
    if network.is_link_local_v6() {
        return Err("link-local addresses belong to one interface each".to_owned());
    }
    Ok(if network.is_single() {
        Target::Tcp(target.first())
    } else {
        Target::Spread(target)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::address::AddressError;

    fn parsed(text: &str) -> Result<Target, AddressError> {
        text.parse()
    }

    fn why(text: &str) -> String {
        match parsed(text).unwrap_err() {
            AddressError::Malformed { why, .. } => why,
            planned @ AddressError::Planned(_) => planned.to_string(),
        }
    }

    #[test]
    fn a_range_of_targets_begins_behind_the_network_itself() {
        for (text, first) in [
            ("127.0.0.0/8:3000", "127.0.0.1:3000"),
            ("127.0.1.0/31:3000", "127.0.1.0:3000"),
            ("[fd00:1::/64]:3000", "[fd00:1::1]:3000"),
        ] {
            match parsed(text).unwrap() {
                Target::Spread(range) => {
                    assert_eq!(range.first(), first.parse().unwrap(), "{text}")
                }
                other => panic!("{text} is {other:?}"),
            }
            assert_eq!(parsed(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_range_of_one_address_is_that_address() {
        assert_eq!(parsed("127.0.0.1/32:80"), parsed("127.0.0.1:80"));
        assert_eq!(parsed("[::1/128]:80"), parsed("[::1]:80"));
    }

    #[test]
    fn a_range_that_is_no_target_says_what_was_meant() {
        for (text, reason) in [
            (
                "127.0.0.1/8:3000",
                "the range is 127.0.0.0/8:3000, and the one address is 127.0.0.1:3000",
            ),
            (
                "[fd00::1/64]:80",
                "the range is [fd00::/64]:80, and the one address is [fd00::1]:80",
            ),
            ("127.0.0.0/8", "the port is missing, as in 127.0.0.0/8:8080"),
            ("[fd00::/64]", "the port is missing, as in [fd00::/64]:8080"),
            (
                "127.0.0.0/8:0",
                "port 0 is for listening; give the port of the application",
            ),
            ("127.0.0.0/8:+80", "the port must be a number up to 65535"),
            ("127.0.0.0/8:65536", "the port must be a number up to 65535"),
            ("127.0.0.0/8:", "the port must be a number up to 65535"),
            (
                "127.0.0.0/33:80",
                "`127.0.0.0/33` has no prefix length of 0 to 32",
            ),
            (
                "fd00::/64:80",
                "a range of IPv6 takes brackets, around the prefix too: [fd00::/64]:80",
            ),
            (
                "[fd00::]/64:80",
                "a range of IPv6 takes brackets, around the prefix too: [fd00::/64]:80",
            ),
            (
                "[127.0.0.0/8]:80",
                "a range of IPv4 takes no brackets: 127.0.0.0/8:80",
            ),
            (
                "[::ffff:127.0.0.0/104]:80",
                "IPv4 is written as IPv4: 127.0.0.0/8:80",
            ),
            (
                "[::ffff:127.0.0.1/128]:80",
                "IPv4 is written as IPv4: 127.0.0.1:80",
            ),
            ("0.0.0.0/0:80", "it contains the unspecified address"),
            ("224.0.0.0/4:80", "it contains a multicast address"),
            ("[ff00::/8]:80", "it contains a multicast address"),
            ("240.0.0.0/4:80", "it contains a broadcast address"),
            (
                "[fe80::/64]:80",
                "link-local addresses belong to one interface each",
            ),
            ("/run/a.sock", "a Unix socket is written unix:/run/a.sock"),
            (
                "http://127.0.0.1:80/",
                "leave out the scheme `http://` and write 127.0.0.1:80",
            ),
        ] {
            assert_eq!(why(text), reason, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_range_of_targets_is_read_again_as_printed(a in 1u8..=223, b in 0u32..=255, prefix in 8u8..=15, port in 1u16..) {
            let range = format!("{a}.{}.0.0/{prefix}", b & (0xff << (16 - prefix)));
            prop_assert_eq!(parsed(&format!("{range}:{port}")).unwrap().to_string(), format!("{range}:{port}"));
        }

        #[test]
        fn no_text_makes_a_range_of_targets_panic(text in "\\[?[0-9a-f:.]{0,12}\\]?/?[0-9+]{0,4}\\]?:?[0-9+]{0,6}") {
            let _ = parsed(&text);
        }
    }
}
