//! The report of `churn`: for the terminal, as JSON, and as a section of the document.
//!
//! JSON: one object with the conditions; `before` and `after`, and `readings` in their order, each
//! `{seconds, open, pss_bytes, own_bytes}`; `growth_bytes_an_hour`, which is `{median, low, high}` or null; `verdict`, which is
//! `level`, `growing` or `unclear`; and `clients`, an array of `{kind, served, failed}`.

use std::fmt::Write as _;

use super::document;
use super::hold::grouped;
use super::json::{array, number, object, string};
use super::table::Table;
use super::text::write_table;
use crate::churn::{ChurnReport, Fate, GROWTH_MAX, Kind, Reading, Verdict};
use crate::spread::Spread;

const LEGEND: &str = "Own memory is RssAnon, what is not mapped from a file. Growth is the median slope over all pairs of readings, \
    with the interval in which the true one lies in 95 of 100 cases; the first tenth of the time, and 5 min at least, does not count.";

pub(crate) fn text(report: &ChurnReport) -> String {
    let mut text = format!("{}\n\n{LEGEND}\n\n", method(report));
    write_table(&mut text, &memory(report));
    let _ = writeln!(text, "\n{}\n", verdict(report)); // cannot fail, here and below
    write_table(&mut text, &clients(report));
    for (kind, fate) in kinds(report) {
        for (reason, count) in fate.failed.reasons() {
            let _ = writeln!(text, "FAILED: {}: {count} × {reason}", kind.name());
        }
    }
    text
}

pub(crate) fn markdown(report: &ChurnReport) -> String {
    let mut text = format!(
        "## Memory while clients come and go\n\n{}\n\n",
        method(report)
    );
    document::write_table(&mut text, &memory(report));
    let _ = writeln!(text, "\n{} {LEGEND}\n", verdict(report));
    document::write_table(&mut text, &clients(report));
    let _ = writeln!(
        text,
        "\n- Host: {}.\n- lasthop: `{}`\n\nTo repeat:\n\n```sh\ncargo build --release\n\
         cargo run --release -p lasthop-bench -- churn --minutes {} --per-second {}\n```",
        report.machine.in_words(),
        report.version,
        report.minutes,
        report.per_second
    );
    text
}

pub(crate) fn json(report: &ChurnReport) -> String {
    let growth = report.growth().map(|growth| {
        object([
            ("median", number(growth.median)),
            ("low", number(growth.low)),
            ("high", number(growth.high)),
        ])
    });
    let clients = kinds(report).map(|(kind, fate)| {
        object([
            ("kind", string(kind.name())),
            ("served", fate.served.to_string()),
            ("failed", fate.failed.failure_count().to_string()),
        ])
    });
    let verdict = match report.verdict() {
        Verdict::Level => "level",
        Verdict::Growing => "growing",
        Verdict::Unclear => "unclear",
    };
    let mut text = object([
        ("experiment", string("churn")),
        ("kernel", string(&report.machine.kernel)),
        ("processor", string(&report.machine.processor)),
        ("cores", report.machine.cores.to_string()),
        (
            "congestion_control",
            string(&report.machine.congestion_control),
        ),
        ("load_average", number(report.machine.load_average)),
        ("lasthop", string(&report.version)),
        ("minutes", report.minutes.to_string()),
        ("clients_per_second", report.per_second.to_string()),
        ("core_part", number(report.core_part)),
        ("before", reading(&report.before)),
        ("readings", array(report.readings.iter().map(reading))),
        ("after", reading(&report.after)),
        (
            "growth_bytes_an_hour",
            growth.unwrap_or_else(|| "null".to_owned()),
        ),
        ("verdict", string(verdict)),
        ("clients", array(clients)),
        ("left_out", report.left_out.to_string()),
    ]);
    text.push('\n');
    text
}

fn reading(reading: &Reading) -> String {
    object([
        ("seconds", number(reading.at.as_secs_f64())),
        ("open", reading.open.to_string()),
        ("pss_bytes", reading.pss_bytes.to_string()),
        ("own_bytes", reading.own_bytes.to_string()),
    ])
}

fn kinds(report: &ChurnReport) -> impl Iterator<Item = (Kind, &Fate)> {
    Kind::ALL.into_iter().zip(&report.fates)
}

fn method(report: &ChurnReport) -> String {
    let served: u64 = report.fates.iter().map(|fate| fate.served).sum();
    let left_out = match report.left_out {
        0 => String::new(),
        some => format!(" ({some} were left out because too many were open)"),
    };
    format!(
        "{} clients, {} each second for {} min{left_out}, through one worker over TCP and Unix sockets, the access log on; \
         lasthop used {:.1} % of a core.",
        grouped(usize::try_from(served).unwrap_or(usize::MAX)),
        report.per_second,
        report.minutes,
        100.0 * report.core_part
    )
}

fn verdict(report: &ChurnReport) -> String {
    let Some(growth) = report.growth() else {
        return "Too short a time for a verdict.".to_owned();
    };
    let kibibytes = |bytes: f64| format!("{:+.0}", bytes / 1024.0);
    let figures = format!(
        "{} KiB an hour ({} to {})",
        kibibytes(growth.median),
        kibibytes(growth.low),
        kibibytes(growth.high)
    );
    match report.verdict() {
        Verdict::Level => format!("Memory does not grow: {figures}."),
        Verdict::Growing => format!("MEMORY GROWS: {figures}."),
        Verdict::Unclear => format!(
            "Too short a time to tell whether memory grows by more than {:.0} KiB an hour: {figures}.",
            GROWTH_MAX / 1024.0
        ),
    }
}

/// A figure of a reading.
type Figure = fn(&Reading) -> u64;

fn memory(report: &ChurnReport) -> Table {
    let figures: [Figure; 3] = [
        |one| one.open as u64,
        |one| one.own_bytes >> 10,
        |one| one.pss_bytes >> 10,
    ];
    let row = |name: &str, readings: &[Reading]| {
        let mut cells = vec![name.to_owned()];
        cells.extend(figures.iter().map(|figure| median(readings, *figure)));
        cells
    };
    let settled = report.settled();
    let third = settled.len().div_ceil(3);
    let rows = vec![
        row("before the first client", &[report.before]),
        row("first third", &settled[..third]),
        row("last third", &settled[settled.len() - third..]),
        row("after the last client", &[report.after]),
    ];
    Table {
        headings: vec!["when", "clients", "own KiB", "Pss KiB"],
        rows,
        words: 1,
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "kibibytes of memory stay below 2^53"
)]
fn median(readings: &[Reading], figure: Figure) -> String {
    let spread = Spread::of(readings.iter().map(|one| figure(one) as f64));
    match spread {
        None => "–".to_owned(),
        Some(one) if one.min == one.max => format!("{:.0}", one.median),
        Some(several) => several.text(0),
    }
}

fn clients(report: &ChurnReport) -> Table {
    let rows = kinds(report).map(|(kind, fate)| {
        vec![
            kind.name().to_owned(),
            grouped(usize::try_from(fate.served).unwrap_or(usize::MAX)),
            fate.failed.failure_count().to_string(),
        ]
    });
    Table {
        headings: vec!["clients", "as they should", "failed"],
        rows: rows.collect(),
        words: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    #[test]
    fn growth_is_said_loudly_and_its_absence_plainly() {
        let level = text(&sample::churn(0));
        assert!(level.contains("Memory does not grow: "), "{level}");
        assert!(!level.contains("FAILED"), "{level}");
        let growing = text(&sample::churn(100_000));
        assert!(growing.contains("MEMORY GROWS: +5"), "{growing}");
    }

    #[test]
    fn a_client_that_failed_is_said_with_its_reason() {
        let mut report = sample::churn(0);
        report.fates[0].failed.failed("status 502 instead of 200");
        let text = text(&report);
        assert!(
            text.contains("FAILED: kept alive: 1 × status 502 instead of 200"),
            "{text}"
        );
    }

    #[test]
    fn every_reading_is_in_the_json_and_the_braces_match() {
        let text = json(&sample::churn(0));
        assert_eq!(text.matches("\"own_bytes\":").count(), 62);
        assert!(text.contains("\"verdict\":\"level\""), "{text}");
        for (open, close) in [('{', '}'), ('[', ']')] {
            assert_eq!(text.matches(open).count(), text.matches(close).count());
        }
    }

    #[test]
    fn the_section_says_how_to_repeat_it() {
        let section = markdown(&sample::churn(0));
        assert!(
            section.contains("lasthop-bench -- churn --minutes 60 --per-second 200"),
            "{section}"
        );
    }
}
