//! Messages as their receivers understand them: framing undone, and what differs from run to run masked.
//!
//! How a body is cut into chunks depends on how it arrived, and means nothing (RFC 9112 section 7.1). A
//! parser of its own, strict and simple, because the one under test would forgive itself.

use std::fmt;

/// Fields whose value is different each time by design.
const MASKED: &[&str] = &["Date", "X-Request-ID"];

/// Errors whose details are no part of the outcome. Which rule a malformed head breaks first depends on
/// how much of it is there; and whether a connection was closed or reset, on which call heard of it first,
/// because the kernel tells of a reset once.
const DETAILS_MASKED: &[&str] = &[
    "http_request_error",
    "http_protocol_error",
    "http_response_incomplete",
];

/// Bytes of a body that a failure shows.
const SHOWN_MAX: usize = 80;

/// One message, or as much of it as has arrived.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Start line and fields, each with its CRLF.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    pub(super) trailers: String,
    /// Whether its receiver can take it for whole.
    pub(super) is_whole: bool,
    /// Whether its end is the end of the connection.
    pub(super) ends_with_connection: bool,
}

/// What arrived on one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) messages: Vec<Message>,
    /// Behind the last message: a tunnel, or a head that is not whole.
    pub(super) rest: Vec<u8>,
}

/// How the body of a message is framed.
enum Framing {
    None,
    Sized(usize),
    Chunked,
    UntilClose,
}

impl Message {
    /// The value of a field.
    fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1);
        let mut fields = fields.filter_map(|line| line.split_once(": "));
        fields
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Word number `index` of the start line.
    fn word(&self, index: usize) -> &str {
        self.head.split([' ', '\r']).nth(index).unwrap_or_default()
    }

    /// Of an answer.
    pub(super) fn status(&self) -> u16 {
        self.word(1).parse().expect("a status")
    }

    /// Of an answer: 1xx, but not 101, which is final.
    pub(super) fn is_interim(&self) -> bool {
        (100..200).contains(&self.status()) && self.status() != 101
    }

    /// Of a request: its number, which is its path.
    pub(super) fn number(&self) -> usize {
        let path = self.word(1).trim_start_matches('/');
        let number = path.split('/').next().unwrap_or_default();
        number.parse().expect("a path that is a number")
    }

    /// Whether the bytes behind it are a tunnel's.
    fn switches(&self) -> bool {
        self.word(1) == "101" || self.word(1).ends_with("/switch")
    }

    /// Whether the proxy wrote this answer itself.
    pub(super) fn is_from_proxy(&self) -> bool {
        self.field("Proxy-Status").is_some()
    }

    /// Whether the connection ends behind this answer.
    pub(super) fn closes(&self) -> bool {
        self.field("Connection") == Some("close")
    }

    /// The same without the field that says whether the connection goes on.
    pub(super) fn without_connection(&self) -> Self {
        let lines = self.head.split_inclusive("\r\n");
        let lines = lines.filter(|line| !line.starts_with("Connection: "));
        Self {
            head: lines.collect(),
            ..self.clone()
        }
    }

    /// Takes the details out of one of the proxy's own answers.
    fn mask_details(&mut self) {
        let Some((error, details)) = self.field("Proxy-Status").and_then(|value| {
            value
                .strip_prefix("lasthop; error=")?
                .split_once("; details=")
        }) else {
            return;
        };
        if DETAILS_MASKED.contains(&error) {
            let length = format!(
                "Content-Length: {}",
                self.field("Content-Length").unwrap_or_default()
            );
            self.head = self
                .head
                .replace(details, "*")
                .replace(&length, "Content-Length: *");
            self.body = b"*".to_vec();
        }
    }

    fn framing(&self, is_answer: bool, to_head: bool) -> Framing {
        let has_none = is_answer && (to_head || matches!(self.status(), 100..200 | 204 | 304));
        match (
            self.field("Transfer-Encoding"),
            self.field("Content-Length"),
        ) {
            _ if has_none => Framing::None,
            (Some("chunked"), None) => Framing::Chunked,
            (None, Some(length)) => Framing::Sized(length.parse().expect("a length")),
            (None, None) if is_answer => Framing::UntilClose,
            (None, None) => Framing::None,
            both => panic!("ambiguous framing: {both:?}"),
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = match (self.is_whole, self.ends_with_connection) {
            (true, _) => "whole",
            (false, true) => "until close",
            (false, false) => "cut",
        };
        write!(f, "{whole} {:?}", self.head)?;
        let shown = &self.body[..self.body.len().min(SHOWN_MAX)];
        let bytes = self.body.len();
        write!(f, " body of {bytes} \"{}\"", shown.escape_ascii())?;
        write!(f, " trailers {:?}", self.trailers)
    }
}

/// Takes apart what a side has received: an app, or a client of whose requests `heads` says which were
/// HEAD.
pub(super) fn messages(mut bytes: &[u8], heads: Option<&[bool]>) -> Seen {
    let mut messages: Vec<Message> = Vec::new();
    let mut finals = 0;
    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n")
        && messages.last().is_none_or(|last| !last.switches())
    {
        let mut message = head(&bytes[..end + 2]);
        bytes = &bytes[end + 4..];
        let to_head = heads.is_some_and(|heads| heads.get(finals) == Some(&true));
        let framing = message.framing(heads.is_some(), to_head);
        bytes = message.take_body(framing, bytes);
        finals += usize::from(heads.is_some() && !message.is_interim());
        let goes_on = message.is_whole;
        message.mask_details();
        messages.push(message);
        if !goes_on {
            break;
        }
    }
    Seen {
        messages,
        rest: bytes.to_vec(),
    }
}

fn head(bytes: &[u8]) -> Message {
    let text = String::from_utf8_lossy(bytes);
    let mut head = String::new();
    for line in text.split_inclusive("\r\n") {
        match line.split_once(": ") {
            Some((name, _))
                if MASKED
                    .iter()
                    .any(|masked| masked.eq_ignore_ascii_case(name)) =>
            {
                head.push_str(name);
                head.push_str(": *\r\n");
            }
            _ => head.push_str(line),
        }
    }
    Message {
        head,
        body: Vec::new(),
        trailers: String::new(),
        is_whole: false,
        ends_with_connection: false,
    }
}

impl Message {
    /// Takes the body from `bytes`; returns what is behind it.
    fn take_body<'b>(&mut self, framing: Framing, bytes: &'b [u8]) -> &'b [u8] {
        match framing {
            Framing::None => self.is_whole = true,
            Framing::Sized(length) => {
                let (body, rest) = bytes.split_at(length.min(bytes.len()));
                self.body = body.to_vec();
                self.is_whole = body.len() == length;
                return rest;
            }
            Framing::Chunked => return self.take_chunks(bytes),
            Framing::UntilClose => {
                self.body = bytes.to_vec();
                self.ends_with_connection = true;
                return &[];
            }
        }
        bytes
    }

    fn take_chunks<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        while let Some((line, rest)) = line(bytes) {
            let size = std::str::from_utf8(line).expect("a chunk size in ASCII");
            let size = usize::from_str_radix(size, 16).expect("a chunk size, no extensions");
            if size == 0 {
                return self.take_trailers(rest);
            }
            let (data, rest) = rest.split_at(size.min(rest.len()));
            self.body.extend_from_slice(data);
            match rest.strip_prefix(b"\r\n") {
                Some(rest) => bytes = rest,
                None if b"\r\n".starts_with(rest) => return &[],
                None => panic!("a chunk that is longer than its size: {self:?}"),
            }
        }
        &[]
    }

    fn take_trailers<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        while let Some((line, rest)) = line(bytes) {
            if line.is_empty() {
                self.is_whole = true;
                return rest;
            }
            self.trailers.push_str(&String::from_utf8_lossy(line));
            self.trailers.push_str("\r\n");
            bytes = rest;
        }
        &[]
    }
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}
