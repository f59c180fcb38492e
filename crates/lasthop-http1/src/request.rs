//! The head of a request: read strictly, written anew for the app.
//!
//! Reading refuses whatever two recipients could read differently; [`RequestHead`] in hand is
//! therefore unambiguous. Writing does not copy the head but says again what it means: origin-form,
//! one Host, end-to-end fields in their order, our framing, our forwarding fields. Routing, body
//! limits and time are the proxy's.

use crate::fields::{FieldStorage, Fields, Kind, TooManyConnectionOptions};
use crate::forwarding::{self, Forwarding};
use crate::framing::{self, Declared};
use crate::kind::KindSet;
use crate::limits::{FIELDS_MAX, HeadLimits, METHOD_BYTES_MAX, REQUEST_ID_BYTES_MAX};
use crate::refusal::Refusal;
use crate::target::Target;
use crate::{Version, authority, upgrade};

/// What every HTTP/2 connection begins with (RFC 9113 section 3.4), as far as it looks like a
/// request line.
const HTTP2_PREFACE_START: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Room for the fields that writing adds, in bytes: a guess that saves growing the buffer twice.
const ADDED_BYTES_EXPECTED: usize = 320;

/// What follows the head of a request (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody {
    /// Nothing is declared, so nothing follows.
    None,
    /// This many bytes; 0 is possible and is passed on as such.
    Sized(u64),
    /// A chunked body.
    Chunked,
}

impl RequestBody {
    /// Whether no byte of a body follows the head.
    #[must_use]
    pub fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Sized(0))
    }
}

/// A request head that can be read in one way only.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'s, 'b> {
    /// A token of at most [`METHOD_BYTES_MAX`] bytes, case as received; never `CONNECT`.
    pub method: &'b str,
    /// What is asked for.
    pub target: Target<'b>,
    /// The client's version.
    pub version: Version,
    /// What follows the head.
    pub body: RequestBody,
    /// Whether the client would send another request on this connection (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// The value of `Upgrade` if the client asks for it in a way that counts (RFC 9110 section
    /// 7.8): HTTP/1.1, `Connection: upgrade`, no body, and a protocol other than `h2c`.
    /// [`upgrade::protocols`] takes it apart.
    pub upgrade: Option<&'b str>,
    /// Whether the client may wait for `100 Continue` before it sends the body (RFC 9110 section
    /// 10.1.1). Not in HTTP/1.0, where the field is dropped.
    pub expects_continue: bool,
    host_field: Option<&'b str>,
    accepts_trailers: bool,
    fields: Fields<'s, 'b>,
}

impl<'s, 'b> RequestHead<'s, 'b> {
    /// Whether the answer will have no body, whatever its head says.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// Whether sending it twice does what sending it once does (RFC 9110 section 9.2.2).
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        matches!(
            self.method,
            "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE"
        )
    }

    /// `host[:port]`: the target's where it has one, else that of Host (RFC 9112 section 3.3). Only
    /// HTTP/1.0 knows requests with neither.
    #[must_use]
    pub fn authority(&self) -> Option<&'b str> {
        match self.target {
            Target::Absolute { authority, .. } => Some(authority),
            Target::Origin(_) | Target::Asterisk => self.host_field,
        }
    }

    /// The authority without its port, an IPv6 address in its brackets. Case as received.
    #[must_use]
    pub fn host(&self) -> Option<&'b str> {
        self.authority().map(authority::host)
    }

    /// The path without the query, neither decoded nor normalised.
    #[must_use]
    pub fn path(&self) -> &'b str {
        self.target.path()
    }

    /// The client's `X-Request-ID`, if it sent one only and it is fit for a log: 1 to
    /// [`REQUEST_ID_BYTES_MAX`] visible ASCII characters.
    #[must_use]
    pub fn request_id(&self) -> Option<&'b str> {
        if self.fields.is_repeated(Kind::XRequestId) {
            return None;
        }
        let id = self.fields.first(Kind::XRequestId)?;
        let is_fit =
            (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
        str::from_utf8(id).ok().filter(|_| is_fit)
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
/// [`Refusal`] with the status that names the fault; the connection cannot be used any further.
pub fn parse<'s, 'b>(
    head: &'b [u8],
    storage: &'s mut FieldStorage<'b>,
    limits: &HeadLimits,
) -> Result<RequestHead<'s, 'b>, Refusal> {
    // RFC 9112 section 2.2: one blank line before the request line is forgiven.
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    if head.len() > limits.bytes_max {
        return Err(limits.too_large(head));
    }
    let FieldStorage { headers, kinds } = storage;
    let mut raw = httparse::Request::new(&mut []);
    let fields_max = limits.fields_max.min(FIELDS_MAX);
    let outcome = raw.parse_with_uninit_headers(head, &mut headers[..fields_max]);
    match outcome {
        Ok(httparse::Status::Complete(length))
            if length == head.len() && lines_end_well(head, raw.headers.len()) => {}
        Ok(_) => {
            return Err(Refusal::bad(
                "the head is not one whole head with CRLF line ends",
            ));
        }
        Err(error) => return Err(syntax_refusal(head, &raw, error)),
    }
    let httparse::Request {
        method,
        path,
        version,
        headers,
    } = raw;
    let (method, target) = (method.unwrap_or_default(), path.unwrap_or_default());
    let (fields, connection) = Fields::classify(head, headers, kinds)
        .map_err(|_: TooManyConnectionOptions| Refusal::bad(TooManyConnectionOptions::REASON))?;

    let version = Version::from_minor(version);
    let target = parse_request_line(method, target, limits)?;
    let host_field = host_field(&fields, version)?;
    let body = body(&fields, version)?;
    let is_11 = version == Version::Http11;
    let offered = if is_11 && connection.upgrade && body.is_empty() {
        offered_upgrade(&fields)
    } else {
        None
    };
    let keep_alive = !connection.close && (is_11 || connection.keep_alive);
    let expects_continue = is_11
        && fields.has(Kind::Expect)
        && fields
            .list(Kind::Expect)
            .any(|expectation| expectation.eq_ignore_ascii_case(b"100-continue"));
    let accepts_trailers = is_11
        && connection.te
        && fields
            .list(Kind::Te)
            .any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
    Ok(RequestHead {
        method,
        target,
        version,
        body,
        keep_alive,
        upgrade: offered,
        expects_continue,
        host_field,
        accepts_trailers,
        fields,
    })
}

/// Whether all lines of a head that httparse took whole end with CRLF. httparse refuses a CR
/// anywhere but before LF, so there must be one CR for each line.
pub(crate) fn lines_end_well(head: &[u8], fields: usize) -> bool {
    let starts_with_line = !matches!(head.first(), Some(b'\r' | b'\n') | None);
    starts_with_line && memchr::memchr_iter(b'\r', head).count() == fields + 2
}

/// The bounds of the request line, CONNECT, and the form of the target.
fn parse_request_line<'b>(
    method: &str,
    target: &'b str,
    limits: &HeadLimits,
) -> Result<Target<'b>, Refusal> {
    if method.len() > METHOD_BYTES_MAX {
        // RFC 9112 section 3: a method longer than any that is implemented is 501.
        return Err(Refusal::new(501, "the method is too long"));
    }
    if target.len() > limits.target_bytes_max {
        return Err(Refusal::new(414, "the request target is too long"));
    }
    if method == "CONNECT" {
        return Err(Refusal::new(405, "CONNECT is not enabled"));
    }
    Target::parse(target, method)
}

/// RFC 9112 section 3.2: exactly one valid Host in HTTP/1.1, also beside an absolute-form target;
/// at most one in 1.0.
fn host_field<'b>(fields: &Fields<'_, 'b>, version: Version) -> Result<Option<&'b str>, Refusal> {
    if fields.is_repeated(Kind::Host) {
        return Err(Refusal::bad("more than one Host"));
    }
    match fields.first(Kind::Host) {
        Some(value) => match authority::parse(value) {
            Some(host) => Ok(Some(host)),
            None => Err(Refusal::bad("Host is malformed")),
        },
        None if version == Version::Http11 => Err(Refusal::bad("no Host")),
        None => Ok(None),
    }
}

/// RFC 9112 section 6.3 for requests: what [`framing::declared`] found, and no body where nothing
/// is declared (rule 7).
fn body(fields: &Fields<'_, '_>, version: Version) -> Result<RequestBody, Refusal> {
    if fields.has(Kind::FramingShadow) {
        return Err(Refusal::bad(
            "Content_Length or Transfer_Encoding with an underscore",
        ));
    }
    match framing::declared(fields, version) {
        Ok(Declared::Nothing) => Ok(RequestBody::None),
        Ok(Declared::Length(length)) => Ok(RequestBody::Sized(length)),
        Ok(Declared::Chunked) => Ok(RequestBody::Chunked),
        Err(fault) if fault.is_unknown_coding => Err(Refusal::new(501, fault.reason)),
        Err(fault) => Err(Refusal::bad(fault.reason)),
    }
}

/// A single, well-formed `Upgrade` field. Anything else may be ignored (RFC 9110 section 7.8), and
/// is.
fn offered_upgrade<'b>(fields: &Fields<'_, 'b>) -> Option<&'b str> {
    if fields.is_repeated(Kind::Upgrade) {
        return None;
    }
    fields.first(Kind::Upgrade).and_then(upgrade::parse)
}

/// Puts into words, and into a status, what httparse did not take. How far it came tells which part
/// of the request line is meant.
fn syntax_refusal(head: &[u8], raw: &httparse::Request<'_, '_>, error: httparse::Error) -> Refusal {
    use httparse::Error;
    match error {
        Error::Token if raw.method.is_none() => Refusal::bad("the method is not a token"),
        Error::Token => Refusal::bad(
            "the request target holds a space, a control or bytes that are not UTF-8, or no version follows",
        ),
        Error::Version if head.starts_with(HTTP2_PREFACE_START) => {
            Refusal::new(505, "HTTP/2 is not spoken on this listener")
        }
        Error::Version if names_a_version(head) => {
            Refusal::new(505, "the HTTP version is not supported")
        }
        Error::Version | Error::NewLine | Error::Status => {
            Refusal::bad("the request line is malformed")
        }
        Error::HeaderName => Refusal::bad(
            "a field name is empty or not a token, has whitespace before the colon, or is folded",
        ),
        Error::HeaderValue => Refusal::bad("a field value holds a control character"),
        Error::TooManyHeaders => Refusal::new(431, "too many fields"),
    }
}

/// Whether the request line ends with a well-formed version (RFC 9112 section 2.3), which then is
/// one not spoken here.
fn names_a_version(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let version = line
        .splitn(3, |&byte| byte == b' ')
        .nth(2)
        .unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// Which fields travel as they are. The rest is dropped, or written anew by [`write()`] and
/// [`forwarding`].
const END_TO_END: KindSet = KindSet::of(&[Kind::Other, Kind::ContentType, Kind::Date]);

/// Appends the head as the app gets it.
///
/// - The request line in origin-form (or `*`), always as HTTP/1.1.
/// - One Host: the authority of the request, or `forwarding.host_fallback` where HTTP/1.0 sent
///   none.
/// - End-to-end fields, in order, names and values as received. Gone are the hop-by-hop fields,
///   what `Connection` names, and names that differ from a field set here only by underscores (see
///   [`Kind::Shadow`]). `Trailer` stays: RFC 9110 section 6.6.2 makes it end-to-end.
/// - `Connection: Upgrade` with `Upgrade`, or `Connection: TE` with `TE: trailers` where the client
///   said both; else no Connection at all, for HTTP/1.1 keeps connections open.
/// - The framing the head declared, in our words.
/// - The forwarding fields (see [`Forwarding`]).
pub fn write(out: &mut Vec<u8>, head: &RequestHead<'_, '_>, forwarding: &Forwarding<'_>) {
    out.reserve(head.fields.head_len() + ADDED_BYTES_EXPECTED);
    out.extend_from_slice(head.method.as_bytes());
    out.push(b' ');
    head.target.write(out);
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(
        head.authority()
            .unwrap_or(forwarding.host_fallback)
            .as_bytes(),
    );
    out.extend_from_slice(b"\r\n");

    let mut kept = END_TO_END;
    if head.version == Version::Http11 {
        kept = kept.with(Kind::Expect);
    }
    if forwarding.trusted {
        kept = kept.with(Kind::XForwardedOther);
    }
    if forwarding.request_id.is_none() {
        kept = kept.with(Kind::XRequestId);
    }
    head.fields.write(out, kept);

    if let Some(offered) = head.upgrade {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        upgrade::write(out, offered);
    } else if head.accepts_trailers {
        out.extend_from_slice(b"Connection: TE\r\nTE: trailers\r\n");
    }
    match head.body {
        RequestBody::None => {}
        RequestBody::Sized(length) => framing::write_length(out, length),
        RequestBody::Chunked => out.extend_from_slice(framing::CHUNKED_LINE),
    }
    forwarding::write(out, head, forwarding);
    out.extend_from_slice(b"\r\n");
}
