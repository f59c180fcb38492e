//! Many processes of one proxy behind one listen address: what it takes to hold more connections than one process has
//! descriptors for.
//!
//! All of them forward to one address of the app. A proxy has its usual configuration, or the best that can be made by
//! hand where ports of one source address do not do: several source addresses. The kernel spreads clients over the
//! listening sockets of one address by a hash (`SO_REUSEPORT`), so evenly only on average: each process has room for more.

mod sources;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use lasthop_kernel::limits;

pub(crate) use sources::needed as sources_needed;

use super::{Found, Rival, Server, fill_in, server};
use crate::accounting;
use crate::error::BenchError;
use crate::ports;
use crate::upstream::Upstream;

/// Descriptors of a process that are no connection's: listeners, logs, event loops.
const DESCRIPTORS_APART: u64 = 256;

/// What the processes are set up for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mission<'a> {
    pub(crate) upstream: &'a Upstream,
    /// All that are to be held, over all processes.
    pub(crate) connections: usize,
    /// Source addresses that are configured; none leaves them to the proxy.
    pub(crate) sources: &'a [Ipv4Addr],
    /// Where the files go.
    pub(crate) directory: &'a Path,
}

/// Running processes of one proxy; dropping it ends them.
#[derive(Debug)]
pub(crate) struct Fleet {
    servers: Vec<Server>,
}

impl Fleet {
    /// Starts them on a free port of 127.0.0.1 and waits until all of them listen.
    pub(crate) fn start(proxy: &Found, mission: &Mission<'_>) -> Result<Self, BenchError> {
        let (rival, directory) = (proxy.rival, mission.directory);
        let processes = processes_needed(rival, mission.connections)?;
        let write = |address| write_configuration(rival, address, processes, mission);
        let command = |path: &Path| command(rival, &proxy.binary, path, directory);
        let first = Server::start_on_a_free_port(rival.name(), directory, || {
            let address = ports::free_address().map_err(BenchError::host("find a free port"))?;
            Ok((address, command(&write(address)?)))
        })?;
        let address = first.address();
        let mut servers = vec![first];
        // nginx' workers are of one process.
        let more = if rival == Rival::Nginx { 1 } else { processes };
        // One file for all of them, and no longer written to when the first of these reads it.
        let configuration = write(address)?;
        for number in 1..more {
            let complaints = directory.join(format!("{}-{number}.stderr", rival.name()));
            let start = (address, command(&configuration));
            servers.push(Server::launch(rival.name(), start, complaints)?);
        }
        server::await_beside(rival.name(), &mut servers)?;
        Ok(Self { servers })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.servers[0].address()
    }

    /// What was started of them, without its children.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.servers.iter().map(Server::pid).collect()
    }

    /// `Pss` of all of them together, in bytes.
    pub(crate) fn memory_bytes(&self) -> Result<u64, BenchError> {
        accounting::memory_bytes(&self.pids())
    }

    /// Time on a core of all of them together.
    pub(crate) fn run_time(&self) -> Result<std::time::Duration, BenchError> {
        accounting::run_time(&self.pids())
    }

    /// What they wrote to their standard errors, the one after the other, but for where lasthop listens.
    pub(crate) fn said(&self) -> String {
        let said: String = self.servers.iter().map(Server::said).collect();
        let lines = said.lines();
        let lines = lines.filter(|line| !line.starts_with("listening on "));
        lines.map(|line| format!("{line}\n")).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // All at once: each takes a moment.
        self.servers.iter().for_each(Server::tell_to_end);
    }
}

/// Connections that one process of `rival` may hold, to clients; each has another to the app.
pub(crate) fn room_of_a_process(rival: Rival) -> Result<usize, BenchError> {
    let descriptors = limits::raise_nofile()?.hard;
    let free = descriptors.saturating_sub(DESCRIPTORS_APART);
    let for_all = match rival {
        // lasthop refuses clients at the last sixty-fourth of its descriptors, which is for connections to the app.
        Rival::Lasthop => free - free / 64,
        _ => free,
    };
    Ok(usize::try_from(for_all / 2).unwrap_or(usize::MAX).max(1))
}

/// The processes of `rival` that `connections` need, with room for the uneven spread of a hash: the largest share is that
/// many standard deviations above the mean once in a hundred million runs.
pub(crate) fn processes_needed(rival: Rival, connections: usize) -> Result<usize, BenchError> {
    Ok(processes_of(connections, room_of_a_process(rival)?))
}

/// [`processes_needed`], of processes with so much `room` each.
pub(crate) fn processes_of(connections: usize, room: usize) -> usize {
    const DEVIATIONS: f64 = 6.0;
    let mut processes = connections.div_ceil(room).max(1);
    // Ends at one connection a process at the latest.
    while processes > 1 && processes < connections {
        #[allow(clippy::cast_precision_loss, reason = "counts of connections")]
        let (mean, room) = (connections as f64 / processes as f64, room as f64);
        if mean + DEVIATIONS * mean.sqrt() <= room {
            break;
        }
        processes += 1;
    }
    processes
}

/// Fills in the template of `rival` and writes it down.
fn write_configuration(
    rival: Rival,
    address: SocketAddr,
    processes: usize,
    mission: &Mission<'_>,
) -> Result<PathBuf, BenchError> {
    let room = room_of_a_process(rival)?;
    let (upstream, sources) = (mission.upstream, mission.sources);
    let mut words = vec![
        ("@LISTEN@", address.to_string()),
        ("@CONNECTIONS@", room.to_string()),
        ("@DESCRIPTORS@", (2 * room).to_string()),
        ("@WORKERS@", processes.to_string()),
        ("@DIRECTORY@", mission.directory.display().to_string()),
    ];
    let (template, name) = match rival {
        Rival::Nginx => {
            words.push(("@UPSTREAM@", upstream.colon_form()));
            words.push(("@SOURCES@", sources::of_nginx(sources)));
            words.push(("@BIND@", sources::bind_of_nginx(sources)));
            (include_str!("nginx.conf"), "nginx.conf")
        }
        Rival::Haproxy => {
            words.push(("@SERVERS@", sources::servers_of_haproxy(upstream, sources)));
            (include_str!("haproxy.cfg"), "haproxy.cfg")
        }
        Rival::Lasthop => {
            words.push(("@UPSTREAM@", upstream.colon_form()));
            (include_str!("lasthop.toml"), "lasthop.toml")
        }
        Rival::Envoy | Rival::Caddy => {
            return Err(BenchError::Nobody(format!(
                "{} is not set up for holding connections",
                rival.name()
            )));
        }
    };
    let path = mission.directory.join(name);
    fs::write(&path, fill_in(template, &words))
        .map_err(BenchError::host(format!("write {}", path.display())))?;
    Ok(path)
}

fn command(rival: Rival, binary: &Path, configuration: &Path, directory: &Path) -> Command {
    let mut command = Command::new(binary);
    match rival {
        Rival::Nginx => super::nginx::arguments(&mut command, configuration, directory),
        Rival::Haproxy => super::haproxy::arguments(&mut command, configuration),
        Rival::Lasthop | Rival::Envoy | Rival::Caddy => command.arg("run").arg(configuration),
    };
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::lasthop::demo::scratch::Scratch;

    #[test]
    fn processes_have_room_for_an_uneven_spread() {
        assert_eq!(processes_of(0, 9872), 1);
        assert_eq!(processes_of(9872, 9872), 1);
        assert_eq!(processes_of(100_000, 9872), 11);
        // Twelve would have room for the mean of 1000 and nothing else.
        assert!(processes_of(12_000, 1000) > 14);
    }

    fn configuration(rival: Rival, sources: &[Ipv4Addr]) -> String {
        let scratch = Scratch::new().unwrap();
        let mission = Mission {
            upstream: &Upstream::Tcp("127.0.0.1:3000".parse().unwrap()),
            connections: 10,
            sources,
            directory: scratch.path(),
        };
        let address = "127.0.0.1:1".parse().unwrap();
        let path = write_configuration(rival, address, 3, &mission).unwrap();
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn no_word_of_a_template_is_left_open() {
        for rival in [Rival::Lasthop, Rival::Nginx, Rival::Haproxy] {
            let text = configuration(rival, &[]);
            let open = text.split('@').skip(1).find(|word| {
                !word.is_empty() && word.chars().all(|letter| letter.is_ascii_uppercase())
            });
            assert_eq!(open, None, "{text}");
            assert!(text.contains("127.0.0.1:3000"), "{text}");
        }
    }

    #[test]
    fn sources_are_configured_where_they_are_given() {
        let sources = sources_needed(2);
        for rival in [Rival::Nginx, Rival::Haproxy] {
            let (without, with) = (configuration(rival, &[]), configuration(rival, &sources));
            assert!(!without.contains("127.1.0."), "{without}");
            assert!(with.contains("127.1.0.1"), "{with}");
        }
    }
}
