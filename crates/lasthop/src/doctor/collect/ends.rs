//! Which end of a connection is which: the one that began it, whose port counts, and the app's.
//!
//! A listing shows sockets, and of a connection within the host it shows both. Nothing in it says who called connect(2).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use lasthop_kernel::sock_diag::TcpEntry;
use lasthop_kernel::socket::TcpState;
use lasthop_ports::PortRange;
use lasthop_ports::snapshot::Listener;

/// Where an entry of the listing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its program connected: its port is taken from the range.
    Beginning,
    /// Its program accepted it, or would have; by which listener, if that is still there.
    App(Option<usize>),
}

/// Who listens where, to be asked for each entry.
pub(super) struct Ends {
    /// By exact address.
    exact: HashMap<SocketAddr, usize>,
    /// By port, those that take all addresses of IPv4.
    every_v4: HashMap<u16, usize>,
    /// By port, those that take all addresses of IPv6.
    every_v6: HashMap<u16, usize>,
    /// What connect(2) takes ports from, where known.
    range: Option<PortRange>,
}

impl Ends {
    /// The positions that [`End::App`] tells are those in `listeners`.
    pub(super) fn new(listeners: &[Listener], range: Option<PortRange>) -> Self {
        let mut ends = Self {
            exact: HashMap::new(),
            every_v4: HashMap::new(),
            every_v6: HashMap::new(),
            range,
        };
        for (position, listener) in listeners.iter().enumerate() {
            let port = listener.address.port();
            match listener.address.ip() {
                ip if !ip.is_unspecified() => {
                    ends.exact.entry(listener.address).or_insert(position);
                }
                IpAddr::V4(_) => {
                    ends.every_v4.insert(port, position);
                }
                IpAddr::V6(_) => {
                    ends.every_v6.entry(port).or_insert(position);
                    if !listener.v6only {
                        // One for IPv4 alone is the more particular.
                        ends.every_v4.entry(port).or_insert(position);
                    }
                }
            }
        }
        ends
    }

    /// The position of the listener that a connection to `address` comes out at.
    fn listener(&self, address: SocketAddr) -> Option<usize> {
        let every = match address.ip() {
            IpAddr::V4(_) => &self.every_v4,
            IpAddr::V6(_) => &self.every_v6,
        };
        let position = self.exact.get(&address);
        position.or_else(|| every.get(&address.port())).copied()
    }

    /// Whether somebody listens at `address`.
    pub(super) fn is_served(&self, address: SocketAddr) -> bool {
        self.listener(address).is_some()
    }

    /// Where `entry` stands; `is_own` is asked whether its other end is an address of this host, where that matters.
    ///
    /// The port of a listener is given to no connection that leaves the choice to the kernel (its bind bucket is not one
    /// of those that connect(2) shares), so whoever has it accepted. Where nobody listens at either end, as while an app
    /// restarts, the end whose port is one that connect(2) gives began. Where both are such, as towards a service on
    /// port 50051 of another host, the end on this host began: whoever accepts at a port of the range listens there. Of
    /// two ends on this host it is the one with the higher port, so that exactly one of them is taken for it.
    pub(super) fn of(&self, entry: &TcpEntry, is_own: impl FnOnce(IpAddr) -> bool) -> End {
        match entry.state {
            TcpState::SynSent => return End::Beginning,
            TcpState::SynRecv | TcpState::NewSynRecv => {
                return End::App(self.listener(entry.local));
            }
            _ => {}
        }
        if let Some(position) = self.listener(entry.local) {
            return End::App(Some(position));
        }
        if self.is_served(entry.peer) {
            return End::Beginning;
        }
        let (local, peer) = (entry.local.port(), entry.peer.port());
        let given = |port| self.range.is_some_and(|range| range.contains(port));
        let begins = match (given(local), given(peer)) {
            (true, false) => true,
            (false, true) => false,
            (true, true) if entry.local.ip() != entry.peer.ip() && !is_own(entry.peer.ip()) => true,
            _ => (local, entry.local.ip()) >= (peer, entry.peer.ip()),
        };
        if begins {
            End::Beginning
        } else {
            End::App(None)
        }
    }
}
