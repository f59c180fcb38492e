//! Counts as people read them: `28,232`.
//!
//! Here and not with those who print, because findings say their numbers in words already. Other languages group
//! otherwise; everything that lasthop says is English.

use std::fmt;

/// A count with a comma every three digits. Width and alignment of the format apply to the whole of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&digits(&self.0.to_string()))
    }
}

/// The digits of a whole number with a comma every three of them, counted from the end.
#[must_use]
pub fn digits(digits: &str) -> String {
    let count = digits.chars().count();
    let mut text = String::with_capacity(digits.len() + count / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (count - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_stands_before_every_third_digit_from_the_end() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (28_232, "28,232"),
            (1_234_567, "1,234,567"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(Grouped(number).to_string(), text);
        }
        assert_eq!(
            format!("{:>7}|{:<7}|", Grouped(1_000), Grouped(1)),
            "  1,000|1      |"
        );
    }
}
