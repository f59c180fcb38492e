//! The kinds of requests whose cost is counted, and a client that makes them without allocating anything itself.

use std::io::{Read, Write};

use socket2::Socket;

use crate::support::{Address, PATIENCE, shown};

/// The longest answer, head included: that of [`Kind::Large`].
const ANSWER_BYTES_MAX: usize = LARGE_BYTES + 4096;

/// The body that [`Kind::Large`] asks for.
pub(crate) const LARGE_BYTES: usize = 64 * 1024;

/// What is said in a tunnel.
pub(crate) const WORD: &[u8] = b"a word in the tunnel";

/// One exchange between a client and the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A GET that is answered with a few bytes.
    Small,
    /// The same, asked with HEAD.
    Head,
    /// A POST with a few bytes, answered with a few.
    Post,
    /// A GET whose answer is in chunks.
    Chunked,
    /// A GET that is answered with [`LARGE_BYTES`].
    Large,
    /// A GET after whose answer the app closes the connection, as it has said.
    Closing,
    /// A word through a tunnel that is there, and the same word back.
    Tunnelled,
}

impl Kind {
    /// The path that the app knows it by.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Small | Self::Head | Self::Post => "/small",
            Self::Chunked => "/chunked",
            Self::Large => "/large",
            Self::Closing => "/closing",
            Self::Tunnelled => "/tunnel",
        }
    }

    /// What the client sends; `mark` is a part of the path that the app ignores.
    pub(crate) fn request(self, mark: &str) -> Vec<u8> {
        let path = self.path();
        let (method, rest) = match self {
            Self::Tunnelled if mark.is_empty() => return WORD.to_vec(),
            Self::Head => ("HEAD", ""),
            Self::Post => ("POST", "Content-Length: 4\r\n\r\nbody"),
            _ => ("GET", ""),
        };
        let end = if rest.is_empty() { "\r\n" } else { rest };
        format!(
            "{method} {path}{mark} HTTP/1.1\r\nHost: app.test\r\nUser-Agent: frugal\r\nAccept: */*\r\n{end}"
        )
        .into_bytes()
    }

    /// The last bytes of a whole answer, which are nowhere else in it.
    fn ending(self) -> &'static [u8] {
        match self {
            Self::Head => b"\r\n\r\n",
            Self::Chunked => b"\r\n0\r\n\r\n",
            Self::Tunnelled => WORD,
            _ => b"end.",
        }
    }
}

/// One connection to the proxy, with room for every answer.
pub(crate) struct Client {
    socket: Socket,
    answer: Box<[u8]>,
}

impl Client {
    pub(crate) fn connect(address: &Address) -> Self {
        let socket = address.socket();
        socket.connect(&address.sock_addr()).expect("the proxy");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self {
            socket,
            answer: vec![0; ANSWER_BYTES_MAX].into_boxed_slice(),
        }
    }

    /// Asks for a tunnel and gets it.
    pub(crate) fn upgrade(&mut self) {
        self.send(
            b"GET /tunnel HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        self.receive(b"HTTP/1.1 101 ", b"\r\n\r\n");
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        (&self.socket).write_all(bytes).expect("the proxy reads");
    }

    /// Reads the answer to a request of this kind.
    pub(crate) fn answer(&mut self, kind: Kind) {
        let beginning: &[u8] = match kind {
            Kind::Tunnelled => WORD,
            _ => b"HTTP/1.1 200 OK\r\n",
        };
        self.receive(beginning, kind.ending());
    }

    /// `request` and its answer.
    pub(crate) fn exchange(&mut self, kind: Kind, request: &[u8]) {
        self.send(request);
        self.answer(kind);
    }

    fn receive(&mut self, beginning: &[u8], ending: &[u8]) {
        let mut length = 0;
        loop {
            let count = (&self.socket).read(&mut self.answer[length..]);
            let count = count.expect("an answer");
            length += count;
            let answer = &self.answer[..length];
            assert!(count > 0, "cut short: {}", shown(answer));
            if answer.ends_with(ending) {
                assert!(answer.starts_with(beginning), "{}", shown(answer));
                return;
            }
        }
    }
}
