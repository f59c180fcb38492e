//! The account of one target: its ledger, whom to wake when it gets crowded, and what to tell the operator.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lasthop_ports::ledger::Usage;
use lasthop_ports::{Full, Grant, Ledger, PlannedPair, Refusal, Walk};

use super::watcher::Alarm;
use crate::config::Target;

/// What an app that trusts one address has to be told when others are used.
const TELL_THE_APP: &str = "connections to the app now come from other addresses as well: an app that believes forwarding \
     fields of 127.0.0.1 only must be told (gunicorn and uvicorn: --forwarded-allow-ips; docs/ports.md has \
     others). Or let the app listen on a Unix socket, which needs no ports";

/// How long pairs without a way stay untold after one was told of.
const NO_WAY_QUIET: Duration = Duration::from_secs(60);

/// The account of the source ports towards one target, shared by all workers.
#[derive(Debug)]
pub struct Account {
    ledger: Arc<Ledger>,
    /// As the operator wrote it.
    target: String,
    /// The first upstream that has it, for the log.
    upstream: String,
    alarm: Arc<Alarm>,
    /// The watcher should look at it.
    wants_a_look: AtomicBool,
    /// A connection was refused a port since the last look.
    was_refused: AtomicBool,
    /// It has been told that connections are spread.
    has_spilled: AtomicBool,
    /// It has been told that they come from other addresses.
    has_spilled_sources: AtomicBool,
    /// When a pair without a way was last told of.
    told_no_way: Mutex<Option<Instant>>,
    /// The number of a pair that worked and gives no answer now; 0, which is never proven, where there is none.
    doubted: AtomicU32,
    /// Ports that the kernel has refused. Seldom: counted here for all workers.
    refusals: AtomicU64,
    /// Who holds ports in a way that keeps others from them, where that was seen.
    neighbour: Mutex<Option<String>>,
}

/// A pair of which something is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairInUse {
    /// Our address; none where the kernel's choice is not known.
    pub source: Option<IpAddr>,
    /// The app's address and port.
    pub target: std::net::SocketAddr,
    /// What is taken.
    pub usage: Usage,
    /// What can be taken.
    pub limit: u32,
}

impl Account {
    pub(super) fn new(
        target: &Target,
        upstream: &str,
        ledger: Ledger,
        alarm: Arc<Alarm>,
    ) -> Arc<Self> {
        Arc::new(Self {
            ledger: Arc::new(ledger),
            target: target.to_string(),
            upstream: upstream.to_owned(),
            alarm,
            wants_a_look: AtomicBool::new(true),
            was_refused: AtomicBool::new(false),
            has_spilled: AtomicBool::new(false),
            has_spilled_sources: AtomicBool::new(false),
            told_no_way: Mutex::new(None),
            doubted: AtomicU32::new(0),
            refusals: AtomicU64::new(0),
            neighbour: Mutex::new(None),
        })
    }

    /// The ledger.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The name of the first upstream that has the target.
    pub(super) fn upstream(&self) -> &str {
        &self.upstream
    }

    /// The next pair that a connection may use.
    ///
    /// # Errors
    /// [`NoPorts`], with the numbers.
    pub fn next(&self, walk: &mut Walk) -> Result<Grant, NoPorts> {
        match self.ledger.next(walk, Instant::now()) {
            Ok(grant) => {
                // A load, as long as the watcher has been asked: the line is read by all and seldom written.
                if grant.lease.wants_a_look() && !self.wants_a_look() {
                    self.ask_for_a_look();
                }
                Ok(grant)
            }
            Err(full) => {
                self.ask_for_a_look();
                Err(self.no_ports(full))
            }
        }
    }

    /// There is a connection on this pair. Whether it is the first that is spread at all, it is told.
    pub fn connected(&self, grant: &Grant) {
        self.ledger.allowed(grant);
        // A load, and no more once all is told.
        if grant.lease.is_spilled() && !self.has_spilled_sources.load(Ordering::Relaxed) {
            self.tell_of_spill(grant);
        }
    }

    /// The kernel refused a connection on this pair.
    pub fn refused(&self, walk: &mut Walk, grant: Grant, refusal: Refusal) {
        // A count and nothing more hangs on it.
        self.refusals.fetch_add(1, Ordering::Relaxed);
        self.ledger.refused(walk, grant, refusal, Instant::now());
        self.was_refused.store(true, Ordering::Relaxed);
        self.ask_for_a_look();
    }

    /// A handshake on this pair got no answer in time.
    pub fn unanswered(&self, grant: &Grant) {
        self.ledger.unanswered(grant);
        self.ask_for_a_look();
    }

    /// The addresses of this pair do not lead to the app, for this reason. Told with its first pair, once a minute.
    pub fn tell_of_no_way(&self, grant: &Grant, error: &std::io::Error) {
        let now = Instant::now();
        {
            let mut told = self
                .told_no_way
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if told.is_some_and(|told| now.saturating_duration_since(told) < NO_WAY_QUIET) {
                return;
            }
            *told = Some(now);
        }
        tracing::warn!(
            upstream = &*self.upstream,
            target = &*self.target,
            pair = %grant.lease.pair(),
            error = error as &dyn std::error::Error,
            "a source address cannot reach the app and is passed over; is it an address of this host, and does a \
             firewall let it through?"
        );
    }

    /// A handshake on pair `number`, which is known to work, takes too long: the watcher should try it.
    pub fn doubt(&self, number: u32) {
        self.doubted.store(number, Ordering::Relaxed);
        self.ask_for_a_look();
    }

    pub(super) fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Relaxed) != 0
    }

    /// The pair that is doubted, once.
    pub(super) fn take_doubt(&self) -> Option<u32> {
        match self.doubted.swap(0, Ordering::Relaxed) {
            0 => None,
            number => Some(number),
        }
    }

    /// Whether somebody has asked for a look since the last one.
    pub(super) fn wants_a_look(&self) -> bool {
        self.wants_a_look.load(Ordering::Relaxed)
    }

    /// Whether a connection was refused a port since the last one.
    pub(super) fn was_refused(&self) -> bool {
        self.was_refused.load(Ordering::Relaxed)
    }

    pub(super) fn is_looked_at(&self) {
        self.wants_a_look.store(false, Ordering::Relaxed);
        self.was_refused.store(false, Ordering::Relaxed);
    }

    fn ask_for_a_look(&self) {
        self.wants_a_look.store(true, Ordering::Relaxed);
        self.alarm.ring();
    }

    /// How often the kernel has refused a connection on a pair where the ledger knew of room: each has cost a search of
    /// up to milliseconds.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// What is in use now, by pair.
    pub fn pairs_in_use(&self) -> Vec<PairInUse> {
        let limit = self.ledger.limit();
        let pairs = self.ledger.pairs_in_use(Instant::now());
        if pairs.iter().any(|(_, usage)| usage.foreign > 0) {
            // While no request asks, nobody looks whether the others are still there.
            self.ask_for_a_look();
        }
        let told = |(pair, usage): (PlannedPair, Usage)| PairInUse {
            source: pair.source,
            target: pair.destination,
            usage,
            limit,
        };
        pairs.into_iter().map(told).collect()
    }

    /// Who keeps ports from us, as far as it was seen; none any more.
    pub(super) fn set_neighbour(&self, neighbour: Option<String>) {
        *self
            .neighbour
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = neighbour;
    }

    /// The same, where nothing better is known.
    pub(super) fn set_neighbour_if_unknown(&self, neighbour: &str) {
        self.neighbour
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| neighbour.to_owned());
    }

    fn no_ports(&self, full: Full) -> NoPorts {
        let neighbour = self
            .neighbour
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        NoPorts {
            full,
            range: self.ledger.ports().0,
            neighbour: neighbour.clone(),
        }
    }

    /// Told once, and once more when the app begins to see other addresses: at first only its own may be spread.
    fn tell_of_spill(&self, grant: &Grant) {
        let pair = grant.lease.pair();
        let of_what = if pair.bound {
            &self.has_spilled_sources
        } else {
            &self.has_spilled
        };
        // A load first: the line is shared, and this is the usual answer where only destinations are spread.
        if of_what.load(Ordering::Relaxed) || of_what.swap(true, Ordering::Relaxed) {
            return;
        }
        self.has_spilled.store(true, Ordering::Relaxed);
        let source = pair.source.map(|source| source.to_string());
        tracing::warn!(
            upstream = &*self.upstream,
            target = &*self.target,
            source = source.as_deref(),
            destination = %pair.destination,
            ports = self.ledger.limit(),
            fix = pair.bound.then_some(TELL_THE_APP),
            "source ports of the first pair are short; connections are spread over more addresses"
        );
    }
}

/// No pair has a port left.
#[derive(Debug)]
pub struct NoPorts {
    full: Full,
    range: lasthop_ports::PortRange,
    neighbour: Option<String>,
}

impl fmt::Display for NoPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, range {}", self.full, self.range)?;
        match &self.neighbour {
            Some(neighbour) => write!(f, ", {neighbour}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for NoPorts {}
