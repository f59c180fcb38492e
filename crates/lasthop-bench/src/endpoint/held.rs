//! Connections that are held through a proxy, as a guard: as many processes ([`super::holder`]) as they take, each with a
//! source address of its own. Dropping it closes them.
//!
//! They are opened in portions, one process after the other, so that there is a moment between portions to look at the
//! clock, at a signal, and at whether the proxy still gets anywhere: every phase ends by itself.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use lasthop_kernel::{limits, sysctl};

use super::holder::{ANSWER_DEADLINE, Kind};
use super::outcomes::Outcomes;
use super::{Endpoint, PATIENCE};
use crate::error::BenchError;
use crate::interrupt::Interrupt;

/// Connections of one process at most, also where descriptors and ports would do for more: what it says stays a line.
const PROCESS_CONNECTIONS_MAX: usize = 15_000;
/// Descriptors of a process that are no connection's.
const DESCRIPTORS_APART: u64 = 64;
/// Connections of a portion, and how long one may go on beginning further ones.
const PORTION: usize = 1000;
const PORTION_BUDGET: Duration = Duration::from_secs(10);
/// For each connection that is checked, on top of [`PATIENCE`]: a hundred times what it takes.
const PATIENCE_EACH: Duration = Duration::from_millis(5);
/// Connections come from 127.0.1.1 and on, where no server of a host listens and where no proxy here takes its sources;
/// requests of [`Held::request`] and [`Held::direct`] from this one.
const PROBE_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 250);
const PROCESSES_MAX: u8 = 240;

/// When to stop opening.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The end of the phase, however far it is.
    pub(crate) deadline: Instant,
    /// For so long every single one may fail, then the rest is not tried.
    pub(crate) fruitless: Duration,
}

impl Bounds {
    /// For what is expected to succeed: so long in all.
    pub(crate) fn of(whole: Duration) -> Self {
        Self {
            deadline: Instant::now() + whole,
            fruitless: whole,
        }
    }

    fn is_over(&self, last_success: Instant) -> bool {
        Instant::now() >= self.deadline || last_success.elapsed() >= self.fruitless
    }
}

/// Held connections, and what may be asked beside them.
#[derive(Debug)]
pub(crate) struct Held {
    kind: Kind,
    address: SocketAddr,
    /// What one process has room for.
    each: usize,
    processes: Vec<Process>,
    /// How often all were checked: each time something else goes through.
    checks: u32,
    prober: Option<Endpoint>,
}

#[derive(Debug)]
struct Process {
    endpoint: Endpoint,
    held: usize,
}

impl Held {
    /// None yet, of a `kind`, to the proxy at `address`.
    pub(crate) fn none_yet(kind: Kind, address: SocketAddr) -> Result<Self, BenchError> {
        Ok(Self {
            kind,
            address,
            each: room_of_a_process()?,
            processes: Vec::new(),
            checks: 0,
            prober: None,
        })
    }

    /// Opens `connections` of a `kind` and waits until each had its answer, `flight` at a time; an error if one fails.
    pub(crate) fn all(
        kind: Kind,
        address: SocketAddr,
        connections: usize,
        flight: usize,
        interrupt: &Interrupt,
    ) -> Result<Self, BenchError> {
        let mut held = Self::none_yet(kind, address)?;
        let each = u32::try_from(connections).unwrap_or(u32::MAX);
        let bounds = Bounds::of(PATIENCE + PATIENCE_EACH * each);
        let outcomes = held.open(connections, flight, bounds, interrupt)?;
        if outcomes.successes() < connections {
            let what = format!("one of {connections} connections to be held");
            return Err(first_failure(&outcomes, &what));
        }
        Ok(held)
    }

    /// Tries to open `connections` more, `flight` at a time. What the bounds cut off is missing in the outcomes.
    pub(crate) fn open(
        &mut self,
        connections: usize,
        flight: usize,
        bounds: Bounds,
        interrupt: &Interrupt,
    ) -> Result<Outcomes, BenchError> {
        let mut sum = Outcomes::default();
        let mut last_success = Instant::now();
        let mut tried = 0;
        while tried < connections && !bounds.is_over(last_success) {
            interrupt.check()?;
            let left = bounds.deadline.saturating_duration_since(Instant::now());
            let budget = left.min(PORTION_BUDGET).min(bounds.fruitless);
            let process = self.process_with_room()?;
            let room = process.room;
            let process = &mut self.processes[process.index];
            let portion = (connections - tried).min(PORTION).min(room);
            let order = format!("open {portion} {flight} {}", budget.as_millis());
            let outcomes = ask(&mut process.endpoint, &order, budget, interrupt)?;
            process.held += outcomes.successes();
            if outcomes.successes() > 0 {
                last_success = Instant::now();
            }
            tried += outcomes.successes() + outcomes.failure_count();
            sum.add(outcomes);
        }
        Ok(sum)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.processes.iter().map(|process| process.held).sum()
    }

    /// Their processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let processes = self.processes.iter();
        processes.map(|process| process.endpoint.pid()).collect()
    }

    /// Closes all of them.
    pub(crate) fn close(&mut self) {
        self.processes.clear();
    }

    /// Sends something over every connection and waits until it was answered.
    pub(crate) fn check(&mut self, interrupt: &Interrupt) -> Result<Outcomes, BenchError> {
        let mut sum = Outcomes::default();
        self.checks += 1;
        let order = format!("check {}", self.checks);
        for process in &mut self.processes {
            interrupt.check()?;
            let held = u32::try_from(process.held).unwrap_or(u32::MAX);
            let budget = PATIENCE_EACH * held;
            sum.add(ask(&mut process.endpoint, &order, budget, interrupt)?);
        }
        Ok(sum)
    }

    /// [`Self::check`], with an error if one fails.
    pub(crate) fn check_all(&mut self, interrupt: &Interrupt) -> Result<(), BenchError> {
        let outcomes = self.check(interrupt)?;
        if outcomes.successes() < self.count() {
            return Err(first_failure(&outcomes, "a held connection"));
        }
        Ok(())
    }

    /// `count` requests, one by one, each with a connection of its own to the proxy and from there to the app.
    pub(crate) fn request(
        &mut self,
        count: usize,
        interrupt: &Interrupt,
    ) -> Result<Outcomes, BenchError> {
        let order = format!("request {count} {}", PORTION_BUDGET.as_millis());
        ask(self.prober()?, &order, PORTION_BUDGET, interrupt)
    }

    /// `count` connections straight to the app at `address`, one by one, each closed before the next.
    pub(crate) fn direct(
        &mut self,
        address: SocketAddr,
        count: usize,
        interrupt: &Interrupt,
    ) -> Result<Outcomes, BenchError> {
        let order = format!("direct {count} {} {address}", PORTION_BUDGET.as_millis());
        ask(self.prober()?, &order, PORTION_BUDGET, interrupt)
    }

    fn prober(&mut self) -> Result<&mut Endpoint, BenchError> {
        let prober = match self.prober.take() {
            Some(prober) => prober,
            None => self.start(PROBE_SOURCE)?,
        };
        Ok(self.prober.insert(prober))
    }

    fn process_with_room(&mut self) -> Result<Place, BenchError> {
        let last = self.processes.last().map(|process| process.held);
        if last.is_none_or(|held| held >= self.each) {
            let number = u8::try_from(self.processes.len() + 1).unwrap_or(u8::MAX);
            if number > PROCESSES_MAX {
                let what = "has no source address left to hold connections from";
                return Err(BenchError::Endpoint {
                    name: "holder",
                    what,
                });
            }
            let endpoint = self.start(Ipv4Addr::new(127, 0, 1, number))?;
            self.processes.push(Process { endpoint, held: 0 });
        }
        let index = self.processes.len() - 1;
        Ok(Place {
            index,
            room: self.each - self.processes[index].held,
        })
    }

    fn start(&self, source: Ipv4Addr) -> Result<Endpoint, BenchError> {
        let words: [OsString; 6] = [
            "--kind".into(),
            self.kind.word().into(),
            "--address".into(),
            self.address.to_string().into(),
            "--source".into(),
            source.to_string().into(),
        ];
        Endpoint::start("holder", words)
    }
}

/// A process that can hold more, and how many.
struct Place {
    index: usize,
    room: usize,
}

/// Gives an order that may take `budget` and brings what came of it.
fn ask(
    endpoint: &mut Endpoint,
    order: &str,
    budget: Duration,
    interrupt: &Interrupt,
) -> Result<Outcomes, BenchError> {
    endpoint.tell(order)?;
    let line = endpoint.line(budget + ANSWER_DEADLINE + PATIENCE, interrupt)?;
    Outcomes::from_line(&line).ok_or(BenchError::Endpoint {
        name: "holder",
        what: "says something else than what came of its order",
    })
}

fn first_failure(outcomes: &Outcomes, what: &str) -> BenchError {
    let reasons = outcomes.reasons();
    let reason = reasons
        .first()
        .map_or("not opened in time", |(reason, _)| reason);
    BenchError::Failed(format!("{what}: {reason}"))
}

/// How many connections one process may hold: by its descriptors, and by the ports of its source address, of which half
/// are left alone, since that is how far the kernel finds one at once on every version.
pub(crate) fn room_of_a_process() -> Result<usize, BenchError> {
    let descriptors = limits::nofile()?.hard.saturating_sub(DESCRIPTORS_APART);
    let range = sysctl::local_port_range()
        .map_err(|error| BenchError::Failed(format!("the source ports of this host: {error}")))?;
    let ports = usize::try_from(range.len().div_ceil(2)).unwrap_or(usize::MAX);
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    Ok(descriptors.min(ports).clamp(1, PROCESS_CONNECTIONS_MAX))
}

/// How many connections all processes together may hold.
pub(crate) fn connections_max() -> Result<usize, BenchError> {
    Ok(room_of_a_process()? * usize::from(PROCESSES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_holds_no_more_than_its_descriptors_and_ports_allow() {
        let each = room_of_a_process().unwrap();
        assert!((1..=PROCESS_CONNECTIONS_MAX).contains(&each));
        assert!(each as u64 <= limits::nofile().unwrap().hard);
    }

    #[test]
    fn a_phase_is_over_at_its_deadline_and_when_nothing_succeeds() {
        let now = Instant::now();
        let bounds = Bounds {
            deadline: now + Duration::from_secs(3600),
            fruitless: Duration::from_secs(30),
        };
        assert!(!bounds.is_over(now));
        let long_ago = now.checked_sub(Duration::from_secs(31));
        assert!(long_ago.is_none_or(|then| bounds.is_over(then)));
        let past = Bounds {
            deadline: now,
            ..bounds
        };
        assert!(past.is_over(now));
    }
}
