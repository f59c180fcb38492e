//! A small report for the tests of the outputs: one transport, two proxies, one scenario of each kind.

use std::path::PathBuf;
use std::time::Duration;

use crate::churn::{ChurnReport, Fate, Kind, Reading};
use crate::experiment::latency::Latency;
use crate::experiment::memory::Memory;
use crate::experiment::throughput::Throughput;
use crate::experiment::{Comparison, Runs};
use crate::report::{Machine, Readings, Report, Section};
use crate::rival::{Fields, Found, Rival};
use crate::scenario::{ALL, Scenario};
use crate::stage::Conditions;

/// The same conditions for a command of many connections.
pub(crate) fn conditions(arguments: &str) -> Conditions {
    let report = report();
    Conditions {
        machine: report.machine,
        cores: report.cores,
        proxies: report.proxies,
        missing: report.missing,
        arguments: arguments.to_owned(),
    }
}

pub(crate) fn report() -> Report {
    let sections = [
        ("keepalive-64", Readings::Throughput as fn(_) -> _),
        ("body-4MiB", Readings::Throughput),
    ]
    .map(|(name, readings)| {
        section(name, |scenario| {
            readings(vec![comparison(scenario, throughput)])
        })
    });
    Report {
        machine: Machine {
            kernel: "6.18".into(),
            processor: "A | B".into(),
            cores: 2,
            congestion_control: "cubic".into(),
            load_average: 0.25,
        },
        cores: "one core for all".into(),
        load: "wrk".into(),
        seconds: 4,
        rounds: 1,
        rounds_of_others: 1,
        rate_percent: 60,
        held: 10,
        fields: Fields::Same,
        only: vec!["keepalive".into()],
        proxies: vec![found(Rival::Lasthop), found(Rival::Nginx)],
        missing: vec!["haproxy: not in PATH nor in /usr/sbin".into()],
        sections: sections
            .into_iter()
            .chain([
                section("latency", |scenario| {
                    Readings::Latency(vec![comparison(scenario, latency)])
                }),
                section("memory-idle", |scenario| {
                    Readings::Memory(vec![comparison(scenario, memory)])
                }),
            ])
            .collect(),
        chart: Some("chart.svg".into()),
    }
}

/// An hour of clients, with a reading each minute: its own memory wavers by 100 KiB, and grows by so much.
pub(crate) fn churn(bytes_a_minute: u64) -> ChurnReport {
    let reading = |minute: u64| Reading {
        at: Duration::from_secs(60 * minute),
        open: 800,
        pss_bytes: 20 << 20,
        own_bytes: (10 << 20) + minute * 7919 % 100 * 1024 + minute * bytes_a_minute,
    };
    ChurnReport {
        machine: report().machine,
        version: "lasthop 1".to_owned(),
        minutes: 60,
        per_second: 200,
        before: reading(0),
        readings: (1..=60).map(reading).collect(),
        after: reading(61),
        fates: vec![Fate::default(); Kind::ALL.len()],
        left_out: 0,
        core_part: 0.03,
    }
}

fn found(rival: Rival) -> Found {
    Found {
        rival,
        binary: PathBuf::from("/bin").join(rival.name()),
        version: format!("{} \"1.0\"", rival.name()),
    }
}

fn section(name: &str, readings: impl FnOnce(Scenario) -> Readings) -> Section {
    let scenario = ALL.into_iter().find(|one| one.name == name).unwrap();
    Section {
        scenario,
        description: format!("what {name} is"),
        readings: readings(scenario),
        notes: vec!["a note".into()],
    }
}

fn comparison<S>(scenario: Scenario, run: impl Fn(Rival) -> Result<S, String>) -> Comparison<S> {
    let runs = [Rival::Lasthop, Rival::Nginx].map(|proxy| Runs {
        proxy,
        rounds: vec![run(proxy)],
        repeated: 0,
    });
    Comparison {
        scenario,
        transport: "TCP",
        runs: runs.into(),
    }
}

/// 20 µs for us, 25 for nginx.
#[expect(clippy::unnecessary_wraps, reason = "a run may fail, this one did not")]
fn throughput(proxy: Rival) -> Result<Throughput, String> {
    let user_microseconds = if proxy == Rival::Lasthop { 5.0 } else { 10.0 };
    Ok(Throughput {
        user_microseconds,
        system_microseconds: 15.0,
        requests_per_second: 50_000.0,
        p50_milliseconds: 1.0,
        p99_milliseconds: 2.0,
        others_percent: 0.0,
    })
}

/// nginx does not keep up.
#[expect(clippy::unnecessary_wraps, reason = "a run may fail, this one did not")]
fn latency(proxy: Rival) -> Result<Latency, String> {
    let answered_percent = if proxy == Rival::Lasthop { 100.0 } else { 50.0 };
    Ok(Latency {
        per_second: 1000.0,
        reached_per_second: 10.0 * answered_percent,
        p50_milliseconds: 1.0,
        p90_milliseconds: 1.5,
        p99_milliseconds: 2.0,
        p999_milliseconds: 3.0,
        answered_percent,
        late_percent: 0.0,
        cpu_microseconds: 20.0,
        others_percent: 12.0,
    })
}

/// nginx fails.
fn memory(proxy: Rival) -> Result<Memory, String> {
    if proxy == Rival::Nginx {
        return Err("status 502\n    said nginx".to_owned());
    }
    Ok(Memory {
        bytes_before: 1_000_000,
        bytes_held: 1_010_000,
        connections: 10,
    })
}
