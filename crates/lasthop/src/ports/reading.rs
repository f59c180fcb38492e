//! One reading of the kernel's tables for one ledger: who holds which ports towards the target, and how the app listens.

use std::net::SocketAddr;
use std::time::Instant;

use lasthop_kernel::sock_diag::{self, Destination, DiagError, TcpFilter, TcpListening};
use lasthop_kernel::socket::TcpState;
use lasthop_ports::ledger::Gate;
use lasthop_ports::{Condition, Holding, Ledger, Snapshot};

/// Reads and corrects. The dump is filtered by destination in the kernel, so it costs what there is towards this target.
pub(super) fn read(ledger: &Ledger) -> Result<(), DiagError> {
    let outcome = read_connections(ledger);
    // Where nothing can be read the gate must not stay unknown: requests wait for the word.
    let gate = match read_listeners(ledger) {
        Ok(gate) => gate,
        Err(_) => Gate::Shut,
    };
    ledger.set_gate(gate);
    outcome
}

fn read_connections(ledger: &Ledger) -> Result<(), DiagError> {
    let before = ledger.before_reading(Instant::now());
    let mut reading = Snapshot::new(ledger.reuse());
    for destination in destinations(ledger) {
        let filter = TcpFilter {
            destination: Some(destination),
            ..TcpFilter::default()
        };
        sock_diag::tcp(&filter, |entry| {
            let holding = match (entry.state, entry.time_wait_left) {
                (TcpState::TimeWait, Some(left)) => Holding::TimeWait(left),
                _ => Holding::Connection,
            };
            reading.add(entry.local.ip(), entry.peer.ip(), holding);
        })?;
    }
    ledger.correct(&before, &reading);
    Ok(())
}

/// Whether every address that connections could be spread to reaches the very socket that the configured one does: the
/// app listens on the wildcard address, and nobody listens on one of ours.
fn read_listeners(ledger: &Ledger) -> Result<Gate, DiagError> {
    let spread = ledger
        .plan()
        .stages()
        .iter()
        .find(|stage| stage.condition == Condition::Wildcard);
    let Some(spread) = spread else {
        return Ok(Gate::Open);
    };
    let Some(first) = ledger.plan().pair(0) else {
        return Ok(Gate::Shut);
    };
    let listening = sock_diag::tcp_listeners(ledger.plan().port())?;
    let takes = |one: &&TcpListening| one.takes(first.destination);
    let is_ours = |one: &TcpListening| spread.destinations.position(one.address.ip()).is_some();
    if listening.iter().any(is_ours) {
        return Ok(Gate::Shut);
    }
    // The most particular listener gets the connection.
    let particular = listening.iter().filter(takes).any(|one| !one.is_wildcard());
    let wildcard = listening
        .iter()
        .filter(takes)
        .any(TcpListening::is_wildcard);
    Ok(if wildcard && !particular {
        Gate::Open
    } else {
        Gate::Shut
    })
}

/// The destinations of the plan as networks to filter by, none of which is in another: what is read twice would count as
/// somebody else's. Those that are spread are read also while nothing of ours goes there: another instance's may.
fn destinations(ledger: &Ledger) -> Vec<Destination> {
    let port = Some(ledger.plan().port());
    let networks = ledger.plan().destination_networks().into_iter();
    networks
        .map(|(network, prefix)| Destination {
            network,
            prefix,
            port,
        })
        .collect()
}

/// How many wait in the queue of whoever listens at a target, and how many could; none where nobody does or nothing can
/// be read.
pub fn backlog(target: SocketAddr) -> Option<(u32, u32)> {
    let listening = sock_diag::tcp_listeners(target.port()).ok()?;
    let ours = listening.iter().filter(|one| one.takes(target));
    // The most particular one.
    let one = ours.min_by_key(|one| one.is_wildcard())?;
    Some((one.queue, one.backlog))
}
