//! The ledger under every order of its threads that loom finds: never over the limit, and nothing lost.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p lasthop-ports --test loom_ledger --target-dir target/loom`. Says nothing about the accounts' being made (a `OnceLock` of the standard library), nor about time, which stands still
//! but where a thread is said to be ahead.

#![cfg(loom)]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by its panic"
)]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lasthop_ports::{
    Ended, Grant, Holding, HostPorts, Ledger, PairCounts, Plan, TimeWaitReuse, Walk,
};
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

const SECOND: Duration = Duration::from_secs(1);

/// Switches between threads, where nothing makes one wait, that an execution may have: what is known of races in
/// practice shows with two, and all tests together take a quarter of a minute with three.
const PREEMPTIONS_MAX: usize = 3;

fn explore(test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS_MAX);
    model.check(test);
}

fn local() -> IpAddr {
    IpAddr::from([127, 0, 0, 1])
}

/// One pair of `ports` ports.
fn ledger(ports: u16, now: Instant) -> Arc<Ledger> {
    let host = HostPorts {
        range: format!("40000 {}", 39_999 + ports).parse().unwrap(),
        reserved: "".parse().unwrap(),
        flat_search: true,
        reuse: TimeWaitReuse::Loopback(SECOND),
    };
    let plan = Plan::of_the_kernel("127.0.0.1:3000".parse().unwrap(), Some(local()));
    Arc::new(Ledger::new(plan, host, now))
}

fn lease(ledger: &Arc<Ledger>, now: Instant) -> Option<Grant> {
    ledger.next(&mut Walk::default(), now).ok()
}

/// What is taken at the end.
fn taken(ledger: &Ledger, now: Instant) -> (u32, u32, u32) {
    ledger.check_invariants();
    let usage = ledger.pairs_in_use(now)[0].1;
    (usage.live, usage.cooling, usage.foreign)
}

#[test]
fn two_threads_never_have_the_one_port_at_once() {
    explore(|| {
        let now = Instant::now();
        let ledger = ledger(1, now);
        let held = Arc::new(AtomicU32::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (ledger, held) = (Arc::clone(&ledger), Arc::clone(&held));
                thread::spawn(move || {
                    if let Some(grant) = lease(&ledger, now) {
                        assert_eq!(held.fetch_add(1, Ordering::Relaxed), 0);
                        held.fetch_sub(1, Ordering::Relaxed);
                        drop(grant);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(taken(&ledger, now), (0, 0, 0));
    });
}

#[test]
fn a_port_that_cools_is_never_lent_while_two_others_come_and_go() {
    explore(|| {
        let now = Instant::now();
        let ledger = ledger(2, now);
        // Tuples of the two ports that live or cool.
        let tuples = Arc::new(AtomicU32::new(1));
        let mut first = lease(&ledger, now).unwrap();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (ledger, tuples) = (Arc::clone(&ledger), Arc::clone(&tuples));
                thread::spawn(move || {
                    let grant = lease(&ledger, now)?;
                    assert!(tuples.fetch_add(1, Ordering::Relaxed) < 2);
                    Some(grant)
                })
            })
            .collect();
        first.lease.ended(Ended::ByUs, now);
        drop(first);
        let held: Vec<_> = others
            .into_iter()
            .filter_map(|other| other.join().unwrap())
            .collect();
        assert_eq!(held.len(), 1);
        assert_eq!(taken(&ledger, now), (1, 1, 0));
        drop(held);
        assert_eq!(taken(&ledger, now + 2 * SECOND), (0, 0, 0));
    });
}

#[test]
fn what_has_cooled_is_given_back_once_whoever_looks() {
    explore(|| {
        let now = Instant::now();
        let ledger = ledger(1, now);
        let mut first = lease(&ledger, now).unwrap();
        first.lease.ended(Ended::ByUs, now);
        drop(first);
        let later = now + 2 * SECOND;
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let ledger = Arc::clone(&ledger);
                thread::spawn(move || lease(&ledger, later))
            })
            .collect();
        let held: Vec<_> = threads
            .into_iter()
            .filter_map(|thread| thread.join().unwrap())
            .collect();
        assert_eq!(held.len(), 1);
        assert_eq!(taken(&ledger, later), (1, 0, 0));
    });
}

#[test]
fn a_reading_takes_nothing_from_those_who_lease_cool_and_release_meanwhile() {
    explore(|| {
        let now = Instant::now();
        let ledger = ledger(2, now);
        let mut first = lease(&ledger, now).unwrap();
        let worker = {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || {
                first.lease.ended(Ended::ByUs, now);
                drop(first);
                drop(lease(&ledger, now));
            })
        };
        let before = ledger.before_reading(now);
        // It began before the connection was closed, and so saw it and no TIME_WAIT.
        let mut seen = PairCounts::new(TimeWaitReuse::Loopback(SECOND));
        seen.add(local(), local(), Holding::Connection);
        ledger.correct(&before, &seen);
        ledger.check_invariants();
        worker.join().unwrap();
        let (live, cooling, foreign) = taken(&ledger, now);
        assert_eq!((live, foreign), (0, 0));
        // Where it was closed before the reading, a reading that saw no TIME_WAIT has the last word.
        assert!(cooling <= 1);
        assert_eq!(taken(&ledger, now + 2 * SECOND), (0, 0, 0));
    });
}

#[test]
fn a_reading_while_one_cools_and_one_leases_leaves_every_limit_kept() {
    explore(|| {
        let now = Instant::now();
        let ledger = ledger(2, now);
        let mut first = lease(&ledger, now).unwrap();
        let cools = thread::spawn(move || {
            first.lease.ended(Ended::ByUs, now);
            drop(first);
        });
        let leases = {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || lease(&ledger, now))
        };
        let before = ledger.before_reading(now);
        // Ours, and one of others: so the pair is full, or was when the reading began.
        let mut seen = PairCounts::new(TimeWaitReuse::Loopback(SECOND));
        seen.add(local(), local(), Holding::Connection);
        seen.add(local(), local(), Holding::Connection);
        ledger.correct(&before, &seen);
        ledger.check_invariants();
        cools.join().unwrap();
        let second = leases.join().unwrap();
        let (live, cooling, foreign) = taken(&ledger, now);
        assert_eq!(live, u32::from(second.is_some()));
        assert!(live + cooling + foreign <= 2);
        drop(second);
        assert_eq!(taken(&ledger, now + 2 * SECOND), (0, 0, foreign));
    });
}
