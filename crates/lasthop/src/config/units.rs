//! Durations, sizes and file modes as people write them: `"250ms"`, `"64KiB"`, `"0660"`.
//!
//! Pure text in, number out, and back: whatever `duration_text` and `size_text` write is read again as the same value.
//! Whole numbers with one unit only. `"1.5s"`, `"1m30s"` and `"64kB"` have second readings, so they are refused with the
//! way to write them instead of being guessed.

use std::time::Duration;

/// Why a text is not a quantity; each says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// No digits, or something else before the unit.
    #[error("\"{0}\" does not begin with a whole number, and none is negative")]
    Number(String),
    /// A fraction, in digits.
    #[error("\"{text}\": whole numbers only, {right}")]
    Fraction {
        /// The whole text.
        text: String,
        /// The same as a whole number, or where that may be found.
        right: String,
    },
    /// Digits and nothing behind them.
    #[error("\"{0}\" has no unit")]
    NoUnit(String),
    /// A unit that is not one of ours.
    #[error("\"{text}\" has the unit `{unit}`; the units are {units}")]
    Unit {
        /// The whole text.
        text: String,
        /// What stood behind the digits.
        unit: String,
        /// What may stand there.
        units: &'static str,
    },
    /// A decimal unit where ours are powers of two.
    #[error("\"{text}\" has a unit that means 1000 to some and 1024 to others; write \"{right}\"")]
    DecimalUnit {
        /// The whole text.
        text: String,
        /// What was probably meant.
        right: String,
    },
    /// More than fits.
    #[error("\"{0}\" is too large to be meant")]
    TooLarge(String),
    /// Not three octal digits, or four with a leading zero.
    #[error("\"{0}\" is not a file mode such as 0660")]
    Mode(String),
}

const DURATION_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
const SIZE_UNITS: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads `"250ms"`, `"5s"`, `"2m"`, `"1h"`, and `"0"`, which needs no unit.
///
/// # Errors
/// [`UnitError`] where the text is anything else.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    refuse_fraction(text, &DURATION_UNITS)?;
    let (number, unit) = split(text)?;
    let Some((_, millis)) = DURATION_UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(UnitError::Unit {
            text: text.to_owned(),
            unit: unit.to_owned(),
            units: "ms, s, m and h",
        });
    };
    number
        .checked_mul(*millis)
        .map(Duration::from_millis)
        .ok_or_else(|| UnitError::TooLarge(text.to_owned()))
}

/// Writes a duration of whole milliseconds in the largest unit that leaves no rest. Finer parts are cut off.
pub fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    largest(millis, &DURATION_UNITS)
}

/// Reads `"512B"`, `"64KiB"`, `"10MiB"`, `"1GiB"` as bytes, and `"0"`, which needs no unit.
///
/// # Errors
/// [`UnitError`] where the text is anything else.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    if text == "0" {
        return Ok(0);
    }
    refuse_fraction(text, &SIZE_UNITS)?;
    let (number, unit) = split(text)?;
    let Some((_, bytes)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        let right = match unit.bytes().next().map(|b| b.to_ascii_lowercase()) {
            Some(b'k') => "KiB",
            Some(b'm') => "MiB",
            Some(b'g') => "GiB",
            _ => {
                return Err(UnitError::Unit {
                    text: text.to_owned(),
                    unit: unit.to_owned(),
                    units: "B, KiB, MiB and GiB",
                });
            }
        };
        return Err(UnitError::DecimalUnit {
            text: text.to_owned(),
            right: format!("{number}{right}"),
        });
    };
    number
        .checked_mul(*bytes)
        .ok_or_else(|| UnitError::TooLarge(text.to_owned()))
}

/// Writes a number of bytes in the largest unit that leaves no rest.
pub fn size_text(bytes: u64) -> String {
    if bytes == 0 {
        return "0B".to_owned();
    }
    largest(u128::from(bytes), &SIZE_UNITS)
}

/// Reads the mode of a socket file: `"0660"` or `"660"`, permission bits only.
///
/// # Errors
/// [`UnitError::Mode`] where the text is anything else.
pub fn parse_mode(text: &str) -> Result<u32, UnitError> {
    let digits = match text.len() {
        3 => text,
        4 => text.strip_prefix('0').unwrap_or(""),
        _ => "",
    };
    if digits.is_empty() || !digits.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
        return Err(UnitError::Mode(text.to_owned()));
    }
    u32::from_str_radix(digits, 8).map_err(|_| UnitError::Mode(text.to_owned()))
}

/// `"1.5s"` has one reading, but is refused with it: it would be the only fraction in the file.
fn refuse_fraction(text: &str, units: &[(&str, u64)]) -> Result<(), UnitError> {
    let Some((whole, rest)) = text.split_once('.') else {
        return Ok(());
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (decimals, unit) = rest.split_at(digits);
    let known = units.iter().find(|(name, _)| *name == unit);
    let (Some((_, factor)), Ok(_), true) = (known, whole.parse::<u64>(), digits > 0) else {
        return Ok(());
    };
    let same = || {
        let scale = 10_u128.checked_pow(u32::try_from(digits).ok()?)?;
        let digits: u128 = format!("{whole}{decimals}").parse().ok()?;
        let scaled = digits.checked_mul(u128::from(*factor))?;
        (scaled > 0 && scaled.is_multiple_of(scale)).then(|| largest(scaled / scale, units))
    };
    let right = match same() {
        Some(same) => format!("so write \"{same}\""),
        None => "if need be of a smaller unit".to_owned(),
    };
    Err(UnitError::Fraction {
        text: text.to_owned(),
        right,
    })
}

/// Digits and what stands behind them, which is not empty.
fn split(text: &str) -> Result<(u64, &str), UnitError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(UnitError::Number(text.to_owned()));
    }
    let (number, unit) = text.split_at(digits);
    if unit.is_empty() {
        return Err(UnitError::NoUnit(text.to_owned()));
    }
    // Only digits: what can fail is the size.
    let number = number
        .parse()
        .map_err(|_| UnitError::TooLarge(text.to_owned()))?;
    Ok((number, unit))
}

fn largest(value: u128, units: &[(&str, u64)]) -> String {
    let whole = units
        .iter()
        .rev()
        .find(|(_, factor)| value.is_multiple_of(u128::from(*factor)));
    // The first unit is 1 in both tables, so there is always one.
    match whole {
        Some((unit, factor)) => format!("{}{unit}", value / u128::from(*factor)),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_units_of_the_documentation_are_read() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("5s", 5000),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
        }
        for (text, bytes) in [
            ("0B", 0),
            ("512B", 512),
            ("64KiB", 65_536),
            ("10MiB", 10_485_760),
            ("1GiB", 1_073_741_824),
        ] {
            assert_eq!(parse_size(text), Ok(bytes));
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in [
            "", "s", "-1s", "+1s", " 5s", "1.5s", "5 s", "1m30s", "5S", "5", "5sec",
        ] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
        for text in [
            "", "64", "64kB", "64k", "64 KiB", "-1B", "1e3B", "64kib", "٣B",
        ] {
            assert!(parse_size(text).is_err(), "{text:?}");
        }
        assert_eq!(
            parse_size("10MB").unwrap_err().to_string(),
            "\"10MB\" has a unit that means 1000 to some and 1024 to others; write \"10MiB\""
        );
    }

    #[test]
    fn a_fraction_is_refused_with_the_whole_number_it_stands_for() {
        for (text, right) in [
            ("1.5s", "1500ms"),
            ("0.5h", "30m"),
            ("2.0s", "2s"),
            ("1.50m", "90s"),
        ] {
            let expected = format!("\"{text}\": whole numbers only, so write \"{right}\"");
            assert_eq!(parse_duration(text).unwrap_err().to_string(), expected);
        }
        assert_eq!(
            parse_size("1.5MiB").unwrap_err().to_string(),
            "\"1.5MiB\": whole numbers only, so write \"1536KiB\""
        );
        let endless = format!("1.{}s", "3".repeat(100));
        for text in ["0.0001s", "0.5ms", "0.0s", endless.as_str()] {
            assert_eq!(
                parse_duration(text).unwrap_err().to_string(),
                format!("\"{text}\": whole numbers only, if need be of a smaller unit")
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_too_large_and_no_overflow() {
        for text in ["18446744073709551615h", "99999999999999999999ms"] {
            assert!(
                matches!(parse_duration(text), Err(UnitError::TooLarge(_))),
                "{text}"
            );
        }
        assert!(matches!(
            parse_size("18446744073709551615KiB"),
            Err(UnitError::TooLarge(_))
        ));
    }

    #[test]
    fn modes_are_three_octal_digits() {
        assert_eq!(parse_mode("0660"), Ok(0o660));
        assert_eq!(parse_mode("600"), Ok(0o600));
        for text in ["", "66", "0888", "1660", "00660", "0o660", "+660", "rw-"] {
            assert!(parse_mode(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_duration_is_read_again_as_written(millis in 0..u64::MAX) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&duration_text(duration)), Ok(duration));
        }

        #[test]
        fn any_size_is_read_again_as_written(bytes: u64) {
            prop_assert_eq!(parse_size(&size_text(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_makes_a_unit_panic(text in "\\PC{0,12}|[0-9]{1,22}[a-zA-Z]{0,4}") {
            let _ = parse_duration(&text);
            let _ = parse_size(&text);
            let _ = parse_mode(&text);
        }
    }
}
