//! A whole page: head, landmarks and the parts that live updates replace.
//!
//! Each part that is replaced is an element named after the event that carries its new content (`live` sends them,
//! the script puts them in place), so the first view and an update are the same words from the same code.

use std::time::Duration;

use super::assets::{ICON, SCRIPT, STYLE};
use super::html::Html;
use super::numbers::duration;
use crate::history::Window;

/// The parts of the dashboard that are replaced, in the order of the page. Each is an event and an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Whether it serves, and how old the figures are.
    State,
    /// The findings in one sentence.
    Summary,
    /// The findings.
    Findings,
    /// The charts.
    Charts,
    /// The upstreams.
    Upstreams,
}

impl Part {
    pub(super) const ALL: [Self; 5] = [
        Self::State,
        Self::Summary,
        Self::Findings,
        Self::Charts,
        Self::Upstreams,
    ];

    /// Of the event and of the element.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Summary => "summary",
            Self::Findings => "findings",
            Self::Charts => "charts",
            Self::Upstreams => "upstreams",
        }
    }
}

/// What the line below the title tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub(super) is_draining: bool,
    pub(super) uptime: Duration,
    /// Since the last look at the host; none before the first.
    pub(super) age: Option<Duration>,
    /// Between two looks.
    pub(super) period: Duration,
    /// Processor time that sampling has taken so far.
    pub(super) cost: Duration,
}

impl State {
    pub(super) fn html(&self) -> Html {
        let mut html = Html::new();
        html.raw(if self.is_draining {
            "<strong>draining</strong>"
        } else {
            "<strong>serving</strong>"
        });
        html.raw(" for ").text(duration(self.uptime.as_secs()));
        let Some(age) = self.age else {
            html.raw(" · the host has not been looked at yet");
            return html;
        };
        html.raw(" · host sampled ").text(duration(age.as_secs()));
        html.raw(" ago, every ")
            .text(duration(self.period.as_secs()));
        let part = self.cost.as_secs_f64() / self.uptime.as_secs_f64().max(1.0);
        html.text(format_args!(", with {:.2} % of a core", part * 100.0));
        html
    }
}

/// The dashboard. `parts` are in the order of [`Part::ALL`].
pub(super) fn dashboard(window: Window, parts: &[Html; Part::ALL.len()]) -> String {
    let [state, summary, findings, charts, upstreams] = parts;
    let mut page = Html::new();
    head("lasthop", true, &mut page);
    page.raw("<body data-window=\"")
        .text(window.as_str())
        .raw("\">");
    page.raw("<a class=\"skip\" href=\"#main\">Skip to the findings</a><header><div><h1><a href=\"/\">lasthop</a> <small>");
    page.raw(env!("CARGO_PKG_VERSION"))
        .raw("</small></h1><p id=\"state\">")
        .html(state);
    page.raw("</p></div><nav aria-label=\"Time shown\"><ul>");
    for (it, text) in [
        (Window::TenMinutes, "10 min"),
        (Window::ThreeHours, "3 h"),
        (Window::Day, "24 h"),
    ] {
        page.raw("<li><a")
            .attribute("href", format_args!("/?window={}", it.as_str()));
        page.raw(if it == window {
            " aria-current=\"page\""
        } else {
            ""
        });
        page.raw(">").raw(text).raw("</a></li>");
    }
    page.raw("</ul></nav><div class=\"live\"><span id=\"live\" role=\"status\"></span>");
    page.raw("<button id=\"pause\" type=\"button\" aria-pressed=\"false\" hidden>Pause</button>");
    page.raw("<noscript>As of the moment it was loaded; reload for news.</noscript></div></header><main id=\"main\" tabindex=\"-1\">");
    page.raw("<section aria-labelledby=\"h-findings\"><h2 id=\"h-findings\">Findings</h2>");
    page.raw("<p id=\"summary\" aria-live=\"polite\">")
        .html(summary)
        .raw("</p><div id=\"findings\">");
    page.html(findings).raw("</div></section>");
    page.raw("<section aria-labelledby=\"h-charts\"><h2 id=\"h-charts\">Over time</h2><div id=\"charts\">");
    page.html(charts).raw("</div></section>");
    page.raw("<section aria-labelledby=\"h-upstreams\"><h2 id=\"h-upstreams\">Right now</h2><div id=\"upstreams\">");
    page.html(upstreams).raw("</div></section></main>");
    foot(&mut page);
    page.into_string()
}

/// A page of text: a finding's, or the list of them.
pub(super) fn text(title: &str, content: &Html) -> String {
    let mut page = Html::new();
    head(title, false, &mut page);
    page.raw("<body class=\"text\"><a class=\"skip\" href=\"#main\">Skip to the text</a><header><p class=\"home\"><a href=\"/\">lasthop</a></p>");
    page.raw("<nav aria-label=\"Pages\"><ul><li><a href=\"/\">Dashboard</a></li><li><a href=\"/findings\">All findings</a></li></ul></nav></header>");
    page.raw("<main id=\"main\" tabindex=\"-1\">")
        .html(content)
        .raw("</main>");
    foot(&mut page);
    page.into_string()
}

fn head(title: &str, is_live: bool, page: &mut Html) {
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    page.raw("<meta name=\"color-scheme\" content=\"light dark\"><meta name=\"referrer\" content=\"no-referrer\"><title>");
    page.text(title)
        .raw("</title><link rel=\"stylesheet\"")
        .attribute("href", STYLE.path());
    page.raw("><link rel=\"icon\" type=\"image/svg+xml\"")
        .attribute("href", ICON.path())
        .raw(">");
    if is_live {
        page.raw("<script defer")
            .attribute("src", SCRIPT.path())
            .raw("></script>");
    }
    page.raw("</head>\n");
}

fn foot(page: &mut Html) {
    page.raw(
        "<footer><nav aria-label=\"For programs\"><ul><li><a href=\"/metrics\">/metrics</a></li>",
    );
    page.raw("<li><a href=\"/status\">/status</a></li><li><a href=\"/doctor\">/doctor</a></li>");
    page.raw(
        "<li><a href=\"/history\">/history</a></li><li><a href=\"/healthz\">/healthz</a></li>",
    );
    page.raw("<li><a href=\"/findings\">/findings</a></li></ul></nav></footer></body>\n</html>\n");
}
