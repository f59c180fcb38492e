//! A chart: lines over time as an SVG, a legend with the newest values, and a table of the same figures.
//!
//! Pure: series in, HTML out; the same for the first view and for every update. Colours, dashes and margins are the style
//! sheet's, so that dark, light and forced colours need nothing here. The SVG is as wide as its place; its texts keep their
//! size because only the inner drawing is stretched. A gap in the data is a gap in the line.

use super::html::Html;
use super::numbers::{Quantity, Unit, duration, step};
use super::series::{INNER_HEIGHT, INNER_WIDTH, Line, Span};

/// Lines of one chart: as many as there are tones in the style sheet.
pub(super) const LINES_MAX: usize = 6;

/// Height of the drawing, in CSS pixels.
const HEIGHT: f64 = 150.0;

/// A wall further up than this many times the highest value is told and not drawn: the lines would lie on the floor.
const WALL_FAR: f64 = 5.0;

/// From the middle of a wall to that of a line along it, in CSS pixels: half of either is as wide.
const WALL_WIDTH: f64 = 2.0;

/// One chart.
#[derive(Debug)]
pub(super) struct Chart {
    /// What its elements are named after.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// What is shown, in a few words.
    pub(super) note: &'static str,
    pub(super) unit: Unit,
    pub(super) lines: Vec<Line>,
    /// Where it ends.
    pub(super) wall: Option<Wall>,
    /// What to say where there is nothing to draw.
    pub(super) nothing: &'static str,
}

/// A limit: what it is called, and where it is.
#[derive(Debug)]
pub(super) struct Wall {
    pub(super) label: String,
    pub(super) value: f64,
}

/// The values of the axis.
struct Scale {
    top: f64,
    step: f64,
}

impl Chart {
    pub(super) fn html(&self, span: Span) -> Html {
        let mut html = Html::new();
        html.raw("<figure class=\"chart\"")
            .attribute("id", Id("chart", self.id));
        html.raw("><figcaption><h3>")
            .text(self.title)
            .raw("</h3><p>");
        html.text(self.note).raw("</p></figcaption>");
        if self.lines.iter().all(|line| line.points.is_empty()) {
            html.raw("<p class=\"nothing\">").text(self.nothing);
            html.raw("</p></figure>");
            return html;
        }
        self.legend(&mut html);
        self.drawing(span, &mut html);
        self.table(span, &mut html);
        html.raw("</figure>");
        html
    }

    fn legend(&self, html: &mut Html) {
        html.raw("<ul class=\"legend\">");
        for (index, line) in self.lines.iter().enumerate() {
            html.raw("<li><svg class=\"key\" width=\"22\" height=\"8\" aria-hidden=\"true\"><line x1=\"0\" x2=\"22\" y1=\"4\" y2=\"4\"");
            html.attribute("class", Tone(index)).raw("/></svg> ");
            html.text(&line.name).raw(" <b>");
            match line.newest() {
                Some(value) => html.text(Quantity(value, self.unit)),
                None => html.raw("–"),
            };
            html.raw("</b></li>");
        }
        html.raw("</ul>");
    }

    fn scale(&self) -> Scale {
        let lines = self.lines.iter().filter_map(Line::highest);
        let highest = lines.fold(0.0, f64::max);
        let least = match self.unit {
            Unit::Count => 4.0,
            Unit::PerSecond => 1.0,
            Unit::Seconds => 1e-4,
        };
        let wall = self.wall.as_ref().map_or(0.0, |wall| wall.value);
        let wall = if wall > highest * WALL_FAR { 0.0 } else { wall };
        // A line at the very top would be taken for the frame.
        let top = (highest.max(wall) * 1.05).max(least);
        let step = step(top, self.unit);
        Scale {
            top: (top / step).ceil() * step,
            step,
        }
    }

    fn drawing(&self, span: Span, html: &mut Html) {
        let scale = self.scale();
        html.raw("<div class=\"plot\"")
            .attribute("id", Id("plot", self.id));
        html.attribute("data-from", span.from_ms)
            .attribute("data-to", span.to_ms);
        html.attribute("data-step", span.step_ms)
            .attribute("data-unit", self.unit.label());
        html.raw("><svg role=\"img\" width=\"100%\"")
            .attribute("height", HEIGHT);
        html.attribute(
            "aria-labelledby",
            format_args!("title-{0} desc-{0}", self.id),
        );
        html.raw("><title")
            .attribute("id", Id("title", self.id))
            .raw(">");
        html.text(self.title)
            .raw("</title><desc")
            .attribute("id", Id("desc", self.id))
            .raw(">");
        self.description(span, html);
        html.raw("</desc>");
        self.axes(&scale, span, html);
        // Below the lines, so that a plateau is seen as a line of its own.
        self.draw_wall(&scale, html);
        html.raw(
            "<svg class=\"lines\" width=\"100%\" height=\"100%\" preserveAspectRatio=\"none\"",
        );
        html.attribute("viewBox", format_args!("0 0 {INNER_WIDTH} {INNER_HEIGHT}"))
            .raw(">");
        // The first is the one that matters most, so it is drawn last, above the others.
        for (index, line) in self.lines.iter().enumerate().rev() {
            html.raw("<path").attribute("class", Tone(index));
            html.attribute("data-name", &line.name);
            html.attribute("data-v", line.readout(span));
            html.attribute("d", line.path(span, scale.top)).raw("/>");
        }
        html.raw("</svg></svg></div>");
    }

    fn description(&self, span: Span, html: &mut Html) {
        html.text(format_args!(
            "The last {}.",
            duration(span.whole_ms() / 1000)
        ));
        for line in &self.lines {
            let (Some(newest), Some(highest)) = (line.newest(), line.highest()) else {
                continue;
            };
            let told = |value| Quantity(value, self.unit);
            html.text(format_args!(
                " {}: {} now, {} at the highest.",
                line.name,
                told(newest),
                told(highest)
            ));
        }
        if let Some(wall) = &self.wall {
            html.text(format_args!(
                " Its limit is drawn as a line: {}.",
                wall.label
            ));
        }
    }

    fn axes(&self, scale: &Scale, span: Span, html: &mut Html) {
        let lines = (scale.top / scale.step).round();
        let mut at = 0.0;
        while at <= lines {
            let y = HEIGHT * (1.0 - at / lines);
            html.raw("<line class=\"grid\" x1=\"0\" x2=\"100%\"")
                .attribute("y1", Px(y));
            html.attribute("y2", Px(y))
                .raw("/><text class=\"y\" x=\"-8\" dy=\"4\"");
            html.attribute("y", Px(y)).raw(">");
            html.text(Quantity(at * scale.step, self.unit))
                .raw("</text>");
            at += 1.0;
        }
        let mut ago_ms = span.whole_ms();
        let mut is_minor = false;
        loop {
            let x = Percent(1.0 - ago_ms as f64 / span.whole_ms() as f64);
            html.raw("<line class=\"tick\"")
                .attribute("x1", x)
                .attribute("x2", x);
            html.attribute("y1", HEIGHT).attribute("y2", HEIGHT + 4.0);
            let class = match ago_ms {
                0 => "x now",
                // Left out where it is narrow.
                _ if is_minor => "x minor",
                _ => "x",
            };
            is_minor = !is_minor;
            html.raw("/><text").attribute("class", class);
            html.attribute("x", x)
                .attribute("y", HEIGHT + 17.0)
                .raw(">");
            match ago_ms {
                0 => html.raw("now"),
                _ => html.text(format_args!("−{}", duration(ago_ms / 1000))),
            };
            html.raw("</text>");
            let Some(next) = ago_ms.checked_sub(span.tick_ms) else {
                return;
            };
            ago_ms = next;
        }
    }

    fn draw_wall(&self, scale: &Scale, html: &mut Html) {
        let Some(wall) = &self.wall else { return };
        let is_far = wall.value > scale.top;
        let y = if is_far {
            0.0
        } else {
            HEIGHT * (1.0 - wall.value / scale.top)
        };
        if !is_far {
            // Its lower edge is the limit: a line that runs along the wall lies beside it and not under it.
            let middle = y - WALL_WIDTH;
            html.raw("<line class=\"wall\" x1=\"0\" x2=\"100%\"")
                .attribute("y1", Px(middle));
            html.attribute("y2", Px(middle)).raw("/>");
        }
        html.raw("<text class=\"wall\" x=\"4\"")
            .attribute("y", Px(if is_far { 12.0 } else { y - 7.0 }));
        html.raw(if is_far { ">↑ " } else { ">" });
        html.text(&wall.label).raw("</text>");
    }

    /// The highest value of each span of time, so that no peak is lost.
    fn table(&self, span: Span, html: &mut Html) {
        html.raw("<details").attribute("id", Id("figures", self.id));
        html.raw("><summary>Figures</summary><div class=\"scroll\"><table><caption>");
        html.text(format_args!(
            "{}: the highest in each {}",
            self.title,
            duration(span.row_ms / 1000)
        ));
        html.raw("</caption><thead><tr><th scope=\"col\">Until</th>");
        for line in &self.lines {
            html.raw("<th scope=\"col\">").text(&line.name).raw("</th>");
        }
        html.raw("</tr></thead><tbody>");
        for ago_ms in (0..span.whole_ms()).step_by(usize_of(span.row_ms)) {
            let until = span.to_ms - ago_ms;
            let from = until.saturating_sub(span.row_ms);
            html.raw("<tr><th scope=\"row\">");
            match ago_ms {
                0 => html.raw("now"),
                _ => html.text(format_args!("{} ago", duration(ago_ms / 1000))),
            };
            html.raw("</th>");
            for line in &self.lines {
                let within = line
                    .points
                    .iter()
                    .filter(|(at, _)| (from + 1..=until).contains(at));
                html.raw("<td>");
                match within.map(|(_, value)| *value).reduce(f64::max) {
                    Some(highest) => html.text(Quantity(highest, self.unit)),
                    None => html.raw("–"),
                };
                html.raw("</td>");
            }
            html.raw("</tr>");
        }
        html.raw("</tbody></table></div></details>");
    }
}

/// Steps of an iterator; a row is never longer than a day.
fn usize_of(milliseconds: u64) -> usize {
    usize::try_from(milliseconds).unwrap_or(usize::MAX).max(1)
}

/// `chart-ports`: an element's name.
struct Id(&'static str, &'static str);

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

/// The class of a line: its colour and its dashes.
struct Tone(usize);

impl std::fmt::Display for Tone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tone-{}", self.0 % LINES_MAX)
    }
}

/// Pixels, to a tenth.
struct Px(f64);

impl std::fmt::Display for Px {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", (self.0 * 10.0).round() / 10.0)
    }
}

/// A part of the width.
#[derive(Clone, Copy)]
struct Percent(f64);

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}%", (self.0 * 1e4).round() / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::series::tests::{SPAN, line};
    use super::*;

    fn chart(lines: Vec<Line>, wall: Option<f64>) -> Chart {
        Chart {
            id: "ports",
            title: "Ports in use",
            note: "",
            unit: Unit::Count,
            lines,
            wall: wall.map(|value| Wall {
                label: format!("wall: {value}"),
                value,
            }),
            nothing: "nothing",
        }
    }

    #[test]
    fn the_axis_ends_above_the_wall_unless_the_wall_is_far() {
        for (highest, wall, top, step) in [
            (600.0, Some(600.0), 800.0, 200.0),
            (500.0, Some(600.0), 800.0, 200.0),
            (12.0, Some(28_232.0), 15.0, 5.0),
            (28_232.0, Some(28_232.0), 30_000.0, 10_000.0),
            (0.0, None, 4.0, 1.0),
        ] {
            let scale = chart(vec![line(&[(0, highest)])], wall).scale();
            assert!(
                (scale.step - step).abs() < 1e-9,
                "{highest}: {}",
                scale.step
            );
            assert!(
                scale.top >= top && scale.top <= top + step,
                "{highest}: {}",
                scale.top
            );
        }
    }

    #[test]
    fn a_chart_has_its_wall_its_figures_and_nothing_foreign_as_markup() {
        let html = chart(vec![line(&[(0, 5.0), (599, 600.0)])], Some(600.0)).html(SPAN);
        let html = html.as_str();
        for part in [
            "<figure class=\"chart\" id=\"chart-ports\">",
            "role=\"img\"",
            "<title id=\"title-ports\">Ports in use</title>",
            "127.0.0.1 → &lt;b&gt;: 600 now, 600 at the highest. Its limit is drawn as a line: wall: 600.",
            "class=\"wall\" x1=\"0\" x2=\"100%\" y1=\"35.5\"",
            ">wall: 600</text>",
            "<th scope=\"row\">now</th><td>600</td>",
            "<th scope=\"row\">9 min ago</th><td>–</td>",
            ">−10 min</text>",
            ">now</text>",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("<b>:"), "{html}");
        assert!(!html.contains("style="), "{html}");
    }

    #[test]
    fn a_wall_far_above_is_told_and_not_drawn() {
        let html = chart(vec![line(&[(0, 12.0)])], Some(28_232.0)).html(SPAN);
        assert!(html.as_str().contains(">↑ wall: 28232</text>"));
        assert!(!html.as_str().contains("class=\"wall\" x1"));
    }

    #[test]
    fn without_points_a_chart_says_so() {
        let html = chart(vec![line(&[])], None).html(SPAN);
        assert!(html.as_str().contains("<p class=\"nothing\">nothing</p>"));
        assert!(!html.as_str().contains("<svg"));
    }
}
