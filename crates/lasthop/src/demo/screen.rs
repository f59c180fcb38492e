//! What the demo's text is shown on: whether it takes colour, which letters it knows, and whether it moves.
//!
//! Everything that the demo shows goes through a [`Screen`], so that a pipe gets no escapes and a terminal whose locale is
//! not UTF-8 gets ASCII alone. It measures no terminal: lines are short enough for any that people use, and what is
//! drawn over is one line, never a page.

use std::io::{self, Write};

use super::DemoError;

/// Whether text is set off with terminal escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// For a terminal.
    On,
    /// For a pipe, a file, or where `NO_COLOR` is set.
    Off,
}

impl Colour {
    /// `text` as a heading.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.set_off("1", text)
    }

    /// `text` as something that hurts.
    #[must_use]
    pub fn red(self, text: &str) -> String {
        self.set_off("31", text)
    }

    /// `text` as something to look at.
    #[must_use]
    pub fn yellow(self, text: &str) -> String {
        self.set_off("33", text)
    }

    /// With a rendition of ECMA-48, section 8.3.117 (SGR). Nothing is set off where there is nothing to see.
    fn set_off(self, rendition: &str, text: &str) -> String {
        match self {
            Self::On if !text.trim().is_empty() => format!("\x1b[{rendition}m{text}\x1b[0m"),
            Self::On | Self::Off => text.to_owned(),
        }
    }
}

/// Which letters can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// All, blocks and lines among them.
    Unicode,
    /// Those of ASCII.
    Ascii,
}

impl Glyphs {
    /// What the locale's character type says, whose value is that of the first set of `LC_ALL`, `LC_CTYPE` and `LANG`
    /// (locale(7)).
    #[must_use]
    pub fn of_locale(locale: Option<&str>) -> Self {
        let codeset = locale.unwrap_or_default().to_ascii_lowercase();
        if codeset.contains("utf-8") || codeset.contains("utf8") {
            Self::Unicode
        } else {
            Self::Ascii
        }
    }
}

/// Whether there is a line that says how far it is, written over again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// For a terminal.
    On,
    /// For a pipe or a file.
    Off,
}

/// What the demo is shown on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Colour.
    pub colour: Colour,
    /// Letters.
    pub glyphs: Glyphs,
    /// The line that moves.
    pub progress: Progress,
}

impl Screen {
    /// Writes `text` in place of a line of progress.
    pub(super) fn show(self, out: &mut impl Write, text: &str) -> Result<(), DemoError> {
        let begin = match self.progress {
            Progress::On => "\r\x1b[K",
            Progress::Off => "",
        };
        write(out, begin, &self.readable(text))
    }

    /// Writes a line of progress over the last one, where this screen has such.
    pub(super) fn progress(self, out: &mut impl Write, line: &str) -> Result<(), DemoError> {
        match self.progress {
            Progress::On => write(out, "\r\x1b[K", &self.readable(line)),
            Progress::Off => Ok(()),
        }
    }

    fn readable(self, text: &str) -> String {
        match self.glyphs {
            Glyphs::Unicode => text.to_owned(),
            Glyphs::Ascii => text
                .chars()
                .map(|letter| match letter {
                    'µ' => 'u',
                    letter if letter.is_ascii() => letter,
                    _ => '?',
                })
                .collect(),
        }
    }
}

fn write(out: &mut impl Write, begin: &str, text: &str) -> Result<(), DemoError> {
    let written: io::Result<()> = out
        .write_all(begin.as_bytes())
        .and_then(|()| out.write_all(text.as_bytes()))
        .and_then(|()| out.flush());
    written.map_err(|source| DemoError::Host {
        attempt: "write to the standard output",
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(screen: Screen) -> String {
        let mut out = Vec::new();
        screen.progress(&mut out, "50 %").unwrap();
        let text = format!("{}: 3 µs █\n", screen.colour.red("p99"));
        screen.show(&mut out, &text).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_pipe_without_a_locale_gets_neither_escapes_nor_letters_beyond_ascii() {
        let screen = Screen {
            colour: Colour::Off,
            glyphs: Glyphs::Ascii,
            progress: Progress::Off,
        };
        assert_eq!(shown(screen), "p99: 3 us ?\n");
    }

    #[test]
    fn a_terminal_gets_colour_and_a_line_that_is_written_over() {
        let screen = Screen {
            colour: Colour::On,
            glyphs: Glyphs::Unicode,
            progress: Progress::On,
        };
        let text = "\r\x1b[K50 %\r\x1b[K\x1b[31mp99\x1b[0m: 3 µs █\n";
        assert_eq!(shown(screen), text);
    }

    #[test]
    fn blanks_are_not_coloured() {
        assert_eq!(Colour::On.yellow("  "), "  ");
    }

    #[test]
    fn only_a_locale_that_says_utf_8_has_all_letters() {
        for (locale, glyphs) in [
            (Some("en_US.UTF-8"), Glyphs::Unicode),
            (Some("C.utf8"), Glyphs::Unicode),
            (Some("de_DE.ISO-8859-1"), Glyphs::Ascii),
            (Some("C"), Glyphs::Ascii),
            (None, Glyphs::Ascii),
        ] {
            assert_eq!(Glyphs::of_locale(locale), glyphs, "{locale:?}");
        }
    }
}
