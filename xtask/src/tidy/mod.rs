//! Tidy: style as a test. Each rule is one file with one function from a [`Tree`] to [`Finding`]s.
//!
//! The rules read text; they do not compile it, so they also see code that is switched off on this machine.
//! They read a tree in memory, so that every rule has tests of a few lines that touch no disk.

mod crates;
mod dependencies;
mod headers;
mod layers;
mod lengths;
mod links;
mod source;
mod tables;
mod tree;
mod words;

pub(crate) use tree::{Finding, Tree};

/// Runs every rule; the findings come sorted by path and line.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let tables = tables::read(tree, &mut findings);
    layers::check(tree, &tables, &mut findings);
    crates::check(tree, &tables, &mut findings);
    dependencies::check(tree, &tables, &mut findings);
    lengths::check(tree, &mut findings);
    headers::check(tree, &mut findings);
    words::check(tree, &mut findings);
    links::check(tree, &mut findings);
    findings.sort();
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use super::{Tree, check};

    #[test]
    fn the_house_itself_is_tidy_in_a_small_tree() {
        let tree = Tree::of(&[
            (
                "ARCHITECTURE.md",
                "# Map\n```rooms\nmain: http\nhttp: config\nconfig:\n```\n```crates\nlasthop: clap\n```\n\
                 ```dependencies\nclap: lasthop/main\n```\n[record](docs/decisions/0003-dependencies.md)\n",
            ),
            (
                "docs/decisions/0003-dependencies.md",
                "# 3\n\n- `clap`: flags.\n",
            ),
            ("Cargo.toml", "[workspace.dependencies]\nclap = \"4\"\n"),
            (
                "crates/lasthop/Cargo.toml",
                "[dependencies]\nclap.workspace = true\n\n[lints]\nworkspace = true\n",
            ),
            ("crates/lasthop/src/lib.rs", "//! The proxy.\n"),
            (
                "crates/lasthop/src/main.rs",
                "//! The program.\nuse clap::Parser;\nuse lasthop::http::serve;\n",
            ),
            (
                "crates/lasthop/src/http/mod.rs",
                "//! HTTP.\nuse crate::config::Route;\n",
            ),
            ("crates/lasthop/src/config.rs", "//! Configuration.\n"),
        ]);
        let findings = check(&tree);
        assert!(findings.is_empty(), "{findings:?}");
    }

    #[test]
    fn findings_come_sorted_by_path_and_line_and_read_as_path_line_message() {
        let tree = Tree::of(&[
            (
                "ARCHITECTURE.md",
                "```rooms\n```\n```crates\n```\n```dependencies\n```\n",
            ),
            ("fuzz/b.rs", "//! B.\n\nfn b() { unsafe {} }\n"),
            ("fuzz/a.rs", "fn a() {}\n"),
        ]);
        let lines: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("fuzz/a.rs:1: "), "{lines:?}");
        assert!(lines[1].starts_with("fuzz/b.rs:3: "), "{lines:?}");
    }
}
