//! Rust text made fit for rules: comments and literals blanked out, then split into words with line numbers.
//!
//! This is no parser. It knows just enough of the lexical grammar (Rust reference, "Comments", "Tokens") that the word
//! `unsafe` in a comment is no `unsafe`, and a brace in a string is no brace. A full parser would be a heavy
//! dependency for rules that ask no more than "which path is named here".

/// Comments, strings and character literals as blanks; every line keeps its number. The result is ASCII.
pub(crate) fn masked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut masked = String::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let length = literal_or_comment(text, at);
        if length == 0 {
            masked.push(if bytes[at].is_ascii() {
                char::from(bytes[at])
            } else {
                ' '
            });
            at += 1;
        } else {
            let end = (at + length).min(bytes.len());
            masked.extend(
                bytes[at..end]
                    .iter()
                    .map(|&byte| if byte == b'\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    masked
}

/// How many bytes from `at` belong to one comment or literal that begins there; 0 if none does.
fn literal_or_comment(text: &str, at: usize) -> usize {
    let rest = &text.as_bytes()[at..];
    match rest {
        [b'/', b'/', ..] => rest
            .iter()
            .position(|&byte| byte == b'\n')
            .unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => quoted(rest, b'"'),
        [b'\'', ..] => character(text, at),
        [b'r' | b'b' | b'c', ..] if at == 0 || !is_word(text.as_bytes()[at - 1]) => {
            prefixed(text, at)
        }
        _ => 0,
    }
}

/// Block comments nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A character literal, or 0 for a lifetime.
fn character(text: &str, at: usize) -> usize {
    let rest = &text[at + 1..];
    match rest.chars().next() {
        Some('\\') => quoted(&text.as_bytes()[at..], b'\''),
        Some(first) if rest[first.len_utf8()..].starts_with('\'') => first.len_utf8() + 2,
        _ => 0,
    }
}

/// Literals with a prefix: `b"…"`, `b'…'`, `c"…"`, `r"…"`, `r#"…"#`, `br#"…"#`, `cr#"…"#`; 0 for anything else.
fn prefixed(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let mut quote = at;
    while quote < bytes.len() && quote < at + 2 && matches!(bytes[quote], b'r' | b'b' | b'c') {
        quote += 1;
    }
    let raw = bytes[quote - 1] == b'r';
    let hashes = bytes[quote..]
        .iter()
        .take_while(|&&byte| raw && byte == b'#')
        .count();
    quote += hashes;
    match bytes.get(quote) {
        Some(b'"') if raw => {
            let close = format!("\"{}", "#".repeat(hashes));
            let length = text[quote + 1..]
                .find(&close)
                .map_or(text.len() - quote, |found| found + 1 + close.len());
            quote - at + length
        }
        Some(b'"') => quote - at + quoted(&bytes[quote..], b'"'),
        Some(b'\'') if bytes[at] == b'b' => match character(text, quote) {
            0 => 0,
            length => quote - at + length,
        },
        _ => 0,
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A word, `::`, or one other visible character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    /// From 1.
    pub(crate) line: usize,
}

impl Token<'_> {
    pub(crate) fn is_name(&self) -> bool {
        self.text.bytes().next().is_some_and(is_word)
    }
}

/// Splits masked text into tokens.
pub(crate) fn tokens(masked: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (index, line) in masked.lines().enumerate() {
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let word = rest.bytes().take_while(|&byte| is_word(byte)).count();
            let length = match word {
                0 if rest.starts_with("::") => 2,
                0 => 1,
                _ => word,
            };
            let (text, after) = rest.split_at(length);
            tokens.push(Token {
                text,
                line: index + 1,
            });
            rest = after.trim_start();
        }
    }
    tokens
}

/// How many lines stand before the tests at the end of a file (`#[cfg(test)]` on an inline module): all, if it has none.
pub(crate) fn lines_before_tests(masked: &str) -> usize {
    let lines: Vec<&str> = masked.lines().map(str::trim).collect();
    for (index, line) in lines.iter().enumerate() {
        if *line != "#[cfg(test)]" {
            continue;
        }
        // Between the two may stand other attributes, and comments, which are blank here.
        let next = lines[index + 1..]
            .iter()
            .find(|line| !line.is_empty() && !line.starts_with('#'));
        if next.is_some_and(|line| line.starts_with("mod ") && line.ends_with('{')) {
            return index;
        }
    }
    lines.len()
}

#[cfg(test)]
mod tests {
    use super::{lines_before_tests, masked, tokens};

    #[test]
    fn comments_and_literals_are_blank_and_code_stays() {
        let table = [
            ("a // b", "a     "),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("unsafe \" {")"#, r#"f(             )"#),
            (r##"r#"a " b"# x"##, r##"           x"##),
            (r##"br#"a"# b"x" c"y" z"##, r##"                  z"##),
            ("'a' 'x: loop '\\'' '\\n'", "    'x: loop          "),
            ("b'\"' r#type", "     r#type"),
            ("&'static str", "&'static str"),
            ("let r = 1; bar\"x\"", "let r = 1; bar   "),
        ];
        for (text, wanted) in table {
            assert_eq!(masked(text), wanted, "{text}");
        }
    }

    #[test]
    fn lines_keep_their_numbers_and_foreign_letters_do_no_harm() {
        let text = "/* ä\n */ a\n\"ö\n\" b 'ü' c";
        let masked = masked(text);
        let tokens = tokens(&masked);
        let found: Vec<(&str, usize)> = tokens
            .iter()
            .map(|token| (token.text, token.line))
            .collect();
        assert_eq!(found, [("a", 2), ("b", 4), ("c", 4)]);
    }

    #[test]
    fn text_that_ends_inside_a_literal_is_masked_to_its_end() {
        for text in ["\"abc", "/* abc", "r#\"abc\"", "'\\", "\"\\", "b'", "br"] {
            assert_eq!(masked(text).len(), text.len(), "{text}");
        }
    }

    #[test]
    fn a_double_colon_is_one_token() {
        let texts: Vec<&str> = tokens("crate::a::{b}")
            .iter()
            .map(|token| token.text)
            .collect();
        assert_eq!(texts, ["crate", "::", "a", "::", "{", "b", "}"]);
    }

    #[test]
    fn only_an_inline_test_module_ends_the_count() {
        assert_eq!(
            lines_before_tests("a\nb\n#[cfg(test)]\nmod tests {\nc\n}\n"),
            2
        );
        assert_eq!(
            lines_before_tests("a\n#[cfg(test)]\n#[path = \"x\"]\nmod tests;\nb\n"),
            5
        );
        assert_eq!(lines_before_tests("a\n#[cfg(test)]\nfn of() {}\nb\n"), 4);
    }
}
