//! SIGINT and SIGTERM as a flag that is looked at between runs, so that the guards can end what was started.
//!
//! A terminal sends SIGINT to the load program as well, so the run in progress ends at once; a SIGTERM for the harness
//! alone is obeyed at the end of the run, seconds later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::BenchError;

/// Between two looks at the flag while it waits.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Whether the harness was asked to stop.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    came: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens for the two signals from now on, on a thread of its own.
    pub(crate) fn listen() -> Result<Self, BenchError> {
        let attempt = || BenchError::host("listen for signals");
        let runtime = Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(attempt())?;
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt()).map_err(attempt())?,
                signal(SignalKind::terminate()).map_err(attempt())?,
            )
        };
        let came = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&came);
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            flag.store(true, Ordering::Relaxed); // a flag on its own, ordered with nothing
        });
        Ok(Self { came })
    }

    /// Waits for `duration`.
    ///
    /// # Errors
    /// As [`Self::check`], at once.
    pub(crate) fn sleep(&self, duration: Duration) -> Result<(), BenchError> {
        let end = Instant::now() + duration;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(LOOK_INTERVAL));
        }
    }

    /// # Errors
    /// [`BenchError::Interrupted`] once a signal came.
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        if self.came.load(Ordering::Relaxed) {
            Err(BenchError::Interrupted)
        } else {
            Ok(())
        }
    }
}
