//! Words that do not pass: unfinished work, tests that are switched off, sleeps in tests, `unsafe` outside its crate.
//!
//! Clippy refuses some of these too, but only in code that is compiled on the machine at hand, and an `allow` silences it.

use super::source::{lines_before_tests, masked, tokens};
use super::tree::{Finding, Tree};

/// The crate whose whole purpose is to say `unsafe` with a reason, so that nobody else does.
const UNSAFE_ALLOWED: &str = "crates/lasthop-kernel/";
/// On a line, or on the one above, followed by the reason why this sleep synchronises nothing.
const EXCUSE: &str = "tidy: ";
/// Marks of unfinished work, split so that this file does not hold them.
const MARKS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// Whether a path is that of a test: in a directory `tests`, or a file of that name.
pub(crate) fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, text) in tree.files() {
        if path.ends_with(".md") {
            continue;
        }
        check_marks(path, text, findings);
        if path.ends_with(".rs") {
            let masked = masked(text);
            check_code(path, &masked, findings);
            check_sleeps(path, text, &masked, findings);
        }
    }
}

fn check_marks(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        if let Some(mark) = words.find(|word| MARKS.contains(word)) {
            findings.push(Finding::new(
                path,
                index + 1,
                format!("`{mark}`: finish it, or file an issue and leave it out"),
            ));
        }
    }
}

fn check_code(path: &str, masked: &str, findings: &mut Vec<Finding>) {
    let tokens = tokens(masked);
    for (index, token) in tokens.iter().enumerate() {
        let next = |ahead: usize| tokens.get(index + ahead).map_or("", |token| token.text);
        let message = match token.text {
            "unsafe" if !path.starts_with(UNSAFE_ALLOWED) => {
                "`unsafe` belongs in crates/lasthop-kernel, behind a safe function"
            }
            "#" if next(1) == "[" && next(2) == "ignore" => {
                "a test that never runs: make it run, or remove it"
            }
            "todo" | "unimplemented" if next(1) == "!" => {
                "not finished: write it, or refuse with an error that says so"
            }
            "dbg" if next(1) == "!" => "left over from debugging",
            _ => continue,
        };
        findings.push(Finding::new(path, token.line, message));
    }
}

/// In tests, a sleep is either too short on a busy machine or too long on every other: wait for the event itself.
fn check_sleeps(path: &str, text: &str, masked: &str, findings: &mut Vec<Finding>) {
    let tests_from = if is_test(path) {
        0
    } else {
        lines_before_tests(masked)
    };
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in masked.lines().enumerate().skip(tests_from) {
        let sleeps = ["thread::sleep", "time::sleep", "sleep("]
            .iter()
            .any(|call| line.contains(call));
        let above = index
            .checked_sub(1)
            .and_then(|above| lines.get(above))
            .copied()
            .unwrap_or_default();
        let is_excused = [above, lines[index]]
            .iter()
            .any(|line| line.contains("//") && line.contains(EXCUSE));
        if sleeps && !is_excused {
            let message = format!(
                "a test that sleeps: wait for what it waits for, or say `// {EXCUSE}…` why not"
            );
            findings.push(Finding::new(path, index + 1, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MARKS, check, is_test};
    use crate::tidy::tree::Tree;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let mut findings = Vec::new();
        check(&Tree::of(&[(path, text)]), &mut findings);
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn unfinished_work_is_found_in_code_and_comments_but_not_in_longer_words() {
        for mark in MARKS {
            assert_eq!(lines("a.rs", &format!("a\n// {mark}: b\n")), [2], "{mark}");
            assert_eq!(lines("a.py", &format!("# {mark}\n")), [1], "{mark}");
            assert!(
                lines("a.rs", &format!("// {mark}X {mark}_A\n")).is_empty(),
                "{mark}"
            );
            assert!(lines("a.md", mark).is_empty(), "{mark}");
        }
        assert_eq!(
            lines(
                "a.rs",
                "fn f() {\n todo!()\n}\nfn g() { unimplemented!(\"x\") }\ndbg!(1);\n"
            ),
            [2, 4, 5]
        );
        assert!(lines("a.rs", "let todo = 1; // todo!()\nlet s = \"dbg!(\";\n").is_empty());
    }

    #[test]
    fn a_test_that_is_switched_off_is_found() {
        assert_eq!(
            lines("a.rs", "#[test]\n#[ignore]\n#[ignore = \"slow\"]\n"),
            [2, 3]
        );
        assert!(lines("a.rs", "// #[ignore]\nfn ignore() {}\n").is_empty());
    }

    #[test]
    fn unsafe_is_found_outside_the_kernel_crate() {
        assert_eq!(
            lines("crates/lasthop/src/a.rs", "\nunsafe { x }\n// unsafe\n"),
            [2]
        );
        assert!(lines("crates/lasthop-kernel/src/a.rs", "unsafe { x }\n").is_empty());
        assert!(lines("a.rs", "#![forbid(unsafe_code)]\n").is_empty());
    }

    #[test]
    fn a_sleep_in_a_test_needs_a_reason() {
        let path = "crates/lasthop/tests/a.rs";
        assert_eq!(
            lines(
                path,
                "std::thread::sleep(x);\ntokio::time::sleep(x).await;\nsleep(x);\n"
            ),
            [1, 2, 3]
        );
        assert!(
            lines(
                path,
                "thread::sleep(x); // tidy: it is the load\n// tidy: the app is slow\nsleep(x);\n"
            )
            .is_empty()
        );
        assert_eq!(
            lines(
                "a.rs",
                "thread::sleep(x);\n#[cfg(test)]\nmod tests {\nthread::sleep(x);\n}\n"
            ),
            [4]
        );
    }

    #[test]
    fn tests_are_known_by_their_place() {
        assert!(
            is_test("crates/a/tests/b.rs")
                && is_test("tests/peers/app.py")
                && is_test("crates/a/src/b/tests.rs")
        );
        assert!(!is_test("crates/a/src/tests_of.rs"));
    }
}
