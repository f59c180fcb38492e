//! One reading of the kernel's tables for one ledger: who holds which ports towards the target, and how the app listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use lasthop_kernel::sock_diag::{self, Destination, DiagError, TcpFilter, TcpListening};
use lasthop_kernel::socket::TcpState;
use lasthop_ports::host::TIME_WAIT;
use lasthop_ports::ledger::Gate;
use lasthop_ports::{Condition, Holding, Ledger, PairCounts, Plan, TimeWaitReuse};

/// Reads and corrects. How the app listens comes first, because it is soon told and requests may wait for the word; the
/// dump of connections takes the kernel a walk over its whole table, 10 ms where that is large.
pub(super) fn read(ledger: &Ledger) -> Result<(), DiagError> {
    read_gate(ledger);
    read_connections(ledger)
}

/// Finds out how the app listens. Where nothing can be read the gate must not stay unknown.
pub(super) fn read_gate(ledger: &Ledger) {
    let gate = listens_everywhere(ledger.plan()).unwrap_or(Gate::Shut);
    ledger.set_gate(gate);
}

fn read_connections(ledger: &Ledger) -> Result<(), DiagError> {
    let before = ledger.before_reading(Instant::now());
    let reading = pair_counts(ledger.plan(), ledger.reuse())?;
    ledger.correct(&before, &reading);
    Ok(())
}

/// Who holds which ports on the pairs of a plan, whoever it is.
///
/// # Errors
/// [`DiagError`].
pub fn pair_counts(plan: &Plan, reuse: TimeWaitReuse) -> Result<PairCounts, DiagError> {
    let mut reading = PairCounts::new(reuse);
    let filter = TcpFilter {
        destination: Some(destination(plan)),
        ..TcpFilter::default()
    };
    sock_diag::tcp(&filter, |entry| {
        let holding = match (entry.state, entry.time_wait_left) {
            (TcpState::TimeWait, Some(left)) => Holding::TimeWait(left),
            // We have closed and the app has not yet: the ledger has it among those that cool.
            (TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing, _) => {
                Holding::TimeWait(TIME_WAIT)
            }
            _ => Holding::Connection,
        };
        reading.add(entry.local.ip(), entry.peer.ip(), holding);
    })?;
    Ok(reading)
}

/// Whether every address that connections could be spread to reaches the very socket that the configured one does: the
/// app listens on the wildcard address, and nobody listens on one of ours.
///
/// # Errors
/// [`DiagError`].
pub fn listens_everywhere(plan: &Plan) -> Result<Gate, DiagError> {
    let spread = plan
        .stages()
        .iter()
        .find(|stage| stage.condition == Condition::Wildcard);
    let Some(spread) = spread else {
        return Ok(Gate::Open);
    };
    let Some(first) = plan.pair(0) else {
        return Ok(Gate::Shut);
    };
    let listening = sock_diag::tcp_listeners(plan.port())?;
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

/// The smallest network that has all destinations of the plan, to filter by: one dump, in which each connection is told
/// once. Those that are spread are read also while nothing of ours goes there: another instance's may.
fn destination(plan: &Plan) -> Destination {
    let stages = plan.stages();
    let all = stages
        .iter()
        .map(|stage| stage.destinations.covering_network());
    // A plan has one stage at least, and all its destinations are of one family.
    let (network, prefix) = all
        .reduce(join)
        .unwrap_or((Ipv4Addr::UNSPECIFIED.into(), 0));
    Destination {
        network,
        prefix,
        port: Some(plan.port()),
    }
}

/// The smallest network that has both. Of two families there is none, and the first is left.
fn join(one: (IpAddr, u8), other: (IpAddr, u8)) -> (IpAddr, u8) {
    let shorter = one.1.min(other.1);
    match (one.0, other.0) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let same = (a.to_bits() ^ b.to_bits()).leading_zeros();
            let prefix = u32::from(shorter).min(same);
            let mask = u32::MAX.checked_shl(Ipv4Addr::BITS - prefix).unwrap_or(0);
            let network = Ipv4Addr::from_bits(a.to_bits() & mask);
            (network.into(), u8::try_from(prefix).unwrap_or(0))
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let same = (a.to_bits() ^ b.to_bits()).leading_zeros();
            let prefix = u32::from(shorter).min(same);
            let mask = u128::MAX.checked_shl(Ipv6Addr::BITS - prefix).unwrap_or(0);
            let network = Ipv6Addr::from_bits(a.to_bits() & mask);
            (network.into(), u8::try_from(prefix).unwrap_or(0))
        }
        _ => one,
    }
}

/// Who accepts what comes to a target: of several listeners the most particular one; none where nobody listens.
///
/// # Errors
/// [`DiagError`].
pub fn listener(target: SocketAddr) -> Result<Option<TcpListening>, DiagError> {
    let listening = sock_diag::tcp_listeners(target.port())?;
    let ours = listening.into_iter().filter(|one| one.takes(target));
    Ok(ours.min_by_key(TcpListening::is_wildcard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_has_all_destinations_of_a_plan() {
        for (one, other, both) in [
            ("127.0.0.1/32", "127.64.0.0/16", "127.0.0.0/9"),
            ("127.0.0.1/32", "127.0.0.0/28", "127.0.0.0/28"),
            ("10.9.9.9/32", "10.9.9.9/32", "10.9.9.9/32"),
            ("127.0.0.1/32", "200.0.0.0/8", "0.0.0.0/0"),
            ("::1/128", "::/0", "::/0"),
            ("fd00::1/128", "fd00::2/128", "fd00::/126"),
        ] {
            let network = |text: &str| {
                let (address, prefix) = text.split_once('/').unwrap();
                (address.parse().unwrap(), prefix.parse().unwrap())
            };
            assert_eq!(
                join(network(one), network(other)),
                network(both),
                "{one} {other}"
            );
            assert_eq!(
                join(network(other), network(one)),
                network(both),
                "{other} {one}"
            );
        }
    }
}
