//! Which source ports the kernel may choose: the local port range and the reserved ports, read from the kernel's own text.
//!
//! Does not read files: the text comes in as an argument, so that a recording of another host can be judged like this one.
//! The formats are those of `net.ipv4.ip_local_port_range` and `net.ipv4.ip_local_reserved_ports`
//! (Documentation/networking/ip-sysctl.rst in the kernel tree).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest text accepted for a list of reserved ports, in bytes. The worst list a kernel can print is every second
/// port, 32,768 numbers of up to five digits and a comma: below 200,000 bytes.
pub const RESERVED_TEXT_BYTES_MAX: usize = 256 * 1024;

/// An inclusive range of ports, never empty and never containing port 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Why a text or a pair of numbers is not a range of ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeError {
    /// The text does not have the shape the kernel prints; holds the text and the shape that is expected.
    Shape {
        /// What was found, cut to a readable length.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A number is not a port from 1 to 65535; holds the number as written.
    NotAPort(String),
    /// The first port is above the last one.
    Reversed {
        /// The port written first.
        first: u16,
        /// The port written last.
        last: u16,
    },
    /// The text is longer than [`RESERVED_TEXT_BYTES_MAX`]; holds its length in bytes.
    TooLong(usize),
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { found, expected } => write!(f, "`{found}` is not {expected}"),
            Self::NotAPort(found) => write!(f, "`{found}` is not a port from 1 to 65535"),
            Self::Reversed { first, last } => {
                write!(f, "the range {first}-{last} ends before it begins")
            }
            Self::TooLong(bytes) => write!(
                f,
                "a list of reserved ports of {bytes} bytes is longer than any kernel prints (at most {RESERVED_TEXT_BYTES_MAX})"
            ),
        }
    }
}

impl std::error::Error for RangeError {}

impl PortRange {
    /// The range from `first` to `last`, both included.
    ///
    /// # Errors
    /// [`RangeError::NotAPort`] for port 0, [`RangeError::Reversed`] when `first` is above `last`.
    pub fn new(first: u16, last: u16) -> Result<Self, RangeError> {
        if first == 0 || last == 0 {
            return Err(RangeError::NotAPort("0".to_owned()));
        }
        if first > last {
            return Err(RangeError::Reversed { first, last });
        }
        Ok(Self { first, last })
    }

    /// The lowest port of the range.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The highest port of the range.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }

    /// How many ports the range holds: 1 to 65535.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a range is never empty by construction"
    )]
    pub const fn len(self) -> u32 {
        (self.last - self.first) as u32 + 1
    }

    /// Whether `port` lies in the range.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// The ports that both ranges hold, or `None` when there are none.
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        let first = self.first.max(other.first);
        let last = self.last.min(other.last);
        (first <= last).then_some(Self { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for PortRange {
    type Err = RangeError;

    /// Reads what the kernel prints in `ip_local_port_range`: two ports separated by blanks, such as `32768\t60999\n`.
    fn from_str(text: &str) -> Result<Self, RangeError> {
        let mut words = text.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(first), Some(last), None) => Self::new(port(first)?, port(last)?),
            _ => Err(RangeError::Shape {
                found: excerpt(text),
                expected: "two ports separated by a blank, such as `32768 60999`",
            }),
        }
    }
}

/// The ports that the kernel never chooses by itself (`net.ipv4.ip_local_reserved_ports`), as disjoint ascending ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReservedPorts {
    /// Ascending, disjoint and not adjacent: at most 32,768 of them.
    ranges: Vec<PortRange>,
}

impl ReservedPorts {
    /// The ranges, ascending and disjoint.
    #[must_use]
    pub fn ranges(&self) -> &[PortRange] {
        &self.ranges
    }

    /// Whether `port` is reserved.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.ranges.iter().any(|range| range.contains(port))
    }

    /// Port number `n`, counted from 0, of those of `range` that are not reserved; none past the last.
    #[must_use]
    pub fn nth_free(&self, range: PortRange, n: u32) -> Option<u16> {
        let mut port = u32::from(range.first()).checked_add(n)?;
        // Each reserved range that is reached pushes the port on by as many as it takes away.
        for reserved in self.ranges.iter().filter_map(|r| r.intersection(range)) {
            if u32::from(reserved.first()) > port {
                break;
            }
            port = port.checked_add(reserved.len())?;
        }
        u16::try_from(port)
            .ok()
            .filter(|port| range.contains(*port))
    }

    /// How many ports of `range` are reserved: 0 to `range.len()`.
    #[must_use]
    pub fn count_within(&self, range: PortRange) -> u32 {
        self.ranges
            .iter()
            .filter_map(|reserved| reserved.intersection(range))
            .map(PortRange::len)
            .sum()
    }

    /// Sorts and merges, so that no port is counted twice.
    fn from_unordered(mut ranges: Vec<PortRange>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<PortRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                // Saturation is right: a range that ends at 65535 touches everything that starts at or before 65535.
                Some(previous) if range.first <= previous.last.saturating_add(1) => {
                    previous.last = previous.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        Self { ranges: merged }
    }
}

impl FromStr for ReservedPorts {
    type Err = RangeError;

    /// Reads a comma-separated list of ports and ranges, such as `8080,9148-9150`; an empty text means none.
    fn from_str(text: &str) -> Result<Self, RangeError> {
        if text.len() > RESERVED_TEXT_BYTES_MAX {
            return Err(RangeError::TooLong(text.len()));
        }
        let text = text.trim_ascii();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let ranges = text
            .split(',')
            .map(|part| match part.split_once('-') {
                Some((first, last)) => PortRange::new(port(first)?, port(last)?),
                None => port(part).and_then(|only| PortRange::new(only, only)),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self::from_unordered(ranges))
    }
}

impl fmt::Display for ReservedPorts {
    /// The kernel's own form: `8080,9148-9150`; nothing when no port is reserved.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, range) in self.ranges.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            if range.first == range.last {
                write!(f, "{comma}{}", range.first)?;
            } else {
                write!(f, "{comma}{range}")?;
            }
        }
        Ok(())
    }
}

/// One port in decimal. `u16::from_str` alone would also take a plus sign, which no kernel prints.
fn port(word: &str) -> Result<u16, RangeError> {
    let not_a_port = || RangeError::NotAPort(excerpt(word));
    if !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(not_a_port());
    }
    match word.parse() {
        Ok(0) | Err(_) => Err(not_a_port()),
        Ok(port) => Ok(port),
    }
}

/// The beginning of a foreign text, short enough for one line of a log and free of line ends.
fn excerpt(text: &str) -> String {
    const EXCERPT_CHARS_MAX: usize = 40;
    text.trim_ascii()
        .chars()
        .take(EXCERPT_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect()
}

impl Serialize for PortRange {
    /// As the kernel prints it, with a blank.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{} {}", self.first, self.last))
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

impl Serialize for ReservedPorts {
    /// As the kernel prints it: `80,8000-8010`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReservedPorts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = RangeError>,
{
    String::deserialize(deserializer)?
        .parse()
        .map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_range_is_read_as_the_kernel_prints_it() {
        let range: PortRange = "32768\t60999\n".parse().unwrap();
        assert_eq!((range.first(), range.last()), (32768, 60999));
        assert_eq!(range.len(), 28_232);
        assert_eq!(range.to_string(), "32768-60999");
    }

    #[test]
    fn the_widest_range_does_not_overflow() {
        assert_eq!(PortRange::new(1, u16::MAX).unwrap().len(), 65_535);
    }

    #[test]
    fn a_range_that_is_not_two_ports_is_refused_with_what_is_wrong() {
        for text in ["", "1", "1 2 3", "\n"] {
            assert!(
                matches!(text.parse::<PortRange>(), Err(RangeError::Shape { .. })),
                "{text:?}"
            );
        }
        for text in ["0 5", "5 0", "+1 5", "1 65536", "a b", "1 -5", "1 5\u{a0}"] {
            assert!(
                matches!(text.parse::<PortRange>(), Err(RangeError::NotAPort(_))),
                "{text:?}"
            );
        }
        assert_eq!(
            "9 8".parse::<PortRange>(),
            Err(RangeError::Reversed { first: 9, last: 8 })
        );
        assert_eq!(
            "9 8".parse::<PortRange>().unwrap_err().to_string(),
            "the range 9-8 ends before it begins"
        );
    }

    #[test]
    fn reserved_ports_are_counted_within_a_range_only() {
        let reserved: ReservedPorts = "8080,9148-9150,40000-40004\n".parse().unwrap();
        let range = PortRange::new(9149, 40001).unwrap();
        assert_eq!(reserved.count_within(range), 4);
        assert!(reserved.contains(9148) && !reserved.contains(9151));
        assert_eq!(reserved.to_string(), "8080,9148-9150,40000-40004");
    }

    #[test]
    fn overlapping_reserved_ranges_are_counted_once() {
        let reserved: ReservedPorts = "10-20,15-30,31,65535,65000-65535".parse().unwrap();
        assert_eq!(reserved.to_string(), "10-31,65000-65535");
    }

    #[test]
    fn an_empty_list_reserves_nothing() {
        let reserved: ReservedPorts = "\n".parse().unwrap();
        assert_eq!(reserved, ReservedPorts::default());
        assert_eq!(reserved.to_string(), "");
    }

    #[test]
    fn a_list_longer_than_any_kernel_prints_is_refused() {
        let text = "1,".repeat(RESERVED_TEXT_BYTES_MAX);
        assert_eq!(
            text.parse::<ReservedPorts>(),
            Err(RangeError::TooLong(text.len()))
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in any::<String>()) {
            let _ = text.parse::<PortRange>();
            let _ = text.parse::<ReservedPorts>();
        }

        #[test]
        fn a_count_equals_counting_port_by_port(
            parts in proptest::collection::vec((1u16..=2000, 0u16..=300), 0..20),
            low in 1u16..=2000,
            width in 0u16..=2000,
        ) {
            let text = parts.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect::<Vec<_>>().join(",");
            let reserved: ReservedPorts = text.parse().unwrap();
            let range = PortRange::new(low, low + width).unwrap();
            let one_by_one = (range.first()..=range.last())
                .filter(|port| parts.iter().any(|(first, more)| (*first..=first + more).contains(port)))
                .count();
            prop_assert_eq!(reserved.count_within(range) as usize, one_by_one);
        }

        #[test]
        fn the_free_ports_are_those_that_are_not_reserved(
            parts in proptest::collection::vec((1u16..=2000, 0u16..=300), 0..20),
            low in 1u16..=2000,
            width in 0u16..=2000,
        ) {
            let text = parts.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect::<Vec<_>>().join(",");
            let reserved: ReservedPorts = text.parse().unwrap();
            let range = PortRange::new(low, low + width).unwrap();
            let free: Vec<u16> = (range.first()..=range.last()).filter(|port| !reserved.contains(*port)).collect();
            let by_number: Vec<u16> = (0..).map_while(|n| reserved.nth_free(range, n)).collect();
            prop_assert_eq!(by_number, free);
            prop_assert_eq!(reserved.nth_free(range, u32::MAX), None);
        }

        #[test]
        fn what_is_printed_reads_back_the_same(parts in proptest::collection::vec((1u16..=65000, 0u16..=500), 0..40)) {
            let text = parts.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect::<Vec<_>>().join(",");
            let reserved: ReservedPorts = text.parse().unwrap();
            prop_assert_eq!(reserved.to_string().parse::<ReservedPorts>().unwrap(), reserved);
        }
    }
}
