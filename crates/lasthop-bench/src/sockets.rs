//! The command `sockets`: what a visit of the doctor, a picture of `top` and the sampler of a running instance cost on a
//! host that has very many sockets.
//!
//! In a network namespace of its own, where the sockets are nobody else's and the range of source ports may be changed:
//! the harness starts itself again in there. The worst case comes first: every pair of addresses is nearly used up, so
//! each has a finding, and for each the owner is looked for among processes with thousands of descriptors. Then the
//! range is widened and nothing is found. How well a program tells is not looked at here, but that it saw all of them is.

mod sampler;
mod visit;

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::time::Duration;

use lasthop_kernel::{limits, namespace, process};

use crate::cli;
use crate::endpoint::pairs::{self, Errand, Pairs};
use crate::error::BenchError;
use crate::interrupt::Interrupt;
use crate::output::{self, files};
use crate::report::Machine;
use crate::rival::{Found, Rival};
use crate::{host, say};
use sampler::sampler;
use visit::visit;

/// What is promised of a visit.
pub(crate) const VISIT_PROMISE: Duration = Duration::from_secs(2);
/// What is promised of the sampler, as a part of one core.
pub(crate) const SAMPLER_PROMISE: f64 = 0.01;
/// How much of each pair is in use at first, in percent: tight, and not used up.
const TIGHT_PERCENT: usize = 92;
/// Where the processes listen, each at an address of its own; the namespace is ours, so the port is free.
const PORT: u16 = 3000;
/// The range of source ports, first and last, while pairs shall have room: the kernel's default.
const WIDE: (usize, usize) = (32_768, 60_999);

/// Everything that `output::sockets` shows.
#[derive(Clone, Debug)]
pub(crate) struct SocketsReport {
    pub(crate) machine: Machine,
    /// TCP sockets in the namespace, by the kernel's own count.
    pub(crate) sockets: u64,
    /// Processes that hold them.
    pub(crate) processes: usize,
    /// Source ports of a pair at first.
    pub(crate) narrow: usize,
    pub(crate) visits: Vec<Visit>,
    pub(crate) sampler: Sampler,
    /// The words after the command that repeats it.
    pub(crate) arguments: String,
    pub(crate) version: String,
}

/// A command that was run several times.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    /// What was run, and in which state of the host.
    pub(crate) what: &'static str,
    pub(crate) costs: Vec<Cost>,
}

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// From its start to its end.
    pub(crate) wall: Duration,
    /// Time on a core, by ticks of the kernel's clock.
    pub(crate) cpu: Duration,
}

impl Visit {
    pub(crate) fn is_kept(&self) -> bool {
        self.costs.iter().all(|cost| cost.wall < VISIT_PROMISE)
    }
}

/// What an idle instance with an admin address took, from the end of one reading of the host to the end of a later one:
/// whole periods, because the more a reading costs the longer it rests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampler {
    pub(crate) window: Duration,
    pub(crate) cpu: Duration,
    /// Readings in that time.
    pub(crate) readings: u32,
}

impl Sampler {
    /// As a part of one core.
    pub(crate) fn part(self) -> f64 {
        self.cpu.as_secs_f64() / self.window.as_secs_f64()
    }

    pub(crate) fn is_kept(self) -> bool {
        self.part() < SAMPLER_PROMISE
    }
}

/// Runs it.
///
/// # Errors
/// [`BenchError::Spoilt`], after everything has been written, when a promise is not kept.
pub(crate) fn sockets(wanted: &cli::Sockets) -> Result<(), BenchError> {
    match wanted.inside {
        None => start_inside(),
        Some(outside) => {
            // The range of source ports is changed below: nobody else's.
            if own_namespace()? == outside {
                return Err(BenchError::Failed(
                    "this is no network namespace of its own".to_owned(),
                ));
            }
            inside(wanted)
        }
    }
}

fn own_namespace() -> Result<u64, BenchError> {
    std::fs::metadata("/proc/self/ns/net")
        .map(|file| file.ino())
        .map_err(BenchError::host("see which network namespace this is"))
}

/// The same command in a namespace of its own, to its end.
fn start_inside() -> Result<(), BenchError> {
    let attempt = || BenchError::host("start again in a network namespace of its own");
    let mut command = Command::new(std::env::current_exe().map_err(attempt())?);
    command
        .args(std::env::args_os().skip(1))
        .arg("--inside")
        .arg(own_namespace()?.to_string());
    namespace::isolate(&mut command);
    // In this order: entering a namespace forgets the signal at the parent's end (prctl(2), PR_SET_PDEATHSIG).
    let status = process::die_with_parent(&mut command)
        .status()
        .map_err(attempt())?;
    if status.success() {
        Ok(())
    } else {
        Err(BenchError::Failed(format!(
            "the run in the namespace: {status}"
        )))
    }
}

fn inside(wanted: &cli::Sockets) -> Result<(), BenchError> {
    let interrupt = Interrupt::listen()?;
    let lasthop = Found::look_for_by_default(Rival::Lasthop, wanted.lasthop.as_ref())
        .map_err(BenchError::Nobody)?;
    limits::raise_nofile()?;
    host::check_sockets(wanted.count)?;
    let machine = Machine::here();
    machine.warn_if_busy();
    let errands = errands(wanted.count, pairs::room_of_a_process()?);
    let narrow = (errands.first().map_or(1, |one| one.count) * 100).div_ceil(TIGHT_PERCENT);
    let (first, last) = WIDE;
    set_range(first, (first + narrow - 1).min(last))?;
    let held = Pairs::hold(&errands, &interrupt)?;
    let sockets = sockets_here()?;
    say(&format!(
        "{sockets} sockets in {} processes",
        held.processes()
    ));
    let mut visits = Vec::new();
    let doctor = ["doctor", "--json"];
    let tight = "doctor --json, every pair tight";
    visits.push(visit(&lasthop, tight, &doctor, sockets, &interrupt)?);
    set_range(first, last)?;
    let room = "doctor --json, nothing to find";
    visits.push(visit(&lasthop, room, &doctor, sockets, &interrupt)?);
    let top = ["top", "--once"];
    visits.push(visit(&lasthop, "top --once", &top, 0, &interrupt)?);
    let window = Duration::from_secs(wanted.seconds);
    let sampler = sampler(&lasthop, errands[0].address, window, &interrupt)?;
    let report = SocketsReport {
        machine,
        sockets,
        processes: held.processes(),
        narrow,
        visits,
        sampler,
        arguments: format!("sockets --count {}", wanted.count),
        version: lasthop.version,
    };
    files::write_all(
        &wanted.outputs(),
        &output::sockets::text(&report),
        String::new,
        String::new,
        ("sockets", &|| output::sockets::markdown(&report)),
    )?;
    let broken = report.visits.iter().filter(|one| !one.is_kept()).count()
        + usize::from(!report.sampler.is_kept());
    match broken {
        0 => Ok(()),
        broken => Err(BenchError::Spoilt(broken)),
    }
}

/// Equal shares, as few as there may be, of so many `sockets`, two for each connection. Each goes to an address of its
/// own and comes from one of its own.
fn errands(sockets: usize, room: usize) -> Vec<Errand> {
    let connections = sockets.div_ceil(2);
    let processes = connections.div_ceil(room);
    let count = connections.div_ceil(processes);
    (1..=processes)
        .map(|number| {
            let [high, low] = u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
            Errand {
                address: SocketAddr::from(([127, 2, high, low], PORT)),
                source: Ipv4Addr::new(127, 3, high, low),
                count,
            }
        })
        .collect()
}

fn set_range(first: usize, last: usize) -> Result<(), BenchError> {
    let path = "/proc/sys/net/ipv4/ip_local_port_range";
    std::fs::write(path, format!("{first} {last}"))
        .map_err(BenchError::host(format!("write {path}")))
}

/// TCP sockets of this namespace: `TCP: inuse 200000 …` of /proc/net/sockstat.
fn sockets_here() -> Result<u64, BenchError> {
    let path = "/proc/net/sockstat";
    let text = std::fs::read_to_string(path).map_err(BenchError::host(format!("read {path}")))?;
    number_after(&text, "TCP: inuse ").ok_or_else(|| {
        BenchError::Failed(format!("{path} does not say how many sockets there are"))
    })
}

/// The whole number that follows `words` in `text`.
fn number_after(text: &str, words: &str) -> Option<u64> {
    let (_, rest) = text.split_once(words)?;
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_divided_into_equal_groups_of_pairs() {
        let all = errands(200_000, 9_900);
        assert_eq!(all.len(), 11);
        assert_eq!(all.iter().map(|one| one.count).sum::<usize>(), 11 * 9_091);
        assert_eq!(all[10].address.to_string(), "127.2.0.11:3000");
        assert_eq!(errands(1, 9_900).len(), 1);
    }

    #[test]
    fn a_figure_is_read_after_its_words() {
        let sockstat = "sockets: used 9\nTCP: inuse 120 orphan 0 tw 3\n";
        assert_eq!(number_after(sockstat, "TCP: inuse "), Some(120));
        assert_eq!(
            number_after("{\"established\":7}", "\"established\":"),
            Some(7)
        );
        assert_eq!(number_after("nothing", "TCP: inuse "), None);
    }
}
