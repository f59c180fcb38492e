//! Connections that stay, as text: what is going to happen, a table, and what it means.
//!
//! Pure: rows in, text out. Every figure and every word that compares comes from the rows, so that a host on which
//! something else happens reads that.

use std::fmt::Write as _;

use lasthop_ports::Capacity;

use super::QUEUE_MILLISECONDS;
use super::row::{Row, Way};
use crate::demo::report::grouped_count;
use crate::demo::screen::Colour;
use crate::demo::wall::{ASKED, Size};

/// Widths of the name, of each figure with the gap before it, and of the gap before the last column.
const NAME_WIDTH: usize = 24;
const FIGURE_WIDTH: usize = 9;
const PORTS_WIDTH: usize = 13;
const GAP: &str = "   ";
/// Source addresses that are named in a row.
const SOURCES_NAMED_MAX: usize = 3;

/// What is going to happen, ending with a line feed.
pub(in crate::demo::wall) fn intro(size: Size, descriptors: u64) -> String {
    let mut text = format!(
        "{} clients ask for an upgraded connection at once, and hold it. Nothing is closed, so no setting for TIME_WAIT\n\
         helps. There are {} source ports.\n",
        grouped_count(size.asked),
        grouped_count(size.ports),
    );
    if size.asked < ASKED {
        let _ = writeln!(
            text,
            "It would be {} clients, were there more than the {} descriptors that this host allows a process.",
            grouped_count(ASKED),
            grouped_count(descriptors),
        );
    }
    text
}

/// The headings of the table, ending with a line feed.
pub(in crate::demo::wall) fn headings(colour: Colour) -> String {
    let text = columns(
        "from proxy to app over",
        ["asked", "held", "refused", "echoed"].map(str::to_owned),
        "ports held",
        "source addresses that the app sees",
    );
    format!("{}\n", colour.bold(&text))
}

/// A row of the table, ending with a line feed.
pub(in crate::demo::wall) fn row(row: &Row) -> String {
    let figures = [row.asked, row.held, row.refused(), row.echoed].map(grouped_count);
    let mut sources: Vec<String> = row
        .sources
        .iter()
        .take(SOURCES_NAMED_MAX)
        .map(|(address, count)| format!("{address} ({})", grouped_count(*count)))
        .collect();
    match row.sources.len() {
        0 => sources.push("none".to_owned()),
        count if count > SOURCES_NAMED_MAX => {
            sources.push(format!("{} more", count - SOURCES_NAMED_MAX));
        }
        _ => {}
    }
    let ports = grouped_count(row.ports);
    let text = columns(row.way.name(), figures, &ports, &sources.join(", "));
    format!("{text}\n")
}

fn columns(name: &str, figures: [String; 4], ports: &str, sources: &str) -> String {
    let mut text = format!("{name:<NAME_WIDTH$}");
    for figure in figures {
        // Writing to a String cannot fail.
        let _ = write!(text, "{figure:>FIGURE_WIDTH$}");
    }
    let _ = write!(text, "{ports:>PORTS_WIDTH$}{GAP}{sources}");
    text
}

/// What it means, ending with a line feed.
pub(in crate::demo::wall) fn sentences(rows: &[Row], host: Option<Capacity>) -> String {
    let mut text = String::new();
    for row in rows {
        text.push_str(&match row.way {
            Way::Kernel => kernel(row),
            Way::Default => default(row),
            Way::Unix => unix(row),
        });
        let silent = row.held.saturating_sub(row.echoed);
        if silent > 0 {
            let _ = write!(
                text,
                " Over {} of those held, nothing came back.",
                grouped_count(silent)
            );
        }
        text.push('\n');
    }
    if let Some(host) = host {
        let _ = writeln!(
            text,
            "The same sum for this host and two source addresses: {host}."
        );
    }
    text
}

fn kernel(row: &Row) -> String {
    if row.refused() == 0 {
        return "With source = \"kernel\" nothing was refused here.".to_owned();
    }
    format!(
        "With source = \"kernel\" the proxy held {} connections and refused {}. The first of those was told:\n    {}\n(A request waits {} ms for a port here, and 5 s by default.)",
        grouped_count(row.held),
        grouped_count(row.refused()),
        row.refusal.as_deref().unwrap_or("nothing"),
        QUEUE_MILLISECONDS,
    )
}

fn default(row: &Row) -> String {
    let held = match row.refused() {
        0 => format!("all {}", grouped_count(row.held)),
        _ => format!(
            "{} of {}",
            grouped_count(row.held),
            grouped_count(row.asked)
        ),
    };
    let told = told(row);
    match row.sources.as_slice() {
        [(first, count), (second, _), ..] => format!(
            "By default it went on from {second} with {} connections from {first}, shortly before the search for a free port \
             gets slow,\nand held {held}{told}.",
            grouped_count(*count)
        ),
        _ => format!("By default it held {held}{told}, and needed no second source address."),
    }
}

fn unix(row: &Row) -> String {
    let told = told(row);
    format!(
        "Over the Unix socket it held {} of {}{told}, with {} source ports.",
        grouped_count(row.held),
        grouped_count(row.asked),
        match row.ports {
            0 => "no".to_owned(),
            ports => grouped_count(ports),
        },
    )
}

/// What the first refused client was told, in brackets; empty where nobody was refused.
fn told(row: &Row) -> String {
    match &row.refusal {
        Some(refusal) => format!(" (the first refused: {refusal})"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const FIRST: Ipv4Addr = Ipv4Addr::LOCALHOST;
    const SECOND: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 1);

    fn held(way: Way, held: u64, sources: &[(Ipv4Addr, u64)]) -> Row {
        Row {
            way,
            asked: 1000,
            held,
            echoed: held,
            ports: sources.iter().map(|(_, count)| count).sum(),
            sources: sources.to_vec(),
            refusal: (held < 1000).then(|| "503 Service Unavailable: source ports".to_owned()),
        }
    }

    fn host() -> Option<Capacity> {
        let range = "32768 60999".parse().unwrap();
        Some(Capacity::new(range, &"".parse().unwrap(), 2))
    }

    #[test]
    fn the_columns_line_up_and_every_source_has_its_share() {
        let rows = [
            headings(Colour::Off),
            row(&held(Way::Kernel, 600, &[(FIRST, 600)])),
            row(&held(Way::Default, 1000, &[(FIRST, 600), (SECOND, 400)])),
            row(&held(Way::Unix, 1000, &[])),
        ];
        let column = |row: &String, word| row.find(word).unwrap();
        assert_eq!(column(&rows[0], "source addr"), column(&rows[1], "127."));
        assert_eq!(column(&rows[2], "127."), column(&rows[3], "none"));
        assert!(
            rows[2].ends_with("127.0.0.1 (600), 127.64.0.1 (400)\n"),
            "{}",
            rows[2]
        );
        let figures: Vec<_> = rows[1].split_whitespace().skip(4).take(5).collect();
        assert_eq!(figures, ["1,000", "600", "400", "600", "600"]);
    }

    #[test]
    fn many_source_addresses_are_counted_and_not_listed() {
        let sources: Vec<_> = (1..=9)
            .map(|last| (Ipv4Addr::new(127, 0, 0, last), 1))
            .collect();
        let text = row(&held(Way::Default, 1000, &sources));
        assert!(text.ends_with("127.0.0.3 (1), 6 more\n"), "{text}");
    }

    #[test]
    fn the_sentences_say_what_happened() {
        let rows = [
            held(Way::Kernel, 600, &[(FIRST, 600)]),
            held(Way::Default, 1000, &[(FIRST, 600), (SECOND, 400)]),
            held(Way::Unix, 1000, &[]),
        ];
        let text = sentences(&rows, host());
        for part in [
            "held 600 connections and refused 400",
            "503 Service Unavailable: source ports",
            "from 127.64.0.1 with 600 connections from 127.0.0.1",
            "and held all 1,000.",
            "1,000 of 1,000, with no source ports",
            "28,232 per pair; x 2 pairs = 56,464 connections.",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_host_on_which_it_goes_otherwise_reads_that() {
        let mut silent = held(Way::Unix, 1000, &[]);
        silent.echoed = 998;
        let rows = [
            held(Way::Kernel, 1000, &[(FIRST, 1000)]),
            held(Way::Default, 600, &[(FIRST, 600)]),
            silent,
        ];
        let text = sentences(&rows, None);
        for part in [
            "nothing was refused",
            "600 of 1,000 (the first refused: 503 ",
            "no second source address",
            "Over 2 of those held, nothing came back",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("this host"), "{text}");
    }

    #[test]
    fn a_smaller_act_says_why_it_is_smaller() {
        let size = Size::within(1024).unwrap();
        let text = intro(size, 1024);
        assert!(
            text.contains("384 clients") && text.contains("230 source ports"),
            "{text}"
        );
        assert!(text.contains("1,024 descriptors"), "{text}");
        let size = Size::within(4096).unwrap();
        let text = intro(size, 4096);
        assert!(!text.contains("descriptors"), "{text}");
    }
}
