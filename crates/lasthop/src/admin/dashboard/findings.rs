//! Findings as HTML: what is wrong with this host, what was seen of it, and what to do, with lines to paste.
//!
//! Everything that a finding tells may hold foreign words (names of processes, paths), so all of it is written as text.

use std::fmt::{self, Display};

use lasthop_ports::finding::{Code, Finding, Remedy, Severity, Step, Subject};

use super::html::Html;
use super::numbers::{count, duration, percent};

/// Findings that are told on one page; the others are counted. A host that has more has other worries.
const FINDINGS_MAX: usize = 24;

/// One line for all: what a screen reader says when it changes.
pub(super) fn summary(findings: Option<&[Finding]>) -> Html {
    let mut html = Html::new();
    let Some(findings) = findings else {
        html.raw("The first look at this host is under way.");
        return html;
    };
    let Some(worst) = findings.first() else {
        html.raw("Nothing is wrong with this host, as far as it can be seen.");
        return html;
    };
    let number = |severity| findings.iter().filter(|it| it.severity == severity).count();
    let parts = [Severity::Critical, Severity::Warning, Severity::Note].map(|it| (number(it), it));
    let mut is_first = true;
    for (number, severity) in parts.into_iter().filter(|(number, _)| *number > 0) {
        html.raw(if is_first { "" } else { ", " });
        html.text(number).raw(" ").text(severity);
        // "critical" has no plural.
        html.raw(match (number, severity) {
            (1, _) | (_, Severity::Critical) => "",
            _ => "s",
        });
        is_first = false;
    }
    html.raw(". ").text(&worst.headline);
    html
}

/// All findings, the worst first, as they come.
pub(super) fn list(findings: &[Finding]) -> Html {
    let mut html = Html::new();
    for (index, finding) in findings.iter().take(FINDINGS_MAX).enumerate() {
        // What to do about the worst is open; the charts are not to be far below.
        html.html(&article(finding, index == 0));
    }
    if findings.len() > FINDINGS_MAX {
        html.raw("<p>").text(findings.len() - FINDINGS_MAX);
        html.raw(" more are in <a href=\"/doctor\">/doctor</a>.</p>");
    }
    html
}

/// What could not be read, in words.
pub(super) fn unseen(unseen: &[String]) -> Html {
    let mut html = Html::new();
    if !unseen.is_empty() {
        html.raw(
            "<details class=\"unseen\" id=\"unseen\"><summary>What could not be seen</summary><ul>",
        );
        for what in unseen {
            html.raw("<li>").text(what).raw("</li>");
        }
        html.raw("</ul></details>");
    }
    html
}

/// One finding. `shows_remedy`: whether its first remedy is open.
fn article(finding: &Finding, shows_remedy: bool) -> Html {
    let mut html = Html::new();
    html.raw("<article")
        .attribute("class", format_args!("finding {}", finding.severity));
    html.raw("><h3><span class=\"severity\">")
        .text(finding.severity);
    html.raw("</span> ").text(&finding.headline).raw("</h3>");
    if let Some(usage) = &finding.usage {
        html.raw("<p class=\"usage\">");
        html.html(&bar(usage.used, usage.limit));
        html.text(format_args!(
            " {} of {} {} ({})",
            count(usage.used),
            count(usage.limit),
            usage.unit,
            percent(usage.used, usage.limit)
        ));
        if let Some(forecast) = &finding.forecast {
            html.text(format_args!(
                "; used up in about {} at this slope",
                duration(forecast.time_left().as_secs())
            ));
        }
        html.raw("</p>");
    }
    if !finding.evidence.is_empty() {
        html.raw("<ul class=\"evidence\">");
        for fact in &finding.evidence {
            html.raw("<li>").text(fact).raw("</li>");
        }
        html.raw("</ul>");
    }
    for (index, remedy) in finding.remedies.iter().enumerate() {
        html.html(&self::remedy(
            remedy,
            format_args!("{}-{index}", anchor(finding)),
            shows_remedy && index == 0,
        ));
    }
    html.raw("<p class=\"more\"><a")
        .attribute("href", format_args!("/findings/{}", finding.code));
    html.raw(">")
        .text(finding.code)
        .raw(": what it means and every way out</a></p></article>");
    html
}

/// A name for the elements of a finding that stays the same while it is found.
fn anchor(finding: &Finding) -> String {
    let subject = match &finding.subject {
        Subject::Group { source, target } => format!("{source}-{target}"),
        Subject::Listener { address } => address.to_string(),
        Subject::UnixSocket { path } => path.clone(),
        Subject::Process { pid } => pid.to_string(),
        Subject::Namespace | Subject::Host => "host".to_owned(),
    };
    // An element's name has no spaces; two paths that differ in them alone share what is open.
    let subject: String = subject
        .chars()
        .map(|it| if it.is_ascii_alphanumeric() { it } else { '-' })
        .collect();
    format!("{}-{subject}", finding.code)
}

fn remedy(remedy: &Remedy, id: impl Display, is_open: bool) -> Html {
    let mut html = Html::new();
    html.raw("<details class=\"remedy\"").attribute("id", id);
    html.raw(if is_open { " open" } else { "" })
        .raw("><summary>");
    html.text(&remedy.title).raw("</summary>");
    for step in &remedy.steps {
        match step {
            Step::Shell { lines } => {
                html.raw("<pre><code>")
                    .text(Lines(lines))
                    .raw("</code></pre>");
            }
            Step::Lines { place, lines } => {
                html.raw("<p class=\"place\">In ")
                    .text(place)
                    .raw(":</p><pre><code>");
                html.text(Lines(lines)).raw("</code></pre>");
            }
            Step::Words { text } => {
                html.raw("<p>").text(text).raw("</p>");
            }
        }
    }
    if let Some(risk) = &remedy.risk {
        html.raw("<p class=\"risk\"><b>Mind:</b> ")
            .text(risk)
            .raw("</p>");
    }
    if !remedy.undo.is_empty() {
        html.raw("<p class=\"place\">To undo it:</p><pre><code>");
        html.text(Lines(&remedy.undo)).raw("</code></pre>");
    }
    html.raw("</details>");
    html
}

/// The part in use as a small drawing; whoever does not see it has the numbers beside it.
pub(super) fn bar(used: u64, limit: u64) -> Html {
    let part = used as f64 * 100.0 / limit.max(1) as f64;
    let tone = match part {
        95.0.. => "bar critical",
        80.0.. => "bar warning",
        _ => "bar",
    };
    let mut html = Html::new();
    html.raw("<svg width=\"96\" height=\"10\" aria-hidden=\"true\"")
        .attribute("class", tone);
    html.raw(
        "><rect class=\"all\" width=\"100%\" height=\"100%\"/><rect class=\"used\" height=\"100%\"",
    );
    html.attribute("width", format_args!("{:.1}%", part.min(100.0)))
        .raw("/></svg>");
    html
}

/// The page of a code: what is found of it now, then the text of the documentation.
pub(super) fn page(code: Code, findings: &[Finding], document: &Html) -> Html {
    let mut html = Html::new();
    html.raw("<h1>").text(code).raw("</h1>");
    let now: Vec<&Finding> = findings.iter().filter(|it| it.code == code).collect();
    if !now.is_empty() {
        html.raw(
            "<section class=\"now\" aria-labelledby=\"now\"><h2 id=\"now\">On this host now</h2>",
        );
        for finding in now.iter().take(FINDINGS_MAX) {
            html.html(&article(finding, true));
        }
        html.raw("</section>");
    }
    html.raw("<div class=\"document\">")
        .html(document)
        .raw("</div>");
    html
}

struct Lines<'a>(&'a [String]);

impl Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.0.iter().enumerate() {
            write!(f, "{}{line}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}
