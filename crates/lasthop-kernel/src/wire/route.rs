//! A route as rtnetlink tells it (linux/rtnetlink.h, rtnetlink(7)).

use super::netlink::Attributes;
use super::{array, u32_at};
use std::net::IpAddr;

/// `struct rtmsg`, before its attributes.
const RECORD_BYTES: usize = 12;

/// What the kernel answers to the question where packets would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteRecord {
    /// `RTN_*`: 1 is unicast, 2 is local.
    pub kind: u8,
    /// The source address the kernel would choose.
    pub preferred_source: Option<IpAddr>,
    /// The number of the interface.
    pub interface: Option<u32>,
}

/// Reads one record; `None` where it is cut or of a family other than IPv4 and IPv6.
#[must_use]
pub fn parse(payload: &[u8]) -> Option<RouteRecord> {
    let family = i32::from(*payload.first()?);
    if ![libc::AF_INET, libc::AF_INET6].contains(&family) {
        return None;
    }
    let mut route = RouteRecord {
        kind: *payload.get(7)?,
        preferred_source: None,
        interface: None,
    };
    for (kind, value) in Attributes::new(payload.get(RECORD_BYTES..)?) {
        match kind {
            libc::RTA_PREFSRC => route.preferred_source = address(family, value),
            libc::RTA_OIF => route.interface = u32_at(value, 0),
            _ => {}
        }
    }
    Some(route)
}

fn address(family: i32, value: &[u8]) -> Option<IpAddr> {
    if family == libc::AF_INET {
        array::<4>(value, 0).map(IpAddr::from)
    } else {
        array::<16>(value, 0).map(IpAddr::from)
    }
}

/// The fixed part of the question where packets to `destination` would go; `source` is part of it where it is given.
#[must_use]
pub fn request(destination: IpAddr, source: Option<IpAddr>) -> Vec<u8> {
    let family = match destination {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    };
    let bits = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
    let mut body = vec![
        u8::try_from(family).unwrap_or_default(),
        bits(destination),
        source.map_or(0, bits),
    ];
    body.resize(RECORD_BYTES, 0);
    body
}

/// An address as the value of an attribute.
#[must_use]
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::maim;

    fn record() -> Vec<u8> {
        let mut bytes = vec![2, 32, 0, 0, 255, 0, 0, libc::RTN_LOCAL, 0, 2, 0, 0];
        bytes.extend_from_slice(&[8, 0, 4, 0, 1, 0, 0, 0, 8, 0, 7, 0, 127, 0, 0, 1]);
        bytes
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_record_is_read_whole() {
        let route = parse(&record()).unwrap();
        assert_eq!(route.kind, libc::RTN_LOCAL);
        assert_eq!(route.preferred_source, Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(route.interface, Some(1));
    }

    #[test]
    fn a_record_that_is_cut_or_maimed_is_none_or_something_else() {
        maim(&record(), |bytes| {
            assert_eq!(
                parse(bytes).is_none(),
                bytes.len() < RECORD_BYTES || ![2, 10].contains(&bytes[0])
            );
        });
    }
}
