//! The tables of a comparison, one for each scenario, and what their columns mean.

use super::table::{Table, median, text};
use crate::experiment::connect::Connecting;
use crate::experiment::latency::Latency;
use crate::experiment::memory::Memory;
use crate::experiment::throughput::Throughput;
use crate::experiment::workers::Scaling;
use crate::experiment::{BETTER, Comparison, NGINX, Runs};
use crate::report::{Readings, Section};
use crate::scenario::Work;

/// Columns on the left that are words.
const WORD_COLUMNS: usize = 2;
/// In the place of a latency that has no bound.
const OVERLOADED: &str = "overloaded";
const GIB: f64 = (1_u64 << 30) as f64;

/// The table of a scenario.
pub(crate) fn of_section(section: &Section) -> Table {
    match &section.readings {
        Readings::Throughput(readings) => {
            let long_bytes = match section.scenario.work {
                Work::Throughput(traffic) => traffic.exchange.long_bytes(),
                _ => None,
            };
            throughput(readings, long_bytes)
        }
        Readings::Workers(readings) => workers(readings),
        Readings::Connect(readings) => connecting(readings),
        Readings::Latency(readings) => latency(readings),
        Readings::Memory(readings) => memory(readings),
    }
}

/// What the columns of each kind of table mean, where their headings do not say it all: with the first section of its kind.
pub(crate) fn legends(
    sections: &[Section],
) -> impl Iterator<Item = (&Section, Option<&'static str>)> {
    let legends = sections.iter().scan(Vec::new(), |said, section| {
        let legend = legend(section);
        let is_new = !said.contains(&legend);
        said.push(legend);
        Some(is_new.then_some(legend))
    });
    sections.iter().zip(legends)
}

fn legend(section: &Section) -> &'static str {
    match section.readings {
        Readings::Throughput(_) => {
            "CPU is user and system time of all processes of the proxy; the kernel divides them by what it meets at its ticks, which \
             is exact to about a tenth in a run. Busy is how much of its core the proxy used, others what others had of it; \
             p50 and p99 are of the closed loop, in which a slow proxy is asked less often."
        }
        Readings::Latency(_) => {
            "Open loop, the same rate for all; reached is how many answers came each second; late is what the load generator itself sent more than a millisecond late, \
             overloaded, where it stands in the place of a figure, is a proxy that did not answer everything within a second of the end."
        }
        Readings::Workers(_) => {
            "One worker has a core to itself; two have both, of which one is also the app's and the load's: requests a second \
             cannot double here, whatever the proxy does. CPU per request is the figure: what it is more with two is what they \
             cost each other, and what the load beside them costs the second."
        }
        Readings::Connect(_) => {
            "CPU is the proxy's time on its core for one set-up, the others are from the client's connect() to the 101; many/few \
             is how many times as dear a set-up becomes. two rounds at most. `lasthop-bench fill` has the whole curve, and what is past the last port."
        }
        Readings::Memory(_) => {
            "The difference between the readings with all and with no connection held, divided by their number. What nginx and \
             HAProxy set aside for connections when they start is in the reading with none."
        }
    }
}

/// One row for each proxy and transport: the first two cells, then those that `cells` makes.
fn table<S>(
    readings: &[Comparison<S>],
    headings: Vec<&'static str>,
    cells: impl Fn(&Comparison<S>, &Runs<S>) -> Vec<String>,
) -> Table {
    let mut rows = Vec::new();
    for comparison in readings {
        for runs in &comparison.runs {
            let mut row = vec![
                comparison.transport.to_owned(),
                runs.proxy.name().to_owned(),
            ];
            row.extend(cells(comparison, runs));
            rows.push(row);
        }
    }
    Table {
        headings,
        rows,
        words: WORD_COLUMNS,
    }
}

fn throughput(readings: &[Comparison<Throughput>], long_bytes: Option<usize>) -> Table {
    let mut headings = vec![
        "app over",
        "proxy",
        "CPU µs/request",
        "of nginx'",
        "of the better's",
        "user",
        "system",
        "busy %",
        "others %",
        "requests/s",
        "p50 ms",
        "p99 ms",
    ];
    if long_bytes.is_some() {
        headings.insert(3, "CPU s/GiB");
    }
    table(readings, headings, |comparison, runs| {
        let cpu = Throughput::cpu_microseconds;
        let mut cells = vec![
            text(runs.spread(cpu), 1),
            text(comparison.ratio(runs, NGINX, cpu), 2),
            text(comparison.ratio(runs, BETTER, cpu), 2),
            median(runs.spread(|one| one.user_microseconds), 1),
            median(runs.spread(|one| one.system_microseconds), 1),
            median(runs.spread(Throughput::busy_percent), 0),
            median(runs.spread(|one| one.others_percent), 0),
            text(runs.spread(|one| one.requests_per_second), 0),
            median(runs.spread(|one| one.p50_milliseconds), 2),
            median(runs.spread(|one| one.p99_milliseconds), 2),
        ];
        if let Some(bytes) = long_bytes {
            #[allow(clippy::cast_precision_loss, reason = "some millions are exact")]
            let per_gib = |one: &Throughput| cpu(one) / 1e6 * GIB / bytes as f64;
            cells.insert(1, text(runs.spread(per_gib), 2));
        }
        cells
    })
}

fn latency(readings: &[Comparison<Latency>]) -> Table {
    let headings = vec![
        "app over",
        "proxy",
        "rate/s",
        "reached/s",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "p99 of nginx'",
        "p99 of the better's",
        "p99.9 ms",
        "answered %",
        "late %",
        "CPU µs/request",
        "others %",
    ];
    table(readings, headings, |comparison, runs| {
        let kept_up = runs.rounds.iter().flatten().all(Latency::kept_up);
        let quantile = |figure: fn(&Latency) -> f64| {
            if kept_up {
                text(runs.spread(figure), 2)
            } else {
                OVERLOADED.to_owned()
            }
        };
        let p99 = |one: &Latency| one.p99_milliseconds;
        let ratio = |yardsticks| {
            let ratio = comparison.ratio(runs, yardsticks, p99);
            text(ratio.filter(|_| kept_up), 2)
        };
        vec![
            median(runs.spread(|one| one.per_second), 0),
            median(runs.spread(|one| one.reached_per_second), 0),
            quantile(|one| one.p50_milliseconds),
            quantile(|one| one.p90_milliseconds),
            quantile(p99),
            ratio(NGINX),
            ratio(BETTER),
            quantile(|one| one.p999_milliseconds),
            median(runs.spread(|one| one.answered_percent), 1),
            median(runs.spread(|one| one.late_percent), 2),
            text(runs.spread(|one| one.cpu_microseconds), 1),
            median(runs.spread(|one| one.others_percent), 0),
        ]
    })
}

fn memory(readings: &[Comparison<Memory>]) -> Table {
    let headings = vec![
        "app over",
        "proxy",
        "bytes/connection",
        "of nginx'",
        "of the better's",
        "MB with none",
        "MB with all",
    ];
    #[allow(
        clippy::cast_precision_loss,
        reason = "bytes of memory stay below 2^53"
    )]
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    table(readings, headings, |comparison, runs| {
        let each = Memory::bytes_each;
        vec![
            text(runs.spread(each), 0),
            text(comparison.ratio(runs, NGINX, each), 2),
            text(comparison.ratio(runs, BETTER, each), 2),
            median(runs.spread(|one| megabytes(one.bytes_before)), 1),
            median(runs.spread(|one| megabytes(one.bytes_held)), 1),
        ]
    })
}

fn workers(readings: &[Comparison<Scaling>]) -> Table {
    let headings = vec![
        "app over",
        "proxy",
        "CPU µs/request with 1",
        "with 2",
        "2/1",
        "requests/s with 1",
        "with 2",
    ];
    table(readings, headings, |_, runs| {
        vec![
            text(runs.spread(|pair| pair.one.cpu_microseconds()), 1),
            text(runs.spread(|pair| pair.two.cpu_microseconds()), 1),
            text(runs.spread(Scaling::multiple), 2),
            text(runs.spread(|pair| pair.one.requests_per_second), 0),
            text(runs.spread(|pair| pair.two.requests_per_second), 0),
        ]
    })
}

fn connecting(readings: &[Comparison<Connecting>]) -> Table {
    let headings = vec![
        "app over",
        "proxy",
        "CPU µs beside few",
        "beside many",
        "many/few",
        "p50 µs beside few",
        "beside many",
        "p99 µs beside few",
        "beside many",
    ];
    table(readings, headings, |_, runs| {
        vec![
            text(runs.spread(|one| one.few.cpu_microseconds), 0),
            text(runs.spread(|one| one.many.cpu_microseconds), 0),
            text(runs.spread(Connecting::multiple), 2),
            text(runs.spread(|one| one.few.p50_microseconds), 0),
            text(runs.spread(|one| one.many.p50_microseconds), 0),
            text(runs.spread(|one| one.few.p99_microseconds), 0),
            text(runs.spread(|one| one.many.p99_microseconds), 0),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;
    use crate::output::table::{NOTHING, Table};

    fn cell(table: &Table, row: usize, heading: &str) -> String {
        let column = table.headings.iter().position(|one| *one == heading);
        table.rows[row][column.unwrap()].clone()
    }

    #[test]
    fn the_ratios_stand_beside_the_cpu_time() {
        let report = sample::report();
        let table = of_section(&report.sections[0]);
        assert_eq!(cell(&table, 0, "CPU µs/request"), "20.0 (20.0–20.0)");
        assert_eq!(cell(&table, 0, "of nginx'"), "0.80 (0.80–0.80)");
        assert_eq!(cell(&table, 1, "of nginx'"), "1.00 (1.00–1.00)");
    }

    #[test]
    fn large_bodies_are_counted_by_the_gibibyte_too() {
        let table = of_section(&sample::report().sections[1]);
        // 20 µs for each of the 256 in a GiB.
        assert_eq!(cell(&table, 0, "CPU s/GiB"), "0.01 (0.01–0.01)");
    }

    #[test]
    fn a_proxy_that_does_not_keep_up_has_no_latency() {
        let table = of_section(&sample::report().sections[2]);
        assert_eq!(cell(&table, 0, "p99 ms"), "2.00 (2.00–2.00)");
        assert_eq!(cell(&table, 1, "p99 ms"), OVERLOADED);
        assert_eq!(cell(&table, 1, "p99 of nginx'"), NOTHING);
        assert_eq!(cell(&table, 1, "answered %"), "50.0");
    }

    #[test]
    fn a_run_that_failed_leaves_no_figure() {
        let table = of_section(&sample::report().sections[3]);
        assert_eq!(cell(&table, 0, "bytes/connection"), "1000 (1000–1000)");
        assert_eq!(cell(&table, 1, "bytes/connection"), NOTHING);
    }
}
