//! What a second worker changes: CPU time per request and requests a second with one worker and with two, one after the other.
//!
//! One worker has the proxy's core to itself; two have both cores, of which one is also the app's and the load's. So requests
//! a second cannot double on two cores, whatever the proxy does, and are there to be read beside the other figure: what two
//! workers need of each other, locks, cache lines and wake-ups across cores, shows as CPU time per request above that of one.

use super::throughput::{self, Setting, Throughput};
use super::{Bench, Comparison, Sample};
use crate::endpoint::app::AppProcess;
use crate::error::BenchError;
use crate::scenario::Scenario;
use crate::traffic::Traffic;

/// What one run measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scaling {
    pub(crate) one: Throughput,
    pub(crate) two: Throughput,
}

impl Scaling {
    /// CPU time per request with two workers as a multiple of that with one.
    pub(crate) fn multiple(&self) -> f64 {
        self.two.cpu_microseconds() / self.one.cpu_microseconds()
    }
}

impl Sample for Scaling {
    fn figures(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("one_cpu_microseconds", self.one.cpu_microseconds()),
            ("one_requests_per_second", self.one.requests_per_second),
            ("two_cpu_microseconds", self.two.cpu_microseconds()),
            ("two_requests_per_second", self.two.requests_per_second),
        ]
    }

    fn others_percent(&self) -> f64 {
        self.one.others_percent
    }
}

/// Compares the proxies of `bench` over both transports.
pub(crate) fn compare(
    bench: &Bench,
    scenario: Scenario,
    traffic: Traffic,
    app: &AppProcess,
) -> Result<Vec<Comparison<Scaling>>, BenchError> {
    let mut comparisons = Vec::new();
    for upstream in app.upstreams() {
        let transport = upstream.transport();
        let label = format!("{} over {transport}", scenario.name);
        let runs = bench.alternate(&label, |proxy| {
            let run =
                |workers| throughput::run(bench, proxy, &upstream, Setting { traffic, workers });
            Ok(Scaling {
                one: run(1)?,
                two: run(2)?,
            })
        })?;
        comparisons.push(Comparison {
            scenario,
            transport,
            runs,
        });
    }
    Ok(comparisons)
}
