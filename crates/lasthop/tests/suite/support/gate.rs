//! A gate that one thread opens and others wait at: how a test decides when an app goes on.

use std::sync::{Arc, Condvar, Mutex};

use super::PATIENCE;

/// Closed at first; stays open once opened. Clones are the same gate.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self::default()
    }

    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until the gate is open; a gate that nobody opens is a failed test.
    pub(crate) fn wait(&self) {
        let (open, late) = self
            .0
            .1
            .wait_timeout_while(self.0.0.lock().unwrap(), PATIENCE, |open| !*open)
            .unwrap();
        // Others wait here too: a panic under the lock would be theirs as well.
        drop(open);
        assert!(
            !late.timed_out(),
            "a gate was not opened within {PATIENCE:?}"
        );
    }
}
