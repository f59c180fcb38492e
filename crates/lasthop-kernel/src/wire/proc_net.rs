//! Two files of /proc/net: the IPv6 addresses and routes of the host.
//!
//! Lines of another shape than the kernel writes are skipped (`if6_seq_show` in net/ipv6/addrconf.c,
//! `ipv6_route_native_seq_show` in net/ipv6/ip6_fib.c).

use std::net::Ipv6Addr;

/// The flag of a route to the host itself (linux/ipv6_route.h).
const RTF_LOCAL: u32 = 0x8000_0000;

/// A line of /proc/net/if_inet6: an address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceAddress<'a> {
    /// The address.
    pub address: Ipv6Addr,
    /// The interface.
    pub interface: &'a str,
}

/// A line of /proc/net/ipv6_route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6Route<'a> {
    /// Where it leads, of which the first `prefix` bits count.
    pub network: Ipv6Addr,
    /// How many bits, at most 128.
    pub prefix: u8,
    /// Whether it leads to the host itself.
    pub local: bool,
    /// By which interface.
    pub interface: &'a str,
}

/// The addresses in the text of /proc/net/if_inet6.
pub fn addresses(text: &str) -> impl Iterator<Item = InterfaceAddress<'_>> {
    // address, interface number, prefix, scope, flags, interface
    text.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        Some(InterfaceAddress {
            address: address(fields.next()?)?,
            interface: fields.nth(4)?,
        })
    })
}

/// The routes in the text of /proc/net/ipv6_route.
pub fn routes(text: &str) -> impl Iterator<Item = Ipv6Route<'_>> {
    // destination, prefix, source, prefix, next hop, metric, references, uses, flags, interface
    text.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let network = address(fields.next()?)?;
        let prefix = u8::from_str_radix(fields.next()?, 16).ok()?;
        let flags = u32::from_str_radix(fields.nth(6)?, 16).ok()?;
        Some(Ipv6Route {
            network,
            prefix: (prefix <= 128).then_some(prefix)?,
            local: flags & RTF_LOCAL != 0,
            interface: fields.next()?,
        })
    })
}

/// Thirty-two hexadecimal digits.
fn address(text: &str) -> Option<Ipv6Addr> {
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bits = digits.then(|| u128::from_str_radix(text, 16).ok())??;
    Some(Ipv6Addr::from_bits(bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::maim;

    const ADDRESSES: &str = "\
00000000000000000000000000000001 01 80 10 80       lo
fd000001000000000000000000000007 01 40 00 80       lo
fe800000000000000042acfffe110002 02 40 20 80     eth0
";
    const ROUTES: &str = "\
fd000001000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000400 00000001 00000000 80000001       lo
00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000003 00000000 80200001       lo
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";

    #[test]
    fn addresses_come_with_their_interface() {
        let found: Vec<_> = addresses(ADDRESSES)
            .map(|line| format!("{} {}", line.address, line.interface))
            .collect();
        assert_eq!(
            found,
            ["::1 lo", "fd00:1::7 lo", "fe80::42:acff:fe11:2 eth0"]
        );
    }

    #[test]
    fn routes_say_whether_they_lead_home() {
        let found: Vec<_> = routes(ROUTES)
            .map(|line| {
                format!(
                    "{}/{} {} {}",
                    line.network, line.prefix, line.local, line.interface
                )
            })
            .collect();
        assert_eq!(
            found,
            ["fd00:1::/64 true lo", "::1/128 true lo", "::/0 false lo"]
        );
    }

    #[test]
    fn lines_of_another_shape_are_skipped() {
        for text in [
            "",
            "\n\n",
            "::1 01 80 10 80 lo\n",
            "0001 01\n",
            "+0000000000000000000000000000001 01 80 10 80 lo",
        ] {
            assert_eq!(
                addresses(text).count() + routes(text).count(),
                0,
                "{text:?}"
            );
        }
        maim(ADDRESSES.as_bytes(), |bytes| {
            assert!(addresses(&String::from_utf8_lossy(bytes)).count() <= 4);
        });
        maim(ROUTES.as_bytes(), |bytes| {
            assert!(routes(&String::from_utf8_lossy(bytes)).all(|route| route.prefix <= 128));
        });
    }
}
