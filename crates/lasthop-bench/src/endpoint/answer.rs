//! One answer from a connection, read whole and checked: for loads of our own that must know that every one came.
//!
//! It understands what the apps here send and the proxies pass on: a status, a `Content-Length`, or 101 without a body.
//! Anything else is an error with the place where it went wrong, not a reason to guess.

use std::io;

use lasthop_kernel::connect::ConnectError;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest answer head that is read; what proxies add to it is a few hundred bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Room for one read.
const READ_BYTES: usize = 4 * 1024;
/// Fields of a head that are looked at.
const FIELDS_MAX: usize = 64;

/// Why an answer did not count.
#[derive(Debug, Error)]
pub(crate) enum AnswerError {
    #[error("{}: {}", .0, .0.source)]
    Connect(#[from] ConnectError),
    #[error("the connection failed: {0}")]
    Stream(#[from] io::Error),
    #[error("the connection was closed before the answer was whole")]
    Cut,
    #[error("the answer's head is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLarge,
    #[error("not the head of an answer with a length: {0:?}")]
    Head(String),
    #[error("status {found} instead of {wanted}")]
    Status { found: u16, wanted: u16 },
    #[error("the body has {found} bytes instead of {wanted}")]
    Length { found: u64, wanted: u64 },
    #[error("more bytes came than the answer has")]
    Excess,
    #[error("what was sent into a tunnel did not come back")]
    Echo,
    #[error("no answer in time")]
    Late,
}

/// Reads one answer from `stream` and checks that its status is `wanted`; `unread` is empty before and after, and keeps
/// its room for the next one. Gives back the bytes of the body.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    unread: &mut Vec<u8>,
    wanted: u16,
) -> Result<u64, AnswerError> {
    let head = loop {
        if let Some(head) = Head::in_front_of(unread)? {
            break head;
        }
        if unread.len() > HEAD_BYTES_MAX {
            return Err(AnswerError::HeadTooLarge);
        }
        read_some(stream, unread).await?;
    };
    if head.status != wanted {
        return Err(AnswerError::Status {
            found: head.status,
            wanted,
        });
    }
    let mut body_bytes = (unread.len() - head.length) as u64;
    while body_bytes < head.body_bytes {
        unread.clear();
        body_bytes += read_some(stream, unread).await? as u64;
    }
    unread.clear();
    if body_bytes > head.body_bytes {
        return Err(AnswerError::Excess);
    }
    Ok(body_bytes)
}

async fn read_some(
    stream: &mut (impl AsyncRead + Unpin),
    unread: &mut Vec<u8>,
) -> Result<usize, AnswerError> {
    unread.reserve(READ_BYTES);
    match stream.read_buf(unread).await? {
        0 => Err(AnswerError::Cut),
        length => Ok(length),
    }
}

/// What is to be known of an answer's head.
#[derive(Debug, PartialEq)]
struct Head {
    status: u16,
    /// Bytes of the head, its blank line included.
    length: usize,
    body_bytes: u64,
}

impl Head {
    /// The head that `bytes` begin with; `None` while it is not whole.
    fn in_front_of(bytes: &[u8]) -> Result<Option<Self>, AnswerError> {
        const END: &[u8] = b"\r\n\r\n";
        let Some(at) = bytes.windows(END.len()).position(|window| window == END) else {
            return Ok(None);
        };
        let head = &bytes[..at];
        let strange = || AnswerError::Head(String::from_utf8_lossy(head).into_owned());
        let mut lines = head.split(|byte| *byte == b'\n').take(FIELDS_MAX);
        let status = lines.next().and_then(status_in).ok_or_else(strange)?;
        let mut lengths = lines.filter_map(content_length_in);
        let body_bytes = match (status, lengths.next(), lengths.next()) {
            (101, None, _) => 0,
            (_, Some(Some(length)), None) => length,
            _ => return Err(strange()),
        };
        Ok(Some(Self {
            status,
            length: at + END.len(),
            body_bytes,
        }))
    }
}

/// The status in `HTTP/1.1 200 OK`.
fn status_in(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line).ok()?;
    line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// `None` for another field, `Some(None)` for a `Content-Length` that is no number.
#[expect(
    clippy::option_option,
    reason = "the two kinds of nothing differ: another field is skipped, a wrong length is refused"
)]
fn content_length_in(line: &[u8]) -> Option<Option<u64>> {
    const NAME: &[u8] = b"content-length:";
    let (name, value) = line.split_at_checked(NAME.len())?;
    if !name.eq_ignore_ascii_case(NAME) {
        return None;
    }
    let value = std::str::from_utf8(value.trim_ascii()).ok();
    Some(value.and_then(|value| value.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::runtime;

    fn read_all(bytes: &[u8], wanted: u16) -> Result<u64, AnswerError> {
        let (mut stream, mut unread) = (bytes, Vec::new());
        runtime()
            .unwrap()
            .block_on(read(&mut stream, &mut unread, wanted))
    }

    #[test]
    fn a_whole_answer_has_its_body_counted() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nDate: today\r\n\r\nabc";
        assert_eq!(read_all(answer, 200).unwrap(), 3);
        let upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(read_all(upgrade, 101).unwrap(), 0);
    }

    #[test]
    fn an_answer_that_is_not_as_agreed_is_an_error_that_says_how() {
        for (answer, reason) in [
            (
                &b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n"[..],
                "status 502 instead of 200",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na",
                "closed before",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
                "more bytes",
            ),
            (b"HTTP/1.1 200 OK\r\n\r\n", "with a length"),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
                "with a length",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
                "with a length",
            ),
            (b"SSH-2.0\r\n\r\n", "with a length"),
        ] {
            let error = read_all(answer, 200).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        let endless = vec![b'x'; 3 * HEAD_BYTES_MAX];
        let error = read_all(&endless, 200).unwrap_err();
        assert!(matches!(error, AnswerError::HeadTooLarge), "{error}");
    }
}
