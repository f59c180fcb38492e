//! What the remedies of a group depend on: whose connections they are, where they lead, and what keeps the ports.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::snapshot::{Group, Listener, PortSettings, Program, Snapshot};

/// From this part of the ports in use on, in percent, TIME_WAIT has enough of them that less of it would help.
const CHURN_PERCENT: u64 = 10;

/// Addresses that are written into a line to spread over: four times the ports, and still easy to read.
const SPREAD: u8 = 4;

/// A group, and what is known of its surroundings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plight<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) group: &'a Group,
    pub(crate) ports: &'a PortSettings,
    /// Who listens where it leads, in this namespace.
    pub(crate) listener: Option<&'a Listener>,
    /// Whether a port in TIME_WAIT is lost for the whole minute.
    pub(crate) waits_long: bool,
}

impl Plight<'_> {
    /// Where the connections lead.
    pub(crate) fn target(&self) -> SocketAddr {
        self.group.key.destination
    }

    /// The kind of program that has most of the processes; what is known of one is said rather than nothing.
    pub(crate) fn program(&self) -> Program {
        most_frequent(self.group.owners.iter().map(|owner| owner.program))
    }

    /// The kind of program that listens.
    pub(crate) fn app(&self) -> Program {
        let owners = self.listener.map(|listener| listener.owners.as_slice());
        most_frequent(owners.unwrap_or_default().iter().map(|owner| owner.program))
    }

    /// Whether the connections end on this host, so that a Unix socket can take their place.
    pub(crate) fn is_local(&self) -> bool {
        self.group.is_local || self.listener.is_some() || self.target().ip().is_loopback()
    }

    /// Whether connections come and go: TIME_WAIT has a part of the ports that is worth the trouble.
    pub(crate) fn churns(&self) -> bool {
        let held = u64::from(self.group.time_wait_held);
        held > 0 && held * 100 >= u64::from(self.group.used()) * CHURN_PERCENT
    }

    /// Whether TIME_WAIT has at least half of what is in use.
    pub(crate) fn is_mostly_time_wait(&self) -> bool {
        let held = self.group.time_wait_held;
        held > 0 && held >= self.group.used().div_ceil(2)
    }

    /// The target, and the same port on other loopback addresses, where the listener takes connections to these as well.
    pub(crate) fn targets(&self) -> Option<Vec<SocketAddr>> {
        let listener = self.listener?;
        let others: Vec<SocketAddr> = (2..=SPREAD)
            .map(|last| SocketAddr::new(loopback(last), self.target().port()))
            .filter(|other| listener.takes(*other) && *other != self.target())
            .collect();
        (!others.is_empty()).then(|| {
            let mut targets = vec![self.target()];
            targets.extend(others);
            targets
        })
    }

    /// Loopback addresses to connect from, where the target is one.
    pub(crate) fn sources(&self) -> Option<Vec<IpAddr>> {
        let target = self.target().ip().to_canonical();
        (target.is_ipv4() && target.is_loopback()).then(|| (2..=SPREAD + 1).map(loopback).collect())
    }
}

fn loopback(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// The first of those that are there most often, anything known before [`Program::Other`].
fn most_frequent(programs: impl Iterator<Item = Program> + Clone) -> Program {
    let known = programs.filter(|program| *program != Program::Other);
    let mut best = (0, Program::Other);
    for program in known.clone() {
        let times = known.clone().filter(|other| *other == program).count();
        if times > best.0 {
            best = (times, program);
        }
    }
    best.1
}
