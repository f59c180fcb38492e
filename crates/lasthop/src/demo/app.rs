//! The app behind the proxy in the demo and the benchmark: answers every GET with the same few bytes, over TCP and over
//! a Unix socket at once, on one thread of its own.
//!
//! It is the yardstick, not the thing measured, so it does as little as an app can: one read, one look for the blank
//! line, one write of prepared bytes. It reads heads just strictly enough to notice that something is wrong, and only
//! ever talks to our own load and to proxies that we configured: not a server to put anywhere else.
//! A request for [`CLOSING_PATH`] is answered with `Connection: close` and closed by the app, as gunicorn's sync worker
//! does; every other path is kept alive, and a request for a [`tunnel`] gets one that echoes. The client chooses, so that
//! one app serves all scenes.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;

use super::tunnel;

/// Requests whose target begins with this are answered and then closed by the app.
pub const CLOSING_PATH: &str = "/close";

/// Where it listens for TCP. Not 127.0.0.1, which is the source of nearly every connection on this host: so the app's
/// address and port are never also a client's, and whoever counts its connections counts no other's.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Longest request head the app reads; proxies add a few hundred bytes to our load's sixty.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Connections beyond this are closed as they come. More than any scene opens, fewer than would hurt the host.
const CONNECTIONS_MAX: u64 = 65_536;
/// Asked of `listen(2)`; the kernel lowers it to `net.core.somaxconn`. Large, since the app is not to be the bottleneck.
const BACKLOG: u32 = 4096;
/// Pause after a failed `accept`, which is a lack of descriptors or memory and would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A running app; dropping it closes its listeners and connections, ends its thread and removes its socket file.
#[derive(Debug)]
pub struct App {
    tcp: SocketAddrV4,
    unix: PathBuf,
    accepted: Arc<Accepted>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Connections that the app has accepted since its start: what the proxies in front had to open.
#[derive(Debug, Default)]
struct Accepted {
    tcp: AtomicU64,
    unix: AtomicU64,
}

/// The two answers, ready to be written.
struct Answers {
    keeping: Vec<u8>,
    closing: Vec<u8>,
}

impl App {
    /// Starts an app whose bodies have `body_bytes` bytes, on `127.0.0.2` (a port the kernel picks) and on
    /// `directory/app.sock`, which any user may connect to: a rival's worker may run as another one.
    ///
    /// # Errors
    /// When a listener or the thread cannot be made: the host's fault, or a directory that is not ours.
    pub fn start(body_bytes: usize, directory: &Path) -> io::Result<Self> {
        Self::start_at(SocketAddrV4::new(ADDRESS, 0), body_bytes, directory)
    }

    /// As [`start`](Self::start), on a TCP address of the caller's choice; with port 0 the kernel picks it.
    ///
    /// # Errors
    /// As [`start`](Self::start); also where the address is taken or not this host's.
    pub fn start_at(
        address: SocketAddrV4,
        body_bytes: usize,
        directory: &Path,
    ) -> io::Result<Self> {
        let unix = directory.join("app.sock");
        let accepted = Arc::new(Accepted::default());
        let (stop, stopped) = oneshot::channel();
        let (started, start) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("app".to_owned()).spawn({
            let (unix, accepted) = (unix.clone(), Arc::clone(&accepted));
            move || {
                let listening = || listen(address, &unix);
                let answers = Answers::new(body_bytes);
                serve(listening, answers, accepted, &started, stopped);
            }
        })?;
        let tcp = start
            .recv()
            .map_err(|_| io::Error::other("the app's thread ended before it served"))
            .flatten()?;
        Ok(Self {
            tcp,
            unix,
            accepted,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens for TCP.
    #[must_use]
    pub fn tcp_address(&self) -> SocketAddrV4 {
        self.tcp
    }

    /// The Unix socket it listens on.
    #[must_use]
    pub fn unix_path(&self) -> &Path {
        &self.unix
    }

    /// TCP connections accepted since the start.
    #[must_use]
    pub fn tcp_connections(&self) -> u64 {
        self.accepted.tcp.load(Ordering::Relaxed)
    }

    /// Unix connections accepted since the start.
    #[must_use]
    pub fn unix_connections(&self) -> u64 {
        self.accepted.unix.load(Ordering::Relaxed)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the app's thread has been printed by the panic hook; a drop can only go on.
            let _ = thread.join();
        }
        // The directory may be gone already, and the file with it.
        let _ = std::fs::remove_file(&self.unix);
    }
}

impl Answers {
    fn new(body_bytes: usize) -> Self {
        let with = |connection: &str| {
            let mut answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {body_bytes}\r\n{connection}\r\n"
            )
            .into_bytes();
            answer.resize(answer.len() + body_bytes, b'x');
            answer
        };
        Self {
            keeping: with(""),
            closing: with("Connection: close\r\n"),
        }
    }
}

/// The life of the app's thread: listen, tell where, accept until told to stop.
fn serve(
    listen: impl FnOnce() -> io::Result<(TcpListener, UnixListener, SocketAddrV4)>,
    answers: Answers,
    accepted: Arc<Accepted>,
    started: &mpsc::SyncSender<io::Result<SocketAddrV4>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            // The starter waits in `recv` and cannot be gone; were it, nobody would be left to tell.
            let _ = started.send(Err(error));
            return;
        }
    };
    runtime.block_on(async move {
        let (tcp, unix) = match listen() {
            Ok((tcp, unix, address)) => {
                let _ = started.send(Ok(address)); // as above
                (tcp, unix)
            }
            Err(error) => {
                let _ = started.send(Err(error)); // as above
                return;
            }
        };
        let answers = Rc::new(answers);
        tokio::select! {
            _ = stopped => {}
            () = accept_tcp(&tcp, &answers, &accepted) => {}
            () = accept_unix(&unix, &answers, &accepted) => {}
        }
    });
}

fn listen(
    address: SocketAddrV4,
    unix: &Path,
) -> io::Result<(TcpListener, UnixListener, SocketAddrV4)> {
    let tcp = TcpSocket::new_v4()?;
    tcp.bind(address.into())?;
    let tcp = tcp.listen(BACKLOG)?;
    let address = SocketAddrV4::new(*address.ip(), tcp.local_addr()?.port());
    let socket = UnixSocket::new_stream()?;
    socket.bind(unix)?;
    std::fs::set_permissions(unix, std::fs::Permissions::from_mode(0o666))?;
    Ok((tcp, socket.listen(BACKLOG)?, address))
}

async fn accept_tcp(listener: &TcpListener, answers: &Rc<Answers>, accepted: &Accepted) {
    let open = Rc::new(());
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                accepted.tcp.fetch_add(1, Ordering::Relaxed); // a count, ordered with nothing
                // Without it the second of two small answers would wait for an acknowledgement; a socket that
                // refuses is about to fail anyway.
                let _ = stream.set_nodelay(true);
                spawn(stream, answers, &open);
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn accept_unix(listener: &UnixListener, answers: &Rc<Answers>, accepted: &Accepted) {
    let open = Rc::new(());
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                accepted.unix.fetch_add(1, Ordering::Relaxed); // a count, ordered with nothing
                spawn(stream, answers, &open);
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Serves `stream` on a task that holds a clone of `open`: its strong count is how many connections are open.
fn spawn<S>(stream: S, answers: &Rc<Answers>, open: &Rc<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    if Rc::strong_count(open) as u64 > CONNECTIONS_MAX {
        return;
    }
    let (answers, open) = (Rc::clone(answers), Rc::clone(open));
    tokio::task::spawn_local(async move {
        let _open = open;
        // An error here is the peer's leaving or misbehaving; the load sees the other end of it and counts it.
        let _ = converse(stream, &answers).await;
    });
}

/// Answers the requests of one connection, in order, until either side closes.
async fn converse<S>(mut stream: S, answers: &Answers) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut unread = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut unread).await? == 0 {
            return Ok(());
        }
        let mut parsed = 0;
        while let Some(length) = head_length(&unread[parsed..]) {
            let head = &unread[parsed..parsed + length];
            parsed += length;
            if !head.starts_with(b"GET /") {
                stream.write_all(REFUSAL).await?;
                return Ok(());
            }
            if head[4..].starts_with(CLOSING_PATH.as_bytes()) {
                stream.write_all(&answers.closing).await?;
                return Ok(());
            }
            // The path first, which costs nothing where the app is the yardstick.
            if head[4..].starts_with(tunnel::PATH.as_bytes()) && tunnel::is_asked_for(head) {
                stream.write_all(tunnel::ACCEPTANCE).await?;
                stream.write_all(&unread[parsed..]).await?;
                drop(unread); // not to be kept for as long as the tunnel
                return tunnel::echo(&mut stream).await;
            }
            stream.write_all(&answers.keeping).await?;
        }
        unread.drain(..parsed);
        if unread.len() > HEAD_BYTES_MAX {
            stream.write_all(REFUSAL).await?;
            return Ok(());
        }
    }
}

/// What the app says to anything but a GET with a short head.
const REFUSAL: &[u8] =
    b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Bytes of the first whole head in `bytes`, its blank line included.
pub(super) fn head_length(bytes: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    bytes
        .windows(END.len())
        .position(|window| window == END)
        .map(|at| at + END.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::scratch::Scratch;
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;

    const DEADLINE: Duration = Duration::from_secs(10);

    fn read_until_close(stream: &mut impl io::Read) -> String {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn it_answers_over_tcp_and_closes_when_asked_for_the_closing_path() {
        let scratch = Scratch::new().unwrap();
        let app = App::start(5, scratch.path()).unwrap();
        let mut stream = TcpStream::connect(app.tcp_address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /close HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        let answers = read_until_close(&mut stream);
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2);
        assert_eq!(answers.matches("xxxxx").count(), 2);
        assert!(answers.contains("Connection: close"));
        assert_eq!((app.tcp_connections(), app.unix_connections()), (1, 0));
    }

    #[test]
    fn it_answers_over_its_unix_socket_and_removes_the_file_when_dropped() {
        let scratch = Scratch::new().unwrap();
        let app = App::start(0, scratch.path()).unwrap();
        let path = app.unix_path().to_owned();
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
            .write_all(b"GET /close HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        assert!(read_until_close(&mut stream).starts_with("HTTP/1.1 200 OK\r\n"));
        assert_eq!(app.unix_connections(), 1);
        drop(app);
        assert!(!path.exists());
    }

    #[test]
    fn a_head_that_comes_in_two_pieces_is_answered_once() {
        let scratch = Scratch::new().unwrap();
        let app = App::start(3, scratch.path()).unwrap();
        let mut stream = TcpStream::connect(app.tcp_address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(b"GET /close HTT").unwrap();
        stream.write_all(b"P/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.ends_with(b"\r\n\r\nxxx"));
    }

    #[test]
    fn a_tunnel_gives_back_what_is_sent_even_with_the_request() {
        let scratch = Scratch::new().unwrap();
        let app = App::start(3, scratch.path()).unwrap();
        let mut stream = TcpStream::connect(app.tcp_address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
            .write_all(&[tunnel::UPGRADE, b"early"].concat())
            .unwrap();
        stream.write_all(b" and late").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert_eq!(back, [tunnel::ACCEPTANCE, b"early and late"].concat());
    }

    #[test]
    fn a_request_that_is_no_get_is_refused_and_closed() {
        let scratch = Scratch::new().unwrap();
        let app = App::start(3, scratch.path()).unwrap();
        let mut stream = TcpStream::connect(app.tcp_address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\n\r\n").unwrap();
        assert!(read_until_close(&mut stream).starts_with("HTTP/1.1 501 "));
    }
}
