//! The head of an answer: read as strictly as a request, and written anew for the client
//! ([`Delivery`]).
//!
//! The app is on the same host and still not believed blindly: an answer that two recipients could
//! read differently is how one user gets to see the answer meant for another. Whether an answer
//! belongs to a request at all, and what comes after its end, is the proxy's to watch.

use std::mem::MaybeUninit;

use crate::fields::{FieldStorage, Fields, Kind, TooManyConnectionOptions};
use crate::framing::{self, Declared};
use crate::limits::{FIELDS_MAX, HeadLimits};
use crate::refusal::Malformed;
use crate::request::lines_end_well;
use crate::syntax::trimmed;
use crate::{Version, upgrade};

mod delivery;

pub use delivery::{ConnectionField, Delivery, Framing, write};

/// What the request was, as far as the answer depends on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestKind<'a> {
    /// Whether it was HEAD: no body follows, whatever the head says.
    pub is_head: bool,
    /// The protocols it offered to switch to: [`crate::request::RequestHead::upgrade`].
    pub upgrade: Option<&'a str>,
}

/// What follows the head of an answer (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    /// No body, because of the status or of HEAD.
    None,
    /// This many bytes.
    Sized(u64),
    /// A chunked body.
    Chunked,
    /// All that comes until the app closes. Nothing tells whether it was all.
    UntilClose,
}

/// The head of an answer that can be read in one way only.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'s, 'b> {
    /// 100 to 599.
    pub status: u16,
    /// As received; empty if there was none or it was not ASCII.
    pub reason: &'b str,
    /// The app's version.
    pub version: Version,
    /// What follows the head.
    pub body: ResponseBody,
    /// `Content-Length` as declared, which for HEAD and 304 tells of a body that does not follow.
    pub content_length: Option<u64>,
    /// The head declares a body that must not follow (HEAD, 304). An app that sends it all the same
    /// puts it where the next answer is expected.
    pub withholds_body: bool,
    /// Whether the app's connection may be used again once the body has been read.
    pub keep_alive: bool,
    /// For how many seconds the app says it keeps an idle connection: `Keep-Alive: timeout=…`.
    pub keep_alive_timeout: Option<u32>,
    /// The protocols the app names: for 101 those it switches to, for 426 those it wants.
    upgrade: Option<&'b str>,
    fields: Fields<'s, 'b>,
}

impl<'s, 'b> ResponseHead<'s, 'b> {
    /// Whether it is an interim answer, after which the answer proper still comes: 1xx, but not
    /// 101.
    #[must_use]
    pub fn is_interim(&self) -> bool {
        self.status < 200 && !self.is_switching()
    }

    /// Whether the connection is a tunnel from here on: 101, which is only taken if it was asked
    /// for.
    #[must_use]
    pub fn is_switching(&self) -> bool {
        self.status == 101
    }

    /// All fields as received, those that are not passed on included.
    #[must_use]
    pub fn fields(&self) -> &Fields<'s, 'b> {
        &self.fields
    }
}

/// Reads a head: exactly the bytes [`crate::scan::HeadScan`] found, blank line included.
///
/// # Errors
///
/// [`Malformed`]: the answer must not be passed on, nor its connection used again.
pub fn parse<'s, 'b>(
    head: &'b [u8],
    storage: &'s mut FieldStorage<'b>,
    request: RequestKind<'_>,
    limits: &HeadLimits,
) -> Result<ResponseHead<'s, 'b>, Malformed> {
    let FieldStorage { headers, kinds } = storage;
    let fields_max = limits.fields_max.min(FIELDS_MAX);
    let raw = parse_syntax(head, &mut headers[..fields_max], limits)?;
    let httparse::Response {
        version,
        code,
        reason,
        headers,
    } = raw;
    let status = code.unwrap_or_default();
    let (fields, connection) = Fields::classify(head, headers, kinds)
        .map_err(|_: TooManyConnectionOptions| Malformed::new(TooManyConnectionOptions::REASON))?;

    let version = Version::from_minor(version);
    let declared =
        framing::declared(&fields, version).map_err(|fault| Malformed::new(fault.reason))?;
    if status < 200 && status != 101 && promises_forbidden_body(status, declared) {
        // What follows could be that body, or the answer itself.
        return Err(Malformed::new("an interim answer declares a body"));
    }
    let body = body(status, request.is_head, declared);
    let named_upgrade = if fields.has(Kind::Upgrade) {
        named_upgrade(&fields)
    } else {
        None
    };
    if status == 101 {
        let is_listed = connection.upgrade && version == Version::Http11;
        check_switch(request.upgrade, named_upgrade.filter(|_| is_listed))?;
    }
    let asks_to_persist =
        !connection.close && (version == Version::Http11 || connection.keep_alive);
    let keep_alive = asks_to_persist
        && body != ResponseBody::UntilClose
        && !promises_forbidden_body(status, declared);
    let content_length = if let Declared::Length(length) = declared {
        Some(length)
    } else {
        None
    };
    let withholds_body =
        body == ResponseBody::None && !matches!(declared, Declared::Nothing | Declared::Length(0));
    Ok(ResponseHead {
        status,
        reason: reason.unwrap_or_default(),
        version,
        body,
        content_length,
        withholds_body,
        keep_alive,
        keep_alive_timeout: if keep_alive {
            keep_alive_timeout(&fields)
        } else {
            None
        },
        upgrade: named_upgrade,
        fields,
    })
}

/// What httparse makes of the head, once its bounds, its line ends and its status are in order.
fn parse_syntax<'s, 'b>(
    head: &'b [u8],
    headers: &'s mut [MaybeUninit<httparse::Header<'b>>],
    limits: &HeadLimits,
) -> Result<httparse::Response<'s, 'b>, Malformed> {
    if head.len() > limits.bytes_max {
        return Err(Malformed::new("the head of the answer is too large"));
    }
    let mut raw = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut raw, head, headers) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => {
            return Err(Malformed::new("the head of the answer is not whole"));
        }
        Err(error) => return Err(Malformed::new(syntax_reason(error))),
    };
    if length != head.len() || !lines_end_well(head, raw.headers.len()) {
        return Err(Malformed::new(
            "the head of the answer is not one whole head with CRLF line ends",
        ));
    }
    if !raw.code.is_some_and(|status| (100..=599).contains(&status)) {
        return Err(Malformed::new("the status is not between 100 and 599"));
    }
    Ok(raw)
}

/// RFC 9112 section 6.3 for answers.
///
/// 1. HEAD, 1xx, 204 and 304 have no body, whatever the fields say.
/// 2. (CONNECT is not forwarded.)
/// 3. to 5. Transfer-Encoding and Content-Length: [`framing::declared`] has refused what is
///    ambiguous.
/// 6. (Requests only.)
/// 7. Otherwise the body lasts until the app closes.
fn body(status: u16, is_head: bool, declared: Declared) -> ResponseBody {
    if is_head || matches!(status, 100..=199 | 204 | 304) {
        return ResponseBody::None;
    }
    match declared {
        Declared::Chunked => ResponseBody::Chunked,
        Declared::Length(length) => ResponseBody::Sized(length),
        Declared::Nothing => ResponseBody::UntilClose,
    }
}

/// A 1xx or 204 that declares a body all the same (RFC 9112 section 6.1, RFC 9110 section 8.6): the
/// declaration is dropped, and since the body may follow nevertheless, the connection is not used
/// again.
fn promises_forbidden_body(status: u16, declared: Declared) -> bool {
    let is_bodiless = matches!(status, 100..=199 | 204);
    is_bodiless && !matches!(declared, Declared::Nothing | Declared::Length(0))
}

/// A single, well-formed `Upgrade` field.
fn named_upgrade<'b>(fields: &Fields<'_, 'b>) -> Option<&'b str> {
    if fields.is_repeated(Kind::Upgrade) {
        return None;
    }
    fields.first(Kind::Upgrade).and_then(upgrade::parse)
}

/// RFC 9110 section 7.8: a server switches only to what the client offered.
fn check_switch(offered: Option<&str>, named: Option<&str>) -> Result<(), Malformed> {
    let Some(offered) = offered else {
        return Err(Malformed::new("101 without having been asked to switch"));
    };
    match named {
        Some(chosen) if upgrade::is_offered(offered, chosen) => Ok(()),
        Some(_) => Err(Malformed::new(
            "101 switches to a protocol that was not offered",
        )),
        None => Err(Malformed::new(
            "101 without a valid Upgrade and Connection: upgrade",
        )),
    }
}

/// `timeout=N` out of `Keep-Alive`, the one parameter that matters here.
fn keep_alive_timeout(fields: &Fields<'_, '_>) -> Option<u32> {
    fields.list(Kind::KeepAlive).find_map(|parameter| {
        let (name, value) = parameter.split_at(parameter.iter().position(|&byte| byte == b'=')?);
        let digits = std::str::from_utf8(trimmed(&value[1..])).ok()?;
        trimmed(name)
            .eq_ignore_ascii_case(b"timeout")
            .then(|| digits.parse().ok())?
    })
}

/// Puts into words what httparse did not take.
fn syntax_reason(error: httparse::Error) -> &'static str {
    use httparse::Error;
    match error {
        Error::Version => "the answer does not begin with HTTP/1.0 or HTTP/1.1",
        Error::Status | Error::Token | Error::NewLine => "the status line is malformed",
        Error::HeaderName => {
            "a field name is empty or not a token, has whitespace before the colon, or is folded"
        }
        Error::HeaderValue => "a field value holds a control character",
        Error::TooManyHeaders => "too many fields",
    }
}
