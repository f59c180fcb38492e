//! The experiment `keepalive`: CPU per request when all connections, on both sides, are kept.
//!
//! The proxies take turns within a round and the rounds repeat, so that whatever else the host does meets them alike;
//! a ratio is taken within a round, where the two runs are seconds apart, and its median over the rounds.

use crate::app::AppProcess;
use crate::error::BenchError;
use crate::interrupt::Interrupt;
use crate::measure::{self, Conditions, Sample};
use crate::rival::{Found, Rival};
use crate::spread::Spread;
use crate::upstream::Upstream;

/// All runs of one proxy over one transport, by round.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) transport: &'static str,
    pub(crate) proxy: Rival,
    pub(crate) samples: Vec<Sample>,
}

impl Row {
    /// The spread of one figure over the rounds.
    pub(crate) fn spread(&self, figure: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.samples.iter().map(figure))
    }
}

/// The CPU time of `row` as a multiple of nginx' over the same transport, round by round; `None` without nginx.
pub(crate) fn ratio_to_nginx(row: &Row, rows: &[Row]) -> Option<Spread> {
    let nginx = rows
        .iter()
        .find(|other| other.proxy == Rival::Nginx && other.transport == row.transport)?;
    Spread::of(
        row.samples
            .iter()
            .zip(&nginx.samples)
            .map(|(ours, theirs)| ours.cpu_microseconds() / theirs.cpu_microseconds()),
    )
}

/// Runs `rounds` rounds of every proxy over both transports; `progress` is told of each run before it starts.
pub(crate) fn run(
    proxies: &[Found],
    app: &AppProcess,
    rounds: u32,
    conditions: &Conditions,
    interrupt: &Interrupt,
    mut progress: impl FnMut(&str),
) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    for upstream in [
        Upstream::Tcp(app.tcp_address()),
        Upstream::Unix(app.unix_path().to_owned()),
    ] {
        let first = rows.len();
        rows.extend(proxies.iter().map(|proxy| Row {
            transport: upstream.transport(),
            proxy: proxy.rival,
            samples: Vec::new(),
        }));
        for round in 1..=rounds {
            for (proxy, row) in proxies.iter().zip(&mut rows[first..]) {
                interrupt.check()?;
                progress(&format!(
                    "{}, round {round} of {rounds}: {}",
                    upstream.transport(),
                    proxy.rival.name()
                ));
                let sample = measure::run(proxy, &upstream, conditions);
                // A signal ends the load too, which would look like a failure of the proxy.
                interrupt.check()?;
                row.samples.push(sample?);
            }
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(proxy: Rival, cpu: [f64; 3]) -> Row {
        let sample = |system_microseconds| Sample {
            user_microseconds: 0.0,
            system_microseconds,
            requests_per_second: 1.0,
            p50_milliseconds: 1.0,
            p99_milliseconds: 1.0,
        };
        Row {
            transport: "TCP",
            proxy,
            samples: cpu.map(sample).to_vec(),
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The host became twice as slow in round two; the ratio does not notice.
        let rows = [
            row(Rival::Lasthop, [8.0, 16.0, 8.0]),
            row(Rival::Nginx, [10.0, 20.0, 10.0]),
        ];
        assert_eq!(
            ratio_to_nginx(&rows[0], &rows),
            Some(Spread {
                median: 0.8,
                min: 0.8,
                max: 0.8
            })
        );
    }

    #[test]
    fn without_nginx_there_is_no_ratio() {
        let rows = [row(Rival::Lasthop, [8.0, 16.0, 8.0])];
        assert_eq!(ratio_to_nginx(&rows[0], &rows), None);
    }
}
