//! The command `sockets`: what a visit of the doctor, a picture of `top` and the sampler of a running instance cost on a
//! host that has very many sockets.
//!
//! In a network namespace of its own, where the sockets are nobody else's and the range of source ports may be changed:
//! the harness starts itself again in there. The worst case comes first: every pair of addresses is nearly used up, so
//! each has a finding, and for each the owner is looked for among processes with thousands of descriptors. Then the
//! range is widened and nothing is found. How well a program tells is not looked at here, but that it saw all of them is.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use lasthop::demo::scratch::Scratch;
use lasthop_kernel::{limits, namespace, process};

use crate::cli;
use crate::endpoint::pairs::{self, Errand, Pairs};
use crate::error::BenchError;
use crate::interrupt::Interrupt;
use crate::output::{self, files};
use crate::report::Machine;
use crate::rival::{Found, Rival, Server};
use crate::{accounting, host, ports, say};

/// How often each visit is made. Each is a new process that knows nothing of the one before.
const ROUNDS: usize = 3;
/// A visit is given up after this; the promise is two seconds.
const VISIT_MAX: Duration = Duration::from_secs(60);
/// What is promised of a visit.
pub(crate) const VISIT_PROMISE: Duration = Duration::from_secs(2);
/// What is promised of the sampler, as a part of one core.
pub(crate) const SAMPLER_PROMISE: f64 = 0.01;
/// How much of each pair is in use at first, in percent: tight, and not used up.
const TIGHT_PERCENT: usize = 92;
/// Between two looks at a process that is about to end.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// Between two looks at when the host was read.
const SAMPLE_LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// A reading of the host that costs a second is followed by one after 150.
const READING_PERIOD_MAX: Duration = Duration::from_secs(300);
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

/// Runs a command of lasthop [`ROUNDS`] times; of JSON that it prints, `established` has to be nearly all of `sockets`.
fn visit(
    lasthop: &Found,
    what: &'static str,
    words: &[&str],
    sockets: u64,
    interrupt: &Interrupt,
) -> Result<Visit, BenchError> {
    let mut costs = Vec::new();
    for _ in 0..ROUNDS {
        interrupt.check()?;
        let (cost, said) = timed(&lasthop.binary, words)?;
        let seen = number_after(&said, "\"established\":").unwrap_or(0);
        // Each process has a listener as well.
        if seen < sockets - sockets / 100 {
            return Err(BenchError::Failed(format!(
                "{what} saw {seen} of {sockets} sockets"
            )));
        }
        say(&format!(
            "{what}: {:.2} s, {:.2} s on a core",
            cost.wall.as_secs_f64(),
            cost.cpu.as_secs_f64()
        ));
        costs.push(cost);
    }
    Ok(Visit { what, costs })
}

/// One run to its end, and what it printed.
fn timed(binary: &Path, words: &[&str]) -> Result<(Cost, String), BenchError> {
    let name = words.join(" ");
    let attempt = || BenchError::host(format!("run lasthop {name}"));
    let begun = Instant::now();
    let mut command = Command::new(binary);
    command
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = process::die_with_parent(&mut command)
        .spawn()
        .map_err(attempt())?;
    let output = child.stdout.take();
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut said = Vec::new();
        let read = output.map_or(Ok(0), |mut output| output.read_to_end(&mut said));
        // Nobody waits any more where it took too long.
        let _ = send.send(read.map(|_| said));
    });
    let said = receive.recv_timeout(VISIT_MAX);
    // Not waited for yet: while it is a zombie the kernel still tells what it has used.
    while said.is_ok() && !is_zombie(child.id()) && begun.elapsed() < VISIT_MAX {
        thread::sleep(LOOK_INTERVAL);
    }
    let wall = begun.elapsed();
    let cpu = process::cpu_time(child.id())?.total();
    // Where it has ended this changes nothing.
    let _ = child.kill();
    let status = child.wait().map_err(attempt())?;
    let said = said
        .map_err(|_| BenchError::Failed(format!("lasthop {name} took too long")))?
        .map_err(attempt())?;
    // Findings are no failure; to be unable to tell, or to know no such command, is.
    if !matches!(status.code(), Some(0 | 3 | 4)) {
        return Err(BenchError::Failed(format!("lasthop {name}: {status}")));
    }
    Ok((
        Cost { wall, cpu },
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

/// Whether a process has ended and was not waited for: the letter after its name in /proc/PID/stat (proc_pid_stat(5)).
fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    state.is_none_or(|state| state.starts_with('Z'))
}

/// What an idle instance costs for `window` after it has read the host once.
fn sampler(
    lasthop: &Found,
    target: SocketAddr,
    window: Duration,
    interrupt: &Interrupt,
) -> Result<Sampler, BenchError> {
    let scratch = Scratch::new().map_err(BenchError::host("make a directory for files"))?;
    let admin = scratch.path().join("admin.sock");
    let server = Server::start_on_a_free_port("lasthop", scratch.path(), || {
        let address = ports::free_address().map_err(BenchError::host("find a free port"))?;
        let mut command = Command::new(&lasthop.binary);
        command
            .args(["run", "--workers", "1", "--listen"])
            .arg(address.to_string())
            .args(["--to", &target.to_string(), "--admin"])
            .arg(format!("unix:{}", admin.display()));
        Ok((address, command))
    })?;
    let mut sampled = next_sample(&admin, None, interrupt)?;
    let pids = [server.pid()];
    let (begun, before) = (Instant::now(), accounting::run_time(&pids)?);
    let mut sampler = Sampler {
        window: Duration::ZERO,
        cpu: Duration::ZERO,
        readings: 0,
    };
    while sampler.window < window {
        sampled = next_sample(&admin, Some(&sampled), interrupt)?;
        sampler.window = begun.elapsed();
        sampler.cpu = accounting::run_time(&pids)?.saturating_sub(before);
        sampler.readings += 1;
    }
    say(&format!(
        "the sampler: {:.2} % of a core, {} readings in {:.0} s",
        100.0 * sampler.part(),
        sampler.readings,
        sampler.window.as_secs_f64()
    ));
    Ok(sampler)
}

/// Waits until the instance has read the host another time than at `last`; when that was, as it says it.
fn next_sample(
    admin: &Path,
    last: Option<&str>,
    interrupt: &Interrupt,
) -> Result<String, BenchError> {
    let deadline = Instant::now() + READING_PERIOD_MAX;
    loop {
        interrupt.check()?;
        if let Some(now) = sampled_at(admin)
            && last != Some(now.as_str())
        {
            return Ok(now);
        }
        if Instant::now() > deadline {
            return Err(BenchError::Failed(
                "the instance has not read the host in time".to_owned(),
            ));
        }
        // Each look is a page that it renders; a few of them in a second do not show in the figure.
        thread::sleep(SAMPLE_LOOK_INTERVAL);
    }
}

/// When the host was read last, by `/metrics` of the admin address; none until it has been.
fn sampled_at(admin: &Path) -> Option<String> {
    let ask = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(admin)?;
        stream.set_read_timeout(Some(VISIT_MAX))?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    };
    let page = ask().ok()?;
    let mut lines = page.lines();
    let time = lines.find_map(|line| line.strip_prefix("lasthop_host_sampled_timestamp_seconds "));
    time.map(str::to_owned)
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

    #[test]
    fn what_a_command_has_used_is_read_before_it_is_buried() {
        let (cost, said) = timed(Path::new("/bin/echo"), &["hello"]).unwrap();
        assert_eq!(said, "hello\n");
        assert!(cost.wall > Duration::ZERO && cost.wall < VISIT_MAX);
        assert!(timed(Path::new("/bin/false"), &[]).is_err());
    }
}
