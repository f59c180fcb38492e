//! What is wrong, the worst first, each in a line or two.

use lasthop_ports::{Finding, Severity};
use ratatui::layout::Rect;

use super::pen::{Pen, Tone};
use super::{Row, row, words, write_rows};
use crate::top::model::Model;

/// Lines of a headline that are shown; the whole of it is in the detail.
const HEADLINE_LINES_MAX: usize = 2;

/// Draws the list, so that the selected finding is on it.
pub(super) fn draw(pen: &mut Pen<'_>, area: Rect, model: &Model, is_chosen: bool) {
    let rows = match model.host() {
        None => vec![row("reading the host", Tone::Dim)],
        Some(_) if model.findings().is_empty() => nothing(model, area.width),
        Some(_) => {
            let (mut rows, mut selected_end) = list(model, area.width, is_chosen, Length::Whole);
            if rows.len() > area.height.into() {
                (rows, selected_end) = list(model, area.width, is_chosen, Length::Brief);
            }
            let skip = selected_end.saturating_sub(area.height.into());
            write_rows(pen, area, &rows, skip);
            return;
        }
    };
    write_rows(pen, area, &rows, 0);
}

/// How much of each finding is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    /// What it is.
    Brief,
    /// And the most telling fact, and the best way out.
    Whole,
}

/// All rows, and the one after the selected finding's last.
fn list(model: &Model, width: u16, is_chosen: bool, length: Length) -> (Vec<Row>, usize) {
    let selected = model.selected_finding();
    let mut rows = Vec::new();
    let mut selected_end = 0;
    for (at, finding) in model.findings().iter().enumerate() {
        let is_selected = is_chosen && at == selected;
        rows.extend(entry(finding, width, is_selected));
        if length == Length::Whole {
            rows.extend(more(finding));
        }
        if at == selected {
            selected_end = rows.len();
        }
    }
    rows.extend(unseen(model, width));
    (rows, selected_end)
}

/// One finding: its severity and code, then its headline.
fn entry(finding: &Finding, width: u16, is_selected: bool) -> Vec<Row> {
    let mark = if is_selected { "▸ " } else { "  " };
    let tone = tone(finding.severity);
    let mut rows = vec![vec![
        (mark.to_owned(), Tone::Chosen),
        (severity(finding.severity).to_owned(), tone),
        (format!("  {}", finding.code), Tone::Strong),
    ]];
    let mut lines = words::wrapped(&finding.headline, width.saturating_sub(2), "");
    let is_cut = lines.len() > HEADLINE_LINES_MAX;
    lines.truncate(HEADLINE_LINES_MAX);
    if is_cut && let Some(last) = lines.last_mut() {
        last.push_str(" …");
    }
    rows.extend(
        lines
            .into_iter()
            .map(|line| row(format!("  {line}"), Tone::Plain)),
    );
    rows
}

/// What fits into a line each.
fn more(finding: &Finding) -> Vec<Row> {
    let fact = finding.evidence.first();
    let fact = fact.map(|fact| row(format!("    {fact}"), Tone::Dim));
    let remedy = finding.remedies.first().map(|remedy| {
        vec![
            ("    remedy: ".to_owned(), Tone::Dim),
            (remedy.title.clone(), Tone::Good),
        ]
    });
    fact.into_iter().chain(remedy).collect()
}

/// The word for a severity, loud where it has to be.
pub(super) const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "CRITICAL",
        Severity::Warning => "WARNING",
        Severity::Note => "note",
    }
}

/// The colour that goes with the word.
pub(super) const fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Critical => Tone::Critical,
        Severity::Warning => Tone::Warning,
        Severity::Note => Tone::Dim,
    }
}

fn nothing(model: &Model, width: u16) -> Vec<Row> {
    let is_blind = model
        .host()
        .is_some_and(|host| host.snapshot.sockets.is_none());
    let mut rows = vec![if is_blind {
        row(
            "  nothing was found, and sockets were not seen",
            Tone::Warning,
        )
    } else {
        row("  nothing is short, and nothing will be soon", Tone::Good)
    }];
    if let Some(fullest) = model.groups().first()
        && let Some(limit) = fullest.limit
    {
        let text = format!(
            "the fullest: {}, {} of {} ports",
            super::ports::name(fullest),
            words::thousands(fullest.used.into()),
            words::thousands(limit.into())
        );
        rows.extend(indented(&text, width, Tone::Plain));
    }
    rows.extend(unseen(model, width));
    rows
}

/// What could not be looked at: a host about which nothing is known is not healthy.
fn unseen(model: &Model, width: u16) -> Vec<Row> {
    let unseen = model.host().map_or(&[][..], |host| &host.snapshot.unseen);
    let lines = unseen
        .iter()
        .flat_map(|what| indented(&format!("not seen: {what}"), width, Tone::Dim));
    lines.collect()
}

/// Below the headlines, with as much room before it.
fn indented(text: &str, width: u16, tone: Tone) -> Vec<Row> {
    let lines = words::wrapped(text, width.saturating_sub(2), "  ");
    let lines = lines.into_iter();
    lines.map(|line| row(format!("  {line}"), tone)).collect()
}
