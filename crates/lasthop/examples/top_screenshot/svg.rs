//! A screen as an SVG that looks the same with any font: lines, blocks and dots are drawn, and text is held in its columns.

use std::fmt::Write as _;

use super::terminal::Cell;

/// One cell, in pixels.
const CELL: (f64, f64) = (8.4, 18.0);

/// Around the screen, and the bar above it.
const MARGIN: f64 = 14.0;
const BAR: f64 = 30.0;

const GROUND: &str = "#10141c";
const FRAME: &str = "#1b2130";
const TEXT: &str = "#d5dae5";

/// The sixteen colours; pairs that stay apart for who sees no red or no green, each with a contrast of at least 4.5 to the
/// ground.
const COLOURS: [&str; 16] = [
    "#3b4252", "#ff6b61", "#5fd38d", "#f0b429", "#6ea8ff", "#d58cff", "#37c7d8", "#d5dae5",
    "#7c869b", "#ff8a80", "#86e3ab", "#ffd166", "#9cc4ff", "#e3b0ff", "#7ee0ec", "#ffffff",
];

/// The picture of a screen.
pub(crate) fn of(cells: &[Vec<Cell>]) -> String {
    let columns = cells.first().map_or(0, Vec::len) as f64;
    let (width, height) = (
        columns * CELL.0 + 2.0 * MARGIN,
        cells.len() as f64 * CELL.1 + MARGIN + BAR + 6.0,
    );
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" font-size=\"14\" \
         font-family=\"ui-monospace, 'SF Mono', 'DejaVu Sans Mono', Menlo, Consolas, monospace\">\n\
         <title>lasthop top while the source ports of an nginx run out</title>\n\
         <rect width=\"{width:.0}\" height=\"{height:.0}\" rx=\"10\" fill=\"{GROUND}\"/>\n\
         <path d=\"M0 {BAR}V10Q0 0 10 0H{:.0}Q{width:.0} 0 {width:.0} 10V{BAR}Z\" fill=\"{FRAME}\"/>\n",
        width - 10.0
    );
    for (at, colour) in ["#ff6b61", "#f0b429", "#37c7d8"].iter().enumerate() {
        let x = 20.0 + at as f64 * 20.0;
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "<circle cx=\"{x}\" cy=\"15\" r=\"6\" fill=\"{colour}\"/>"
        );
    }
    let mut shapes = Shapes::default();
    for (row, line) in cells.iter().enumerate() {
        draw_line(&mut out, &mut shapes, row, line);
    }
    shapes.write(&mut out);
    out.push_str("</svg>\n");
    out
}

/// Where a cell begins.
fn place(column: usize, row: usize) -> (f64, f64) {
    (
        column as f64 * CELL.0 + MARGIN,
        row as f64 * CELL.1 + BAR + 6.0,
    )
}

const fn colour(cell: &Cell) -> &'static str {
    match cell.colour {
        Some(number) if number < 16 => COLOURS[number as usize],
        _ => TEXT,
    }
}

/// Strokes and areas, gathered by what they look like, so that each look is one element.
#[derive(Default)]
struct Shapes {
    gathered: Vec<(String, String)>,
}

impl Shapes {
    fn add(&mut self, look: String, path: &str) {
        match self.gathered.iter_mut().find(|(one, _)| *one == look) {
            Some((_, paths)) => paths.push_str(path),
            None => self.gathered.push((look, path.to_owned())),
        }
    }

    fn stroke(&mut self, colour: &str, width: f64, path: &str) {
        let look = format!(
            "fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linecap=\"round\""
        );
        self.add(look, path);
    }

    /// A frame's: sharp, whatever lies between two pixels.
    fn line(&mut self, colour: &str, width: f64, path: &str) {
        let look = format!(
            "fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" shape-rendering=\"crispEdges\""
        );
        self.add(look, path);
    }

    fn area(
        &mut self,
        colour: &str,
        opacity: f64,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
    ) {
        let look = format!("fill=\"{colour}\" fill-opacity=\"{opacity}\"");
        self.add(
            look,
            &format!("M{x:.1} {y:.1}h{width:.1}v{height:.1}h-{width:.1}z"),
        );
    }

    fn write(&self, out: &mut String) {
        for (look, path) in &self.gathered {
            let _ = writeln!(out, "<path {look} d=\"{path}\"/>");
        }
    }
}

/// Draws what is drawn, and writes the rest in runs of one look.
fn draw_line(out: &mut String, shapes: &mut Shapes, row: usize, line: &[Cell]) {
    let mut run: Option<(usize, Cell, String)> = None;
    for (column, cell) in line.iter().enumerate() {
        let is_drawn = draw(shapes, place(column, row), cell);
        let sign = if is_drawn { ' ' } else { cell.sign };
        match &mut run {
            Some((_, look, text))
                if !is_drawn
                    && (sign == ' '
                        || (look.colour, look.is_bold) == (cell.colour, cell.is_bold)) =>
            {
                text.push(sign);
            }
            _ => {
                write_run(out, row, run.take());
                if sign != ' ' {
                    run = Some((column, *cell, sign.to_string()));
                }
            }
        }
    }
    write_run(out, row, run);
}

fn write_run(out: &mut String, row: usize, run: Option<(usize, Cell, String)>) {
    let Some((column, cell, text)) = run else {
        return;
    };
    let text = text.trim_end();
    let (x, y) = place(column, row);
    let width = text.chars().count() as f64 * CELL.0;
    let weight = if cell.is_bold {
        " font-weight=\"600\""
    } else {
        ""
    };
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" fill=\"{}\"{weight} xml:space=\"preserve\">{escaped}</text>",
        y + 13.5,
        colour(&cell)
    );
}

/// Draws a sign that is a picture; whether it was one.
fn draw(shapes: &mut Shapes, (x, y): (f64, f64), cell: &Cell) -> bool {
    let (width, height) = CELL;
    let colour = colour(cell);
    match cell.sign {
        '█' => shapes.area(colour, 1.0, (x, y + 2.0), (width, height - 4.0)),
        '▒' => shapes.area(colour, 0.45, (x, y + 2.0), (width, height - 4.0)),
        '▌' => shapes.area(colour, 1.0, (x, y), (2.5, height)),
        '▁'..='▇' => {
            let eighths = f64::from(u32::from(cell.sign) - u32::from('▁') + 1);
            let tall = (height - 3.0) * eighths / 8.0;
            shapes.area(colour, 1.0, (x, y + height - 1.5 - tall), (width, tall));
        }
        '\u{2801}'..='\u{28ff}' => {
            shapes.stroke(colour, 2.4, &dots((x, y), u32::from(cell.sign) - 0x2800));
        }
        sign => {
            let Some((path, stroke)) = box_lines(sign) else {
                return false;
            };
            let (middle_x, middle_y) = (x + width / 2.0, y + height / 2.0);
            let mut lines = String::new();
            // A straight line is one stroke, not two halves with a knot.
            let path = match path {
                "lr" => {
                    let _ = write!(lines, "M{x:.1} {middle_y:.1}h{width:.1}");
                    ""
                }
                "ud" => {
                    let _ = write!(lines, "M{middle_x:.1} {y:.1}v{height:.1}");
                    ""
                }
                corner => corner,
            };
            for side in path.chars() {
                let (end_x, end_y) = match side {
                    'l' => (x, middle_y),
                    'r' => (x + width, middle_y),
                    'u' => (middle_x, y),
                    _ => (middle_x, y + height),
                };
                let _ = write!(lines, "M{middle_x:.1} {middle_y:.1}L{end_x:.1} {end_y:.1}");
            }
            shapes.line(colour, stroke, &lines);
        }
    }
    true
}

/// Braille: the bits by column, then from the top (Unicode, Braille Patterns).
fn dots((x, y): (f64, f64), bits: u32) -> String {
    let places = [
        (0, 0, 0x01),
        (0, 1, 0x02),
        (0, 2, 0x04),
        (0, 3, 0x40),
        (1, 0, 0x08),
        (1, 1, 0x10),
        (1, 2, 0x20),
        (1, 3, 0x80),
    ];
    let mut path = String::new();
    for (column, row, bit) in places {
        if bits & bit != 0 {
            let dot_x = x + CELL.0 * (0.25 + 0.5 * f64::from(column));
            let dot_y = y + CELL.1 * (0.125 + 0.25 * f64::from(row));
            let _ = write!(path, "M{dot_x:.1} {dot_y:.1}h0");
        }
    }
    path
}

/// To which sides a sign has lines, and how thick they are.
const fn box_lines(sign: char) -> Option<(&'static str, f64)> {
    Some(match sign {
        '─' | '╌' => ("lr", 1.0),
        '│' => ("ud", 1.0),
        '┤' => ("udl", 1.0),
        '┌' => ("rd", 1.0),
        '┐' => ("ld", 1.0),
        '└' => ("ru", 1.0),
        '┘' => ("lu", 1.0),
        '━' => ("lr", 1.8),
        '┃' => ("ud", 1.8),
        '┏' => ("rd", 1.8),
        '┓' => ("ld", 1.8),
        '┗' => ("ru", 1.8),
        '┛' => ("lu", 1.8),
        _ => return None,
    })
}
