//! What lies over the panes: all there is to say about one thing, as text that can be scrolled.

use lasthop_ports::Finding;
use lasthop_ports::finding::{Remedy, Step};
use lasthop_ports::snapshot::{GroupKey, Usage};
use ratatui::layout::Rect;

use super::pen::{self, Pen, Tone};
use super::{Row, findings, instance, plot, ports, row, sockets, words, write_rows};
use crate::top::model::{Detail, HostSample, Model};

/// Draws a detail into the whole body; by how many lines it can be scrolled down.
pub(super) fn draw(pen: &mut Pen<'_>, area: Rect, model: &Model, detail: &Detail) -> u16 {
    let title = match detail {
        Detail::Sockets => "This host".to_owned(),
        Detail::Group(key) => format!("{} → {}", key.source, key.destination),
        Detail::Finding(finding) => finding.code.to_string(),
        Detail::Instance => format!("lasthop at {}", model.address),
        Detail::Help => "Keys".to_owned(),
    };
    let mut inside = pen.frame(area, &title, true);
    inside.x += 1;
    inside.width = inside.width.saturating_sub(2);
    if let Detail::Group(key) = detail {
        group(pen, inside, model, key);
        return 0;
    }
    let rows = match detail {
        Detail::Sockets => host(model, inside.width),
        Detail::Finding(shown) => match model.finding_now(shown) {
            Some(now) => finding(now, inside.width),
            None => over(shown, inside.width),
        },
        Detail::Instance => all_of_instance(model),
        Detail::Help => help(),
        Detail::Group(_) => Vec::new(),
    };
    let hidden = rows.len().saturating_sub(inside.height.into());
    let scroll_max = u16::try_from(hidden).unwrap_or(u16::MAX);
    let scroll = model.scroll().min(scroll_max);
    write_rows(pen, inside, &rows, scroll.into());
    if scroll < scroll_max {
        let more = format!(" {} more lines ", scroll_max - scroll);
        pen.text_to(
            (area.right() - 2, area.bottom() - 1),
            area.width,
            &more,
            Tone::Dim,
        );
    }
    scroll_max
}

/// A group: its bar as in the list, and its own chart against the wall.
fn group(pen: &mut Pen<'_>, area: Rect, model: &Model, key: &GroupKey) {
    let rows = model.groups();
    let mut y = area.y;
    let found = rows.iter().find(|group| group.key == *key);
    match found {
        None => {
            pen.text(
                (area.x, y),
                area.width,
                "no connection of this group is left",
                Tone::Dim,
            );
            y += 1;
        }
        Some(group) => {
            let height = area.height.min(3);
            ports::draw_group(pen, Rect { height, ..area }, group, false);
            y += height;
            for line in facts(group) {
                if y + 6 >= area.bottom() {
                    break;
                }
                pen.text((area.x + 2, y), area.width - 2, &line, Tone::Plain);
                y += 1;
            }
        }
    }
    let chart = model.group_chart(key);
    let wall = found.and_then(|group| group.limit).map(|limit| plot::Wall {
        value: limit.into(),
        name: "the wall:",
    });
    if chart.is_drawable() && y + 1 < area.bottom() {
        let rest = Rect::new(area.x, y + 1, area.width, area.bottom() - y - 1);
        plot::draw(pen, rest, &chart, wall);
    }
}

fn facts(group: &crate::top::model::GroupRow) -> Vec<String> {
    let mut lines = Vec::new();
    let owners: Vec<String> = group
        .owners
        .iter()
        .map(|owner| format!("{} ({})", owner.name, owner.pid))
        .collect();
    if !owners.is_empty() {
        lines.push(format!("connections of {}", owners.join(", ")));
    }
    if group.time_wait > 0 {
        lines.push(format!(
            "{} in TIME_WAIT at this end, of which {} hold their port",
            words::thousands(group.time_wait.into()),
            words::thousands(group.held.into())
        ));
    }
    if group.time_wait_at_app > 0 {
        let count = words::thousands(group.time_wait_at_app.into());
        lines.push(format!(
            "{count} in TIME_WAIT at the app's end, which hold no port here"
        ));
    }
    lines
}

fn over(shown: &Finding, width: u16) -> Vec<Row> {
    let mut rows = vec![row("This is over. What it was:", Tone::Good), Row::new()];
    rows.extend(finding(shown, width));
    rows
}

/// All of a finding: what was seen, what can be done, how to take it back.
pub(super) fn finding(finding: &Finding, width: u16) -> Vec<Row> {
    let mut rows = Vec::new();
    let mark = findings::severity(finding.severity);
    rows.push(row(mark, findings::tone(finding.severity)));
    paragraph(&mut rows, &finding.headline, "", width, Tone::Strong);
    if let Some(forecast) = &finding.forecast {
        let left = words::time_left(forecast.time_left());
        let text = format!(
            "{}, used up in about {left}",
            words::slope(forecast.per_minute)
        );
        rows.push(row(text, Tone::Warning));
    }
    if !finding.processes.is_empty() {
        let names: Vec<String> = finding
            .processes
            .iter()
            .map(|owner| format!("{} ({})", owner.name, owner.pid))
            .collect();
        paragraph(
            &mut rows,
            &format!("by {}", names.join(", ")),
            "   ",
            width,
            Tone::Plain,
        );
    }
    if !finding.evidence.is_empty() {
        rows.push(Row::new());
        rows.push(row("Evidence", Tone::Good));
        for fact in &finding.evidence {
            paragraph(&mut rows, &format!("- {fact}"), "  ", width, Tone::Plain);
        }
    }
    for (remedy, number) in finding.remedies.iter().zip(1..) {
        rows.push(Row::new());
        remedy_rows(&mut rows, remedy, number, width);
    }
    rows.push(Row::new());
    let more = format!("more: lasthop doctor --explain {}", finding.code);
    rows.push(row(more, Tone::Dim));
    rows
}

fn remedy_rows(rows: &mut Vec<Row>, remedy: &Remedy, number: usize, width: u16) {
    let title = format!("Remedy {number}: {}", remedy.title);
    paragraph(rows, &title, "  ", width, Tone::Good);
    for step in &remedy.steps {
        match step {
            Step::Shell { lines } => code(rows, lines, "  $ "),
            Step::Lines { place, lines } => {
                paragraph(rows, &format!("  {place}:"), "  ", width, Tone::Dim);
                code(rows, lines, "    ");
            }
            Step::Words { text } => {
                paragraph(rows, &format!("  {text}"), "  ", width, Tone::Plain);
            }
        }
    }
    if let Some(risk) = &remedy.risk {
        paragraph(rows, &format!("  risk: {risk}"), "  ", width, Tone::Warning);
    }
    for undo in &remedy.undo {
        paragraph(rows, &format!("  undo: {undo}"), "  ", width, Tone::Dim);
    }
}

/// Lines to copy are never broken: a broken command is another command.
fn code(rows: &mut Vec<Row>, lines: &[String], before: &str) {
    for line in lines {
        rows.push(vec![
            (before.to_owned(), Tone::Dim),
            (line.clone(), Tone::Strong),
        ]);
    }
}

/// Wrapped text; the spaces it begins with stand before each of its lines.
fn paragraph(rows: &mut Vec<Row>, text: &str, indent: &str, width: u16, tone: Tone) {
    let margin = text.len() - text.trim_start_matches(' ').len();
    let (margin, text) = text.split_at(margin);
    let width = width.saturating_sub(pen::columns(margin));
    let lines = words::wrapped(text, width, indent);
    rows.extend(
        lines
            .into_iter()
            .map(|line| row(format!("{margin}{line}"), tone)),
    );
}

/// The host: every state, and how much is left of what the host has only once.
fn host(model: &Model, width: u16) -> Vec<Row> {
    let Some(host) = model.host() else {
        return vec![row("reading the host", Tone::Dim)];
    };
    let mut rows = sockets::counts(host, width);
    let limits = limits(host);
    if !limits.is_empty() {
        rows.push(Row::new());
        rows.push(row("Headroom", Tone::Good));
        rows.extend(limits);
    }
    if host.snapshot.sockets.is_some() && !host.snapshot.unseen.is_empty() {
        rows.push(Row::new());
        rows.push(row("Not seen", Tone::Good));
        for what in &host.snapshot.unseen {
            paragraph(&mut rows, &format!("- {what}"), "  ", width, Tone::Dim);
        }
    }
    rows.push(Row::new());
    let (cost, period) = (
        words::seconds(host.cost.as_secs_f64()),
        host.period.as_secs(),
    );
    let text = format!("a reading takes {cost}; there is one each {period} s");
    rows.push(row(text, Tone::Dim));
    rows
}

fn limits(host: &HostSample) -> Vec<Row> {
    let snapshot = &host.snapshot;
    let memory = snapshot.tcp_memory.map(|memory| Usage {
        used: memory.pages,
        limit: memory.limit_pages,
    });
    let all = [
        ("open files", snapshot.files),
        ("conntrack entries", snapshot.conntrack),
        ("TIME_WAIT places", snapshot.time_wait_buckets),
        ("TCP memory, pages", memory),
    ];
    let line = |(name, usage): (&str, Usage)| {
        let part = usage.part();
        let tone = ports::tone(part);
        vec![
            (format!("{name:<18}"), Tone::Plain),
            (
                format!("{:>14}", words::thousands(usage.used)),
                Tone::Strong,
            ),
            (
                format!(" of {:<14}", words::thousands(usage.limit)),
                Tone::Dim,
            ),
            (format!(" {:>8}", words::percent(part)), tone),
        ]
    };
    all.into_iter()
        .filter_map(|(name, usage)| Some(line((name, usage?))))
        .collect()
}

fn all_of_instance(model: &Model) -> Vec<Row> {
    let Some((past, _)) = instance::latest(model) else {
        return vec![row("it answers, and has not sampled itself yet", Tone::Dim)];
    };
    let Some(own) = &model.windowed().unwrap_or(past).own else {
        return Vec::new();
    };
    let mut rows = vec![row("Upstreams", Tone::Good)];
    rows.extend(instance::upstreams(own));
    rows.push(Row::new());
    rows.push(row("Connects by result", Tone::Good));
    rows.extend(instance::kinds(&own.connects_per_second));
    rows.push(Row::new());
    rows.push(row("Failures by kind", Tone::Good));
    if own.failures_per_second.is_empty() {
        rows.push(row("  none in this window", Tone::Dim));
    }
    rows.extend(instance::kinds(&own.failures_per_second));
    rows
}

/// The keys and what they do.
const KEYS: [(&str, &str); 11] = [
    ("q, Ctrl-C", "quit; Esc too, where no detail is open"),
    ("Tab, Shift-Tab", "the next pane, the one before"),
    ("1 2 3 4", "sockets, ports, findings, lasthop"),
    ("↑ ↓, k j", "select, or scroll a detail"),
    ("PgUp PgDn", "the same by a page"),
    ("Enter", "details of what is selected"),
    ("Esc", "back from the details"),
    ("w", "window: 10 minutes, 3 hours, 24 hours"),
    ("s", "sort groups: use, TIME_WAIT, slope, address"),
    ("p, space", "hold the picture, and let it go on"),
    ("?, h", "this page"),
];

fn help() -> Vec<Row> {
    let mut rows: Vec<Row> = KEYS
        .iter()
        .map(|(keys, what)| {
            vec![
                (format!("{keys:<16}"), Tone::Strong),
                ((*what).to_owned(), Tone::Plain),
            ]
        })
        .collect();
    rows.push(Row::new());
    rows.push(row(
        "A bar: connections, then TIME_WAIT that holds its port,",
        Tone::Dim,
    ));
    rows.push(row("then free ports up to the wall.", Tone::Dim));
    rows
}
