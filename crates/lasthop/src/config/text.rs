//! The text of a configuration, and the way from a span of bytes back to what a person sees: line, column, key, section.
//!
//! Positions are worked out only for a refusal; a text that is right never pays for them.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// A text with the label it goes by in refusals (as a rule the path it was read from).
pub(super) struct Text<'a> {
    label: &'a str,
    text: &'a str,
    /// Absent while the text is not yet known to be TOML.
    root: Option<&'a DeTable<'a>>,
    /// Whether it has lines worth counting.
    is_file: bool,
}

/// Where a span begins, counted from 1, in characters.
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
    /// Characters of the span that are on its first line.
    pub(super) width: usize,
    /// That line, without its end; of one that may hold a token only the part before its value.
    pub(super) text: String,
}

/// What stands for a value that is not shown.
const HIDDEN: &str = "\u{2026}";

/// A key and the table it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place<'a> {
    /// `server`, `listener`, …; empty at the top of the file.
    section: &'a str,
    /// Whether the section is a `[[…]]`.
    repeated: bool,
    /// The key with the tables between, as in `queue.size`.
    key: String,
}

impl<'a> Text<'a> {
    pub(super) fn new(label: &'a str, text: &'a str) -> Self {
        Self {
            label,
            text,
            root: None,
            is_file: true,
        }
    }

    /// Flags and their values in one line.
    pub(super) fn command_line(text: &'a str) -> Self {
        Self {
            is_file: false,
            ..Self::new("command line", text)
        }
    }

    /// The same text, now that it has been parsed: from here on refusals can name keys.
    pub(super) fn parsed(self, root: &'a DeTable<'a>) -> Self {
        Self {
            root: Some(root),
            ..self
        }
    }

    pub(super) fn label(&self) -> &str {
        self.label
    }

    /// The label with line and column, where there are lines to count.
    pub(super) fn place(&self, at: &Position) -> String {
        if self.is_file {
            format!("{}:{}:{}", self.label, at.line, at.column)
        } else {
            self.label.to_owned()
        }
    }

    /// The line of a second place that a refusal is about.
    pub(super) fn line(&self, span: &Range<usize>) -> Option<usize> {
        self.is_file.then(|| self.position(span).line)
    }

    /// Where the span begins. A span outside of the text counts as its end.
    pub(super) fn position(&self, span: &Range<usize>) -> Position {
        let text = self.text;
        let start = floor_char_boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..]
            .find('\n')
            .map_or(text.len(), |length| start + length);
        let end = floor_char_boundary(text, span.end.clamp(start, line_end));
        let line = text[line_start..line_end].trim_end();
        let shown = match self.hidden_from(line_start, line) {
            Some(value) => format!("{}{HIDDEN}", &line[..value]),
            None => line.to_owned(),
        };
        let before = text[line_start..start].chars().count();
        let width = text[start..end].trim_end().chars().count();
        Position {
            line: text[..line_start].matches('\n').count() + 1,
            column: before + 1,
            width: width.min(shown.chars().count().saturating_sub(before)),
            text: shown,
        }
    }

    /// Where the value of a line begins that may be a token, mistyped keys and all: refusals end up in logs and tickets.
    fn hidden_from(&self, line_start: usize, line: &str) -> Option<usize> {
        let is_header = |line: &str| line.trim_start().starts_with('[');
        let mut above = self.text[..line_start].lines().rev();
        let section = above.find(|line| is_header(line)).unwrap_or("");
        let is_below_admin =
            !is_header(line) && section.trim_start_matches(['[', ' ']).starts_with("admin");
        // Without a `=` it continues a value.
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key.trim(), line.len() - value.trim_start().len()),
            None => ("", 0),
        };
        let is_harmless = matches!(key, "address" | "hosts") && !line.contains("token");
        let may_be_token =
            key.contains("token") || key.starts_with("admin") || is_below_admin && !is_harmless;
        (self.is_file && may_be_token).then_some(value)
    }

    /// The key whose value holds the span, as "`queue.size` in [[upstream]]".
    pub(super) fn key_of(&self, span: &Range<usize>) -> Option<String> {
        let place = find(self.root?, span)?;
        Some(match place.section {
            "" => format!("`{}`", place.key),
            _ => format!(
                "`{}` in {}",
                place.key,
                bracketed(place.section, place.repeated)
            ),
        })
    }
}

/// A section as it stands in the file.
pub(super) fn bracketed(section: &str, repeated: bool) -> String {
    if repeated {
        format!("[[{section}]]")
    } else {
        format!("[{section}]")
    }
}

fn floor_char_boundary(text: &str, index: usize) -> usize {
    let index = index.min(text.len());
    (0..=index)
        .rev()
        .find(|i| text.is_char_boundary(*i))
        .unwrap_or(0)
}

/// Top-level keys, then the keys of sections, then those of tables inside them: deeper the format does not go.
fn find<'a>(root: &'a DeTable<'_>, span: &Range<usize>) -> Option<Place<'a>> {
    for (name, value) in root {
        let section = name.get_ref().as_ref();
        let found = match value.get_ref() {
            DeValue::Table(table) => find_key(table, span).map(|key| (false, key)),
            DeValue::Array(tables) => tables
                .iter()
                .filter_map(|table| table.get_ref().as_table())
                .find_map(|table| find_key(table, span))
                .map(|key| (true, key)),
            _ => None,
        };
        if let Some((repeated, key)) = found {
            return Some(Place {
                section,
                repeated,
                key,
            });
        }
        if holds(&value.span(), span) {
            return Some(Place {
                section: "",
                repeated: false,
                key: section.to_owned(),
            });
        }
    }
    None
}

fn find_key(table: &DeTable<'_>, span: &Range<usize>) -> Option<String> {
    for (name, value) in table {
        let name = name.get_ref();
        let inner = value
            .get_ref()
            .as_table()
            .and_then(|table| table.iter().find(|(_, value)| holds(&value.span(), span)));
        if let Some((inner, _)) = inner {
            return Some(format!("{name}.{}", inner.get_ref()));
        }
        if holds(&value.span(), span) {
            return Some(name.to_string());
        }
    }
    None
}

fn holds(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end && !outer.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_start_at_one() {
        let source = Text::new("x", "a = 1\n\u{e4}\u{f6} = \"\u{fc}\" # no\r\n");
        let at = source.position(&(13..17));
        assert_eq!((at.line, at.column, at.width), (2, 6, 3));
        assert_eq!(at.text, "\u{e4}\u{f6} = \"\u{fc}\" # no");
    }

    #[test]
    fn a_span_beyond_the_text_is_its_end() {
        let at = Text::new("x", "a").position(&(9..12));
        assert_eq!((at.line, at.column, at.width), (1, 2, 0));
        let at = Text::new("x", "").position(&(0..0));
        assert_eq!((at.line, at.column, at.width), (1, 1, 0));
    }
}
