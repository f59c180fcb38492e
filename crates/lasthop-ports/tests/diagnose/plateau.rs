//! ports-plateau: how long the flat top has lasted.

use lasthop_ports::snapshot::{Group, Program, Snapshot};
use lasthop_ports::{Code, Severity};

use crate::support::{codes, default_host, found, group, host, owner, readings, text, the};

fn with(mut snapshot: Snapshot, counts: Vec<u32>) -> Snapshot {
    let used = *counts.last().unwrap();
    snapshot.groups.push(Group {
        recent: readings(counts),
        owners: vec![owner(812, "nginx", Program::Nginx)],
        ..group(used)
    });
    snapshot
}

/// A rise, then so many readings at `top`.
fn topped(rise: u32, top: u32, readings: usize) -> Vec<u32> {
    let mut counts: Vec<u32> = (0..rise).map(|n| top - (rise - n) * 500).collect();
    counts.extend(std::iter::repeat_n(top, readings));
    counts
}

#[test]
fn the_flat_top_is_told_with_its_time_and_who_is_refused() {
    let snapshot = with(default_host(), topped(20, 28_232, 95));
    assert_eq!(codes(&snapshot), ["ports-exhausted", "ports-plateau"]);
    let finding = the(&snapshot, Code::PortsPlateau);
    assert_eq!(
        finding.headline,
        "127.0.0.1 -> 127.0.0.1:3000: flat at 28,232 of 28,232 ports for 94 seconds"
    );
    assert_eq!(finding.severity, Severity::Critical);
    assert_eq!(
        finding.evidence,
        [
            "95 readings between 28,232 and 28,232: what ends is taken at once, so there are more who want one",
            "refused meanwhile: nginx (pid 812) from 127.0.0.1 to 127.0.0.1:3000, with EADDRNOTAVAIL (99)",
            "not refused: connections from other addresses, and to other addresses or ports than 127.0.0.1:3000",
        ]
    );
    assert_eq!(finding.remedies.len(), 1);
    assert!(
        text(&finding.remedies[0])
            .contains("# ss -Htan 'src 127.0.0.1 and dst 127.0.0.1:3000' | awk")
    );
    let all_flat = with(default_host(), topped(0, 28_230, 120));
    assert_eq!(
        the(&all_flat, Code::PortsPlateau).headline,
        "127.0.0.1 -> 127.0.0.1:3000: flat at 28,230 of 28,232 ports for at least 119 seconds"
    );
}

#[test]
fn it_is_flat_for_a_while_and_at_the_top_or_not_at_all() {
    let wavering = |by: u32| (0..40).map(|n| 28_232 - n % 2 * by).collect::<Vec<_>>();
    for (name, counts, is_told) in [
        ("eleven readings", topped(5, 28_232, 11), true),
        ("ten readings, nine seconds", topped(5, 28_232, 10), false),
        ("a waver of a hundredth", wavering(282), true),
        ("a waver of more", wavering(600), false),
        ("flat below the top", topped(5, 27_900, 60), false),
        ("flat at 99 percent", topped(5, 27_950, 60), true),
        (
            "it was, and is over",
            {
                let mut counts = topped(5, 28_232, 60);
                counts.extend([20_000; 3]);
                counts
            },
            false,
        ),
        ("level and low", vec![300; 60], false),
    ] {
        let snapshot = with(default_host(), counts);
        let is_found = !found(&snapshot, Code::PortsPlateau).is_empty();
        assert_eq!(is_found, is_told, "{name}");
    }
}

#[test]
fn a_small_range_has_a_flat_top_as_well_and_few_readings_have_none() {
    let snapshot = with(host("40000 40009"), vec![10; 12]);
    assert_eq!(
        the(&snapshot, Code::PortsPlateau).headline,
        "127.0.0.1 -> 127.0.0.1:3000: flat at 10 of 10 ports for at least 11 seconds"
    );
    let mut seldom = with(host("40000 40009"), vec![10; 7]);
    for (index, sample) in seldom.groups[0].recent.iter_mut().enumerate() {
        sample.at_ms += index as u64 * 10_000;
    }
    assert!(found(&seldom, Code::PortsPlateau).is_empty());
}

#[test]
fn a_clock_that_was_set_back_makes_no_plateau_of_a_moment() {
    let mut snapshot = with(default_host(), topped(0, 28_232, 40));
    for sample in &mut snapshot.groups[0].recent[35..] {
        sample.at_ms -= 86_400_000;
    }
    assert!(found(&snapshot, Code::PortsPlateau).is_empty());
}
