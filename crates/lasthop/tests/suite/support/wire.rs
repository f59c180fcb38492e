//! One end of a connection, read strictly and never for longer than [`PATIENCE`]. Clients and apps both stand on it.

use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use socket2::Socket;

use super::{Framing, Head, PATIENCE, shown};

/// How the other side left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// An orderly end of stream.
    Closed,
    /// A reset.
    Reset,
}

/// A message that ended before it was whole.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) ending: Ending,
    /// The body bytes that had come.
    pub(crate) body: Vec<u8>,
}

/// A body, whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

/// A socket and what has been read from it ahead.
pub(crate) struct Wire {
    socket: Arc<Socket>,
    ahead: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(socket: Socket) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        // Unix sockets have no such option, and no need of it.
        let _ = socket.set_tcp_nodelay(true);
        Self {
            socket: Arc::new(socket),
            ahead: Vec::new(),
        }
    }

    /// A second handle; what this one has read ahead is not in it.
    pub(crate) fn twin(&self) -> Self {
        Self {
            socket: Arc::clone(&self.socket),
            ahead: Vec::new(),
        }
    }

    /// For whoever must end the connection from elsewhere, without keeping it open.
    pub(crate) fn socket(&self) -> Weak<Socket> {
        Arc::downgrade(&self.socket)
    }

    /// The port that the other side sees.
    pub(crate) fn local_port(&self) -> u16 {
        let address = self.socket.local_addr().expect("an address");
        address.as_socket().expect("a TCP socket").port()
    }

    /// The address of the other side; none on a Unix socket.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.socket.peer_addr().ok()?.as_socket()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        (&*self.socket).write_all(bytes)
    }

    /// Ends our direction; the other stays open.
    pub(crate) fn finish_sending(&self) {
        self.socket.shutdown(Shutdown::Write).expect("shutdown");
    }

    /// Closes with a reset instead of an end of stream.
    pub(crate) fn reset(self) {
        self.socket
            .set_linger(Some(Duration::ZERO))
            .expect("SO_LINGER");
    }

    /// Reads some more; panics when nothing comes for too long.
    fn fill(&mut self) -> Result<(), Ending> {
        let mut chunk = [0; 64 * 1024];
        match (&*self.socket).read(&mut chunk) {
            Ok(0) => Err(Ending::Closed),
            Ok(n) => {
                self.ahead.extend_from_slice(&chunk[..n]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!(
                    "nothing came for {PATIENCE:?}; unread so far: {}",
                    shown(&self.ahead)
                )
            }
            Err(_) => Err(Ending::Reset),
        }
    }

    /// Takes bytes up to and including `mark`.
    pub(crate) fn through(&mut self, mark: &[u8]) -> Result<Vec<u8>, Ending> {
        let mut looked = 0;
        loop {
            let found = self.ahead[looked..]
                .windows(mark.len())
                .position(|window| window == mark);
            if let Some(at) = found {
                return Ok(self.ahead.drain(..looked + at + mark.len()).collect());
            }
            looked = self.ahead.len().saturating_sub(mark.len() - 1);
            self.fill()?;
        }
    }

    /// Takes exactly `n` bytes; when the stream ends before, what there was.
    pub(crate) fn exactly(&mut self, n: usize) -> Result<Vec<u8>, Cut> {
        while self.ahead.len() < n {
            if let Err(ending) = self.fill() {
                let body = std::mem::take(&mut self.ahead);
                return Err(Cut { ending, body });
            }
        }
        Ok(self.ahead.drain(..n).collect())
    }

    /// Takes whatever comes first, at least one byte.
    pub(crate) fn some(&mut self) -> Result<Vec<u8>, Ending> {
        if self.ahead.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Takes everything to the end of the stream.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, Ending) {
        loop {
            if let Err(ending) = self.fill() {
                return (std::mem::take(&mut self.ahead), ending);
            }
        }
    }

    /// Takes a message head; `Err` when the stream ends before it, with the bytes of a head that was begun.
    pub(crate) fn head(&mut self) -> Result<Head, Cut> {
        match self.through(b"\r\n\r\n") {
            Ok(raw) => Ok(Head::parse(raw)),
            Err(ending) => Err(Cut {
                ending,
                body: std::mem::take(&mut self.ahead),
            }),
        }
    }

    /// Takes the next chunk; an empty one is the last and its trailers follow in `trailers`.
    pub(crate) fn chunk(&mut self, trailers: &mut Vec<(String, String)>) -> Result<Vec<u8>, Cut> {
        let cut = |ending| Cut {
            ending,
            body: Vec::new(),
        };
        let line = self.through(b"\r\n").map_err(cut)?;
        let digits = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
        assert!(
            !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()),
            "the chunk size line {digits:?}"
        );
        let size = usize::from_str_radix(&digits, 16).expect("a chunk size");
        if size > 0 {
            let mut data = self.exactly(size + 2)?;
            assert_eq!(&data[size..], b"\r\n", "the end of a chunk");
            data.truncate(size);
            return Ok(data);
        }
        let mut section = b"trailers\r\n".to_vec();
        loop {
            let line = self.through(b"\r\n").map_err(cut)?;
            section.extend_from_slice(&line);
            if line == b"\r\n" {
                *trailers = Head::parse(section).fields;
                return Ok(Vec::new());
            }
        }
    }

    /// Takes a whole body; `Err` has what came of it.
    pub(crate) fn body(&mut self, framing: Framing) -> Result<Body, Cut> {
        let mut body = Body::default();
        match framing {
            Framing::None => {}
            Framing::Sized(length) => {
                body.bytes = self.exactly(usize::try_from(length).expect("a length"))?;
            }
            Framing::Chunked => loop {
                match self.chunk(&mut body.trailers) {
                    Ok(data) if data.is_empty() => break,
                    Ok(data) => body.bytes.extend_from_slice(&data),
                    Err(mut cut) => {
                        body.bytes.append(&mut cut.body);
                        return Err(Cut {
                            ending: cut.ending,
                            body: body.bytes,
                        });
                    }
                }
            },
            Framing::UntilClose => {
                let (bytes, ending) = self.rest();
                if ending == Ending::Reset {
                    return Err(Cut {
                        ending,
                        body: bytes,
                    });
                }
                body.bytes = bytes;
            }
        }
        Ok(body)
    }

    /// Like [`Self::rest`], for whoever minds neither the bytes nor the ending.
    pub(crate) fn drain(&mut self) {
        let mut scratch = [0; 64 * 1024];
        while matches!((&*self.socket).read(&mut scratch), Ok(1..)) {}
    }

    /// Waits until there is something to read, and leaves it there.
    pub(crate) fn wait_for_bytes(&self) {
        let mut byte = [MaybeUninit::uninit(); 1];
        let there = self.socket.peek(&mut byte).expect("something to read");
        assert_eq!(there, 1, "the other side has closed");
    }

    /// Whether nothing at all comes for so long: no byte, no end.
    pub(crate) fn is_quiet_for(&mut self, time: Duration) -> bool {
        if !self.ahead.is_empty() {
            return false;
        }
        self.socket.set_read_timeout(Some(time)).expect("a timeout");
        let mut byte = [0; 1];
        let read = (&*self.socket).read(&mut byte);
        self.socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout");
        if let Ok(1) = read {
            self.ahead.push(byte[0]);
        }
        matches!(read, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }
}
