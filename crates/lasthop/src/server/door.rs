//! A worker's door: what becomes of a connection that arrives, with and without room for it.
//!
//! Where a bound is reached, the client that has been idle longest goes, of this worker or of the one that has
//! idle ones; then the one that has been at its head for longest; and where all are busy the newcomer is told
//! to come back. Never does anybody wait for room here: a full listen queue looks like a dead host.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::task::spawn_local;

use super::handover::{Arrival, WorkerHandle, destination};
use crate::http::{self, ListenerSite, Site};
use crate::listener::{Admitted, Entrance};
use crate::transport::{Accepted, BareSocket, Shortage};

/// Clients that one newcomer may send away: its own place, and one that somebody before it got from a
/// client who then stayed.
const EVICTIONS_MAX: usize = 2;

/// One worker's door.
pub(super) struct Door {
    number: usize,
    site: Rc<Site>,
    /// By their index.
    listeners: Vec<Rc<ListenerSite>>,
    /// All workers, this one included. None once it drains: whoever holds a handle keeps the inboxes open.
    workers: RefCell<Option<Arc<[WorkerHandle]>>>,
}

/// The door as one listener's newcomers meet it.
pub(super) struct ListenerDoor {
    pub(super) door: Rc<Door>,
    pub(super) listener: usize,
}

impl Door {
    pub(super) fn new(
        number: usize,
        site: Rc<Site>,
        listeners: Vec<Rc<ListenerSite>>,
        workers: Arc<[WorkerHandle]>,
    ) -> Self {
        Self {
            number,
            site,
            listeners,
            workers: RefCell::new(Some(workers)),
        }
    }

    pub(super) fn listener(&self, index: usize) -> &Rc<ListenerSite> {
        &self.listeners[index]
    }

    /// Nothing goes to other workers any more.
    pub(super) fn let_go_of_workers(&self) {
        self.workers.replace(None);
    }

    /// Lets a connection in that was accepted here: it stays, or goes to the worker that should have it.
    fn accept(&self, arrival: Arrival) -> Admitted {
        let metrics = &self.site.metrics.listeners[arrival.listener];
        metrics.accepted.add(1);
        match self.pass_on(arrival) {
            Ok(()) => {
                metrics.handed_over.add(1);
                Admitted::WithRoom
            }
            Err(arrival) => self.seat(arrival),
        }
    }

    /// Gives a connection to the worker that should have it, or has it back if that is this one.
    fn pass_on(&self, arrival: Arrival) -> Result<(), Arrival> {
        // Without a slot it would wait in the inbox with a descriptor that nobody counts, only to be refused.
        if arrival.slot.is_none() || self.site.connections.is_draining() {
            return Err(arrival);
        }
        let workers = self.workers.borrow();
        let Some(workers) = &*workers else {
            return Err(arrival);
        };
        match destination(workers, Some(self.number), &arrival) {
            Some(other) if other != self.number => workers[other].try_hand_over(arrival),
            _ => Err(arrival),
        }
    }

    /// Takes a connection that came through the inbox. It goes no further.
    pub(super) fn take_over(&self, arrival: Arrival) {
        if let BareSocket::Unix(_) = arrival.accepted.socket {
            // The acceptor's thread has no counters of its own.
            self.site.metrics.listeners[arrival.listener]
                .accepted
                .add(1);
        }
        self.seat(arrival);
    }

    /// Serves a connection, for which somebody goes if need be, or turns it away.
    fn seat(&self, arrival: Arrival) -> Admitted {
        let Arrival {
            listener,
            accepted: Accepted { socket, ip },
            slot,
            shortage,
            kernel_is_short,
        } = arrival;
        let least = usize::from(kernel_is_short || slot.is_none());
        let made_room = shortage.is_none_or(|shortage| self.make_room(shortage, listener, least));
        let site = Rc::clone(&self.listeners[listener]);
        match (slot, shortage) {
            (Some(slot), _) if made_room => match socket.register(slot) {
                Ok(stream) => drop(spawn_local(http::serve(stream, ip, site))),
                Err(error) => {
                    tracing::warn!(%error, "cannot watch a connection, closing it");
                }
            },
            (slot, shortage) => {
                // Before it is told: whoever comes back at once finds the count right.
                drop(slot);
                let shortage = shortage.unwrap_or(Shortage::Descriptors);
                http::refuse(socket, &site, shortage);
            }
        }
        match shortage {
            None => Admitted::WithRoom,
            Some(_) => Admitted::WithoutRoom,
        }
    }

    /// Asks clients to go for a newcomer, at least so many; returns whether it can have the place of one.
    fn make_room(&self, shortage: Shortage, listener: usize, least: usize) -> bool {
        let connections = &self.site.connections;
        let among = shortage.among(listener);
        let excess = connections.slots().excess(shortage, listener);
        // Those who are on their way out have been asked for the newcomers before this one.
        let excess = excess.saturating_sub(connections.leaving());
        let wanted = excess.clamp(least, EVICTIONS_MAX);
        let evicted = (0..wanted).filter(|_| connections.evict_among(among));
        evicted.count() > 0 || wanted == 0
    }
}

impl Entrance for ListenerDoor {
    async fn admit(&self, newcomer: Accepted, kernel_is_short: bool) -> Admitted {
        let slots = self.door.site.connections.slots();
        let arrival = Arrival::new(slots, self.listener, newcomer, kernel_is_short);
        self.door.accept(arrival)
    }

    fn relieve(&self) -> bool {
        if self.door.site.goodbyes.cut_oldest() {
            return true;
        }
        self.door.site.connections.evict_among(None);
        false
    }
}
