//! Numbers and times as people read them.

use std::time::Duration;

use lasthop_ports::Grouped;

use crate::history::Window;

/// With a comma at each thousand: `28,232`.
pub(super) fn thousands(number: u64) -> String {
    Grouped(number).to_string()
}

/// In at most five columns: `999`, `28.2k`, `1.50M`.
pub(super) fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size < 999.5 => return plain(value),
        size if size < 999_500.0 => (value / 1e3, "k"),
        size if size < 999_500_000.0 => (value / 1e6, "M"),
        size if size < 999.5e9 => (value / 1e9, "G"),
        _ => (value / 1e12, "T"),
    };
    match scaled.abs() {
        size if size < 9.995 => format!("{}{unit}", trimmed(format!("{scaled:.2}"))),
        size if size < 99.95 => format!("{}{unit}", trimmed(format!("{scaled:.1}"))),
        _ => format!("{scaled:.0}{unit}"),
    }
}

fn plain(value: f64) -> String {
    match value.abs() {
        size if size < 9.95 && value.fract() != 0.0 => trimmed(format!("{value:.1}")),
        _ => format!("{value:.0}"),
    }
}

fn trimmed(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A count that came as a float, with commas.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest integer there is, never another one"
)]
pub(super) fn count(value: f64) -> String {
    thousands(value.round().max(0.0) as u64)
}

/// A rate: small ones with a digit behind the point.
pub(super) fn rate(value: f64) -> String {
    if value > 0.0 && value < 9.95 {
        format!("{value:.1}")
    } else {
        count(value)
    }
}

/// A part of a whole: `92.0 %`; never 100 where something is left.
pub(super) fn percent(part: f64) -> String {
    let percent = part * 100.0;
    if (99.95..100.0).contains(&percent) {
        return "99.9 %".to_owned();
    }
    format!("{percent:.1} %")
}

/// A duration in the unit that fits: `820 µs`, `4.2 ms`, `1.3 s`.
pub(super) fn seconds(value: f64) -> String {
    match value {
        v if v < 0.000_999_5 => format!("{:.0} us", v * 1e6),
        v if v < 0.009_95 => format!("{:.1} ms", v * 1e3),
        v if v < 0.999_5 => format!("{:.0} ms", v * 1e3),
        v if v < 9.95 => format!("{v:.1} s"),
        v => format!("{v:.0} s"),
    }
}

/// About how long: `40 s`, `6 min`, `1 h 20 min`, `2 days`.
pub(super) fn time_left(left: Duration) -> String {
    let seconds = left.as_secs();
    match seconds {
        0..=19 => format!("{seconds} s"),
        // Nobody knows it better.
        20..=89 => format!("{} s", (seconds + 5) / 10 * 10),
        90..=3569 => format!("{} min", (seconds + 30) / 60),
        3570..=86_399 => {
            let minutes = (seconds + 30) / 60;
            match (minutes / 60, minutes % 60) {
                (hours, 0) => format!("{hours} h"),
                (hours, minutes) => format!("{hours} h {minutes} min"),
            }
        }
        _ => format!("{} days", seconds / 86_400),
    }
}

/// How far back a window reaches.
pub(super) const fn window(window: Window) -> &'static str {
    match window {
        Window::TenMinutes => "last 10 min",
        Window::ThreeHours => "last 3 h",
        Window::Day => "last 24 h",
    }
}

/// With its sign, and a word for none: `+1,200`, `-30`, `level`.
pub(super) fn slope(per_minute: f64) -> String {
    match per_minute.round() {
        whole if whole >= 1.0 => format!("+{}/min", count(whole)),
        whole if whole <= -1.0 => format!("-{}/min", count(-whole)),
        _ => "level".to_owned(),
    }
}

/// Breaks a text into lines of at most `width` columns, at spaces where there are any, the later lines indented.
pub(super) fn wrapped(text: &str, width: u16, indent: &str) -> Vec<String> {
    let width = usize::from(width.max(8));
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut word = word.to_owned();
        if !line.is_empty() && wide(&line) + 1 + wide(&word) > width {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
        } else if !line.is_empty() && line != indent {
            line.push(' ');
        }
        while wide(&line) + wide(&word) > width {
            let rest = split_at_width(&mut word, width.saturating_sub(wide(&line)).max(1));
            line.push_str(&word);
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
            word = rest;
        }
        line.push_str(&word);
    }
    lines.push(line);
    lines
}

fn wide(text: &str) -> usize {
    super::pen::columns(text).into()
}

/// Cuts `word` to at most `width` columns, at least one sign; what was cut off.
fn split_at_width(word: &mut String, width: usize) -> String {
    let mut columns = 0;
    let cut = word.char_indices().skip_while(|(_, sign)| {
        columns += wide(sign.encode_utf8(&mut [0; 4]));
        columns <= width
    });
    let first = word.chars().next().map_or(0, char::len_utf8);
    let at = cut
        .map(|(at, _)| at)
        .next()
        .unwrap_or(word.len())
        .max(first);
    word.split_off(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_shortened() {
        for (number, long, brief) in [
            (0, "0", "0"),
            (999, "999", "999"),
            (1000, "1,000", "1k"),
            (28_232, "28,232", "28.2k"),
            (999_600, "999,600", "1M"),
            (1_234_567, "1,234,567", "1.23M"),
            (123_456_789, "123,456,789", "123M"),
            (u64::MAX, "18,446,744,073,709,551,615", "18446744T"),
        ] {
            assert_eq!(
                (thousands(number).as_str(), short(number as f64).as_str()),
                (long, brief)
            );
        }
        assert_eq!(short(0.5), "0.5");
        assert_eq!(rate(0.25), "0.2");
        assert_eq!(rate(1234.4), "1,234");
        assert_eq!(count(-3.0), "0");
    }

    #[test]
    fn nothing_is_full_before_it_is() {
        assert_eq!(percent(0.999_99), "99.9 %");
        assert_eq!(percent(1.0), "100.0 %");
        assert_eq!(percent(0.92), "92.0 %");
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        for (value, text) in [
            (0.000_82, "820 us"),
            (0.0042, "4.2 ms"),
            (0.042, "42 ms"),
            (1.26, "1.3 s"),
            (61.0, "61 s"),
        ] {
            assert_eq!(seconds(value), text);
        }
        for (left, text) in [
            (7, "7 s"),
            (34, "30 s"),
            (85, "90 s"),
            (90, "2 min"),
            (355, "6 min"),
            (3600, "1 h"),
            (4790, "1 h 20 min"),
            (200_000, "2 days"),
        ] {
            assert_eq!(time_left(Duration::from_secs(left)), text);
        }
        assert_eq!(slope(0.4), "level");
        assert_eq!(slope(-1500.0), "-1,500/min");
    }

    #[test]
    fn lines_break_at_spaces_and_within_long_words() {
        assert_eq!(wrapped("one two three", 8, " "), ["one two", " three"]);
        assert_eq!(
            wrapped("/a/very/long/path x", 8, " "),
            ["/a/very/", " long/pa", " th x"]
        );
        assert_eq!(wrapped("", 8, " "), [""]);
        for text in ["日本語日本語日本語日本語", "a b c d e f g h i j k l m n"] {
            for width in 1..30 {
                let lines = wrapped(text, width, "  ");
                let signs: String = lines.concat().replace(' ', "");
                assert_eq!(signs, text.replace(' ', ""));
                assert!(
                    lines
                        .iter()
                        .all(|line| wide(line) <= usize::from(width.max(8)))
                );
            }
        }
    }
}
