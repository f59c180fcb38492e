//! Sockets of connections to apps that are over, kept for the next ones: an app that closes after each answer costs a
//! socket for every request otherwise.
//!
//! A request takes the one put in last, and whatever nobody has needed for a tick is closed. So there are as many as the
//! worker really turns over, none where apps keep their connections, and none for longer than a tick where descriptors are
//! scarce. When a descriptor is missed right now, one of these goes before any client has to.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;

use lasthop_kernel::connect::SpentTcp;

use super::Connections;
use super::slots::Slot;

/// Sockets kept at once. A worker has a request for each within one turn of its loop or two, so it is the connections that
/// end within those that count; and each costs a descriptor and 2 kB of the kernel's memory.
const SPENT_MAX: usize = 64;

/// One worker's, of all targets.
#[derive(Debug, Default)]
pub(super) struct SpentSockets {
    /// Closed before its slot is given back.
    sockets: RefCell<Vec<(SpentTcp, Slot)>>,
    /// How few there were at any time since the last tick: so many were not needed.
    fewest: Cell<usize>,
    /// The host does not let a connection be dissolved. It is not asked again.
    forbidden: Cell<bool>,
}

impl SpentSockets {
    /// The one put in last closes, for somebody who needs its slot; returns whether there was one.
    pub(super) fn give_up(&self) -> bool {
        let mut sockets = self.sockets.borrow_mut();
        let is_one = sockets.pop().is_some();
        self.fewest.set(self.fewest.get().min(sockets.len()));
        is_one
    }

    /// A tick has passed: closes those that nobody needed in it, and all of them where there is no room.
    pub(super) fn expire(&self, is_roomy: bool) {
        let mut sockets = self.sockets.borrow_mut();
        if sockets.is_empty() {
            return;
        }
        let unneeded = if is_roomy {
            self.fewest.get()
        } else {
            sockets.len()
        };
        // The oldest; they are all alike.
        sockets.drain(..unneeded);
        self.fewest.set(sockets.len());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sockets.borrow().is_empty()
    }
}

impl Connections {
    /// Whether a spent socket would be kept now.
    pub fn has_room_for_spent(&self) -> bool {
        let spent = &self.0.spent;
        let is_full = || spent.sockets.borrow().len() >= SPENT_MAX;
        !spent.forbidden.get() && !is_full() && self.slots().is_roomy()
    }

    /// Keeps a socket for another connection to its target; what [`Stream::into_spent`](super::Stream::into_spent) came to.
    pub fn keep_spent(&self, spent: io::Result<Option<(SpentTcp, Slot)>>) {
        match spent {
            Ok(Some(socket)) => {
                self.0.spent.sockets.borrow_mut().push(socket);
                // For the tick after which it is closed if nobody needs it.
                self.clock().wind();
            }
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "sockets of closed connections are not used again");
                self.0.spent.forbidden.set(true);
            }
        }
    }

    /// A socket for another connection to `target`. Its slot is given back: whoever asks has one.
    pub fn take_spent(&self, target: SocketAddr) -> Option<SpentTcp> {
        let spent = &self.0.spent;
        let mut sockets = spent.sockets.borrow_mut();
        let fits = |(socket, _): &(SpentTcp, Slot)| socket.target() == target;
        let last = sockets.iter().rposition(fits)?;
        let (socket, _slot) = sockets.remove(last);
        spent.fewest.set(spent.fewest.get().min(sockets.len()));
        Some(socket)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::time::Instant;

    use lasthop_kernel::connect::{Origin, tcp};

    use super::*;
    use crate::transport::{Clock, Load, Slots};

    /// A worker that may have so many descriptors, and an app.
    fn scene(limit: u64) -> (Connections, TcpListener) {
        let slots = Arc::new(Slots::new(limit, 0, (1, 0), 0, [0]));
        let clock = Clock::new(Instant::now());
        let connections = Connections::new(clock, Arc::new(Load::new(1)), slots);
        (connections, TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// The socket of a connection that is over, as a request leaves it.
    fn keep(connections: &Connections, app: &TcpListener) {
        assert!(connections.has_room_for_spent());
        let target = app.local_addr().unwrap();
        let slot = connections.app_slot().unwrap();
        let stream = tcp(target, Origin::Kernel).unwrap();
        let spent = SpentTcp::reset(stream, target).unwrap();
        connections.keep_spent(Ok(Some((spent, slot))));
    }

    fn tick(connections: &Connections) {
        assert!(connections.sweep(Instant::now()).late.is_empty());
    }

    #[test]
    fn a_socket_is_used_for_its_target_alone() {
        let (connections, app) = scene(1024);
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        keep(&connections, &app);
        assert!(
            connections
                .take_spent(other.local_addr().unwrap())
                .is_none()
        );
        let spent = connections.take_spent(app.local_addr().unwrap()).unwrap();
        assert_eq!(connections.slots().open(), 0, "whoever takes it has a slot");
        drop(spent.connect().unwrap());
        assert!(connections.take_spent(app.local_addr().unwrap()).is_none());
    }

    #[test]
    fn sockets_that_nobody_needs_for_a_tick_are_closed_and_the_others_stay() {
        let (connections, app) = scene(1024);
        let target = app.local_addr().unwrap();
        for _ in 0..4 {
            keep(&connections, &app);
        }
        tick(&connections);
        assert_eq!(connections.slots().open(), 4, "they have just been put in");
        let taken = [(); 3].map(|()| connections.take_spent(target).unwrap());
        for _ in taken {
            keep(&connections, &app);
        }
        tick(&connections);
        assert_eq!(connections.slots().open(), 3, "one was not needed");
        tick(&connections);
        assert!(connections.0.spent.is_empty());
        assert_eq!(connections.slots().open(), 0);
    }

    #[test]
    fn a_socket_that_nobody_uses_goes_before_any_client_and_for_a_full_listener_no_socket_goes() {
        let (connections, app) = scene(1024);
        let client = connections.enter(0);
        keep(&connections, &app);
        assert!(connections.evict_among(None));
        assert!(connections.0.spent.is_empty() && !client.is_evicted());
        keep(&connections, &app);
        assert!(connections.evict_among(Some(0)));
        assert!(!connections.0.spent.is_empty() && client.is_evicted());
    }

    #[test]
    fn where_descriptors_are_scarce_none_is_kept_and_those_there_are_go_at_the_next_tick() {
        let (connections, app) = scene(256);
        keep(&connections, &app);
        let take = || {
            connections
                .slots()
                .is_roomy()
                .then(|| connections.app_slot())
        };
        let taken: Vec<_> = std::iter::from_fn(take).collect();
        assert!(!connections.has_room_for_spent());
        tick(&connections);
        assert!(connections.0.spent.is_empty());
        assert_eq!(connections.slots().open(), taken.len());
    }

    #[test]
    fn a_host_that_forbids_it_is_not_asked_again() {
        let (connections, _) = scene(1024);
        connections.keep_spent(Err(io::ErrorKind::PermissionDenied.into()));
        assert!(!connections.has_room_for_spent());
    }
}
