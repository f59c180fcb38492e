//! What matters of a comparison on one screen: the promises with their bounds, and lasthop's figures as multiples of its rivals'.

use super::table::{Table, text};
use crate::criteria::{self, Verdict};
use crate::experiment::connect::Connecting;
use crate::experiment::memory::Memory;
use crate::experiment::throughput::Throughput;
use crate::experiment::{BETTER, Comparison, HAPROXY, NGINX, Sample, Yardsticks};
use crate::report::{Readings, Report, Section};
use crate::rival::Rival;
use crate::spread::Spread;

/// Every promise about what was measured; `None` where there is none.
pub(crate) fn promises(report: &Report) -> Option<Table> {
    let rows: Vec<Vec<String>> = criteria::judge(report).iter().map(promise).collect();
    (!rows.is_empty()).then_some(Table {
        headings: vec![
            "scenario", "figure", "app over", "met", "at most", "measured",
        ],
        rows,
        words: 4,
    })
}

fn promise(verdict: &Verdict) -> Vec<String> {
    let figure = verdict.figure.in_words();
    let (figure, decimals) = match verdict.rivals {
        Some(rivals) => (format!("{figure}, of {}", whose(rivals)), 2),
        None => (figure.to_owned(), 0),
    };
    vec![
        verdict.scenario.to_owned(),
        figure,
        verdict.transport.to_owned(),
        match verdict.is_met() {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not measured",
        }
        .to_owned(),
        format!("{:.decimals$}", verdict.bound),
        text(verdict.measured, decimals),
    ]
}

/// In words, for whom a figure is a multiple of.
fn whose(rivals: Yardsticks) -> &'static str {
    if rivals == NGINX {
        "nginx'"
    } else if rivals == HAPROXY {
        "HAProxy's"
    } else {
        "the better's"
    }
}

/// lasthop's figures as multiples of nginx' and of the best that nginx and HAProxy have to offer; `None` without them.
pub(crate) fn multiples(report: &Report) -> Option<Table> {
    let rows: Vec<Vec<String>> = report.sections.iter().flat_map(rows).collect();
    (!rows.is_empty()).then_some(Table {
        headings: vec![
            "scenario",
            "figure",
            "over TCP: of nginx'",
            "of the better's",
            "over a Unix socket: of nginx'",
            "of the better's",
        ],
        rows,
        words: 2,
    })
}

fn rows(section: &Section) -> Vec<Vec<String>> {
    let row = |figure: &str, ratios: Vec<Option<Spread>>| {
        let mut row = vec![section.scenario.name.to_owned(), figure.to_owned()];
        // Not every scenario is measured over both.
        let missing = 4_usize.saturating_sub(ratios.len());
        row.extend(ratios.iter().map(|ratio| text(*ratio, 2)));
        row.extend((0..missing).map(|_| text(None, 2)));
        ratios.iter().any(Option::is_some).then_some(row)
    };
    let rows = match &section.readings {
        Readings::Throughput(readings) => vec![
            row(
                "CPU per request",
                ours(readings, Throughput::cpu_microseconds),
            ),
            row(
                "user time per request",
                ours(readings, |one| one.user_microseconds),
            ),
        ],
        Readings::Workers(readings) => vec![row(
            "CPU per request with two",
            ours(readings, |pair| pair.two.cpu_microseconds()),
        )],
        Readings::Latency(readings) => {
            vec![row(
                "p99 at the same rate",
                ours(readings, |one| one.p99_milliseconds),
            )]
        }
        Readings::Connect(readings) => {
            let many = |one: &Connecting| one.many.cpu_microseconds;
            vec![row("CPU per set-up beside many", ours(readings, many))]
        }
        Readings::Memory(readings) => {
            vec![row(
                "memory per connection",
                ours(readings, Memory::bytes_each),
            )]
        }
    };
    rows.into_iter().flatten().collect()
}

/// For each transport two: of nginx', of the better's.
fn ours<S: Sample>(
    readings: &[Comparison<S>],
    figure: impl Fn(&S) -> f64 + Copy,
) -> Vec<Option<Spread>> {
    let of = |comparison: &Comparison<S>, rivals| {
        let ours = comparison
            .runs
            .iter()
            .find(|runs| runs.proxy == Rival::Lasthop)?;
        comparison.ratio(ours, rivals, figure)
    };
    let both = |comparison| [of(comparison, NGINX), of(comparison, BETTER)];
    readings.iter().flat_map(both).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    #[test]
    fn the_multiples_are_ours() {
        let table = multiples(&sample::report()).unwrap();
        assert_eq!(
            table.rows[0],
            [
                "keepalive-64",
                "CPU per request",
                "0.80 (0.80–0.80)",
                "0.80 (0.80–0.80)",
                "–",
                "–"
            ]
        );
        assert_eq!(
            table.rows[1][1..3],
            ["user time per request", "0.50 (0.50–0.50)"]
        );
    }

    #[test]
    fn a_promise_stands_with_its_bound_and_whether_it_is_met() {
        let table = promises(&sample::report()).unwrap();
        assert_eq!(
            table.rows[0],
            [
                "keepalive-64",
                "CPU time per request, of the better's",
                "TCP",
                "yes",
                "0.90",
                "0.80 (0.80–0.80)"
            ]
        );
        let bodies = table.rows.iter().find(|row| row[0] == "body-4MiB").unwrap();
        assert_eq!(bodies[3..], ["not measured", "1.00", "–"]);
        let memory = table
            .rows
            .iter()
            .find(|row| row[0] == "memory-idle")
            .unwrap();
        assert_eq!(memory[3..], ["yes", "1600", "1000 (1000–1000)"]);
    }
}
