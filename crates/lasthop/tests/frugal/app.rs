//! An app that allocates nothing once it runs, so that what is counted is the proxy's.
//!
//! A fixed number of threads that accept, serve one connection until it ends, and accept again. It knows the requests of
//! [`Kind`] and no others.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::thread::JoinHandle;

use socket2::Socket;

use super::kind::{LARGE_BYTES, WORD};
use crate::support::app::listen;
use crate::support::{Address, Place, TempDir};

/// Connections served at once. More than the tests' clients, since the proxy may have one more in reserve.
const THREADS: usize = 24;

/// The longest request, as the proxy writes it.
const REQUEST_BYTES_MAX: usize = 4096;

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";

const ACCEPTANCE: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A running app; ends when dropped, with the connections that the proxy closes.
pub(crate) struct App {
    address: Address,
    listener: Arc<Socket>,
    threads: Vec<JoinHandle<()>>,
    _dir: TempDir,
}

/// Prepared once.
struct Answers {
    small: Vec<u8>,
    head: Vec<u8>,
    chunked: Vec<u8>,
    large: Vec<u8>,
    closing: Vec<u8>,
}

impl App {
    pub(crate) fn on(place: Place) -> Self {
        let dir = TempDir::new();
        let address = match place {
            Place::Unix => Address::Unix(dir.join("app.sock")),
            Place::Tcp | Place::Abstract => Address::parse("127.0.0.1:0"),
        };
        let (listener, address) = listen(&address, 1024);
        let listener = Arc::new(listener);
        let answers = Arc::new(Answers::new());
        let threads = (0..THREADS).map(|_| {
            let (listener, answers) = (Arc::clone(&listener), Arc::clone(&answers));
            std::thread::spawn(move || {
                // An error is the end of the listener.
                while let Ok((stream, _)) = listener.accept() {
                    // Small answers behind one another; a Unix socket has no such option.
                    let _ = stream.set_tcp_nodelay(true);
                    // An error is the proxy's close.
                    let _ = converse(&stream, &answers);
                }
            })
        });
        Self {
            address,
            threads: threads.collect(),
            listener,
            _dir: dir,
        }
    }

    /// The TARGET for lasthop.
    pub(crate) fn target(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // On Linux this ends every waiting accept(). Threads that are in a connection end with it, which is the proxy's
        // to close: a proxy in this process never does, so nobody waits for them.
        let _ = self.listener.shutdown(Shutdown::Both);
        self.threads.clear();
    }
}

impl Answers {
    fn new() -> Self {
        let sized = |fields: &str, body: &str| {
            format!("{HEAD}{fields}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
        };
        let large = format!("{}end.", "x".repeat(LARGE_BYTES - 4));
        let small = "this is the end.";
        Self {
            small: sized("", small),
            head: format!("{HEAD}\r\n").into_bytes(),
            chunked: format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
                .into_bytes(),
            large: sized("", &large),
            closing: sized("Connection: close\r\n", small),
        }
    }

    fn to(&self, request: &[u8]) -> &[u8] {
        match request {
            [b'H', b'E', b'A', b'D', ..] => &self.head,
            _ if request.starts_with(b"GET /closing") => &self.closing,
            _ if request.starts_with(b"GET /chunked") => &self.chunked,
            _ if request.starts_with(b"GET /large") => &self.large,
            _ => &self.small,
        }
    }
}

/// The app's side of one connection, on which one request comes after the other.
fn converse(mut stream: &Socket, answers: &Answers) -> std::io::Result<()> {
    let mut request = [0; REQUEST_BYTES_MAX];
    let mut length = 0;
    loop {
        let count = stream.read(&mut request[length..])?;
        if count == 0 {
            return Ok(());
        }
        length += count;
        let whole = &request[..length];
        let ending: &[u8] = if whole.starts_with(b"POST") {
            b"\r\n\r\nbody"
        } else {
            b"\r\n\r\n"
        };
        if !whole.ends_with(ending) {
            continue;
        }
        if whole.starts_with(b"GET /tunnel") {
            stream.write_all(ACCEPTANCE)?;
            return echo(stream);
        }
        let answer = answers.to(whole);
        stream.write_all(answer)?;
        if std::ptr::eq(answer, &*answers.closing) {
            return Ok(());
        }
        length = 0;
    }
}

fn echo(mut stream: &Socket) -> std::io::Result<()> {
    let mut word = [0; WORD.len()];
    loop {
        match stream.read(&mut word)? {
            0 => return Ok(()),
            count => stream.write_all(&word[..count])?,
        }
    }
}
