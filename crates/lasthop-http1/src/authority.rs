//! `host[:port]` as it stands in Host and in absolute-form targets (RFC 3986 section 3.2, RFC 9110
//! section 7.2).
//!
//! Stricter than the grammar in three places, each of which has been used to make two recipients
//! see two hosts: no user information, no comma (it would read as a list), no literals other than
//! IPv6 addresses in brackets.

use std::net::Ipv6Addr;

/// The longest port: `65535`.
const PORT_DIGITS_MAX: usize = 5;

/// The authority as text, if it is a host with an optional port, else `None`.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    // A name or an IPv4 address, and a port perhaps: nearly all there are.
    let plain = bytes.iter().take_while(|&&byte| is_plain(byte)).count();
    match &text.as_bytes()[plain..] {
        [] if plain > 0 => return Some(text),
        [b':', ..] if plain > 0 && is_port(&text[plain + 1..]) => return Some(text),
        _ => {}
    }
    let (host, port) = split(text);
    let host_is_valid = match host.strip_prefix('[') {
        Some(literal) => literal
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => is_reg_name(host.as_bytes()),
    };
    (host_is_valid && port.is_none_or(is_port)).then_some(text)
}

/// The host of a valid authority, brackets included, without the port.
#[must_use]
pub fn host(authority: &str) -> &str {
    split(authority).0
}

/// Host and port. What follows a closing bracket without being a port stays with the host, which is
/// invalid then.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.starts_with('[') || host.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// A port is digits and fits 16 bits. It may be empty (RFC 3986 section 3.2.3).
fn is_port(port: &str) -> bool {
    let is_short_number =
        port.len() <= PORT_DIGITS_MAX && port.bytes().all(|byte| byte.is_ascii_digit());
    is_short_number && (port.len() < PORT_DIGITS_MAX || port.parse::<u16>().is_ok())
}

/// What stands for itself in a registered name (RFC 3986 section 3.2.2), without the comma.
static PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 0x80 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b';'
                    | b'='
            );
        byte += 1;
    }
    table
};

fn is_plain(byte: u8) -> bool {
    PLAIN[usize::from(byte)]
}

/// A registered name or an IPv4 address: not empty, and only what RFC 3986 section 3.2.2 allows,
/// without the comma.
fn is_reg_name(mut name: &[u8]) -> bool {
    if name.is_empty() {
        return false;
    }
    while let [byte, rest @ ..] = name {
        name = match byte {
            &byte if is_plain(byte) => rest,
            b'%' => match rest {
                [high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    rest
                }
                _ => return false,
            },
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_of_rfc_3986_are_taken() {
        for (authority, expected) in [
            ("example.com", "example.com"),
            ("example.com:80", "example.com"),
            ("example.com:", "example.com"),
            ("EXAMPLE.com:65535", "EXAMPLE.com"),
            ("127.0.0.1:3000", "127.0.0.1"),
            ("a_b-c~d.e", "a_b-c~d.e"),
            ("caf%C3%A9", "caf%C3%A9"),
            ("[::1]", "[::1]"),
            ("[::1]:8080", "[::1]"),
            ("[2001:db8::192.0.2.1]", "[2001:db8::192.0.2.1]"),
        ] {
            assert_eq!(
                parse(authority.as_bytes()).map(host),
                Some(expected),
                "{authority}"
            );
        }
    }

    #[test]
    fn what_two_recipients_could_read_as_two_hosts_is_refused() {
        for authority in [
            "",
            ":80",
            "a b",
            "a,b",
            "a/b",
            "a\\b",
            "user@a",
            "user:pw@a",
            "a:80:81",
            "a:-1",
            "a:+1",
            "a:65536",
            "a:000080",
            "a:8o",
            "::1",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]x:80",
            "[]",
            "[::1%25lo]",
            "[v1.x]",
            "[1.2.3.4]",
            "a%2",
            "a%zz",
            "a#b",
            "a?b",
            "a<b",
            "caf\u{e9}",
            "a\tb",
            "[::1]:80:80",
        ] {
            assert_eq!(parse(authority.as_bytes()), None, "{authority}");
        }
        assert_eq!(parse(b"caf\xe9"), None);
    }
}
