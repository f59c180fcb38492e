//! Dependencies: each heavy one is named only in its own room, and each one has its sentence in the record.
//!
//! The second table of ARCHITECTURE.md says where a heavy dependency may be named: in a whole package (`lasthop-http1`)
//! or in one room (`lasthop/config`). So a parser or a runtime can be replaced by changing one room. Small crates
//! without types of their own at our seams (`itoa`, `memchr`) need no row there.

use super::crates::{Dependency, entries, is_ordinary, package_of, packages};
use super::layers::room_of;
use super::source::{Token, masked, tokens};
use super::tables::{DOCUMENT, Row, Tables};
use super::tree::{Finding, Tree};

/// Holds one line `- `name`: why` for each crate.
pub(crate) const RECORD: &str = "docs/decisions/0003-dependencies.md";
const WORKSPACE: &str = "Cargo.toml";
/// Outside the workspace, with dependencies of its own.
const FUZZ: &str = "fuzz/Cargo.toml";

pub(crate) fn check(tree: &Tree, tables: &Tables, findings: &mut Vec<Finding>) {
    let manifest = tree.text(WORKSPACE).unwrap_or_default();
    let declared = entries(manifest, |section| section == "workspace.dependencies");
    check_record(tree, &declared, findings);
    check_use(tree, &declared, findings);
    for row in &tables.dependencies {
        if declared
            .iter()
            .all(|dependency| dependency.name != row.name)
        {
            findings.push(Finding::new(
                DOCUMENT,
                row.line,
                format!("`{}` is no dependency of the workspace", row.name),
            ));
        }
        for place in row.uses.iter().filter(|place| !exists(tree, place)) {
            findings.push(Finding::new(
                DOCUMENT,
                row.line,
                format!("there is no package or room `{place}`"),
            ));
        }
        check_rooms(tree, row, findings);
    }
}

/// Each foreign crate has its line in the record, and each line its crate.
fn check_record(tree: &Tree, declared: &[Dependency<'_>], findings: &mut Vec<Finding>) {
    let record = tree.text(RECORD).unwrap_or_default();
    let recorded: Vec<(usize, &str)> = record
        .lines()
        .enumerate()
        .filter_map(|(index, line)| Some((index + 1, line.strip_prefix("- `")?.split('`').next()?)))
        .collect();
    let fuzz = entries(tree.text(FUZZ).unwrap_or_default(), is_ordinary);
    let ours =
        |dependency: &Dependency<'_>| dependency.ours || dependency.name.starts_with("lasthop");
    let foreign = declared.iter().map(|dependency| (WORKSPACE, dependency));
    let foreign: Vec<_> = foreign
        .chain(fuzz.iter().map(|found| (FUZZ, found)))
        .filter(|(_, it)| !ours(it))
        .collect();
    for (path, dependency) in &foreign {
        if recorded.iter().all(|(_, name)| *name != dependency.name) {
            let message = format!(
                "`{}` has no line in {RECORD}: say why it, and which room it gets",
                dependency.name
            );
            findings.push(Finding::new(path, dependency.line, message));
        }
    }
    for (line, name) in recorded {
        if foreign
            .iter()
            .all(|(_, dependency)| dependency.name != name)
        {
            findings.push(Finding::new(
                RECORD,
                line,
                format!("`{name}` is no dependency any more"),
            ));
        }
    }
}

/// A version that no package asks for is a leftover.
fn check_use(tree: &Tree, declared: &[Dependency<'_>], findings: &mut Vec<Finding>) {
    let is_dependency =
        |section: &str| is_ordinary(section) || section.ends_with("dev-dependencies");
    let used: Vec<&str> = packages(tree)
        .flat_map(|(_, manifest)| entries(manifest, is_dependency))
        .map(|used| used.name)
        .collect();
    for dependency in declared
        .iter()
        .filter(|dependency| !dependency.ours && !used.contains(&dependency.name))
    {
        let message = format!("no package depends on `{}`", dependency.name);
        findings.push(Finding::new(WORKSPACE, dependency.line, message));
    }
}

fn exists(tree: &Tree, place: &str) -> bool {
    match place.split_once('/') {
        None => packages(tree).any(|(path, _)| package_of(path) == place),
        Some((package, room)) => {
            let source = format!("crates/{package}/src/{room}");
            tree.has(&source) || tree.has(&format!("{source}.rs"))
        }
    }
}

fn check_rooms(tree: &Tree, row: &Row, findings: &mut Vec<Finding>) {
    let name = row.name.replace('-', "_");
    for (path, text) in tree.of_kind("rs").filter(|(_, text)| text.contains(&name)) {
        let Some((package, _)) = path
            .strip_prefix("crates/")
            .and_then(|inside| inside.split_once("/src/"))
        else {
            continue;
        };
        let room = format!("{package}/{}", room_of(path));
        if row
            .uses
            .iter()
            .any(|place| *place == room || place == package)
        {
            continue;
        }
        for line in lines_that_name(text, &name) {
            let message = format!(
                "`{}` may be named in {} only: {DOCUMENT}",
                row.name,
                row.uses.join(", ")
            );
            findings.push(Finding::new(path, line, message));
        }
    }
}

/// Lines where a path begins with the crate's name: `clap::…`, `use clap;`, `use clap as …`.
fn lines_that_name(text: &str, name: &str) -> Vec<usize> {
    let masked = masked(text);
    let tokens = tokens(&masked);
    let text_at = |index: Option<usize>| {
        index
            .and_then(|index| tokens.get(index))
            .map_or("", |token: &Token<'_>| token.text)
    };
    let is_path = |index: usize| match (text_at(index.checked_sub(1)), text_at(Some(index + 1))) {
        // `use ::clap::…` begins at the crate, `other::clap::…` does not.
        ("::", "::") => {
            let root = index.checked_sub(2).and_then(|root| tokens.get(root));
            root.is_none_or(|root| root.text == "use" || !root.is_name())
        }
        ("::", _) => false,
        ("use", _) | (_, "::") => true,
        _ => false,
    };
    let found = tokens
        .iter()
        .enumerate()
        .filter(|(index, token)| token.text == name && is_path(*index));
    found.map(|(_, token)| token.line).collect()
}

#[cfg(test)]
mod tests {
    use super::{check, lines_that_name};
    use crate::tidy::tables;
    use crate::tidy::tree::{Finding, Tree};

    fn findings(dependencies: &str, files: &[(&str, &str)]) -> Vec<String> {
        let document =
            format!("```rooms\n```\n```crates\n```\n```dependencies\n{dependencies}```\n");
        let mut files = files.to_vec();
        files.push(("ARCHITECTURE.md", &document));
        let tree = Tree::of(&files);
        let mut findings = Vec::new();
        let tables = tables::read(&tree, &mut findings);
        check(&tree, &tables, &mut findings);
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_crate_is_named_where_a_path_begins_with_it() {
        let table: &[(&str, &[usize])] = &[
            ("use clap::Parser;", &[1]),
            ("\nuse clap;", &[2]),
            ("#[derive(clap::Parser)]", &[1]),
            ("use ::clap::Parser;", &[1]),
            ("use other::clap::Parser; let clap = 1; // clap::x", &[]),
        ];
        for (text, wanted) in table {
            assert_eq!(lines_that_name(text, "clap"), *wanted, "{text}");
        }
    }

    #[test]
    fn a_heavy_dependency_outside_its_room_is_found() {
        let found = findings(
            "tracing-subscriber: lasthop/observe\nlibc: lasthop-kernel\n",
            &[
                (
                    "Cargo.toml",
                    "[workspace.dependencies]\ntracing-subscriber = \"1\"\nlibc = \"1\"\n",
                ),
                (
                    "docs/decisions/0003-dependencies.md",
                    "- `tracing-subscriber`: x\n- `libc`: y\n",
                ),
                (
                    "crates/lasthop/Cargo.toml",
                    "[dependencies]\ntracing-subscriber.workspace = true\n",
                ),
                (
                    "crates/lasthop-kernel/Cargo.toml",
                    "[dependencies]\nlibc.workspace = true\n",
                ),
                ("crates/lasthop-kernel/src/limits.rs", "use libc::rlimit;"),
                (
                    "crates/lasthop/src/observe/log.rs",
                    "use tracing_subscriber::fmt;",
                ),
                (
                    "crates/lasthop/src/server.rs",
                    "\nuse tracing_subscriber::fmt;\nuse libc::c_int;",
                ),
                ("crates/lasthop/tests/a.rs", "use libc::c_int;"),
            ],
        );
        assert_eq!(
            found,
            [
                "crates/lasthop/src/server.rs:2: `tracing-subscriber` may be named in lasthop/observe only: ARCHITECTURE.md",
                "crates/lasthop/src/server.rs:3: `libc` may be named in lasthop-kernel only: ARCHITECTURE.md",
            ]
        );
    }

    #[test]
    fn the_record_and_the_manifest_name_the_same_crates() {
        let found = findings(
            "gone: lasthop-nowhere\n",
            &[
                (
                    "Cargo.toml",
                    "[workspace.dependencies]\nlasthop = { path = \"x\" }\nslab = \"1\"\nitoa = \"1\"\n",
                ),
                (
                    "fuzz/Cargo.toml",
                    "[dependencies]\nlibfuzzer-sys = \"0.4\"\nlasthop-http1 = { path = \"..\" }\n",
                ),
                (
                    "docs/decisions/0003-dependencies.md",
                    "# 3\n\n- `itoa`: x\n- `hyper`: y\n",
                ),
                (
                    "crates/lasthop/Cargo.toml",
                    "[dev-dependencies]\nitoa.workspace = true\n",
                ),
            ],
        );
        let begins: Vec<&str> = found
            .iter()
            .filter_map(|line| line.split(' ').next())
            .collect();
        let wanted = [
            "Cargo.toml:3:",
            "fuzz/Cargo.toml:2:",
            "docs/decisions/0003-dependencies.md:4:",
            "Cargo.toml:3:",
            "ARCHITECTURE.md:6:",
            "ARCHITECTURE.md:6:",
        ];
        assert_eq!(begins, wanted, "{found:?}");
    }
}
