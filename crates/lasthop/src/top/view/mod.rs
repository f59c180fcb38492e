//! From a state to a screen: pure, so that a test can look at it at any size.
//!
//! Four panes side by side where there is room, one at a time where there is not, and a line that says so where there is
//! none at all. A detail lies over the panes.

mod bars;
mod detail;
mod findings;
mod instance;
mod pen;
mod plain;
mod plot;
mod ports;
mod sockets;
mod words;

pub use pen::Look;
pub use plain::{frame_as_text, once};

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::model::{Link, Model, Pane};
use pen::{Pen, Tone};

/// The smallest screen that something is shown on: columns and rows.
pub const SMALLEST: (u16, u16) = (40, 12);

/// From here on the panes stand side by side.
const SIDE_BY_SIDE: (u16, u16) = (80, 20);

/// What a picture found out about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drawn {
    /// By how many lines its detail can be scrolled down.
    pub scroll_max: u16,
}

/// Draws the whole screen.
pub fn draw(model: &Model, look: Look, buffer: &mut Buffer) -> Drawn {
    let area = buffer.area;
    let mut pen = Pen::new(buffer, look);
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        too_small(&mut pen, area);
        return Drawn::default();
    }
    header(&mut pen, Rect { height: 1, ..area }, model);
    let footer_y = area.bottom() - 1;
    footer(&mut pen, Rect::new(area.x, footer_y, area.width, 1), model);
    let body = Rect::new(area.x, area.y + 1, area.width, area.height - 2);
    if let Some(detail) = model.detail() {
        return Drawn {
            scroll_max: detail::draw(&mut pen, body, model, detail),
        };
    }
    if area.width >= SIDE_BY_SIDE.0 && area.height >= SIDE_BY_SIDE.1 {
        side_by_side(&mut pen, body, model);
    } else {
        one_at_a_time(&mut pen, body, model);
    }
    Drawn::default()
}

fn too_small(pen: &mut Pen<'_>, area: Rect) {
    let (width, height) = SMALLEST;
    let text = format!(
        "too small: {} x {}, needs {width} x {height}",
        area.width, area.height
    );
    for (line, y) in words::wrapped(&text, area.width, "")
        .iter()
        .zip(area.top()..area.bottom())
    {
        pen.text((area.x, y), area.width, line, Tone::Warning);
    }
}

/// One line: whose host this is, how fresh, how long it took, and whether there is an instance.
fn header(pen: &mut Pen<'_>, area: Rect, model: &Model) {
    let mut x = pen.text((area.x, area.y), area.width, "lasthop top", Tone::Good);
    let rest = |x: u16| area.right().saturating_sub(x);
    x = pen.text(
        (x, area.y),
        rest(x),
        &format!("  {}", model.host_name),
        Tone::Strong,
    );
    let mut parts: Vec<(String, Tone)> = Vec::new();
    if model.is_held() {
        parts.push(("PAUSED".to_owned(), Tone::Warning));
    }
    parts.push(freshness(model));
    for (text, tone) in parts {
        x = pen.text((x, area.y), rest(x), " · ", Tone::Dim);
        x = pen.text((x, area.y), rest(x), &text, tone);
    }
    let (whole, brief, tone) = link(model);
    let fits = |text: &str| pen::columns(text) + 3 <= rest(x);
    // Without the reason rather than half a reason, and rather nothing than half an address.
    if let Some(text) = [whole, brief].into_iter().find(|text| fits(text)) {
        let x = pen.text((x, area.y), rest(x), " · ", Tone::Dim);
        pen.text((x, area.y), rest(x), &text, tone);
    }
}

fn freshness(model: &Model) -> (String, Tone) {
    let (Some(host), Some(age)) = (model.host(), model.reading_age()) else {
        return ("reading the host".to_owned(), Tone::Dim);
    };
    let cost = words::seconds(host.cost.as_secs_f64());
    let late = host.period * 3;
    let text = format!("read {} s ago in {cost}", age.as_secs());
    if age > late.max(std::time::Duration::from_secs(10)) && !model.is_held() {
        return (format!("{text}, late"), Tone::Warning);
    }
    (text, Tone::Dim)
}

/// How it stands with the instance: in whole, in brief.
fn link(model: &Model) -> (String, String, Tone) {
    let address = &model.address;
    let alike = |text: String, tone| (text.clone(), text, tone);
    match &model.link {
        Link::Asking => alike(format!("asking {address}"), Tone::Dim),
        Link::Reached => alike(format!("lasthop at {address}"), Tone::Good),
        Link::Lost(why) => {
            let brief = format!("no instance at {address}");
            (format!("{brief}: {why}"), brief, Tone::Dim)
        }
    }
}

fn footer(pen: &mut Pen<'_>, area: Rect, model: &Model) {
    let window = words::window(model.window());
    let sort = model.sort().as_str();
    let keys: Vec<(&str, String)> = if model.detail().is_some() {
        vec![
            ("Esc", "back".to_owned()),
            ("↑↓", "scroll".to_owned()),
            ("q", "quit".to_owned()),
        ]
    } else {
        vec![
            ("q", "quit".to_owned()),
            ("Tab", "pane".to_owned()),
            ("Enter", "details".to_owned()),
            ("w", window.to_owned()),
            ("?", "help".to_owned()),
            ("↑↓", "select".to_owned()),
            ("s", format!("by {sort}")),
            (
                "p",
                if model.is_held() { "go on" } else { "pause" }.to_owned(),
            ),
        ]
    };
    let mut x = area.x;
    for (key, what) in keys {
        let needed = pen::columns(key) + 1 + pen::columns(&what);
        if x + needed > area.right() {
            break;
        }
        x = pen.text((x, area.y), area.right() - x, key, Tone::Strong);
        x = pen.text(
            (x, area.y),
            area.right() - x,
            &format!(" {what}"),
            Tone::Dim,
        ) + 2;
    }
}

fn side_by_side(pen: &mut Pen<'_>, body: Rect, model: &Model) {
    let upper = (body.height * 11 / 20).max(9);
    let (top, bottom) = split_rows(body, upper);
    let (sockets, ports) = split_columns(top, top.width / 2);
    pane(pen, sockets, model, Pane::Sockets);
    pane(pen, ports, model, Pane::Ports);
    if model.has_instance() {
        let (findings, instance) = split_columns(bottom, bottom.width / 2);
        pane(pen, findings, model, Pane::Findings);
        pane(pen, instance, model, Pane::Instance);
    } else {
        pane(pen, bottom, model, Pane::Findings);
    }
}

fn one_at_a_time(pen: &mut Pen<'_>, body: Rect, model: &Model) {
    let mut x = body.x;
    for &one in model.panes() {
        let is_chosen = one == model.pane();
        let tone = if is_chosen { Tone::Chosen } else { Tone::Dim };
        let mut text = format!("{} {}", one.number(), one.as_str());
        let found = model.findings().len();
        if one == Pane::Findings && found > 0 {
            text = format!("{text} {found}");
        }
        // Brackets, because a colour alone says nothing where there is none.
        let text = if is_chosen { format!("[{text}]") } else { text };
        x = pen.text((x, body.y), body.right().saturating_sub(x), &text, tone) + 1;
    }
    let rest = Rect::new(body.x, body.y + 1, body.width, body.height - 1);
    content(pen, rest, model, model.pane(), true);
}

fn pane(pen: &mut Pen<'_>, area: Rect, model: &Model, which: Pane) {
    let is_chosen = model.pane() == which;
    let title = format!("{} {}", which.number(), title(model, which));
    let inside = pen.frame(area, &title, is_chosen);
    content(pen, inside, model, which, is_chosen);
}

fn title(model: &Model, which: Pane) -> String {
    match which {
        Pane::Sockets => {
            let window = words::window(model.window());
            format!("Sockets by state, {window}")
        }
        Pane::Ports => ports::title(model),
        Pane::Findings => match model.findings().len() {
            0 => "Findings".to_owned(),
            some => format!("Findings · {some}"),
        },
        Pane::Instance => format!("lasthop at {}", model.address),
    }
}

fn content(pen: &mut Pen<'_>, area: Rect, model: &Model, which: Pane, is_chosen: bool) {
    match which {
        Pane::Sockets => sockets::draw(pen, area, model),
        Pane::Ports => ports::draw(pen, area, model, is_chosen),
        Pane::Findings => findings::draw(pen, area, model, is_chosen),
        // As far from the edge as what stands beside it.
        Pane::Instance => instance::draw(pen, indented(area, 1), model),
    }
}

fn indented(area: Rect, by: u16) -> Rect {
    let by = by.min(area.width);
    Rect::new(area.x + by, area.y, area.width - by, area.height)
}

fn split_rows(area: Rect, upper: u16) -> (Rect, Rect) {
    let upper = upper.min(area.height);
    (
        Rect {
            height: upper,
            ..area
        },
        Rect::new(area.x, area.y + upper, area.width, area.height - upper),
    )
}

fn split_columns(area: Rect, left: u16) -> (Rect, Rect) {
    let left = left.min(area.width);
    (
        Rect {
            width: left,
            ..area
        },
        Rect::new(area.x + left, area.y, area.width - left, area.height),
    )
}

/// What a text that has to be scrolled is made of: parts of a line, each with what it is.
type Row = Vec<(String, Tone)>;

/// A row of one part.
fn row(text: impl Into<String>, tone: Tone) -> Row {
    vec![(text.into(), tone)]
}

/// Writes rows from the `skip`ped on; what does not fit is left out.
fn write_rows(pen: &mut Pen<'_>, area: Rect, rows: &[Row], skip: usize) {
    for (row, y) in rows.iter().skip(skip).zip(area.top()..area.bottom()) {
        let mut x = area.x;
        for (text, tone) in row {
            x = pen.text((x, y), area.right().saturating_sub(x), text, *tone);
        }
    }
}

#[cfg(test)]
mod tests;
