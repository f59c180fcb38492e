//! The time of day as the two formats write it, in UTC, made anew once a second.
//!
//! The calendar is `httpdate`'s: its text has every part of the date, and leap years have been wrong in
//! more programs than one.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use httpdate::HttpDate;

/// The last second of the year 9999. Neither format, nor `httpdate`, writes years of five digits.
const SECONDS_MAX: u64 = 253_402_300_799;

/// Bytes of `Sun, 06 Nov 1994 08:49:37 GMT`.
const HTTP_BYTES: usize = 29;

/// A moment to the second, as RFC 3339 has it: `1994-11-06T08:49:37Z`.
pub fn rfc3339(time: SystemTime) -> String {
    let mut text = TimeText::new();
    text.set(time);
    format!("{}Z", String::from_utf8_lossy(text.rfc3339()))
}

/// The text of one second.
#[derive(Debug)]
pub(super) struct TimeText {
    second: u64,
    /// `1994-11-06T08:49:37`: RFC 3339 up to the fraction.
    rfc3339: [u8; 19],
    /// `06/Nov/1994:08:49:37 +0000`: the common log format.
    common: [u8; 26],
}

impl TimeText {
    /// Of the beginning of 1970.
    pub(super) fn new() -> Self {
        let mut text = Self {
            second: 0,
            rfc3339: *b"1970-01-01T00:00:00",
            common: *b"01/Jan/1970:00:00:00 +0000",
        };
        text.make(0);
        text
    }

    /// Moves on to `time`; returns the microseconds of its second. A clock that is set before 1970
    /// shows the beginning of 1970.
    pub(super) fn set(&mut self, time: SystemTime) -> u32 {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let second = since.as_secs().min(SECONDS_MAX);
        if second != self.second {
            self.make(second);
        }
        since.subsec_micros()
    }

    /// `1994-11-06T08:49:37`, to which `.`, microseconds and `Z` belong.
    pub(super) fn rfc3339(&self) -> &[u8] {
        &self.rfc3339
    }

    /// `06/Nov/1994:08:49:37 +0000`.
    pub(super) fn common(&self) -> &[u8] {
        &self.common
    }

    fn make(&mut self, second: u64) {
        let date = HttpDate::from(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
        let mut http = [0; HTTP_BYTES];
        // The text has exactly this length, so it always fits.
        let _ = write!(&mut http[..], "{date}");
        let (day, month, year, time) = (&http[5..7], &http[8..11], &http[12..16], &http[17..25]);
        self.rfc3339[..4].copy_from_slice(year);
        self.rfc3339[5..7].copy_from_slice(month_number(month));
        self.rfc3339[8..10].copy_from_slice(day);
        self.rfc3339[11..].copy_from_slice(time);
        self.common[..2].copy_from_slice(day);
        self.common[3..6].copy_from_slice(month);
        self.common[7..11].copy_from_slice(year);
        self.common[12..20].copy_from_slice(time);
        self.second = second;
    }
}

fn month_number(name: &[u8]) -> &'static [u8; 2] {
    match name {
        b"Jan" => b"01",
        b"Feb" => b"02",
        b"Mar" => b"03",
        b"Apr" => b"04",
        b"May" => b"05",
        b"Jun" => b"06",
        b"Jul" => b"07",
        b"Aug" => b"08",
        b"Sep" => b"09",
        b"Oct" => b"10",
        b"Nov" => b"11",
        _ => b"12",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(seconds: u64) -> (String, String) {
        let mut text = TimeText::new();
        text.set(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (utf8(text.rfc3339()), utf8(text.common()))
    }

    #[test]
    fn a_second_is_written_in_both_formats() {
        for (seconds, rfc3339, common) in [
            (0, "1970-01-01T00:00:00", "01/Jan/1970:00:00:00 +0000"),
            (
                784_111_777,
                "1994-11-06T08:49:37",
                "06/Nov/1994:08:49:37 +0000",
            ),
            (
                951_827_696,
                "2000-02-29T12:34:56",
                "29/Feb/2000:12:34:56 +0000",
            ),
            (
                SECONDS_MAX,
                "9999-12-31T23:59:59",
                "31/Dec/9999:23:59:59 +0000",
            ),
            (
                u64::from(u32::MAX) << 10,
                "9999-12-31T23:59:59",
                "31/Dec/9999:23:59:59 +0000",
            ),
        ] {
            assert_eq!(both(seconds), (rfc3339.to_owned(), common.to_owned()));
        }
    }

    #[test]
    fn a_moment_is_written_in_utc() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(951_782_400_999);
        assert_eq!(rfc3339(time), "2000-02-29T00:00:00Z");
    }

    #[test]
    fn every_month_has_its_number() {
        for month in 1..=12 {
            let text = format!("2026-{month:02}-05T00:00:00");
            let day = (1..400).map(|day| both(1_767_225_600 + day * 86_400).0);
            assert!(day.into_iter().any(|written| written == text), "{text}");
        }
    }

    #[test]
    fn the_text_moves_both_ways_with_the_clock() {
        let mut text = TimeText::new();
        let at = |micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
        assert_eq!(text.set(at(5_000_007)), 7);
        assert_eq!(text.rfc3339(), b"1970-01-01T00:00:05");
        assert_eq!(text.set(at(4_999_999)), 999_999);
        assert_eq!(text.rfc3339(), b"1970-01-01T00:00:04");
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(text.set(before), 0);
        assert_eq!(text.rfc3339(), b"1970-01-01T00:00:00");
    }
}
