//! Links: a relative link in a document points at a file or directory that exists.
//!
//! Addresses of the web are not visited: a check that needs the network fails for reasons that are nobody's fault here.
//! Anchors inside a document (`#part`) are not checked.

use super::tree::{Finding, Tree};

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, text) in tree.of_kind("md") {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        for (line, link) in links(text) {
            let target = link.split('#').next().unwrap_or(link);
            if target.is_empty() || is_address(target) {
                continue;
            }
            let resolved = resolve(directory, target);
            if !resolved.is_some_and(|resolved| tree.has(&resolved)) {
                findings.push(Finding::new(
                    path,
                    line,
                    format!("links to `{link}`, which does not exist"),
                ));
            }
        }
    }
}

fn is_address(target: &str) -> bool {
    ["http://", "https://", "mailto:"]
        .iter()
        .any(|scheme| target.starts_with(scheme))
}

/// The path from the root that `target` means in a document in `directory`; `None` when it leads out of the tree.
fn resolve(directory: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = directory
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Targets of `[text](target)`, `![text](target)` and `[label]: target` outside fenced blocks and code, with lines.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    let mut is_fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        }
        if is_fenced {
            continue;
        }
        // Every second piece between backquotes is code.
        for piece in line.split('`').step_by(2) {
            for (_, after) in piece
                .match_indices("](")
                .map(|(at, opening)| (at, &piece[at + opening.len()..]))
            {
                let target = after.split([')', ' ']).next().unwrap_or(after);
                links.push((index + 1, target));
            }
        }
        if let Some((_, target)) = line
            .strip_prefix('[')
            .and_then(|line| line.split_once("]: "))
        {
            links.push((index + 1, target.split(' ').next().unwrap_or(target)));
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    fn findings(text: &str) -> Vec<usize> {
        let tree = Tree::of(&[
            ("docs/decisions/a.md", text),
            ("README.md", ""),
            ("docs/ports.md", ""),
            ("src/x.rs", ""),
        ]);
        let mut findings = Vec::new();
        check(&tree, &mut findings);
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn links_to_what_exists_pass() {
        let text = "[a](../../README.md) ![b](../ports.md#part) [c](#here) [d](https://example.com/x) [`e`](../ports.md)\n\
                    [f](../) [g](../../src)\n[h]: ../ports.md\n";
        assert!(findings(text).is_empty());
    }

    #[test]
    fn links_to_nothing_and_out_of_the_tree_are_found() {
        let text = "[a](ports.md)\n[b](../ports.md) [`c`](../../gone.rs)\n[d](../../../etc)\n[e]: gone.md\n";
        assert_eq!(findings(text), [1, 2, 3, 4]);
    }

    #[test]
    fn code_is_not_a_link() {
        assert!(findings("```text\n[a](gone.md)\n```\n`[b](gone.md)` x\n").is_empty());
    }
}
