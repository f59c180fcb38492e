//! Text that becomes HTML: the one place where foreign words are escaped.
//!
//! Markup comes from the source of this program, as `&'static str`; everything else goes through [`Html::text`], so that
//! a process may be named `<script>` and a path may hold any byte. Knows no page.

use std::fmt::{self, Display, Write as _};

/// HTML that is being written.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Html(String);

impl Html {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Markup of our own. Static, so that no foreign text gets in this way.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// A text or a number, escaped: between tags, and within the double quotes of an attribute.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing into a string does not fail, and neither do the types that are told here.
        let _ = write!(Escaping(&mut self.0), "{text}");
        self
    }

    /// `name="value"` with a space before it.
    pub(super) fn attribute(&mut self, name: &'static str, value: impl Display) -> &mut Self {
        self.raw(" ").raw(name).raw("=\"").text(value).raw("\"")
    }

    /// What was written elsewhere.
    pub(super) fn html(&mut self, other: &Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// A page of our own documentation, rendered.
    pub(super) fn of_document(markup: String) -> Self {
        Self(markup)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// Writes on, escaped.
struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' => self.0.push('\n'),
                // Controls have no meaning in HTML, and those that turn the direction of text could make a path read
                // as another one.
                _ if character.is_control() || turns_text(character) => {
                    write!(self.0, "{}", character.escape_unicode())?;
                }
                _ => self.0.push(character),
            }
        }
        Ok(())
    }
}

/// Whether a character changes the direction of the text after it (Unicode Annex 9).
fn turns_text(character: char) -> bool {
    matches!(
        character,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_only_ever_text() {
        for (text, html) in [
            ("plain 28,232", "plain 28,232"),
            (
                "<script>alert(1)</script>",
                "&lt;script&gt;alert(1)&lt;/script&gt;",
            ),
            ("a\"b'c&d", "a&quot;b&#39;c&amp;d"),
            ("&lt;", "&amp;lt;"),
            ("\x1b[2Jx\0\r", "\\u{1b}[2Jx\\u{0}\\u{d}"),
            ("one\ntwo", "one\ntwo"),
            ("/run/\u{202e}kcos", "/run/\\u{202e}kcos"),
            ("Zürich \u{fffd}", "Zürich \u{fffd}"),
        ] {
            let mut written = Html::new();
            written.text(text);
            assert_eq!(written.as_str(), html, "{text:?}");
        }
    }

    #[test]
    fn an_attribute_cannot_be_left() {
        let mut html = Html::new();
        html.raw("<a").attribute("title", "\" onload=\"x").raw(">");
        assert_eq!(html.as_str(), "<a title=\"&quot; onload=&quot;x\">");
    }
}
