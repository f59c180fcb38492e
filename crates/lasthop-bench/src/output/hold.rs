//! The report of `hold`: for the terminal, as JSON, as a chart, as a section of the document.
//!
//! The JSON is one object: the conditions, as in [`super::json`], `connections`, and `runs`, an array of `{proxy, transport,
//! setting, held, failed, not_tried, echoed, setup_seconds, p50_milliseconds, p99_milliseconds, pss_before_bytes,
//! pss_held_bytes, kernel_before_bytes, kernel_held_bytes, failures, echo_failures, said}` or `{proxy, transport, error}`; the
//! last three are arrays of `{what, count}`. The kernel's memory is the whole host's, all ends of the connections together.

use std::fmt::Write as _;
use std::time::Duration;

use lasthop_ports::Grouped;

use super::conditions;
use super::document;
use super::json::{array, number, object, string};
use super::svg::{STYLE, escaped};
use super::table::Table;
use super::text::write_table;
use crate::contestant::Run;
use crate::hold::{HoldReport, Holding, IN_FLIGHT};
use crate::rival::Rival;

const NOTHING: &str = "–";
const LEGEND: &str = "Failed is what got another answer than 101, or none in 10 s; not tried is the rest after 15 s without one that \
    succeeded, since a proxy without ports takes milliseconds for each failure. Set-up is from the client's connect() to the \
    101, 64 under way at once, so mostly waiting in line. Proxy MB is the `Pss` of all its processes at most; kernel is \
    the growth of slabs, page tables, stacks and socket buffers of the whole host, for all four ends of a connection: \
    client, both of the proxy's, app; other programs on the host are in it.";
/// What the figures do not say by themselves.
const CAVEATS: &str = "The processes of a proxy share one core, app and clients the other, so the times are those of two busy \
    cores. nginx-sources and haproxy-sources are what can be had by hand today: their sources are 127.1.0.x, the app sees \
    them, and somebody has to count how many are needed. A Unix socket has no ports, so nobody stops there. HAProxy makes \
    no second attempt here (`retries 0`): it would find no more ports a second later.";

pub(crate) fn text(report: &HoldReport) -> String {
    let mut text = format!("{}\n", method(report));
    conditions::write_text(&mut text, &report.conditions);
    let _ = writeln!(text, "\n{LEGEND}");
    write_table(&mut text, &table(report));
    for line in findings(report) {
        let _ = writeln!(text, "- {line}");
    }
    text
}

pub(crate) fn markdown(report: &HoldReport) -> String {
    let mut text = format!("## Connections held at once\n\n{}\n\n", method(report));
    if let Some(chart) = &report.chart {
        let _ = writeln!(text, "![Connections that each proxy held]({chart})\n");
    }
    document::write_table(&mut text, &table(report));
    let _ = writeln!(
        text,
        "\n{LEGEND}\n\n{CAVEATS}\n\nHow each was set up, and how it ended:\n"
    );
    for line in findings(report) {
        let _ = writeln!(text, "- {line}");
    }
    conditions::write_markdown(&mut text, &report.conditions);
    text
}

fn method(report: &HoldReport) -> String {
    format!(
        "{} upgraded connections at once through one listen address of a proxy to one address of one app, which for TCP is \
         bound to 127.0.0.1 alone; {IN_FLIGHT} set-ups under way at a time. Then something else is sent over each, and has to \
         come back. A proxy is as many processes as this host's limit on open files makes necessary; the app and the clients \
         likewise.",
        grouped(report.connections)
    )
}

fn table(report: &HoldReport) -> Table {
    let rows = report
        .rows
        .iter()
        .map(|(contestant, outcome)| {
            let mut row = vec![
                contestant.over.name().to_owned(),
                contestant.name.to_owned(),
            ];
            match outcome {
                Ok(holding) => row.extend(cells(holding)),
                Err(_) => row.extend((0..10).map(|_| NOTHING.to_owned())),
            }
            row
        })
        .collect();
    Table {
        headings: vec![
            "app over",
            "proxy",
            "held",
            "failed",
            "not tried",
            "echoed",
            "in s",
            "set-up p50 ms",
            "p99 ms",
            "proxy MB",
            "bytes/connection",
            "kernel bytes/connection",
        ],
        rows,
        words: 2,
    }
}

fn cells(holding: &Holding) -> Vec<String> {
    let memory = holding.memory;
    let each = |held: u64, before: u64| match holding.held() {
        0 => NOTHING.to_owned(),
        count => (held.saturating_sub(before) / count as u64).to_string(),
    };
    let latency = |per_mille| {
        let latency = holding.opened.quantile(per_mille);
        latency.map_or(NOTHING.to_owned(), |one| {
            format!("{:.1}", milliseconds(one))
        })
    };
    vec![
        grouped(holding.held()),
        grouped(holding.opened.failure_count()),
        grouped(holding.not_tried()),
        grouped(holding.echoed.successes()),
        format!("{:.1}", holding.setup.as_secs_f64()),
        latency(500),
        latency(990),
        (memory.proxy_held / 1_000_000).to_string(),
        each(memory.proxy_held, memory.proxy_before),
        each(memory.kernel_held, memory.kernel_before),
    ]
}

/// How each was set up, where it stopped and why.
fn findings(report: &HoldReport) -> Vec<String> {
    let finding = |(contestant, outcome): &Run<Holding>| {
        let name = format!("{} over {}", contestant.name, contestant.over.name());
        let holding = match outcome {
            Ok(holding) => holding,
            Err(reason) => {
                let words: Vec<&str> = reason.split_whitespace().collect();
                return format!("{name} came to nothing: {}", words.join(" "));
            }
        };
        let mut text = format!("{name} ({}): ", holding.setting);
        let echoed = holding.echoed.successes();
        if holding.is_whole() {
            text.push_str("held all, and every one echoed.");
            return text;
        }
        let _ = write!(
            text,
            "stopped at {} held, of which {} echoed",
            grouped(holding.held()),
            grouped(echoed)
        );
        for (what, of) in [
            ("set-ups failed", holding.opened.reasons()),
            ("echoes failed", holding.echoed.reasons()),
            ("it logged", holding.said.clone()),
        ] {
            if !of.is_empty() {
                let _ = write!(text, "; {what}: {}", counted(&of));
            }
        }
        text.push('.');
        text
    };
    report.rows.iter().map(finding).collect()
}

/// `28,232 × status 502, 3 × no answer in time`.
pub(super) fn counted(reasons: &[(String, u64)]) -> String {
    let count = |count: u64| grouped(usize::try_from(count).unwrap_or(usize::MAX));
    let reasons = reasons
        .iter()
        .map(|(reason, of)| format!("{} × {reason}", count(*of)));
    reasons.collect::<Vec<_>>().join(", ")
}

pub(crate) fn json(report: &HoldReport) -> String {
    let mut members = conditions::members("hold", &report.conditions);
    members.extend([
        ("connections", report.connections.to_string()),
        ("runs", array(report.rows.iter().map(run))),
    ]);
    object(members) + "\n"
}

fn run((contestant, outcome): &Run<Holding>) -> String {
    let mut members = vec![
        ("proxy", string(contestant.name)),
        ("transport", string(contestant.over.name())),
    ];
    match outcome {
        Err(reason) => members.push(("error", string(reason))),
        Ok(holding) => {
            let memory = holding.memory;
            let latency = |per_mille| {
                let latency = holding.opened.quantile(per_mille);
                number(latency.map_or(f64::NAN, milliseconds))
            };
            members.extend([
                ("setting", string(&holding.setting)),
                ("held", holding.held().to_string()),
                ("failed", holding.opened.failure_count().to_string()),
                ("not_tried", holding.not_tried().to_string()),
                ("echoed", holding.echoed.successes().to_string()),
                ("setup_seconds", number(holding.setup.as_secs_f64())),
                ("p50_milliseconds", latency(500)),
                ("p99_milliseconds", latency(990)),
                ("pss_before_bytes", memory.proxy_before.to_string()),
                ("pss_held_bytes", memory.proxy_held.to_string()),
                ("kernel_before_bytes", memory.kernel_before.to_string()),
                ("kernel_held_bytes", memory.kernel_held.to_string()),
                ("failures", counts(&holding.opened.reasons())),
                ("echo_failures", counts(&holding.echoed.reasons())),
                ("said", counts(&holding.said)),
            ]);
        }
    }
    object(members)
}

pub(super) fn counts(reasons: &[(String, u64)]) -> String {
    array(
        reasons
            .iter()
            .map(|(what, count)| object([("what", string(what)), ("count", count.to_string())])),
    )
}

/// A bar for each contestant, as long as what it held.
pub(crate) fn svg(report: &HoldReport) -> String {
    const WIDTH: f64 = 760.0;
    const LEFT: f64 = 220.0;
    const FULL: f64 = 440.0;
    const TOP: usize = 54;
    const PITCH: usize = 24;
    let mut bars = String::new();
    for (index, (contestant, outcome)) in report.rows.iter().enumerate() {
        let top = TOP + index * PITCH;
        let baseline = top + 13;
        let name = format!("{} over {}", contestant.name, contestant.over.name());
        let _ = writeln!(bars, "<text x=\"10\" y=\"{baseline}\">{name}</text>");
        let (held, words) = match outcome {
            Ok(holding) => (holding.held(), grouped(holding.held())),
            Err(_) => (0, "failed".to_owned()),
        };
        #[allow(clippy::cast_precision_loss, reason = "counts of connections")]
        let length = FULL * held as f64 / report.connections as f64;
        let class = if contestant.rival == Rival::Lasthop {
            "ours"
        } else {
            "bar"
        };
        let _ = writeln!(
            bars,
            "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{top}\" width=\"{length:.1}\" height=\"16\"/>\n\
             <text x=\"{:.1}\" y=\"{baseline}\">{words}</text>",
            LEFT + length + 6.0
        );
    }
    let height = TOP + report.rows.len() * PITCH + 12;
    let title = format!(
        "Upgraded connections held at once, of {}",
        grouped(report.connections)
    );
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"{title}\">\n<style>{STYLE}</style>\n\
         <text class=\"title\" x=\"10\" y=\"24\">{title}</text>\n\
         <text class=\"quiet\" x=\"10\" y=\"42\">{}</text>\n{bars}</svg>\n",
        escaped("to one address of one app, through one listen address")
    )
}

/// `100,000`.
pub(crate) fn grouped(number: usize) -> String {
    Grouped(number as u64).to_string()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contestant::ALL;
    use crate::endpoint::outcomes::Outcomes;
    use crate::hold::Memory;
    use crate::output::sample;

    fn holding(held: usize, failed: usize, echoed: usize) -> Holding {
        let outcomes = |good: usize, bad: usize| {
            let mut outcomes = Outcomes::default();
            (0..good).for_each(|_| outcomes.succeeded(Duration::from_millis(2)));
            (0..bad).for_each(|_| outcomes.failed("status 502 instead of 101"));
            outcomes
        };
        Holding {
            setting: "1 worker".into(),
            wanted: 1000,
            opened: outcomes(held, failed),
            echoed: outcomes(echoed, 0),
            setup: Duration::from_secs(2),
            memory: Memory {
                proxy_before: 1_000_000,
                proxy_held: 3_000_000,
                kernel_before: 0,
                kernel_held: 15_000_000,
            },
            said: vec![("errno 99: Cannot assign requested address".into(), 1234)],
        }
    }

    fn report() -> HoldReport {
        HoldReport {
            conditions: sample::conditions("hold 1000"),
            connections: 1000,
            rows: vec![
                (ALL[0], Ok(holding(1000, 0, 1000))),
                (ALL[1], Ok(holding(250, 700, 250))),
                (ALL[3], Err("ended too early\n    why".into())),
            ],
            chart: Some("hold.svg".into()),
        }
    }

    #[test]
    fn the_table_says_what_was_held_and_what_it_took() {
        let table = table(&report());
        assert!(
            table
                .rows
                .iter()
                .all(|row| row.len() == table.headings.len())
        );
        assert_eq!(
            table.rows[0][2..],
            [
                "1,000", "0", "0", "1,000", "2.0", "2.0", "2.0", "3", "2000", "15000"
            ]
        );
        assert_eq!(table.rows[1][2..6], ["250", "700", "50", "250"]);
        assert_eq!(table.rows[2][2], NOTHING);
    }

    #[test]
    fn where_a_proxy_stopped_is_said_with_its_own_words() {
        let document = markdown(&report());
        assert!(
            document.contains("- lasthop over TCP (1 worker): held all, and every one echoed.")
        );
        assert!(
            document.contains(
                "stopped at 250 held, of which 250 echoed; set-ups failed: 700 × status 502 instead of 101; it logged: \
                 1,234 × errno 99: Cannot assign requested address."
            ),
            "{document}"
        );
        assert!(document.contains("came to nothing: ended too early why"));
        assert!(document.contains("](hold.svg)") && document.contains("-- hold 1000\n"));
        assert!(text(&report()).contains("LEFT OUT: haproxy"));
    }

    #[test]
    fn the_json_has_every_run_and_its_braces_match() {
        let text = json(&report());
        assert_eq!(text.matches("\"held\":").count(), 2);
        assert!(text.contains("\"error\":\"ended too early"), "{text}");
        for (open, close) in [('{', '}'), ('[', ']')] {
            assert_eq!(text.matches(open).count(), text.matches(close).count());
        }
    }

    #[test]
    fn the_longest_bar_is_that_of_all_connections() {
        let chart = svg(&report());
        assert!(chart.contains("class=\"ours\" x=\"220\" y=\"54\" width=\"440.0\""));
        assert!(chart.contains("width=\"110.0\""), "{chart}");
        assert_eq!(grouped(28_232), "28,232");
        assert_eq!(grouped(999), "999");
    }
}
