//! Ports in use against the wall, group by group.

use ratatui::layout::Rect;

use super::bars::{Parts, bar};
use super::pen::{Pen, Tone};
use super::{row, sockets, words, write_rows};
use crate::top::model::{GroupRow, Model};

/// Lines of one group: where it leads, its bar, what becomes of it.
const LINES_EACH: u16 = 3;

/// From this part on something will hurt, and from that on it does; the colours of a bar.
const WARNING_PART: f64 = 0.7;
const CRITICAL_PART: f64 = 0.9;

/// The pane's title: what the range is, and how the rows are sorted.
pub(super) fn title(model: &Model) -> String {
    let sort = model.sort().as_str();
    let ports = model.host().and_then(|host| host.snapshot.ports.as_ref());
    match ports {
        None => format!("Source ports · by {sort}"),
        Some(ports) => {
            let (low, high) = (ports.range.first(), ports.range.last());
            format!("Source ports {low}–{high} · by {sort}")
        }
    }
}

/// Draws as many groups as there is room for, so that the selected one is among them.
pub(super) fn draw(pen: &mut Pen<'_>, area: Rect, model: &Model, is_chosen: bool) {
    let Some(host) = model.host() else {
        write_rows(pen, area, &[row("reading the host", Tone::Dim)], 0);
        return;
    };
    if host.snapshot.sockets.is_none() {
        write_rows(pen, area, &sockets::unseen(host, area.width), 0);
        return;
    }
    let rows = model.groups();
    if rows.is_empty() {
        write_rows(
            pen,
            area,
            &[row("no connections begin on this host", Tone::Dim)],
            0,
        );
        return;
    }
    let selected = model.selected_group(&rows);
    let fitting = usize::from((area.height / LINES_EACH).max(1));
    let all_fit = rows.len() <= fitting;
    // The last line says how many more there are.
    let room = area.height.saturating_sub(u16::from(!all_fit));
    let fitting = usize::from((room / LINES_EACH).max(1));
    let first = selected.saturating_sub(fitting - 1);
    let mut y = area.y;
    for (at, group) in rows.iter().enumerate().skip(first).take(fitting) {
        let part = Rect::new(area.x, y, area.width, LINES_EACH.min(area.bottom() - y));
        draw_group(pen, part, group, is_chosen && at == selected);
        y += part.height;
    }
    let omitted = host.snapshot.groups_omitted.groups;
    let hidden = (rows.len() - fitting.min(rows.len())) as u64 + omitted;
    if hidden > 0 && y < area.bottom() {
        let text = format!("{} more, with fewer ports in use", words::thousands(hidden));
        let text = if first > 0 || model.sort() != crate::top::model::Sort::Use {
            format!("{} more", words::thousands(hidden))
        } else {
            text
        };
        pen.text(
            (area.x + 2, area.bottom() - 1),
            area.width - 2,
            &text,
            Tone::Dim,
        );
    }
}

/// One group in up to three lines.
pub(super) fn draw_group(pen: &mut Pen<'_>, area: Rect, group: &GroupRow, is_selected: bool) {
    if area.height == 0 || area.width < 12 {
        return;
    }
    let (left, width) = (area.x + 2, area.width - 2);
    if is_selected {
        pen.text((area.x, area.y), 2, "▸ ", Tone::Chosen);
    }
    let head = if is_selected {
        Tone::Chosen
    } else {
        Tone::Strong
    };
    let name = name(group);
    // The limit stands in the line below in words; the whole name matters more.
    let used = used(group, super::pen::columns(&name) + 16 <= width);
    let used_columns = super::pen::columns(&used) + 1;
    let end = pen.text(
        (left, area.y),
        width.saturating_sub(used_columns),
        &name,
        head,
    );
    let owners = group.owner_names();
    if !owners.is_empty() {
        let room = (area.right().saturating_sub(used_columns)).saturating_sub(end + 2);
        pen.text((end + 2, area.y), room, &owners, Tone::Plain);
    }
    pen.text_to((area.right(), area.y), width, &used, Tone::Strong);
    let Some(limit) = group.limit.filter(|limit| *limit > 0) else {
        if area.height > 1 {
            pen.text(
                (left, area.y + 1),
                width,
                "of how many is not known",
                Tone::Dim,
            );
        }
        return;
    };
    if area.height > 1 {
        let percent = words::percent(group.part());
        let percent_columns = 9;
        let parts = Parts {
            firm: f64::from(group.used - group.held) / f64::from(limit),
            fading: f64::from(group.held) / f64::from(limit),
        };
        let bar_width = width.saturating_sub(percent_columns);
        bar(
            pen,
            (left, area.y + 1),
            bar_width,
            parts,
            tone(group.part()),
        );
        pen.text_to(
            (area.right(), area.y + 1),
            percent_columns,
            &percent,
            tone(group.part()),
        );
    }
    if area.height > 2 {
        pen.text(
            (left, area.y + 2),
            width,
            &outlook(group, limit, width),
            outlook_tone(group),
        );
    }
}

/// From where to where.
pub(super) fn name(group: &GroupRow) -> String {
    format!("{} → {}", group.key.source, group.key.destination)
}

fn used(group: &GroupRow, is_wide: bool) -> String {
    let used = words::thousands(group.used.into());
    match group.limit.filter(|_| is_wide) {
        None => used,
        Some(limit) => format!("{used}/{}", words::thousands(limit.into())),
    }
}

/// When it ends, where it goes, what is left, what holds the ports: as much of it as fits, and nothing cut in the middle.
fn outlook(group: &GroupRow, limit: u32, width: u16) -> String {
    let mut parts = Vec::new();
    if let Some(forecast) = &group.forecast {
        let left = words::time_left(forecast.time_left());
        parts.push(format!(
            "{} in about {left}",
            words::thousands(limit.into())
        ));
    }
    parts.extend(group.per_minute.map(words::slope));
    parts.extend(group.left().map(|left| match left {
        0 => "none left".to_owned(),
        left => format!("{} left", words::thousands(left.into())),
    }));
    if group.held > 0 {
        parts.push(format!("{} TIME_WAIT", words::thousands(group.held.into())));
    } else if group.time_wait > 0 {
        let text = format!(
            "{} TIME_WAIT, reusable",
            words::thousands(group.time_wait.into())
        );
        parts.push(text);
    }
    let mut line = String::new();
    for part in parts {
        let longer = if line.is_empty() {
            part
        } else {
            format!("{line} · {part}")
        };
        if super::pen::columns(&longer) <= width {
            line = longer;
        }
    }
    line
}

const fn outlook_tone(group: &GroupRow) -> Tone {
    if group.forecast.is_some() {
        Tone::Warning
    } else {
        Tone::Dim
    }
}

/// The colour of so much in use; the percentage stands beside it.
pub(super) fn tone(part: f64) -> Tone {
    if part >= CRITICAL_PART {
        Tone::Critical
    } else if part >= WARNING_PART {
        Tone::Warning
    } else {
        Tone::Good
    }
}
