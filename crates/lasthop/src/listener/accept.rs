//! Accepting: one loop per listening socket, until the worker drains.
//!
//! An accept that fails because descriptors or memory are used up is tried again after a pause, and
//! told once: the listener stays readable all the while, and a loop without a pause would take a
//! whole core to do nothing.

use std::io;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use lasthop_kernel::connect::{ConnectFault, Step};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;
use tokio::time::sleep;

use super::open::BACKLOG;
use crate::transport::Stream;

/// The pause after an accept for which descriptors or memory were lacking. Long enough to cost
/// nothing, short enough that nobody notices when one is free again.
const PAUSE: Duration = Duration::from_millis(50);

/// Between two log lines about failing accepts.
const QUIET: Duration = Duration::from_secs(10);

/// When failing accepts were last told of.
#[derive(Default)]
struct Failures(Option<Instant>);

impl Failures {
    /// Deals with a failed accept: nothing to do about a client that left, a pause for a shortage.
    async fn pause(&mut self, error: &io::Error, listener: &str) {
        if error.kind() == io::ErrorKind::ConnectionAborted {
            // accept(2) reports errors of the connection itself, which concern nobody else.
            tracing::debug!(listener, %error, "a connection was gone before it was accepted");
            return;
        }
        if self.0.is_none_or(|told| told.elapsed() >= QUIET) {
            self.0 = Some(Instant::now());
            let fix = match ConnectFault::of(Step::Socket, error) {
                ConnectFault::Descriptors => Some(
                    "raise the limit on open files (LimitNOFILE= of the service, ulimit -n, fs.file-max)",
                ),
                _ => None,
            };
            tracing::error!(listener, %error, fix, "cannot accept connections");
        }
        sleep(PAUSE).await;
    }
}

/// Accepts on one worker's socket of a TCP listener and gives each connection to `serve`. On a drain
/// it takes what is queued already, then closes the socket.
pub async fn accept_tcp(
    listener: TcpListener,
    name: &str,
    mut draining: watch::Receiver<bool>,
    mut serve: impl FnMut(Stream, Option<IpAddr>),
) {
    let mut failures = Failures::default();
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            _ = draining.wait_for(|draining| *draining) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                take(stream, peer.ip(), &mut serve);
            }
            Err(error) => failures.pause(&error, name).await,
        }
    }
    // The event loop may not have heard of all that is queued; the kernel has. Closing the socket
    // would reset them. Bounded: whoever connects meanwhile must not keep it open.
    let Ok(listener) = listener.into_std() else {
        return;
    };
    for _ in 0..=BACKLOG {
        let Ok((stream, peer)) = listener.accept() else {
            return;
        };
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            take(stream, peer.ip(), &mut serve);
        }
    }
}

fn take(stream: TcpStream, ip: IpAddr, serve: &mut impl FnMut(Stream, Option<IpAddr>)) {
    // Answers are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    serve(stream.into(), Some(ip));
}

/// Accepts on a Unix listener and hands each connection to `hand_over`, which chooses the worker.
pub async fn accept_unix<F: Future<Output = ()>>(
    listener: UnixListener,
    name: &str,
    mut draining: watch::Receiver<bool>,
    mut hand_over: impl FnMut(UnixStream) -> F,
) {
    let mut failures = Failures::default();
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            _ = draining.wait_for(|draining| *draining) => break,
        };
        match accepted.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => {
                hand_over(stream).await;
            }
            Err(error) => failures.pause(&error, name).await,
        }
    }
    // As above.
    let Ok(listener) = listener.into_std() else {
        return;
    };
    for _ in 0..=BACKLOG {
        let Ok((stream, _)) = listener.accept() else {
            return;
        };
        if stream.set_nonblocking(true).is_ok() {
            hand_over(stream).await;
        }
    }
}
