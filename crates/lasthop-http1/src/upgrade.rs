//! The protocols an `Upgrade` field offers or names (RFC 9110 section 7.8).
//!
//! `h2c` and its like are never among them: to pass one on would let a client speak HTTP to the app
//! in a version that nobody here reads, past every rule of this proxy, and RFC 9113 section 3.1 has
//! withdrawn it.

use crate::syntax::{is_token, members};

/// HTTP by any other name, and TLS, in which it would be hidden (RFC 2817). In lower case.
const NEVER_OFFERED: [&[u8]; 4] = [b"h2c", b"h2", b"http", b"tls"];

/// Whether a protocol, whatever its version, is one that is never passed on.
fn is_hidden_http(protocol: &[u8]) -> bool {
    let name = protocol
        .split(|&byte| byte == b'/')
        .next()
        .unwrap_or_default();
    NEVER_OFFERED
        .iter()
        .any(|never| name.eq_ignore_ascii_case(never))
}

/// The protocols in the value of an `Upgrade` field, as `name` or `name/version`, without those that
/// are HTTP in disguise.
pub fn protocols(value: &str) -> impl Iterator<Item = &str> {
    // Members are cut at ASCII bytes, so each is valid UTF-8 as the whole is.
    members(value.as_bytes())
        .filter(|protocol| !protocol.is_empty() && !is_hidden_http(protocol))
        .filter_map(|protocol| std::str::from_utf8(protocol).ok())
}

/// The value as text if it is a list of protocols with one among them that may be switched to.
pub(crate) fn parse(value: &[u8]) -> Option<&str> {
    let is_list = members(value)
        .filter(|protocol| !protocol.is_empty())
        .all(is_protocol);
    let text = std::str::from_utf8(value).ok().filter(|_| is_list)?;
    protocols(text).next().map(|_| text)
}

/// Whether all protocols that an answer switches to were among those offered.
pub(crate) fn is_offered(offered: &str, chosen: &str) -> bool {
    protocols(chosen)
        .all(|wanted| protocols(offered).any(|protocol| protocol.eq_ignore_ascii_case(wanted)))
}

/// `protocol-name ["/" protocol-version]`, both tokens.
fn is_protocol(protocol: &[u8]) -> bool {
    let mut parts = protocol.splitn(2, |&byte| byte == b'/');
    parts.all(is_token)
}

/// Appends `Upgrade: …` with the protocols of `value`.
pub(crate) fn write(out: &mut Vec<u8>, value: &str) {
    out.extend_from_slice(b"Upgrade: ");
    for (index, protocol) in protocols(value).enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(protocol.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2c_is_never_offered_nor_chosen() {
        assert_eq!(parse(b"h2c"), None);
        assert_eq!(parse(b"H2C, , h2c"), None);
        assert_eq!(parse(b"h2c/1, HTTP/2.0, TLS/1.0, h2"), None);
        let offered = parse(b"h2c, websocket,foo/2").expect("two of three may be offered");
        assert_eq!(
            protocols(offered).collect::<Vec<_>>(),
            ["websocket", "foo/2"]
        );
        assert!(!is_offered("websocket", "h2c, foo"));
    }

    #[test]
    fn a_value_that_is_no_list_of_protocols_offers_nothing() {
        for value in [
            &b""[..],
            b"web socket",
            b"a/b/c",
            b"/1",
            b"a/",
            b"\xff",
            b",",
        ] {
            assert_eq!(parse(value), None, "{value:?}");
        }
    }

    #[test]
    fn names_are_compared_without_case() {
        assert!(is_offered("WebSocket", "websocket"));
        assert!(!is_offered("websocket", "websocket/13"));
    }
}
