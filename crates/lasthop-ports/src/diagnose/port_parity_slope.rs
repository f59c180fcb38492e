//! port-parity-slope: over half of a pair is in use, and one half of its ports, the even or the odd ones, is full.
//!
//! A kernel that is not told otherwise looks through all ports of one parity before it looks at the other
//! (`__inet_hash_connect` in net/ipv4/inet_hashtables.c). Over half, each connect(2) walks through the full half first.
//! A program that sets `IP_LOCAL_PORT_RANGE` on Linux 6.8 or later is spared, and its ports show no such pattern.

use super::phrase::count;
use super::view::{View, is_part, part, views};
use crate::finding::{Code, Finding, Severity};
use crate::range::PortRange;
use crate::remedy;
use crate::snapshot::Snapshot;

/// One parity is full from this part of its ports on, in percent: what is left comes and goes.
const FULL_PERCENT: u32 = 95;

/// By so much less, in percent of its ports, the other parity is clearly emptier. When both are nearly full every
/// search is long, whatever its order, and ports-tight or ports-exhausted speaks.
const LESS_PERCENT: u64 = 10;

/// Fewer ports are looked through in less time than a connection takes anyway.
const LIMIT_MIN: u32 = 1_000;

pub(super) fn rule(snapshot: &Snapshot) -> Vec<Finding> {
    views(snapshot).filter_map(slope).collect()
}

/// The ports of one parity.
struct Half {
    name: &'static str,
    used: u32,
    all: u32,
}

impl Half {
    fn percent(&self) -> u64 {
        part(self.used, self.all)
    }
}

fn slope(view: View<'_>) -> Option<Finding> {
    if view.limit < LIMIT_MIN || u64::from(view.used) * 2 <= u64::from(view.limit) {
        return None;
    }
    let even_ports = even_ports(view);
    let even = Half {
        name: "even",
        used: view.group.even_ports,
        all: even_ports,
    };
    let odd = Half {
        name: "odd",
        used: view.group.odd_ports,
        all: view.limit - even_ports,
    };
    let (full, other) = if even.percent() >= odd.percent() {
        (even, odd)
    } else {
        (odd, even)
    };
    let is_slope = is_part(full.used, full.all, FULL_PERCENT)
        && other.percent() + LESS_PERCENT <= full.percent();
    if !is_slope {
        return None;
    }
    let headline = format!(
        "{} in use, {} % of the {} ones and {} % of the {} ones: connect(2) is slow",
        view.of_ports(),
        full.percent(),
        full.name,
        other.percent(),
        other.name
    );
    let mut finding = view.finding(Code::PortParitySlope, Severity::Warning, headline);
    finding.evidence.splice(
        0..0,
        [
            format!(
                "{} of {} {} ports and {} of {} {} ports are in use: the kernel looks through all of one kind first",
                count(full.used),
                count(full.all),
                full.name,
                count(other.used),
                count(other.all),
                other.name
            ),
            "beyond half, a connect takes 600 to 2,000 µs of a core instead of 24".to_owned(),
        ],
    );
    finding.remedies = remedy::more_pairs(&view.plight());
    finding.remedies.push(remedy::flat_search(view.ports));
    Some(finding)
}

/// How many ports of the pair are even: those of the range, less the reserved ones.
fn even_ports(view: View<'_>) -> u32 {
    let range = view.ports.range;
    let reserved = view.ports.reserved.ranges().iter();
    let taken: u32 = reserved
        .filter_map(|reserved| reserved.intersection(range))
        .map(evens)
        .sum();
    evens(range).saturating_sub(taken).min(view.limit)
}

fn evens(range: PortRange) -> u32 {
    u32::from(range.last()) / 2 + 1 - u32::from(range.first()).div_ceil(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_ports_are_counted_as_one_by_one() {
        for first in [1, 2, 7, 8, 32_768] {
            for more in [0, 1, 2, 9, 10] {
                let range = PortRange::new(first, first + more).unwrap();
                let counted = (first..=first + more).filter(|port| port % 2 == 0).count();
                assert_eq!(evens(range) as usize, counted, "{range}");
            }
        }
    }
}
