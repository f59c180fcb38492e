//! Numbers as people read them: thousands apart, units that fit, and the round values at which an axis has a line.
//!
//! Pure arithmetic. What is measured elsewhere as a float is told with three digits that count: more cannot be seen.

use std::fmt::{self, Display};

/// What a number counts; decides how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Things: sockets, ports, requests that wait.
    Count,
    /// Things each second.
    PerSecond,
    /// Seconds, told in the unit that fits.
    Seconds,
}

impl Unit {
    /// As the script reads it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::PerSecond => "rate",
            Self::Seconds => "seconds",
        }
    }
}

/// A number with its unit: `28,232`, `1,250/s`, `1.25 ms`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quantity(pub(super) f64, pub(super) Unit);

impl Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, unit) = *self;
        match unit {
            Unit::Count => grouped(f, value),
            Unit::PerSecond => {
                grouped(f, value)?;
                f.write_str("/s")
            }
            Unit::Seconds => {
                let (scale, name) = match value {
                    _ if value == 0.0 => return f.write_str("0"),
                    ..1e-3 => (1e6, "µs"),
                    ..1.0 => (1e3, "ms"),
                    _ => (1.0, "s"),
                };
                grouped(f, value * scale)?;
                write!(f, " {name}")
            }
        }
    }
}

/// Whole from 100 on, below with as many decimals as make three digits; thousands apart.
fn grouped(f: &mut fmt::Formatter<'_>, value: f64) -> fmt::Result {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    f.write_str(&whole[..whole.len() - digits.len()])?;
    f.write_str(&lasthop_ports::grouped::digits(digits))?;
    match fraction.trim_end_matches('0') {
        "" => Ok(()),
        fraction => write!(f, ".{fraction}"),
    }
}

/// A whole number with its thousands apart.
pub(super) fn count(value: u64) -> impl Display {
    // Exact up to 2^53: nothing here counts so far.
    Quantity(value as f64, Unit::Count)
}

/// A part as a percentage: `92 %`, `0.4 %`.
pub(super) fn percent(used: u64, limit: u64) -> String {
    if limit == 0 {
        return "–".to_owned();
    }
    let part = used as f64 * 100.0 / limit as f64;
    // What is not full is not told as full.
    let part = if used < limit { part.min(99.9) } else { part };
    match part {
        _ if used == 0 => "0 %".to_owned(),
        ..0.1 => "< 0.1 %".to_owned(),
        ..10.0 | 99.0..100.0 => format!("{part:.1} %"),
        _ => format!("{part:.0} %"),
    }
}

/// A duration in whole seconds as people say it: `12 s`, `3 min 20 s`, `5 h 3 min`, `2 d 4 h`.
pub(super) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let both = |more: u64, unit, rest: u64, smaller| match rest {
        0 => format!("{more} {unit}"),
        rest => format!("{more} {unit} {rest} {smaller}"),
    };
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => both(minutes, "min", seconds % 60, "s"),
        3600..86_400 => both(hours, "h", minutes % 60, "min"),
        _ => both(days, "d", hours % 24, "h"),
    }
}

/// The distance between the lines of an axis that ends at or above `top`: 1, 2, 2.5 or 5 times a power of ten, so that
/// there are two to five of them. Counts are whole. `top` is positive.
pub(super) fn step(top: f64, unit: Unit) -> f64 {
    let rough = top / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let nice = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .filter(|step| unit != Unit::Count || (*step >= 1.0 && step.fract() == 0.0))
        .find(|step| step * 4.0 >= top * 0.999_999);
    nice.unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        for (value, unit, text) in [
            (0.0, Unit::Count, "0"),
            (7.0, Unit::Count, "7"),
            (28_232.0, Unit::Count, "28,232"),
            (1_234_567.0, Unit::Count, "1,234,567"),
            (0.25, Unit::PerSecond, "0.25/s"),
            (12.34, Unit::PerSecond, "12.3/s"),
            (1250.4, Unit::PerSecond, "1,250/s"),
            (0.0, Unit::Seconds, "0"),
            (0.000_042, Unit::Seconds, "42 µs"),
            (0.001_25, Unit::Seconds, "1.25 ms"),
            (1.5, Unit::Seconds, "1.5 s"),
            (120.0, Unit::Seconds, "120 s"),
        ] {
            assert_eq!(Quantity(value, unit).to_string(), text, "{value}");
        }
    }

    #[test]
    fn only_what_is_full_is_told_as_full() {
        for (used, limit, text) in [
            (0, 28_232, "0 %"),
            (1, 28_232, "< 0.1 %"),
            (100, 28_232, "0.4 %"),
            (25_973, 28_232, "92 %"),
            (28_231, 28_232, "99.9 %"),
            (28_232, 28_232, "100 %"),
            (5, 0, "–"),
        ] {
            assert_eq!(percent(used, limit), text, "{used} of {limit}");
        }
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (200, "3 min 20 s"),
            (3600, "1 h"),
            (18_180, "5 h 3 min"),
            (187_200, "2 d 4 h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn an_axis_has_two_to_five_lines_at_round_values() {
        for (top, unit, wanted) in [
            (1.0, Unit::Count, 1.0),
            (3.0, Unit::Count, 1.0),
            (10.0, Unit::Count, 5.0),
            (28_232.0, Unit::Count, 10_000.0),
            (600.0, Unit::Count, 200.0),
            (100.0, Unit::PerSecond, 25.0),
            (0.8, Unit::PerSecond, 0.2),
            (0.004, Unit::Seconds, 0.001),
        ] {
            let step = step(top, unit);
            assert!((step - wanted).abs() < 1e-9, "{top}: {step}");
            let lines = (top / step).ceil();
            assert!((1.0..=5.0).contains(&lines), "{top}: {lines}");
        }
    }
}
