//! The app that holds connections: a short answer to every GET, a held tunnel for every upgrade.
//!
//! Behind proxies that hold many. Nothing is said in a tunnel until the client does; then its bytes come back. As many
//! processes as the descriptor limit needs share one listening socket, so that it stays one app at one address, with no
//! buffer for a connection that is silent. Both ends are here: `lasthop-bench hold-app`, the hidden command that serves,
//! and [`HoldApp`], the guard that listens and starts as many of them as it takes.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lasthop::demo::app::CLOSING_PATH;
use lasthop::demo::tunnel;
use lasthop_kernel::{limits, socket};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UnixSocket, UnixStream};
use tokio::sync::mpsc;

use super::{Endpoint, PATIENCE, runtime, say};
use crate::error::BenchError;
use crate::interrupt::Interrupt;
use crate::ports;
use crate::upstream::{Transport, Upstream};

/// Body bytes of each answer to a GET.
pub(crate) const BODY_BYTES: usize = 2;
/// Asked of `listen(2)`; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: u32 = 4096;
/// Longest request head; proxies add a few hundred bytes to our load's.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Descriptors that are no connection's.
const DESCRIPTORS_APART: u64 = 64;
/// Connections that are accepted and not yet looked after.
const ACCEPTED_MAX: usize = 64;
/// Pause while there is no room, and after a failed `accept`, which is a lack of memory and would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// Room in the app beyond the connections that are to be held: those that end while others begin.
const SPARE: usize = 1024;
/// What its processes say once they accept.
const READY: &str = "ready";

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LAST_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// A running app; dropping it ends its processes and with them every connection.
#[derive(Debug)]
pub(crate) struct HoldApp {
    endpoints: Vec<Endpoint>,
    upstream: Upstream,
}

impl HoldApp {
    /// Starts as many processes as `connections` need on one new address; a socket file goes to `directory`.
    pub(crate) fn start(
        over: Transport,
        connections: usize,
        directory: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self, BenchError> {
        let (listener, upstream) =
            listen(over, directory).map_err(BenchError::host("listen as the app"))?;
        let mut endpoints = Vec::new();
        let processes = processes_of(connections, room_of_a_process()?);
        for _ in 0..processes {
            let listener = listener.try_clone();
            let listener = listener.map_err(BenchError::host("hand a listening socket over"))?;
            let words = ["--over".into(), over.word().into()];
            endpoints.push(Endpoint::start_on(listener, "hold-app", words)?);
        }
        for endpoint in &endpoints {
            endpoint.line(PATIENCE, interrupt)?;
        }
        Ok(Self {
            endpoints,
            upstream,
        })
    }

    /// Its processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.endpoints.iter().map(Endpoint::pid).collect()
    }

    /// Where it listens.
    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstream
    }
}

/// The processes that `connections` need where each has so much `room`.
pub(crate) fn processes_of(connections: usize, room: usize) -> usize {
    (connections + SPARE).div_ceil(room)
}

/// How many connections a process of the app may hold.
pub(crate) fn room_of_a_process() -> Result<usize, BenchError> {
    let room = limits::nofile()?.hard.saturating_sub(DESCRIPTORS_APART);
    Ok(usize::try_from(room).unwrap_or(usize::MAX).max(1))
}

fn listen(over: Transport, directory: &Path) -> io::Result<(OwnedFd, Upstream)> {
    // The sockets of the runtime, because those of the standard library choose the backlog themselves.
    let runtime = runtime().map_err(io::Error::other)?;
    let _inside = runtime.enter();
    match over {
        Transport::Tcp => {
            let listener = ports::outside_of_sources(|address| {
                let socket = TcpSocket::new_v4()?;
                socket.bind(address)?;
                socket.listen(BACKLOG)?.into_std()
            })?;
            listener.set_nonblocking(false)?;
            let address = listener.local_addr()?;
            Ok((listener.into(), Upstream::Tcp(address)))
        }
        Transport::Unix => {
            let path = directory.join("held.sock");
            let socket = UnixSocket::new_stream()?;
            socket.bind(&path)?;
            // A rival's worker may run as another user.
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
            let listener = socket.listen(BACKLOG)?.into_std()?;
            listener.set_nonblocking(false)?;
            Ok((listener.into(), Upstream::Unix(path)))
        }
    }
}

/// Serves on the listening socket that is the standard input, until it is told to end.
pub(crate) fn serve(over: Transport) -> Result<(), BenchError> {
    let attempt = || BenchError::host("take over the listening socket");
    limits::raise_nofile()?;
    let room = room_of_a_process()?;
    let listener = io::stdin().as_fd().try_clone_to_owned();
    let listener = listener.map_err(attempt())?;
    let runtime = runtime()?;
    say(READY)?;
    runtime.block_on(async move {
        match over {
            Transport::Tcp => {
                let listener = TcpListener::from(listener);
                let mut accepted = accepted(room, move || Ok(listener.accept()?.0));
                while let Some((stream, place)) = accepted.recv().await {
                    let stream = stream
                        .set_nonblocking(true)
                        .and(TcpStream::from_std(stream));
                    if let Ok(stream) = stream {
                        // In a tunnel nobody waits for what the other does not know yet: an end is an end. An answer
                        // needs an orderly end, and gets it.
                        hold(stream, place, |stream| socket::reset_on_close(stream, true));
                    }
                }
            }
            Transport::Unix => {
                let listener = UnixListener::from(listener);
                let mut accepted = accepted(room, move || Ok(listener.accept()?.0));
                while let Some((stream, place)) = accepted.recv().await {
                    let stream = stream
                        .set_nonblocking(true)
                        .and(UnixStream::from_std(stream));
                    if let Ok(stream) = stream {
                        hold(stream, place, |_| Ok(()));
                    }
                }
            }
        }
    });
    Ok(())
}

/// A place of a process, given back when dropped.
#[derive(Debug)]
struct Room {
    taken: Arc<AtomicUsize>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed); // a count on its own, ordered with nothing
    }
}

/// What `accept` brings, one place of `room` for each. On a thread that waits in accept(2), where the kernel wakes one of
/// all processes for one connection and takes them in turn; an event loop in each would be woken for every one.
fn accepted<S: Send + 'static>(
    room: usize,
    accept: impl Fn() -> io::Result<S> + Send + 'static,
) -> mpsc::Receiver<(S, Room)> {
    let (send, receive) = mpsc::channel(ACCEPTED_MAX);
    let taken = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        loop {
            if taken.load(Ordering::Relaxed) >= room {
                std::thread::sleep(ACCEPT_PAUSE);
                continue;
            }
            let Ok(stream) = accept() else {
                std::thread::sleep(ACCEPT_PAUSE);
                continue;
            };
            taken.fetch_add(1, Ordering::Relaxed);
            let taken = Arc::clone(&taken);
            if send.blocking_send((stream, Room { taken })).is_err() {
                return;
            }
        }
    });
    receive
}

/// Looks after one connection; `upgraded` is told when it becomes a tunnel.
fn hold<S>(stream: S, place: Room, upgraded: fn(&S) -> io::Result<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    tokio::task::spawn_local(async move {
        let _place = place;
        // An error is the peer's leaving or misbehaving; the load sees the other end of it and counts it.
        let _ = converse(stream, upgraded).await;
    });
}

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Answer,
    LastAnswer,
    Upgrade,
}

/// Answers requests until one upgrades, then gives back what comes.
async fn converse<S>(mut stream: S, upgraded: fn(&S) -> io::Result<()>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match read_request(&mut stream).await? {
            None => return Ok(()),
            Some(Wish::Answer) => stream.write_all(ANSWER).await?,
            Some(Wish::LastAnswer) => return stream.write_all(LAST_ANSWER).await,
            Some(Wish::Upgrade) => break,
        }
    }
    stream.write_all(tunnel::ACCEPTANCE).await?;
    upgraded(&stream)?;
    tunnel::echo(&mut stream).await
}

/// What the next request wants; `None` at the end. The load waits for each answer, so nothing follows the head, and the
/// buffer is gone while the connection is silent.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Wish>> {
    // Not a buffer of its own for the first byte: waiting is what these connections do.
    let mut first = [0; 1];
    if stream.read(&mut first).await? == 0 {
        return Ok(None);
    }
    let mut head = Vec::from(first);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX || stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(Some(if tunnel::is_asked_for(&head) {
        Wish::Upgrade
    } else if head.starts_with(format!("GET {CLOSING_PATH} ").as_bytes()) {
        Wish::LastAnswer
    } else {
        Wish::Answer
    }))
}
