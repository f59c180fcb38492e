//! Sockets by state over time: the chart that shows a plateau before anybody reads a number.

use ratatui::layout::Rect;

use super::pen::{Pen, Tone};
use super::{Row, plot, row, words, write_rows};
use crate::top::model::{HostSample, Model, all_states};

/// Draws the chart; before there are two readings, the counts.
pub(super) fn draw(pen: &mut Pen<'_>, area: Rect, model: &Model) {
    let chart = model.sockets_chart();
    if chart.is_drawable() {
        plot::draw(pen, area, &chart, None);
        return;
    }
    let rows = match model.host() {
        None => vec![row("reading the host", Tone::Dim)],
        Some(host) => counts(host, area.width),
    };
    write_rows(pen, area, &rows, 0);
}

/// The states in which there are sockets, as rows.
pub(super) fn counts(host: &HostSample, width: u16) -> Vec<Row> {
    let Some(sockets) = &host.snapshot.sockets else {
        return unseen(host, width);
    };
    let mut states = all_states(sockets);
    states.retain(|state| state.1 > 0);
    states.sort_by_key(|state| std::cmp::Reverse(state.1));
    if states.is_empty() {
        return vec![row("no sockets", Tone::Dim)];
    }
    let line = |(name, count): &(String, u64)| {
        vec![
            (format!("{name:<17}"), Tone::Plain),
            (format!("{:>12}", words::thousands(*count)), Tone::Strong),
        ]
    };
    states.iter().map(line).collect()
}

/// Why there are none to show.
pub(super) fn unseen(host: &HostSample, width: u16) -> Vec<Row> {
    let mut rows = vec![row("sockets cannot be listed here", Tone::Warning)];
    for why in &host.snapshot.unseen {
        let lines = words::wrapped(why, width, "  ");
        rows.extend(lines.into_iter().map(|line| row(line, Tone::Dim)));
    }
    rows
}
