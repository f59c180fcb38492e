//! User memory per held connection: what the proxy's processes have with so many held, less what they had with none.
//!
//! `Pss` of /proc/PID/smaps_rollup: buffers of sockets are the kernel's and not in it, nor is what a proxy set aside for
//! connections when it started (nginx and HAProxy do). Before the first reading the proxy has served and
//! closed some connections, so that what it needs once is not counted for each. Every connection had its answer before
//! the second reading, and is used once more after it: all of them were there.

use std::time::Duration;

use super::{Bench, Comparison, Sample};
use crate::accounting;
use crate::endpoint::held::Held;
use crate::endpoint::hold_app::{BODY_BYTES, HoldApp};
use crate::endpoint::holder::Kind;
use crate::error::BenchError;
use crate::load::{self, Work};
use crate::rival::Found;
use crate::scenario::Scenario;
use crate::traffic::{Exchange, Traffic};
use crate::upstream::Upstream;

/// Clients and duration of what is served before the first reading.
const WARM_UP_CLIENTS: usize = 32;
const WARM_UP: Duration = Duration::from_millis(100);
/// Requests that wait for their answers at once. As few as this, so that the proxy does not open a connection to the app
/// for each client, and the idle ones are not counted with the clients.
const IN_FLIGHT: usize = 32;
/// Opening a connection, checking it and closing it, for the estimate.
const EACH: Duration = Duration::from_micros(300);

/// What one run measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Memory {
    /// Of all processes of the proxy.
    pub(crate) bytes_before: u64,
    pub(crate) bytes_held: u64,
    pub(crate) connections: usize,
}

impl Memory {
    /// User memory for one held connection.
    #[allow(
        clippy::cast_precision_loss,
        reason = "bytes of memory stay below 2^53"
    )]
    pub(crate) fn bytes_each(&self) -> f64 {
        (self.bytes_held as f64 - self.bytes_before as f64) / self.connections as f64
    }
}

impl Sample for Memory {
    #[allow(
        clippy::cast_precision_loss,
        reason = "bytes of memory stay below 2^53"
    )]
    fn figures(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("connections", self.connections as f64),
            ("pss_before_bytes", self.bytes_before as f64),
            ("pss_held_bytes", self.bytes_held as f64),
            ("per_connection_bytes", self.bytes_each()),
        ]
    }
}

/// About how long a run takes, less the start of a proxy.
pub(crate) fn duration(bench: &Bench) -> Duration {
    WARM_UP + EACH * u32::try_from(bench.held).unwrap_or(u32::MAX)
}

/// Compares the proxies of `bench` in front of each of `apps`, one for each transport.
pub(crate) fn compare(
    bench: &Bench,
    scenario: Scenario,
    kind: Kind,
    apps: &[HoldApp],
) -> Result<Vec<Comparison<Memory>>, BenchError> {
    let mut comparisons = Vec::new();
    for upstream in apps.iter().map(HoldApp::upstream) {
        let transport = upstream.transport();
        let label = format!("{} over {transport}", scenario.name);
        let runs = bench.alternate(&label, |proxy| run(bench, proxy, upstream, kind))?;
        comparisons.push(Comparison {
            scenario,
            transport,
            runs,
        });
    }
    Ok(comparisons)
}

fn run(
    bench: &Bench,
    proxy: &Found,
    upstream: &Upstream,
    kind: Kind,
) -> Result<Memory, BenchError> {
    let running = bench.start(proxy, upstream, 1)?;
    let (address, pid) = (running.server.address(), running.server.pid());
    let warm_up = Work {
        address,
        traffic: Traffic {
            clients: WARM_UP_CLIENTS,
            exchange: Exchange::Answer(BODY_BYTES),
        },
        seconds: bench.seconds,
    };
    let failed =
        |first: &str| BenchError::Failed(format!("{first}{}", running.server.complaints()));
    if let Some(first) = load::checked(&warm_up, WARM_UP)?.first_error {
        return Err(failed(&first));
    }
    let bytes_before = accounting::memory_bytes(&[pid])?;
    let held = Held::all(kind, address, bench.held, IN_FLIGHT, &bench.interrupt);
    let mut held = held.map_err(|error| match error {
        BenchError::Failed(first) => failed(&first),
        other => other,
    })?;
    let bytes_held = accounting::memory_bytes(&[pid])?;
    held.check_all(&bench.interrupt)?;
    Ok(Memory {
        bytes_before,
        bytes_held,
        connections: bench.held,
    })
}
