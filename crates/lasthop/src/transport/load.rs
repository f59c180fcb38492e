//! What a worker publishes about its clients: how many there are, and how many of them could make room.
//!
//! Written by one worker and read by the others when they accept, to choose where a connection goes. A moment
//! late, and never wrong by more than what happened in that moment.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Evictable;

/// One worker's counts.
#[derive(Debug)]
#[repr(align(128))]
pub struct Load {
    connections: AtomicUsize,
    listeners: Box<[Counts]>,
}

/// Of the clients of one listener. On a line of its own: it is written with every request.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counts {
    idle: AtomicUsize,
    reading: AtomicUsize,
}

impl Counts {
    fn of(&self, which: Evictable) -> &AtomicUsize {
        match which {
            Evictable::Idle => &self.idle,
            Evictable::Reading => &self.reading,
        }
    }
}

impl Load {
    /// Of a worker without clients.
    pub fn new(listeners: usize) -> Self {
        Self {
            connections: AtomicUsize::new(0),
            listeners: (0..listeners).map(|_| Counts::default()).collect(),
        }
    }

    /// Client connections open now.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Clients that could make room, of one listener or of all of them.
    pub fn evictable(&self, which: Evictable, among: Option<usize>) -> usize {
        let count = |counts: &Counts| counts.of(which).load(Ordering::Relaxed);
        match among {
            Some(listener) => count(&self.listeners[listener]),
            None => self.listeners.iter().map(count).sum(),
        }
    }

    pub(super) fn set_connections(&self, count: usize) {
        self.connections.store(count, Ordering::Relaxed);
    }

    /// One more. The worker is the only writer, so a load and a store lose nothing.
    pub(super) fn add(&self, which: Evictable, listener: u32) {
        let count = self.listeners[listener as usize].of(which);
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// One less.
    pub(super) fn remove(&self, which: Evictable, listener: u32) {
        let count = self.listeners[listener as usize].of(which);
        let before = count.load(Ordering::Relaxed);
        debug_assert!(before > 0, "more clients leave a phase than were in it");
        count.store(before.saturating_sub(1), Ordering::Relaxed);
    }
}
