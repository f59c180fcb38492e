//! A counter and a gauge that one thread writes and any thread reads.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows. One thread may add to it, any may read it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        // One writer: a load and a store lose nothing and need no locked instruction. Relaxed: the
        // value orders nothing else.
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(before.wrapping_add(count), Ordering::Relaxed);
    }

    /// The value now.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down. One thread may change it, any may read it.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One more.
    pub fn rise(&self) {
        self.set(self.value() + 1);
    }

    /// One less.
    pub fn fall(&self) {
        debug_assert!(self.value() > 0, "a gauge fell below zero");
        self.set(self.value().saturating_sub(1));
    }

    /// Sets it.
    pub fn set(&self, value: u64) {
        // As in `Counter::add`.
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value now.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
