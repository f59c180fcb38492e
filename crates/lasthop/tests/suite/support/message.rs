//! Message heads as a test reads them: strictly, byte by byte, with nothing forgiven.
//!
//! Deliberately not the proxy's own parser: a test that shares the code under test cannot see its mistakes.

use super::shown;

/// The head of a request or an answer.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The request line or the status line.
    pub(crate) start: String,
    /// The fields in order, names as spelled.
    pub(crate) fields: Vec<(String, String)>,
    /// All bytes up to and including the empty line.
    pub(crate) raw: Vec<u8>,
}

/// How the end of a body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Sized(u64),
    Chunked,
    UntilClose,
}

impl Head {
    /// Reads a whole head; panics on anything that RFC 9112 does not allow a sender to write.
    pub(crate) fn parse(raw: Vec<u8>) -> Self {
        let text = raw
            .strip_suffix(b"\r\n\r\n")
            .unwrap_or_else(|| panic!("a head without its empty line: {}", shown(&raw)));
        for (i, &byte) in text.iter().enumerate() {
            let fine = match byte {
                b'\r' => text.get(i + 1) == Some(&b'\n'),
                b'\n' => i > 0 && text[i - 1] == b'\r',
                b'\t' => true,
                byte => byte >= b' ' && byte != 0x7f,
            };
            assert!(fine, "a stray control byte {byte:#04x} in {}", shown(&raw));
        }
        let text = String::from_utf8_lossy(text).into_owned();
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let fields = lines
            .map(|line| {
                let (name, value) = line
                    .split_once(':')
                    .unwrap_or_else(|| panic!("a field line without colon: {line:?}"));
                let token =
                    |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
                assert!(
                    !name.is_empty() && name.bytes().all(token),
                    "a bad field name in {line:?}"
                );
                (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
            })
            .collect();
        Self { start, fields, raw }
    }

    /// All values of the field lines of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The value of a field that may stand there once.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(
            all.len() <= 1,
            "{name} stands {} times in {self:?}",
            all.len()
        );
        all.first().copied()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> u16 {
        let mut parts = self.start.splitn(3, ' ');
        assert_eq!(parts.next(), Some("HTTP/1.1"), "the version of {self:?}");
        let code = parts.next().unwrap_or_default();
        assert!(
            parts.next().is_some(),
            "no second space in {:?}",
            self.start
        );
        assert_eq!(code.len(), 3, "the status of {self:?}");
        code.parse().expect("a status of three digits")
    }

    /// The method of a request.
    pub(crate) fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// The target of a request.
    pub(crate) fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// How the body of a request is framed (RFC 9112 section 6.3).
    pub(crate) fn request_framing(&self) -> Framing {
        self.declared().unwrap_or(Framing::None)
    }

    /// How the body of an answer to `method` is framed (RFC 9112 section 6.3).
    pub(crate) fn answer_framing(&self, method: &str) -> Framing {
        let status = self.status();
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Framing::None;
        }
        self.declared().unwrap_or(Framing::UntilClose)
    }

    /// The framing that the fields declare; an ambiguous one is a failed test.
    fn declared(&self) -> Option<Framing> {
        let coding = self.field("Transfer-Encoding");
        let length = self.field("Content-Length");
        assert!(
            coding.is_none() || length.is_none(),
            "both Transfer-Encoding and Content-Length in {self:?}"
        );
        if let Some(coding) = coding {
            assert_eq!(coding, "chunked", "the transfer coding of {self:?}");
            return Some(Framing::Chunked);
        }
        let length = length?;
        assert!(
            !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()),
            "Content-Length {length:?}"
        );
        Some(Framing::Sized(length.parse().expect("a length")))
    }
}
