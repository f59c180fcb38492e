//! What the doctor says of the plateau, in short: of each finding its headline, of the worst its evidence and remedies.
//!
//! Pure, and knows nothing of what will be found. Also its form as a line from the inside to the outside.

use std::fmt::{self, Write as _};

use lasthop_ports::finding::{Finding, Step};

use crate::demo::screen::Colour;

/// Findings that are told; the rest is counted.
const FINDINGS_MAX: usize = 3;
/// Facts, remedies and lines to paste that are told of the worst.
const EVIDENCE_MAX: usize = 2;
const REMEDIES_MAX: usize = 3;
const STEPS_MAX: usize = 6;
/// Letters in a line of words.
const WORDS_WIDTH: usize = 100;
/// Bytes of one text; a headline or a remedy is a line.
const TEXT_BYTES_MAX: usize = 400;

/// Between findings, between the parts of one, and between the texts of a part: file, group and record separator of ASCII,
/// which no text has.
const FINDING_END: char = '\x1c';
const PART_END: char = '\x1d';
const TEXT_END: char = '\x1e';

/// What was found, the worst first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Diagnosis {
    /// At most [`FINDINGS_MAX`].
    found: Vec<Told>,
    /// Those beyond.
    more: usize,
    /// Why nothing was found, where the doctor could not look.
    unseen: Option<String>,
}

/// A finding, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    code: String,
    severity: String,
    headline: String,
    evidence: Vec<String>,
    /// What the first remedy has one write or run.
    steps: Vec<String>,
    /// Titles.
    remedies: Vec<String>,
}

impl Diagnosis {
    /// Of findings in the order in which the doctor tells them.
    pub(super) fn of(findings: &[Finding], unseen: &[String]) -> Self {
        let unseen = unseen.first().filter(|_| findings.is_empty());
        Self {
            unseen: unseen.map(|unseen| plain(unseen)),
            found: findings.iter().take(FINDINGS_MAX).map(Told::of).collect(),
            more: findings.len().saturating_sub(FINDINGS_MAX),
        }
    }

    /// The rest of a line after its first word.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (more, rest) = line.split_once(FINDING_END)?;
        let (unseen, rest) = rest.split_once(FINDING_END)?;
        let found = rest.split_terminator(FINDING_END).map(Told::parse);
        Some(Self {
            found: found.collect::<Option<_>>()?,
            more: more.parse().ok()?,
            unseen: (!unseen.is_empty()).then(|| unseen.to_owned()),
        })
    }

    /// As text, ending with a line feed.
    pub(super) fn text(&self, colour: Colour) -> String {
        if self.found.is_empty() {
            return match &self.unseen {
                Some(unseen) => format!("Nothing, because it could not see all: {unseen}.\n"),
                None => "Nothing: it found nothing wrong.\n".to_owned(),
            };
        }
        let mut text = String::new();
        for (rank, told) in self.found.iter().enumerate() {
            let severity = match told.severity.as_str() {
                "critical" => colour.red(&told.severity),
                _ => colour.yellow(&told.severity),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{severity}  {}: {}",
                colour.bold(&told.code),
                told.headline
            );
            if rank > 0 {
                continue;
            }
            for fact in &told.evidence {
                let _ = writeln!(text, "    {fact}");
            }
            for (number, remedy) in (1..).zip(&told.remedies) {
                let _ = writeln!(text, "  {number}. {remedy}");
                if number == 1 {
                    for step in &told.steps {
                        let _ = writeln!(text, "         {step}");
                    }
                }
            }
        }
        if self.more > 0 {
            let _ = writeln!(text, "and {} more.", self.more);
        }
        text
    }
}

impl Told {
    fn of(finding: &Finding) -> Self {
        let steps = finding.remedies.first().map(|remedy| &remedy.steps);
        let steps = steps.into_iter().flatten().flat_map(lines);
        Self {
            code: finding.code.to_string(),
            severity: finding.severity.to_string(),
            headline: plain(&finding.headline),
            evidence: texts(finding.evidence.iter(), EVIDENCE_MAX),
            steps: texts(steps, STEPS_MAX),
            remedies: texts(
                finding.remedies.iter().map(|remedy| &remedy.title),
                REMEDIES_MAX,
            ),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(PART_END);
        let mut part = || parts.next();
        let list = |text: &str| text.split_terminator(TEXT_END).map(str::to_owned).collect();
        Some(Self {
            code: part()?.to_owned(),
            severity: part()?.to_owned(),
            headline: part()?.to_owned(),
            evidence: list(part()?),
            steps: list(part()?),
            remedies: list(part()?),
        })
    }
}

/// What a step has one write, with the place where it belongs, or what it says, in lines.
fn lines(step: &Step) -> Vec<String> {
    match step {
        Step::Shell { lines } => lines.clone(),
        Step::Lines { place, lines } => {
            let place = std::iter::once(format!("{place}:"));
            place.chain(lines.iter().cloned()).collect()
        }
        Step::Words { text } => wrapped(text),
    }
}

/// Lines of at most [`WORDS_WIDTH`] letters, as far as words are not longer.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WORDS_WIDTH {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

fn texts(texts: impl Iterator<Item = impl AsRef<str>>, count_max: usize) -> Vec<String> {
    texts
        .take(count_max)
        .map(|text| plain(text.as_ref()))
        .collect()
}

/// One line without anything that a terminal or the lines of the demo would obey: names of programs are in it.
fn plain(text: &str) -> String {
    let mut plain: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    plain.truncate(plain.floor_char_boundary(TEXT_BYTES_MAX));
    plain
}

/// As the rest of a line, without its end.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unseen = self.unseen.as_deref().unwrap_or_default();
        write!(f, "{}{FINDING_END}{unseen}{FINDING_END}", self.more)?;
        for told in &self.found {
            let Told {
                code,
                severity,
                headline,
                ..
            } = told;
            write!(f, "{code}{PART_END}{severity}{PART_END}{headline}")?;
            for part in [&told.evidence, &told.steps, &told.remedies] {
                f.write_char(PART_END)?;
                for text in part {
                    write!(f, "{text}{TEXT_END}")?;
                }
            }
            f.write_char(FINDING_END)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lasthop_ports::finding::{Code, Remedy, Severity, Subject};

    fn finding(code: Code, severity: Severity) -> Finding {
        let remedy = |title: &str, steps| Remedy {
            title: title.to_owned(),
            steps,
            undo: Vec::new(),
            risk: None,
        };
        Finding {
            code,
            severity,
            headline: "600 of 600 ports of \"\x1b[2Jnginx\x1e\"".to_owned(),
            subject: Subject::Namespace,
            usage: None,
            forecast: None,
            processes: Vec::new(),
            evidence: (1..=9).map(|number| format!("fact {number}")).collect(),
            remedies: vec![
                remedy(
                    "Listen on a Unix socket",
                    vec![Step::Lines {
                        place: "lasthop.toml".to_owned(),
                        lines: vec!["targets = [\"unix:/run/app.sock\"]".to_owned()],
                    }],
                ),
                remedy("Widen the range", Vec::new()),
            ],
        }
    }

    #[test]
    fn the_worst_is_told_with_its_first_remedy_and_the_others_in_a_line() {
        let findings = [
            finding(Code::PortsExhausted, Severity::Critical),
            finding(Code::TimeWaitHeld, Severity::Warning),
            finding(Code::PortRangeNarrow, Severity::Note),
            finding(Code::BacklogClipped, Severity::Note),
        ];
        let text = Diagnosis::of(&findings, &[]).text(Colour::Off);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "critical  ports-exhausted: 600 of 600 ports of \" [2Jnginx \"",
                "    fact 1",
                "    fact 2",
                "  1. Listen on a Unix socket",
                "         lasthop.toml:",
                "         targets = [\"unix:/run/app.sock\"]",
                "  2. Widen the range",
                "warning  time-wait-held: 600 of 600 ports of \" [2Jnginx \"",
                "note  port-range-narrow: 600 of 600 ports of \" [2Jnginx \"",
                "and 1 more.",
            ]
        );
    }

    #[test]
    fn words_are_wrapped_and_lines_to_paste_are_not() {
        let words = "word ".repeat(50);
        let told = lines(&Step::Words { text: words });
        assert_eq!(told.len(), 3);
        assert!(told.iter().all(|line| line.len() <= WORDS_WIDTH));
        let paste = "x ".repeat(100);
        let step = Step::Shell {
            lines: vec![paste.clone()],
        };
        assert_eq!(lines(&step), [paste]);
    }

    #[test]
    fn nothing_found_is_told_with_what_could_not_be_seen() {
        let blind = Diagnosis::of(&[], &["sock_diag is refused".to_owned()]);
        assert!(blind.text(Colour::Off).contains("sock_diag is refused"));
        let sound = Diagnosis::of(&[], &[]);
        assert!(sound.text(Colour::Off).contains("nothing wrong"));
    }

    #[test]
    fn a_diagnosis_is_read_as_it_is_written() {
        let mut told = finding(Code::PortsExhausted, Severity::Critical);
        let one = Diagnosis::of(&[told.clone()], &[]);
        told.remedies.clear();
        told.evidence.clear();
        let two = Diagnosis::of(&[told.clone(), told], &[]);
        let blind = Diagnosis::of(&[], &["no\nnetlink".to_owned()]);
        for diagnosis in [one, two, blind, Diagnosis::default()] {
            let line = diagnosis.to_string();
            assert!(!line.contains('\n'));
            assert_eq!(Diagnosis::parse(&line), Some(diagnosis));
        }
        for line in [
            "",
            "0",
            "0\x1c",
            "x\x1c\x1c",
            "0\x1c\x1cports-exhausted\x1c",
        ] {
            assert_eq!(Diagnosis::parse(line), None, "{line:?}");
        }
    }
}
