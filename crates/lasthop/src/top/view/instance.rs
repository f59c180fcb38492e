//! The instance: what it serves, how fast, how much of it over connections that it had already.

use std::collections::BTreeMap;

use ratatui::layout::Rect;

use super::bars::spark;
use super::pen::{Pen, Tone};
use super::{Row, row, words, write_rows};
use crate::top::model::Model;
use crate::top::past::{Column, Past, PastOwn, PastUpstream, now};

/// Columns of the names of the rows.
const NAME_COLUMNS: usize = 10;

/// Columns of the name of a kind of failure.
const KIND_COLUMNS_MAX: usize = 28;

/// From this width on the course of a row stands beside it.
const SPARK_FROM: u16 = 56;

/// Draws the figures of now, with their course over the window where there is room.
pub(super) fn draw(pen: &mut Pen<'_>, area: Rect, model: &Model) {
    let Some((past, own)) = latest(model) else {
        let text = "it answers, and has not sampled itself yet";
        write_rows(pen, area, &[row(text, Tone::Dim)], 0);
        return;
    };
    let windowed = model.windowed().unwrap_or(past);
    let course = windowed.own.as_ref().unwrap_or(own);
    let summary = summary(own, course);
    let spark_columns = if area.width >= SPARK_FROM {
        area.width / 3
    } else {
        0
    };
    let text = Rect {
        width: area.width - spark_columns,
        ..area
    };
    let rows: Vec<Row> = summary.iter().map(|line| line.row.clone()).collect();
    write_rows(pen, text, &rows, 0);
    for (line, y) in summary.iter().zip(area.top()..area.bottom()) {
        if let Some(course) = &line.course {
            let at = (text.right() + 1, y);
            spark(pen, at, spark_columns.saturating_sub(1), course, Tone::Good);
        }
    }
    let used = u16::try_from(rows.len())
        .unwrap_or(u16::MAX)
        .min(area.height);
    let rest = Rect::new(area.x, area.y + used, area.width, area.height - used);
    write_rows(pen, rest, &upstreams(own), 0);
}

/// The last minutes of the instance, where it has sampled itself.
pub(super) fn latest(model: &Model) -> Option<(&Past, &PastOwn)> {
    let past = model.past()?;
    Some((past, past.own.as_ref()?))
}

struct Line {
    row: Row,
    course: Option<Column>,
}

impl Line {
    fn new(name: &str, text: String, tone: Tone, course: Option<Column>) -> Self {
        let name = (format!("{name:<NAME_COLUMNS$}"), Tone::Dim);
        Self {
            row: vec![name, (text, tone)],
            course,
        }
    }
}

fn summary(own: &PastOwn, course: &PastOwn) -> Vec<Line> {
    let failures = sum_now(&own.failures_per_second);
    let waiting = own
        .upstreams
        .iter()
        .filter_map(|one| now(&one.queue))
        .sum::<f64>();
    vec![
        Line::new(
            "requests",
            format!("{}/s", text(now(&own.requests_per_second), words::rate)),
            Tone::Strong,
            Some(course.requests_per_second.clone()),
        ),
        Line::new(
            "latency",
            format!(
                "p50 {}   p99 {}",
                text(now(&own.duration_p50_seconds), words::seconds),
                text(now(&own.duration_p99_seconds), words::seconds)
            ),
            Tone::Strong,
            Some(course.duration_p99_seconds.clone()),
        ),
        Line::new(
            "connects",
            connects(own),
            Tone::Plain,
            Some(course.reuse_per_second.clone()),
        ),
        Line::new(
            "failures",
            failures_text(own, failures),
            if failures > 0.0 {
                Tone::Warning
            } else {
                Tone::Plain
            },
            Some(sum(&course.failures_per_second)),
        ),
        Line::new(
            "queue",
            format!("{} waiting", words::count(waiting)),
            if waiting >= 1.0 {
                Tone::Warning
            } else {
                Tone::Plain
            },
            Some(queues(&course.upstreams)),
        ),
        Line::new(
            "clients",
            clients(own),
            Tone::Plain,
            Some(course.client_connections.clone()),
        ),
    ]
}

/// New connections beside requests that needed none.
fn connects(own: &PastOwn) -> String {
    let new = sum_now(&own.connects_per_second);
    let reused = now(&own.reuse_per_second).unwrap_or(0.0);
    let part = if new + reused > 0.0 {
        format!(" ({:.0} %)", (reused / (new + reused) * 100.0).floor())
    } else {
        String::new()
    };
    format!(
        "{}/s new, {}/s reused{part}",
        words::rate(new),
        words::rate(reused)
    )
}

/// The rate, and the kinds it is made of, the most frequent first.
fn failures_text(own: &PastOwn, failures: f64) -> String {
    let mut kinds: Vec<(&String, f64)> = own
        .failures_per_second
        .iter()
        .filter_map(|(kind, column)| Some((kind, now(column)?)))
        .filter(|(_, rate)| *rate > 0.0)
        .collect();
    kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
    let kinds: Vec<String> = kinds
        .into_iter()
        .map(|(kind, rate)| format!("{kind} {}", words::rate(rate)))
        .collect();
    let kinds = if kinds.is_empty() {
        String::new()
    } else {
        format!("  {}", kinds.join(" · "))
    };
    format!("{}/s{kinds}", words::rate(failures))
}

fn clients(own: &PastOwn) -> String {
    let clients = text(now(&own.client_connections), words::count);
    let open = now(&own.file_descriptors);
    let limit = now(&own.file_descriptors_limit);
    match (open, limit) {
        (Some(open), Some(limit)) => {
            let (open, limit) = (words::count(open), words::count(limit));
            format!("{clients}, descriptors {open} of {limit}")
        }
        _ => clients,
    }
}

/// A line for each upstream.
pub(super) fn upstreams(own: &PastOwn) -> Vec<Row> {
    let line = |one: &PastUpstream| {
        let counts = [
            (&one.active, "active"),
            (&one.idle, "idle"),
            (&one.connecting, "connecting"),
            (&one.queue, "queued"),
        ];
        let counts: Vec<String> = counts
            .into_iter()
            .map(|(column, name)| format!("{} {name}", text(now(column), words::count)))
            .collect();
        let name = format!("{:<width$}", one.name, width = NAME_COLUMNS - 1);
        vec![
            (format!("{name} "), Tone::Good),
            (counts.join(", "), Tone::Plain),
        ]
    };
    own.upstreams.iter().map(line).collect()
}

/// Every kind of failure and every result of a connect that there was in the window, with its last rate and its peak.
pub(super) fn kinds(of: &BTreeMap<String, Column>) -> Vec<Row> {
    let longest = of
        .keys()
        .map(|kind| kind.chars().count())
        .max()
        .unwrap_or(0);
    let width = longest.min(KIND_COLUMNS_MAX);
    let line = |(kind, column): (&String, &Column)| {
        let peak = column.iter().flatten().copied().fold(0.0, f64::max);
        vec![
            (format!("  {kind:<width$}"), Tone::Plain),
            (
                format!("{:>9}/s", text(now(column), words::rate)),
                Tone::Strong,
            ),
            (format!("  at most {}/s", words::rate(peak)), Tone::Dim),
        ]
    };
    of.iter().map(line).collect()
}

fn text(value: Option<f64>, words: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), words)
}

fn sum_now(columns: &BTreeMap<String, Column>) -> f64 {
    columns.values().map(Vec::as_slice).filter_map(now).sum()
}

fn sum(columns: &BTreeMap<String, Column>) -> Column {
    summed(columns.values())
}

fn queues(upstreams: &[PastUpstream]) -> Column {
    summed(upstreams.iter().map(|one| &one.queue))
}

fn summed<'a>(columns: impl Iterator<Item = &'a Column>) -> Column {
    let mut total: Column = Vec::new();
    for column in columns {
        total.resize(total.len().max(column.len()), None);
        for (sum, value) in total.iter_mut().zip(column) {
            if let Some(value) = value {
                *sum = Some(sum.unwrap_or(0.0) + value);
            }
        }
    }
    total
}
