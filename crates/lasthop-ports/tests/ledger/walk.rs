//! In which order pairs are used, and when a port comes back.

use std::time::Duration;

use lasthop_ports::ledger::{Gate, Proof};
use lasthop_ports::{Condition, Ended, HostPorts, TimeWaitReuse};

use crate::support::{
    Bench, SECOND, block, bound, host, kernel, millis, pair_of, pairs_of, spilling,
};

#[test]
fn pairs_fill_to_their_marks_in_order_and_then_to_their_limits_in_order() {
    let four_of_which_two = HostPorts {
        flat_search: false,
        ..host(4)
    };
    let bench = Bench::new(spilling("127.64.0.0/30"), four_of_which_two);
    let leases = bench.leases(12);
    let pairs = ["127.0.0.1", "127.64.0.1", "127.64.0.2"];
    let order: Vec<String> = [pairs, pairs]
        .concat()
        .iter()
        .flat_map(|source| vec![format!("{source} -> 127.0.0.1"); 2])
        .collect();
    assert_eq!(pairs_of(&leases), order);
    let full = bench.next().unwrap_err();
    assert_eq!((full.pairs, full.usage.live, full.limit), (3, 12, 4));
}

#[test]
fn the_first_pair_is_used_again_as_soon_as_it_has_room() {
    let bench = Bench::new(spilling("127.64.0.0/30"), host(2));
    let mut leases = bench.leases(3);
    assert!(leases[2].is_spilled() && !leases[1].is_spilled());
    leases.remove(0);
    assert_eq!(pair_of(&bench.lease()), "127.0.0.1 -> 127.0.0.1");
    drop(leases);
    assert_eq!(bench.usage(), ["127.0.0.1 -> 127.0.0.1: 0+0+0"]);
}

#[test]
fn a_lease_says_when_a_reading_is_due_because_its_pair_gets_full() {
    let bench = Bench::new(spilling("127.64.0.0/30"), host(8));
    let _ = bench.ledger.before_reading(bench.now());
    let leases = bench.leases(9);
    let wants: Vec<bool> = leases.iter().map(|lease| lease.wants_a_look()).collect();
    // From three quarters of the mark on; of the next pair nothing is known to be taken.
    assert_eq!(
        wants,
        [false, false, false, false, false, false, true, true, false]
    );
}

#[test]
fn spread_connections_ask_for_a_reading_now_and_then() {
    let bench = Bench::new(spilling("127.64.0.0/30"), host(8));
    let _ = bench.ledger.before_reading(bench.now());
    let _first_pair = bench.leases(8);
    assert!(!bench.lease().wants_a_look());
    bench.pass(Duration::from_secs(10));
    assert!(bench.lease().wants_a_look());
    let _ = bench.ledger.before_reading(bench.now());
    assert!(!bench.lease().wants_a_look());
}

#[test]
fn a_port_that_the_app_closed_first_or_that_was_reset_comes_back_at_once() {
    for how in [Ended::ByApp, Ended::Reset] {
        let bench = Bench::new(vec![kernel("127.0.0.1", Condition::None)], host(1));
        bench.end(bench.lease(), how);
        assert_eq!(bench.usage(), ["127.0.0.1 -> 127.0.0.1: 0+0+0"], "{how:?}");
        bench.lease();
    }
}

#[test]
fn a_port_that_we_closed_first_cools_for_its_time_and_at_most_a_quarter_more() {
    for (reuse, at_least) in [
        (TimeWaitReuse::Loopback(SECOND), SECOND),
        (TimeWaitReuse::Loopback(millis(50)), millis(50)),
        (TimeWaitReuse::Never, 60 * SECOND),
    ] {
        for begun in [0, 1, 249, 250, 999, 12_345] {
            let bench = Bench::new(
                vec![kernel("127.0.0.1", Condition::None)],
                HostPorts { reuse, ..host(1) },
            );
            bench.pass(millis(begun));
            bench.end(bench.lease(), Ended::ByUs);
            assert_eq!(bench.usage(), ["127.0.0.1 -> 127.0.0.1: 0+1+0"]);
            bench.pass(at_least - millis(1));
            assert!(bench.next().is_err(), "{reuse:?} {begun}");
            // Steps are whole milliseconds, five of them.
            bench.pass(millis(1 + 5) + at_least / 4);
            assert!(bench.next().is_ok(), "{reuse:?} {begun}");
        }
    }
}

#[test]
fn cooling_goes_by_the_pair_where_only_loopback_is_reused() {
    let far = lasthop_ports::Stage {
        sources: lasthop_ports::Sources::Kernel(None),
        destinations: block("10.9.9.9"),
        condition: Condition::None,
    };
    let bench = Bench::new(vec![far, kernel("127.0.0.1", Condition::None)], host(1));
    for lease in bench.leases(2) {
        bench.end(lease, Ended::ByUs);
    }
    bench.pass(2 * SECOND);
    let lease = bench.lease();
    assert_eq!(pair_of(&lease), "127.0.0.1 -> 127.0.0.1");
    bench.pass(58 * SECOND + millis(15_000));
    assert_eq!(bench.lease().pair().source, None);
}

#[test]
fn a_cooling_time_that_grows_is_kept_by_what_already_cools() {
    let bench = Bench::new(vec![kernel("127.0.0.1", Condition::None)], host(1));
    bench.end(bench.lease(), Ended::ByUs);
    bench.pass(millis(900));
    bench.ledger.set_host(HostPorts {
        reuse: TimeWaitReuse::Never,
        ..host(1)
    });
    assert!(bench.next().is_err());
    bench.pass(60 * SECOND - millis(1));
    assert!(bench.next().is_err());
    bench.pass(15 * SECOND + millis(1));
    assert!(bench.next().is_ok());
}

#[test]
fn a_cooling_time_that_shrinks_shortens_what_already_cools() {
    let bench = Bench::new(
        vec![kernel("127.0.0.1", Condition::None)],
        HostPorts {
            reuse: TimeWaitReuse::Never,
            ..host(1)
        },
    );
    bench.end(bench.lease(), Ended::ByUs);
    bench.pass(SECOND);
    assert!(bench.next().is_err());
    bench.ledger.set_host(host(1));
    assert!(bench.next().is_err());
    bench.pass(millis(1250));
    assert!(bench.next().is_ok());
}

#[test]
fn a_clock_that_is_behind_lets_nothing_cool_faster() {
    let bench = Bench::new(vec![kernel("127.0.0.1", Condition::None)], host(2));
    let early = bench.now();
    let mut leases = bench.leases(2);
    bench.pass(10 * SECOND);
    bench.end(leases.remove(0), Ended::ByUs);
    leases.remove(0).ended(Ended::ByUs, early);
    assert_eq!(bench.usage(), ["127.0.0.1 -> 127.0.0.1: 0+2+0"]);
    bench.pass(millis(999));
    assert!(bench.next().is_err());
}

#[test]
fn an_end_that_is_noted_twice_counts_once_and_a_time_wait_stays() {
    let bench = Bench::new(vec![kernel("127.0.0.1", Condition::None)], host(4));
    let mut lease = bench.lease();
    lease.ended(Ended::ByApp, bench.now());
    lease.ended(Ended::ByUs, bench.now());
    lease.ended(Ended::ByUs, bench.now());
    lease.ended(Ended::Reset, bench.now());
    drop(lease);
    assert_eq!(bench.usage(), ["127.0.0.1 -> 127.0.0.1: 0+1+0"]);
}

#[test]
fn a_time_wait_of_ours_hurts_where_it_is_long_or_the_pair_half_full() {
    let bench = Bench::new(vec![kernel("127.0.0.1", Condition::None)], host(8));
    let leases = bench.leases(4);
    assert!(!leases[0].should_let_app_close());
    let fifth = bench.lease();
    assert!(leases[0].should_let_app_close());
    drop(fifth);
    assert!(!leases[0].should_let_app_close());
    bench.ledger.set_host(HostPorts {
        reuse: TimeWaitReuse::Never,
        ..host(8)
    });
    assert!(leases[0].should_let_app_close());
}

#[test]
fn a_gate_holds_up_what_is_behind_it_for_100_ms_and_no_longer() {
    let stages = vec![
        kernel("127.0.0.1", Condition::None),
        kernel("127.64.0.0/30", Condition::Wildcard),
        bound("127.64.0.0/30", Condition::None),
    ];
    let bench = Bench::new(stages, host(1));
    bench.pass(SECOND);
    let _first = bench.lease();
    let full = bench.next().unwrap_err();
    assert!(full.awaits);
    assert_eq!((full.pairs, full.usage.live), (3, 1));
    bench.pass(millis(99));
    assert!(bench.next().is_err());
    bench.pass(millis(1));
    assert_eq!(
        pair_of(&bench.next().unwrap().lease),
        "127.64.0.1 -> 127.0.0.1"
    );

    bench.ledger.set_gate(Gate::Open);
    let leases = bench.leases(2);
    assert_eq!(
        pairs_of(&leases),
        ["127.0.0.1 -> 127.64.0.1", "127.0.0.1 -> 127.64.0.2"]
    );
    drop(leases);
    bench.ledger.set_gate(Gate::Shut);
    assert_eq!(pair_of(&bench.lease()), "127.64.0.1 -> 127.0.0.1");

    // The word that is lost again is waited for anew.
    bench.ledger.set_gate(Gate::Unknown);
    assert!(bench.next().unwrap_err().awaits);
}

#[test]
fn a_pair_below_its_limit_is_used_while_the_word_on_the_gate_is_awaited() {
    let stages = vec![
        kernel("127.0.0.1", Condition::None),
        kernel("127.64.0.0/30", Condition::Wildcard),
    ];
    let two_of_which_one = HostPorts {
        flat_search: false,
        ..host(2)
    };
    let bench = Bench::new(stages, two_of_which_one);
    let leases = bench.leases(2);
    assert!(leases.iter().all(|lease| !lease.is_spilled()));
}

#[test]
fn only_proven_pairs_are_used_where_proofs_are_asked_for() {
    let stages = vec![
        kernel("127.0.0.1", Condition::None),
        bound("127.64.0.0/29", Condition::Proof),
    ];
    let bench = Bench::new(stages, host(1));
    let _first = bench.lease();
    let full = bench.next().unwrap_err();
    assert!(full.awaits);
    assert_eq!(
        full.to_string(),
        "all 1 in use (1 ours, 0 in TIME_WAIT, 0 of others), more pairs are being tried"
    );
    assert_eq!(bench.ledger.to_be_proven(2), [1, 2]);
    bench.ledger.set_proof(1, Proof::Condemned);
    bench.ledger.set_proof(2, Proof::Works);
    assert_eq!(bench.ledger.to_be_proven(2), [3, 4]);
    let second = bench.lease();
    assert_eq!(pair_of(&second), "127.64.0.2 -> 127.0.0.1");
    let full = bench.next().unwrap_err();
    assert_eq!(
        full.to_string(),
        "all 2 in use (2 ours, 0 in TIME_WAIT, 0 of others; 2 pairs of 1), more pairs are being tried"
    );
    for number in 3..=6 {
        bench.ledger.set_proof(number, Proof::Condemned);
    }
    assert!(!bench.next().unwrap_err().awaits);
    bench.ledger.set_proof(99, Proof::Works);
}

#[test]
fn a_range_that_is_reserved_whole_grants_nothing_and_says_so() {
    let none = HostPorts {
        reserved: "1-65535".parse().unwrap(),
        ..host(10)
    };
    let bench = Bench::new(spilling("127.64.0.0/16"), none);
    let full = bench.next().unwrap_err();
    assert_eq!(
        full.to_string(),
        "the range has no port that is not reserved"
    );
}

#[test]
fn a_plan_whose_only_pairs_may_not_be_used_says_so() {
    let bench = Bench::new(vec![bound("127.64.0.0/30", Condition::Proof)], host(10));
    let full = bench.next().unwrap_err();
    assert_eq!(full.to_string(), "no pair of addresses is known to work");
    assert!(full.awaits);
}

#[test]
fn a_limit_that_shrinks_takes_nothing_away_and_lends_nothing_more() {
    let bench = Bench::new(vec![kernel("127.0.0.1", Condition::None)], host(4));
    let mut leases = bench.leases(3);
    bench.ledger.set_host(host(2));
    assert!(bench.next().is_err());
    leases.truncate(1);
    assert!(bench.next().is_ok());
    assert_eq!(bench.ledger.limit(), 2);
}
