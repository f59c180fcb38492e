//! "Did you mean": the known word nearest to a mistyped one.

/// Words longer than this are not compared: nobody mistypes one of ours into that.
const WORD_BYTES_MAX: usize = 64;

/// The candidate that takes the fewest slips (a letter more, less, other, or two swapped) to be written as `word`;
/// `None` where even the nearest takes more than one slip for each three letters.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= WORD_BYTES_MAX)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(slips, candidate)| *slips <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Edit distance with swaps of neighbours (optimal string alignment), three rows at a time. Case is no slip.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            let other = usize::from(a[i] != b[j]);
            let mut slips = (above[j] + other).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                slips = slips.min(before[j - 1] + 1);
            }
            row[j + 1] = slips;
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted_as_people_make_them() {
        for (a, b, slips) in [
            ("", "", 0),
            ("", "abc", 3),
            ("adress", "address", 1),
            ("adderss", "address", 1),
            ("Address", "address", 0),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), slips, "{a} {b}");
            assert_eq!(distance(b, a), slips, "{b} {a}");
        }
    }

    #[test]
    fn only_near_words_are_proposed() {
        let words = ["address", "name", "idle_timeout", "body_timeout"];
        assert_eq!(nearest("adress", words), Some("address"));
        assert_eq!(nearest("idel_timeout", words), Some("idle_timeout"));
        assert_eq!(nearest("nmae", words), Some("name"));
        assert_eq!(nearest("colour", words), None);
        assert_eq!(nearest(&"a".repeat(100_000), words), None);
    }
}
