//! The fields that tell the app about the client: `X-Forwarded-*`, `X-Real-IP`, `Forwarded` (RFC
//! 7239) and `Via` (RFC 9110 section 7.6.3).
//!
//! From a peer that is not trusted nothing of that kind is believed: all of it is dropped and set
//! anew. From a trusted one it is kept and appended to. In both cases each of these fields reaches
//! the app at most once, several lines joined into one list, since apps differ in whether they read
//! the first line or the last.

use crate::Version;
use crate::fields::Kind;
use crate::request::RequestHead;
use crate::syntax::is_token;

/// What the proxy knows about the client's side of a request.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// The peer's address without port, an IPv6 address without brackets; `None` for a client on a
    /// Unix socket, of which then nothing is claimed.
    pub peer_ip: Option<&'a str>,
    /// `http` or `https`: what the client speaks to us.
    pub proto: &'a str,
    /// Whether the peer is among the trusted proxies.
    pub trusted: bool,
    /// Whether to add ourselves to `Via`.
    pub via: bool,
    /// Whether to write `Forwarded` as well.
    pub forwarded: bool,
    /// The `X-Request-ID` that the app is to get, whatever the client sent: a token or other visible
    /// ASCII. `None`: the client's, if there is one, travels like any other field.
    pub request_id: Option<&'a str>,
    /// The Host for a request of HTTP/1.0 without one: a valid authority.
    pub host_fallback: &'a str,
}

/// Appends the forwarding fields.
pub(crate) fn write(out: &mut Vec<u8>, head: &RequestHead<'_, '_>, forwarding: &Forwarding<'_>) {
    let host = head.authority().unwrap_or(forwarding.host_fallback);
    match forwarding.peer_ip {
        Some(peer_ip) if !forwarding.trusted && !forwarding.forwarded => {
            write_anew(out, head.version, forwarding, (peer_ip, host));
        }
        _ => write_joined(out, head, forwarding, host),
    }
}

/// All of them for the peer of nearly every request: it is not believed, so nothing is joined. The same bytes as
/// [`write_joined`] writes, in a third of the instructions.
fn write_anew(
    out: &mut Vec<u8>,
    version: Version,
    forwarding: &Forwarding<'_>,
    (peer_ip, host): (&str, &str),
) {
    out.extend_from_slice(b"X-Forwarded-For: ");
    out.extend_from_slice(peer_ip.as_bytes());
    out.extend_from_slice(b"\r\nX-Forwarded-Proto: ");
    out.extend_from_slice(forwarding.proto.as_bytes());
    out.extend_from_slice(b"\r\nX-Forwarded-Host: ");
    out.extend_from_slice(host.as_bytes());
    out.extend_from_slice(b"\r\nX-Real-IP: ");
    out.extend_from_slice(peer_ip.as_bytes());
    out.extend_from_slice(b"\r\n");
    if let Some(id) = forwarding.request_id {
        write_request_id(out, id);
    }
    if forwarding.via {
        out.extend_from_slice(match version {
            Version::Http10 => b"Via: 1.0 lasthop\r\n",
            Version::Http11 => b"Via: 1.1 lasthop\r\n",
        });
    }
}

fn write_request_id(out: &mut Vec<u8>, id: &str) {
    out.extend_from_slice(b"X-Request-ID: ");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// All of them, each with what a trusted peer sent in front.
fn write_joined(
    out: &mut Vec<u8>,
    head: &RequestHead<'_, '_>,
    forwarding: &Forwarding<'_>,
    host: &str,
) {
    write_list(
        out,
        head,
        forwarding,
        Kind::XForwardedFor,
        "X-Forwarded-For",
        forwarding.peer_ip,
    );
    write_single(
        out,
        head,
        forwarding,
        Kind::XForwardedProto,
        "X-Forwarded-Proto",
        Some(forwarding.proto),
    );
    write_single(
        out,
        head,
        forwarding,
        Kind::XForwardedHost,
        "X-Forwarded-Host",
        Some(host),
    );
    write_single(
        out,
        head,
        forwarding,
        Kind::XRealIp,
        "X-Real-IP",
        forwarding.peer_ip,
    );
    write_forwarded(out, head, forwarding, host);
    if let Some(id) = forwarding.request_id {
        write_request_id(out, id);
    }
    let version = match head.version {
        Version::Http10 => b"1.0 lasthop\r\n",
        Version::Http11 => b"1.1 lasthop\r\n",
    };
    if begin_list(out, head, forwarding, Kind::Via, "Via", forwarding.via) {
        out.extend_from_slice(version);
    }
}

/// A field that every proxy on the way appends to.
fn write_list(
    out: &mut Vec<u8>,
    head: &RequestHead<'_, '_>,
    forwarding: &Forwarding<'_>,
    kind: Kind,
    name: &str,
    own: Option<&str>,
) {
    if begin_list(out, head, forwarding, kind, name, own.is_some()) {
        out.extend_from_slice(own.unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// A field that the first proxy sets and the others leave alone.
fn write_single(
    out: &mut Vec<u8>,
    head: &RequestHead<'_, '_>,
    forwarding: &Forwarding<'_>,
    kind: Kind,
    name: &str,
    own: Option<&str>,
) {
    let is_kept = forwarding.trusted && head.fields().all(kind).any(|value| !value.is_empty());
    write_list(out, head, forwarding, kind, name, own.filter(|_| !is_kept));
}

/// Writes the name and what a trusted peer sent. Returns whether our own member has to follow, and
/// the line end with it; otherwise the line is whole, or was not begun because there is nothing to
/// say.
fn begin_list(
    out: &mut Vec<u8>,
    head: &RequestHead<'_, '_>,
    forwarding: &Forwarding<'_>,
    kind: Kind,
    name: &str,
    adds_own: bool,
) -> bool {
    let received = forwarding.trusted && head.fields().has(kind);
    let mut separator: &[u8] = b": ";
    let begun = out.len();
    out.extend_from_slice(name.as_bytes());
    if received {
        for value in head.fields().all(kind).filter(|value| !value.is_empty()) {
            out.extend_from_slice(separator);
            out.extend_from_slice(value);
            separator = b", ";
        }
    }
    let is_empty = separator == b": ";
    if adds_own {
        out.extend_from_slice(separator);
    } else if is_empty {
        out.truncate(begun);
    } else {
        out.extend_from_slice(b"\r\n");
    }
    adds_own
}

/// `Forwarded: for=192.0.2.1;host=example.com;proto=http`, what is not a token in quotes (RFC 7239
/// section 4).
fn write_forwarded(
    out: &mut Vec<u8>,
    head: &RequestHead<'_, '_>,
    forwarding: &Forwarding<'_>,
    host: &str,
) {
    if !begin_list(
        out,
        head,
        forwarding,
        Kind::Forwarded,
        "Forwarded",
        forwarding.forwarded,
    ) {
        return;
    }
    out.extend_from_slice(b"for=");
    match forwarding.peer_ip {
        Some(address) if address.contains(':') => {
            out.extend_from_slice(b"\"[");
            out.extend_from_slice(address.as_bytes());
            out.extend_from_slice(b"]\"");
        }
        Some(address) => out.extend_from_slice(address.as_bytes()),
        // RFC 7239 section 6.2.
        None => out.extend_from_slice(b"unknown"),
    }
    out.extend_from_slice(b";host=");
    if is_token(host.as_bytes()) {
        out.extend_from_slice(host.as_bytes());
    } else {
        // An authority has neither quotes nor backslashes, so nothing needs an escape.
        out.push(b'"');
        out.extend_from_slice(host.as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(forwarding.proto.as_bytes());
    out.extend_from_slice(b"\r\n");
}
