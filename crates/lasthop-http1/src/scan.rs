//! Finds the end of a head in what has been read so far, and looks at the raw bytes before any
//! parser does.
//!
//! Parsers are lenient about line ends (RFC 9112 section 2.2 allows them to take a lone LF), and
//! two recipients that are lenient in different ways are how requests are smuggled. So every line
//! here ends with CRLF exactly, or the message is refused at the byte that says so, without waiting
//! for a blank line that may never come.
//!
//! A scan remembers how far it looked: a client that sends one byte at a time costs one pass over
//! its bytes, not one per byte.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::refusal::{Malformed, Refusal};
use crate::syntax::is_token_byte;

/// What every answer begins with (RFC 9112 section 4). HTTP/2 and later do not come as text.
const RESPONSE_START: &[u8] = b"HTTP/1.";

/// The end of a head. Built once: building costs more than the search.
static HEAD_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// What is wrong with the raw bytes, before anything is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawFault {
    /// A CR without LF behind it (RFC 9112 section 2.2).
    BareCr,
    /// A LF without CR before it: allowed to accept, and refused here because others do not (RFC
    /// 9112 section 2.2).
    BareLf,
    /// A NUL (RFC 9110 section 5.5).
    Nul,
    /// A line that begins with a space or a tab: obsolete line folding, or whitespace before the
    /// first field (RFC 9112 sections 5.2 and 2.2).
    Fold,
    /// More blank lines before a request than the one that old clients send, or any before an
    /// answer (RFC 9112 section 2.2).
    BlankLines,
    /// The first bytes cannot begin a message: a TLS handshake, say, or an answer of HTTP/0.9.
    NotHttp,
}

impl RawFault {
    /// One line that says what is wrong.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BareCr => "a CR without LF",
            Self::BareLf => "a line ends with LF alone",
            Self::Nul => "a NUL byte in the head",
            Self::Fold => "a line begins with whitespace (obsolete line folding)",
            Self::BlankLines => "blank lines before the start line",
            Self::NotHttp => "the first bytes are not HTTP/1",
        }
    }
}

impl From<RawFault> for Refusal {
    fn from(fault: RawFault) -> Self {
        Self::bad(fault.reason())
    }
}

impl From<RawFault> for Malformed {
    fn from(fault: RawFault) -> Self {
        Self::new(fault.reason())
    }
}

/// Looks for the end of one head. Give it all bytes since the start of the head each time; start a
/// new one for the next head.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    lines: LineScan,
    start_line_seen: bool,
    is_response: bool,
}

impl HeadScan {
    /// A scan for the head of a request, like `default()`.
    #[must_use]
    pub fn request() -> Self {
        Self::default()
    }

    /// A scan for the head of an answer: it has to begin with `HTTP/1.`, and no blank line may come
    /// before it.
    #[must_use]
    pub fn response() -> Self {
        Self {
            is_response: true,
            ..Self::default()
        }
    }

    /// Whether the head is whole: `Some(length)` in bytes, with the blank line that ends it and, in
    /// a request, the one blank line that may come before it. `None` asks for more bytes; how many
    /// are too many is [`crate::limits::HeadLimits`]' business.
    ///
    /// # Errors
    ///
    /// [`RawFault`], at the first byte that shows it, for as long as the head is not whole. A whole
    /// head may be reported with such a fault still in it, which the parsers then refuse: they look
    /// at every byte anyway, and a second look at each line here would cost 100 ns a request.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, RawFault> {
        if self.lines == LineScan::default()
            && bytes.first().is_some_and(|&byte| is_token_byte(byte))
        {
            self.check_start(bytes)?;
            if let Some(end) = HEAD_END.find(bytes) {
                return Ok(Some(end + HEAD_END.needle().len()));
            }
        }
        loop {
            if !self.start_line_seen {
                self.check_start(bytes.get(self.lines.start..).unwrap_or_default())?;
            }
            let Some(line) = self.lines.next(bytes)? else {
                return Ok(None);
            };
            if !line.is_empty() {
                self.start_line_seen = true;
            } else if self.start_line_seen {
                return Ok(Some(self.lines.start));
            } else if self.is_response || line.start > 0 {
                return Err(RawFault::BlankLines);
            }
        }
    }

    /// Whether a start line can begin like this. A CR is left to the line scan, which knows about
    /// blank lines.
    fn check_start(&self, line: &[u8]) -> Result<(), RawFault> {
        let begins_well = match line.first() {
            None | Some(b'\r' | b'\n') => true,
            Some(b' ' | b'\t') => return Err(RawFault::Fold),
            Some(_) if self.is_response => line
                .iter()
                .zip(RESPONSE_START)
                .all(|(byte, wanted)| byte == wanted),
            Some(&byte) => is_token_byte(byte),
        };
        if begins_well {
            Ok(())
        } else {
            Err(RawFault::NotHttp)
        }
    }
}

/// Cuts bytes into lines that end with CRLF, and remembers how far it looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LineScan {
    /// Where the line that is not whole yet begins.
    pub(crate) start: usize,
    /// Up to where no line end was found.
    looked: usize,
}

impl LineScan {
    /// The next whole line without its CRLF, or `None` if it is not there yet.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<Option<Range<usize>>, RawFault> {
        if matches!(bytes.get(self.start), Some(b' ' | b'\t')) {
            return Err(RawFault::Fold);
        }
        let unseen = bytes.get(self.looked..).unwrap_or_default();
        let Some(offset) = memchr::memchr3(b'\r', b'\n', 0, unseen) else {
            self.looked += unseen.len();
            return Ok(None);
        };
        let end = self.looked + offset;
        match (bytes[end], bytes.get(end + 1)) {
            (b'\r', Some(b'\n')) => {
                let line = self.start..end;
                *self = Self {
                    start: end + 2,
                    looked: end + 2,
                };
                Ok(Some(line))
            }
            (b'\r', None) => {
                self.looked = end;
                Ok(None)
            }
            (b'\r', Some(_)) => Err(RawFault::BareCr),
            (b'\n', _) => Err(RawFault::BareLf),
            _ => Err(RawFault::Nul),
        }
    }
}
