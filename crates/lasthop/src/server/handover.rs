//! Connections on their way to a worker: who gets them, and how.
//!
//! `SO_REUSEPORT` spreads connections by a hash: fairly where they are many, badly where they are few and
//! stay. And a worker that has nobody idle to let go may sit beside one that has hundreds. So whoever
//! accepts looks at what the workers publish about themselves, and a connection that no event loop knows yet
//! goes where it belongs through an inbox. That costs a wake-up of the other worker, and is rare.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::transport::{Accepted, Evictable, Load, Shortage, Slot, Slots};

/// Connections that may wait in a worker's inbox.
const INBOX_MAX: usize = 256;

/// A worker keeps what it has accepted while it has at most a quarter more clients than the least loaded
/// one, and a few. A quarter is what one notices in a worker's latency; with less than the few, connections
/// that live for one request each would be passed around for nothing.
const MORE_PER_MAX: usize = 4;
const MORE_MAX: usize = 8;

/// An accepted connection.
#[derive(Debug)]
pub(super) struct Arrival {
    /// Index of the listener it came through.
    pub(super) listener: usize,
    pub(super) accepted: Accepted,
    /// Its slot; none where even those beyond the bound are taken: it has to be turned away.
    pub(super) slot: Option<Slot>,
    /// The bound that is reached: somebody has to go for it.
    pub(super) shortage: Option<Shortage>,
    /// The kernel has said so, whatever the slots say.
    pub(super) kernel_is_short: bool,
}

impl Arrival {
    /// Finds a slot for a connection of `listener`, within the bounds or beyond them.
    pub(super) fn new(
        slots: &Arc<Slots>,
        listener: usize,
        accepted: Accepted,
        kernel_is_short: bool,
    ) -> Self {
        let (slot, shortage) = match slots.client(listener) {
            Ok(slot) => (Some(slot), kernel_is_short.then_some(Shortage::Descriptors)),
            Err(shortage) => (slots.client_beyond(listener), Some(shortage)),
        };
        Self {
            listener,
            accepted,
            slot,
            shortage,
            kernel_is_short,
        }
    }

    /// Looks for a slot again, since others may have gone.
    pub(super) fn seek_slot(&mut self, slots: &Arc<Slots>) {
        if self.slot.is_none() {
            self.slot = slots.client_beyond(self.listener);
        }
    }
}

/// A worker as those see it who hand connections to it.
#[derive(Clone, Debug)]
pub(super) struct WorkerHandle {
    inbox: mpsc::Sender<Arrival>,
    load: Arc<Load>,
}

impl WorkerHandle {
    /// A worker's handle, and its inbox.
    pub(super) fn new(load: Arc<Load>) -> (Self, mpsc::Receiver<Arrival>) {
        let (inbox, arrivals) = mpsc::channel(INBOX_MAX);
        (Self { inbox, load }, arrivals)
    }

    /// Client connections it has, or has been handed and not looked at yet.
    fn connections(&self) -> usize {
        let waiting = self.inbox.max_capacity() - self.inbox.capacity();
        self.load.connections() + waiting
    }

    /// Gives it a connection, once there is room in its inbox.
    pub(super) async fn hand_over(&self, arrival: Arrival) {
        // Fails only if the worker is gone; the connection is closed then.
        let _ = self.inbox.send(arrival).await;
    }

    /// Gives it a connection, or has it back if its inbox is full or it is gone.
    pub(super) fn try_hand_over(&self, arrival: Arrival) -> Result<(), Arrival> {
        self.inbox
            .try_send(arrival)
            .map_err(mpsc::error::TrySendError::into_inner)
    }
}

/// Whether any worker has a client who could go for a newcomer.
pub(super) fn someone_could_go(workers: &[WorkerHandle], arrival: &Arrival) -> bool {
    let among = arrival
        .shortage
        .and_then(|shortage| shortage.among(arrival.listener));
    let could = |worker: &WorkerHandle| {
        let mut kinds = Evictable::ALL.into_iter();
        kinds.any(|which| worker.load.evictable(which, among) > 0)
    };
    workers.iter().any(could)
}

/// Which worker is to have a connection, as an index; `own` is the one that has accepted it, if any.
///
/// With room, that is the least loaded one, or its own where that has hardly more. Without, one that has a
/// client who can go for it: idle ones first, wherever they are.
pub(super) fn destination(
    workers: &[WorkerHandle],
    own: Option<usize>,
    arrival: &Arrival,
) -> Option<usize> {
    let has_some = |worker: &WorkerHandle, which, among| worker.load.evictable(which, among);
    if let Some(shortage) = arrival.shortage {
        let among = shortage.among(arrival.listener);
        for which in Evictable::ALL {
            if own.is_some_and(|own| has_some(&workers[own], which, among) > 0) {
                return own;
            }
            let most = (0..workers.len()).max_by_key(|n| has_some(&workers[*n], which, among));
            if let Some(most) = most
                && has_some(&workers[most], which, among) > 0
            {
                return Some(most);
            }
        }
    }
    if arrival.shortage.is_some() && own.is_some() {
        // To be turned away, which is as well done here.
        return own;
    }
    let own_connections = own.map(|own| workers[own].connections());
    if own_connections.is_some_and(|connections| connections <= MORE_MAX) {
        return own;
    }
    let least = (0..workers.len()).min_by_key(|n| workers[*n].connections())?;
    let fair = workers[least].connections();
    let is_fair = |connections| connections <= fair + fair / MORE_PER_MAX + MORE_MAX;
    if own_connections.is_some_and(is_fair) {
        return own;
    }
    Some(least)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::transport::{BareSocket, Clock, Connections, Watch};

    /// A worker with so many idle clients.
    fn worker(clients: usize) -> (WorkerHandle, mpsc::Receiver<Arrival>, Vec<Watch>) {
        let load = Arc::new(Load::new(1));
        let slots = Arc::new(Slots::new(1 << 20, 0, (1, 0), 0, [0]));
        let connections = Connections::new(Clock::new(Instant::now()), Arc::clone(&load), slots);
        let watches = (0..clients).map(|_| connections.enter(0)).collect();
        let (handle, inbox) = WorkerHandle::new(load);
        (handle, inbox, watches)
    }

    fn arrival(shortage: Option<Shortage>) -> Arrival {
        let (socket, _) = std::os::unix::net::UnixStream::pair().unwrap();
        let (socket, ip) = (BareSocket::Unix(socket), None);
        Arrival {
            listener: 0,
            accepted: Accepted { socket, ip },
            slot: None,
            shortage,
            kernel_is_short: false,
        }
    }

    #[test]
    fn a_worker_keeps_what_it_accepts_until_it_has_clearly_more_than_another() {
        for (own, other, expected) in [(8, 0, 0), (9, 0, 1), (48, 32, 0), (49, 32, 1), (5, 90, 0)] {
            let workers = [worker(own), worker(other)];
            let handles = [workers[0].0.clone(), workers[1].0.clone()];
            let chosen = destination(&handles, Some(0), &arrival(None));
            assert_eq!(chosen, Some(expected), "{own} beside {other}");
        }
    }

    #[test]
    fn what_waits_in_an_inbox_counts() {
        let workers = [worker(1), worker(0)];
        let handles = [workers[0].0.clone(), workers[1].0.clone()];
        assert_eq!(destination(&handles, None, &arrival(None)), Some(1));
        for _ in 0..2 {
            assert!(handles[1].try_hand_over(arrival(None)).is_ok());
        }
        assert_eq!(destination(&handles, None, &arrival(None)), Some(0));
    }

    #[test]
    fn without_room_it_goes_where_somebody_can_go_for_it() {
        let workers = [worker(3), worker(1), worker(2)];
        let handles: Vec<_> = workers.iter().map(|worker| worker.0.clone()).collect();
        let short = || arrival(Some(Shortage::Descriptors));
        assert_eq!(
            destination(&handles, Some(1), &short()),
            Some(1),
            "its own first"
        );
        workers[1].2[0].stay();
        assert_eq!(
            destination(&handles, Some(1), &short()),
            Some(0),
            "the most idle"
        );
        for watch in workers.iter().flat_map(|worker| &worker.2) {
            watch.stay();
        }
        workers[2].2[0].is_reading();
        assert_eq!(
            destination(&handles, Some(1), &short()),
            Some(2),
            "or reading"
        );
        workers[2].2[0].stay();
        assert_eq!(
            destination(&handles, Some(1), &short()),
            Some(1),
            "to be refused"
        );
    }

    #[test]
    fn a_full_inbox_gives_the_connection_back() {
        let (handle, _inbox, _) = worker(0);
        let given = std::iter::repeat_with(|| handle.try_hand_over(arrival(None)));
        assert_eq!(given.take_while(Result::is_ok).count(), INBOX_MAX);
    }
}
