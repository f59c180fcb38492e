//! The chunked transfer coding (RFC 9112 section 7.1), taken apart and put together.
//!
//! The decoder is a few bytes of state over the caller's buffer: data is handed out as ranges of
//! it, nothing is copied, nothing allocated. Size lines and the trailer section are short and
//! bounded, so they are read only once they are whole; what is wrong in them is refused as soon as
//! it can be seen. httparse reads chunk sizes too, but lets through what the RFC does not (spaces,
//! any control in an extension), hence our own.

use std::ops::Range;

use crate::limits::{CHUNK_EXTENSION_BYTES_MAX, CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};
use crate::refusal::Malformed;
use crate::scan::LineScan;
use crate::trailers;

/// Ends every chunk.
pub const CRLF: &[u8] = b"\r\n";

/// Ends a body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A size of more hexadecimal digits does not fit 64 bits.
const SIZE_DIGITS_MAX: usize = 16;

/// Takes a chunked body apart. Start a new one for each body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    state: State,
    extension_bytes: u32,
}

/// What the next byte of input belongs to.
#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Size,
    /// So many bytes of the chunk are still to come.
    Data(u64),
    /// The CRLF behind the data of a chunk.
    DataEnd,
    Trailers(LineScan),
    End,
}

/// What became of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// So many bytes at the beginning of the input are done with, once the event has been dealt
    /// with. The rest has to be at the beginning of the next input.
    pub consumed: usize,
    /// What they held.
    pub event: Event,
}

/// What the input held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// More bytes are needed than there are. Some may have been consumed nevertheless.
    NeedMore,
    /// Data of the body: this range of the input, which ends where `consumed` does. Never empty.
    Data(Range<usize>),
    /// The body is whole. Bytes behind `consumed` belong to the next message.
    End {
        /// The trailer section in the input, the blank line that ends it included, for
        /// [`write_end`]; empty if no trailers came. Its form has been checked.
        trailers: Range<usize>,
    },
}

impl Decoder {
    /// Takes the next step: all data of one chunk that is there, or the end. Call it again with
    /// what follows until it says [`Event::NeedMore`] or [`Event::End`].
    ///
    /// The caller's buffer has to have room for [`TRAILER_BYTES_MAX`] bytes: up to so many may be
    /// left unconsumed.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: nothing tells where the body ends, and the connection cannot be used any
    /// further.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, Malformed> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self.state {
                State::Size => {
                    let Some(line) = size_line(rest)? else {
                        return Ok(need_more(at));
                    };
                    self.count_extension(line.extension_bytes)?;
                    at += line.bytes;
                    self.state = if line.size == 0 {
                        State::Trailers(LineScan::default())
                    } else {
                        State::Data(line.size)
                    };
                }
                State::Data(left) => {
                    let there =
                        usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    if there == 0 {
                        return Ok(need_more(at));
                    }
                    let left = left - there as u64;
                    self.state = if left == 0 {
                        State::DataEnd
                    } else {
                        State::Data(left)
                    };
                    return Ok(Step {
                        consumed: at + there,
                        event: Event::Data(at..at + there),
                    });
                }
                State::DataEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        at += CRLF.len();
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(need_more(at)),
                    _ => return Err(Malformed::new("no CRLF behind the data of a chunk")),
                },
                State::Trailers(lines) => return self.decode_trailers(input, at, lines),
                State::End => {
                    return Ok(Step {
                        consumed: at,
                        event: Event::End { trailers: at..at },
                    });
                }
            }
        }
    }

    /// Whether the end has been seen.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// Adds up the extensions of the body.
    fn count_extension(&mut self, bytes: u32) -> Result<(), Malformed> {
        self.extension_bytes = self.extension_bytes.saturating_add(bytes);
        if self.extension_bytes > CHUNK_EXTENSION_BYTES_MAX {
            return Err(Malformed::new("too many bytes of chunk extensions"));
        }
        Ok(())
    }

    /// Looks for the blank line that ends the trailer section, which begins at `at`.
    fn decode_trailers(
        &mut self,
        input: &[u8],
        at: usize,
        mut lines: LineScan,
    ) -> Result<Step, Malformed> {
        let section = &input[at..];
        loop {
            let line = lines.next(section)?;
            let length = if line.is_some() {
                lines.start
            } else {
                section.len()
            };
            if length > TRAILER_BYTES_MAX {
                return Err(Malformed::new("the trailer section is too large"));
            }
            match line {
                None => {
                    self.state = State::Trailers(lines);
                    return Ok(need_more(at));
                }
                Some(line) if line.is_empty() => break,
                Some(_) => {}
            }
        }
        let end = at + lines.start;
        let has_fields = lines.start > CRLF.len();
        let trailers = if has_fields { at..end } else { end..end };
        trailers::check(&input[trailers.clone()])?;
        self.state = State::End;
        Ok(Step {
            consumed: end,
            event: Event::End { trailers },
        })
    }
}

fn need_more(consumed: usize) -> Step {
    Step {
        consumed,
        event: Event::NeedMore,
    }
}

/// A line that announces a chunk.
struct SizeLine {
    size: u64,
    extension_bytes: u32,
    /// The line in bytes, CRLF included.
    bytes: usize,
}

/// Reads `size [; extension] CRLF`. `None` if it is not whole yet and nothing is wrong so far.
///
/// Nothing but hexadecimal digits before the semicolon or the CRLF: no sign, no `0x`, no spaces.
/// RFC 9112 section
/// 7.1.1 would have recipients forgive whitespace before the semicolon; nobody sends it but to
/// confuse.
fn size_line(input: &[u8]) -> Result<Option<SizeLine>, Malformed> {
    const TOO_LONG: Malformed = Malformed::new("the line of a chunk size is too long");
    let mut size = 0u64;
    let mut digits = 0;
    while let Some(digit) = input
        .get(digits)
        .and_then(|&byte| char::from(byte).to_digit(16))
    {
        digits += 1;
        if digits > SIZE_DIGITS_MAX {
            return Err(Malformed::new("a chunk size is too large"));
        }
        size = size << 4 | u64::from(digit);
    }
    if digits == 0 && !input.is_empty() {
        return Err(Malformed::new("a chunk size is not a hexadecimal number"));
    }
    let rest = &input[digits..];
    let extension = match rest {
        [] | [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => 0,
        [b';', ..] => match rest.iter().position(|&byte| !is_extension_byte(byte)) {
            Some(end) => end,
            None if input.len() >= CHUNK_LINE_BYTES_MAX => return Err(TOO_LONG),
            None => return Ok(None),
        },
        _ => {
            return Err(Malformed::new(
                "a chunk size is followed by something else than an extension",
            ));
        }
    };
    let bytes = digits + extension + CRLF.len();
    if bytes > CHUNK_LINE_BYTES_MAX {
        return Err(TOO_LONG);
    }
    match rest[extension..] {
        [b'\r', b'\n', ..] => {
            // At most CHUNK_LINE_BYTES_MAX, so it fits.
            let extension_bytes = u32::try_from(extension).unwrap_or(u32::MAX);
            Ok(Some(SizeLine {
                size,
                extension_bytes,
                bytes,
            }))
        }
        [b'\r'] => Ok(None),
        _ => Err(Malformed::new(
            "a chunk extension holds a control character or ends without CRLF",
        )),
    }
}

/// Visible characters, space, tab and bytes beyond ASCII.
fn is_extension_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// The line that announces a chunk, as a small array: for writing it and the data with one call.
#[derive(Clone, Copy, Debug)]
pub struct ChunkPrefix {
    bytes: [u8; SIZE_DIGITS_MAX + CRLF.len()],
    start: usize,
}

impl AsRef<[u8]> for ChunkPrefix {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// The line that announces a chunk of `size` bytes. Never ask for 0: that would be the end of the
/// body, for which there are [`LAST_CHUNK`] and [`write_end`].
#[must_use]
pub fn chunk_prefix(size: u64) -> ChunkPrefix {
    debug_assert!(size > 0, "a chunk of no bytes ends the body");
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bytes = [0; SIZE_DIGITS_MAX + CRLF.len()];
    bytes[SIZE_DIGITS_MAX..].copy_from_slice(CRLF);
    let mut start = SIZE_DIGITS_MAX;
    let mut left = size;
    loop {
        start -= 1;
        bytes[start] = DIGITS[(left & 0xf) as usize];
        left >>= 4;
        if left == 0 {
            return ChunkPrefix { bytes, start };
        }
    }
}

/// Appends the line that announces a chunk of `size` bytes; see [`chunk_prefix`].
pub fn write_size(out: &mut Vec<u8>, size: u64) {
    out.extend_from_slice(chunk_prefix(size).as_ref());
}

/// Appends the last chunk, the trailers of `section` that may pass, and the blank line. `section`
/// is what [`Event::End`] pointed at, empty for none.
pub fn write_end(out: &mut Vec<u8>, section: &[u8]) {
    out.extend_from_slice(b"0\r\n");
    trailers::write(out, section);
    out.extend_from_slice(CRLF);
}
