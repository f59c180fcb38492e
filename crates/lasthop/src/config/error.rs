//! How a configuration is refused: one line that says where and what, then the line itself and what would be right.
//!
//! ```text
//! lasthop.toml:7:1: unknown key `adress` in [[listener]]; did you mean `address`?
//!   7 | adress = "0.0.0.0:8080"
//!     | ^^^^^^
//!   [[listener]] takes: address, body_timeout, …
//! ```
//!
//! All refusals are rendered here, so that they look alike. The first one ends the reading: the second is too often a
//! consequence of the first.

use std::fmt;
use std::ops::Range;

use super::text::{Position, Text};

/// A longer first line helps nobody; a value in it may have the length of the file.
const HEADLINE_CHARS_MAX: usize = 400;
/// Wider than a terminal, as a rule.
const EXCERPT_CHARS_MAX: usize = 160;

/// The whole refusal, already in words: the fault is the operator's, or of whoever wrote the file.
///
/// Printed, its first line stands for itself (`file:line:column: what is wrong`); detail follows on further lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{headline}{detail}")]
pub struct ConfigError {
    headline: String,
    detail: String,
}

impl ConfigError {
    /// The first line: where, what, and often what was meant.
    pub fn headline(&self) -> &str {
        &self.headline
    }

    /// A refusal without a place in a text: a file that cannot be read, a flag.
    pub(super) fn without_place(label: &str, fault: &Fault) -> Self {
        let mut detail = String::new();
        push_advice(&mut detail, fault.advice.as_deref());
        Self {
            headline: one_line(format_args!("{label}: {}", fault.message)),
            detail,
        }
    }

    /// A refusal of a text; the fault's span says where.
    pub(super) fn in_text(source: &Text<'_>, fault: &Fault) -> Self {
        let Some(span) = &fault.span else {
            return Self::without_place(source.label(), fault);
        };
        let at = source.position(span);
        let subject = match (fault.names_its_key, source.key_of(span)) {
            (true, Some(key)) => format!("{key}: "),
            _ => String::new(),
        };
        let mut detail = excerpt(&at);
        if let Some(line) = fault.other.as_ref().and_then(|other| source.line(other)) {
            detail.push_str(&format!("\n  the other one is on line {line}"));
        }
        push_advice(&mut detail, fault.advice.as_deref());
        Self {
            headline: one_line(format_args!(
                "{}: {subject}{}",
                source.place(&at),
                fault.message
            )),
            detail,
        }
    }
}

/// The line and a caret below it; of a long line the part around the place.
fn excerpt(at: &Position) -> String {
    let skipped = at.column.saturating_sub(EXCERPT_CHARS_MAX / 2);
    let skipped = if at.text.chars().count() > EXCERPT_CHARS_MAX {
        skipped
    } else {
        0
    };
    // Tabs and controls count as one column each, so they are shown as one space each.
    let shown: String = at
        .text
        .chars()
        .skip(skipped)
        .take(EXCERPT_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let number = at.line.to_string();
    let gutter = " ".repeat(number.len());
    // A place in the hidden part of a line is behind what is shown.
    let indent = (at.column - 1)
        .saturating_sub(skipped)
        .min(shown.chars().count());
    let width = at
        .width
        .clamp(1, EXCERPT_CHARS_MAX.saturating_sub(indent).max(1));
    let (indent, caret) = (" ".repeat(indent), "^".repeat(width));
    format!("\n  {number} | {shown}\n  {gutter} | {indent}{caret}")
}

/// What a file says goes to a terminal only as far as it is one readable line.
fn one_line(text: fmt::Arguments<'_>) -> String {
    let text = text.to_string();
    let mut line = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == HEADLINE_CHARS_MAX {
            line.push('\u{2026}');
            break;
        }
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

fn push_advice(detail: &mut String, advice: Option<&str>) {
    for line in advice.iter().flat_map(|advice| advice.lines()) {
        detail.push_str("\n  ");
        detail.push_str(line);
    }
}

/// What one stage found wrong, before it is known in which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Bytes of the text it is about; `None`: something is missing altogether.
    pub(super) span: Option<Range<usize>>,
    /// What is wrong, in one line.
    pub(super) message: String,
    /// The place it collides with.
    pub(super) other: Option<Range<usize>>,
    /// What would be right.
    pub(super) advice: Option<String>,
    /// Whether the rendering puts the key and its section before the message.
    names_its_key: bool,
}

impl Fault {
    /// The value there is wrong; the rendering names its key.
    pub(super) fn value(span: Range<usize>, message: impl fmt::Display) -> Self {
        Self {
            span: Some(span),
            message: message.to_string(),
            other: None,
            advice: None,
            names_its_key: true,
        }
    }

    /// Something there is wrong, and the message names it.
    pub(super) fn at(span: Range<usize>, message: impl fmt::Display) -> Self {
        Self {
            names_its_key: false,
            ..Self::value(span, message)
        }
    }

    /// Something that should be there is not.
    pub(super) fn missing(message: impl fmt::Display) -> Self {
        Self {
            span: None,
            message: message.to_string(),
            other: None,
            advice: None,
            names_its_key: false,
        }
    }

    /// With the place it collides with.
    pub(super) fn other(mut self, span: Range<usize>) -> Self {
        self.other = Some(span);
        self
    }

    /// With what would be right.
    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}
