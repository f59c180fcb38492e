//! The fields of one head: where they are kept, what kind each is, and how those that are passed on
//! are written.
//!
//! A field's [`Kind`] is found once and kept beside it; everything after that (framing, forwarding,
//! serialising) asks for kinds, never for names again. What the kinds *mean* is decided in
//! [`crate::request`] and [`crate::response`], not here.

use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Range;

use httparse::Header;

pub use crate::kind::Kind;
use crate::kind::KindSet;
use crate::limits::{CONNECTION_OPTIONS_MAX, FIELDS_MAX};
use crate::syntax::{is_token, members};

/// Room for the fields of one head, about 4 KiB, left uninitialised until it is parsed into. Keep
/// it on the stack of the function that parses and writes; kept across an `await`, it would make
/// every task that much larger.
pub struct FieldStorage<'b> {
    pub(crate) headers: [MaybeUninit<Header<'b>>; FIELDS_MAX],
    pub(crate) kinds: [Kind; FIELDS_MAX],
}

impl Default for FieldStorage<'_> {
    fn default() -> Self {
        Self {
            headers: [const { MaybeUninit::uninit() }; FIELDS_MAX],
            kinds: [Kind::Other; FIELDS_MAX],
        }
    }
}

impl fmt::Debug for FieldStorage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldStorage").finish_non_exhaustive()
    }
}

/// One field of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'b> {
    /// The name as received: a token.
    pub name: &'b str,
    /// The value without whitespace around it: any bytes but controls.
    pub value: &'b [u8],
    /// What it is to a proxy.
    pub kind: Kind,
}

/// What `Connection` says, over all its lines (RFC 9110 section 7.6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionOptions {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    pub(crate) te: bool,
}

/// `Connection` names more than [`CONNECTION_OPTIONS_MAX`] fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooManyConnectionOptions;

impl TooManyConnectionOptions {
    pub(crate) const REASON: &'static str = "Connection names too many fields";
}

/// All fields of a head, in order, each with its kind.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'s, 'b> {
    head: &'b [u8],
    headers: &'s [Header<'b>],
    kinds: &'s [Kind],
    seen: KindSet,
    repeated: KindSet,
}

impl<'s, 'b> Fields<'s, 'b> {
    /// Finds the kind of each of the fields that were parsed out of `head`, and takes in what
    /// `Connection` says.
    pub(crate) fn classify(
        head: &'b [u8],
        headers: &'s [Header<'b>],
        kinds: &'s mut [Kind; FIELDS_MAX],
    ) -> Result<(Self, ConnectionOptions), TooManyConnectionOptions> {
        let kinds = &mut kinds[..headers.len()];
        let mut seen = KindSet::default();
        let mut repeated = KindSet::default();
        for (header, slot) in headers.iter().zip(kinds.iter_mut()) {
            let kind = Kind::of(header.name.as_bytes());
            *slot = kind;
            if seen.has(kind) {
                repeated = repeated.with(kind);
            }
            seen = seen.with(kind);
        }
        let mut options = ConnectionOptions::default();
        if seen.has(Kind::Connection) {
            options = take_connection_options(headers, kinds)?;
        }
        Ok((
            Self {
                head,
                headers,
                kinds,
                seen,
                repeated,
            },
            options,
        ))
    }

    /// The fields in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = Field<'b>> + use<'s, 'b> {
        let kinds = self.kinds.iter();
        self.headers.iter().zip(kinds).map(|(header, &kind)| Field {
            name: header.name,
            value: header.value,
            kind,
        })
    }

    /// The length of the head they were parsed out of, in bytes.
    pub(crate) fn head_len(&self) -> usize {
        self.head.len()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.headers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// Whether a field of this kind came, be it that `Connection` took it away again.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.seen.has(kind)
    }

    /// Whether more than one came.
    pub(crate) fn is_repeated(&self, kind: Kind) -> bool {
        self.repeated.has(kind)
    }

    /// The value of the first field of this kind.
    pub(crate) fn first(&self, kind: Kind) -> Option<&'b [u8]> {
        if self.has(kind) {
            self.all(kind).next()
        } else {
            None
        }
    }

    /// The values of all fields of this kind.
    pub(crate) fn all(&self, kind: Kind) -> impl Iterator<Item = &'b [u8]> + use<'s, 'b> {
        self.iter()
            .filter(move |field| field.kind == kind)
            .map(|field| field.value)
    }

    /// The members of the list that all fields of this kind make together, trimmed, empty ones
    /// included.
    pub(crate) fn list(&self, kind: Kind) -> impl Iterator<Item = &'b [u8]> + use<'s, 'b> {
        self.all(kind).flat_map(members)
    }

    /// Appends the fields of these kinds as `name: value CRLF`, in order, names as they came.
    ///
    /// Nearly all fields arrive in that very form, and most stand next to each other: such a run is
    /// copied in one go. For a browser's request, writing the whole head takes 97 ns that way, and
    /// 177 ns field by field.
    pub(crate) fn write(&self, out: &mut Vec<u8>, kept: KindSet) {
        let mut run = 0..0;
        for (header, &kind) in self.headers.iter().zip(self.kinds) {
            if !kept.has(kind) {
                continue;
            }
            match self.plain_line(header) {
                Some(line) if line.start == run.end => run.end = line.end,
                Some(line) => {
                    out.extend_from_slice(&self.head[run]);
                    run = line;
                }
                None => {
                    out.extend_from_slice(&self.head[run]);
                    run = 0..0;
                    write_field(out, header.name, header.value);
                }
            }
        }
        out.extend_from_slice(&self.head[run]);
    }

    /// Where the line of this field stands in the head, if it is exactly `name: value CRLF`.
    fn plain_line(&self, header: &Header<'b>) -> Option<Range<usize>> {
        let start = header
            .name
            .as_ptr()
            .addr()
            .checked_sub(self.head.as_ptr().addr())?;
        let value_at = start + header.name.len() + 2;
        let end = value_at + header.value.len() + 2;
        let line = self.head.get(start..end)?;
        let is_plain = header.value.as_ptr().addr() == self.head.as_ptr().addr() + value_at
            && line[header.name.len() + 1] == b' '
            && line.ends_with(b"\r\n");
        is_plain.then_some(start..end)
    }
}

/// Appends one field.
pub(crate) fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Reads all `Connection` lines and marks the fields they name as [`Kind::Nominated`].
///
/// A member that is no token names nothing and is passed over: the field as a whole does not travel
/// further.
fn take_connection_options(
    headers: &[Header<'_>],
    kinds: &mut [Kind],
) -> Result<ConnectionOptions, TooManyConnectionOptions> {
    let mut options = ConnectionOptions::default();
    let mut named = 0;
    for index in 0..headers.len() {
        if kinds[index] != Kind::Connection {
            continue;
        }
        for option in members(headers[index].value) {
            match option {
                _ if option.eq_ignore_ascii_case(b"keep-alive") => options.keep_alive = true,
                _ if option.eq_ignore_ascii_case(b"close") => options.close = true,
                _ if option.eq_ignore_ascii_case(b"upgrade") => options.upgrade = true,
                _ if option.eq_ignore_ascii_case(b"te") => options.te = true,
                // Already gone, or never a field of its own.
                _ if !is_token(option) || option.eq_ignore_ascii_case(b"connection") => {}
                _ => {
                    named += 1;
                    if named > CONNECTION_OPTIONS_MAX {
                        return Err(TooManyConnectionOptions);
                    }
                    nominate(option, headers, kinds);
                }
            }
        }
    }
    Ok(options)
}

/// Marks the fields with this name.
fn nominate(name: &[u8], headers: &[Header<'_>], kinds: &mut [Kind]) {
    for (header, kind) in headers.iter().zip(kinds) {
        if kind.is_removable() && header.name.as_bytes().eq_ignore_ascii_case(name) {
            *kind = Kind::Nominated;
        }
    }
}
