//! A report for people: one screen where nothing is special, the worst first, with the lines that mend it.
//!
//! Lines to paste stand alone and are never wrapped. Whatever comes from the host is made printable first. Colour
//! repeats what the words say.

mod plain;

use std::fmt::Write as _;

use lasthop_ports::Grouped;
use lasthop_ports::finding::{Finding, Remedy, Severity, Step};
use lasthop_ports::snapshot::{Namespace, Snapshot, SocketCounts};

use super::json::taken;
use super::{Examination, Report};
use plain::{printable, wrapped};

/// Findings that are told with all they say; the others are told in short, so that the first ones stay on the screen.
const WHOLE_FINDINGS_MAX: usize = 2;

/// Findings of a namespace that are told at all. Hundreds of pairs can be short at once, and whoever reads this begins at the
/// top.
const FINDINGS_MAX: usize = 12;

/// Facts that are told of a finding.
const EVIDENCE_MAX: usize = 3;

/// Where the text begins, after the words in the margin.
const MARGIN: usize = 10;

/// Lines to paste stand a little further in.
const PASTE_MARGIN: usize = MARGIN + 2;

/// How the text is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextStyle {
    /// With the colours of a terminal (SGR).
    pub colour: bool,
    /// Snapshots are not of now: their times are told.
    pub recorded: bool,
}

/// The report as text, ending with a line end.
#[must_use]
pub fn text(report: &Report, style: TextStyle) -> String {
    let mut page = Page {
        text: String::new(),
        style,
        whole_left: WHOLE_FINDINGS_MAX,
        told: Vec::new(),
    };
    let mut namespaces: Vec<&Examination> = report.namespaces.iter().collect();
    // The worst first; of those alike, as they came.
    namespaces.sort_by_key(|one| std::cmp::Reverse(one.severity()));
    for examination in namespaces {
        page.namespace(examination);
    }
    page.not_entered(report);
    page.text
}

struct Page {
    text: String,
    style: TextStyle,
    /// How many findings are still told with all they say.
    whole_left: usize,
    /// Remedies whose lines stand on the page already.
    told: Vec<Remedy>,
}

impl Page {
    /// One line: a word in the margin, then text.
    fn line(&mut self, margin: &str, text: &str) {
        // Writing to a String cannot fail.
        let line = format!("{margin:<MARGIN$}{text}");
        let _ = writeln!(self.text, "{}", line.trim_end());
    }

    /// Text of any length: a word in the margin, and the rest below itself.
    fn paragraph(&mut self, margin: &str, text: &str) {
        for (position, line) in wrapped(text, MARGIN).iter().enumerate() {
            self.line(if position == 0 { margin } else { "" }, line);
        }
    }

    fn paste(&mut self, lines: &[String]) {
        for line in lines {
            let _ = writeln!(self.text, "{:PASTE_MARGIN$}{}", "", printable(line));
        }
    }

    fn namespace(&mut self, examination: &Examination) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let Examination { snapshot, findings } = examination;
        let headline = headline(snapshot, self.style);
        for line in wrapped(&headline, 0) {
            let _ = writeln!(self.text, "{line}");
        }
        for (position, finding) in findings.iter().take(FINDINGS_MAX).enumerate() {
            // Notes stand together.
            if position == 0 || finding.severity > Severity::Note {
                self.text.push('\n');
            }
            self.finding(finding);
        }
        let left = findings.len().saturating_sub(FINDINGS_MAX);
        if left > 0 {
            let left = Grouped(left as u64);
            self.text.push('\n');
            self.paragraph(
                "and",
                &format!("{left} more, no worse: lasthop doctor --json"),
            );
        }
        if examination
            .severity()
            .is_none_or(|worst| worst == Severity::Note)
        {
            self.fullest(snapshot);
        }
        for (position, unseen) in snapshot.unseen.iter().enumerate() {
            if position == 0 {
                self.text.push('\n');
            }
            self.paragraph(if position == 0 { "not seen" } else { "" }, unseen);
        }
    }

    fn finding(&mut self, finding: &Finding) {
        if finding.severity == Severity::Note {
            self.heading(finding);
            self.more(finding);
            return;
        }
        self.heading(finding);
        if self.whole_left == 0 {
            if let Some(remedy) = finding.remedies.first() {
                self.paragraph("  do", &remedy.title);
            }
            self.more(finding);
            return;
        }
        self.whole_left -= 1;
        for fact in finding.evidence.iter().take(EVIDENCE_MAX) {
            self.paragraph("", fact);
        }
        for (position, remedy) in finding.remedies.iter().enumerate() {
            if position == 0 {
                self.first_remedy(remedy);
            } else {
                self.paragraph("  or", &remedy.title);
            }
        }
        self.more(finding);
    }

    fn heading(&mut self, finding: &Finding) {
        let word = finding.severity.to_string();
        let lines = wrapped(&finding.headline, MARGIN);
        for (position, line) in lines.iter().enumerate() {
            if position > 0 || !self.style.colour {
                self.line(if position == 0 { &word } else { "" }, line);
                continue;
            }
            let colour = match finding.severity {
                Severity::Critical => "1;31",
                Severity::Warning => "1;33",
                Severity::Note => "1;36",
            };
            let line = format!("\x1b[{colour}m{word:<MARGIN$}\x1b[0m\x1b[1m{line}\x1b[0m");
            let _ = writeln!(self.text, "{line}");
        }
    }

    fn first_remedy(&mut self, remedy: &Remedy) {
        if self.told.contains(remedy) {
            return self.paragraph("  do", &format!("{}: as above", remedy.title));
        }
        self.told.push(remedy.clone());
        self.paragraph("  do", &remedy.title);
        let mut is_after_file = false;
        for step in &remedy.steps {
            if matches!(step, Step::Shell { .. }) && is_after_file {
                // Else a command would read as one more line of the file.
                self.line("", "then run:");
            }
            is_after_file = matches!(step, Step::Lines { .. });
            match step {
                Step::Shell { lines } => self.paste(lines),
                Step::Lines { place, lines } => {
                    self.paragraph("", &format!("{place}:"));
                    self.paste(lines);
                }
                Step::Words { text } => self.paragraph("", text),
            }
        }
        for (position, line) in remedy.undo.iter().enumerate() {
            self.line(if position == 0 { "  undo" } else { "" }, &printable(line));
        }
        if let Some(risk) = &remedy.risk {
            self.paragraph("  risk", risk);
        }
    }

    fn more(&mut self, finding: &Finding) {
        self.line(
            "  more",
            &format!("lasthop doctor --explain {}", finding.code),
        );
    }

    /// What health is said by: how far the fullest group is from the wall.
    fn fullest(&mut self, snapshot: &Snapshot) {
        let group = snapshot.groups.first().filter(|group| group.used() > 0);
        let fullest = match (group, snapshot.port_limit()) {
            _ if snapshot.sockets.is_none() => {
                self.text.push('\n');
                return self.paragraph(
                    "unknown",
                    "nothing was found, but sockets could not be listed",
                );
            }
            (Some(group), Some(limit)) => format!(
                "the fullest: {}, {} of {} ports",
                group.key,
                Grouped(group.used().into()),
                Grouped(limit.into())
            ),
            (Some(group), None) => {
                let used = Grouped(group.used().into());
                format!("the fullest: {}, {used} ports", group.key)
            }
            (None, _) => "no source port is in use".to_owned(),
        };
        self.text.push('\n');
        self.paragraph("healthy", &fullest);
    }

    fn not_entered(&mut self, report: &Report) {
        if report.not_entered.is_empty() && report.unseen.is_empty() {
            return;
        }
        self.text.push('\n');
        let entered = report
            .not_entered
            .iter()
            .map(|one| format!("{}: {}", name(&one.namespace), one.reason));
        let all: Vec<String> = entered.chain(report.unseen.iter().cloned()).collect();
        for (position, line) in all.iter().enumerate() {
            self.paragraph(if position == 0 { "not seen" } else { "" }, line);
        }
    }
}

/// `this host`, or `pid 4711 (postgres)`.
fn name(namespace: &Namespace) -> String {
    match (namespace.pid, &namespace.name) {
        (Some(pid), Some(name)) => format!("pid {pid} ({name})"),
        (Some(pid), None) => format!("pid {pid}"),
        (None, _) => "this host".to_owned(),
    }
}

fn headline(snapshot: &Snapshot, style: TextStyle) -> String {
    let mut line = name(&snapshot.namespace);
    if style.recorded {
        let _ = write!(line, " at {}", taken(snapshot.taken_ms));
    }
    match &snapshot.sockets {
        Some(sockets) => {
            let count = tcp(sockets);
            let plural = if count == 1 { "" } else { "s" };
            let _ = write!(line, ": {} TCP socket{plural}", Grouped(count));
        }
        None => line.push_str(": sockets unknown"),
    }
    if let Some(ports) = &snapshot.ports {
        let limit = Grouped(ports.host_ports().limit().into());
        let (first, last) = (ports.range.first(), ports.range.last());
        let _ = write!(line, ", ports {first}-{last} ({limit} on each pair)");
    }
    line
}

fn tcp(sockets: &SocketCounts) -> u64 {
    [
        sockets.established,
        sockets.syn_sent,
        sockets.syn_recv,
        sockets.fin_wait1,
        sockets.fin_wait2,
        sockets.time_wait,
        sockets.close_wait,
        sockets.last_ack,
        sockets.closing,
        sockets.listen,
    ]
    .into_iter()
    .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;
