//! The thread of the admin address: its runtime, its accept loop and the bound on its connections.
//!
//! At the bound the newcomer is served and the connection that does least is closed: whoever asks for the health of a
//! server must not find it busy with others who never ask anything.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use lasthop_kernel::listen::{ListenGuard, PathClaim};
use lasthop_kernel::socket::limit_unsent;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, sleep};

use super::connection::{Activity, Impatient, PATIENCE};
use super::gate::Gate;
use super::open::Listening;
use super::pages;
use super::view::View;

/// Connections at one time: a few scrapers, a load balancer and an operator's browser, several times over.
pub const CONNECTIONS_MAX: usize = 64;

/// Bytes of a request's head, which is also what hyper needs as its smallest buffer.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Bytes of answers that the kernel keeps for a client before they are first sent. Left to itself it keeps megabytes, and a
/// live page that nobody reads would hold its place for minutes, until they are full, instead of `PATIENCE`.
const UNSENT_BYTES_MAX: u32 = 16 * 1024;

/// The pause after a failed accept, as in the proxy's own listeners: the socket stays readable meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// The running admin address. Ends when dropped.
#[derive(Debug)]
pub struct AdminThread {
    /// Nothing is ever sent: that it is gone is the message.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl AdminThread {
    /// Ends it, cuts what it still answers, and removes its socket file if it has one. The last thing a server does, so
    /// that a drain can be watched to its end.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for AdminThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

/// Starts the thread and waits until it serves.
pub(super) fn start(listening: Listening, gate: Gate, view: View) -> io::Result<AdminThread> {
    let (stop, stopped) = oneshot::channel();
    let (started, outcome) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("admin".to_owned())
        .spawn(move || run(listening, gate, view, &started, stopped))?;
    let admin = AdminThread {
        stop: Some(stop),
        thread: Some(thread),
    };
    match outcome.recv() {
        Ok(outcome) => outcome.map(|()| admin),
        Err(mpsc::RecvError) => Err(io::Error::other("the admin thread ended at once")),
    }
}

fn run(
    listening: Listening,
    gate: Gate,
    view: View,
    started: &mpsc::Sender<io::Result<()>>,
    stopped: oneshot::Receiver<Infallible>,
) {
    let begun = local_runtime().and_then(|runtime| {
        let listener = Listener::watch(listening, &runtime)?;
        Ok((runtime, listener))
    });
    let (runtime, listener) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            // Whoever started us waits for this word.
            let _ = started.send(Err(error));
            return;
        }
    };
    let _ = started.send(Ok(()));
    runtime.block_on(async {
        tokio::select! {
            // Only ever an error: its sender is gone.
            _ = stopped => {}
            never = accept(&listener, pages::router(gate, view)) => match never {},
        }
    });
    // Connections first, then the socket and its file.
    drop(runtime);
}

fn local_runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())
}

/// The listening socket on the event loop. Fields drop in their order: a TCP address stays ours until its socket is
/// closed, and a socket file goes before its socket, so that no other starter finds it stale.
enum Listener {
    Tcp(
        TcpListener,
        #[expect(dead_code, reason = "held")] ListenGuard,
    ),
    Unix(
        #[expect(dead_code, reason = "held")] PathClaim,
        UnixListener,
    ),
}

impl Listener {
    fn watch(listening: Listening, runtime: &LocalRuntime) -> io::Result<Self> {
        let _entered = runtime.enter();
        Ok(match listening {
            Listening::Tcp(listener, guard) => Self::Tcp(TcpListener::from_std(listener)?, guard),
            Listening::Unix(unix) => Self::Unix(unix.claim, UnixListener::from_std(unix.listener)?),
        })
    }
}

/// Serves whoever comes.
async fn accept(listener: &Listener, pages: Router) -> Infallible {
    let mut connections = Connections::default();
    loop {
        let accepted = match listener {
            Listener::Tcp(listener, _) => listener.accept().await.map(|(stream, _)| {
                // Answers are written whole; waiting for more would only delay them.
                let _ = stream.set_nodelay(true);
                let _ = limit_unsent(&stream, UNSENT_BYTES_MAX);
                connections.serve(stream, &pages);
            }),
            Listener::Unix(_, listener) => listener.accept().await.map(|(stream, _)| {
                connections.serve(stream, &pages);
            }),
        };
        if let Err(error) = accepted {
            tracing::debug!(%error, "cannot accept on the admin address");
            sleep(PAUSE).await;
        }
    }
}

/// The open connections, at most [`CONNECTIONS_MAX`].
#[derive(Default)]
struct Connections(Vec<(AbortHandle, Rc<Activity>)>);

impl Connections {
    fn serve(&mut self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, pages: &Router) {
        self.make_room();
        let activity = Activity::begun(Instant::now());
        let stream = Impatient::new(stream, Rc::clone(&activity), PATIENCE);
        let pages = TowerToHyperService::new(pages.clone());
        let task = spawn_local(async move {
            let connection = http1::Builder::new()
                .max_buf_size(HEAD_BYTES_MAX)
                // `Impatient` has the deadlines.
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(stream), pages);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the admin address ended early");
            }
        });
        self.0.push((task.abort_handle(), activity));
    }

    fn make_room(&mut self) {
        self.0.retain(|(task, _)| !task.is_finished());
        if self.0.len() < CONNECTIONS_MAX {
            return;
        }
        let open = self.0.iter().enumerate();
        let Some((least, _)) = open.min_by_key(|(_, (_, activity))| activity.now()) else {
            return;
        };
        let (task, _) = self.0.swap_remove(least);
        task.abort();
    }
}
