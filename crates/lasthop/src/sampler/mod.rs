//! The sampler: a thread that looks at the host and at what the workers count, again and again, and keeps what it saw.
//!
//! What it sees goes into a [`History`](crate::history::History) and, judged, into the latest [`Examination`]. It runs only
//! where there is an admin address, for whose pages it is there. No worker ever waits for it, and it stands back behind
//! them (nice(2)). Our own counters are read every two seconds, which takes microseconds; the host is read as often as that
//! costs less than a hundredth of a core, as `pace` has it.
//!
//! [`Examination`]: crate::doctor::Examination

mod host;
mod own;
mod pace;
mod sampled;

pub use sampled::{Latest, Rounds, Sampled};

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lasthop_kernel::clock;

use crate::config::Config;
use crate::observe::metrics::WorkerMetrics;
use crate::upstream::Admission;
use host::Host;
use own::Own;
use pace::Pace;

/// The time between two points.
pub const PERIOD: Duration = Duration::from_secs(2);

/// How much the thread stands back behind the workers (nice(2)), should they share a core.
const NICENESS: i32 = 10;

/// What is sampled of this process: all of it shared, none of it locked by a worker.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The settings; the indices in what is counted are theirs.
    pub config: Arc<Config>,
    /// What each worker counts.
    pub workers: Arc<[Arc<WorkerMetrics>]>,
    /// The queue of each upstream, in the order of the configuration.
    pub admissions: Vec<Arc<Admission>>,
}

/// The thread, for as long as this is kept. It is told to end and not waited for: it may be in the middle of a reading, and
/// nothing of it is needed any more.
#[derive(Debug)]
pub struct Sampler {
    end: Arc<End>,
}

/// Whether it is over, and the bell that says so.
#[derive(Debug, Default)]
struct End {
    is_over: Mutex<bool>,
    bell: Condvar,
}

impl End {
    fn finish(&self) {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_one();
    }

    /// Waits until `due`, or until it is over; whether it is.
    fn wait_until(&self, due: Instant) -> bool {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        let left = due.saturating_duration_since(Instant::now());
        let waited = self.bell.wait_timeout_while(is_over, left, |over| !*over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Sampler {
    /// Begins to sample, and to write what it sees into `sampled`; the first look at the host is taken at once.
    ///
    /// # Errors
    /// Where the host gives no thread.
    pub fn start(sources: Sources, sampled: Arc<Sampled>) -> io::Result<Self> {
        let end = Arc::new(End::default());
        let ended = Arc::clone(&end);
        let thread = std::thread::Builder::new().name("sampler".to_owned());
        thread.spawn(move || {
            // Where it may not stand back it works all the same.
            let _ = lasthop_kernel::process::stand_back(NICENESS);
            Thread::new(sources, sampled).run(&ended);
        })?;
        Ok(Self { end })
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.end.finish();
    }
}

/// What the thread does, round after round.
struct Thread {
    own: Own,
    host: Host,
    pace: Pace,
    sampled: Arc<Sampled>,
}

impl Thread {
    fn new(sources: Sources, sampled: Arc<Sampled>) -> Self {
        Self {
            own: Own::new(sources),
            host: Host::default(),
            pace: Pace::default(),
            sampled,
        }
    }

    fn run(mut self, end: &End) {
        let mut due = Instant::now();
        loop {
            self.round(Instant::now());
            due += PERIOD;
            // A round that was missed is not made up for.
            due = due.max(Instant::now());
            if end.wait_until(due) {
                return;
            }
        }
    }

    fn round(&mut self, now: Instant) {
        let at_ms = now_ms();
        let own = self.own.since_last(now);
        let latest = self.pace.is_due(now).then(|| {
            let before = clock::thread_cpu_time().ok();
            let latest = self.host.look(&self.sampled, now, self.pace.cost());
            let after = clock::thread_cpu_time().ok();
            let used = after
                .zip(before)
                .map(|(after, before)| after.saturating_sub(before));
            self.pace.has_cost(now, used, now.elapsed());
            latest
        });
        let used = clock::thread_cpu_time().unwrap_or_default();
        self.sampled.has_cost(used);
        self.sampled.add(at_ms, own, latest, self.pace.period());
    }
}

/// Milliseconds since 1970; 0 where the clock is set before.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_is_told_of_the_end_at_once() {
        let end = Arc::new(End::default());
        let waits = Arc::clone(&end);
        let far = Instant::now() + Duration::from_secs(600);
        let thread = std::thread::spawn(move || waits.wait_until(far));
        end.finish();
        assert!(thread.join().unwrap());
        assert!(Instant::now() < far);
        assert!(!End::default().wait_until(Instant::now()));
    }
}
