//! Who holds which ports towards one target: the account that every connection to it goes through.
//!
//! One ledger for each target, shared by all workers. It hands out leases on the pairs of a [`Plan`] in their order,
//! so that the first pair is used again as soon as it has room, and counts what is live and what cools in TIME_WAIT. It
//! can be wrong about others who use the same pairs, so the kernel has the last word: a refused lease bars its pair
//! for a while, and readings of the kernel's table ([`Ledger::correct`]) put right what was assumed.
//!
//! No clock and no system call: time is an argument.

mod full;
mod gate;
mod last_resort;
mod lease;
mod pair;
mod ring;
mod walk;
mod watching;

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use full::Full;
pub use gate::Gate;
pub use lease::{Ended, Lease};
pub use pair::{Proof, Usage};
pub use walk::{Grant, Refusal, Walk};

use crate::counts::PairCounts;
use crate::host::{HostPorts, TimeWaitReuse};
use crate::plan::{Plan, PlannedPair, STAGE_PAIRS_MAX, STAGES_MAX};
use crate::range::{PortRange, ReservedPorts};
use crate::sync::{AtomicU64, Mutex, Ordering};
use gate::GatedStage;
use pair::Pair;

/// Accounts are made in chunks, the first time that one of them is needed: most ledgers never need a second.
#[cfg(not(loom))]
const CHUNK: u32 = 64;

/// Every account costs loom time.
#[cfg(loom)]
const CHUNK: u32 = 2;

/// How long a refusal by the kernel stands where no reading says otherwise, and there is no other pair.
const BARRED: Duration = Duration::from_secs(1);

/// The same while there are others: a refusal costs a worker two milliseconds, and a reading may be seconds away where it
/// takes long.
const BARRED_BESIDE_OTHERS: Duration = Duration::from_secs(30);

/// The part of a pair's ports that a reading may be short of and still explain a refusal.
const NEARLY: u32 = 16;

/// The account of the ports towards one target.
pub struct Ledger {
    plan: Plan,
    began: Instant,
    host: Mutex<HostPorts>,
    /// The host's numbers for the fast path: limit, mark and reuse in one word, so that they belong together.
    numbers: AtomicU64,
    stages: Vec<GatedStage>,
    chunks: Vec<OnceLock<Box<[Pair]>>>,
    walking: walk::Walking,
}

/// What the fast path needs of [`HostPorts`].
#[derive(Debug, Clone, Copy)]
struct Numbers {
    limit: u32,
    mark: u32,
    reuse: TimeWaitReuse,
}

impl Ledger {
    /// An empty account of `plan` on a host like this, which begins at `now`.
    #[must_use]
    pub fn new(plan: Plan, host: HostPorts, now: Instant) -> Self {
        let chunks = plan.pairs().div_ceil(CHUNK);
        debug_assert!(chunks as usize <= STAGES_MAX * STAGE_PAIRS_MAX as usize);
        let ledger = Self {
            stages: GatedStage::of(&plan),
            chunks: (0..chunks).map(|_| OnceLock::new()).collect(),
            numbers: AtomicU64::new(Numbers::of(&host).packed()),
            host: Mutex::new(host),
            began: now,
            walking: walk::Walking::default(),
            plan,
        };
        // The first pair is always told of.
        ledger.pair(0);
        ledger
    }

    /// The pairs and their order.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The facts about the host have changed, or have been read again.
    pub fn set_host(&self, host: HostPorts) {
        self.numbers
            .store(Numbers::of(&host).packed(), Ordering::Relaxed);
        *self
            .host
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = host;
    }

    /// The facts about the host, as last read.
    #[must_use]
    pub fn host(&self) -> HostPorts {
        let host = self.host.lock();
        host.unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }

    /// The ports of the host, as last read.
    #[must_use]
    pub fn ports(&self) -> (PortRange, ReservedPorts) {
        let host = self
            .host
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        (host.range, host.reserved.clone())
    }

    /// Connections that one pair can hold at once.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.numbers().limit
    }

    /// Pairs of which something is to be told: the first, and all on which something is taken, as of `now`.
    #[must_use]
    pub fn pairs_in_use(&self, now: Instant) -> Vec<(PlannedPair, Usage)> {
        let now = self.moment(now);
        self.known()
            .map(|(number, pair)| {
                pair.settle(now, self.cooling_time(number));
                (number, pair.usage())
            })
            .filter(|(number, usage)| *number == 0 || usage.total() > 0)
            .map(|(number, usage)| (self.planned(number), usage))
            .collect()
    }

    /// Our connections and what of ours cools at `now`, by pair: taken just before a reading begins, and given to
    /// [`Ledger::correct`] with it. One reading at a time.
    #[must_use]
    pub fn before_reading(&self, now: Instant) -> Vec<(u32, u32)> {
        let now = self.moment(now);
        self.walking.looks(now);
        let limit = self.limit();
        self.known()
            .map(|(number, pair)| {
                pair.settle(now, self.cooling_time(number));
                (number, pair.before_reading(limit))
            })
            .collect()
    }

    /// Corrects the account by a reading: what others hold is seen, what the kernel refused is open again where there
    /// is room, and what was thought to cool is forgotten where there is no TIME_WAIT.
    pub fn correct(&self, before: &[(u32, u32)], reading: &PairCounts) {
        for ((source, destination), seen) in reading.pairs() {
            if seen.held > 0
                && let Some(number) = self.plan.number_of(source, destination)
            {
                // An account for what others hold there.
                self.pair(number);
            }
        }
        // What we open while the table is read is taken for less of others, so nearly full is full.
        let limit = self.limit();
        let full = limit - limit / NEARLY;
        for (number, pair) in self.known() {
            let planned = self.planned(number);
            let Some(source) = planned.source else {
                // Where the kernel's choice is not known, nobody can tell which of those seen share our ports.
                continue;
            };
            let seen = reading.pair(source, planned.destination.ip());
            let ours = before
                .binary_search_by_key(&number, |(of, _)| *of)
                .map_or(0, |place| before[place].1);
            let usage = pair.correct(seen, ours);
            if usage.total() < full {
                if !self.walking.is_disputed() {
                    pair.unbar();
                }
            } else if pair.was_barred() {
                // The kernel was right, and now the account says why.
                self.walking.settle();
            }
        }
    }

    /// What is known of the destinations of the stages with [`Condition::Wildcard`](crate::Condition::Wildcard).
    pub fn set_gate(&self, gate: Gate) {
        for stage in self.stages.iter().filter(|stage| stage.has_gate()) {
            stage.set(gate);
        }
        if gate != Gate::Unknown {
            self.walking.forget_the_wait();
        }
    }

    /// The next pairs that wait for a proof, at most `count`: those behind the pairs that are known to work.
    #[must_use]
    pub fn to_be_proven(&self, count: usize) -> Vec<u32> {
        let stages = self.stages.iter();
        stages
            .filter(|stage| stage.needs_proof())
            .flat_map(|stage| stage.numbers.clone())
            .filter(|number| {
                self.known_pair(*number)
                    .is_none_or(|pair| pair.proof() == Proof::Unknown)
            })
            .take(count)
            .collect()
    }

    /// A handshake on a granted pair got no answer in time. Where pairs have to be proven, all proofs are
    /// over: what loses packets now may have come later, and the next request must not wait as long on the next pair.
    /// Elsewhere it is the app that does not answer.
    pub fn unanswered(&self, grant: &Grant) {
        if grant.lease.proven_pair().is_some() {
            self.forget_proofs();
        }
    }

    /// Condemned pairs get another chance: a rule that lost their answers may be gone, or an app that was too busy to
    /// give one.
    pub fn reprieve(&self) {
        for (_, pair) in self.known() {
            if pair.proof() == Proof::Condemned {
                pair.set_proof(Proof::Unknown);
            }
        }
    }

    /// What came of trying pair `number`.
    pub fn set_proof(&self, number: u32, proof: Proof) {
        if let Some(pair) = self.pair(number) {
            pair.set_proof(proof);
        }
    }

    /// Whether a handshake is known to come about on pair `number`.
    #[must_use]
    pub fn proof(&self, number: u32) -> Proof {
        self.known_pair(number).map_or(Proof::Unknown, Pair::proof)
    }

    /// A pair that worked does so no more, because something on the way has changed: those that have worked as well are
    /// to be tried again.
    pub fn forget_proofs(&self) {
        for (_, pair) in self.known() {
            if pair.proof() == Proof::Works {
                pair.set_proof(Proof::Unknown);
            }
        }
    }

    /// Pair `number` of the plan. The number came from the plan.
    #[must_use]
    pub fn planned(&self, number: u32) -> PlannedPair {
        // A number past the end stands for the first pair: there is always one.
        let pair = self.plan.pair(number).or_else(|| self.plan.pair(0));
        debug_assert!(number < self.plan.pairs());
        pair.unwrap_or(PlannedPair {
            source: None,
            bound: false,
            any_ip: false,
            destination: std::net::SocketAddr::from(([127, 0, 0, 1], self.plan.port())),
            stage: 0,
        })
    }

    /// Checks what has to hold between any two calls.
    pub fn check_invariants(&self) {
        for (_, pair) in self.known() {
            pair.check_invariants();
        }
    }

    fn cool(&self, number: u32, now: Instant) {
        if let Some(pair) = self.known_pair(number) {
            pair.cool(self.moment(now), self.cooling_time(number));
        }
    }

    fn release(&self, number: u32, leaves_nothing: bool) {
        if let Some(pair) = self.known_pair(number) {
            pair.release();
            if leaves_nothing {
                // Whoever else uses the pair: one port is free.
                pair.unbar();
            }
        }
    }

    fn time_wait_hurts(&self, number: u32) -> bool {
        let half = self.numbers().mark / 2;
        self.cooling_time(number) > Duration::from_secs(2)
            || self
                .known_pair(number)
                .is_some_and(|pair| pair.usage().total() > half)
    }

    fn cooling_time(&self, number: u32) -> Duration {
        let is_loopback = self.stage_of(number).is_some_and(|stage| stage.is_loopback);
        self.numbers().reuse.cooling(is_loopback)
    }

    fn stage_of(&self, number: u32) -> Option<&GatedStage> {
        self.stages
            .iter()
            .find(|stage| stage.numbers.contains(&number))
    }

    fn numbers(&self) -> Numbers {
        Numbers::unpacked(self.numbers.load(Ordering::Relaxed))
    }

    /// Milliseconds since the ledger began.
    fn moment(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }

    /// The account of a pair; made where there is none yet.
    fn pair(&self, number: u32) -> Option<&Pair> {
        let chunk = self.chunks.get((number / CHUNK) as usize)?;
        let chunk = chunk.get_or_init(|| (0..CHUNK).map(|_| Pair::new()).collect());
        chunk.get((number % CHUNK) as usize)
    }

    /// The account of a pair, if there is one.
    fn known_pair(&self, number: u32) -> Option<&Pair> {
        let chunk = self.chunks.get((number / CHUNK) as usize)?.get()?;
        chunk.get((number % CHUNK) as usize)
    }

    /// All accounts there are, with their numbers.
    fn known(&self) -> impl Iterator<Item = (u32, &Pair)> {
        let made = (0..).step_by(CHUNK as usize).zip(&self.chunks);
        made.filter_map(|(first, chunk)| Some((first, chunk.get()?)))
            .flat_map(|(first, chunk)| (first..).zip(chunk.iter()))
            .filter(|(number, _)| *number < self.plan.pairs())
    }
}

impl Numbers {
    fn of(host: &HostPorts) -> Self {
        Self {
            limit: host.limit(),
            mark: host.mark(),
            reuse: host.reuse,
        }
    }

    /// 17 bits each for limit and mark, 2 for the kind of reuse, 28 for its delay in milliseconds.
    fn packed(self) -> u64 {
        let (kind, delay) = match self.reuse {
            TimeWaitReuse::Never => (0, Duration::ZERO),
            TimeWaitReuse::Loopback(delay) => (1, delay),
            TimeWaitReuse::Always(delay) => (2, delay),
        };
        let delay = u64::try_from(delay.as_millis())
            .unwrap_or(u64::MAX)
            .min((1 << 28) - 1);
        u64::from(self.limit) | u64::from(self.mark) << 17 | kind << 34 | delay << 36
    }

    fn unpacked(word: u64) -> Self {
        let ports = |word: u64| u32::try_from(word & ((1 << 17) - 1)).unwrap_or(0);
        let delay = Duration::from_millis(word >> 36);
        Self {
            limit: ports(word),
            mark: ports(word >> 17),
            reuse: match word >> 34 & 3 {
                0 => TimeWaitReuse::Never,
                1 => TimeWaitReuse::Loopback(delay),
                _ => TimeWaitReuse::Always(delay),
            },
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("port", &self.plan.port())
            .field("pairs", &self.plan.pairs())
            .field("numbers", &self.numbers())
            .finish_non_exhaustive()
    }
}
