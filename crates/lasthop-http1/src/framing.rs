//! What a head declares about the body that follows it: RFC 9112 sections 6.1 to 6.3, the part both
//! directions share.
//!
//! The rules, each with the answer to breaking it, in the order they are looked at:
//!
//! 1. Transfer-Encoding and Content-Length together: refused, though section 6.3 would let the
//!    first win. Everything that smuggles begins here.
//! 2. Transfer-Encoding in HTTP/1.0: refused (section 6.1: "ought to be handled as an error").
//! 3. Transfer-Encoding, all lines taken together, is anything but the one member `chunked`:
//!    refused. Where `chunked` comes last behind codings unknown here, the fault is a different
//!    one, since 501 tells the client what to change (section 6.1).
//! 4. More than one Content-Length, identical or not: refused, though section 6.3 would allow
//!    identical ones.
//! 5. A Content-Length that is not digits only, or does not fit 64 bits: refused (section 6.3 rule
//!    5).
//!
//! What no declaration means differs between requests and answers and stands in [`crate::request`]
//! and [`crate::response`].

use crate::Version;
use crate::fields::{Fields, Kind};
use crate::syntax::is_token;

/// How the body is said to be framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    Nothing,
    Length(u64),
    Chunked,
}

/// Why the declaration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: &'static str,
    /// The transfer coding is well-formed, but not one that is understood.
    pub(crate) is_unknown_coding: bool,
}

impl Fault {
    const fn new(reason: &'static str) -> Self {
        Self {
            reason,
            is_unknown_coding: false,
        }
    }
}

/// Reads the declaration out of the fields.
pub(crate) fn declared(fields: &Fields<'_, '_>, version: Version) -> Result<Declared, Fault> {
    if fields.has(Kind::TransferEncoding) {
        if fields.has(Kind::ContentLength) {
            return Err(Fault::new("both Content-Length and Transfer-Encoding"));
        }
        if version == Version::Http10 {
            return Err(Fault::new("Transfer-Encoding in HTTP/1.0"));
        }
        check_codings(fields)?;
        return Ok(Declared::Chunked);
    }
    if fields.is_repeated(Kind::ContentLength) {
        return Err(Fault::new("more than one Content-Length"));
    }
    match fields.first(Kind::ContentLength).map(decimal) {
        None => Ok(Declared::Nothing),
        Some(Some(length)) => Ok(Declared::Length(length)),
        Some(None) => Err(Fault::new("Content-Length is malformed")),
    }
}

/// Whether the codings are `chunked`, once, and nothing else.
fn check_codings(fields: &Fields<'_, '_>) -> Result<(), Fault> {
    let mut chunked = 0;
    let mut others = 0;
    let mut chunked_is_last = false;
    for coding in fields.list(Kind::TransferEncoding) {
        if !is_token(coding) {
            return Err(Fault::new("Transfer-Encoding is malformed"));
        }
        chunked_is_last = coding.eq_ignore_ascii_case(b"chunked");
        if chunked_is_last {
            chunked += 1;
        } else {
            others += 1;
        }
    }
    match (chunked, others) {
        (1, 0) => Ok(()),
        (2.., _) => Err(Fault::new("Transfer-Encoding names chunked more than once")),
        (1, _) if !chunked_is_last => Err(Fault::new("chunked is not the final transfer coding")),
        _ => Err(Fault {
            reason: "unknown transfer coding",
            is_unknown_coding: true,
        }),
    }
}

/// The largest length believed, in bytes: beyond it, recipients that count in signed numbers would
/// see a negative one.
const LENGTH_MAX: u64 = i64::MAX as u64;

/// One or more digits as a number, or `None`: signs, spaces, lists, hexadecimal and overflow are
/// all malformed.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let number = value.iter().try_fold(0u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })?;
    (number <= LENGTH_MAX).then_some(number)
}

/// Appends the decimal digits of a length.
pub(crate) fn write_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// What announces a chunked body.
pub(crate) const CHUNKED_LINE: &[u8] = b"Transfer-Encoding: chunked\r\n";
