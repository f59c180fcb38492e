//! HTTP/1.1 heads, framing and chunks, strict in both directions.
//!
//! Bytes come in, meaning comes out, and what is passed on is written anew in one form that every
//! recipient reads alike. There is no I/O here, no clock, no task and no `unsafe`: the proxy reads
//! and writes, this crate judges. It is the hot path and the attack surface at once, so it is
//! small, never allocates while parsing, writes only into the buffer it is given, and is fuzzed
//! target by target (`fuzz/`).
//!
//! The order of use, for a request:
//!
//! 1. [`scan::HeadScan`] finds the end of the head in what has been read so far, and refuses line
//!    ends that two recipients could read differently.
//! 2. [`request::parse`] yields a [`request::RequestHead`], or a [`refusal::Refusal`] with status
//!    and reason.
//! 3. [`request::write`] serialises it for the app: hop-by-hop fields gone, forwarding fields set,
//!    framing ours.
//! 4. [`chunked::Decoder`] takes a chunked body apart; [`chunked::write_size`] and
//!    [`chunked::write_end`] put one together.
//!
//! [`response`] does the same for the answer.

pub mod authority;
pub mod chunked;
pub mod fields;
pub mod forwarding;
mod framing;
mod kind;
pub mod limits;
pub mod refusal;
pub mod request;
pub mod response;
pub mod scan;
mod syntax;
pub mod target;
pub mod trailers;
pub mod upgrade;

/// The HTTP/1 versions that are spoken. Anything else is refused with 505.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: one request per connection unless `keep-alive` is asked for; no chunks, no interim
    /// answers.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl Version {
    /// From the minor version digit, as httparse reports it: 0 or 1, nothing else.
    fn from_minor(minor: Option<u8>) -> Self {
        if minor == Some(1) {
            Self::Http11
        } else {
            Self::Http10
        }
    }
}
