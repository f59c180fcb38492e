//! Lines over time, drawn: in Braille dots where the terminal has them, else in letters.
//!
//! Each line ends in its name and its value, at its own height, so nobody has to compare colours with a legend; lines
//! differ in their dashes as well. A gap stays a gap.

use ratatui::layout::Rect;

use super::pen::{Pen, Tone, columns};
use super::words;
use crate::top::model::{Chart, Line};

/// Columns for the labels of the vertical axis and the axis itself.
const AXIS_COLUMNS: u16 = 6;

/// Narrower than this, names are left out: the tops of the lines would be, otherwise.
const NAMED_COLUMNS: u16 = 36;

/// A line across the picture that nothing gets past.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wall {
    /// Its height.
    pub value: f64,
    /// What it is.
    pub name: &'static str,
}

/// Draws a chart into an area of at least 12 by 4 cells; smaller ones stay empty.
pub(super) fn draw(pen: &mut Pen<'_>, area: Rect, chart: &Chart, wall: Option<Wall>) {
    if area.width < 12 || area.height < 4 {
        return;
    }
    let labels = labels(chart, area.width);
    let label_columns = labels
        .iter()
        .map(|label| columns(label) + 1)
        .max()
        .unwrap_or(0);
    let plot = Rect::new(
        area.x + AXIS_COLUMNS,
        area.y,
        area.width.saturating_sub(AXIS_COLUMNS + label_columns),
        area.height - 1,
    );
    if plot.width < 4 {
        return;
    }
    let highest = chart.peak().max(wall.map_or(0.0, |wall| wall.value));
    let top = round_top(highest);
    axes(pen, area, plot, chart, top);
    if let Some(wall) = wall {
        across(pen, plot, wall, top);
    }
    let mut grid = Grid::new(plot, chart, top);
    // The first weighs most, so it is drawn last and lies above.
    for (number, line) in chart.lines.iter().enumerate().rev() {
        grid.line(number, line);
    }
    grid.show(pen, &chart.lines);
    name(pen, plot, chart, &labels, top);
}

/// What stands beside the end of each line.
fn labels(chart: &Chart, width: u16) -> Vec<String> {
    let label = |line: &Line| {
        let value = line.value_at(chart.to_ms);
        let is_wide = width >= NAMED_COLUMNS * 2;
        let value = value.map_or("-".to_owned(), |value| {
            if is_wide {
                words::count(value)
            } else {
                words::short(value)
            }
        });
        if width >= NAMED_COLUMNS {
            format!("{} {value}", line.name)
        } else {
            value
        }
    };
    chart.lines.iter().map(label).collect()
}

/// The next round number: 1, 2, 2.5 or 5 times a power of ten, and at least 4, so that a quarter of it is whole.
fn round_top(highest: f64) -> f64 {
    if highest <= 4.0 {
        return 4.0;
    }
    let power = 10f64.powf(highest.log10().floor());
    let steps = [1.0, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= highest);
    step.unwrap_or(10.0) * power
}

fn axes(pen: &mut Pen<'_>, area: Rect, plot: Rect, chart: &Chart, top: f64) {
    let is_unicode = pen.look().unicode;
    let (bar, tick) = if is_unicode {
        ('│', '┤')
    } else {
        ('|', '+')
    };
    let parts: u16 = if plot.height >= 9 { 4 } else { 2 };
    for y in plot.top()..plot.bottom() {
        pen.sign((plot.x - 1, y), bar, Tone::Dim);
    }
    for part in 0..=parts {
        let y = plot.bottom() - 1 - part * (plot.height - 1) / parts;
        let value = top * f64::from(part) / f64::from(parts);
        pen.text_to(
            (plot.x - 1, y),
            AXIS_COLUMNS - 1,
            &words::short(value),
            Tone::Dim,
        );
        pen.sign((plot.x - 1, y), tick, Tone::Dim);
    }
    let y = area.bottom() - 1;
    let span = (chart.to_ms - chart.from_ms) / 1000;
    let ago = |seconds: u64| {
        format!(
            "-{}",
            words::time_left(std::time::Duration::from_secs(seconds))
        )
    };
    let end = pen.text((plot.x, y), plot.width, &ago(span), Tone::Dim);
    if plot.width > 40 {
        let middle = plot.x + plot.width / 2;
        if middle > end + 2 {
            pen.text((middle - 3, y), 9, &ago(span / 2), Tone::Dim);
        }
    }
    pen.text_to((plot.right(), y), 4, "now", Tone::Dim);
}

fn across(pen: &mut Pen<'_>, plot: Rect, wall: Wall, top: f64) {
    let y = row(plot, wall.value, top);
    let sign = if pen.look().unicode { '╌' } else { '=' };
    for x in plot.left()..plot.right() {
        pen.sign((x, y), sign, Tone::Critical);
    }
    let text = format!(" {} {} ", wall.name, words::count(wall.value));
    let below = if y + 1 < plot.bottom() && y == plot.top() {
        y
    } else {
        y.max(plot.top())
    };
    pen.text(
        (plot.x + 1, below),
        plot.width.saturating_sub(2),
        &text,
        Tone::Critical,
    );
}

/// The row of cells that a value falls into.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "kept between 0 and the height on the same line"
)]
fn row(plot: Rect, value: f64, top: f64) -> u16 {
    let last = f64::from(plot.height.saturating_sub(1));
    let up = (value / top * last).round().clamp(0.0, last) as u16;
    plot.bottom().saturating_sub(1 + up)
}

/// Names at the heights of the lines' ends, pushed apart where they would lie upon each other.
fn name(pen: &mut Pen<'_>, plot: Rect, chart: &Chart, labels: &[String], top: f64) {
    let mut places: Vec<(u16, usize)> = chart
        .lines
        .iter()
        .enumerate()
        .map(|(number, line)| {
            let value = line.value_at(chart.to_ms).unwrap_or(0.0);
            (row(plot, value, top), number)
        })
        .collect();
    places.sort_unstable();
    places.truncate(plot.height.into());
    let mut lowest = plot.bottom();
    for place in places.iter_mut().rev() {
        place.0 = place.0.min(lowest.saturating_sub(1));
        lowest = place.0;
    }
    let mut highest = plot.top();
    for place in &mut places {
        place.0 = place.0.max(highest);
        highest = place.0 + 1;
    }
    for (y, number) in places {
        let width = columns(&labels[number]);
        pen.text(
            (plot.right() + 1, y),
            width,
            &labels[number],
            Tone::Line(number),
        );
    }
}

/// Dots, two by four to a cell, and which line has each cell.
struct Grid {
    plot: Rect,
    from_ms: u64,
    span_ms: f64,
    top: f64,
    cells: Vec<(u8, Option<usize>)>,
}

/// The bits of a Braille sign (Unicode, Braille Patterns): by column, then from the top.
const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

impl Grid {
    fn new(plot: Rect, chart: &Chart, top: f64) -> Self {
        let cells = usize::from(plot.width) * usize::from(plot.height);
        Self {
            plot,
            from_ms: chart.from_ms,
            span_ms: chart.to_ms.saturating_sub(chart.from_ms).max(1) as f64,
            top,
            cells: vec![(0, None); cells],
        }
    }

    fn line(&mut self, number: usize, line: &Line) {
        let mut before: Option<(u64, (i32, i32))> = None;
        for &(at_ms, value) in &line.points {
            if at_ms < self.from_ms {
                continue;
            }
            let here = self.place(at_ms, value);
            match before {
                Some((before_ms, there)) if line.is_joined(before_ms, at_ms) => {
                    self.stroke(number, there, here);
                }
                _ => self.dot(number, here.0, here.1),
            }
            before = Some((at_ms, here));
        }
    }

    /// The dot of a point, from the left and from the bottom.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "kept within the plot, which is no larger than a screen"
    )]
    fn place(&self, at_ms: u64, value: f64) -> (i32, i32) {
        let wide = f64::from(self.plot.width) * 2.0 - 1.0;
        let high = f64::from(self.plot.height) * 4.0 - 1.0;
        let x = at_ms.saturating_sub(self.from_ms) as f64 / self.span_ms * wide;
        let y = value / self.top * high;
        (
            x.clamp(0.0, wide).round() as i32,
            y.clamp(0.0, high).round() as i32,
        )
    }

    /// All dots between two (Bresenham).
    fn stroke(&mut self, number: usize, (mut x, mut y): (i32, i32), to: (i32, i32)) {
        let (dx, dy) = ((to.0 - x).abs(), -(to.1 - y).abs());
        let (step_x, step_y) = ((to.0 - x).signum(), (to.1 - y).signum());
        let mut error = dx + dy;
        loop {
            if is_inked(number, x) {
                self.dot(number, x, y);
            }
            if (x, y) == to {
                return;
            }
            let twice = 2 * error;
            if twice >= dy {
                error += dy;
                x += step_x;
            }
            if twice <= dx {
                error += dx;
                y += step_y;
            }
        }
    }

    fn dot(&mut self, number: usize, x: i32, y: i32) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return;
        };
        let (width, height) = (usize::from(self.plot.width), usize::from(self.plot.height));
        let Some(from_top) = (height * 4 - 1).checked_sub(y) else {
            return;
        };
        if x < width * 2 {
            let cell = &mut self.cells[from_top / 4 * width + x / 2];
            cell.0 |= DOTS[x % 2][from_top % 4];
            cell.1 = Some(number);
        }
    }

    fn show(&self, pen: &mut Pen<'_>, lines: &[Line]) {
        let width = usize::from(self.plot.width);
        let is_unicode = pen.look().unicode;
        let places = (self.plot.top()..self.plot.bottom())
            .flat_map(|y| (self.plot.left()..self.plot.right()).map(move |x| (x, y)));
        debug_assert_eq!(self.cells.len() % width, 0);
        for (place, &(dots, number)) in places.zip(&self.cells) {
            let Some(number) = number else {
                continue;
            };
            let letter = lines.get(number).and_then(|line| line.name.chars().next());
            let braille = char::from_u32(0x2800 + u32::from(dots));
            let sign = if is_unicode { braille } else { letter };
            pen.sign(place, sign.unwrap_or('*'), Tone::Line(number));
        }
    }
}

/// Whether a line has ink at this column of dots: the first is whole, the others have dashes of their own.
const fn is_inked(number: usize, x: i32) -> bool {
    match number {
        0 => true,
        1 => x % 6 < 4,
        2 => x % 3 == 0,
        3 => x % 8 < 6,
        _ => x % 4 < 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_ends_in_a_round_number_that_is_not_exceeded() {
        for (highest, top) in [
            (0.0, 4.0),
            (4.0, 4.0),
            (5.0, 5.0),
            (28_232.0, 30_000.0),
            (10_000.0, 10_000.0),
            (10_001.0, 20_000.0),
            (1e12, 1e12),
        ] {
            let found = round_top(highest);
            assert!((found - top).abs() < 1e-6 * top, "{highest}: {found}");
        }
    }
}
