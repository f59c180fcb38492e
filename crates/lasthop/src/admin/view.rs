//! What the admin thread can see of the process: all of it shared, none of it locked by a worker.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use crate::config::Config;
use crate::observe::metrics::WorkerMetrics;
use crate::ports::Ports;
use crate::sampler::Sampled;
use crate::upstream::Admission;

/// Everything that the pages are made of.
#[derive(Clone)]
pub struct View {
    /// The settings; the indices in what is counted are theirs.
    pub config: Arc<Config>,
    /// What each worker counts, in the order of their numbers.
    pub workers: Arc<[Arc<WorkerMetrics>]>,
    /// The queue of each upstream, in the order of the configuration.
    pub admissions: Vec<Arc<Admission>>,
    /// The source ports towards each target.
    pub ports: Arc<Ports>,
    /// Whether it serves or drains, and since when it runs.
    pub state: Arc<ServerState>,
    /// What the sampler has seen.
    pub sampled: Arc<Sampled>,
    /// How many lines the logs have lost. Asked at each reading, on the admin thread.
    pub log_drops: LogDropsReader,
}

/// Reads how many lines the logs have lost.
pub type LogDropsReader = Arc<dyn Fn() -> LogDrops + Send + Sync>;

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the configuration, which is long.
        let view = &mut f.debug_struct("View");
        view.field("state", &self.state).finish_non_exhaustive()
    }
}

/// Lines that were dropped since the start because whoever reads the log did not keep up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogDrops {
    /// Of the access log.
    pub access: u64,
    /// Of the operator log.
    pub operator: u64,
}

/// What the process is about.
#[derive(Debug)]
pub struct ServerState {
    draining: AtomicBool,
    started: Instant,
    started_at: SystemTime,
}

impl ServerState {
    /// One that serves, since `started`, which was `started_at` on the calendar.
    pub fn serving(started: Instant, started_at: SystemTime) -> Self {
        Self {
            draining: AtomicBool::new(false),
            started,
            started_at,
        }
    }

    /// From now on it drains; there is no way back.
    pub fn drain(&self) {
        // Relaxed: the flag orders nothing else.
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether it drains.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    pub(super) fn started_at(&self) -> SystemTime {
        self.started_at
    }
}
