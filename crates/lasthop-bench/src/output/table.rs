//! The cells of the table of an experiment, and their alignment.

use crate::keepalive::{Row, ratio_to_nginx};
use crate::measure::Sample;

/// The columns, units included.
pub(crate) const HEADINGS: [&str; 10] = [
    "app over",
    "proxy",
    "CPU µs/request",
    "of nginx'",
    "user",
    "system",
    "busy %",
    "requests/s",
    "p50 ms",
    "p99 ms",
];
/// How many of the columns are words, to the left; the others are figures, to the right.
pub(crate) const WORD_COLUMNS: usize = 2;

/// One row of cells per proxy and transport, in the order of `rows`.
pub(crate) fn cells(rows: &[Row]) -> Vec<[String; HEADINGS.len()]> {
    rows.iter()
        .map(|row| {
            let median = |figure: fn(&Sample) -> f64, decimals: usize| {
                row.spread(figure).map_or_else(String::new, |spread| {
                    format!("{:.decimals$}", spread.median)
                })
            };
            [
                row.transport.to_owned(),
                row.proxy.name().to_owned(),
                row.spread(Sample::cpu_microseconds)
                    .map_or_else(String::new, |spread| spread.text(1)),
                ratio_to_nginx(row, rows).map_or_else(|| "–".to_owned(), |spread| spread.text(2)),
                median(|sample| sample.user_microseconds, 1),
                median(|sample| sample.system_microseconds, 1),
                median(Sample::busy_percent, 0),
                row.spread(|sample| sample.requests_per_second)
                    .map_or_else(String::new, |spread| spread.text(0)),
                median(|sample| sample.p50_milliseconds, 2),
                median(|sample| sample.p99_milliseconds, 2),
            ]
        })
        .collect()
}

/// Pads each column to its widest cell; words to the left, figures to the right. The first of the rows given back is
/// the headings.
pub(crate) fn aligned(cells: &[[String; HEADINGS.len()]]) -> Vec<[String; HEADINGS.len()]> {
    let headings = HEADINGS.map(str::to_owned);
    let mut rows = vec![headings];
    rows.extend(cells.iter().cloned());
    let mut widths = [0; HEADINGS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &mut rows {
        for (column, (cell, width)) in row.iter_mut().zip(widths).enumerate() {
            *cell = if column < WORD_COLUMNS {
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

    #[test]
    fn the_ratio_stands_beside_the_cpu_time() {
        let cells = cells(&sample::report().rows);
        assert_eq!(cells[0][2], "20.0 (20.0–20.0)");
        assert_eq!(cells[0][3], "0.80 (0.80–0.80)");
        assert_eq!(cells[1][3], "1.00 (1.00–1.00)");
    }

    #[test]
    fn all_rows_are_equally_wide() {
        let rows = aligned(&cells(&sample::report().rows));
        let width = |row: &[String; HEADINGS.len()]| {
            row.iter().map(|cell| cell.chars().count()).sum::<usize>()
        };
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|row| width(row) == width(&rows[0])));
    }
}
