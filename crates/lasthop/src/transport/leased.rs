//! A TCP connection to an app, and the lease of the source port that it has.
//!
//! Just before the socket is closed it is settled which side closed first, because that decides whether the port is free
//! at once or stays in TIME_WAIT; the lease is given back when the socket is closed, or rid of its connection to serve
//! another one, and not before.

use std::cell::Cell;
use std::io;
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use lasthop_kernel::connect::SpentTcp;
use lasthop_kernel::socket::{TcpState, tcp_state};
use lasthop_ports::{Ended, Lease};

use super::registered::Registered;

/// The connection, on the heap: a stream is as large as its largest kind, and those of clients are of another.
#[derive(Debug)]
pub(super) struct LeasedTcp(Box<Leased>);

/// The order of the fields is the order in which they go.
#[derive(Debug)]
struct Leased {
    stream: Registered<TcpStream>,
    lease: Lease,
    /// Bound to a port by its number: while it is, TIME_WAIT included, the kernel gives that port to nobody.
    names_port: bool,
    /// Known before the close where we have ended our direction already.
    ended: Cell<Option<Ended>>,
}

impl LeasedTcp {
    /// A connection that has come about, of a socket that does not block.
    pub(super) fn new(stream: TcpStream, lease: Lease, names_port: bool) -> Self {
        Self(Box::new(Leased {
            stream: Registered::unwatched(stream),
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

    /// Whether the socket can serve another connection after this one. The kernel chose where it comes from, and the
    /// connection can be ended now without a TIME_WAIT of ours: by a `reset`, or because the app has ended its direction.
    pub(super) fn can_be_spent(&self, reset: bool) -> bool {
        let is_plain = !self.0.names_port && !self.0.lease.pair().bound;
        is_plain && self.0.ended.get().is_none() && (reset || self.0.who_is_first() == Ended::ByApp)
    }

    /// Ends the connection, gives its lease back and keeps the socket; after [`Self::can_be_spent`]. None where it had to
    /// be closed after all.
    ///
    /// # Errors
    /// As connect(2): the host does not have it, and the connection is closed.
    pub(super) fn into_spent(mut self, reset: bool) -> io::Result<Option<SpentTcp>> {
        let leased = &mut *self.0;
        let target = leased.lease.pair().destination;
        let ended = if reset { Ended::Reset } else { Ended::ByApp };
        leased.ended.set(Some(ended));
        let Ok(stream) = leased.stream.take() else {
            return Ok(None);
        };
        if reset {
            SpentTcp::reset(stream, target).map(Some)
        } else {
            SpentTcp::close(stream, target)
        }
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
    /// Who is the first to close, if we do now. The event loop often knows, since the end comes with the answer; else the
    /// kernel is asked.
    fn who_is_first(&self) -> Ended {
        if self.stream.peer_has_ended() {
            return Ended::ByApp;
        }
        match self.stream.socket().and_then(tcp_state) {
            Ok(TcpState::CloseWait | TcpState::LastAck) => Ended::ByApp,
            // The app has reset it, or the handshake has not come about.
            Ok(TcpState::Close | TcpState::SynSent) => Ended::Reset,
            // Where the kernel does not say, the port is taken to stay: the error on the safe side.
            Ok(_) | Err(_) => Ended::ByUs,
        }
    }
}

impl Deref for LeasedTcp {
    type Target = Registered<TcpStream>;

    fn deref(&self) -> &Self::Target {
        &self.0.stream
    }
}

impl DerefMut for LeasedTcp {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0.stream
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        let ended = self.ended.get().unwrap_or_else(|| self.who_is_first());
        self.lease.ended(ended, Instant::now());
    }
}
