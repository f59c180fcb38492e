//! What a proxy said about its failures, summed up: thousands of lines that say the same become one with a count.

use std::collections::BTreeMap;

/// Kinds of lines that are told apart.
const KINDS_MAX: usize = 8;
/// Longest excerpt of a line that names no error number, in characters.
const EXCERPT_LENGTH_MAX: usize = 160;

/// Lines by the error number that they name as nginx does, `(99: Cannot assign requested address)`; the others by what
/// they say, figures aside. The most frequent first.
pub(crate) fn of(said: &str) -> Vec<(String, u64)> {
    let mut kinds = BTreeMap::<String, u64>::new();
    for line in said.lines().filter(|line| !line.trim().is_empty()) {
        let kind =
            error_in(line).map_or_else(|| without_figures(line), |error| format!("errno {error}"));
        if kinds.len() < KINDS_MAX || kinds.contains_key(&kind) {
            *kinds.entry(kind).or_default() += 1;
        } else {
            *kinds.entry("something else".to_owned()).or_default() += 1;
        }
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    kinds
}

/// `99: Cannot assign requested address` of the last such parentheses.
fn error_in(line: &str) -> Option<&str> {
    line.rsplit('(').find_map(|rest| {
        let inside = rest.split_once(')')?.0;
        let (number, words) = inside.split_once(": ")?;
        let is_error = !words.is_empty() && number.parse::<u16>().is_ok();
        is_error.then_some(inside)
    })
}

/// The line without the time it begins with, and with each number made a hash sign, so that times, ports and process numbers do not tell lines apart.
fn without_figures(line: &str) -> String {
    let mut text = String::new();
    let is_time = |letter: char| letter.is_ascii_digit() || "-/:.TZ ".contains(letter);
    for letter in line
        .trim_start_matches(is_time)
        .trim()
        .chars()
        .take(EXCERPT_LENGTH_MAX)
    {
        match letter {
            '0'..='9' | '#' if text.ends_with('#') => {}
            '0'..='9' => text.push('#'),
            '|' | '`' => text.push('\''),
            other => text.push(other),
        }
    }
    text.trim_end_matches(['.', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_by_the_error_that_they_name() {
        let said = "\
2026/11/23 [crit] 7#7: *1 connect() to 127.0.0.1:3000 failed (99: Cannot assign requested address) while connecting
2026/11/23 [crit] 8#8: *2 connect() to 127.0.0.1:3000 failed (99: Cannot assign requested address) while connecting
2026/11/23 [alert] 8#8: 512 worker_connections are not enough

2026/11/23 [alert] 9#9: 512 worker_connections are not enough
2026/11/23 [crit] 8#8: *2 accept4() failed (24: Too many open files)
";
        assert_eq!(
            of(said),
            [
                (
                    "[alert] #: # worker_connections are not enough".to_owned(),
                    2
                ),
                ("errno 99: Cannot assign requested address".to_owned(), 2),
                ("errno 24: Too many open files".to_owned(), 1),
            ]
        );
    }

    #[test]
    fn kinds_have_a_bound_and_no_line_is_lost() {
        let said: String = ('a'..='z').map(|letter| format!("{letter}\n")).collect();
        let kinds = of(&said);
        assert_eq!(kinds.len(), KINDS_MAX + 1);
        assert_eq!(kinds.iter().map(|(_, count)| count).sum::<u64>(), 26);
    }
}
