//! How an answer is delivered: the framing and the connection field a client of its version can
//! make sense of, and the head that says so.

use super::{ResponseBody, ResponseHead};
use crate::fields::Kind;
use crate::framing;
use crate::kind::KindSet;
use crate::{Version, upgrade};

/// Room for what writing adds to a head, in bytes.
const ADDED_BYTES_EXPECTED: usize = 160;

/// How the body is framed towards the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No framing field: 1xx and 204.
    None,
    /// No body follows, and the app's Content-Length, if any, is kept: HEAD and 304 (RFC 9110
    /// section 8.6).
    Metadata,
    /// This many bytes follow.
    ContentLength(u64),
    /// Chunks follow.
    Chunked,
    /// The body ends with the connection.
    UntilClose,
}

/// What the answer says about the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionField {
    /// Nothing: it persists, as is the default of HTTP/1.1.
    Omit,
    /// `close`.
    Close,
    /// `keep-alive`, which HTTP/1.0 needs to hear.
    KeepAlive,
    /// `Upgrade`: from here on it is a tunnel.
    Upgrade,
}

/// How an answer is delivered to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// The framing of the body.
    pub framing: Framing,
    /// What to say about the connection.
    pub connection: ConnectionField,
    /// The value of `Date` if the app sent none: RFC 9110 section 6.6.1 asks whoever has a clock to
    /// add it.
    pub date: Option<&'a str>,
}

impl Delivery<'_> {
    /// The delivery of this answer to a client of this version, which gets to keep its connection
    /// if `keep_alive`.
    ///
    /// HTTP/1.0 knows no chunks: what is not of known length ends with the connection there.
    /// HTTP/1.1 gets chunks instead of a body that ends with the connection, so that it can tell a
    /// cut body from a whole one.
    #[must_use]
    pub fn of(head: &ResponseHead<'_, '_>, client: Version, keep_alive: bool) -> Self {
        let framing = match (head.body, client) {
            (ResponseBody::None, _) if head.status < 200 || head.status == 204 => Framing::None,
            (ResponseBody::None, _) => Framing::Metadata,
            (ResponseBody::Sized(length), _) => Framing::ContentLength(length),
            (ResponseBody::Chunked | ResponseBody::UntilClose, Version::Http11) => Framing::Chunked,
            (ResponseBody::Chunked | ResponseBody::UntilClose, Version::Http10) => {
                Framing::UntilClose
            }
        };
        let connection = match (framing, client) {
            _ if head.is_switching() => ConnectionField::Upgrade,
            _ if head.is_interim() => ConnectionField::Omit,
            (Framing::UntilClose, _) => ConnectionField::Close,
            _ if !keep_alive => ConnectionField::Close,
            (_, Version::Http10) => ConnectionField::KeepAlive,
            (_, Version::Http11) => ConnectionField::Omit,
        };
        Self {
            framing,
            connection,
            date: None,
        }
    }
}

/// Which fields travel as they are. `Trailer` does (RFC 9110 section 6.6.2), and so does what has a
/// meaning in requests only.
const END_TO_END: KindSet = KindSet::of(&[
    Kind::Other,
    Kind::ContentType,
    Kind::Date,
    Kind::Via,
    Kind::Expect,
    Kind::Host,
    Kind::Shadow,
    Kind::Forwarded,
    Kind::XRealIp,
    Kind::XForwardedFor,
    Kind::XForwardedHost,
    Kind::XForwardedProto,
    Kind::XForwardedOther,
    Kind::XRequestId,
]);

/// Appends the head as the client gets it.
///
/// The status line says HTTP/1.1 to every client, also to one of HTTP/1.0: the version is that of
/// the sender, not of the message (RFC 9110 section 2.5); what the client cannot read, `delivery`
/// leaves out. Hop-by-hop fields, what `Connection` names, and the app's framing are gone, and ours
/// stand at the end.
pub fn write(out: &mut Vec<u8>, head: &ResponseHead<'_, '_>, delivery: &Delivery<'_>) {
    out.reserve(head.fields.head_len() + ADDED_BYTES_EXPECTED);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(head.status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.reason.as_bytes());
    out.extend_from_slice(b"\r\n");
    head.fields.write(out, END_TO_END);
    if let Some(date) = delivery
        .date
        .filter(|_| head.fields.first(Kind::Date).is_none())
    {
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(date.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    write_connection(out, head, delivery.connection);
    match delivery.framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Metadata => {
            if let Some(length) = head.content_length {
                framing::write_length(out, length);
            }
        }
        Framing::ContentLength(length) => framing::write_length(out, length),
        Framing::Chunked => out.extend_from_slice(framing::CHUNKED_LINE),
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends Connection, and Upgrade where the answer is about it: in 101, and in 426, which must
/// name the protocols it wants (RFC 9110 section 15.5.22).
fn write_connection(out: &mut Vec<u8>, head: &ResponseHead<'_, '_>, connection: ConnectionField) {
    let wanted = head
        .upgrade
        .filter(|_| head.is_switching() || head.status == 426);
    let option = match connection {
        ConnectionField::Omit | ConnectionField::Upgrade => "",
        ConnectionField::Close => "close",
        ConnectionField::KeepAlive => "keep-alive",
    };
    match (option, wanted) {
        ("", None) => {}
        (_, None) => {
            out.extend_from_slice(b"Connection: ");
            out.extend_from_slice(option.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        (_, Some(protocols)) => {
            out.extend_from_slice(b"Connection: ");
            out.extend_from_slice(option.as_bytes());
            out.extend_from_slice(if option.is_empty() {
                b"Upgrade\r\n"
            } else {
                b", Upgrade\r\n"
            });
            upgrade::write(out, protocols);
        }
    }
}
