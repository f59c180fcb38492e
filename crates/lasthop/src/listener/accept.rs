//! Accepting: one loop per listening socket, until the worker drains.
//!
//! An accept that fails because descriptors or memory are used up is tried again after a pause, and
//! told once: the listener stays readable all the while, and a loop without a pause would take a
//! whole core to do nothing.

use std::io;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use lasthop_kernel::connect::{ConnectFault, Step};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::transport::Stream;

/// The pause after an accept for which descriptors or memory were lacking. Long enough to cost
/// nothing, short enough that nobody notices when one is free again.
const PAUSE: Duration = Duration::from_millis(50);

/// Between two log lines about failing accepts, in pauses: ten seconds.
const PAUSES_PER_LOG_LINE: u32 = 200;

/// Counts failing accepts between log lines.
#[derive(Default)]
struct Failures(u32);

impl Failures {
    /// Deals with a failed accept: nothing to do about a client that left, a pause for a shortage.
    async fn pause(&mut self, error: &io::Error, listener: &str) {
        match ConnectFault::of(Step::Socket, error) {
            ConnectFault::Descriptors | ConnectFault::Memory => {
                if self.0.is_multiple_of(PAUSES_PER_LOG_LINE) {
                    tracing::error!(
                        listener,
                        %error,
                        fix = "raise the limit on open files (LimitNOFILE= of the service, ulimit -n, fs.file-max)",
                        "cannot accept connections"
                    );
                }
                self.0 = self.0.wrapping_add(1);
                sleep(PAUSE).await;
            }
            // accept(2): errors of the connection itself are reported here and concern nobody else.
            _ => tracing::debug!(listener, %error, "a connection was gone before it was accepted"),
        }
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
                failures = Failures::default();
                take(stream, peer.ip(), &mut serve);
            }
            Err(error) => failures.pause(&error, name).await,
        }
    }
    // The event loop may not have heard of all that is queued; the kernel has. Closing the socket
    // would reset them.
    let Ok(listener) = listener.into_std() else {
        return;
    };
    while let Ok((stream, peer)) = listener.accept() {
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
    serve(Stream::Tcp(stream), Some(ip));
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
                failures = Failures::default();
                hand_over(stream).await;
            }
            Err(error) => failures.pause(&error, name).await,
        }
    }
    // As above.
    let Ok(listener) = listener.into_std() else {
        return;
    };
    while let Ok((stream, _)) = listener.accept() {
        if stream.set_nonblocking(true).is_ok() {
            hand_over(stream).await;
        }
    }
}
