//! Accepting: one loop per listening socket, until the worker drains.
//!
//! A connection is accepted before any event loop knows it, so that it can go to another worker, or be
//! turned away, for nothing. Who gets it is the [`Entrance`]'s business.
//!
//! Where the kernel has no descriptor left, a spare one is given up for the newcomer, who can be told
//! then. Where even that fails, accepting pauses: the listener stays readable all the while, and a loop
//! without a pause would take a whole core to do nothing.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::{Duration, Instant};

use lasthop_kernel::listen::{accept_tcp, accept_unix, is_out_of_descriptors};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::open::BACKLOG;
use crate::transport::{self, Accepted, BareSocket};

/// The pause after an accept for which descriptors or memory were lacking. Long enough to cost
/// nothing, short enough that nobody notices when one is free again.
const PAUSE: Duration = Duration::from_millis(50);

/// Between two log lines about failing accepts.
const QUIET: Duration = Duration::from_secs(10);

/// Connections accepted in a row before those who are there already are served on: some 100 µs of work.
/// A flood keeps the listener readable, and tokio's own budget would let 128 through.
const ACCEPTS_IN_A_ROW_MAX: usize = 16;

/// A listening socket, non-blocking.
pub trait Listen: AsRawFd {
    /// Takes the connection that has waited longest.
    ///
    /// # Errors
    /// As accept(2).
    fn accept(&self) -> io::Result<Accepted>;
}

impl Listen for TcpListener {
    fn accept(&self) -> io::Result<Accepted> {
        accept_tcp(self).map(|(stream, ip)| Accepted {
            socket: BareSocket::Tcp(stream),
            ip: Some(ip),
        })
    }
}

impl Listen for UnixListener {
    fn accept(&self) -> io::Result<Accepted> {
        accept_unix(self).map(|stream| Accepted {
            socket: BareSocket::Unix(stream),
            ip: None,
        })
    }
}

/// What a newcomer meets behind the listener.
pub trait Entrance {
    /// Takes a connection in. `kernel_is_short` says that it has the last descriptor the kernel would give.
    fn admit(&self, newcomer: Accepted, kernel_is_short: bool) -> impl Future<Output = Admitted>;

    /// Frees a descriptor at once and returns true; or has one freed in a moment, if that is possible.
    fn relieve(&self) -> bool;
}

/// How a newcomer was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// There was room.
    WithRoom,
    /// Somebody goes for it, or it was turned away: let that happen before the next one.
    WithoutRoom,
}

/// One listener's way of accepting.
struct Accepting<'a, E> {
    entrance: &'a E,
    name: &'a str,
    /// A descriptor that is good for nothing but being closed. A socket, so that it also counts where the
    /// host as a whole is short (ENFILE), and needs no file.
    spare: Option<UnixDatagram>,
    /// When failing accepts were last told of.
    told: Option<Instant>,
}

/// Has the event loop of this thread watch `listener`.
///
/// # Errors
/// As epoll_ctl(2).
pub fn register<L: Listen>(listener: L) -> io::Result<AsyncFd<L>> {
    transport::register(listener, Interest::READABLE)
}

/// Accepts on `listener`, called `name` in the log, and gives each connection to `entrance`. On a drain it
/// takes what is queued already, then closes the socket.
pub async fn accept(
    listener: AsyncFd<impl Listen>,
    name: &str,
    mut closing: watch::Receiver<bool>,
    entrance: &impl Entrance,
) {
    let mut accepting = Accepting {
        entrance,
        name,
        spare: None,
        told: None,
    };
    loop {
        accepting.renew_spare();
        // The end first: while newcomers come faster than they are taken, the listener is always ready.
        let ready = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => break,
            ready = listener.readable() => ready,
        };
        // An error is the end of the event loop.
        let Ok(mut ready) = ready else { return };
        match accepting.accept_some(listener.get_ref()).await {
            Ok(()) => yield_now().await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            Err(error) => {
                accepting.tell(&error, "cannot accept connections");
                sleep(PAUSE).await;
            }
        }
    }
    // The event loop may not have heard yet of all that is queued; the kernel has. Closing the socket
    // would reset them. Bounded: whoever connects meanwhile must not keep it open.
    let listener = listener.into_inner();
    for _ in 0..=BACKLOG {
        if accepting.accept_one(&listener).await.is_err() {
            break;
        }
    }
}

impl<E: Entrance> Accepting<'_, E> {
    /// Accepts until it is time to let others run. An error says that there is nobody to accept or no
    /// way to.
    async fn accept_some(&mut self, listener: &impl Listen) -> io::Result<()> {
        for _ in 0..ACCEPTS_IN_A_ROW_MAX {
            if self.accept_one(listener).await? == Admitted::WithoutRoom {
                break;
            }
        }
        Ok(())
    }

    async fn accept_one(&mut self, listener: &impl Listen) -> io::Result<Admitted> {
        let (newcomer, kernel_is_short) = match listener.accept() {
            Ok(newcomer) => (newcomer, false),
            Err(error) if is_out_of_descriptors(&error) => {
                if self.spare.take().is_none() && !self.entrance.relieve() {
                    return Err(error);
                }
                self.tell(&error, "accepting connections with the last descriptor");
                (listener.accept()?, true)
            }
            Err(error) if is_of_the_connection(&error) => {
                let listener = self.name;
                tracing::debug!(listener, %error, "a connection was gone before it was accepted");
                return Ok(Admitted::WithRoom);
            }
            Err(error) => return Err(error),
        };
        Ok(self.entrance.admit(newcomer, kernel_is_short).await)
    }

    /// Takes a spare descriptor, if the last one was given up and there is one to be had by now.
    fn renew_spare(&mut self) {
        if self.spare.is_none() {
            self.spare = UnixDatagram::unbound().ok();
        }
    }

    fn tell(&mut self, error: &io::Error, what: &'static str) {
        if self.told.is_some_and(|told| told.elapsed() < QUIET) {
            return;
        }
        self.told = Some(Instant::now());
        let listener = self.name;
        let fix = is_out_of_descriptors(error).then_some(
            "raise the limit on open files (LimitNOFILE= of the service, ulimit -n, fs.file-max)",
        );
        tracing::error!(listener, %error, fix, "{what}");
    }
}

/// Whether accept(2) reports an error of the connection that waited, which concerns nobody else.
fn is_of_the_connection(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionAborted
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write as _;
    use std::os::fd::RawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A listener at which somebody always waits.
    struct Flooded(UnixStream);

    impl AsRawFd for Flooded {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_raw_fd()
        }
    }

    impl Listen for Flooded {
        fn accept(&self) -> io::Result<Accepted> {
            UnixStream::pair().map(|(newcomer, _)| Accepted {
                socket: BareSocket::Unix(newcomer),
                ip: None,
            })
        }
    }

    struct Counting {
        admitted: Cell<u32>,
        close: watch::Sender<bool>,
    }

    impl Entrance for Counting {
        async fn admit(&self, _newcomer: Accepted, _kernel_is_short: bool) -> Admitted {
            self.admitted.set(self.admitted.get() + 1);
            if self.admitted.get() == 100 {
                let _ = self.close.send(true);
            }
            assert!(self.admitted.get() <= BACKLOG + 200, "accepts for ever");
            Admitted::WithRoom
        }

        fn relieve(&self) -> bool {
            false
        }
    }

    #[test]
    fn a_flood_does_not_keep_a_listener_open_in_a_drain() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(b"ready to read").unwrap();
            let (close, closing) = watch::channel(false);
            let entrance = Counting {
                admitted: Cell::new(0),
                close,
            };
            accept(register(Flooded(ours)).unwrap(), "web", closing, &entrance).await;
            assert!(entrance.admitted.get() >= 100);
        });
    }
}
