//! The picture of the story: connections in TIME_WAIT over time, the ports there are as a line above them, and what was
//! refused beneath.
//!
//! Pure: samples in, text out. Sixty columns and twelve lines, so that it fits on any terminal with its labels; each cell
//! of blocks has eight steps. In ASCII a cell has three.

use std::fmt::Write as _;
use std::time::Duration;

use super::watch::{PERIOD, Sample};
use crate::demo::report::grouped_count;
use crate::demo::screen::{Glyphs, Screen};

/// Columns, each as long as the samples are apart.
pub(super) const COLUMNS: usize = 60;
/// Lines beneath the one of the limit.
const LINES: usize = 11;
/// Steps of a cell.
const STEPS: usize = 8;
/// Width of the labels on the left.
const LABEL_WIDTH: usize = 7;

/// One column, in steps; `refused` is a count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Column {
    time_wait: usize,
    held: usize,
    refused: u64,
}

/// What the chart is drawn with.
struct Pens {
    /// A cell by the number of its steps.
    steps: [char; STEPS + 1],
    /// A cell of ports that are in use and not in TIME_WAIT.
    other: char,
    limit: char,
    /// The left edge: at a label, without one, and where it meets the axis.
    edge: [char; 3],
    /// The axis: between two seconds, and at one.
    axis: [char; 2],
}

impl Pens {
    const fn of(glyphs: Glyphs) -> Self {
        match glyphs {
            Glyphs::Unicode => Self {
                steps: [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
                other: '░',
                limit: '─',
                edge: ['┤', '│', '└'],
                axis: ['─', '┬'],
            },
            Glyphs::Ascii => Self {
                steps: [' ', '.', '.', '.', ':', ':', ':', '#', '#'],
                other: '%',
                limit: '-',
                edge: ['+', '|', '+'],
                axis: ['-', '+'],
            },
        }
    }
}

/// The chart with its legend, ending with a line feed. `limit` is the number of ports there are.
pub(super) fn chart(samples: &[Sample], limit: u64, screen: Screen) -> String {
    let pens = Pens::of(screen.glyphs);
    let colour = screen.colour;
    let columns = columns(samples, limit);
    let mut text = format!(
        "{:LABEL_WIDTH$}  {} in TIME_WAIT   {} in use otherwise   {} all the source ports there are\n",
        "", pens.steps[STEPS], pens.other, pens.limit
    );
    let line: String = [pens.limit; COLUMNS].iter().collect();
    push_line(
        &mut text,
        &grouped_count(limit),
        pens.edge[0],
        &colour.red(&line),
    );
    for from_top in 0..LINES {
        let below = (LINES - 1 - from_top) * STEPS;
        let cells: String = columns
            .iter()
            .map(|column| cell(column, below, &pens))
            .collect();
        let is_middle = from_top == LINES / 2;
        let (label, edge) = match is_middle {
            true => (grouped_count(limit / 2), pens.edge[0]),
            false => (String::new(), pens.edge[1]),
        };
        push_line(&mut text, &label, edge, &colour.yellow(cells.trim_end()));
    }
    let is_second = |column: usize| column.is_multiple_of(columns_per_second());
    let axis: String = (0..COLUMNS)
        .map(|column| pens.axis[usize::from(is_second(column))])
        .collect();
    push_line(&mut text, "0", pens.edge[2], &axis);
    let mut seconds = String::new();
    for column in (0..COLUMNS).filter(|column| is_second(*column)) {
        // Writing to a String cannot fail.
        let _ = write!(
            seconds,
            "{:<width$}",
            format!("{} s", column / columns_per_second()),
            width = columns_per_second()
        );
    }
    push_line(&mut text, "", ' ', seconds.trim_end());
    let refused = refused(&columns, &pens);
    push_line(&mut text, "refused", ' ', &colour.red(refused.trim_end()));
    text
}

fn columns_per_second() -> usize {
    usize::try_from(Duration::from_secs(1).as_millis() / PERIOD.as_millis()).unwrap_or(1)
}

fn push_line(text: &mut String, label: &str, edge: char, cells: &str) {
    let line = format!("{label:>LABEL_WIDTH$} {edge}{cells}");
    text.push_str(line.trim_end());
    text.push('\n');
}

/// The samples by columns; one that is missing is as the one before it.
fn columns(samples: &[Sample], limit: u64) -> [Column; COLUMNS] {
    let steps = |count: u64| {
        let all = (LINES * STEPS) as u64;
        let steps = (count * all).checked_div(limit).unwrap_or(0).min(all);
        // What is there is seen.
        usize::try_from(steps.max(count.min(1))).unwrap_or(LINES * STEPS)
    };
    let mut columns = [Column::default(); COLUMNS];
    let mut rest = samples.iter().peekable();
    let mut last = Sample::default();
    let mut due = PERIOD / 2;
    for column in &mut columns {
        due += PERIOD;
        let refused_before = last.refused;
        while let Some(sample) = rest.next_if(|sample| sample.at <= due) {
            last = *sample;
        }
        *column = Column {
            time_wait: steps(last.time_wait),
            held: steps(last.held),
            refused: last.refused.saturating_sub(refused_before),
        };
    }
    columns
}

/// The cell of a column whose lower edge has `below` steps beneath it.
fn cell(column: &Column, below: usize, pens: &Pens) -> char {
    let time_wait = column.time_wait.saturating_sub(below).min(STEPS);
    let held = column.held.saturating_sub(below).min(STEPS);
    if time_wait == 0 && held >= STEPS / 2 {
        pens.other
    } else {
        pens.steps[time_wait]
    }
}

/// One line of refusals, the column with most of them as high as a cell.
fn refused(columns: &[Column], pens: &Pens) -> String {
    let most = columns.iter().map(|column| column.refused).max();
    let most = most.unwrap_or(0).max(1);
    let cell = |column: &Column| {
        let steps = (column.refused * STEPS as u64).div_ceil(most);
        pens.steps[usize::try_from(steps).map_or(STEPS, |steps| steps.min(STEPS))]
    };
    columns.iter().map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::screen::{Colour, Progress};

    const LIMIT: u64 = 600;

    fn screen(glyphs: Glyphs) -> Screen {
        Screen {
            colour: Colour::Off,
            glyphs,
            progress: Progress::Off,
        }
    }

    /// 300 a second until there is no port left, then refusals.
    fn story() -> Vec<Sample> {
        (1..=60_u32)
            .map(|number| {
                let asked = u64::from(number) * 30;
                Sample {
                    at: PERIOD * number,
                    held: asked.min(LIMIT),
                    time_wait: asked.min(LIMIT),
                    refused: asked.saturating_sub(LIMIT),
                }
            })
            .collect()
    }

    /// The lines of the chart between legend and axis.
    fn area(chart: &str) -> Vec<&str> {
        chart.lines().skip(2).take(LINES).collect()
    }

    #[test]
    fn the_plateau_touches_the_line_of_the_limit_and_stays_there() {
        let chart = chart(&story(), LIMIT, screen(Glyphs::Unicode));
        let lines: Vec<&str> = chart.lines().collect();
        assert_eq!(lines.len(), 1 + 1 + LINES + 3, "{chart}");
        assert!(lines[1].starts_with("    600 ┤───"), "{chart}");
        assert_eq!(lines[1].matches('─').count(), COLUMNS, "{chart}");
        // From the twentieth of sixty columns on it is full.
        assert!(area(&chart)[0].ends_with(&"█".repeat(41)), "{chart}");
        assert_eq!(area(&chart)[0].matches('█').count(), 41, "{chart}");
        assert!(area(&chart)[LINES / 2].starts_with("    300 ┤"), "{chart}");
        assert!(chart.contains("0 s       1 s       2 s"), "{chart}");
        let refused = lines.last().unwrap();
        assert!(refused.starts_with("refused "), "{chart}");
        assert_eq!(refused.matches('█').count(), 40, "{chart}");
        for line in lines {
            assert!(line.chars().count() < 80, "{line}");
            assert!(!line.ends_with(' '), "{line:?}");
        }
    }

    #[test]
    fn in_ascii_it_has_the_same_shape() {
        let ascii = chart(&story(), LIMIT, screen(Glyphs::Ascii));
        assert!(ascii.is_ascii(), "{ascii}");
        assert_eq!(area(&ascii)[0].matches('#').count(), 41, "{ascii}");
    }

    #[test]
    fn a_sample_that_is_missing_is_as_the_one_before_it() {
        let mut samples = story();
        let whole = columns(&samples, LIMIT);
        samples.remove(9);
        let holed = columns(&samples, LIMIT);
        assert_eq!(holed[9].time_wait, holed[8].time_wait);
        assert_eq!(holed[10], whole[10]);
    }

    #[test]
    fn a_refusal_that_came_while_no_sample_was_taken_is_in_the_next_column() {
        let mut samples = story();
        samples.drain(30..40);
        let holed = columns(&samples, LIMIT);
        let all: u64 = holed.iter().map(|column| column.refused).sum();
        assert_eq!(all, 1800 - LIMIT);
    }

    #[test]
    fn ports_in_use_otherwise_stand_on_those_in_time_wait() {
        let sample = Sample {
            at: PERIOD,
            held: LIMIT,
            time_wait: LIMIT / 2,
            refused: 0,
        };
        let chart = chart(&[sample], LIMIT, screen(Glyphs::Unicode));
        assert_eq!(area(&chart)[0].matches('░').count(), COLUMNS, "{chart}");
        assert_eq!(area(&chart)[10].matches('█').count(), COLUMNS, "{chart}");
    }

    #[test]
    fn nothing_at_all_is_an_empty_chart() {
        let chart = chart(&[], 0, screen(Glyphs::Unicode));
        assert!(
            area(&chart).iter().all(|line| !line.contains('█')),
            "{chart}"
        );
    }
}
