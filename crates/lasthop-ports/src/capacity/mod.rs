//! How many connections fit, as a sum that can be checked by hand.
//!
//! Counts what the tables allow, not what is free now: other processes use the same ports, and a closed connection may
//! hold its tuple for a minute. Kept as its three terms and not as one number, because an operator believes a figure
//! that shows its working.

mod advice;
mod target;

use crate::grouped::Grouped;
use crate::range::{PortRange, ReservedPorts};
use std::fmt;

pub use advice::{Advice, Change};
pub use target::{Bound, Limits, TargetCapacity, Term};

/// (ports of the range - reserved ports in it) x pairs of source and target address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    range: PortRange,
    /// Reserved ports inside `range`: 0 to `range.len()`.
    reserved: u32,
    pairs: u32,
}

impl Capacity {
    /// The capacity of `pairs` pairs that all draw from `range`, less what is `reserved` in it.
    #[must_use]
    pub fn new(range: PortRange, reserved: &ReservedPorts, pairs: u32) -> Self {
        Self {
            range,
            reserved: reserved.count_within(range),
            pairs,
        }
    }

    /// The range the ports come from.
    #[must_use]
    pub const fn range(self) -> PortRange {
        self.range
    }

    /// How many ports of the range are reserved.
    #[must_use]
    pub const fn reserved(self) -> u32 {
        self.reserved
    }

    /// How many pairs of source and target address there are.
    #[must_use]
    pub const fn pairs(self) -> u32 {
        self.pairs
    }

    /// Connections that one pair can hold at once: 0 to 65535.
    #[must_use]
    pub const fn per_pair(self) -> u32 {
        self.range.len() - self.reserved
    }

    /// Connections that all pairs together can hold at once.
    #[must_use]
    pub fn total(self) -> u64 {
        u64::from(self.per_pair()) * u64::from(self.pairs)
    }
}

impl fmt::Display for Capacity {
    /// The whole sum on one line, such as
    /// `28,232 ports (32768-60999) - 2 reserved = 28,230 per pair; x 3 pairs = 84,690 connections`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_per_pair(f)?;
        let (pairs, total) = (Pairs(self.pairs), Grouped(self.total()));
        write!(f, "; x {pairs} = {total} connections")
    }
}

impl Capacity {
    /// The first half: `28,232 ports (32768-60999) - 2 reserved = 28,230 per pair`.
    fn fmt_per_pair(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ports ({}) - {} reserved = {} per pair",
            Grouped(self.range.len().into()),
            self.range,
            Grouped(self.reserved.into()),
            Grouped(self.per_pair().into()),
        )
    }
}

/// `1 pair`, `8,192 pairs`.
struct Pairs(u32);

impl fmt::Display for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "pair" } else { "pairs" };
        write!(f, "{} {plural}", Grouped(self.0.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn capacity(range: &str, reserved: &str, pairs: u32) -> Capacity {
        Capacity::new(range.parse().unwrap(), &reserved.parse().unwrap(), pairs)
    }

    #[test]
    fn the_default_range_gives_28232_connections_to_one_pair() {
        assert_eq!(capacity("32768 60999", "", 1).total(), 28_232);
    }

    #[test]
    fn the_sum_is_printed_with_every_term() {
        assert_eq!(
            capacity("32768 60999", "8080,40000-40001", 3).to_string(),
            "28,232 ports (32768-60999) - 2 reserved = 28,230 per pair; x 3 pairs = 84,690 connections"
        );
        assert_eq!(
            capacity("40000 40009", "", 1).to_string(),
            "10 ports (40000-40009) - 0 reserved = 10 per pair; x 1 pair = 10 connections"
        );
    }

    #[test]
    fn a_range_that_is_reserved_whole_holds_nothing() {
        let capacity = capacity("40000 40009", "1-65535", 7);
        assert_eq!((capacity.per_pair(), capacity.total()), (0, 0));
    }

    #[test]
    fn the_largest_capacity_does_not_overflow() {
        assert_eq!(
            capacity("1 65535", "", u32::MAX).total(),
            65_535 * u64::from(u32::MAX)
        );
    }

    proptest! {
        #[test]
        fn the_terms_add_up(first in 1u16..=60000, width in 0u16..=5000, reserved in 1u16..=60000, more in 0u16..=5000, pairs in 0u32..) {
            let capacity = capacity(&format!("{first} {}", first + width), &format!("{reserved}-{}", reserved + more), pairs);
            prop_assert_eq!(capacity.per_pair() + capacity.reserved(), capacity.range().len());
            prop_assert_eq!(capacity.total(), u64::from(capacity.per_pair()) * u64::from(pairs));
        }
    }
}
