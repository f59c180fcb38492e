//! Bars and sparks: a quantity in one line.

use super::pen::{Pen, Tone};

/// How much of a bar is what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    /// In use for good: connections.
    pub firm: f64,
    /// In use by what is over: TIME_WAIT.
    pub fading: f64,
}

/// Draws a bar that ends at a wall; `tone` is that of what is in use.
pub(super) fn bar(pen: &mut Pen<'_>, (x, y): (u16, u16), width: u16, parts: Parts, tone: Tone) {
    let (firm, fading, free, wall) = if pen.look().unicode {
        ('█', '▒', '·', '▌')
    } else {
        ('#', 'w', '.', '|')
    };
    let Some(room) = width.checked_sub(1) else {
        return;
    };
    let end_of_firm = cells(parts.firm, room);
    let end_of_fading = cells(parts.firm + parts.fading, room).max(end_of_firm);
    for at in 0..room {
        let (sign, tone) = match at {
            at if at < end_of_firm => (firm, tone),
            at if at < end_of_fading => (fading, tone),
            _ => (free, Tone::Dim),
        };
        pen.sign((x + at, y), sign, tone);
    }
    pen.sign((x + room, y), wall, Tone::Strong);
}

/// So many cells for a part of a whole: at least one for anything, and all only for all.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of a width, kept between 0 and it"
)]
fn cells(part: f64, width: u16) -> u16 {
    let part = part.clamp(0.0, 1.0);
    let cells = (part * f64::from(width)).floor() as u16;
    if part > 0.0 { cells.max(1) } else { cells }
}

/// Points as a row of columns, the last at the right end; nothing of fewer than two.
pub(super) fn spark(
    pen: &mut Pen<'_>,
    (x, y): (u16, u16),
    width: u16,
    values: &[Option<f64>],
    tone: Tone,
) {
    if width < 4 || values.iter().flatten().count() < 2 {
        return;
    }
    let peak = values.iter().flatten().copied().fold(0.0, f64::max);
    let signs: &[char] = if pen.look().unicode {
        &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
    } else {
        &['_', '.', ':', '-', '=', '+', '*', '#']
    };
    let columns = usize::from(width);
    for (column, at) in (0..width).zip(0usize..) {
        let from = at * values.len() / columns;
        let until = ((at + 1) * values.len() / columns)
            .max(from + 1)
            .min(values.len());
        // The highest of what falls into one column: a peak is what one looks for.
        let part = values.get(from..until).unwrap_or_default();
        let Some(value) = part.iter().flatten().copied().reduce(f64::max) else {
            continue;
        };
        let height = if peak > 0.0 { value / peak } else { 0.0 };
        pen.sign((x + column, y), sign_of(signs, height), tone);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "kept between 0 and the number of signs"
)]
fn sign_of(signs: &[char], height: f64) -> char {
    let at = (height.clamp(0.0, 1.0) * (signs.len() - 1) as f64).round() as usize;
    signs.get(at).copied().unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::view::Look;
    use ratatui::buffer::Buffer;
    use ratatui::layout::Rect;

    fn drawn(unicode: bool, draw: impl FnOnce(&mut Pen<'_>)) -> String {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 11, 1));
        let look = Look {
            colour: false,
            unicode,
        };
        draw(&mut Pen::new(&mut buffer, look));
        buffer.content().iter().map(|cell| cell.symbol()).collect()
    }

    #[test]
    fn a_bar_is_full_only_where_nothing_is_left_and_never_empty_where_something_is() {
        for (firm, fading, bar_text) in [
            (0.0, 0.0, "..........|"),
            (0.001, 0.0, "#.........|"),
            (0.3, 0.4, "###wwww...|"),
            (0.3, 0.6999, "###wwwwww.|"),
            (0.3, 0.7, "###wwwwwww|"),
            (9.0, 9.0, "##########|"),
        ] {
            let parts = Parts { firm, fading };
            assert_eq!(
                drawn(false, |pen| bar(pen, (0, 0), 11, parts, Tone::Plain)),
                bar_text
            );
        }
    }

    #[test]
    fn a_spark_has_its_peak_and_its_gaps() {
        let values = [Some(0.0), None, Some(4.0), Some(8.0)];
        let text = drawn(true, |pen| spark(pen, (0, 0), 4, &values, Tone::Plain));
        assert_eq!(text, "▁ ▅█       ");
        let one = drawn(true, |pen| spark(pen, (0, 0), 4, &values[..2], Tone::Plain));
        assert_eq!(one.trim(), "");
        let many = vec![Some(1.0); 1000];
        let text = drawn(false, |pen| spark(pen, (0, 0), 11, &many, Tone::Plain));
        assert_eq!(text, "###########");
    }
}
