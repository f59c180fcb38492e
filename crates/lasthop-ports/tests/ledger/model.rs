//! Random histories of a ledger, beside a naive model that keeps every tuple in a list.
//!
//! The model has no ring: it knows of each tuple when it was closed, and so between which two moments it may come back.
//! Whatever the ledger grants has to lie between both readings of the list.

use std::time::{Duration, Instant};

use lasthop_ports::ledger::Usage;
use lasthop_ports::{
    Condition, Ended, Grant, Holding, HostPorts, Lease, PairCounts, Refusal, TimeWaitReuse, Walk,
};
use proptest::prelude::*;

use crate::support::{Bench, bound, host, kernel, millis};

/// The cooling time of the host, and the longest that a ledger may take it for.
const COOLING: Duration = Duration::from_secs(1);
const COOLING_MAX: Duration = Duration::from_millis(1250);
const BARRED: Duration = Duration::from_secs(1);
const BARRED_BESIDE_OTHERS: Duration = Duration::from_secs(30);

/// One tuple of ours.
#[derive(Debug)]
struct Tuple {
    pair: u32,
    /// None while the connection lives.
    closed: Option<Instant>,
}

#[derive(Debug, Default)]
struct Model {
    tuples: Vec<Tuple>,
    /// By pair: what the last reading saw of others.
    foreign: Vec<u32>,
    refused_at: Vec<Option<Instant>>,
    disputed: bool,
    everywhere: bool,
    /// Until when ports are named.
    explicit_until: Option<Instant>,
}

#[derive(Debug, Clone)]
enum Step {
    /// A request; the kernel refuses it so often.
    Request {
        refusals: u8,
    },
    /// A connection ends.
    End {
        which: usize,
        how: Option<Ended>,
    },
    /// A reading, with so many of others on each pair, while so much goes on.
    Reading {
        others: Vec<u32>,
    },
    Pass(Duration),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let how = prop_oneof![
        4 => Just(Some(Ended::ByUs)),
        2 => Just(Some(Ended::ByApp)),
        1 => Just(Some(Ended::Reset)),
        1 => Just(None),
    ];
    let step = prop_oneof![
        8 => prop_oneof![6 => Just(0u8), 1 => 1u8..=5].prop_map(|refusals| Step::Request { refusals }),
        5 => (any::<usize>(), how).prop_map(|(which, how)| Step::End { which, how }),
        1 => proptest::collection::vec(0u32..=4, 5).prop_map(|others| Step::Reading { others }),
        3 => (0u64..700).prop_map(|ms| Step::Pass(millis(ms))),
    ];
    proptest::collection::vec(step, 1..120)
}

impl Model {
    fn new() -> Self {
        Self {
            foreign: vec![0; PAIRS],
            refused_at: vec![None; PAIRS],
            ..Self::default()
        }
    }

    /// Tuples of a pair that live or have been closed for less than `cooling`.
    fn ours(&self, pair: usize, now: Instant, cooling: Duration) -> u32 {
        let tuples = self.tuples.iter().filter(|tuple| {
            tuple.pair as usize == pair
                && tuple
                    .closed
                    .is_none_or(|closed| now.duration_since(closed) < cooling)
        });
        u32::try_from(tuples.count()).unwrap()
    }

    fn at_least(&self, pair: usize, now: Instant) -> u32 {
        self.ours(pair, now, COOLING) + self.foreign[pair]
    }

    fn at_most(&self, pair: usize, now: Instant) -> u32 {
        self.ours(pair, now, COOLING_MAX) + self.foreign[pair]
    }

    fn is_barred(&self, pair: usize, now: Instant, patience: Duration) -> bool {
        self.refused_at[pair].is_some_and(|at| at + patience > now)
    }

    /// Takes out what cannot count any more.
    fn forget(&mut self, now: Instant) {
        self.tuples.retain(|tuple| {
            tuple
                .closed
                .is_none_or(|closed| now.duration_since(closed) < COOLING_MAX)
        });
    }

    /// Whether an open pair was passed over on the way to `granted`, or to nothing.
    fn check_order(&self, granted: Option<usize>, now: Instant, host: &HostPorts) {
        let below = |bound: u32, patience: Duration| {
            (0..PAIRS)
                .filter(|pair| !self.is_barred(*pair, now, patience))
                .find(|pair| self.at_most(*pair, now) < bound)
        };
        let Some(granted) = granted else {
            assert_eq!(below(host.limit(), BARRED), None, "there was room");
            return;
        };
        assert!(!self.is_barred(granted, now, BARRED), "a barred pair");
        assert!(self.at_least(granted, now) < host.limit(), "over the limit");
        if let Some(first) = below(host.mark(), BARRED_BESIDE_OTHERS) {
            assert!(granted <= first, "passed over pair {first}, below its mark");
        } else if self.at_least(granted, now) >= host.mark()
            && let Some(first) = below(host.limit(), BARRED)
        {
            assert!(
                granted <= first,
                "passed over pair {first}, below its limit"
            );
        }
        let is_surely_above_its_mark = self.at_least(granted, now) >= host.mark();
        if is_surely_above_its_mark {
            assert_eq!(
                below(host.mark(), BARRED_BESIDE_OTHERS),
                None,
                "above its mark for nothing"
            );
        }
    }
}

/// One of the kernel's, two spread destinations, two sources of ours.
const PAIRS: usize = 5;

fn number_of(lease: &Lease) -> usize {
    let pair = lease.pair();
    let source = pair.source.unwrap().to_string();
    let destination = pair.destination.ip().to_string();
    match (source.as_str(), destination.as_str()) {
        ("127.0.0.1", "127.0.0.1") => 0,
        ("127.0.0.1", "127.64.0.1") => 1,
        ("127.0.0.1", _) => 2,
        ("127.64.0.1", _) => 3,
        _ => 4,
    }
}

struct History {
    bench: Bench,
    host: HostPorts,
    model: Model,
    leases: Vec<Lease>,
}

impl History {
    fn new(host: HostPorts) -> Self {
        let stages = vec![
            kernel("127.0.0.1", Condition::None),
            kernel("127.64.0.0/30", Condition::None),
            bound("127.64.0.0/30", Condition::None),
        ];
        Self {
            bench: Bench::new(stages, host.clone()),
            host,
            model: Model::new(),
            leases: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Request { refusals } => self.request(*refusals),
            Step::End { which, how } => self.end(*which, *how),
            Step::Reading { others } => self.reading(others),
            Step::Pass(time) => self.bench.pass(*time),
        }
        self.model.forget(self.bench.now());
        self.check();
    }

    fn request(&mut self, refusals: u8) {
        let now = self.bench.now();
        let mut walk = Walk::default();
        let mut refused = 0_u8;
        loop {
            match self.bench.ledger.next(&mut walk, now) {
                Ok(grant) => {
                    self.check_grant(&grant, refused, now);
                    if refused < refusals {
                        let pair = number_of(&grant.lease);
                        if grant.port.is_none() {
                            self.model.refused_at[pair] = Some(now);
                            // The one that is refused does not count.
                            let taken = self.usage(pair).total() - 1;
                            if taken < self.host.limit().div_ceil(2) {
                                self.model.disputed = true;
                                if refused == 2 {
                                    self.model.everywhere = true;
                                    self.model.explicit_until = Some(now + BARRED);
                                }
                            }
                        }
                        self.bench
                            .ledger
                            .refused(&mut walk, grant, Refusal::NoPort, now);
                        refused += 1;
                        continue;
                    }
                    if grant.port.is_none() {
                        self.model.disputed = false;
                        if std::mem::take(&mut self.model.everywhere) {
                            self.model.refused_at = vec![None; PAIRS];
                        }
                    }
                    self.bench.ledger.allowed(&grant);
                    self.model.tuples.push(Tuple {
                        pair: u32::try_from(number_of(&grant.lease)).unwrap(),
                        closed: None,
                    });
                    self.leases.push(grant.lease);
                    return;
                }
                Err(full) => {
                    assert!(u64::from(full.limit) == u64::from(self.host.limit()));
                    if refused < 2
                        && !self.names_ports()
                        && (0..PAIRS).all(|pair| !self.model.is_barred(pair, now, BARRED))
                    {
                        self.model.check_order(None, now, &self.host);
                    }
                    return;
                }
            }
        }
    }

    fn names_ports(&self) -> bool {
        let until = self.model.explicit_until;
        until.is_some_and(|until| until > self.bench.now())
    }

    fn check_grant(&self, grant: &Grant, refused: u8, now: Instant) {
        let pair = number_of(&grant.lease);
        assert!(grant.port.is_some() || !self.names_ports());
        match grant.port {
            Some(port) => {
                assert!(pair >= 3, "an explicit port on a source that is not ours");
                assert!(self.host.range.contains(port) && !self.host.reserved.contains(port));
                assert!(self.model.at_least(pair, now) < self.host.limit());
            }
            // The third is far down the plan.
            None if refused == 2 => {
                assert!(self.model.at_least(pair, now) < self.host.limit());
                assert!(!self.model.is_barred(pair, now, BARRED));
            }
            None => self.model.check_order(Some(pair), now, &self.host),
        }
    }

    fn end(&mut self, which: usize, how: Option<Ended>) {
        let Some(which) = which.checked_rem(self.leases.len()) else {
            return;
        };
        let now = self.bench.now();
        let mut lease = self.leases.remove(which);
        let pair = number_of(&lease);
        let is_ours = |tuple: &Tuple| tuple.pair as usize == pair && tuple.closed.is_none();
        let place = self.model.tuples.iter().position(is_ours).unwrap();
        if let Some(how) = how {
            lease.ended(how, now);
        }
        drop(lease);
        if how == Some(Ended::ByUs) {
            self.model.tuples[place].closed = Some(now);
        } else {
            self.model.tuples.remove(place);
        }
        if matches!(how, Some(Ended::ByApp | Ended::Reset)) {
            self.model.refused_at[pair] = None;
        }
    }

    /// A reading that sees all of ours and so many of others. Settled before, as a crowded ledger is.
    fn reading(&mut self, others: &[u32]) {
        let before = self.bench.ledger.before_reading(self.bench.now());
        let mut seen = PairCounts::new(TimeWaitReuse::Loopback(COOLING));
        for (pair, foreign) in others.iter().enumerate() {
            let planned = self.bench.ledger.planned(u32::try_from(pair).unwrap());
            let (source, destination) = (planned.source.unwrap(), planned.destination.ip());
            let Usage { live, cooling, .. } = self.usage(pair);
            for _ in 0..live + foreign {
                seen.add(source, destination, Holding::Connection);
            }
            for _ in 0..cooling {
                seen.add(source, destination, Holding::TimeWait(60 * COOLING));
            }
            self.model.foreign[pair] = *foreign;
        }
        self.bench.ledger.correct(&before, &seen);
        for pair in 0..PAIRS {
            // Where the list leaves open whether it has cooled, the ledger is asked.
            let is_full = self.usage(pair).total() >= self.host.limit() - self.host.limit() / 16;
            let bar = &mut self.model.refused_at[pair];
            if !is_full && !self.model.disputed {
                *bar = None;
            } else if is_full && bar.is_some() {
                self.model.disputed = false;
                self.model.everywhere = false;
            }
        }
    }

    fn usage(&self, pair: usize) -> Usage {
        let planned = self.bench.ledger.planned(u32::try_from(pair).unwrap());
        let known = self.bench.ledger.pairs_in_use(self.bench.now());
        let usage = known.iter().find(|(of, _)| *of == planned);
        usage.map(|(_, usage)| *usage).unwrap_or_default()
    }

    fn check(&self) {
        let now = self.bench.now();
        self.bench.ledger.check_invariants();
        for pair in 0..PAIRS {
            let usage = self.usage(pair);
            let live = self.leases.iter().filter(|lease| number_of(lease) == pair);
            assert_eq!(usage.live as usize, live.count(), "pair {pair}");
            assert_eq!(usage.foreign, self.model.foreign[pair], "pair {pair}");
            assert!(self.model.at_least(pair, now) <= usage.total());
            assert!(usage.total() <= self.model.at_most(pair, now));
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_order_and_the_limits_hold_and_everything_comes_back(
        steps in steps(), ports in 1u16..=6, flat_search in any::<bool>(), begun in 0u64..2000,
    ) {
        let host = HostPorts { flat_search, ..host(ports) };
        let mut history = History::new(host);
        history.bench.pass(millis(begun));
        for step in &steps {
            history.step(step);
        }
        history.leases.clear();
        history.bench.pass(2 * COOLING);
        history.bench.ledger.correct(&history.bench.ledger.before_reading(history.bench.now()), &PairCounts::new(TimeWaitReuse::Loopback(COOLING)));
        history.bench.ledger.check_invariants();
        prop_assert_eq!(history.bench.usage(), ["127.0.0.1 -> 127.0.0.1: 0+0+0"]);
        history.bench.pass(BARRED_BESIDE_OTHERS);
        prop_assert!(!history.bench.lease().is_spilled());
    }
}
