//! Trailer sections: which fields may come behind a body, and which would change what came before
//! it.
//!
//! Form is checked when the body is decoded; what remains is passed on field by field, in either
//! direction. RFC 9110 section 6.5.1 forbids trailers that frame, route, authenticate or describe
//! the content: a recipient that merges trailers into the head would otherwise let them pass by
//! every rule the head went through.

use httparse::{EMPTY_HEADER, Header, Status};

use crate::fields::{Kind, write_field};
use crate::limits::TRAILER_FIELDS_MAX;
use crate::refusal::Malformed;
use crate::syntax::reads_as;

/// Names that are forbidden in trailers beyond those that mean something to a proxy (which [`Kind`]
/// knows), in lower case: RFC 9110 section 6.5.1, with the fields spelled out as RFC 7230 section
/// 4.1.2 did.
const FORBIDDEN: &[&str] = &[
    // Controls and conditionals of a request.
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "pragma",
    "range",
    // Authentication and state.
    "authorization",
    "cookie",
    "set-cookie",
    "www-authenticate",
    "authentication-info",
    // Where the request comes from, as browsers state it and apps check it.
    "origin",
    "referer",
    // Control data of an answer.
    "age",
    "expires",
    "location",
    "retry-after",
    "vary",
    "warning",
    // How the content is to be read.
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-location",
    "content-range",
    "content-security-policy",
    "trailer",
    "x-http-method-override",
];

/// Whether a trailer with this name may be passed on.
#[must_use]
pub fn may_pass(name: &[u8]) -> bool {
    Kind::of(name) == Kind::Other
        && !FORBIDDEN
            .iter()
            .any(|forbidden| reads_as(name, forbidden.as_bytes()))
}

/// Checks the form of a section: field lines and the blank line behind them, or nothing at all.
///
/// # Errors
///
/// [`Malformed`] if a line is not a field, or there are more than [`TRAILER_FIELDS_MAX`].
pub fn check(section: &[u8]) -> Result<(), Malformed> {
    let mut storage = [EMPTY_HEADER; TRAILER_FIELDS_MAX];
    parse(section, &mut storage).map(|_| ())
}

/// Appends the fields of a checked section that may be passed on, without the blank line. Nothing
/// at all if the section is malformed after all.
pub fn write(out: &mut Vec<u8>, section: &[u8]) {
    let mut storage = [EMPTY_HEADER; TRAILER_FIELDS_MAX];
    for field in parse(section, &mut storage).unwrap_or_default() {
        if may_pass(field.name.as_bytes()) {
            write_field(out, field.name, field.value);
        }
    }
}

/// The fields of a section.
fn parse<'h, 'b>(
    section: &'b [u8],
    storage: &'h mut [Header<'b>],
) -> Result<&'h [Header<'b>], Malformed> {
    if section.is_empty() {
        return Ok(&[]);
    }
    let (length, fields) = match httparse::parse_headers(section, storage) {
        Ok(Status::Complete(parsed)) => parsed,
        Ok(Status::Partial) => return Err(Malformed::new("the trailer section is not whole")),
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed::new("too many trailers")),
        Err(httparse::Error::HeaderValue) => {
            return Err(Malformed::new("a trailer value holds a control character"));
        }
        Err(_) => return Err(Malformed::new("a trailer is not a field")),
    };
    // httparse takes a lone LF for a line end, and a CR before LF only: one CR for each line, then,
    // and nothing behind.
    let lines = fields.len() + 1;
    if length != section.len() || memchr::memchr_iter(b'\r', section).count() != lines {
        return Err(Malformed::new(
            "a line of the trailer section does not end with CRLF",
        ));
    }
    Ok(fields)
}
