//! The operator log: one line an event, on standard error, written by a thread of its own.
//!
//! A worker never waits for whoever reads the log: lines go through a bounded queue, and where the
//! reader is too slow they are dropped. [`Drops`](super::Drops) tells how many.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::config::Level;

/// Lines that may wait for a slow reader.
pub(super) const WAITING_LINES_MAX: usize = 8 * 1024;

/// Writes what is still queued when dropped: keep it until the process ends.
#[must_use = "dropping it stops the log"]
pub struct LogGuard {
    _writer: WorkerGuard,
    dropped: ErrorCounter,
}

impl LogGuard {
    /// Counts the lines that found the queue full.
    pub(super) fn dropped(&self) -> ErrorCounter {
        self.dropped.clone()
    }

    /// The same, for others to read.
    pub fn drops(&self) -> OperatorDrops {
        OperatorDrops(self.dropped.clone())
    }
}

/// Reads how many lines of the operator log were dropped.
#[derive(Clone, Debug)]
pub struct OperatorDrops(ErrorCounter);

impl OperatorDrops {
    /// Lines since the start.
    pub fn lines(&self) -> u64 {
        self.0.dropped_lines() as u64
    }
}

/// Starts the log. Only the first call in a process has an effect.
pub fn start_log(level: Level) -> LogGuard {
    let (writer, guard) = queue(io::stderr());
    let filter = match level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt()
        .with_max_level(filter)
        .with_writer(writer)
        .with_ansi(false)
        .with_target(false)
        .finish();
    // A second call, as in a test, keeps the first log.
    let _first_wins = tracing::subscriber::set_global_default(log);
    guard
}

/// The bounded queue before `sink`, and the thread that empties it.
pub(super) fn queue(sink: impl io::Write + Send + 'static) -> (NonBlocking, LogGuard) {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES_MAX)
        .lossy(true)
        .thread_name("lasthop-log")
        .finish(sink);
    let dropped = writer.error_counter();
    let guard = LogGuard {
        _writer: guard,
        dropped,
    };
    (writer, guard)
}
