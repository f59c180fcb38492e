//! Lengths: a Rust file has at most [`LINES_MAX`] lines before its tests, or says in its header why it has more.
//!
//! Test files do not count: a table of cases is easier to read whole. Functions are clippy's (`too_many_lines`).

use super::source::{lines_before_tests, masked};
use super::tree::{Finding, Tree};
use super::words::is_test;

/// Longer files were measured to be the ones that nobody reads whole.
const LINES_MAX: usize = 400;
/// In the header, followed by the reason.
const EXCUSE: &str = "tidy: long because ";

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, text) in tree.of_kind("rs").filter(|(path, _)| !is_test(path)) {
        let lines = lines_before_tests(&masked(text));
        if lines > LINES_MAX && !has_excuse(text) {
            let message = format!(
                "{lines} lines before the tests, at most {LINES_MAX}: split it by what changes together, \
                 or say `{EXCUSE}…` in its header"
            );
            findings.push(Finding::new(path, LINES_MAX + 1, message));
        }
    }
}

fn has_excuse(text: &str) -> bool {
    let header = text.lines().take_while(|line| line.starts_with("//!"));
    header
        .filter_map(|line| line.split_once(EXCUSE))
        .any(|(_, reason)| !reason.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::{LINES_MAX, check};
    use crate::tidy::tree::Tree;

    fn is_found(path: &str, header: &str, lines: usize, rest: &str) -> bool {
        let text = format!("{header}\n{}{rest}", "a\n".repeat(lines));
        let mut findings = Vec::new();
        check(&Tree::of(&[(path, text.as_str())]), &mut findings);
        !findings.is_empty()
    }

    #[test]
    fn the_bound_counts_the_lines_before_the_tests() {
        assert!(!is_found("a.rs", "//! A.", LINES_MAX - 1, ""));
        assert!(is_found("a.rs", "//! A.", LINES_MAX, ""));
        assert!(!is_found(
            "a.rs",
            "//! A.",
            LINES_MAX - 1,
            "#[cfg(test)]\nmod tests {\n}\n"
        ));
        assert!(!is_found(
            "crates/lasthop/tests/a.rs",
            "//! A.",
            LINES_MAX,
            ""
        ));
    }

    #[test]
    fn a_file_may_be_long_for_a_reason_given_in_its_header_only() {
        assert!(!is_found(
            "a.rs",
            "//! tidy: long because it is one table.",
            LINES_MAX,
            ""
        ));
        assert!(is_found("a.rs", "//! tidy: long because ", LINES_MAX, ""));
        assert!(is_found(
            "a.rs",
            "//! A.\n\n// tidy: long because it is one table.",
            LINES_MAX,
            ""
        ));
    }
}
