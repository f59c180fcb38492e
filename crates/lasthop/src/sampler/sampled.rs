//! What the sampler has seen, for whoever asks: the history, and the latest judgement of the host.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lasthop_ports::Forecast;
use lasthop_ports::snapshot::GroupKey;
use tokio::sync::watch;

use super::own;
use crate::config::Config;
use crate::doctor::Examination;
use crate::history::{History, HostReading, OwnPoint};
use crate::observe::metrics::FAILURE_KINDS;

/// The latest look at the host, judged.
#[derive(Debug)]
pub struct Latest {
    /// What was seen and what is wrong with it.
    pub examination: Examination,
    /// The groups of connections that will meet their limit if things go on like this, and when.
    pub forecasts: Vec<(GroupKey, Forecast)>,
}

/// How far the sampler has come. Only ever grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rounds {
    /// Points in the history, those included that it has let go.
    pub points: u64,
    /// Looks at the host.
    pub looks: u64,
}

/// What was sampled, shared between the sampler and the admin address. A lock is held for as long as a point is added or a
/// page is made of the points, and no worker knows of it.
#[derive(Debug)]
pub struct Sampled {
    history: Mutex<History>,
    latest: Mutex<Option<Arc<Latest>>>,
    rounds: watch::Sender<Rounds>,
    processor_nanoseconds: AtomicU64,
}

impl Sampled {
    /// Nothing yet, of a process of that configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            history: Mutex::new(History::new(own::upstream_names(config), &FAILURE_KINDS)),
            latest: Mutex::new(None),
            rounds: watch::Sender::new(Rounds::default()),
            processor_nanoseconds: AtomicU64::new(0),
        }
    }

    /// What `read` makes of the history, which stands still meanwhile.
    pub fn history<T>(&self, read: impl FnOnce(&History) -> T) -> T {
        read(&self.lock_history())
    }

    /// The latest look at the host; none before the first.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<Latest>> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.clone()
    }

    /// The same, once there is one.
    pub async fn first(&self) -> Arc<Latest> {
        let mut rounds = self.changes();
        loop {
            if let Some(latest) = self.latest() {
                return latest;
            }
            // The sender is ours, so it is there.
            let _ = rounds.changed().await;
        }
    }

    /// Tells of each new point.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Rounds> {
        self.rounds.subscribe()
    }

    /// Processor time that sampling has taken.
    #[must_use]
    pub fn processor_time(&self) -> Duration {
        Duration::from_nanos(self.processor_nanoseconds.load(Ordering::Relaxed))
    }

    /// Adds what was seen at one time, in milliseconds since 1970. `period` is how far apart looks at the host are at
    /// present.
    pub fn add(&self, at_ms: u64, own: Option<OwnPoint>, latest: Option<Latest>, period: Duration) {
        let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        let host = latest
            .as_ref()
            .map(|latest| HostReading::of(&latest.examination.snapshot, period_ms));
        let looks = u64::from(latest.is_some());
        self.lock_history().push(at_ms, host.as_ref(), own);
        if let Some(latest) = latest {
            *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(latest));
        }
        self.rounds.send_modify(|rounds| {
            rounds.points += 1;
            rounds.looks += looks;
        });
    }

    /// The sampler's thread has used so much by now.
    pub(super) fn has_cost(&self, processor_time: Duration) {
        let nanoseconds = u64::try_from(processor_time.as_nanos()).unwrap_or(u64::MAX);
        // Relaxed: the value orders nothing else.
        self.processor_nanoseconds
            .store(nanoseconds, Ordering::Relaxed);
    }

    fn lock_history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
