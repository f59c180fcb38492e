//! A line in the combined log format of Apache httpd and nginx, as their analysers read it:
//!
//! `client - - [time] "request line" status bytes "referer" "user agent"`
//!
//! The status stands before two fields that the head decides, so a line is made in three pieces.

use super::escape::quoted;
use super::numbers::{ip, number, protocol};
use super::time::TimeText;
use super::{
    EndedBy, METHOD_BYTES_MAX, Outcome, REFERER_BYTES_MAX, RequestLine, URI_BYTES_MAX,
    USER_AGENT_BYTES_MAX,
};

/// The status of a request whose client left before it was answered. nginx's number, no other is as well known.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The status of a request that was not answered although its client was there: nginx's number for that.
const NO_RESPONSE: u16 = 444;

/// The piece before the status.
pub(super) fn request(out: &mut Vec<u8>, request: &RequestLine<'_>, time: &mut TimeText) {
    match request.client {
        Some(client) => ip(out, client),
        None => out.push(b'-'),
    }
    time.set(request.time);
    out.extend_from_slice(b" - - [");
    out.extend_from_slice(time.common());
    out.extend_from_slice(b"] \"");
    if request.method.is_empty() {
        out.push(b'-');
    } else {
        quoted(out, request.method, METHOD_BYTES_MAX);
        out.push(b' ');
        quoted(out, request.target, URI_BYTES_MAX);
        out.push(b' ');
        protocol(out, request.version);
    }
    out.push(b'"');
}

/// The status and the bytes sent.
pub(super) fn outcome(out: &mut Vec<u8>, outcome: &Outcome<'_>) {
    let unanswered = match outcome.ended_by {
        Some(EndedBy::Client) => CLIENT_CLOSED_REQUEST,
        _ => NO_RESPONSE,
    };
    out.push(b' ');
    number(out, outcome.status.unwrap_or(unanswered));
    out.push(b' ');
    number(out, outcome.sent_bytes);
}

/// The piece after them, with the line end.
pub(super) fn fields(out: &mut Vec<u8>, request: &RequestLine<'_>) {
    let fields = [
        (request.referer, REFERER_BYTES_MAX),
        (request.user_agent, USER_AGENT_BYTES_MAX),
    ];
    for (value, bytes_max) in fields {
        out.extend_from_slice(b" \"");
        quoted(out, if value.is_empty() { b"-" } else { value }, bytes_max);
        out.push(b'"');
    }
    out.push(b'\n');
}
