//! The demo's figures as text: one aligned table, and a sentence for each of its two halves.
//!
//! Pure: readings in, text out. It knows no scene by heart; every figure and every word that compares comes from the
//! readings, so a host on which TCP wins reads that TCP won.

use std::fmt::Write as _;
use std::time::Duration;

use lasthop_ports::{Grouped, grouped};

use super::ports::Ports;
use super::screen::Colour;
use super::{Habit, Scene, Transport};

/// What one run of one scene measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Right answers per second.
    pub requests_per_second: f64,
    /// The latency that half of the requests did not exceed.
    pub p50: Duration,
    /// The latency that 99 % did not exceed.
    pub p99: Duration,
    /// User and system time of the proxy's process per request.
    pub cpu_per_request: Duration,
    /// Connections that the proxy made to the app since both started, the warm-up included: kept ones stay in use.
    pub connections: u64,
    /// What the kernel held towards the app's TCP port at the end of the run.
    pub ports: Ports,
}

impl Reading {
    /// The median of each figure by itself over several runs, the lower one of an even number; zeros for no run.
    #[must_use]
    pub fn median(runs: &[Self]) -> Self {
        Self {
            requests_per_second: middle(
                runs.iter().map(|run| run.requests_per_second),
                f64::total_cmp,
            ),
            p50: middle(runs.iter().map(|run| run.p50), Ord::cmp),
            p99: middle(runs.iter().map(|run| run.p99), Ord::cmp),
            cpu_per_request: middle(runs.iter().map(|run| run.cpu_per_request), Ord::cmp),
            connections: middle(runs.iter().map(|run| run.connections), Ord::cmp),
            ports: Ports {
                held: middle(runs.iter().map(|run| run.ports.held), Ord::cmp),
                time_wait: middle(runs.iter().map(|run| run.ports.time_wait), Ord::cmp),
            },
        }
    }
}

/// The median, the lower one of an even number; the default for no value.
pub(super) fn middle<T: Default>(
    values: impl Iterator<Item = T>,
    compare: fn(&T, &T) -> std::cmp::Ordering,
) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_by(compare);
    let at = values.len().saturating_sub(1) / 2;
    values.into_iter().nth(at).unwrap_or_default()
}

const HEADINGS: [[&str; 2]; 8] = [
    ["", ""],
    ["requests", "per second"],
    ["latency", "p50"],
    ["latency", "p99"],
    ["proxy CPU", "per request"],
    ["connections", "to the app"],
    ["source", "ports held"],
    ["in", "TIME_WAIT"],
];
/// Width of the first column: the longest row name with its indent.
const NAME_WIDTH: usize = 24;
/// Width of every other column, the gap before it included.
const FIGURE_WIDTH: usize = 13;

/// The table, ending with a line feed. `readings` are shown in the order given; a heading opens each new habit.
#[must_use]
pub fn table(readings: &[(Scene, Reading)], colour: Colour) -> String {
    let mut text = String::new();
    for line in 0..2 {
        let heading = row(
            HEADINGS[0][line],
            &HEADINGS.map(|column| column[line].to_owned())[1..],
        );
        text.push_str(&colour.bold(heading.trim_end()));
        text.push('\n');
    }
    let mut habit = None;
    for (scene, reading) in readings {
        if habit != Some(scene.habit) {
            habit = Some(scene.habit);
            text.push_str(&colour.bold(scene.habit.name()));
            text.push('\n');
        }
        let figures = [
            grouped(reading.requests_per_second),
            duration(reading.p50),
            duration(reading.p99),
            duration(reading.cpu_per_request),
            grouped_count(reading.connections),
            grouped_count(reading.ports.held),
            grouped_count(reading.ports.time_wait),
        ];
        text.push_str(&row(&format!("  {}", scene.transport.name()), &figures));
        text.push('\n');
    }
    text
}

fn row(name: &str, figures: &[String]) -> String {
    let mut text = format!("{name:<NAME_WIDTH$}");
    for figure in figures {
        // Writing to a String cannot fail.
        let _ = write!(text, "{figure:>FIGURE_WIDTH$}");
    }
    text
}

/// One sentence for each habit that has a reading of both transports.
#[must_use]
pub fn sentences(readings: &[(Scene, Reading)], source_ports: Option<u32>) -> String {
    let find = |habit, transport| {
        let scene = Scene { habit, transport };
        readings
            .iter()
            .find(|(found, _)| *found == scene)
            .map(|(_, reading)| reading)
    };
    let mut text = String::new();
    for habit in Habit::ALL {
        if let (Some(tcp), Some(unix)) = (find(habit, Transport::Tcp), find(habit, Transport::Unix))
        {
            text.push_str(&sentence(habit, tcp, unix));
            text.push('\n');
        }
    }
    if find(Habit::Closes, Transport::Tcp).is_some() {
        text.push_str(
            "TIME_WAIT is kept by whoever closes first: here the app, so that it holds no source port of the proxy. \
             Where the proxy closes first, each closed connection keeps a port for up to a minute.\n",
        );
    }
    if let Some(source_ports) = source_ports {
        let _ = writeln!(
            text,
            "From one address to one address and port, this host has {} source ports; a Unix socket needs none.\n\
             CPU per request is the steadier figure; requests per second vary with whatever else this host does.",
            grouped_count(u64::from(source_ports))
        );
    }
    text
}

fn sentence(habit: Habit, tcp: &Reading, unix: &Reading) -> String {
    format!(
        "{}: over the Unix socket the proxy spent {} the CPU per request, answered {} the requests, held {} (TCP: {}) \
         and left {} (TCP: {}).",
        habit.name(),
        times(
            unix.cpu_per_request.as_secs_f64(),
            tcp.cpu_per_request.as_secs_f64()
        ),
        times(unix.requests_per_second, tcp.requests_per_second),
        counted(unix.ports.held, "source port", "source ports"),
        grouped_count(tcp.ports.held),
        counted(
            unix.ports.time_wait,
            "connection in TIME_WAIT",
            "connections in TIME_WAIT"
        ),
        grouped_count(tcp.ports.time_wait),
    )
}

fn times(value: f64, base: f64) -> String {
    if base > 0.0 {
        format!("{:.2} times", value / base)
    } else {
        "an unknown multiple of".to_owned()
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    match count {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        _ => format!("{} {many}", grouped_count(count)),
    }
}

/// A duration with three significant digits or so, in the unit that suits it.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let microseconds = duration.as_secs_f64() * 1e6;
    match microseconds {
        0.0..100.0 => format!("{microseconds:.1} µs"),
        100.0..1000.0 => format!("{microseconds:.0} µs"),
        1000.0..100_000.0 => format!("{:.2} ms", microseconds / 1e3),
        _ => format!("{:.0} ms", microseconds / 1e3),
    }
}

/// A figure without its fraction, thousands set apart by commas.
#[must_use]
pub fn grouped(figure: f64) -> String {
    grouped::digits(&format!("{figure:.0}"))
}

/// A count, thousands set apart by commas.
#[must_use]
pub fn grouped_count(count: u64) -> String {
    Grouped(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(cpu_microseconds: u64, requests_per_second: f64, held: u64) -> Reading {
        Reading {
            requests_per_second,
            p50: Duration::from_micros(900),
            p99: Duration::from_micros(2100),
            cpu_per_request: Duration::from_micros(cpu_microseconds),
            connections: 64,
            ports: Ports { held, time_wait: 0 },
        }
    }

    fn scene(transport: Transport) -> Scene {
        Scene {
            habit: Habit::KeepsOpen,
            transport,
        }
    }

    #[test]
    fn the_columns_line_up() {
        let readings = [
            (scene(Transport::Tcp), reading(20, 40_123.4, 64)),
            (scene(Transport::Unix), reading(16, 50_000.0, 0)),
        ];
        let table = table(&readings, Colour::Off);
        let rows: Vec<&str> = table
            .lines()
            .filter(|line| line.starts_with("  ") && line.contains("ms"))
            .collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].chars().count(), rows[1].chars().count());
        assert!(
            rows[0].contains("40,123")
                && rows[0].contains("20.0 µs")
                && rows[0].contains("2.10 ms"),
            "{table}"
        );
        assert!(!table.contains('\x1b'));
    }

    #[test]
    fn colour_is_there_only_when_asked_for() {
        let readings = [(scene(Transport::Tcp), reading(20, 1.0, 1))];
        assert!(table(&readings, Colour::On).contains("\x1b[1m"));
    }

    #[test]
    fn the_sentence_says_what_was_measured_and_nothing_else() {
        let readings = [
            (scene(Transport::Tcp), reading(20, 40_000.0, 64)),
            (scene(Transport::Unix), reading(16, 50_000.0, 0)),
        ];
        let text = sentences(&readings, Some(28_232));
        assert!(text.contains("0.80 times the CPU"), "{text}");
        assert!(text.contains("1.25 times the requests"), "{text}");
        assert!(text.contains("held no source port (TCP: 64)"), "{text}");
        assert!(text.contains("28,232 source ports"), "{text}");
        assert_eq!(
            text.lines().count(),
            3,
            "only one habit was measured: {text}"
        );
    }

    #[test]
    fn the_median_is_taken_of_each_figure_by_itself() {
        let runs = [
            reading(30, 1.0, 5),
            reading(10, 3.0, 7),
            reading(20, 2.0, 6),
        ];
        let median = Reading::median(&runs);
        assert_eq!(median.cpu_per_request, Duration::from_micros(20));
        assert_eq!((median.requests_per_second, median.ports.held), (2.0, 6));
        assert_eq!(Reading::median(&[]), Reading::default());
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped_count(0), "0");
        assert_eq!(grouped_count(999), "999");
        assert_eq!(grouped_count(28_232), "28,232");
        assert_eq!(grouped(1_234_567.6), "1,234,568");
    }
}
