//! The document `docs/benchmarks.md`: a section for each command, put in the place of an older reading.

use std::fmt::Write as _;

use super::table::{self, Table};

/// How a new document begins.
const PREAMBLE: &str = "# Benchmarks

Each section is written by the command that it names, on a host that it names. Ratios travel from host to host, absolute
times do not. Every proxy has the configuration that is best for the work, which is in the repository
beside the harness: [crates/lasthop-bench/src/rival](../crates/lasthop-bench/src/rival). `--json FILE` writes every run,
in the shape that [output/json.rs](../crates/lasthop-bench/src/output/json.rs) describes.
";

/// `document` with the `section` of a command in it: in the place of the old one, else at the end; an empty document gets
/// a beginning as well. Between its two marks a section belongs to the harness; what stands outside them is never touched.
pub(crate) fn update(document: &str, command: &str, section: &str) -> String {
    let begin = format!("<!-- lasthop-bench {command}: written by the harness, not by hand -->");
    let end = format!("<!-- end of lasthop-bench {command} -->");
    let section = format!("{begin}\n\n{section}\n{end}\n");
    if let Some((before, rest)) = document.split_once(&begin)
        && let Some((_, after)) = rest.split_once(&end)
    {
        return format!(
            "{before}{section}{}",
            after.strip_prefix('\n').unwrap_or(after)
        );
    }
    let before = if document.trim().is_empty() {
        PREAMBLE
    } else {
        document
    };
    format!("{}\n\n{section}", before.trim_end())
}

/// A table of Markdown, each column as wide as its widest cell.
pub(crate) fn write_table(text: &mut String, table: &Table) {
    for (index, row) in table::aligned(table).iter().enumerate() {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "| {} |", row.join(" | "));
        if index > 0 {
            continue;
        }
        let rule = row.iter().enumerate().map(|(column, cell)| {
            let dashes = "-".repeat(cell.chars().count().saturating_sub(1));
            let last = if column < table.words { '-' } else { ':' };
            format!("{dashes}{last}")
        });
        let _ = writeln!(text, "| {} |", rule.collect::<Vec<_>>().join(" | "));
    }
}

pub(crate) fn capitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "<!-- lasthop-bench hold: ";

    #[test]
    fn a_new_document_gets_a_beginning_and_the_section() {
        let document = update("", "hold", "## Held\n");
        assert!(document.starts_with("# Benchmarks\n"));
        assert!(document.contains("\n## Held\n"), "{document}");
    }

    #[test]
    fn a_section_is_replaced_and_the_rest_is_kept() {
        let written = update("", "hold", "old\n");
        let document = format!("{written}\n## Another section\n");
        let updated = update(&document, "hold", "new\n");
        assert!(updated.contains("\nnew\n") && !updated.contains("\nold\n"));
        assert!(updated.ends_with("\n## Another section\n"));
        assert_eq!(updated.matches(BEGIN).count(), 1);
        assert_eq!(update(&updated, "hold", "new\n"), updated);
    }

    #[test]
    fn each_command_has_a_section_of_its_own() {
        let both = update(&update("", "hold", "a\n"), "fill", "b\n");
        let updated = update(&both, "hold", "c\n");
        assert!(updated.contains("\nc\n") && updated.contains("\nb\n"));
        assert!(!updated.contains("\na\n"));
    }

    #[test]
    fn a_document_without_a_section_is_continued() {
        let updated = update("# Ours\n\nWords.\n", "hold", "## Held\n");
        assert!(updated.starts_with("# Ours\n\nWords.\n\n<!-- "));
    }
}
