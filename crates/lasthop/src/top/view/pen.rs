//! The one place where text and colour go onto the screen.
//!
//! Text from outside (names of processes, paths, answers of an instance) passes here like our own, so nothing can write a
//! control sequence. Colours are the terminal's own sixteen, so that they fit a dark ground and a light one; whatever a
//! colour says is said by a word or a sign as well.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Whether there are colours.
    pub colour: bool,
    /// Whether there are more signs than those of ASCII.
    pub unicode: bool,
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Text.
    Plain,
    /// Of less weight.
    Dim,
    /// Of more weight.
    Strong,
    /// What has the keys.
    Chosen,
    /// What hurts.
    Critical,
    /// What will hurt.
    Warning,
    /// What is well, and titles.
    Good,
    /// A line of a chart, by its number.
    Line(usize),
}

/// Colours of lines: pairs that stay apart for who sees no red or no green. Red is kept for what hurts.
const LINES: [Color; 5] = [
    Color::Yellow,
    Color::Cyan,
    Color::Magenta,
    Color::Blue,
    Color::White,
];

/// Writes into a part of a buffer, and never beside it.
#[derive(Debug)]
pub(super) struct Pen<'a> {
    buffer: &'a mut Buffer,
    look: Look,
}

impl<'a> Pen<'a> {
    /// A pen for a buffer.
    pub(super) const fn new(buffer: &'a mut Buffer, look: Look) -> Self {
        Self { buffer, look }
    }

    /// What the terminal can show.
    pub(super) const fn look(&self) -> Look {
        self.look
    }

    /// Writes a text of at most `width` columns; where it is longer, its end says so. The column after it.
    pub(super) fn text(&mut self, (x, y): (u16, u16), width: u16, text: &str, tone: Tone) -> u16 {
        let area = self.buffer.area;
        if y < area.top() || y >= area.bottom() || x < area.left() || x >= area.right() {
            return x;
        }
        let width = width.min(area.right() - x);
        let text = cut(&self.spelled(text), width.into(), self.look.unicode);
        let style = self.style(tone);
        self.buffer.set_stringn(x, y, text, width.into(), style).0
    }

    /// Writes a text that ends at column `right` (that column is not written).
    pub(super) fn text_to(&mut self, (right, y): (u16, u16), width: u16, text: &str, tone: Tone) {
        let columns = columns(&self.spelled(text)).min(width);
        self.text((right.saturating_sub(columns), y), columns, text, tone);
    }

    /// Writes one sign into one cell.
    pub(super) fn sign(&mut self, (x, y): (u16, u16), sign: char, tone: Tone) {
        let style = self.style(tone);
        if let Some(cell) = self.buffer.cell_mut((x, y)) {
            cell.set_char(sign).set_style(style);
        }
    }

    /// A frame with a title; what is inside it.
    pub(super) fn frame(&mut self, area: Rect, title: &str, is_chosen: bool) -> Rect {
        let edge = if is_chosen { Tone::Chosen } else { Tone::Dim };
        let signs = match (self.look.unicode, is_chosen) {
            (true, true) => ['┏', '┓', '┗', '┛', '━', '┃'],
            (true, false) => ['┌', '┐', '└', '┘', '─', '│'],
            (false, true) => ['#', '#', '#', '#', '=', '|'],
            (false, false) => ['+', '+', '+', '+', '-', '|'],
        };
        if area.width < 2 || area.height < 2 {
            return Rect::default();
        }
        let (left, right) = (area.left(), area.right() - 1);
        let (top, bottom) = (area.top(), area.bottom() - 1);
        for x in left..=right {
            self.sign((x, top), signs[4], edge);
            self.sign((x, bottom), signs[4], edge);
        }
        for y in top..=bottom {
            self.sign((left, y), signs[5], edge);
            self.sign((right, y), signs[5], edge);
        }
        for (at, sign) in [(left, top), (right, top), (left, bottom), (right, bottom)]
            .into_iter()
            .zip(signs)
        {
            self.sign(at, sign, edge);
        }
        let tone = if is_chosen {
            Tone::Chosen
        } else {
            Tone::Strong
        };
        let title = format!(" {title} ");
        self.text((left + 1, top), area.width - 2, &title, tone);
        Rect::new(left + 1, top + 1, area.width - 2, area.height - 2)
    }

    /// Text as this terminal can show it.
    fn spelled(&self, text: &str) -> String {
        let visible = text.chars().map(visible);
        if self.look.unicode {
            visible.collect()
        } else {
            visible
                .flat_map(|sign| ascii(sign).chars().collect::<Vec<_>>())
                .collect()
        }
    }

    fn style(&self, tone: Tone) -> Style {
        let style = Style::default();
        let modified = match tone {
            Tone::Plain | Tone::Line(_) | Tone::Good | Tone::Warning => style,
            Tone::Dim if self.look.colour => style,
            Tone::Dim => style.add_modifier(Modifier::DIM),
            Tone::Strong | Tone::Chosen | Tone::Critical => style.add_modifier(Modifier::BOLD),
        };
        if !self.look.colour {
            return modified;
        }
        match tone {
            Tone::Plain | Tone::Strong => modified,
            Tone::Dim => modified.fg(Color::DarkGray),
            Tone::Chosen | Tone::Good => modified.fg(Color::Cyan),
            Tone::Critical => modified.fg(Color::Red),
            Tone::Warning => modified.fg(Color::Yellow),
            Tone::Line(number) => modified.fg(LINES[number % LINES.len()]),
        }
    }
}

/// A sign that moves nothing: control characters, and those that turn the direction of writing or take no room, become
/// a mark.
fn visible(sign: char) -> char {
    let is_hidden = matches!(
        sign,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{ad}'
    );
    if sign.is_control() || is_hidden {
        '\u{fffd}'
    } else {
        sign
    }
}

/// The nearest thing in ASCII.
fn ascii(sign: char) -> &'static str {
    const PRINTABLE: &str = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";
    if let Some(at) = PRINTABLE.find(sign) {
        return PRINTABLE.get(at..=at).unwrap_or("?");
    }
    match sign {
        '→' => "->",
        '·' => "|",
        '–' => "-",
        '…' => "~",
        '▸' => ">",
        '↑' => "up",
        '↓' => "down",
        _ => "?",
    }
}

/// How many columns a text takes on a screen.
pub(super) fn columns(text: &str) -> u16 {
    u16::try_from(ratatui::text::Span::raw(text).width()).unwrap_or(u16::MAX)
}

/// A text that fits, with a sign for what was left out.
fn cut(text: &str, width: usize, is_unicode: bool) -> String {
    if usize::from(columns(text)) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for sign in text.chars() {
        kept.push(sign);
        if usize::from(columns(&kept)) >= width {
            kept.pop();
            break;
        }
    }
    kept.push(if is_unicode { '…' } else { '~' });
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNICODE: Look = Look {
        colour: false,
        unicode: true,
    };
    const ASCII: Look = Look {
        colour: false,
        unicode: false,
    };

    fn written(look: Look, width: u16, text: &str) -> String {
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, 1));
        Pen::new(&mut buffer, look).text((0, 0), width, text, Tone::Plain);
        let text = crate::top::view::frame_as_text(&buffer);
        format!(
            "{:<columns$}",
            text.trim_end_matches('\n'),
            columns = usize::from(width)
        )
    }

    #[test]
    fn nothing_from_outside_moves_the_cursor_or_turns_the_line() {
        assert_eq!(written(UNICODE, 8, "a\x1b[2Jb"), "a\u{fffd}[2Jb  ");
        assert_eq!(
            written(UNICODE, 6, "a\u{202e}b\n\u{200b}"),
            "a\u{fffd}b\u{fffd}\u{fffd} "
        );
        assert_eq!(written(ASCII, 6, "a\x07\u{9b}b"), "a??b  ");
    }

    #[test]
    fn what_is_too_long_says_so() {
        assert_eq!(written(UNICODE, 5, "abcdefgh"), "abcd…");
        assert_eq!(written(ASCII, 5, "abcdefgh"), "abcd~");
        assert_eq!(written(UNICODE, 5, "日本語日本"), "日本…  ");
        assert_eq!(written(ASCII, 9, "a → b · c"), "a -> b |~");
    }

    #[test]
    fn a_pen_never_writes_beside_its_buffer() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 3, 1));
        let mut pen = Pen::new(&mut buffer, UNICODE);
        pen.text((7, 0), 5, "x", Tone::Plain);
        pen.text((0, 7), 5, "x", Tone::Plain);
        pen.text((2, 0), 500, "xyz", Tone::Plain);
        pen.sign((9, 9), 'x', Tone::Plain);
        pen.text_to((1, 0), 9, "long", Tone::Plain);
        let _inside = pen.frame(Rect::new(0, 0, 1, 1), "t", true);
    }
}
