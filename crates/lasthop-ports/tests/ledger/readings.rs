//! What a reading of the kernel's table puts right.

use std::time::Duration;

use lasthop_ports::counts::COUNTED_PAIRS_MAX;
use lasthop_ports::{
    Condition, Ended, Holding, HostPorts, PairCounts, Refusal, TimeWaitReuse, Walk,
};

use crate::support::{Bench, SECOND, block, host, ip, kernel, millis, pair_of, spilling};

/// A TIME_WAIT of so long.
fn cooled_for(time: Duration) -> Holding {
    Holding::TimeWait(60 * SECOND - time)
}

/// A reading that saw these, from one source each, towards 127.0.0.1.
fn reading(seen: &[(&str, u32, Holding)]) -> PairCounts {
    let mut reading = PairCounts::new(TimeWaitReuse::Loopback(SECOND));
    for (source, count, holding) in seen {
        for _ in 0..*count {
            reading.add(ip(source), ip("127.0.0.1"), *holding);
        }
    }
    reading
}

#[test]
fn what_others_hold_is_seen_and_left_to_them() {
    let bench = Bench::new(spilling("127.64.0.0/30"), host(10));
    let _ours = bench.leases(2);
    let before = bench.ledger.before_reading(bench.now());
    bench.ledger.correct(
        &before,
        &reading(&[
            ("127.0.0.1", 9, Holding::Connection),
            ("127.64.0.1", 10, Holding::Connection),
            ("127.9.9.9", 10, Holding::Connection),
        ]),
    );
    assert_eq!(
        bench.usage(),
        [
            "127.0.0.1 -> 127.0.0.1: 2+0+7",
            "127.64.0.1 -> 127.0.0.1: 0+0+10"
        ]
    );
    let next: Vec<_> = (0..2)
        .map(|_| pair_of(&bench.next().unwrap().lease))
        .collect();
    assert_eq!(next, vec!["127.0.0.1 -> 127.0.0.1"; 2]);
    let _tenth = bench.lease();
    assert_eq!(pair_of(&bench.lease()), "127.64.0.2 -> 127.0.0.1");

    // They go, and the next reading says so.
    bench
        .ledger
        .correct(&bench.ledger.before_reading(bench.now()), &reading(&[]));
    assert_eq!(bench.usage(), ["127.0.0.1 -> 127.0.0.1: 3+0+0"]);
}

#[test]
fn what_we_open_or_close_during_a_reading_is_not_theirs() {
    for (held_before, change, seen, foreign) in [
        // Opened meanwhile, and not seen yet.
        (2_usize, 3_i32, 4, 0),
        // Opened meanwhile, and seen.
        (2, 3, 7, 2),
        // Closed meanwhile, and still seen.
        (5, -3, 7, 2),
        // Closed meanwhile, and no longer seen.
        (5, -3, 4, 0),
    ] {
        let bench = Bench::new(vec![kernel("127.0.0.1", Condition::None)], host(20));
        let mut leases = bench.leases(held_before);
        let before = bench.ledger.before_reading(bench.now());
        if let Ok(more) = usize::try_from(change) {
            leases.extend(bench.leases(more));
        } else {
            leases.truncate(held_before - 3);
        }
        bench.ledger.correct(
            &before,
            &reading(&[("127.0.0.1", seen, Holding::Connection)]),
        );
        let live = leases.len();
        assert_eq!(
            bench.usage(),
            [format!("127.0.0.1 -> 127.0.0.1: {live}+0+{foreign}")]
        );
    }
}

#[test]
fn what_is_not_in_time_wait_does_not_cool() {
    let bench = Bench::new(
        vec![kernel("127.0.0.1", Condition::None)],
        HostPorts {
            reuse: TimeWaitReuse::Never,
            ..host(10)
        },
    );
    for lease in bench.leases(6) {
        bench.end(lease, Ended::ByUs);
        bench.pass(10 * SECOND);
    }
    assert_eq!(bench.usage(), ["127.0.0.1 -> 127.0.0.1: 0+6+0"]);
    // The kernel has dropped four of them (net.ipv4.tcp_max_tw_buckets).
    let before = bench.ledger.before_reading(bench.now());
    let mut seen = PairCounts::new(TimeWaitReuse::Never);
    for age in [10, 20] {
        seen.add(
            ip("127.0.0.1"),
            ip("127.0.0.1"),
            cooled_for(Duration::from_secs(age)),
        );
    }
    bench.ledger.correct(&before, &seen);
    assert_eq!(bench.usage(), ["127.0.0.1 -> 127.0.0.1: 0+2+0"]);
    // The newest two are left.
    bench.pass(39 * SECOND);
    assert_eq!(bench.usage(), ["127.0.0.1 -> 127.0.0.1: 0+2+0"]);
    bench.pass(26 * SECOND);
    assert_eq!(bench.usage(), ["127.0.0.1 -> 127.0.0.1: 0+0+0"]);
}

#[test]
fn what_we_close_during_a_reading_goes_on_cooling() {
    let bench = Bench::new(vec![kernel("127.0.0.1", Condition::None)], host(10));
    let mut leases = bench.leases(4);
    bench.end(leases.remove(0), Ended::ByUs);
    let before = bench.ledger.before_reading(bench.now());
    for lease in leases {
        bench.end(lease, Ended::ByUs);
    }
    // It saw four connections, and that the kernel had dropped the TIME_WAIT.
    bench
        .ledger
        .correct(&before, &reading(&[("127.0.0.1", 3, Holding::Connection)]));
    assert_eq!(bench.usage(), ["127.0.0.1 -> 127.0.0.1: 0+3+0"]);
    bench.pass(millis(1250));
    assert_eq!(bench.usage(), ["127.0.0.1 -> 127.0.0.1: 0+0+0"]);
}

#[test]
fn what_others_left_in_time_wait_holds_a_port_until_it_can_be_reused() {
    let bench = Bench::new(vec![kernel("127.0.0.1", Condition::None)], host(3));
    let before = bench.ledger.before_reading(bench.now());
    bench.ledger.correct(
        &before,
        &reading(&[
            ("127.0.0.1", 2, cooled_for(millis(300))),
            ("127.0.0.1", 5, cooled_for(2 * SECOND)),
        ]),
    );
    assert_eq!(bench.usage(), ["127.0.0.1 -> 127.0.0.1: 0+0+2"]);
}

#[test]
fn a_reading_that_shows_room_opens_a_refused_pair() {
    let bench = Bench::new(spilling("127.64.0.0/30"), host(10));
    let mut walk = Walk::default();
    bench.refuse(&mut walk, Refusal::NoPort);
    let grant = bench.ledger.next(&mut walk, bench.now()).unwrap();
    bench.ledger.allowed(&grant);
    for (others, spills) in [(10, true), (9, false)] {
        bench.ledger.correct(
            &bench.ledger.before_reading(bench.now()),
            &reading(&[
                ("127.0.0.1", others, Holding::Connection),
                ("127.64.0.1", 1, Holding::Connection),
            ]),
        );
        assert_eq!(bench.next().unwrap().lease.is_spilled(), spills, "{others}");
    }
}

#[test]
fn a_reading_that_explains_nothing_leaves_a_disputed_pair_barred() {
    let bench = Bench::new(vec![kernel("127.0.0.1", Condition::None)], host(10));
    bench.refuse(&mut Walk::default(), Refusal::NoPort);
    bench
        .ledger
        .correct(&bench.ledger.before_reading(bench.now()), &reading(&[]));
    assert!(bench.next().unwrap_err().is_disputed);
}

#[test]
fn a_reading_that_explains_a_refusal_ends_the_dispute() {
    let bench = Bench::new(vec![kernel("127.0.0.1", Condition::None)], host(10));
    let _ours = bench.lease();
    bench.refuse(&mut Walk::default(), Refusal::NoPort);
    assert!(bench.next().unwrap_err().is_disputed);
    let full = |others| {
        bench.ledger.correct(
            &bench.ledger.before_reading(bench.now()),
            &reading(&[("127.0.0.1", others, Holding::Connection)]),
        );
        bench.next()
    };
    let told = full(10).unwrap_err();
    assert!(!told.is_disputed);
    assert_eq!(
        told.to_string(),
        "all 10 in use (1 ours, 0 in TIME_WAIT, 9 of others)"
    );
    // And the pair opens as soon as one of theirs goes.
    assert!(full(9).is_ok());
}

#[test]
fn nothing_is_put_down_to_a_pair_whose_source_is_not_known() {
    let far = lasthop_ports::Stage {
        sources: lasthop_ports::Sources::Kernel(None),
        destinations: block("10.9.9.9"),
        condition: Condition::None,
    };
    let bench = Bench::new(vec![far], host(10));
    let mut seen = PairCounts::new(TimeWaitReuse::Never);
    for _ in 0..10 {
        seen.add(ip("10.9.9.1"), ip("10.9.9.9"), Holding::Connection);
    }
    bench
        .ledger
        .correct(&bench.ledger.before_reading(bench.now()), &seen);
    assert!(bench.next().is_ok());
}

#[test]
fn a_reading_of_more_pairs_than_the_plan_has_makes_no_more_accounts() {
    let bench = Bench::new(spilling("127.64.0.0/16"), host(10));
    let mut seen = PairCounts::new(TimeWaitReuse::Never);
    for n in 0..u32::try_from(COUNTED_PAIRS_MAX).unwrap() {
        let source = std::net::Ipv4Addr::from_bits(0x7f40_0001 + n);
        seen.add(source.into(), ip("127.0.0.1"), Holding::Connection);
    }
    bench
        .ledger
        .correct(&bench.ledger.before_reading(bench.now()), &seen);
    // All sources of the plan, and the first pair.
    assert_eq!(bench.usage().len(), 8192 + 1);
}

#[test]
fn a_reading_is_due_again_when_ours_have_grown_by_a_sixteenth_of_a_pair() {
    let bench = Bench::new(spilling("127.64.0.0/30"), host(160));
    let first = bench.lease();
    assert!(first.wants_a_look(), "nothing is known of the pair yet");
    bench
        .ledger
        .correct(&bench.ledger.before_reading(bench.now()), &reading(&[]));
    let more = bench.leases(10);
    assert!(more.iter().all(|lease| !lease.wants_a_look()));
    assert!(bench.lease().wants_a_look());
    // Where we do not grow, nothing is due however many come and go.
    drop(more);
    bench
        .ledger
        .correct(&bench.ledger.before_reading(bench.now()), &reading(&[]));
    assert!((0..100).all(|_| !bench.lease().wants_a_look()));
}
