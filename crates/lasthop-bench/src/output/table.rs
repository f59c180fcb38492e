//! A table as cells, and the alignment of its columns.
//!
//! Built once for terminal and document, so that the two cannot differ. What is in the tables of a comparison is
//! [`super::comparison`]'s and [`super::summary`]'s.

use crate::spread::Spread;

/// In the place of a figure that does not exist.
pub(super) const NOTHING: &str = "–";

/// Headings, units included, and rows of as many cells.
#[derive(Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) headings: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
    /// How many columns on the left are words; the others are figures, to the right.
    pub(crate) words: usize,
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

/// A median with its range.
pub(super) fn text(spread: Option<Spread>, decimals: usize) -> String {
    spread.map_or_else(|| NOTHING.to_owned(), |spread| spread.text(decimals))
}

/// A median alone.
pub(super) fn median(spread: Option<Spread>, decimals: usize) -> String {
    spread.map_or_else(
        || NOTHING.to_owned(),
        |spread| format!("{:.decimals$}", spread.median),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rows_are_equally_wide() {
        let table = Table {
            headings: vec!["proxy", "µs"],
            rows: vec![
                vec!["a".into(), "1000".into()],
                vec!["longer".into(), "–".into()],
            ],
            words: 1,
        };
        let rows = aligned(&table);
        assert_eq!(rows[1], ["a     ", "1000"]);
        assert_eq!(rows[2], ["longer", "   –"]);
        let width = |row: &[String]| row.iter().map(|cell| cell.chars().count()).sum::<usize>();
        assert!(rows.iter().all(|row| width(row) == width(&rows[0])));
    }
}
