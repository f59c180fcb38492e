//! Text that does to a terminal only what text should: escaped, wrapped.

use std::fmt::Write as _;

/// Columns of the report: those of a terminal that nobody has made larger.
pub(super) const COLUMNS: usize = 80;

/// `text` without anything that moves a cursor, sets a colour or turns the order of writing around: such characters are
/// spelled out. Names of processes and paths are chosen by whoever runs them.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_plain(character) {
            out.push(character);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        }
    }
    out
}

/// Neither a control character (C0, DEL, C1) nor one of those that change the direction or end a line (Unicode UAX 9,
/// UAX 14), nor one that is invisible.
fn is_plain(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        )
}

/// `text`, made printable, as lines that fit `COLUMNS` after an indent. A word that is longer has a line of its own.
pub(super) fn wrapped(text: &str, indent: usize) -> Vec<String> {
    let width = COLUMNS.saturating_sub(indent).max(1);
    let text = printable(text);
    let mut lines: Vec<String> = Vec::new();
    let mut columns = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        match lines.last_mut() {
            Some(line) if columns + 1 + length <= width => {
                line.push(' ');
                line.push_str(word);
                columns += 1 + length;
            }
            _ => {
                lines.push(word.to_owned());
                columns = length;
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_cannot_write_to_the_terminal() {
        for (text, expected) in [
            ("nginx", "nginx"),
            ("\x1b[2Jgone", "\\u{1b}[2Jgone"),
            ("a\nb\r\t\0", "a\\u{a}b\\u{d}\\u{9}\\u{0}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\u{200f}b\u{200b}", "a\\u{200f}b\\u{200b}"),
            ("\u{2066}a\u{feff}", "\\u{2066}a\\u{feff}"),
            ("größe", "größe"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }

    #[test]
    fn lines_fit_and_lose_no_word() {
        let text = "one two ".repeat(40);
        let lines = wrapped(&text, 10);
        assert!(lines.iter().all(|line| line.chars().count() <= 70));
        assert_eq!(lines.join(" "), text.trim());
        assert_eq!(wrapped(&"x".repeat(100), 10).len(), 1);
    }
}
