//! The tables of a report, as cells, and their alignment.
//!
//! Built once for terminal and document, so that the two cannot differ.

use crate::experiment::latency::Latency;
use crate::experiment::memory::Memory;
use crate::experiment::throughput::Throughput;
use crate::experiment::{BETTER, Comparison, NGINX, Runs};
use crate::report::{Readings, Report, Section};
use crate::rival::Rival;
use crate::scenario::{LARGE, Work};
use crate::spread::Spread;

/// Columns on the left that are words, in the tables of a comparison.
const WORD_COLUMNS: usize = 2;
/// In the place of a figure that does not exist.
const NOTHING: &str = "–";
/// In the place of a latency that has no bound.
const OVERLOADED: &str = "overloaded";
const GIB: f64 = (1_u64 << 30) as f64;

/// Headings, units included, and rows of as many cells.
#[derive(Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) headings: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
    /// How many columns on the left are words; the others are figures, to the right.
    pub(crate) words: usize,
}

/// The table of a scenario.
pub(crate) fn of_section(section: &Section) -> Table {
    match &section.readings {
        Readings::Throughput(readings) => {
            let large = match section.scenario.work {
                Work::Throughput(traffic) => traffic.body_bytes == LARGE,
                Work::Latency | Work::Memory(_) => false,
            };
            throughput(readings, large)
        }
        Readings::Latency(readings) => latency(readings),
        Readings::Memory(readings) => memory(readings),
    }
}

/// What the columns of [`of_section`] mean, where their headings do not say it all.
pub(crate) fn legend(section: &Section) -> &'static str {
    match section.readings {
        Readings::Throughput(_) => {
            "CPU is user and system time of all processes of the proxy; busy is how much of its core it used; \
             p50 and p99 are of the closed loop, in which a slow proxy is asked less often."
        }
        Readings::Latency(_) => {
            "Open loop, the same rate for all; late is what the load generator itself sent more than a millisecond late, \
             overloaded is a proxy that did not answer everything within a second of the end."
        }
        Readings::Memory(_) => {
            "The difference between the readings with all and with no connection held, divided by their number. What nginx and \
             HAProxy set aside for connections when they start is in the reading with none."
        }
    }
}

/// lasthop's figures as multiples of the best that nginx and HAProxy have to offer; `None` without one of the sides.
pub(crate) fn summary(report: &Report) -> Option<Table> {
    let rows: Vec<Vec<String>> = report.sections.iter().filter_map(summary_row).collect();
    (!rows.is_empty()).then_some(Table {
        headings: vec!["scenario", "figure", "over TCP", "over a Unix socket"],
        rows,
        words: WORD_COLUMNS,
    })
}

fn summary_row(section: &Section) -> Option<Vec<String>> {
    let (figure, ratios) = match &section.readings {
        Readings::Throughput(readings) => (
            "CPU per request",
            ours(readings, BETTER, Throughput::cpu_microseconds),
        ),
        Readings::Latency(readings) => (
            "p99 at the same rate",
            ours(readings, BETTER, |one| one.p99_milliseconds),
        ),
        Readings::Memory(readings) => (
            "memory per connection",
            ours(readings, BETTER, Memory::bytes_each),
        ),
    };
    if ratios.iter().all(Option::is_none) {
        return None;
    }
    let mut row = vec![section.scenario.name.to_owned(), figure.to_owned()];
    row.extend(ratios.into_iter().map(|ratio| text(ratio, 2)));
    Some(row)
}

fn ours<S>(
    readings: &[Comparison<S>],
    yardsticks: &'static [Rival],
    figure: impl Fn(&S) -> f64 + Copy,
) -> Vec<Option<Spread>> {
    readings
        .iter()
        .map(|comparison| {
            let ours = comparison
                .runs
                .iter()
                .find(|runs| runs.proxy == Rival::Lasthop)?;
            comparison.ratio(ours, yardsticks, figure)
        })
        .collect()
}

/// One row for each proxy and transport: the first two cells, then those that `cells` makes.
fn table<S>(
    readings: &[Comparison<S>],
    headings: Vec<&'static str>,
    cells: impl Fn(&Comparison<S>, &Runs<S>) -> Vec<String>,
) -> Table {
    let mut rows = Vec::new();
    for comparison in readings {
        for runs in &comparison.runs {
            let mut row = vec![
                comparison.transport.to_owned(),
                runs.proxy.name().to_owned(),
            ];
            row.extend(cells(comparison, runs));
            rows.push(row);
        }
    }
    Table {
        headings,
        rows,
        words: WORD_COLUMNS,
    }
}

fn throughput(readings: &[Comparison<Throughput>], large: bool) -> Table {
    let mut headings = vec![
        "app over",
        "proxy",
        "CPU µs/request",
        "of nginx'",
        "of the better's",
        "user",
        "system",
        "busy %",
        "requests/s",
        "p50 ms",
        "p99 ms",
    ];
    if large {
        headings.insert(3, "CPU s/GiB");
    }
    table(readings, headings, |comparison, runs| {
        let cpu = Throughput::cpu_microseconds;
        #[allow(clippy::cast_precision_loss, reason = "four million is exact")]
        let per_gib = |one: &Throughput| cpu(one) / 1e6 * GIB / LARGE as f64;
        let mut cells = vec![
            text(runs.spread(cpu), 1),
            text(comparison.ratio(runs, NGINX, cpu), 2),
            text(comparison.ratio(runs, BETTER, cpu), 2),
            median(runs.spread(|one| one.user_microseconds), 1),
            median(runs.spread(|one| one.system_microseconds), 1),
            median(runs.spread(Throughput::busy_percent), 0),
            text(runs.spread(|one| one.requests_per_second), 0),
            median(runs.spread(|one| one.p50_milliseconds), 2),
            median(runs.spread(|one| one.p99_milliseconds), 2),
        ];
        if large {
            cells.insert(1, text(runs.spread(per_gib), 2));
        }
        cells
    })
}

fn latency(readings: &[Comparison<Latency>]) -> Table {
    let headings = vec![
        "app over",
        "proxy",
        "rate/s",
        "p50 ms",
        "p99 ms",
        "p99 of nginx'",
        "p99 of the better's",
        "p99.9 ms",
        "answered %",
        "late %",
        "CPU µs/request",
    ];
    table(readings, headings, |comparison, runs| {
        let kept_up = runs.rounds.iter().flatten().all(Latency::kept_up);
        let quantile = |figure: fn(&Latency) -> f64| {
            if kept_up {
                text(runs.spread(figure), 2)
            } else {
                OVERLOADED.to_owned()
            }
        };
        let p99 = |one: &Latency| one.p99_milliseconds;
        let ratio = |yardsticks| {
            let ratio = comparison.ratio(runs, yardsticks, p99);
            text(ratio.filter(|_| kept_up), 2)
        };
        vec![
            median(runs.spread(|one| one.per_second), 0),
            quantile(|one| one.p50_milliseconds),
            quantile(p99),
            ratio(NGINX),
            ratio(BETTER),
            quantile(|one| one.p999_milliseconds),
            median(runs.spread(|one| one.answered_percent), 1),
            median(runs.spread(|one| one.late_percent), 2),
            text(runs.spread(|one| one.cpu_microseconds), 1),
        ]
    })
}

fn memory(readings: &[Comparison<Memory>]) -> Table {
    let headings = vec![
        "app over",
        "proxy",
        "bytes/connection",
        "of nginx'",
        "of the better's",
        "MB with none",
        "MB with all",
    ];
    #[allow(
        clippy::cast_precision_loss,
        reason = "bytes of memory stay below 2^53"
    )]
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    table(readings, headings, |comparison, runs| {
        let each = Memory::bytes_each;
        vec![
            text(runs.spread(each), 0),
            text(comparison.ratio(runs, NGINX, each), 2),
            text(comparison.ratio(runs, BETTER, each), 2),
            median(runs.spread(|one| megabytes(one.bytes_before)), 1),
            median(runs.spread(|one| megabytes(one.bytes_held)), 1),
        ]
    })
}

fn text(spread: Option<Spread>, decimals: usize) -> String {
    spread.map_or_else(|| NOTHING.to_owned(), |spread| spread.text(decimals))
}

fn median(spread: Option<Spread>, decimals: usize) -> String {
    spread.map_or_else(
        || NOTHING.to_owned(),
        |spread| format!("{:.decimals$}", spread.median),
    )
}

/// Pads each column to its widest cell; words to the left, figures to the right. The first of the rows given back is
/// the headings.
pub(crate) fn aligned(table: &Table) -> Vec<Vec<String>> {
    let headings = table.headings.iter().map(|&heading| heading.to_owned());
    let mut rows = vec![headings.collect::<Vec<String>>()];
    rows.extend(table.rows.iter().cloned());
    let mut widths = vec![0; table.headings.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &mut rows {
        for (column, (cell, width)) in row.iter_mut().zip(&widths).enumerate() {
            *cell = if column < table.words {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            };
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    fn cell(table: &Table, row: usize, heading: &str) -> String {
        let column = table.headings.iter().position(|one| *one == heading);
        table.rows[row][column.unwrap()].clone()
    }

    #[test]
    fn the_ratios_stand_beside_the_cpu_time() {
        let report = sample::report();
        let table = of_section(&report.sections[0]);
        assert_eq!(cell(&table, 0, "CPU µs/request"), "20.0 (20.0–20.0)");
        assert_eq!(cell(&table, 0, "of nginx'"), "0.80 (0.80–0.80)");
        assert_eq!(cell(&table, 1, "of nginx'"), "1.00 (1.00–1.00)");
    }

    #[test]
    fn large_bodies_are_counted_by_the_gibibyte_too() {
        let table = of_section(&sample::report().sections[1]);
        // 20 µs for each of the 256 in a GiB.
        assert_eq!(cell(&table, 0, "CPU s/GiB"), "0.01 (0.01–0.01)");
    }

    #[test]
    fn a_proxy_that_does_not_keep_up_has_no_latency() {
        let table = of_section(&sample::report().sections[2]);
        assert_eq!(cell(&table, 0, "p99 ms"), "2.00 (2.00–2.00)");
        assert_eq!(cell(&table, 1, "p99 ms"), OVERLOADED);
        assert_eq!(cell(&table, 1, "p99 of nginx'"), NOTHING);
        assert_eq!(cell(&table, 1, "answered %"), "50.0");
    }

    #[test]
    fn a_run_that_failed_leaves_no_figure() {
        let table = of_section(&sample::report().sections[3]);
        assert_eq!(cell(&table, 0, "bytes/connection"), "1000 (1000–1000)");
        assert_eq!(cell(&table, 1, "bytes/connection"), NOTHING);
    }

    #[test]
    fn the_summary_is_about_us() {
        let summary = summary(&sample::report()).unwrap();
        assert_eq!(
            summary.rows[0],
            ["keepalive-1", "CPU per request", "0.80 (0.80–0.80)"]
        );
    }

    #[test]
    fn all_rows_are_equally_wide() {
        let rows = aligned(&of_section(&sample::report().sections[0]));
        let width = |row: &[String]| row.iter().map(|cell| cell.chars().count()).sum::<usize>();
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|row| width(row) == width(&rows[0])));
    }
}
