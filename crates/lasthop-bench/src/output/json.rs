//! A report as JSON (RFC 8259), every run of it, for programs that compare readings over time.
//!
//! Written by hand: a dozen keys do not pay for a serialiser, and nothing is read back.

use std::fmt::Write as _;

use crate::keepalive::Row;
use crate::measure::Sample;
use crate::report::Report;
use crate::rival::Fields;

/// The whole report as one object, ending with a line feed. Times are in the units that their names end with.
pub(crate) fn render(report: &Report) -> String {
    let proxies = report.proxies.iter().map(|proxy| {
        format!(
            "{{\"name\":{},\"version\":{},\"binary\":{}}}",
            string(proxy.rival.name()),
            string(&proxy.version),
            string(&proxy.binary.display().to_string())
        )
    });
    let members = [
        ("experiment", string("keepalive")),
        ("kernel", string(&report.machine.kernel)),
        ("processor", string(&report.machine.processor)),
        ("cores", report.machine.cores.to_string()),
        ("load_average", number(report.machine.load_average)),
        ("pinning", string(&report.cores)),
        ("load", string(&report.load.to_string())),
        ("clients", report.clients.to_string()),
        ("seconds", report.seconds.to_string()),
        ("rounds", report.rounds.to_string()),
        ("body_bytes", report.body_bytes.to_string()),
        ("same_fields", (report.fields == Fields::Same).to_string()),
        ("proxies", array(proxies)),
        (
            "missing",
            array(report.missing.iter().map(|missing| string(missing))),
        ),
        ("rows", array(report.rows.iter().map(row))),
    ];
    let mut text = object(members);
    text.push('\n');
    text
}

fn row(row: &Row) -> String {
    object([
        ("transport", string(row.transport)),
        ("proxy", string(row.proxy.name())),
        ("runs", array(row.samples.iter().map(sample))),
    ])
}

fn sample(sample: &Sample) -> String {
    object([
        ("user_microseconds", number(sample.user_microseconds)),
        ("system_microseconds", number(sample.system_microseconds)),
        ("requests_per_second", number(sample.requests_per_second)),
        ("p50_milliseconds", number(sample.p50_milliseconds)),
        ("p99_milliseconds", number(sample.p99_milliseconds)),
    ])
}

fn object<const N: usize>(members: [(&str, String); N]) -> String {
    let members = members.map(|(name, value)| format!("{}:{value}", string(name)));
    format!("{{{}}}", members.join(","))
}

fn array(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}

/// JSON knows neither infinity nor NaN; a figure that is none is null.
fn number(figure: f64) -> String {
    if figure.is_finite() {
        format!("{figure:.3}")
    } else {
        "null".to_owned()
    }
}

/// A string with the escapes that RFC 8259, section 7, requires.
fn string(text: &str) -> String {
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
        assert_eq!(text.matches("\"user_microseconds\":").count(), 2);
        assert!(text.contains("\"version\":\"nginx \\\"1.0\\\"\""), "{text}");
        for (open, close) in [('{', '}'), ('[', ']')] {
            assert_eq!(text.matches(open).count(), text.matches(close).count());
        }
    }
}
