//! A report for the terminal.

use std::fmt::Write as _;

use super::table::{self, Table};
use super::{comparison, summary};
use crate::report::Report;

/// The whole report, ending with a line feed.
pub(crate) fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "{}.", report.method());
    let _ = writeln!(text, "Closed loop by {}; {}.", report.load, report.cores);
    let _ = writeln!(text, "{}.", report.fields_in_words());
    for proxy in &report.proxies {
        let _ = writeln!(
            text,
            "  {}: {} ({})",
            proxy.rival.name(),
            proxy.version,
            proxy.binary.display()
        );
    }
    for missing in &report.missing {
        let _ = writeln!(text, "  LEFT OUT: {missing}");
    }
    for (section, legend) in comparison::legends(&report.sections) {
        let _ = writeln!(text, "\n{}: {}", section.scenario.name, section.description);
        if let Some(legend) = legend {
            let _ = writeln!(text, "{legend}");
        }
        write_table(&mut text, &comparison::of_section(section));
        for note in &section.notes {
            let _ = writeln!(text, "{note}.");
        }
    }
    if let Some(multiples) = summary::multiples(report) {
        text.push_str("\nlasthop as a multiple of nginx and of the better of nginx and haproxy\n");
        write_table(&mut text, &multiples);
    }
    if let Some(promises) = summary::promises(report) {
        text.push_str("\nWhat is aimed at\n");
        write_table(&mut text, &promises);
    }
    let _ = writeln!(text, "\n{}.", report.disturbance());
    let failures: Vec<String> = report.failures().collect();
    if !failures.is_empty() {
        let _ = writeln!(
            text,
            "\n{} RUNS FAILED and are in no figure:",
            failures.len()
        );
        for failure in failures {
            let _ = writeln!(text, "  {failure}");
        }
    }
    text
}

pub(crate) fn write_table(text: &mut String, table: &Table) {
    for row in table::aligned(table) {
        let _ = writeln!(text, "{}", row.join("  ").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    #[test]
    fn a_missing_rival_and_a_failed_run_are_said_loudly() {
        let text = render(&sample::report());
        assert!(text.contains("LEFT OUT: haproxy: not in PATH"), "{text}");
        assert!(
            text.contains("1 RUNS FAILED") && text.contains("nginx over TCP, round 1: status 502"),
            "{text}"
        );
    }

    #[test]
    fn every_proxy_has_a_version_and_a_row_in_each_table() {
        let text = render(&sample::report());
        assert!(text.contains("nginx: nginx \"1.0\" (/bin/nginx)"), "{text}");
        assert_eq!(
            text.lines().filter(|line| line.starts_with("TCP ")).count(),
            8,
            "{text}"
        );
    }
}
