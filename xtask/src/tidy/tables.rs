//! The three tables of ARCHITECTURE.md that are rules: who may use whom among the rooms, what each crate depends on,
//! and where each heavy dependency may be named.
//!
//! They are read from the document, so that the map a newcomer reads cannot fall behind the code it describes. Each is
//! a fenced block whose info string names it; a row is `name: word word`, and `#` begins a comment.

use super::tree::{Finding, Tree};

/// The document that holds the tables.
pub(crate) const DOCUMENT: &str = "ARCHITECTURE.md";

/// `name: uses uses`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) uses: Vec<String>,
    /// Where in the document, from 1.
    pub(crate) line: usize,
}

/// Rows in the order of the document.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// Rooms of `crates/lasthop/src`, each with the rooms it may use. A room uses only rooms further down.
    pub(crate) rooms: Vec<Row>,
    /// Packages, each with all its ordinary dependencies.
    pub(crate) crates: Vec<Row>,
    /// Heavy dependencies, each with the places that may name it: `package`, or `lasthop/room`.
    pub(crate) dependencies: Vec<Row>,
}

/// Reads the tables; what is missing or cannot be read is a finding.
pub(crate) fn read(tree: &Tree, findings: &mut Vec<Finding>) -> Tables {
    let Some(text) = tree.text(DOCUMENT) else {
        findings.push(Finding::new(
            DOCUMENT,
            1,
            "missing: it holds the tables of rooms, crates and dependencies",
        ));
        return Tables::default();
    };
    Tables {
        rooms: table(text, "rooms", findings),
        crates: table(text, "crates", findings),
        dependencies: table(text, "dependencies", findings),
    }
}

fn table(text: &str, name: &str, findings: &mut Vec<Finding>) -> Vec<Row> {
    let opening = format!("```{name}");
    let mut lines = text
        .lines()
        .enumerate()
        .skip_while(|(_, line)| line.trim_end() != opening);
    if lines.next().is_none() {
        findings.push(Finding::new(
            DOCUMENT,
            1,
            format!("has no table in a fenced block that opens with {opening}"),
        ));
        return Vec::new();
    }
    let mut rows: Vec<Row> = Vec::new();
    for (index, line) in lines.take_while(|(_, line)| line.trim() != "```") {
        let line_number = index + 1;
        let row = line.split('#').next().unwrap_or_default().trim();
        if row.is_empty() {
            continue;
        }
        let Some((name, uses)) = row.split_once(':') else {
            findings.push(Finding::new(
                DOCUMENT,
                line_number,
                format!("`{row}` is no row: write `name: word word`"),
            ));
            continue;
        };
        let name = name.trim().to_owned();
        if rows.iter().any(|row| row.name == name) {
            findings.push(Finding::new(
                DOCUMENT,
                line_number,
                format!("`{name}` has a row already"),
            ));
        }
        rows.push(Row {
            name,
            uses: uses.split_whitespace().map(str::to_owned).collect(),
            line: line_number,
        });
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::{Row, read};
    use crate::tidy::tree::{Finding, Tree};

    #[test]
    fn rows_are_read_with_their_lines_and_comments_are_not() {
        let document = "x\n```rooms\n# down\nhttp: relay config # why\n\nconfig:\n```\n```crates\n```\n\
                        ```dependencies\nclap: lasthop/cli\n```\n";
        let mut findings = Vec::new();
        let tables = read(&Tree::of(&[("ARCHITECTURE.md", document)]), &mut findings);
        assert!(findings.is_empty(), "{findings:?}");
        let http = Row {
            name: "http".into(),
            uses: vec!["relay".into(), "config".into()],
            line: 4,
        };
        let config = Row {
            name: "config".into(),
            uses: Vec::new(),
            line: 6,
        };
        assert_eq!(tables.rooms, [http, config]);
        assert!(tables.crates.is_empty());
        assert_eq!(tables.dependencies[0].uses, ["lasthop/cli"]);
    }

    #[test]
    fn a_missing_document_table_or_colon_and_a_second_row_are_found() {
        let found = |tree: &Tree| {
            let mut findings = Vec::new();
            read(tree, &mut findings);
            findings
                .iter()
                .map(|finding: &Finding| finding.line)
                .collect::<Vec<_>>()
        };
        assert_eq!(found(&Tree::of(&[])), [1]);
        assert_eq!(
            found(&Tree::of(&[(
                "ARCHITECTURE.md",
                "```rooms\n```\n```crates\n```\n"
            )])),
            [1]
        );
        let document = "```rooms\nhttp relay\na:\na:\n```\n```crates\n```\n```dependencies\n```\n";
        assert_eq!(found(&Tree::of(&[("ARCHITECTURE.md", document)])), [2, 4]);
    }
}
