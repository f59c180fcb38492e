//! Crates: each package depends on what its row in ARCHITECTURE.md says, no more and no less, and takes the lints of
//! the workspace.
//!
//! Manifests are read line by line, in the plain form that this repository writes them (`name.workspace = true` below
//! `[dependencies]`). Development dependencies are free: they are not in the program.

use super::source::{masked, tokens};
use super::tables::{DOCUMENT, Tables};
use super::tree::{Finding, Tree};

/// A dependency as a manifest names it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dependency<'a> {
    pub(crate) name: &'a str,
    /// From 1.
    pub(crate) line: usize,
    /// It stands in this workspace (`path = …`).
    pub(crate) ours: bool,
}

/// The entries of every section of a manifest that `wanted` accepts by its name, `[dependencies.name]` included.
pub(crate) fn entries<'a>(manifest: &'a str, wanted: impl Fn(&str) -> bool) -> Vec<Dependency<'a>> {
    let mut entries = Vec::new();
    let mut inside = false;
    for (index, line) in manifest.lines().enumerate() {
        let (line, number) = (line.trim(), index + 1);
        if let Some(section) = line
            .strip_prefix('[')
            .and_then(|line| line.split(']').next())
        {
            inside = wanted(section);
            if let Some((parent, name)) = section.rsplit_once('.')
                && wanted(parent)
            {
                entries.push(Dependency {
                    name,
                    line: number,
                    ours: false,
                });
            }
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or(line);
            entries.push(Dependency {
                name,
                line: number,
                ours: line.contains("path ="),
            });
        }
    }
    entries
}

/// Sections whose crates end up in what is built: also those of one platform, and of build scripts.
pub(crate) fn is_ordinary(section: &str) -> bool {
    let last = section.rsplit('.').next().unwrap_or(section);
    matches!(last, "dependencies" | "build-dependencies") && section != "workspace.dependencies"
}

pub(crate) fn check(tree: &Tree, tables: &Tables, findings: &mut Vec<Finding>) {
    for (path, manifest) in packages(tree) {
        let name = package_of(path);
        if !takes_the_lints(manifest) {
            findings.push(Finding::new(
                path,
                1,
                "takes no lints: add `[lints]` with `workspace = true`",
            ));
        }
        let dependencies = entries(manifest, is_ordinary);
        let row = tables.crates.iter().find(|row| row.name == name);
        let Some(row) = row else {
            let message = format!("`{name}` has no row in the table of crates in {DOCUMENT}");
            findings.push(Finding::new(path, 1, message));
            continue;
        };
        for dependency in &dependencies {
            if !row.uses.iter().any(|used| used == dependency.name) {
                let message = format!(
                    "`{name}` may not depend on `{}`: {DOCUMENT}",
                    dependency.name
                );
                findings.push(Finding::new(path, dependency.line, message));
            }
            if !is_named(tree, path, dependency.name) {
                let message = format!(
                    "`{}` is a dependency that the code of `{name}` never names",
                    dependency.name
                );
                findings.push(Finding::new(path, dependency.line, message));
            }
        }
        for used in row
            .uses
            .iter()
            .filter(|&used| dependencies.iter().all(|found| found.name != used))
        {
            let message = format!("`{name}` does not depend on `{used}`");
            findings.push(Finding::new(DOCUMENT, row.line, message));
        }
    }
    let packages: Vec<&str> = packages(tree).map(|(path, _)| package_of(path)).collect();
    for row in tables
        .crates
        .iter()
        .filter(|row| !packages.contains(&row.name.as_str()))
    {
        findings.push(Finding::new(
            DOCUMENT,
            row.line,
            format!("there is no crate `{}`", row.name),
        ));
    }
}

/// Manifests of the workspace's packages: `crates/*/Cargo.toml` and `xtask/Cargo.toml`.
pub(crate) fn packages(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    tree.of_kind("toml").filter(|(path, _)| {
        let parts: Vec<&str> = path.split('/').collect();
        matches!(
            parts.as_slice(),
            ["crates", _, "Cargo.toml"] | ["xtask", "Cargo.toml"]
        )
    })
}

/// The directory's name, which is the package's name in this workspace.
pub(crate) fn package_of(manifest_path: &str) -> &str {
    manifest_path
        .trim_end_matches("/Cargo.toml")
        .rsplit('/')
        .next()
        .unwrap_or(manifest_path)
}

fn takes_the_lints(manifest: &str) -> bool {
    let mut after = manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[lints]")
        .skip(1);
    after.find(|line| !line.is_empty() && !line.starts_with('#')) == Some("workspace = true")
}

/// Whether the package's own code says the name of the dependency: one that nobody names is built for nothing, and one
/// that only tests name is a development dependency.
fn is_named(tree: &Tree, manifest_path: &str, dependency: &str) -> bool {
    let package = manifest_path.trim_end_matches("Cargo.toml");
    let (sources, build) = (format!("{package}src/"), format!("{package}build.rs"));
    let name = dependency.replace('-', "_");
    tree.of_kind("rs")
        .filter(|(path, _)| path.starts_with(&sources) || *path == build)
        .filter(|(_, text)| text.contains(&name))
        .any(|(_, text)| tokens(&masked(text)).iter().any(|token| token.text == name))
}

#[cfg(test)]
mod tests {
    use super::{Dependency, check, entries, is_ordinary};
    use crate::tidy::tables;
    use crate::tidy::tree::{Finding, Tree};

    #[test]
    fn entries_are_read_from_every_kind_of_section() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\n# why\na.workspace = true\nb = { path = \"../b\" }\n\
                        [dev-dependencies]\nc = \"1\"\n[target.'cfg(unix)'.dependencies]\nd = \"1\"\n\
                        [dependencies.e]\nversion = \"1\"\n[build-dependencies]\nf = \"1\"\n";
        let found = entries(manifest, is_ordinary);
        let names: Vec<&str> = found.iter().map(|dependency| dependency.name).collect();
        assert_eq!(names, ["a", "b", "d", "e", "f"]);
        assert_eq!(
            found[1],
            Dependency {
                name: "b",
                line: 6,
                ours: true
            }
        );
    }

    const LINTS: &str = "[lints]\nworkspace = true\n";

    fn findings(crates: &str, files: &[(&str, &str)]) -> Vec<Finding> {
        let document = format!("```rooms\n```\n```crates\n{crates}```\n```dependencies\n```\n");
        let mut files = files.to_vec();
        files.push(("ARCHITECTURE.md", &document));
        let tree = Tree::of(&files);
        let mut findings = Vec::new();
        let tables = tables::read(&tree, &mut findings);
        check(&tree, &tables, &mut findings);
        findings
    }

    #[test]
    fn a_crate_depends_on_its_row_and_names_what_it_depends_on() {
        let manifest =
            format!("[dependencies]\nmemchr.workspace = true\nlibc.workspace = true\n{LINTS}");
        let found = findings(
            "http1: memchr itoa\n",
            &[
                ("crates/http1/Cargo.toml", &manifest),
                (
                    "crates/http1/src/lib.rs",
                    "//! X.\nuse memchr::memchr;\n// libc::x\n",
                ),
                ("crates/http1/tests/a.rs", "use libc::x;\n"),
            ],
        );
        let messages: Vec<(usize, &str)> = found
            .iter()
            .map(|finding| (finding.line, finding.message.as_str()))
            .collect();
        assert_eq!(
            messages,
            [
                (3, "`http1` may not depend on `libc`: ARCHITECTURE.md"),
                (
                    3,
                    "`libc` is a dependency that the code of `http1` never names"
                ),
                (4, "`http1` does not depend on `itoa`"),
            ]
        );
    }

    #[test]
    fn a_crate_without_a_row_a_row_without_a_crate_and_a_crate_without_lints_are_found() {
        let found = findings(
            "gone:\n",
            &[("crates/new/Cargo.toml", LINTS), ("xtask/Cargo.toml", "")],
        );
        let places: Vec<&str> = found.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(
            places,
            [
                "crates/new/Cargo.toml",
                "xtask/Cargo.toml",
                "xtask/Cargo.toml",
                "ARCHITECTURE.md"
            ]
        );
    }
}
