//! What the app of the benchmark does with a connection: reads a request, answers as its path says.
//!
//! It is the yardstick, not the thing measured, and shares a core with the load, so it does as little as an app can: one
//! read, one look for the blank line, one write of bytes that are ready. It reads heads just strictly enough to notice
//! that something is wrong, and only ever talks to our own load and to proxies that we configured.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::traffic::{ANSWER_PATH, CLOSING_PATH};

/// Longest request head; proxies add a few hundred bytes to our load's sixty.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Room for a head, kept by each connection.
const READ_BYTES: usize = 1024;
/// Room for a piece of an upload; only connections that had one keep it.
const UPLOAD_READ_BYTES: usize = 256 * 1024;
/// Longest answer, and longest upload.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Answers that are kept ready. No traffic here has more sizes.
const ANSWERS_MAX: usize = 32;

/// To anything that no load here asks for.
const REFUSAL: &[u8] =
    b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    /// Bytes of its head, the blank line included.
    head_bytes: usize,
    /// Bytes of its body.
    body_bytes: usize,
    answer: Answer,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    bytes: usize,
    closing: bool,
}

/// Answers that have been asked for, ready to be written: the same for all connections.
#[derive(Debug, Default)]
pub(super) struct Answers {
    ready: RefCell<Vec<(Answer, Rc<[u8]>)>>,
}

impl Answers {
    /// The whole answer; `None` once there are too many kinds of them.
    fn prepared(&self, answer: Answer) -> Option<Rc<[u8]>> {
        let mut ready = self.ready.borrow_mut();
        if let Some((_, bytes)) = ready.iter().find(|(one, _)| *one == answer) {
            return Some(Rc::clone(bytes));
        }
        if ready.len() >= ANSWERS_MAX {
            return None;
        }
        let connection = if answer.closing {
            "Connection: close\r\n"
        } else {
            ""
        };
        let mut bytes = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{connection}\r\n",
            answer.bytes
        )
        .into_bytes();
        bytes.resize(bytes.len() + answer.bytes, b'x');
        let bytes: Rc<[u8]> = bytes.into();
        ready.push((answer, Rc::clone(&bytes)));
        Some(bytes)
    }
}

/// Answers the requests of one connection, in order, until either side closes.
///
/// # Errors
/// Those of the stream: the peer's leaving or misbehaving.
pub(super) async fn hold<S>(mut stream: S, answers: &Answers) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut unread = Vec::with_capacity(READ_BYTES);
    let mut upload = Vec::new();
    loop {
        if unread.len() > HEAD_BYTES_MAX || stream.read_buf(&mut unread).await? == 0 {
            return Ok(());
        }
        while let Some(end) = head_length(&unread) {
            let wish = Wish::of(&unread[..end]);
            let Some((wish, answer)) =
                wish.and_then(|wish| Some((wish, answers.prepared(wish.answer)?)))
            else {
                return stream.write_all(REFUSAL).await;
            };
            if wish.body_bytes > 0 {
                let before = unread.len() - end;
                take_upload(&mut stream, &mut upload, before, wish).await?;
                unread.clear();
            } else {
                unread.drain(..end);
            }
            stream.write_all(&answer).await?;
            if wish.answer.closing {
                return Ok(());
            }
        }
    }
}

/// Reads the body of a request and forgets it, of which `taken` bytes have come with the head; nothing may follow it before
/// it has been answered.
async fn take_upload(
    stream: &mut (impl AsyncRead + Unpin),
    room: &mut Vec<u8>,
    mut taken: usize,
    wish: Wish,
) -> io::Result<()> {
    if taken < wish.body_bytes {
        room.resize(UPLOAD_READ_BYTES, 0);
    }
    while taken < wish.body_bytes {
        match stream.read(room).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => taken += length,
        }
    }
    if taken > wish.body_bytes {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(())
}

impl Wish {
    /// What a whole head asks for; `None` for what no load here sends.
    fn of(head: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(head).ok()?;
        let (method, rest) = text.split_once(' ')?;
        let (target, rest) = rest.split_once(' ')?;
        let (number, closing) = match target.strip_prefix(ANSWER_PATH) {
            Some(number) => (number, false),
            None => (target.strip_prefix(CLOSING_PATH)?, true),
        };
        let body_bytes = match method {
            "GET" => 0,
            "POST" => upload_bytes(rest)?,
            _ => return None,
        };
        let bytes = number.parse().ok()?;
        let known = bytes <= BODY_BYTES_MAX && body_bytes <= BODY_BYTES_MAX;
        known.then_some(Self {
            head_bytes: head.len(),
            body_bytes,
            answer: Answer { bytes, closing },
        })
    }
}

/// The one `Content-Length` among the fields.
fn upload_bytes(fields: &str) -> Option<usize> {
    let mut lengths = fields.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    let length = lengths.next()?.trim().parse().ok()?;
    lengths.next().is_none().then_some(length)
}

/// Bytes of the first whole head in `bytes`, its blank line included.
fn head_length(bytes: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    let at = bytes.windows(END.len()).position(|window| window == END)?;
    Some(at + END.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::runtime;
    use tokio::io::duplex;

    /// Everything that is answered to `pieces`, each of them sent when the app has read the ones before.
    fn answered(pieces: &'static [&'static [u8]]) -> String {
        runtime().unwrap().block_on(async {
            let (mut client, app) = duplex(1 << 20);
            let serving = tokio::task::spawn_local(async move {
                let answers = Answers::default();
                hold(app, &answers).await
            });
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
            let mut said = String::new();
            client.read_to_string(&mut said).await.unwrap();
            let _ = serving.await.unwrap();
            said
        })
    }

    #[test]
    fn the_path_says_how_long_the_answer_is() {
        let said =
            answered(&[b"GET /bytes/3 HTTP/1.1\r\nHost: a\r\n\r\nGET /bytes/5 HTTP/1.1\r\n\r\n"]);
        assert!(
            said.contains("Content-Length: 3\r\n\r\nxxxHTTP/1.1 200 OK"),
            "{said}"
        );
        assert!(said.ends_with("Content-Length: 5\r\n\r\nxxxxx"), "{said}");
    }

    #[test]
    fn a_closing_path_is_answered_once() {
        let said = answered(&[b"GET /close/1 HTTP/1.1\r\n\r\nGET /bytes/5 HTTP/1.1\r\n\r\n"]);
        assert!(said.ends_with("Connection: close\r\n\r\nx"), "{said}");
    }

    #[test]
    fn an_upload_is_taken_whole_before_it_is_answered() {
        let said = answered(&[
            b"POST /bytes/2 HTTP/1.1\r\ncontent-LENGTH: 6\r\n\r\nabc",
            b"def",
            b"GET /bytes/1 HT",
            b"TP/1.1\r\n\r\n",
        ]);
        assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 2, "{said}");
        assert!(said.contains("\r\n\r\nxxHTTP"), "{said}");
    }

    #[test]
    fn what_no_load_asks_for_is_refused() {
        for request in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"GET /bytes/x HTTP/1.1\r\n\r\n",
            b"GET /bytes/99999999999 HTTP/1.1\r\n\r\n",
            b"POST /bytes/2 HTTP/1.1\r\n\r\n",
            b"POST /bytes/2 HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            b"PUT /bytes/2 HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        ] {
            assert_eq!(Wish::of(&request[..head_length(request).unwrap()]), None);
        }
        assert!(answered(&[b"GET / HTTP/1.1\r\n\r\n"]).starts_with("HTTP/1.1 501 "));
    }
}
