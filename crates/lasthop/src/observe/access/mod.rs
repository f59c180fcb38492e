//! The access log: one line for every request, as JSON or in the combined format.
//!
//! A worker never waits for whoever reads the log. It writes a line into a chunk of its own
//! ([`WorkerLog`]), hands full chunks to a bounded queue, and a thread ([`AccessWriter`]) writes
//! them. What does not fit the queue is dropped, counted and told in the operator log. What the lines
//! look like is in `docs/access-log.md`; here is what they are made of, and every bound on them.

mod chunk;
mod combined;
mod escape;
mod json;
mod numbers;
mod output;
mod queue;
mod request_id;
mod time;
mod worker;
mod writer;

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

pub use request_id::{RequestId, RequestIds};
pub use time::rfc3339;
pub use worker::{Entry, WorkerLog};
pub use writer::{AccessDrops, AccessWriter};

/// How much of a request's URI is logged. Room for what real clients send: browsers and search
/// engines keep below 2,000 bytes, and a longer one is a body in disguise.
const URI_BYTES_MAX: usize = 4096;

/// How much of `Referer` is logged: it is a URI, but not the one to find again.
const REFERER_BYTES_MAX: usize = 1024;

/// How much of `User-Agent` is logged. Browsers' are below 200 bytes.
const USER_AGENT_BYTES_MAX: usize = 512;

/// How much of `Host` is logged: a name of 253 bytes (RFC 1035 section 2.3.4 in text) and a port.
const HOST_BYTES_MAX: usize = 260;

/// How much of a method is logged; the longest registered one has 17 bytes.
const METHOD_BYTES_MAX: usize = 32;

/// How much is logged of each label from the configuration, and of a target.
const LABEL_BYTES_MAX: usize = 256;

/// How much is logged of the reason why a request failed.
const DETAILS_BYTES_MAX: usize = 512;

/// Everything else on a line: keys, times, numbers, addresses. About 500 bytes are used at most.
const FIXED_BYTES_MAX: usize = 1024;

/// Bytes that one byte of input becomes at worst: `\u0007`.
const ESCAPE_BYTES_MAX: usize = 6;

/// The longest possible line, if a request were made of control characters alone: 48 KiB. A whole
/// head of 8 KiB that is ordinary text makes 8 KiB.
const LINE_BYTES_MAX: usize = 48 * 1024;

/// The labels on one line: request id, listener, route, upstream, target, error type.
const LABELS: usize = 6;

const _: () = assert!(
    (URI_BYTES_MAX
        + REFERER_BYTES_MAX
        + USER_AGENT_BYTES_MAX
        + HOST_BYTES_MAX
        + METHOD_BYTES_MAX
        + LABELS * LABEL_BYTES_MAX
        + DETAILS_BYTES_MAX)
        * ESCAPE_BYTES_MAX
        + FIXED_BYTES_MAX
        <= LINE_BYTES_MAX
);

/// What is known of a request once its head has been read. Where the head was refused, the slices
/// may be empty: an empty one is `-` in the combined format and no key in JSON.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// What tells this request from all others.
    pub id: RequestId,
    /// The id that a trusted proxy gave it (`X-Request-ID`), which the line then has instead.
    pub received_id: Option<&'a str>,
    /// The client's address; none on a Unix socket.
    pub client: Option<IpAddr>,
    /// The method.
    pub method: &'a [u8],
    /// The request target as the client sent it, with its query.
    pub target: &'a [u8],
    /// The host that was asked for, with its port if it was given.
    pub host: &'a [u8],
    /// The version the client speaks, such as `(1, 1)`. Written only where there is a method.
    pub version: (u8, u8),
    /// The value of `User-Agent`.
    pub user_agent: &'a [u8],
    /// The value of `Referer`.
    pub referer: &'a [u8],
    /// The listener's label.
    pub listener: &'a str,
    /// When it began: with its first byte, or with the end of the request before it.
    pub time: SystemTime,
}

impl<'a> RequestLine<'a> {
    /// Of a head that nothing could be read of.
    pub fn unread(id: RequestId, listener: &'a str, time: SystemTime) -> Self {
        Self {
            id,
            received_id: None,
            client: None,
            method: b"",
            target: b"",
            host: b"",
            version: (1, 1),
            user_agent: b"",
            referer: b"",
            listener,
            time,
        }
    }
}

/// How a request ended. The default is one that nothing is known of.
#[derive(Clone, Copy, Default)]
pub struct Outcome<'a> {
    /// The status that the client was sent; none if it was sent nothing.
    pub status: Option<u16>,
    /// The error type of `Proxy-Status` (RFC 9209 section 2.3); none where nothing went wrong.
    pub error: Option<&'a str>,
    /// Why, in words.
    pub details: Option<&'a str>,
    /// Who ended it early, or ended the tunnel; none if it was complete.
    pub ended_by: Option<EndedBy>,
    /// The route's label.
    pub route: Option<&'a str>,
    /// The upstream's label.
    pub upstream: Option<&'a str>,
    /// The target that the last attempt went to, also where it came to no connection.
    pub target: Option<&'a dyn Display>,
    /// Our own address of that connection; none on a Unix socket.
    pub source: Option<SocketAddr>,
    /// Whether that connection had been used before.
    pub reused: Option<bool>,
    /// Connections that the request was sent, or was about to be sent, on; `0`: it was never the app's turn.
    pub attempts: u32,
    /// Waiting for a connection: in the queue, and connecting.
    pub connect: Option<Duration>,
    /// From there to the head of the answer.
    pub wait: Option<Duration>,
    /// From the first byte of the head to the end.
    pub total: Duration,
    /// Bytes read from the client and used for this request, its head included.
    pub received_bytes: u64,
    /// Bytes written to the client for this request, the head of the answer included.
    pub sent_bytes: u64,
}

/// Who ended a request before it was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The client left, or was too slow.
    Client,
    /// The app closed, failed or was too slow.
    Upstream,
    /// We did: a refusal, a shortage of our own, or the end of the process.
    Proxy,
}

impl EndedBy {
    /// The word in the log.
    fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Proxy => "proxy",
        }
    }
}

#[cfg(test)]
mod tests;
