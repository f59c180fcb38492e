//! Failed requests, counted by kind: the short names by which the operator log tells failures apart.

use super::Counter;

/// Every kind, ascending. Which fault has which is in `http/fault`; a test there holds the two together.
pub const FAILURE_KINDS: [&str; 25] = [
    "backlog",
    "bad_answer",
    "body_timeout",
    "body_too_large",
    "client_gone",
    "connect_method",
    "cut_answer",
    "cut_body",
    "descriptors",
    "head_too_large",
    "malformed_request",
    "max_connections",
    "missing",
    "no_route",
    "not_implemented",
    "other",
    "permission",
    "refused",
    "response_timeout",
    "slow_body",
    "slow_head",
    "source_ports",
    "target_too_long",
    "timeout",
    "version",
];

/// How many requests failed in each way. One thread writes it, any may read it.
#[derive(Debug, Default)]
pub struct Failures([Counter; FAILURE_KINDS.len()]);

impl Failures {
    /// Counts one of [`FAILURE_KINDS`].
    pub fn count(&self, kind: &str) {
        let place = FAILURE_KINDS.binary_search(&kind);
        debug_assert!(place.is_ok(), "a kind that nobody counts: {kind}");
        if let Ok(place) = place {
            self.0[place].add(1);
        }
    }

    /// How many there were of each kind, in the order of [`FAILURE_KINDS`].
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(Counter::value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_counted_under_its_kind() {
        assert!(FAILURE_KINDS.is_sorted());
        let failures = Failures::default();
        for kind in FAILURE_KINDS {
            failures.count(kind);
        }
        failures.count("backlog");
        let counts: Vec<u64> = failures.counts().collect();
        assert_eq!(counts[0], 2);
        assert!(counts[1..].iter().all(|count| *count == 1));
    }
}
