//! The signals that reach a server: SIGTERM and SIGINT drain it, the second one ends it at once.
//!
//! SIGUSR1 reopens log files. SIGHUP and SIGUSR2 will reload and upgrade, and do nothing in this
//! version. They are caught and said to be so: their default action is to kill, and a habit of the
//! fingers must not.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGUSR1: log files were moved away, and are to be opened anew.
pub(super) fn rotation() -> io::Result<Signal> {
    signal(SignalKind::user_defined1())
}

/// The others, listened to from its making on.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user_2: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for a signal that ends the server; returns its name.
    pub(super) async fn next(&mut self) -> &'static str {
        loop {
            let (signal, planned) = tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => ("SIGHUP", "reload"),
                _ = self.user_2.recv() => ("SIGUSR2", "upgrade"),
            };
            tracing::warn!(
                signal,
                planned,
                "signal ignored: planned, but not in this version"
            );
        }
    }
}
