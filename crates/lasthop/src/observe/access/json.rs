//! A line as JSON (RFC 8259): one object, its keys always in the order of `docs/access-log.md`, and no
//! key where there is nothing to say.
//!
//! Written by hand and not by a serialiser: half of the line is made when the head is read, the
//! other half when the answer is over, and client bytes need not be UTF-8.

use std::fmt::Write as _;
use std::time::Duration;

use super::escape::{JsonText, json};
use super::numbers::{ip, micros, number, protocol, seconds, socket};
use super::time::TimeText;
use super::{
    DETAILS_BYTES_MAX, HOST_BYTES_MAX, LABEL_BYTES_MAX, METHOD_BYTES_MAX, Outcome,
    REFERER_BYTES_MAX, RequestLine, URI_BYTES_MAX, USER_AGENT_BYTES_MAX,
};

/// A key with what stands before and after it: one constant, one copy. `"` after the colon opens a text.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":").as_bytes()
    };
    ($name:literal, text) => {
        concat!(",\"", $name, "\":\"").as_bytes()
    };
}

/// The first half: from the opening brace to the last key that the request's head decides.
pub(super) fn request(out: &mut Vec<u8>, request: &RequestLine<'_>, time: &mut TimeText) {
    let fraction = time.set(request.time);
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(time.rfc3339());
    out.push(b'.');
    micros(out, fraction);
    out.extend_from_slice(b"Z\",\"request_id\":\"");
    match request.received_id {
        Some(id) => json(out, id.as_bytes(), LABEL_BYTES_MAX),
        None => out.extend_from_slice(&request.id.hex()),
    }
    out.push(b'"');
    label(out, key!("listener", text), Some(request.listener));
    if let Some(client) = request.client {
        out.extend_from_slice(key!("client", text));
        ip(out, client);
        out.push(b'"');
    }
    text(out, key!("method", text), request.method, METHOD_BYTES_MAX);
    text(out, key!("host", text), request.host, HOST_BYTES_MAX);
    text(out, key!("uri", text), request.target, URI_BYTES_MAX);
    if !request.method.is_empty() {
        out.extend_from_slice(key!("protocol", text));
        protocol(out, request.version);
        out.push(b'"');
    }
    let agent = request.user_agent;
    text(out, key!("user_agent", text), agent, USER_AGENT_BYTES_MAX);
    text(
        out,
        key!("referer", text),
        request.referer,
        REFERER_BYTES_MAX,
    );
}

/// The second half, with the line end.
pub(super) fn outcome(out: &mut Vec<u8>, outcome: &Outcome<'_>) {
    if let Some(status) = outcome.status {
        out.extend_from_slice(key!("status"));
        number(out, status);
    }
    label(out, key!("error", text), outcome.error);
    if let Some(details) = outcome.details {
        text(
            out,
            key!("details", text),
            details.as_bytes(),
            DETAILS_BYTES_MAX,
        );
    }
    let ended_by = outcome.ended_by.map(super::EndedBy::label);
    label(out, key!("ended_by", text), ended_by);
    label(out, key!("route", text), outcome.route);
    label(out, key!("upstream", text), outcome.upstream);
    if let Some(target) = outcome.target {
        out.extend_from_slice(key!("target", text));
        // An error is a target that was cut.
        let _ = write!(JsonText::new(out, LABEL_BYTES_MAX), "{target}");
        out.push(b'"');
    }
    if let Some(source) = outcome.source {
        out.extend_from_slice(key!("source", text));
        socket(out, source);
        out.push(b'"');
    }
    if let Some(reused) = outcome.reused {
        out.extend_from_slice(key!("reused"));
        out.extend_from_slice(if reused { b"true" } else { b"false" });
    }
    if outcome.attempts > 0 {
        out.extend_from_slice(key!("attempts"));
        number(out, outcome.attempts);
    }
    duration(out, key!("connect"), outcome.connect);
    duration(out, key!("wait"), outcome.wait);
    duration(out, key!("total"), Some(outcome.total));
    out.extend_from_slice(key!("received_bytes"));
    number(out, outcome.received_bytes);
    out.extend_from_slice(key!("sent_bytes"));
    number(out, outcome.sent_bytes);
    out.extend_from_slice(b"}\n");
}

fn duration(out: &mut Vec<u8>, key: &[u8], duration: Option<Duration>) {
    if let Some(duration) = duration {
        out.extend_from_slice(key);
        seconds(out, duration);
    }
}

fn label(out: &mut Vec<u8>, key: &[u8], value: Option<&str>) {
    text(
        out,
        key,
        value.unwrap_or_default().as_bytes(),
        LABEL_BYTES_MAX,
    );
}

/// A key and its text; nothing if the text is empty.
fn text(out: &mut Vec<u8>, key: &[u8], value: &[u8], bytes_max: usize) {
    if !value.is_empty() {
        out.extend_from_slice(key);
        json(out, value, bytes_max);
        out.push(b'"');
    }
}
