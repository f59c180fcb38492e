//! What becomes of a request that the kernel refuses, and of those after it.

use std::collections::HashSet;

use lasthop_ports::ledger::{Gate, Proof};
use lasthop_ports::{Condition, Ended, HostPorts, Refusal, Walk};

use crate::support::{Bench, SECOND, bound, host, kernel, millis, pair_of, spilling};

#[test]
fn a_refused_pair_is_left_alone_for_half_a_minute_while_there_are_others() {
    let bench = Bench::new(spilling("127.64.0.0/30"), host(10));
    let mut walk = Walk::default();
    let (pair, _) = bench.refuse(&mut walk, Refusal::NoPort);
    assert_eq!(pair, "127.0.0.1 -> 127.0.0.1");
    let second = bench.ledger.next(&mut walk, bench.now()).unwrap();
    assert_eq!(pair_of(&second.lease), "127.64.0.1 -> 127.0.0.1");
    bench.pass(millis(29_999));
    assert!(bench.lease().is_spilled());
    bench.pass(millis(1));
    assert!(!bench.lease().is_spilled());
}

#[test]
fn a_refused_pair_that_is_the_only_one_is_barred_for_a_second() {
    let bench = Bench::new(vec![kernel("127.0.0.1", Condition::None)], host(10));
    bench.refuse(&mut Walk::default(), Refusal::NoPort);
    bench.pass(millis(999));
    assert!(bench.next().is_err());
    bench.pass(millis(1));
    assert!(bench.next().is_ok());
}

#[test]
fn a_barred_pair_opens_when_a_port_of_it_comes_back() {
    for (how, opens) in [
        (Some(Ended::ByApp), true),
        (Some(Ended::Reset), true),
        (Some(Ended::ByUs), false),
        (None, false),
    ] {
        let bench = Bench::new(spilling("127.64.0.0/30"), host(10));
        let mut first = bench.lease();
        bench.refuse(&mut Walk::default(), Refusal::NoPort);
        if let Some(how) = how {
            first.ended(how, bench.now());
        }
        drop(first);
        assert_eq!(!bench.lease().is_spilled(), opens, "{how:?}");
    }
}

#[test]
fn a_refused_lease_opens_nothing_whatever_was_noted_of_it() {
    let bench = Bench::new(spilling("127.64.0.0/30"), host(10));
    let mut walk = Walk::default();
    let mut grant = bench.ledger.next(&mut walk, bench.now()).unwrap();
    grant.lease.ended(Ended::Reset, bench.now());
    bench
        .ledger
        .refused(&mut walk, grant, Refusal::NoPort, bench.now());
    assert!(bench.lease().is_spilled());
}

#[test]
fn the_third_pair_is_far_down_the_plan_and_its_refusal_makes_ports_explicit() {
    let bench = Bench::new(spilling("127.64.0.0/24"), host(10));
    let mut walk = Walk::default();
    let first = bench.refuse(&mut walk, Refusal::NoPort);
    let second = bench.refuse(&mut walk, Refusal::NoPort);
    let third = bench.refuse(&mut walk, Refusal::NoPort);
    assert_eq!(
        [first.0, second.0, third.0],
        [
            "127.0.0.1 -> 127.0.0.1",
            "127.64.0.1 -> 127.0.0.1",
            "127.64.0.128 -> 127.0.0.1"
        ]
    );
    let grant = bench.ledger.next(&mut walk, bench.now()).unwrap();
    assert_eq!(pair_of(&grant.lease), "127.64.0.1 -> 127.0.0.1");
    assert_eq!(grant.port, Some(40_001));
    // Everybody else does the same at once, and each gets another port.
    let mut ports: HashSet<_> = grant.port.into_iter().collect();
    let others: Vec<_> = (0..8).map(|_| bench.next().unwrap()).collect();
    assert!(others.iter().all(|other| ports.insert(other.port.unwrap())));

    bench.pass(SECOND);
    assert_eq!(bench.next().unwrap().port, None);
}

#[test]
fn explicit_ports_are_never_reserved_and_go_on_to_the_next_source() {
    let reserved = HostPorts {
        reserved: "40001-40002,40004-40099".parse().unwrap(),
        ..host(101)
    };
    let bench = Bench::new(spilling("127.64.0.0/29"), reserved);
    let mut walk = Walk::default();
    for _ in 0..3 {
        bench.refuse(&mut walk, Refusal::NoPort);
    }
    let grants: Vec<_> = (0..18).map(|_| bench.next().unwrap()).collect();
    let tuples: HashSet<_> = grants
        .iter()
        .map(|grant| (pair_of(&grant.lease), grant.port.unwrap()))
        .collect();
    assert_eq!(tuples.len(), 18);
    assert!(
        tuples
            .iter()
            .all(|(_, port)| [40_000, 40_003, 40_100].contains(port))
    );
    let full = bench.next().unwrap_err();
    assert!(full.is_disputed);
    assert_eq!(
        full.to_string(),
        "all 21 refused by the kernel (18 ours, 0 in TIME_WAIT, 0 of others; 7 pairs of 3)"
    );
}

#[test]
fn explicit_ports_pass_over_sources_that_are_full() {
    let bench = Bench::new(spilling("127.64.0.0/24"), host(2));
    // The first 40 sources are full of connections from before.
    let _held = bench.leases(2 + 80);
    let mut walk = Walk::default();
    for _ in 0..3 {
        bench.refuse(&mut walk, Refusal::NoPort);
    }
    let grant = bench.ledger.next(&mut walk, bench.now()).unwrap();
    assert_eq!(pair_of(&grant.lease), "127.64.0.41 -> 127.0.0.1");
    assert!(grant.port.is_some());
}

#[test]
fn a_request_tries_32_explicit_ports_and_then_queues() {
    let bench = Bench::new(spilling("127.64.0.0/24"), host(100));
    let mut walk = Walk::default();
    let mut tried = 0;
    while let Ok(grant) = bench.ledger.next(&mut walk, bench.now()) {
        bench
            .ledger
            .refused(&mut walk, grant, Refusal::NoPort, bench.now());
        tried += 1;
        assert!(tried <= 100);
    }
    assert_eq!(tried, 3 + 32);
    assert_eq!(bench.usage(), ["127.0.0.1 -> 127.0.0.1: 0+0+0"]);
}

#[test]
fn without_a_source_of_ours_no_port_is_named_and_others_are_not_held_up() {
    let stages = vec![kernel("127.64.0.0/24", Condition::None)];
    let bench = Bench::new(stages, host(10));
    let mut walk = Walk::default();
    let refused: Vec<_> = (0..3)
        .map(|_| bench.refuse(&mut walk, Refusal::NoPort).0)
        .collect();
    assert_eq!(refused[2], "127.0.0.1 -> 127.64.0.128");
    assert!(
        bench
            .ledger
            .next(&mut walk, bench.now())
            .unwrap_err()
            .is_disputed
    );
    // The next request is not bound by what this one has met.
    let grant = bench.next().unwrap();
    assert_eq!(pair_of(&grant.lease), "127.0.0.1 -> 127.64.0.3");
    bench.ledger.allowed(&grant);
}

#[test]
fn a_far_pair_that_is_well_used_settles_nothing() {
    let bench = Bench::new(spilling("127.64.0.0/30"), host(2));
    let _held = bench.leases(5);
    let mut walk = Walk::default();
    bench.refuse(&mut walk, Refusal::NoPort);
    assert!(bench.ledger.next(&mut walk, bench.now()).is_ok());
    let full = bench.ledger.next(&mut Walk::default(), bench.now());
    // An explicit port on the last pair: what is free there is known not to be the kernel's to give.
    assert!(full.unwrap().port.is_some());
    bench.pass(SECOND);
    assert_eq!(bench.next().unwrap().port, None);
}

#[test]
fn a_shut_gate_keeps_far_pairs_and_explicit_ports_away_as_well() {
    let stages = vec![
        kernel("127.0.0.1", Condition::None),
        bound("127.64.0.0/24", Condition::Wildcard),
    ];
    let bench = Bench::new(stages, host(10));
    bench.ledger.set_gate(Gate::Shut);
    let mut walk = Walk::default();
    bench.refuse(&mut walk, Refusal::NoPort);
    let full = bench.ledger.next(&mut walk, bench.now()).unwrap_err();
    assert!(full.is_disputed && full.pairs == 1);
}

#[test]
fn a_destination_where_nobody_listens_shuts_its_gate_and_the_walk_goes_on() {
    let stages = vec![
        kernel("127.0.0.1", Condition::None),
        kernel("127.64.0.0/24", Condition::Wildcard),
        bound("127.64.0.0/24", Condition::None),
    ];
    let bench = Bench::new(stages, host(1));
    bench.ledger.set_gate(Gate::Open);
    let _first = bench.lease();
    let mut walk = Walk::default();
    let (pair, _) = bench.refuse(&mut walk, Refusal::NobodyThere);
    assert_eq!(pair, "127.0.0.1 -> 127.64.0.1");
    let grant = bench.ledger.next(&mut walk, bench.now()).unwrap();
    assert_eq!(pair_of(&grant.lease), "127.64.0.1 -> 127.0.0.1");
    assert!(bench.lease().is_spilled());
}

#[test]
fn nobody_at_an_address_that_was_asked_for_by_name_ends_the_walk() {
    let bench = Bench::new(vec![kernel("127.0.0.1", Condition::None)], host(10));
    let mut walk = Walk::default();
    let mut steps = 0;
    while let Ok(grant) = bench.ledger.next(&mut walk, bench.now()) {
        bench
            .ledger
            .refused(&mut walk, grant, Refusal::NobodyThere, bench.now());
        steps += 1;
        assert!(steps <= 3);
    }
    assert!(bench.next().is_ok());
}

#[test]
fn unproven_pairs_are_no_last_resort_either() {
    let stages = vec![
        kernel("127.0.0.1", Condition::None),
        bound("127.64.0.0/24", Condition::Proof),
    ];
    let bench = Bench::new(stages, host(10));
    bench.ledger.set_proof(1, Proof::Works);
    let mut walk = Walk::default();
    let mut met = HashSet::new();
    while let Ok(grant) = bench.ledger.next(&mut walk, bench.now()) {
        met.insert(grant.lease.pair().source.unwrap().to_string());
        bench
            .ledger
            .refused(&mut walk, grant, Refusal::NoPort, bench.now());
    }
    assert_eq!(
        met,
        HashSet::from(["127.0.0.1", "127.64.0.1"].map(str::to_owned))
    );
}

#[test]
fn a_dispute_is_over_when_the_kernel_gives_a_port_of_its_own_choice() {
    let bench = Bench::new(vec![kernel("127.0.0.1", Condition::None)], host(1));
    let mut walk = Walk::default();
    bench.refuse(&mut walk, Refusal::NoPort);
    let full = bench.ledger.next(&mut walk, bench.now()).unwrap_err();
    assert!(full.is_disputed);
    assert_eq!(
        full.to_string(),
        "all 1 refused by the kernel (0 ours, 0 in TIME_WAIT, 0 of others)"
    );
    bench.pass(SECOND);
    let _lease = bench.lease();
    let full = bench.next().unwrap_err();
    assert!(!full.is_disputed);
    assert_eq!(
        full.to_string(),
        "all 1 in use (1 ours, 0 in TIME_WAIT, 0 of others)"
    );
}

#[test]
fn a_connection_on_the_next_pair_does_not_open_the_one_that_was_refused() {
    let bench = Bench::new(spilling("127.64.0.0/24"), host(100));
    let mut walk = Walk::default();
    bench.refuse(&mut walk, Refusal::NoPort);
    let grant = bench.ledger.next(&mut walk, bench.now()).unwrap();
    bench.ledger.allowed(&grant);
    assert!(
        bench.lease().is_spilled(),
        "the next request pays for the same refusal"
    );
}

#[test]
fn a_source_without_a_way_is_passed_over_however_many_there_are_and_counts_for_no_dispute() {
    let bench = Bench::new(vec![bound("127.64.0.0/28", Condition::None)], host(10));
    let mut walk = Walk::default();
    for last in 1..=13 {
        let (pair, port) = bench.refuse(&mut walk, Refusal::NoWay);
        assert_eq!(pair, format!("127.64.0.{last} -> 127.0.0.1"));
        assert_eq!(port, None);
    }
    assert!(!bench.ledger.is_disputed());
    let grant = bench.ledger.next(&mut walk, bench.now()).unwrap();
    assert_eq!(pair_of(&grant.lease), "127.64.0.14 -> 127.0.0.1");
    drop(grant);
    bench.pass(millis(30_000));
    assert_eq!(pair_of(&bench.lease()), "127.64.0.1 -> 127.0.0.1");
}

#[test]
fn a_proven_pair_that_does_not_answer_is_used_again_only_with_a_new_proof() {
    let stages = vec![
        kernel("127.0.0.1", Condition::None),
        bound("127.64.0.0/29", Condition::Proof),
    ];
    let bench = Bench::new(stages, host(1));
    let first = bench.lease();
    for number in [1, 2] {
        bench.ledger.set_proof(number, Proof::Works);
    }
    let grant = bench.next().unwrap();
    bench.ledger.unanswered(&grant);
    drop(grant);
    assert!(bench.next().is_err());
    assert_eq!(bench.ledger.to_be_proven(2), [1, 2]);
    bench.ledger.set_proof(1, Proof::Condemned);
    bench.ledger.set_proof(2, Proof::Works);
    let second = bench.lease();
    assert_eq!(pair_of(&second), "127.64.0.2 -> 127.0.0.1");
    bench.ledger.reprieve();
    assert_eq!(bench.ledger.to_be_proven(1), [1]);
    // The kernel's pair is the app's whole world: its silence is the app's.
    drop(first);
    let grant = bench.next().unwrap();
    bench.ledger.unanswered(&grant);
    drop(grant);
    assert!(!bench.lease().is_spilled());
}
