//! A TCP connection to an app, and the lease of the source port that it has.
//!
//! Just before the socket is closed the kernel is asked which side closed first, because that decides whether the port
//! is free at once or stays in TIME_WAIT; the lease is given back when the socket is closed, and not before.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use lasthop_kernel::socket::{TcpState, tcp_state};
use lasthop_ports::{Ended, Lease};
use tokio::net::TcpStream;

/// The connection, on the heap: a stream is as large as its largest kind, and those of clients are of another.
#[derive(Debug)]
pub(super) struct LeasedTcp(Box<Leased>);

/// The order of the fields is the order in which they go.
#[derive(Debug)]
struct Leased {
    stream: TcpStream,
    lease: Lease,
    /// Bound to a port by its number: while it is, TIME_WAIT included, the kernel gives that port to nobody.
    names_port: bool,
    /// Known before the close where we have ended our direction already.
    ended: Cell<Option<Ended>>,
}

impl LeasedTcp {
    pub(super) fn new(stream: TcpStream, lease: Lease, names_port: bool) -> Self {
        Self(Box::new(Leased {
            stream,
            lease,
            names_port,
            ended: Cell::new(None),
        }))
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.0.lease
    }

    pub(super) fn names_port(&self) -> bool {
        self.0.names_port
    }

    /// Our direction is about to be ended. Asked now, because a socket whose two directions are over says no more which
    /// was the first: it is gone, and only TIME_WAIT is left.
    pub(super) fn before_shutdown(&self) {
        if self.0.ended.get().is_none() {
            self.0.ended.set(Some(self.0.who_is_first()));
        }
    }

    /// The close will be a reset; or an orderly end again.
    pub(super) fn resets_on_close(&self, reset: bool) {
        self.0.ended.set(reset.then_some(Ended::Reset));
    }
}

impl Leased {
    /// Who is the first to close, if we do now.
    fn who_is_first(&self) -> Ended {
        match tcp_state(&self.stream) {
            Ok(TcpState::CloseWait | TcpState::LastAck) => Ended::ByApp,
            // The app has reset it, or the handshake has not come about.
            Ok(TcpState::Close | TcpState::SynSent) => Ended::Reset,
            // Where the kernel does not say, the port is taken to stay: the error on the safe side.
            Ok(_) | Err(_) => Ended::ByUs,
        }
    }
}

impl Deref for LeasedTcp {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.0.stream
    }
}

impl DerefMut for LeasedTcp {
    fn deref_mut(&mut self) -> &mut TcpStream {
        &mut self.0.stream
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        let ended = self.ended.get().unwrap_or_else(|| self.who_is_first());
        self.lease.ended(ended, Instant::now());
    }
}
