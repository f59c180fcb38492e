//! Bytes from outside as text that no reader can misread, cut where they are too long.
//!
//! Whatever a client sends, a JSON line stays valid (RFC 8259) and a combined line keeps its
//! quotes and its one line end. Neither can move a terminal's cursor: control characters are escaped in both.

use std::fmt;

/// What follows a text that was cut.
const CUT_MARK: &[u8] = b"...";

/// A way to write bytes that are not plain.
pub(super) type Escape = fn(&mut Vec<u8>, &[u8]);

/// Text inside a JSON string, without its quotes: UTF-8 stays as it is, control characters are
/// `\u001b`, and a byte that belongs to no UTF-8 character is the text `\xff` (in JSON `\\xff`).
pub(super) fn json(out: &mut Vec<u8>, text: &[u8], bytes_max: usize) {
    cut(out, text, bytes_max, escape_json);
}

/// Text inside quotes of the combined format, without them: quotes, backslashes and everything that
/// is not visible ASCII or a space are `\x22`, as nginx and Apache httpd escape them.
pub(super) fn quoted(out: &mut Vec<u8>, text: &[u8], bytes_max: usize) {
    cut(out, text, bytes_max, escape_quoted);
}

fn cut(out: &mut Vec<u8>, text: &[u8], bytes_max: usize, escape: Escape) {
    if text.len() <= bytes_max {
        plain_or(out, text, escape);
    } else {
        plain_or(out, &text[..boundary(text, bytes_max)], escape);
        out.extend_from_slice(CUT_MARK);
    }
}

/// The last place up to `at` where no UTF-8 character is cut in two. Text that is not UTF-8 may move
/// it by three bytes as well, which does no harm.
fn boundary(text: &[u8], at: usize) -> usize {
    let begins = |at: &usize| text[*at] & 0xc0 != 0x80;
    (at.saturating_sub(3)..=at).rev().find(begins).unwrap_or(at)
}

/// Most texts need no escape at all, and finding that out takes the compiler's vector instructions:
/// no early exit, so that it may use them.
fn plain_or(out: &mut Vec<u8>, text: &[u8], escape: Escape) {
    let special = text.iter().fold(false, |any, byte| any | is_special(*byte));
    if special {
        escape(out, text);
    } else {
        out.extend_from_slice(text);
    }
}

/// Whether a byte is anything but visible ASCII and space, or means something between quotes.
fn is_special(byte: u8) -> bool {
    !(b' '..=b'~').contains(&byte) || byte == b'"' || byte == b'\\'
}

fn escape_json(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                // All control characters are below U+00A0.
                control if control.is_control() => {
                    out.extend_from_slice(b"\\u00");
                    out.extend_from_slice(&hex(u8::try_from(control).unwrap_or_default()));
                }
                other => {
                    let mut utf8 = [0; 4];
                    out.extend_from_slice(other.encode_utf8(&mut utf8).as_bytes());
                }
            }
        }
        for byte in chunk.invalid() {
            out.extend_from_slice(b"\\\\x");
            out.extend_from_slice(&hex(*byte));
        }
    }
}

fn escape_quoted(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        if is_special(*byte) {
            out.extend_from_slice(b"\\x");
            out.extend_from_slice(&hex(*byte));
        } else {
            out.push(*byte);
        }
    }
}

fn hex(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|nibble| if nibble < 10 { b'0' } else { b'a' - 10 } + nibble)
}

/// What a `Display` writes, escaped for JSON and cut.
pub(super) struct JsonText<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
}

impl<'a> JsonText<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, bytes_max: usize) -> Self {
        Self {
            out,
            left: bytes_max,
        }
    }
}

impl fmt::Write for JsonText<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        json(self.out, text.as_bytes(), self.left);
        let rest = self.left.checked_sub(text.len());
        self.left = rest.unwrap_or_default();
        // An error ends the writing; the mark is there.
        rest.map(|_| ()).ok_or(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: fn(&mut Vec<u8>, &[u8], usize), text: &[u8], max: usize) -> String {
        let mut out = Vec::new();
        write(&mut out, text, max);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_keeps_utf8_and_escapes_the_rest() {
        for (text, expected) in [
            (&b"/plain?a=1"[..], "/plain?a=1"),
            ("/gr\u{fc}n".as_bytes(), "/gr\u{fc}n"),
            (b"a\"b\\c", "a\\\"b\\\\c"),
            (b"\r\n\t\0\x1b\x7f", "\\r\\n\\t\\u0000\\u001b\\u007f"),
            ("\u{9b}31m".as_bytes(), "\\u009b31m"),
            (b"\xff", "\\\\xff"),
            (b"caf\xe9!", "caf\\\\xe9!"),
            (b"\xf0\x9f\x98", "\\\\xf0\\\\x9f\\\\x98"),
        ] {
            assert_eq!(written(json, text, 100), expected);
        }
    }

    #[test]
    fn combined_is_visible_ascii_and_nothing_else() {
        assert_eq!(written(quoted, b"a b~", 100), "a b~");
        assert_eq!(
            written(quoted, b"\"\\\n\x7f\xff", 100),
            "\\x22\\x5c\\x0a\\x7f\\xff"
        );
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_marked() {
        assert_eq!(written(json, b"12345", 5), "12345");
        assert_eq!(written(json, b"123456", 5), "12345...");
        assert_eq!(written(json, "12\u{20ac}6".as_bytes(), 5), "12\u{20ac}...");
        assert_eq!(written(json, "12\u{20ac}6".as_bytes(), 4), "12...");
        assert_eq!(written(quoted, b"\"\"\"", 2), "\\x22\\x22...");
        assert_eq!(written(json, &[0x80; 9], 5), "\\\\x80".repeat(5) + "...");
        assert_eq!(written(json, b"1", 0), "...");
    }

    #[test]
    fn a_display_is_escaped_and_cut_as_a_whole() {
        use std::fmt::Write as _;
        let mut out = Vec::new();
        let (quote, digits) = ('"', 123);
        assert!(write!(JsonText::new(&mut out, 4), "a{quote}\tb").is_ok());
        assert!(write!(JsonText::new(&mut out, 5), "|{digits}{digits}{digits}").is_err());
        assert_eq!(String::from_utf8(out).unwrap(), "a\\\"\\tb|1231...");
    }
}
