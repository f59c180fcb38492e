//! A frame as plain text, for a pipe, a ticket, or a terminal that can do nothing.
//!
//! `lasthop top --once` stacks the panes, each as high as what it has to say, so nothing is hidden by a height.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::pen::{Look, Pen, Tone};
use super::{findings, header, instance, plot, ports, sockets, words, write_rows};
use crate::top::model::{Model, Pane};

/// Rows of the chart.
const CHART_ROWS: u16 = 12;

/// Groups that are shown, three lines each.
const GROUPS_MAX: u16 = 8;

/// Rows of findings and of the instance: more than they can have at this width but for a very long list.
const LIST_ROWS: u16 = 60;

/// One frame `width` columns wide, each line without spaces at its end.
#[must_use]
pub fn once(model: &Model, look: Look, width: u16) -> String {
    let mut text = section(width, 1, look, |pen, area| header(pen, area, model));
    let mut add = |title: &str, height: u16, draw: &dyn Fn(&mut Pen<'_>, Rect)| {
        text.push('\n');
        text.push_str(&section(width, 1, look, |pen, area| {
            pen.text((area.x, area.y), area.width, title, Tone::Strong);
        }));
        text.push_str(&section(width, height, look, draw));
    };
    let chart = model.sockets_chart();
    add(
        &super::title(model, Pane::Sockets),
        CHART_ROWS,
        &|pen, area| {
            if chart.is_drawable() {
                plot::draw(pen, area, &chart, None);
            } else {
                sockets::draw(pen, area, model);
            }
        },
    );
    let groups = u16::try_from(model.groups().len()).unwrap_or(GROUPS_MAX);
    let rows = groups.clamp(1, GROUPS_MAX) * 3 + 1;
    add(&ports::title(model), rows, &|pen, area| {
        ports::draw(pen, area, model, false)
    });
    add(
        &super::title(model, Pane::Findings),
        LIST_ROWS,
        &|pen, area| {
            findings::draw(pen, area, model, false);
        },
    );
    if model.has_instance() {
        add(
            &super::title(model, Pane::Instance),
            LIST_ROWS,
            &|pen, area| {
                instance::draw(pen, area, model);
            },
        );
    } else {
        let (whole, _, tone) = super::link(model);
        let draw = |pen: &mut Pen<'_>, area: Rect| {
            let rows = words::wrapped(&whole, width, "  ");
            let rows: Vec<_> = rows
                .into_iter()
                .map(|line| super::row(line, tone))
                .collect();
            write_rows(pen, area, &rows, 0);
        };
        add("lasthop", 4, &draw);
    }
    while text.ends_with("\n\n") {
        text.pop();
    }
    text
}

/// Part of a frame as lines, without the empty ones at its end.
fn section(width: u16, height: u16, look: Look, draw: impl FnOnce(&mut Pen<'_>, Rect)) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    draw(&mut Pen::new(&mut buffer, look), area);
    let mut text = frame_as_text(&buffer);
    while text.ends_with("\n\n") {
        text.pop();
    }
    if text.trim().is_empty() {
        String::new()
    } else {
        text
    }
}

/// The signs of a buffer, a line for each row, without spaces at the ends.
#[must_use]
pub fn frame_as_text(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut text = String::new();
    for y in area.top()..area.bottom() {
        let mut line = String::new();
        let mut hidden = 0;
        for x in area.left()..area.right() {
            let symbol = buffer.cell((x, y)).map_or(" ", |cell| cell.symbol());
            // The cell behind a wide sign is under it.
            if hidden > 0 {
                hidden -= 1;
                continue;
            }
            hidden = super::pen::columns(symbol).saturating_sub(1);
            line.push_str(symbol);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
