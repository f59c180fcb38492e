//! How many connections an app gets from us, and who waits for one: counted over all workers.
//!
//! One permit count and one queue length per upstream, shared by the workers and touched only when
//! a connection is made or a request has to wait, never by a request that finds an idle connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// What the workers share about one upstream.
#[derive(Debug)]
pub struct Admission {
    permits: Option<Arc<Semaphore>>,
    queued: AtomicUsize,
    queue_size: usize,
    /// Requests that wait for a permit, over all workers.
    short_of_permits: AtomicUsize,
    /// Requests that find no source port, over all workers: the first in the line of each.
    short_of_ports: AtomicUsize,
    /// One bell per worker: rung when somebody waits for a permit or a port that an idle connection holds.
    bells: Vec<Notify>,
}

/// The right to hold one connection to the app; given back on drop.
pub type Permit = Option<OwnedSemaphorePermit>;

impl Admission {
    /// `max_connections` 0 means no bound of our own.
    pub fn new(max_connections: usize, queue_size: usize, workers: usize) -> Self {
        let bounded = max_connections > 0;
        Self {
            permits: bounded
                .then(|| Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)))),
            queued: AtomicUsize::new(0),
            queue_size,
            short_of_permits: AtomicUsize::new(0),
            short_of_ports: AtomicUsize::new(0),
            bells: (0..workers).map(|_| Notify::new()).collect(),
        }
    }

    /// A permit at once, or none.
    pub fn try_admit(&self) -> Option<Permit> {
        let Some(permits) = &self.permits else {
            return Some(None);
        };
        match Arc::clone(permits).try_acquire_owned() {
            Ok(permit) => Some(Some(permit)),
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => None,
        }
    }

    /// Waits for a permit, first in first out over all workers, and asks every worker to close an
    /// idle connection for it.
    pub async fn admit(&self) -> Permit {
        let permits = self.permits.as_ref()?;
        let _short = Counted::enter(&self.short_of_permits);
        self.ring();
        // The semaphore is never closed, so an error cannot happen; `None` would only lift a bound.
        Arc::clone(permits).acquire_owned().await.ok()
    }

    /// Counts a request that finds no source port, until dropped, and asks every worker to close an idle connection for
    /// it.
    pub fn ask_for_port(&self) -> Place<'_> {
        let short = Counted::enter(&self.short_of_ports);
        self.ring();
        short
    }

    fn ring(&self) {
        for bell in &self.bells {
            bell.notify_one();
        }
    }

    /// Requests that find no source port right now, over all workers.
    pub fn short_of_ports(&self) -> usize {
        self.short_of_ports.load(Ordering::Relaxed)
    }

    /// Requests that wait for a permit right now, over all workers.
    pub fn short_of_permits(&self) -> usize {
        self.short_of_permits.load(Ordering::Relaxed)
    }

    /// Resolves when somebody waits for a permit or a port that an idle connection of `worker` may hold.
    pub async fn asked_for_idle(&self, worker: usize) {
        self.bells[worker].notified().await;
    }

    /// A place in the queue, unless it is full.
    pub fn queue(&self) -> Option<Place<'_>> {
        let place = Counted::enter(&self.queued);
        (place.before < self.queue_size).then_some(place)
    }

    /// Requests in the queue, over all workers.
    pub fn queue_length(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }
}

/// A place in an upstream's queue; left on drop.
pub(super) type Place<'a> = Counted<'a>;

/// One more in a count, until dropped.
#[derive(Debug)]
pub struct Counted<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Counted<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        // Relaxed: the count orders nothing else, and a bound on waiting may be off by a racer.
        let before = count.fetch_add(1, Ordering::Relaxed);
        Self { count, before }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_bounded_and_come_back() {
        let admission = Admission::new(2, 10, 1);
        let first = admission.try_admit().unwrap();
        let second = admission.try_admit().unwrap();
        assert!(admission.try_admit().is_none());
        drop(first);
        assert!(admission.try_admit().is_some());
        drop(second);
    }

    #[test]
    fn without_a_bound_everybody_is_admitted() {
        let admission = Admission::new(0, 10, 1);
        assert!((0..10_000).all(|_| admission.try_admit().is_some()));
    }

    #[test]
    fn the_queue_is_bounded_and_a_refused_place_is_not_counted() {
        let admission = Admission::new(0, 2, 1);
        let first = admission.queue().unwrap();
        let _second = admission.queue().unwrap();
        assert!(admission.queue().is_none());
        assert_eq!(admission.queue_length(), 2);
        drop(first);
        assert!(admission.queue().is_some());
    }
}
