//! The report of `fill`: for the terminal, as JSON, as a section of the document. Its chart is [`super::plot`].
//!
//! The JSON is one object: the conditions, as in [`super::json`], `step`, `to`, `probes`, and `curves`, an array of `{proxy,
//! setting, wall, points}` or `{proxy, error}`. `wall` is null or `{held, reason}`; a point is `{held, failed}` and in
//! microseconds `setup_p50`, `setup_p99`, `request_p50`, `request_p99`, `direct_p50`, `direct_p99`, `cpu_each`.

use std::fmt::Write as _;
use std::time::Duration;

use super::conditions;
use super::document;
use super::hold::grouped;
use super::json::{array, number, object, string};
use super::table::Table;
use super::text;
use crate::contestant::Run;
use crate::endpoint::outcomes::Outcomes;
use crate::fill::{Curve, FillReport, Point};

const NOTHING: &str = "–";
/// Quantiles, in thousandths.
const P50: usize = 500;
const P99: usize = 990;

/// A figure of a point, as a table of its own.
struct Figure {
    title: &'static str,
    of: fn(&Point) -> Option<Duration>,
}

const FIGURES: [Figure; 5] = [
    Figure {
        title: "Set-up of an upgraded connection, p99 in µs",
        of: |point| point.setups.quantile(P99),
    },
    Figure {
        title: "Set-up of an upgraded connection, p50 in µs",
        of: |point| point.setups.quantile(P50),
    },
    Figure {
        title: "Request that needs a new connection to the app, p99 in µs",
        of: |point| point.requests.quantile(P99),
    },
    Figure {
        title: "CPU time of the proxy for each set-up, in µs",
        of: |point| Some(point.cpu_each),
    },
    Figure {
        title: "Set-up straight to the app, without a proxy, while so many are held through it, p99 in µs",
        of: |point| point.direct.quantile(P99),
    },
];

pub(crate) fn text(report: &FillReport) -> String {
    let mut text = format!("{}\n", method(report));
    conditions::write_text(&mut text, &report.conditions);
    text.push('\n');
    text::write_table(&mut text, &summary(report));
    for figure in &FIGURES {
        let _ = writeln!(text, "\n{}", figure.title);
        text::write_table(&mut text, &table(report, figure));
    }
    text.push('\n');
    for line in findings(report) {
        let _ = writeln!(text, "- {line}");
    }
    text
}

pub(crate) fn markdown(report: &FillReport) -> String {
    let mut text = format!(
        "## What a connection costs beside those that are held\n\n{}\n\n",
        method(report)
    );
    if let Some(chart) = &report.chart {
        let _ = writeln!(
            text,
            "![Latency of a set-up by the connections held]({chart})\n"
        );
    }
    document::write_table(&mut text, &summary(report));
    let _ = writeln!(
        text,
        "\nThe multiple is p99 at the last step over p99 at the first, in the same run; in brackets the same of set-ups \
         without a proxy, which is this host's own. Where a pair of addresses gets full (with the default range after \
         28,232 connections and each time as many), each instance of lasthop is refused once or reads the kernel's table \
         of connections; here all instances share one core, and the probes of that step wait for it.\n"
    );
    for line in findings(report) {
        let _ = writeln!(text, "- {line}");
    }
    for figure in &FIGURES {
        let _ = writeln!(text, "\n{}:\n", figure.title);
        document::write_table(&mut text, &table(report, figure));
    }
    conditions::write_markdown(&mut text, &report.conditions);
    text
}

fn method(report: &FillReport) -> String {
    format!(
        "Upgraded connections are added in steps of {} to one app on 127.0.0.1. The last {probes} of each step are opened one \
         by one while nothing else happens: from the client's connect() to the 101. Then {probes} requests, one by one, each \
         over a new connection to the proxy and from there to the app, which closes after its answer; then {probes} set-ups \
         straight to the app. The kernel's share of a set-up, four ends and two handshakes, is in every figure. A p99 is the \
         {slowest}th slowest of a step: whatever else the host does for a moment on the proxy's core is in it.",
        grouped(report.step),
        probes = grouped(report.probes),
        slowest = (report.probes / 100).max(1)
    )
}

/// The figure that matters: what the last step cost, as a multiple of the first.
fn summary(report: &FillReport) -> Table {
    let last = report.to / report.step * report.step;
    let rows = report.curves.iter().map(|(contestant, outcome)| {
        let mut row = vec![contestant.name.to_owned()];
        let Ok(curve) = outcome else {
            row.extend((0..5).map(|_| NOTHING.to_owned()));
            return row;
        };
        let p99 = |held, of: fn(&Point) -> &Outcomes| of(curve.at(held)?).quantile(P99);
        let setups: fn(&Point) -> &Outcomes = |point| &point.setups;
        let multiple = |of: fn(&Point) -> &Outcomes| {
            let (first, last) = (p99(report.step, of)?, p99(last, of)?);
            Some(last.as_secs_f64() / first.as_secs_f64())
        };
        let multiples = multiple(setups).zip(multiple(|point| &point.direct));
        let worst = curve
            .points
            .iter()
            .filter_map(|one| one.setups.quantile(P99));
        row.extend([
            microseconds(p99(report.step, setups)),
            microseconds(p99(last, setups)),
            multiples.map_or(NOTHING.to_owned(), |(ours, hosts)| {
                format!("{ours:.2} ({hosts:.2})")
            }),
            microseconds(worst.max()),
            curve
                .wall
                .as_ref()
                .map_or_else(|| NOTHING.to_owned(), |wall| grouped(wall.held)),
        ]);
        row
    });
    Table {
        headings: vec![
            "proxy",
            "p99 µs after the first step",
            "p99 µs after the last step",
            "multiple",
            "worst p99 µs of a step",
            "ended at",
        ],
        rows: rows.collect(),
        words: 1,
    }
}

/// A row for each step, a column for each contestant.
fn table(report: &FillReport, figure: &Figure) -> Table {
    let mut headings = vec!["held"];
    headings.extend(report.curves.iter().map(|(contestant, _)| contestant.name));
    let steps = (1..=report.to / report.step).map(|step| step * report.step);
    let rows = steps.map(|held| {
        let mut row = vec![grouped(held)];
        row.extend(report.curves.iter().map(|(_, outcome)| {
            let point = outcome.as_ref().ok().and_then(|curve| curve.at(held));
            microseconds(point.and_then(figure.of))
        }));
        row
    });
    Table {
        headings,
        rows: rows.collect(),
        words: 0,
    }
}

fn microseconds(duration: Option<Duration>) -> String {
    duration.map_or(NOTHING.to_owned(), |one| one.as_micros().to_string())
}

/// How each was set up, and where it ended and why.
fn findings(report: &FillReport) -> Vec<String> {
    let finding = |(contestant, outcome): &Run<Curve>| match outcome {
        Err(reason) => {
            let words: Vec<&str> = reason.split_whitespace().collect();
            format!("{} came to nothing: {}", contestant.name, words.join(" "))
        }
        Ok(curve) => {
            let end = match &curve.wall {
                None => "went the whole way".to_owned(),
                Some(wall) => format!("ended at {} held: {}", grouped(wall.held), wall.reason),
            };
            let failed: usize = curve
                .points
                .iter()
                .map(|point| point.requests.failure_count())
                .sum();
            let failed = match failed {
                0 => String::new(),
                count => format!("; {} requests failed on the way", grouped(count)),
            };
            format!("{} ({}): {end}{failed}.", contestant.name, curve.setting)
        }
    };
    report.curves.iter().map(finding).collect()
}

pub(crate) fn json(report: &FillReport) -> String {
    let mut members = conditions::members("fill", &report.conditions);
    members.extend([
        ("step", report.step.to_string()),
        ("to", report.to.to_string()),
        ("probes", report.probes.to_string()),
        ("curves", array(report.curves.iter().map(curve))),
    ]);
    object(members) + "\n"
}

fn curve((contestant, outcome): &Run<Curve>) -> String {
    let name = ("proxy", string(contestant.name));
    let curve = match outcome {
        Err(reason) => return object([name, ("error", string(reason))]),
        Ok(curve) => curve,
    };
    let wall = curve.wall.as_ref().map(|wall| {
        object([
            ("held", wall.held.to_string()),
            ("reason", string(&wall.reason)),
        ])
    });
    object([
        name,
        ("setting", string(&curve.setting)),
        ("wall", wall.unwrap_or_else(|| "null".to_owned())),
        ("points", array(curve.points.iter().map(point))),
    ])
}

fn point(point: &Point) -> String {
    let of = |outcomes: &Outcomes, per_mille| {
        number(
            outcomes
                .quantile(per_mille)
                .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6),
        )
    };
    object([
        ("held", point.held.to_string()),
        ("failed", point.requests.failure_count().to_string()),
        ("setup_p50", of(&point.setups, P50)),
        ("setup_p99", of(&point.setups, P99)),
        ("request_p50", of(&point.requests, P50)),
        ("request_p99", of(&point.requests, P99)),
        ("direct_p50", of(&point.direct, P50)),
        ("direct_p99", of(&point.direct, P99)),
        ("cpu_each", number(point.cpu_each.as_secs_f64() * 1e6)),
    ])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::contestant::ALL;
    use crate::fill::Wall;
    use crate::output::sample;

    fn outcomes(microseconds: u64) -> Outcomes {
        let mut outcomes = Outcomes::default();
        outcomes.succeeded(Duration::from_micros(microseconds));
        outcomes
    }

    fn curve_of(points: &[(usize, u64)], wall: Option<Wall>) -> Curve {
        let point = |&(held, microseconds)| Point {
            held,
            setups: outcomes(microseconds),
            cpu_each: Duration::from_micros(60),
            requests: outcomes(2 * microseconds),
            direct: outcomes(100),
        };
        Curve {
            setting: "1 worker".into(),
            points: points.iter().map(point).collect(),
            wall,
        }
    }

    pub(in crate::output) fn report() -> FillReport {
        let wall = Wall {
            held: 1250,
            reason: "status 502 instead of 101".into(),
        };
        FillReport {
            conditions: sample::conditions("fill --to 3000"),
            step: 1000,
            to: 3000,
            probes: 500,
            curves: vec![
                (
                    ALL[0],
                    Ok(curve_of(&[(1000, 200), (2000, 210), (3000, 250)], None)),
                ),
                (ALL[1], Ok(curve_of(&[(1000, 300)], Some(wall)))),
                (ALL[3], Err("ended too early".into())),
            ],
            chart: Some("fill.svg".into()),
        }
    }

    #[test]
    fn the_last_step_is_a_multiple_of_the_first() {
        let table = summary(&report());
        assert_eq!(
            table.rows[0],
            ["lasthop", "200", "250", "1.25 (1.00)", "250", NOTHING]
        );
        assert_eq!(
            table.rows[1],
            ["nginx", "300", NOTHING, NOTHING, "300", "1,250"]
        );
        assert!(
            table
                .rows
                .iter()
                .all(|row| row.len() == table.headings.len())
        );
    }

    #[test]
    fn each_figure_has_a_row_for_each_step() {
        let document = markdown(&report());
        assert_eq!(document.matches("| 2,000 |").count(), FIGURES.len());
        assert!(document.contains("ended at 1,250 held: status 502 instead of 101."));
        assert!(document.contains("haproxy came to nothing: ended too early"));
        assert!(document.contains("](fill.svg)") && document.contains("-- fill --to 3000\n"));
        assert!(text(&report()).contains("LEFT OUT: haproxy"));
    }

    #[test]
    fn the_json_has_every_point_and_its_braces_match() {
        let text = json(&report());
        assert_eq!(text.matches("\"setup_p99\":").count(), 4);
        assert_eq!(text.matches("\"wall\":null").count(), 1);
        for (open, close) in [('{', '}'), ('[', ']')] {
            assert_eq!(text.matches(open).count(), text.matches(close).count());
        }
    }
}
