//! The thread that keeps the ledgers true: it reads the kernel's table, finds out how apps listen, and tries pairs.
//!
//! Each account is read once at the start: other instances may be there already. Then the thread sleeps until a worker
//! rings the alarm, because a pair gets full, connections grow or one was refused. That account it reads at most once a
//! second, and less often where a reading takes long. Nothing here is ever waited for by a worker.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::account::Account;
use super::{Ports, neighbour, proof, reading, survey};

/// The time between two readings.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

/// A reading that takes long is followed by so many times its length without one, so that it costs a hundredth of a
/// core: the kernel walks over all connections of the host, 8 to 18 ms with 44,000 of them (`lasthop-kernel`'s example
/// `kernel_costs`).
const REST_FACTOR: u32 = 100;

/// The same where the kernel has refused a connection since: until the ledger knows why, others pay for it too.
const REST_FACTOR_REFUSED: u32 = 20;

/// How much the thread stands back behind the workers (nice(2)), should they share a core.
const NICENESS: i32 = 10;

/// The least time between two rounds, however loud the alarm.
const ROUND: Duration = Duration::from_millis(5);

/// What workers ring.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    bell: Notify,
    /// The bell has been rung and not been heard yet.
    is_rung: AtomicBool,
    is_over: AtomicBool,
}

impl Alarm {
    /// Somebody should look at the accounts that want it.
    pub(super) fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            self.bell.notify_one();
        }
    }

    /// Whoever rings from here on is heard. Read and written in one, with acquire: an account that a ringer has marked
    /// before it found the bell rung already is seen marked. After a plain store the look at the marks could come first,
    /// and the ring would be lost to both.
    fn listen(&self) {
        self.is_rung.swap(false, Ordering::AcqRel);
    }

    fn finish(&self) {
        self.is_over.store(true, Ordering::Release);
        self.bell.notify_one();
    }
}

/// The thread, for as long as this is kept. It is told to end and not waited for: it may be in the middle of a handshake
/// that gets no answer or of a reading that takes long, and nothing of it is needed any more.
#[derive(Debug)]
pub struct Watcher {
    alarm: Arc<Alarm>,
}

impl Watcher {
    /// Starts to watch. How the apps listen is found out before this returns, so that no request has to wait for it or do
    /// without; the first readings of what others hold are made at once, and nobody waits for them.
    ///
    /// # Errors
    /// Where the host gives no thread or event loop.
    pub fn start(ports: &Ports) -> io::Result<Self> {
        if !ports.accounts().is_empty() {
            for account in ports.accounts() {
                reading::read_gate(account.ledger());
            }
            let watched: Vec<Watched> = ports.accounts().iter().map(Watched::new).collect();
            let mut runtime = Builder::new_current_thread();
            let runtime = runtime.enable_all().build()?;
            let alarm = Arc::clone(&ports.alarm);
            let thread = std::thread::Builder::new().name("ports".to_owned());
            let watch = move || {
                // Where it may not stand back it works all the same.
                let _ = lasthop_kernel::process::stand_back(NICENESS);
                runtime.block_on(watch(watched, &alarm));
            };
            thread.spawn(watch)?;
        }
        Ok(Self {
            alarm: Arc::clone(&ports.alarm),
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.alarm.finish();
    }
}

/// One account and when it was last looked at.
struct Watched {
    account: Arc<Account>,
    /// When the last reading began, and how long it took.
    last: Option<(Instant, Duration)>,
    /// When the settings of the host were last read.
    host_read: Option<Instant>,
    proofs: proof::Proofs,
    searches: neighbour::Searches,
    /// Whether readings fail, which is told once.
    is_blind: bool,
}

impl Watched {
    fn new(account: &Arc<Account>) -> Self {
        Self {
            account: Arc::clone(account),
            last: None,
            host_read: None,
            proofs: proof::Proofs::new(),
            searches: neighbour::Searches::new(),
            is_blind: false,
        }
    }

    /// Looks at the account if it wants it and it is time; whether it has to be looked at again.
    async fn round(&mut self) -> bool {
        let ledger = self.account.ledger();
        let is_wanted = |now| self.account.wants_a_look() || ledger.is_at_its_last_resort(now);
        let now = Instant::now();
        if !is_wanted(now) {
            return false;
        }
        if self.host_read.is_none_or(|read| now >= read + PERIOD) {
            // A handful of small files, whatever a reading of the kernel's table takes: a range that was made wider must
            // not wait for that.
            self.host_read = Some(now);
            ledger.set_host(survey::host_again(&ledger.host()));
        }
        if self.is_due(now) {
            // Before the look: who asks while it goes on is heard.
            self.account.is_looked_at();
            if let Err(error) = reading::read(ledger)
                && !std::mem::replace(&mut self.is_blind, true)
            {
                tracing::warn!(
                    upstream = self.account.upstream(),
                    error = &error as &dyn std::error::Error,
                    "the kernel's table of connections cannot be read: what other programs hold is found out by \
                     failing connects only"
                );
            }
            self.last = Some((now, now.elapsed()));
            self.searches.go_on(&self.account);
        }
        self.proofs.go_on(&self.account).await;
        is_wanted(Instant::now())
    }

    fn is_due(&self, now: Instant) -> bool {
        let factor = if self.account.was_refused() {
            REST_FACTOR_REFUSED
        } else {
            REST_FACTOR
        };
        self.last
            .is_none_or(|(last, took)| now >= last + PERIOD.max(took * factor))
    }
}

async fn watch(mut accounts: Vec<Watched>, alarm: &Alarm) {
    loop {
        alarm.listen();
        let mut again = false;
        for watched in &mut accounts {
            again |= watched.round().await;
        }
        tokio::time::sleep(ROUND).await;
        if again {
            // Early only where somebody asks.
            let _ = timeout(PERIOD, alarm.bell.notified()).await;
        } else {
            alarm.bell.notified().await;
        }
        if alarm.is_over.load(Ordering::Acquire) {
            return;
        }
    }
}
