//! A report as a section of `docs/benchmarks.md`, put in the place of an older reading.

use std::fmt::Write as _;

use super::table;
use crate::report::Report;

/// Between these lines a section belongs to the harness; what stands outside them is never touched.
const BEGIN: &str = "<!-- lasthop-bench keepalive: written by the harness, not by hand -->";
const END: &str = "<!-- end of lasthop-bench keepalive -->";

/// How a new document begins.
const PREAMBLE: &str = "# Benchmarks

Each section is written by the command that it names, on a host that it names. Ratios travel from host to host, absolute
times do not. Every proxy has one worker; the rivals run with the configuration that is best for the work, which is in
the repository beside the harness: [nginx.conf](../crates/lasthop-bench/src/rival/nginx.conf) and
[haproxy.cfg](../crates/lasthop-bench/src/rival/haproxy.cfg). lasthop runs with its defaults.
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
    let mut text = String::from("## CPU per keep-alive request\n\n");
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "User and system time of the proxy's processes per request: {}.\n",
        report.work()
    );
    let rows = table::aligned(&table::cells(&report.rows));
    for (index, row) in rows.iter().enumerate() {
        let _ = writeln!(text, "| {} |", row.join(" | "));
        if index == 0 {
            let rule: Vec<String> = row
                .iter()
                .enumerate()
                .map(|(column, cell)| {
                    let dashes = "-".repeat(cell.chars().count().saturating_sub(1));
                    if column < table::WORD_COLUMNS {
                        format!("{dashes}-")
                    } else {
                        format!("{dashes}:")
                    }
                })
                .collect();
            let _ = writeln!(text, "| {} |", rule.join(" | "));
        }
    }
    let _ = writeln!(
        text,
        "\nThe column *of nginx'* is the CPU time as a multiple of nginx', taken within each round; *busy* is how\n\
         much of its core the proxy used.\n"
    );
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
    let _ = writeln!(text, "- Load: {}, closed loop.", report.load);
    let _ = writeln!(text, "- {}.", report.fields_in_words());
    for proxy in &report.proxies {
        let _ = writeln!(text, "- {}: `{}`", proxy.rival.name(), proxy.version);
    }
    for missing in &report.missing {
        let _ = writeln!(text, "- Left out: {missing}");
    }
    let _ = writeln!(
        text,
        "\nTo repeat:\n\n```sh\ncargo build --release\n{}\n```",
        report.command()
    );
    text
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
        assert!(document.contains("keepalive --seconds 4 --rounds 1 --clients 64 --bytes 100\n"));
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
