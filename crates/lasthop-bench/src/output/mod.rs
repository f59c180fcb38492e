//! A report as text for the terminal, as JSON for programs, as Markdown for `docs/benchmarks.md`.
//!
//! Pure: a report in, text out. The table is built once, in [`table`], so that terminal and document cannot differ.

pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod table;
pub(crate) mod text;

#[cfg(test)]
pub(crate) mod sample {
    //! A small report for the tests of the outputs.

    use std::path::PathBuf;

    use crate::keepalive::Row;
    use crate::load::Load;
    use crate::measure::Sample;
    use crate::report::{Machine, Report};
    use crate::rival::{Fields, Found, Rival};

    pub(crate) fn report() -> Report {
        let row = |proxy, user_microseconds| Row {
            transport: "TCP",
            proxy,
            samples: vec![Sample {
                user_microseconds,
                system_microseconds: 15.0,
                requests_per_second: 50_000.0,
                p50_milliseconds: 1.0,
                p99_milliseconds: 2.0,
            }],
        };
        let found = |rival: Rival| Found {
            rival,
            binary: PathBuf::from("/bin").join(rival.name()),
            version: format!("{} \"1.0\"", rival.name()),
        };
        Report {
            machine: Machine {
                kernel: "6.18".into(),
                processor: "A | B".into(),
                cores: 2,
                load_average: 0.25,
            },
            cores: "one core for all".into(),
            load: Load::Own,
            clients: 64,
            seconds: 4,
            rounds: 1,
            body_bytes: 100,
            fields: Fields::None,
            proxies: vec![found(Rival::Lasthop), found(Rival::Nginx)],
            missing: vec!["haproxy: not in PATH nor in /usr/sbin".into()],
            rows: vec![row(Rival::Lasthop, 5.0), row(Rival::Nginx, 10.0)],
        }
    }
}
