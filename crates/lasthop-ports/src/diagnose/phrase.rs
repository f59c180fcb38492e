//! How rules say things: counts, parts, processes.

use crate::grouped::Grouped;
use crate::snapshot::{Owner, Usage};

/// Names that a line of evidence gives before it says how many more there are.
const NAMES_MAX: usize = 6;

/// A count with a comma every three digits.
pub(crate) fn count(number: impl Into<u64>) -> String {
    Grouped(number.into()).to_string()
}

/// A count and its noun: `1 connection`, `1,200 connections`.
pub(crate) fn counted(number: impl Into<u64>, noun: &str) -> String {
    let number = number.into();
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", Grouped(number))
}

/// The part in use in whole percent, rounded down so that 100 means all of it.
pub(crate) fn percent(usage: Usage) -> u64 {
    if usage.limit == 0 {
        return if usage.used == 0 { 0 } else { 100 };
    }
    let part = u128::from(usage.used) * 100 / u128::from(usage.limit);
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// A process: `nginx (pid 4711)`.
pub(crate) fn named(owner: &Owner) -> String {
    format!("{} (pid {})", owner.name, owner.pid)
}

/// Some names, and how many more: `a, b and 3 more`.
pub(crate) fn list(names: &[String]) -> String {
    let shown = names
        .get(..NAMES_MAX.min(names.len()))
        .unwrap_or_default()
        .join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A length of time in seconds, for a window of observation: `1.0 s`.
pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_percent_is_all_of_it_and_not_nearly() {
        for (used, limit, whole) in [
            (0, 0, 0),
            (3, 0, 100),
            (999, 1_000, 99),
            (1_000, 1_000, 100),
            (u64::MAX, u64::MAX, 100),
        ] {
            assert_eq!(percent(Usage { used, limit }), whole, "{used} of {limit}");
        }
    }

    #[test]
    fn long_lists_say_how_many_more_there_are() {
        let names: Vec<String> = (1..=8).map(|n| n.to_string()).collect();
        assert_eq!(list(&names), "1, 2, 3, 4, 5, 6 and 2 more");
        assert_eq!(list(&names[..2]), "1, 2");
    }
}
