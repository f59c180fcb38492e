//! The report of `million`: for the terminal, as JSON, as a section of the document.
//!
//! The JSON is one object: the conditions, as in [`super::json`]; `wanted`, `connections` (what fits), `short` (why not
//! more, or null), `setting`, `whole`, `stopped` (null or why); `processes`, as `{proxy, app, load}`; `phases`, an array of
//! `{what, succeeded, failed, seconds, p50_milliseconds, p99_milliseconds, proxy_microseconds, ends_microseconds, failures}`, the
//! last but one each, and `failures` as `{what, count}`; `silence`, as `{seconds, proxy_percent}`; `memory`, an array of `{part,
//! before_bytes, held_bytes, after_bytes}`; `left_bytes`; `descriptors`, as `{open, limit}` of the fullest instance, or null;
//! and `said`, as the failures.

use std::fmt::Write as _;
use std::time::Duration;

use super::conditions;
use super::document;
use super::hold::{counted, counts, grouped};
use super::json::{array, number, object, string};
use super::table::Table;
use super::text::write_table;
use crate::million::{Memory, MillionReport, Phase};

const NOTHING: &str = "–";
const LEGEND: &str = "A set-up is from the client's connect() to the 101, 64 under way at once; an echo is from the first of 64 \
    questions to the answer, over 64 connections at once. µs are time on a core for each connection.";
const PARTS: &str = "Programs are the `Pss` of all their processes; the kernel is the whole host's, for all four ends of a \
    connection; root's run has it give up what is not in use before each reading (`drop_caches`). Bytes for each connection \
    are what was more when all were held than before the first, processes that were started meanwhile included.";

pub(crate) fn text(report: &MillionReport) -> String {
    let mut text = format!("{}\n", method(report));
    conditions::write_text(&mut text, &report.conditions);
    let _ = writeln!(text, "\n{LEGEND}"); // cannot fail, here and below
    write_table(&mut text, &phases(report));
    let _ = writeln!(text, "\n{PARTS}");
    write_table(&mut text, &memory(report));
    text.push('\n');
    for line in findings(report) {
        let _ = writeln!(text, "- {line}");
    }
    text
}

pub(crate) fn markdown(report: &MillionReport) -> String {
    let mut text = format!(
        "## {} connections to one app\n\n{}\n\n",
        grouped(report.fit.connections),
        method(report)
    );
    document::write_table(&mut text, &phases(report));
    let _ = writeln!(text, "\n{LEGEND}\n");
    document::write_table(&mut text, &memory(report));
    let _ = writeln!(text, "\n{PARTS}\n");
    for line in findings(report) {
        let _ = writeln!(text, "- {line}");
    }
    conditions::write_markdown(&mut text, &report.conditions);
    text
}

fn method(report: &MillionReport) -> String {
    let processes = report.holding.processes;
    format!(
        "{connections} upgraded connections at once through one listen address of lasthop to one app: TCP from the client, a \
         Unix socket to the app, because that end has no ports and takes less of the kernel. What one process has too few \
         descriptors for is done by several: {proxy} of lasthop, {app} of the app that accept from one listening socket, \
         {load} of clients with a source address each. When all are open something else is sent over \
         each and has to come back, and after {silence:.0} s of silence something else again.",
        connections = grouped(report.fit.connections),
        proxy = processes.proxy,
        app = processes.app,
        load = processes.load,
        silence = report.holding.silence.took.as_secs_f64(),
    )
}

/// What was done with all of them, in the order in which it was.
fn named(report: &MillionReport) -> [(String, &Phase); 3] {
    let holding = &report.holding;
    let [first, second] = &holding.echoed;
    let silence = holding.silence.took.as_secs_f64();
    [
        ("opened".to_owned(), &holding.opened),
        ("echoed".to_owned(), first),
        (format!("echoed after {silence:.0} s of silence"), second),
    ]
}

fn phases(report: &MillionReport) -> Table {
    let rows = named(report).map(|(what, phase)| {
        let seconds = phase.took.as_secs_f64();
        let each = |time: Duration| match each(time, phase) {
            Some(microseconds) => format!("{microseconds:.1}"),
            None => NOTHING.to_owned(),
        };
        let latency = |per_mille| {
            let latency = phase.outcomes.quantile(per_mille);
            latency.map_or(NOTHING.to_owned(), |one| {
                format!("{:.2}", milliseconds(one))
            })
        };
        vec![
            what,
            grouped(phase.outcomes.successes()),
            grouped(phase.outcomes.failure_count()),
            format!("{seconds:.1}"),
            format!("{:.0}", phase.outcomes.successes() as f64 / seconds),
            latency(500),
            latency(990),
            each(phase.proxy),
            each(phase.ends),
        ]
    });
    Table {
        headings: vec![
            "all were",
            "connections",
            "failed",
            "in s",
            "per second",
            "p50 ms",
            "p99 ms",
            "lasthop µs",
            "app and clients µs",
        ],
        rows: rows.into(),
        words: 1,
    }
}

/// Microseconds of `time` for each connection that succeeded.
fn each(time: Duration, phase: &Phase) -> Option<f64> {
    let count = phase.outcomes.successes();
    (count > 0).then(|| time.as_secs_f64() * 1e6 / count as f64)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// One row of the table of memory: before, held, after.
type Part = (String, [u64; 3]);

fn parts(report: &MillionReport) -> Vec<Part> {
    let holding = &report.holding;
    let readings = [&holding.before, &holding.held, &holding.after];
    let of = |figure: fn(&Memory) -> u64| readings.map(figure);
    let kernel = holding.before.kernel.parts.iter().enumerate();
    let kernel = kernel.map(|(index, (part, _))| {
        let bytes = readings.map(|one| one.kernel.parts.get(index).map_or(0, |(_, bytes)| *bytes));
        (format!("kernel: {part}"), bytes)
    });
    let processes = holding.processes;
    kernel
        .chain([
            ("kernel, all of it".to_owned(), of(|one| one.kernel.sum())),
            (
                format!("lasthop, instances: {}", processes.proxy),
                of(|one| one.proxy),
            ),
            (
                format!("app, processes: {}", processes.app),
                of(|one| one.app),
            ),
            (
                format!("harness and clients, processes: {}", processes.load),
                of(|one| one.load),
            ),
            ("together".to_owned(), of(Memory::sum)),
        ])
        .collect()
}

fn memory(report: &MillionReport) -> Table {
    let held = report.holding.held() as u64;
    let megabytes = |bytes: u64| grouped(usize::try_from(bytes / 1_000_000).unwrap_or(usize::MAX));
    let rows = parts(report).into_iter().map(|(part, bytes)| {
        let mut row = vec![part];
        row.extend(bytes.map(megabytes));
        let [before, full, _] = bytes;
        row.push(match full.saturating_sub(before).checked_div(held) {
            Some(each) => grouped(usize::try_from(each).unwrap_or(usize::MAX)),
            None => NOTHING.to_owned(),
        });
        row
    });
    Table {
        headings: vec![
            "memory of",
            "before MB",
            "held MB",
            "after the echoes MB",
            "bytes/connection",
        ],
        rows: rows.collect(),
        words: 1,
    }
}

/// How it ended, and what else is to be known.
fn findings(report: &MillionReport) -> Vec<String> {
    let holding = &report.holding;
    let mut findings = Vec::new();
    if let Some(short) = &report.fit.short {
        findings.push(format!(
            "This host has no room for {}, so {} were asked for. Short are {short}.",
            grouped(report.wanted),
            grouped(report.fit.connections)
        ));
    }
    if holding.is_whole(report.fit.connections) {
        findings.push(format!(
            "All {} were held, and every one echoed, both times.",
            grouped(report.fit.connections)
        ));
    } else {
        findings.push(failure(report));
    }
    findings.push(format!("Set up as {}.", holding.setting));
    if holding.silence.took.as_secs() > 0 {
        findings.push(format!(
            "While nothing was sent, all of lasthop took {:.2} % of a core.",
            silence_percent(report)
        ));
    }
    if let Some(fullest) = holding.fullest {
        findings.push(format!(
            "The kernel spreads clients over the instances by a hash: the fullest had {} descriptors of {} in use.",
            count(fullest.open),
            count(fullest.limit)
        ));
    }
    findings.push(format!(
        "Memory that the host had left: {:.1} GB before, {:.1} GB with all held.",
        holding.before.left as f64 / 1e9,
        holding.held.left as f64 / 1e9
    ));
    findings
}

/// What was not as promised.
fn failure(report: &MillionReport) -> String {
    let holding = &report.holding;
    let mut text = format!(
        "NOT ALL: {} of {} were held",
        grouped(holding.held()),
        grouped(report.fit.connections)
    );
    if let Some(stopped) = &holding.stopped {
        let _ = write!(text, ", then it was stopped: {stopped}");
    }
    for (what, phase) in named(report) {
        let reasons = phase.outcomes.reasons();
        if !reasons.is_empty() {
            let _ = write!(text, "; not {what}: {}", counted(&reasons));
        }
    }
    if !holding.said.is_empty() {
        let _ = write!(text, "; lasthop logged: {}", counted(&holding.said));
    }
    text.push('.');
    text
}

fn silence_percent(report: &MillionReport) -> f64 {
    let silence = &report.holding.silence;
    100.0 * silence.proxy.as_secs_f64() / silence.took.as_secs_f64()
}

fn count(count: u64) -> String {
    grouped(usize::try_from(count).unwrap_or(usize::MAX))
}

pub(crate) fn json(report: &MillionReport) -> String {
    let holding = &report.holding;
    let null_or = |text: Option<&String>| text.map_or("null".to_owned(), |text| string(text));
    let processes = holding.processes;
    let descriptors = holding.fullest.map(|fullest| {
        object([
            ("open", fullest.open.to_string()),
            ("limit", fullest.limit.to_string()),
        ])
    });
    let parts = parts(report)
        .into_iter()
        .map(|(part, [before, held, after])| {
            object([
                ("part", string(&part)),
                ("before_bytes", before.to_string()),
                ("held_bytes", held.to_string()),
                ("after_bytes", after.to_string()),
            ])
        });
    let mut members = conditions::members("million", &report.conditions);
    members.extend([
        ("wanted", report.wanted.to_string()),
        ("connections", report.fit.connections.to_string()),
        ("short", null_or(report.fit.short.as_ref())),
        ("setting", string(&holding.setting)),
        (
            "whole",
            holding.is_whole(report.fit.connections).to_string(),
        ),
        ("stopped", null_or(holding.stopped.as_ref())),
        (
            "processes",
            object([
                ("proxy", processes.proxy.to_string()),
                ("app", processes.app.to_string()),
                ("load", processes.load.to_string()),
            ]),
        ),
        (
            "phases",
            array(named(report).iter().map(|(what, one)| phase(what, one))),
        ),
        (
            "silence",
            object([
                ("seconds", number(holding.silence.took.as_secs_f64())),
                ("proxy_percent", number(silence_percent(report))),
            ]),
        ),
        ("memory", array(parts)),
        ("left_bytes", holding.held.left.to_string()),
        (
            "descriptors",
            descriptors.unwrap_or_else(|| "null".to_owned()),
        ),
        ("said", counts(&holding.said)),
    ]);
    object(members) + "\n"
}

fn phase(what: &str, phase: &Phase) -> String {
    let latency = |per_mille| {
        let latency = phase.outcomes.quantile(per_mille);
        number(latency.map_or(f64::NAN, milliseconds))
    };
    let each = |time| number(each(time, phase).unwrap_or(f64::NAN));
    object([
        ("what", string(what)),
        ("succeeded", phase.outcomes.successes().to_string()),
        ("failed", phase.outcomes.failure_count().to_string()),
        ("seconds", number(phase.took.as_secs_f64())),
        ("p50_milliseconds", latency(500)),
        ("p99_milliseconds", latency(990)),
        ("proxy_microseconds", each(phase.proxy)),
        ("ends_microseconds", each(phase.ends)),
        ("failures", counts(&phase.outcomes.reasons())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::kernel::KernelMemory;
    use crate::endpoint::outcomes::Outcomes;
    use crate::host::Fit;
    use crate::million::{Holding, Processes};
    use crate::output::sample;
    use lasthop_kernel::process::Descriptors;

    fn phase_of(good: usize, bad: usize) -> Phase {
        let mut outcomes = Outcomes::default();
        (0..good).for_each(|_| outcomes.succeeded(Duration::from_millis(2)));
        (0..bad).for_each(|_| outcomes.failed("no answer in time"));
        Phase {
            outcomes,
            took: Duration::from_secs(2),
            proxy: Duration::from_millis(1),
            ends: Duration::from_millis(2),
        }
    }

    fn memory_of(each: u64) -> Memory {
        Memory {
            kernel: KernelMemory {
                parts: vec![("TCP sockets", 10 * each), ("other slabs", 5 * each)],
                ..KernelMemory::default()
            },
            proxy: 1_000_000 + each,
            app: each,
            load: each,
            left: 20_000_000_000,
        }
    }

    fn report(echoed: usize, short: Option<&str>) -> MillionReport {
        MillionReport {
            conditions: sample::conditions("million"),
            wanted: 1_000_000,
            fit: Fit {
                connections: 1000,
                short: short.map(str::to_owned),
            },
            holding: Holding {
                setting: "2 instances".into(),
                processes: Processes {
                    proxy: 2,
                    app: 3,
                    load: 4,
                },
                opened: phase_of(1000, 0),
                stopped: None,
                echoed: [phase_of(1000, 0), phase_of(echoed, 1000 - echoed)],
                silence: Phase {
                    took: Duration::from_secs(60),
                    proxy: Duration::from_millis(60),
                    ..Phase::default()
                },
                before: memory_of(0),
                held: memory_of(2_000_000),
                after: memory_of(3_000_000),
                fullest: Some(Descriptors {
                    open: 1234,
                    limit: 20_000,
                    hard: 20_000,
                }),
                said: Vec::new(),
            },
        }
    }

    #[test]
    fn each_part_of_memory_has_a_row_and_the_sum_is_theirs() {
        let table = memory(&report(1000, None));
        let width = table.headings.len();
        assert!(table.rows.iter().all(|row| row.len() == width));
        assert_eq!(
            table.rows[0],
            ["kernel: TCP sockets", "0", "20", "30", "20,000"]
        );
        assert_eq!(
            table.rows[2],
            ["kernel, all of it", "0", "30", "45", "30,000"]
        );
        assert_eq!(table.rows[6], ["together", "1", "37", "55", "36,000"]);
    }

    #[test]
    fn a_run_that_is_whole_says_so_and_how_to_repeat_it() {
        let document = markdown(&report(1000, None));
        assert!(document.starts_with("## 1,000 connections to one app\n"));
        assert!(document.contains("All 1,000 were held, and every one echoed, both times."));
        assert!(document.contains("0.10 % of a core"), "{document}");
        assert!(document.contains("1,234 descriptors of 20,000"));
        assert!(document.contains("lasthop-bench -- million\n"));
        assert!(!document.contains("NOT ALL") && !document.contains("no room"));
    }

    #[test]
    fn one_that_did_not_echo_is_said_with_its_reason() {
        let text = text(&report(999, None));
        assert!(
            text.contains("NOT ALL: 1,000 of 1,000 were held; not echoed after 60 s of silence: 1 × no answer in time."),
            "{text}"
        );
        assert!(!text.contains("every one echoed"));
    }

    #[test]
    fn a_smaller_host_says_what_is_short() {
        let text = text(&report(1000, Some("bytes of memory: 3 wanted, 2 free")));
        assert!(
            text.contains(
                "no room for 1,000,000, so 1,000 were asked for. Short are bytes of memory: 3"
            ),
            "{text}"
        );
    }

    #[test]
    fn the_json_has_every_phase_and_its_braces_match() {
        let text = json(&report(999, None));
        assert_eq!(text.matches("\"p99_milliseconds\":").count(), 3);
        assert!(text.contains("\"whole\":false"), "{text}");
        assert!(text.contains("{\"open\":1234,\"limit\":20000}"), "{text}");
        for (open, close) in [('{', '}'), ('[', ']')] {
            assert_eq!(text.matches(open).count(), text.matches(close).count());
        }
    }
}
