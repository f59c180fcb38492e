//! Numbers, durations and addresses as text, written straight into a line without allocating.
//!
//! `std::fmt` would do it as well and takes three to ten times as long, for a dozen fields a line.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A number in decimal.
pub(super) fn number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Seconds with six decimals: a number to JSON, and exact to the microsecond.
pub(super) fn seconds(out: &mut Vec<u8>, duration: Duration) {
    number(out, duration.as_secs());
    out.push(b'.');
    micros(out, duration.subsec_micros());
}

/// Six digits, `micros` being below a million.
pub(super) fn micros(out: &mut Vec<u8>, micros: u32) {
    let mut left = micros;
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        // Below ten, whatever is left.
        *digit += u8::try_from(left % 10).unwrap_or_default();
        left /= 10;
    }
    out.extend_from_slice(&digits);
}

/// A version as the request line has it.
pub(super) fn protocol(out: &mut Vec<u8>, version: (u8, u8)) {
    match version {
        (1, 1) => out.extend_from_slice(b"HTTP/1.1"),
        (major, minor) => {
            out.extend_from_slice(b"HTTP/");
            number(out, major);
            out.push(b'.');
            number(out, minor);
        }
    }
}

/// An address as text; v6 as RFC 5952 writes it.
pub(super) fn ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            number(out, a);
            for octet in [b, c, d] {
                out.push(b'.');
                number(out, octet);
            }
        }
        // Writing to a Vec cannot fail.
        IpAddr::V6(ip) => drop(write!(out, "{ip}")),
    }
}

/// An address and a port as text, v6 in brackets.
pub(super) fn socket(out: &mut Vec<u8>, address: SocketAddr) {
    if address.is_ipv6() {
        out.push(b'[');
        ip(out, address.ip());
        out.push(b']');
    } else {
        ip(out, address.ip());
    }
    out.push(b':');
    number(out, address.port());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn durations_are_seconds_to_the_microsecond() {
        for (nanos, expected) in [
            (0, "0.000000"),
            (999, "0.000000"),
            (1_234_000, "0.001234"),
            (61_000_001_000, "61.000001"),
        ] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(text(|out| seconds(out, duration)), expected);
        }
    }

    #[test]
    fn addresses_are_written_as_everybody_writes_them() {
        for address in [
            "127.0.0.1:80",
            "255.255.255.255:65535",
            "[::1]:8080",
            "[2001:db8::5]:1",
        ] {
            let parsed: SocketAddr = address.parse().unwrap();
            assert_eq!(text(|out| socket(out, parsed)), address);
            assert_eq!(text(|out| ip(out, parsed.ip())), parsed.ip().to_string());
        }
    }
}
