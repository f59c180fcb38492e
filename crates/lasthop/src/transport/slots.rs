//! Slots: how many connections this process may hold, shared out before the kernel refuses.
//!
//! A descriptor too few in the middle of a request is a failed request; a client too many at the door can
//! be told to come back, or take the place of one that is idle. So every connection, to a client or to an app,
//! takes a slot first, and clients leave an eighth of them to the apps, less what the apps have already. One count for
//! all workers: it is written when a connection comes or goes, never by a request. Decides nothing about who has to go.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The part of all slots that no client may take: requests of those who are there need connections to
/// the app, most of them kept ones, so far fewer than there are clients.
const APPS_PART: usize = 8;

/// The part of all slots that no client may take however many connections to apps there are. Each tunnel holds one, so
/// beside thousands of tunnels the eighth is long theirs; requests of those who have none still find a slot.
const FREE_PART: usize = 64;

/// Slots that may be given out beyond a bound to newcomers for whom somebody idle has been asked to go and
/// has not gone yet. Workers accept one such newcomer at a time, so this is for eight at once.
const BEYOND_MAX: usize = 8;

/// Slots that a worker asks the others for at once: whoever found none has others in line behind it.
const SOUGHT_AT_ONCE: usize = 8;

/// Descriptors that are never slots: the logs, and what the host's files are read with.
const RESERVE: usize = 16;

/// What an event loop holds: its epoll instances, its way to be woken, and what tokio keeps for signals.
const PER_WORKER: usize = 8;

/// A bound that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// `max_connections` of the listener.
    Connections,
    /// The descriptors that clients may take.
    Descriptors,
}

impl Shortage {
    /// Among whose clients somebody has to go: those of the listener, or (none) all of them.
    pub fn among(self, listener: usize) -> Option<usize> {
        match self {
            Self::Connections => Some(listener),
            Self::Descriptors => None,
        }
    }
}

/// The slots of the process. Shared by all workers.
#[derive(Debug)]
#[repr(align(128))]
pub struct Slots {
    open: AtomicUsize,
    /// Of those, the ones to apps.
    apps: AtomicUsize,
    all: usize,
    /// Kept for apps, those included that they have.
    for_apps: usize,
    /// Kept for apps beside those that they have.
    free: usize,
    /// What all connections and everything else share, for the words.
    limit: u64,
    /// Slots that are looked for by workers that have none and nobody idle.
    sought: AtomicUsize,
    /// Rung then, for the workers that sleep.
    bell: Notify,
    listeners: Box<[ListenerSlots]>,
}

/// What one listener allows.
#[derive(Debug)]
#[repr(align(128))]
struct ListenerSlots {
    open: AtomicUsize,
    /// `max_connections`; 0 is none of its own.
    max: usize,
}

impl Slots {
    /// The slots of a process that may have `limit` descriptors, has `open` before its workers start, and keeps
    /// `per_worker` more in each and up to so many `elsewhere`. `listeners` are their `max_connections`, 0 for none.
    pub fn new(
        limit: u64,
        open: usize,
        (workers, per_worker): (usize, usize),
        elsewhere: usize,
        listeners: impl IntoIterator<Item = usize>,
    ) -> Self {
        let limit_here = usize::try_from(limit).unwrap_or(usize::MAX);
        let free = limit_here
            .saturating_sub(open)
            .saturating_sub(workers * PER_WORKER);
        let reserve = RESERVE + BEYOND_MAX + elsewhere + workers * per_worker;
        // Where there are few, a client served is worth more than a reserve. At least one request must pass.
        let all = free.saturating_sub(reserve.min(free / 4)).max(2);
        Self {
            open: AtomicUsize::new(0),
            apps: AtomicUsize::new(0),
            all,
            for_apps: (all / APPS_PART).max(1),
            free: (all / FREE_PART).max(1),
            limit,
            sought: AtomicUsize::new(0),
            bell: Notify::new(),
            listeners: listeners
                .into_iter()
                .map(|max| ListenerSlots {
                    open: AtomicUsize::new(0),
                    max,
                })
                .collect(),
        }
    }

    /// How many can be taken by clients and apps together where each client has a connection to an app.
    pub fn usable(&self) -> usize {
        self.all - self.free
    }

    /// A slot for a client of `listener`.
    ///
    /// # Errors
    /// The bound that is reached.
    pub fn client(self: &Arc<Self>, listener: usize) -> Result<Slot, Shortage> {
        self.client_within(listener, 0)
    }

    /// A slot beyond the bound, for a client for whom somebody else will go; none where many wait like
    /// that already.
    pub fn client_beyond(self: &Arc<Self>, listener: usize) -> Option<Slot> {
        self.client_within(listener, BEYOND_MAX).ok()
    }

    fn client_within(self: &Arc<Self>, listener: usize, beyond: usize) -> Result<Slot, Shortage> {
        let bound = &self.listeners[listener];
        let is_bounded = bound.max > 0;
        if is_bounded && !take(&bound.open, bound.max.saturating_add(beyond)) {
            return Err(Shortage::Connections);
        }
        if !take(&self.open, self.for_clients() + beyond) {
            if is_bounded {
                bound.open.fetch_sub(1, Ordering::Relaxed);
            }
            return Err(Shortage::Descriptors);
        }
        Ok(Slot {
            slots: Arc::clone(self),
            holder: if is_bounded {
                Holder::ClientOf(u32::try_from(listener).unwrap_or(u32::MAX))
            } else {
                Holder::Client
            },
        })
    }

    /// How many slots may be taken when a client takes one.
    fn for_clients(&self) -> usize {
        // Relaxed: a bound that is off by those who come in this moment.
        let apps = self.apps.load(Ordering::Relaxed);
        self.all - self.for_apps.saturating_sub(apps).max(self.free)
    }

    /// How many clients are beyond the bound.
    pub fn excess(&self, shortage: Shortage, listener: usize) -> usize {
        let (open, max) = match shortage {
            Shortage::Connections => {
                let bound = &self.listeners[listener];
                (&bound.open, bound.max)
            }
            Shortage::Descriptors => (&self.open, self.for_clients()),
        };
        open.load(Ordering::Relaxed).saturating_sub(max)
    }

    /// A slot for a second descriptor of a client's connection. Never one of those kept for apps.
    pub fn second(self: &Arc<Self>) -> Option<Slot> {
        self.unbounded(self.for_clients(), Holder::Client)
    }

    /// A slot for a descriptor that does nothing but save work: none where that would leave less than half of all free.
    pub fn spare(self: &Arc<Self>) -> Option<Slot> {
        self.unbounded(self.all / 2, Holder::Client)
    }

    /// Whether more than half of all slots are free: enough for some to be held for speed alone, as by [`Slots::spare`].
    pub fn is_roomy(&self) -> bool {
        self.open() < self.all / 2
    }

    /// A slot for a connection to an app.
    pub fn app(self: &Arc<Self>) -> Option<Slot> {
        self.unbounded(self.all, Holder::App)
    }

    /// As [`Slots::app`] where a client will go for it.
    pub fn app_beyond(self: &Arc<Self>) -> Option<Slot> {
        self.unbounded(self.all + BEYOND_MAX, Holder::App)
    }

    fn unbounded(self: &Arc<Self>, max: usize, holder: Holder) -> Option<Slot> {
        if !take(&self.open, max) {
            return None;
        }
        if holder == Holder::App {
            self.apps.fetch_add(1, Ordering::Relaxed);
        }
        Some(Slot {
            slots: Arc::clone(self),
            holder,
        })
    }

    /// Asks all workers for slots that idle clients of theirs hold.
    pub fn seek(&self) {
        // Not added up: an ask stands until somebody has an idle client, and after an hour of them nobody who
        // comes then should have to go for those who have given up long ago.
        self.sought.store(SOUGHT_AT_ONCE, Ordering::Relaxed);
        self.bell.notify_waiters();
    }

    /// Ready once slots have been asked for, by anybody and after this was called.
    pub fn sought(&self) -> Notified<'_> {
        self.bell.notified()
    }

    /// How many have been asked for since the last time. For workers that have somebody idle.
    pub fn take_sought(&self) -> usize {
        // The load keeps the line shared as long as nobody asks, which is nearly always.
        match self.sought.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.sought.swap(0, Ordering::Relaxed),
        }
    }

    /// Slots taken now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// The bound that a client of `listener` has most likely had to go for: its listener's, where that is reached.
    pub fn reached_by_client(&self, listener: usize) -> Shortage {
        let bound = &self.listeners[listener];
        if bound.max > 0 && bound.open.load(Ordering::Relaxed) >= bound.max {
            Shortage::Connections
        } else {
            Shortage::Descriptors
        }
    }

    /// In one line, which bound is reached and with which numbers. Visible ASCII.
    pub fn describe(&self, shortage: Shortage, listener: usize) -> String {
        match shortage {
            Shortage::Connections => {
                format!(
                    "max_connections: all {} in use",
                    self.listeners[listener].max
                )
            }
            Shortage::Descriptors => format!("file descriptors: {self}"),
        }
    }
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, all, limit) = (self.open(), self.all, self.limit);
        write!(
            f,
            "{open} of {all} for connections in use, the limit of open files is {limit}"
        )
    }
}

/// Takes one of `max`. Relaxed: the count is all there is to agree on.
fn take(count: &AtomicUsize, max: usize) -> bool {
    let more = |open: usize| (open < max).then_some(open + 1);
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
        .is_ok()
}

/// The right to hold one descriptor for a connection; given back on drop.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    holder: Holder,
}

/// Whose connection a slot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// A client's, of a listener without a bound of its own.
    Client,
    /// A client's, which counts against the bound of this listener.
    ClientOf(u32),
    /// An app's.
    App,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.open.fetch_sub(1, Ordering::Relaxed);
        let bound = match self.holder {
            Holder::Client => return,
            Holder::ClientOf(listener) => &self.slots.listeners[listener as usize].open,
            Holder::App => &self.slots.apps,
        };
        bound.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(limit: u64, listeners: &[usize]) -> Arc<Slots> {
        Arc::new(Slots::new(limit, 10, (1, 17), 0, listeners.iter().copied()))
    }

    #[test]
    fn clients_leave_an_eighth_to_the_apps() {
        let slots = slots(1024, &[0]);
        let clients: Vec<_> = std::iter::from_fn(|| slots.client(0).ok()).collect();
        let apps: Vec<_> = std::iter::from_fn(|| slots.app()).collect();
        assert_eq!(slots.client(0).unwrap_err(), Shortage::Descriptors);
        assert_eq!(apps.len(), (clients.len() + apps.len()) / 8);
        assert!(slots.open() + 10 + RESERVE < 1024);
        drop((clients, apps));
        assert_eq!(slots.open(), 0);
    }

    #[test]
    fn beside_tunnels_nearly_every_slot_can_be_used() {
        let slots = slots(20_000, &[0]);
        let pair = || Some((slots.client(0).ok()?, slots.app()?));
        let tunnels: Vec<_> = std::iter::from_fn(pair).collect();
        assert!(2 * tunnels.len() >= slots.usable() - 2);
        assert_eq!(slots.client(0).unwrap_err(), Shortage::Descriptors);
        assert!(slots.app().is_some(), "none is left for who is in");
        drop(tunnels);
        assert_eq!((slots.open(), slots.apps.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_listener_has_a_bound_of_its_own_and_the_others_do_not_feel_it() {
        let slots = slots(1024, &[2, 0]);
        let first = slots.client(0).unwrap();
        let _second = slots.client(0).unwrap();
        assert_eq!(slots.client(0).unwrap_err(), Shortage::Connections);
        assert!(slots.client(1).is_ok());
        drop(first);
        assert!(slots.client(0).is_ok());
    }

    #[test]
    fn beyond_a_bound_there_are_few_and_they_are_counted() {
        let slots = slots(1024, &[2]);
        let within: Vec<_> = std::iter::from_fn(|| slots.client(0).ok()).collect();
        let beyond: Vec<_> = std::iter::from_fn(|| slots.client_beyond(0)).collect();
        assert_eq!((within.len(), beyond.len()), (2, BEYOND_MAX));
        assert_eq!(slots.excess(Shortage::Connections, 0), BEYOND_MAX);
        assert_eq!(slots.excess(Shortage::Descriptors, 0), 0);
    }

    #[test]
    fn a_slot_that_the_descriptors_do_not_allow_is_not_counted_against_the_listener() {
        let slots = slots(0, &[100]);
        let only = slots.client(0).unwrap();
        assert_eq!(slots.client(0).unwrap_err(), Shortage::Descriptors);
        drop(only);
        assert_eq!(slots.listeners[0].open.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn however_few_descriptors_there_are_one_request_can_pass() {
        for limit in 0..200 {
            let slots = slots(limit, &[0]);
            let _client = slots.client(0).unwrap();
            assert!(slots.app().is_some(), "limit {limit}");
        }
    }
}
