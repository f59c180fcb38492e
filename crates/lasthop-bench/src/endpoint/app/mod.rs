//! The app of the benchmark, over TCP and over a Unix socket at once, in a process of its own, so that it can be pinned and is
//! not counted.
//!
//! Both ends are here: `lasthop-bench app`, the hidden command that serves on one thread, and [`AppProcess`], the guard that
//! starts it. What it answers is [`conversation`].

mod connection;
mod conversation;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use lasthop::transport::register;
use lasthop_kernel::limits;
use lasthop_kernel::listen::{accept_tcp, accept_unix};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpSocket, UnixSocket};
use tokio::sync::oneshot;

use self::connection::Connection;
use self::conversation::Answers;
use super::{Endpoint, PATIENCE, next_order, runtime, say};
use crate::error::BenchError;
use crate::interrupt::Interrupt;
use crate::upstream::Upstream;

/// Where it listens for TCP. Not 127.0.0.1, which is the source of nearly every connection on this host: so the app's
/// address and port are never also a client's.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Asked of `listen(2)`; the kernel lowers it to `net.core.somaxconn`. Large, since the app is not to be the bottleneck.
const BACKLOG: u32 = 4096;
/// Connections beyond this are closed as they come. More than any load opens, fewer than would hurt the host.
const CONNECTIONS_MAX: usize = 65_536;
/// Pause after a failed `accept`, which is a lack of descriptors or memory and would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Serves until the standard input ends. Says its TCP address first; its socket is in `directory`.
pub(crate) fn serve(directory: &Path) -> Result<(), BenchError> {
    limits::raise_nofile()?;
    let unix = socket_in(directory);
    let (stop, stopped) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        while next_order().is_some() {}
        drop(stop);
    });
    runtime()?.block_on(async {
        let listening = listen(&unix).map_err(BenchError::host("listen as the app"))?;
        say(&listening.address.to_string())?;
        tokio::select! {
            _ = stopped => Ok(()),
            () = listening.accept() => Ok(()),
        }
    })
}

/// What it listens on. Not tokio's listeners, whose connections are watched already, in the wrong way.
struct Listening {
    tcp: AsyncFd<TcpListener>,
    unix: AsyncFd<UnixListener>,
    address: SocketAddr,
}

fn socket_in(directory: &Path) -> PathBuf {
    directory.join("app.sock")
}

fn listen(unix: &Path) -> io::Result<Listening> {
    let tcp = TcpSocket::new_v4()?;
    tcp.bind((ADDRESS, 0).into())?;
    let tcp = tcp.listen(BACKLOG)?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(unix)?;
    // A rival's worker may run as another user.
    std::fs::set_permissions(unix, std::fs::Permissions::from_mode(0o666))?;
    Ok(Listening {
        address: tcp.local_addr()?,
        tcp: register(tcp.into_std()?, Interest::READABLE)?,
        unix: register(socket.listen(BACKLOG)?.into_std()?, Interest::READABLE)?,
    })
}

impl Listening {
    /// Accepts over both and never ends.
    async fn accept(&self) {
        let answers = Rc::new(Answers::default());
        tokio::join!(self.accept_tcp(&answers), self.accept_unix(&answers));
    }

    async fn accept_tcp(&self, answers: &Rc<Answers>) {
        loop {
            match self.tcp.async_io(Interest::READABLE, accept_tcp).await {
                Ok((stream, _)) => {
                    // Without it the second of two small answers would wait for an acknowledgement; a socket that refuses
                    // is about to fail anyway.
                    let _ = stream.set_nodelay(true);
                    spawn(stream, answers);
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    async fn accept_unix(&self, answers: &Rc<Answers>) {
        loop {
            match self.unix.async_io(Interest::READABLE, accept_unix).await {
                Ok(stream) => spawn(stream, answers),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

/// Serves `socket` on a task that holds a clone of `answers`: its strong count says how many connections are open.
fn spawn<S>(socket: S, answers: &Rc<Answers>)
where
    S: AsFd + AsRawFd + Unpin + 'static,
    for<'a> &'a S: Read + Write,
{
    if Rc::strong_count(answers) > CONNECTIONS_MAX {
        return;
    }
    let Ok(connection) = Connection::new(socket) else {
        return;
    };
    let answers = Rc::clone(answers);
    tokio::task::spawn_local(async move {
        // An error is the peer's leaving or misbehaving; the load sees the other end of it and counts it.
        let _ = conversation::hold(connection, &answers).await;
    });
}

/// A running app; dropping it ends the process.
#[derive(Debug)]
pub(crate) struct AppProcess {
    _endpoint: Endpoint,
    tcp: SocketAddr,
    unix: PathBuf,
}

impl AppProcess {
    /// Starts the app with its socket in `directory`.
    pub(crate) fn start(directory: &Path, interrupt: &Interrupt) -> Result<Self, BenchError> {
        let name = "app";
        let endpoint = Endpoint::start(name, ["--directory".into(), directory.into()])?;
        let line = endpoint.line(PATIENCE, interrupt)?;
        let tcp = line.parse().map_err(|_| BenchError::Endpoint {
            name,
            what: "does not say where it listens",
        })?;
        Ok(Self {
            _endpoint: endpoint,
            tcp,
            unix: socket_in(directory),
        })
    }

    /// Where it listens for TCP.
    pub(crate) fn tcp_address(&self) -> SocketAddr {
        self.tcp
    }

    /// Its two addresses, TCP first: the order of runs and of rows.
    pub(crate) fn upstreams(&self) -> [Upstream; 2] {
        [Upstream::Tcp(self.tcp), Upstream::Unix(self.unix.clone())]
    }
}
