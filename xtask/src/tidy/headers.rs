//! Headers: every Rust file opens with `//!` and says what it is for.
//!
//! The rule sees that there is a sentence. Whether it is a good one is for the reader of the change to say.

use super::tree::{Finding, Tree};

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, text) in tree.of_kind("rs") {
        let sentence = text
            .lines()
            .next()
            .and_then(|first| first.strip_prefix("//!"));
        if sentence.is_none_or(|sentence| sentence.trim().is_empty()) {
            findings.push(Finding::new(
                path,
                1,
                "opens with no `//!` that says what the file is for",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    #[test]
    fn a_file_opens_with_a_sentence() {
        let tree = Tree::of(&[
            ("a.rs", "//! What it is for.\n"),
            ("b.rs", "use x;\n"),
            ("c.rs", "//!\n//! Late.\n"),
            ("d.rs", ""),
            ("e.md", "free"),
        ]);
        let mut findings = Vec::new();
        check(&tree, &mut findings);
        let paths: Vec<&str> = findings
            .iter()
            .map(|finding| finding.path.as_str())
            .collect();
        assert_eq!(paths, ["b.rs", "c.rs", "d.rs"]);
    }
}
