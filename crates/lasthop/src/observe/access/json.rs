//! A line as JSON (RFC 8259): one object, its keys always in the order of `docs/access-log.md`, and no
//! key where there is nothing to say.
//!
//! Written by hand and not by a serialiser: half of the line is made when the head is read, the
//! other half when the answer is over, and client bytes need not be UTF-8.

use std::fmt::Write as _;

use super::escape::{JsonText, json};
use super::numbers::{ip, micros, number, seconds, socket};
use super::time::TimeText;
use super::{
    DETAILS_BYTES_MAX, HOST_BYTES_MAX, LABEL_BYTES_MAX, METHOD_BYTES_MAX, Outcome,
    REFERER_BYTES_MAX, RequestLine, URI_BYTES_MAX, USER_AGENT_BYTES_MAX,
};

/// The first half: from the opening brace to the last key that the request's head decides.
pub(super) fn request(out: &mut Vec<u8>, request: &RequestLine<'_>, time: &mut TimeText) {
    let fraction = time.set(request.time);
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(time.rfc3339());
    out.push(b'.');
    micros(out, fraction);
    out.extend_from_slice(b"Z\",\"request_id\":\"");
    out.extend_from_slice(&request.id.hex());
    out.push(b'"');
    text(
        out,
        "listener",
        request.listener.as_bytes(),
        LABEL_BYTES_MAX,
    );
    if let Some(client) = request.client {
        out.extend_from_slice(b",\"client\":\"");
        ip(out, client);
        out.push(b'"');
    }
    text(out, "method", request.method, METHOD_BYTES_MAX);
    text(out, "host", request.host, HOST_BYTES_MAX);
    text(out, "uri", request.target, URI_BYTES_MAX);
    if !request.method.is_empty() {
        out.extend_from_slice(b",\"protocol\":\"HTTP/");
        number(out, request.version.0);
        out.push(b'.');
        number(out, request.version.1);
        out.push(b'"');
    }
    text(out, "user_agent", request.user_agent, USER_AGENT_BYTES_MAX);
    text(out, "referer", request.referer, REFERER_BYTES_MAX);
}

/// The second half, with the line end.
pub(super) fn outcome(out: &mut Vec<u8>, outcome: &Outcome<'_>) {
    if let Some(status) = outcome.status {
        key(out, "status");
        number(out, status);
    }
    label(out, "error", outcome.error);
    if let Some(details) = outcome.details {
        text(out, "details", details.as_bytes(), DETAILS_BYTES_MAX);
    }
    label(out, "ended_by", outcome.ended_by.map(super::EndedBy::label));
    label(out, "route", outcome.route);
    label(out, "upstream", outcome.upstream);
    if let Some(target) = outcome.target {
        key(out, "target");
        out.push(b'"');
        // An error is a target that was cut.
        let _ = write!(JsonText::new(out, LABEL_BYTES_MAX), "{target}");
        out.push(b'"');
    }
    if let Some(source) = outcome.source {
        key(out, "source");
        out.push(b'"');
        socket(out, source);
        out.push(b'"');
    }
    if let Some(reused) = outcome.reused {
        key(out, "reused");
        out.extend_from_slice(if reused { b"true" } else { b"false" });
    }
    if outcome.attempts > 0 {
        key(out, "attempts");
        number(out, outcome.attempts);
    }
    let times = [
        ("connect", outcome.connect),
        ("wait", outcome.wait),
        ("total", Some(outcome.total)),
    ];
    for (name, time) in times {
        if let Some(time) = time {
            key(out, name);
            seconds(out, time);
        }
    }
    key(out, "received_bytes");
    number(out, outcome.received_bytes);
    key(out, "sent_bytes");
    number(out, outcome.sent_bytes);
    out.extend_from_slice(b"}\n");
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn label(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        text(out, name, value.as_bytes(), LABEL_BYTES_MAX);
    }
}

/// A key and its text; nothing if the text is empty.
fn text(out: &mut Vec<u8>, name: &str, value: &[u8], bytes_max: usize) {
    if !value.is_empty() {
        key(out, name);
        out.push(b'"');
        json(out, value, bytes_max);
        out.push(b'"');
    }
}
