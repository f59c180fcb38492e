//! A report as JSON (RFC 8259), every run of it, for programs that compare readings over time.
//!
//! One object: the conditions; `proxies`, an array of `{name, version, binary}`; `missing`, an array of sentences;
//! `criteria`, an array of `{scenario, figure, transport, bound, measured, met}`, the figure in words, the last two null
//! where it was not to be had; and
//! `scenarios`, an array of `{name, description, transport, notes, runs}` with one entry for each scenario and transport. A run
//! is `{proxy, round, …}` with its figures, whose names end with their units, or with `error` in their place.
//!
//! | scenarios | figures |
//! |---|---|
//! | `keepalive-*`, `connections-*`, `mixed`, `body-*`, `upload-*`, `closing-*` | `user_microseconds` and `system_microseconds` per request, `requests_per_second`, `p50_milliseconds`, `p99_milliseconds` (closed loop), `others_percent` (of the proxy's core in other hands) |
//! | `latency` | `per_second` (asked for), `reached_per_second`, `p50_milliseconds`, `p90_milliseconds`, `p99_milliseconds`, `p999_milliseconds` (open loop; lower bounds where less than everything was answered), `answered_percent`, `late_percent`, `cpu_microseconds` per answer, `others_percent` |
//! | `connect` | `few_cpu_microseconds`, `few_p50_microseconds`, `few_p99_microseconds` of a set-up, and the same with `many_` |
//! | `workers` | `one_cpu_microseconds`, `one_requests_per_second`, `two_cpu_microseconds`, `two_requests_per_second` |
//! | `memory-*` | `connections`, `pss_before_bytes`, `pss_held_bytes`, `per_connection_bytes` |
//!
//! `hold`, `fill` and `million` write theirs in the same manner; the shapes are in their files beside this one.
//!
//! Written by hand: so few keys do not pay for a serialiser, and nothing is read back.

use std::fmt::Write as _;

use crate::criteria::{self, Verdict};
use crate::experiment::{Comparison, Sample};
use crate::report::{Readings, Report, Section};
use crate::rival::Fields;

/// The whole report as one object, ending with a line feed.
pub(crate) fn render(report: &Report) -> String {
    let proxies = report.proxies.iter().map(|proxy| {
        object([
            ("name", string(proxy.rival.name())),
            ("version", string(&proxy.version)),
            ("binary", string(&proxy.binary.display().to_string())),
        ])
    });
    let members = [
        ("experiment", string("compare")),
        ("kernel", string(&report.machine.kernel)),
        ("processor", string(&report.machine.processor)),
        ("cores", report.machine.cores.to_string()),
        (
            "congestion_control",
            string(&report.machine.congestion_control),
        ),
        ("load_average", number(report.machine.load_average)),
        ("pinning", string(&report.cores)),
        ("load", string(&report.load)),
        ("seconds", report.seconds.to_string()),
        ("rounds", report.rounds.to_string()),
        ("rounds_of_others", report.rounds_of_others.to_string()),
        ("rate_percent", report.rate_percent.to_string()),
        ("same_fields", (report.fields == Fields::Same).to_string()),
        ("proxies", array(proxies)),
        (
            "missing",
            array(report.missing.iter().map(|missing| string(missing))),
        ),
        (
            "criteria",
            array(criteria::judge(report).iter().map(verdict)),
        ),
        (
            "scenarios",
            array(report.sections.iter().flat_map(scenarios)),
        ),
    ];
    let mut text = object(members);
    text.push('\n');
    text
}

fn verdict(verdict: &Verdict) -> String {
    object([
        ("scenario", string(verdict.scenario)),
        ("figure", string(verdict.figure.in_words())),
        ("transport", string(verdict.transport)),
        ("bound", number(verdict.bound)),
        (
            "measured",
            number(verdict.measured.map_or(f64::NAN, |one| one.median)),
        ),
        (
            "met",
            verdict
                .is_met()
                .map_or("null".to_owned(), |met| met.to_string()),
        ),
    ])
}

fn scenarios(section: &Section) -> Vec<String> {
    match &section.readings {
        Readings::Throughput(readings) => comparisons(section, readings),
        Readings::Workers(readings) => comparisons(section, readings),
        Readings::Latency(readings) => comparisons(section, readings),
        Readings::Connect(readings) => comparisons(section, readings),
        Readings::Memory(readings) => comparisons(section, readings),
    }
}

fn comparisons<S: Sample>(section: &Section, readings: &[Comparison<S>]) -> Vec<String> {
    readings
        .iter()
        .map(|comparison| {
            object([
                ("name", string(section.scenario.name)),
                ("description", string(&section.description)),
                ("transport", string(comparison.transport)),
                (
                    "notes",
                    array(section.notes.iter().map(|note| string(note))),
                ),
                ("runs", array(runs(comparison))),
            ])
        })
        .collect()
}

fn runs<S: Sample>(comparison: &Comparison<S>) -> impl Iterator<Item = String> {
    comparison.runs.iter().flat_map(|runs| {
        runs.rounds.iter().enumerate().map(|(index, outcome)| {
            let mut members = vec![
                ("proxy", string(runs.proxy.name())),
                ("round", (index + 1).to_string()),
            ];
            match outcome {
                Ok(sample) => members.extend(
                    sample
                        .figures()
                        .into_iter()
                        .map(|(name, figure)| (name, number(figure))),
                ),
                Err(reason) => members.push(("error", string(reason))),
            }
            object(members)
        })
    })
}

pub(crate) fn object<'a>(members: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let members: Vec<String> = members
        .into_iter()
        .map(|(name, value)| format!("{}:{value}", string(name)))
        .collect();
    format!("{{{}}}", members.join(","))
}

pub(crate) fn array(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}

/// JSON knows neither infinity nor NaN; a figure that is none is null.
pub(crate) fn number(figure: f64) -> String {
    if figure.is_finite() {
        format!("{figure:.3}")
    } else {
        "null".to_owned()
    }
}

/// A string with the escapes that RFC 8259, section 7, requires.
pub(crate) fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if u32::from(control) < 0x20 => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(string("a\"b\\c\nd–"), "\"a\\\"b\\\\c\\u000ad–\"");
    }

    #[test]
    fn a_figure_that_is_none_is_null() {
        assert_eq!(number(f64::NAN), "null");
        assert_eq!(number(1.0 / 3.0), "0.333");
    }

    #[test]
    fn every_run_is_there_and_the_braces_match() {
        let text = render(&sample::report());
        assert_eq!(text.matches("\"user_microseconds\":").count(), 4);
        assert_eq!(text.matches("\"p999_milliseconds\":").count(), 2);
        assert_eq!(text.matches("\"per_connection_bytes\":").count(), 1);
        assert!(
            text.contains("\"error\":\"status 502\\u000a    said nginx\""),
            "{text}"
        );
        assert!(text.contains("\"version\":\"nginx \\\"1.0\\\"\""), "{text}");
        for (open, close) in [('{', '}'), ('[', ']')] {
            assert_eq!(text.matches(open).count(), text.matches(close).count());
        }
    }
}
