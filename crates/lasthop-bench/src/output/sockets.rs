//! The report of `sockets`: for the terminal, and as a section of the document.

use std::fmt::Write as _;
use std::time::Duration;

use super::document;
use super::hold::grouped;
use super::table::Table;
use super::text::write_table;
use crate::sockets::{Cost, SAMPLER_PROMISE, SocketsReport, VISIT_PROMISE, Visit};
use crate::spread::Spread;

const LEGEND: &str = "Each command is a new process each time, from its start to its end; CPU is user and system time. \
    The doctor looks on for a second before it answers, to see what rises. What a finding needs, the processes that have \
    the connections, is looked for where pairs are tight. The sampler is that of an idle instance, over whole periods: it \
    rests for 150 times as long as a reading has taken.";

pub(crate) fn text(report: &SocketsReport) -> String {
    let mut text = format!("{}\n\n{LEGEND}\n", method(report));
    write_table(&mut text, &table(report));
    text
}

pub(crate) fn markdown(report: &SocketsReport) -> String {
    let mut text = format!(
        "## Looking at a host with many sockets\n\n{}\n\n",
        method(report)
    );
    document::write_table(&mut text, &table(report));
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "\n{LEGEND}\n\n- Host: {}.\n- lasthop: `{}`\n\nTo repeat:\n\n```sh\ncargo build --release\n\
         cargo run --release -p lasthop-bench -- {}\n```",
        report.machine.in_words(),
        report.version,
        report.arguments
    );
    text
}

fn method(report: &SocketsReport) -> String {
    format!(
        "{} TCP sockets in a network namespace of their own, held by {} processes, each with one end of a connection for \
         the other: as many pairs of addresses, each with {} source ports at first, of which 92 % are in use, then with the \
         28,232 of the default.",
        grouped(usize::try_from(report.sockets).unwrap_or(usize::MAX)),
        report.processes,
        grouped(report.narrow)
    )
}

fn table(report: &SocketsReport) -> Table {
    let mut rows: Vec<Vec<String>> = report.visits.iter().map(row).collect();
    let sampler = report.sampler;
    rows.push(vec![
        format!(
            "sampler, {:.0} s (readings: {})",
            sampler.window.as_secs_f64(),
            sampler.readings
        ),
        NOTHING.to_owned(),
        format!("{:.3}", sampler.cpu.as_secs_f64()),
        format!("{:.2} % of a core", 100.0 * sampler.part()),
        format!("< {:.0} %", 100.0 * SAMPLER_PROMISE),
        kept(sampler.is_kept()),
    ]);
    Table {
        headings: vec!["what", "wall s", "CPU s", "of a core", "promised", "kept"],
        rows,
        words: 1,
    }
}

const NOTHING: &str = "–";

fn row(visit: &Visit) -> Vec<String> {
    let spread = |figure: fn(&Cost) -> Duration| {
        let values = visit.costs.iter().map(|cost| figure(cost).as_secs_f64());
        Spread::of(values).map_or(NOTHING.to_owned(), |spread| spread.text(2))
    };
    vec![
        visit.what.to_owned(),
        spread(|cost| cost.wall),
        spread(|cost| cost.cpu),
        NOTHING.to_owned(),
        format!("< {:.0} s", VISIT_PROMISE.as_secs_f64()),
        kept(visit.is_kept()),
    ]
}

fn kept(kept: bool) -> String {
    if kept { "yes" } else { "NO" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;
    use crate::sockets::Sampler;

    fn report(wall: Duration) -> SocketsReport {
        let cost = Cost {
            wall,
            cpu: Duration::from_millis(500),
        };
        SocketsReport {
            machine: sample::report().machine,
            sockets: 200_013,
            processes: 11,
            narrow: 9_882,
            visits: vec![Visit {
                what: "doctor --json",
                costs: vec![cost; 3],
            }],
            sampler: Sampler {
                window: Duration::from_secs(60),
                cpu: Duration::from_millis(300),
                readings: 2,
            },
            arguments: "sockets --count 200000".to_owned(),
            version: "lasthop 1".to_owned(),
        }
    }

    #[test]
    fn a_promise_that_is_not_kept_is_said() {
        let kept = text(&report(Duration::from_millis(1700)));
        assert!(kept.contains("1.70 (1.70–1.70)"), "{kept}");
        assert!(kept.contains("0.50 % of a core"), "{kept}");
        assert!(!kept.contains("NO"), "{kept}");
        let broken = text(&report(Duration::from_millis(2100)));
        assert!(broken.contains("NO"), "{broken}");
    }

    #[test]
    fn the_section_says_how_to_repeat_it() {
        let section = markdown(&report(Duration::from_secs(1)));
        assert!(section.contains("200,013 TCP sockets"), "{section}");
        assert!(
            section.contains("lasthop-bench -- sockets --count 200000"),
            "{section}"
        );
    }
}
