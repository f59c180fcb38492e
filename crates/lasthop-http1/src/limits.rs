//! Every bound of this crate, with its reason.
//!
//! Bounds on time, on bodies and on the number of interim answers belong to the proxy, which has
//! the clock and the connection.

use crate::refusal::{Malformed, Refusal};

/// The most fields a head may have, whatever [`HeadLimits::fields_max`] says: the length of the
/// array that parsing fills. 128 fields of 32 bytes are 4 KiB of stack.
pub const FIELDS_MAX: usize = 128;

/// The longest method that is forwarded. The longest registered one, `UPDATEREDIRECTREF`, has 17
/// bytes.
pub const METHOD_BYTES_MAX: usize = 32;

/// Bytes of an `X-Request-ID` that is taken over from a client. Identifiers in use have 16 to 64.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// How many fields `Connection` may name, beyond the options that are understood here. Each one is
/// compared with each field; without a bound, 32 KiB of `a,a,a,…` would cost milliseconds.
pub const CONNECTION_OPTIONS_MAX: usize = 32;

/// The longest line that announces a chunk: size, extensions, CRLF.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;

/// All chunk extensions of one body together. Nothing in the field uses them, and without a bound a
/// body of one-byte chunks could carry 250 times its weight past every limit on bodies.
pub const CHUNK_EXTENSION_BYTES_MAX: u32 = 16 * 1024;

/// The longest trailer section, blank line included.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// The most fields a trailer section may have.
pub const TRAILER_FIELDS_MAX: usize = 32;

/// Bounds on one head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// The whole head in bytes, start line and blank line included.
    pub bytes_max: usize,
    /// The number of fields; never more than [`FIELDS_MAX`] have effect.
    pub fields_max: usize,
    /// The request target in bytes; without meaning for answers.
    pub target_bytes_max: usize,
}

impl Default for HeadLimits {
    /// 32 KiB, 100 fields, 16 KiB of target: what nginx takes by default (four buffers of 8 KiB),
    /// and room for the longest links that browsers send.
    fn default() -> Self {
        Self {
            bytes_max: 32 * 1024,
            fields_max: 100,
            target_bytes_max: 16 * 1024,
        }
    }
}

impl HeadLimits {
    /// Whether a request head whose end has not been seen yet may go on growing.
    ///
    /// # Errors
    ///
    /// 414 when `bytes_max` is reached inside the request line, 431 when it is reached after it
    /// (RFC 9112 section 3, RFC 6585 section 5).
    pub fn check_partial_request(&self, bytes: &[u8]) -> Result<(), Refusal> {
        if bytes.len() < self.bytes_max {
            return Ok(());
        }
        Err(self.too_large(bytes))
    }

    /// What is wrong with a request head that reaches `bytes_max`. Looks no further than that, so that it is
    /// the same however much of the head came at once.
    pub(crate) fn too_large(&self, bytes: &[u8]) -> Refusal {
        let bytes = &bytes[..bytes.len().min(self.bytes_max)];
        let line = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
        if memchr::memchr(b'\n', line).is_none() {
            // RFC 9112 section 3.
            return Refusal::new(414, "the request line is too long");
        }
        // RFC 6585 section 5.
        Refusal::new(431, "the head is too large")
    }

    /// Whether an answer's head whose end has not been seen yet may go on growing.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when `bytes_max` is reached.
    pub fn check_partial_response(&self, bytes: &[u8]) -> Result<(), Malformed> {
        if bytes.len() < self.bytes_max {
            return Ok(());
        }
        Err(Malformed::new("the head of the answer is too large"))
    }
}
