//! The inside of the wall: in its namespace, it makes ports few, tries each remedy under the same load, and holds
//! connections.
//!
//! What it sees it says to the outside in lines, on the standard output; it knows nothing of tables. App and clients
//! are in this process, the proxy is another one. It refuses to work where it would change a network that is not its
//! own.

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::rc::Rc;

use lasthop_kernel::limits;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_blocking;

use super::diagnosis::Diagnosis;
use super::line::Line;
use super::pace::{self, Tally};
use super::trial::{Remedy, Trial};
use super::watch::{self, Sample};
use super::{AFTERMATH, LOAD, PORTS, RATE, Size, WIDER_PORTS, config, held};
use crate::demo::DemoError;
use crate::demo::app::App;
use crate::demo::load::Destination;
use crate::demo::ports;
use crate::demo::proxy::Proxy;
use crate::doctor::{self, Background};

/// The first of the few source ports.
const FIRST_PORT: u64 = 40_000;
/// The app's port for the first trial, outside of the range; each has the next one, so that what one has closed is
/// not in the way of another.
const APP_PORT: u16 = 3000;
/// How long a request of the load waits for a port: as good as not at all, since none gets free within the load. Not
/// nothing, so that a listen queue that is full for a moment refuses nobody.
const QUEUE_MILLISECONDS: u32 = 100;

/// In the directory for its files: which network is the outside's.
pub(super) const OUTSIDE_FILE: &str = "outside";
const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const REUSE: &str = "/proc/sys/net/ipv4/tcp_tw_reuse";

/// Where it plays.
pub(super) struct Stage<'a> {
    /// For its files.
    pub(super) directory: &'a Path,
    /// The proxy.
    pub(super) binary: &'a Path,
}

/// Plays inside: `directory` is for its files, `out` is what the outside reads.
///
/// # Errors
/// Where this is no namespace of the demo's own, or where a measurement cannot be made. Whoever started it is told of a
/// namespace whose settings cannot be changed in a line, and that is no error.
pub fn run(directory: &Path, out: &mut impl Write) -> Result<(), DemoError> {
    if !is_our_own(directory).map_err(host("see which network it is in"))? {
        return Err(DemoError::Wall {
            what: "works only where `lasthop demo` itself starts it",
        });
    }
    let limit = limits::raise_nofile().map_err(|error| DemoError::Host {
        attempt: "raise its limit of descriptors",
        source: io::Error::other(error),
    })?;
    let size = Size::within(limit.hard).ok_or(DemoError::Wall {
        what: "has too few descriptors",
    })?;
    let reuse_before = match prepare() {
        Ok(before) => before,
        Err(reason) => return say(out, &Line::LeftOut(reason)),
    };
    say(out, &Line::Ready)?;
    let binary = std::env::current_exe().map_err(host("find its own binary"))?;
    let stage = Stage {
        directory,
        binary: &binary,
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(host("make a runtime"))?;
    let mut apps = (APP_PORT..).map(|port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
    for (remedy, app) in Remedy::ALL.into_iter().zip(apps.by_ref()) {
        runtime.block_on(stage.trial(remedy, app, out))?;
    }
    let setting = host("change its settings");
    set_ports(size.ports)
        .and_then(|()| std::fs::write(REUSE, reuse_before))
        .map_err(setting)?;
    for (way, app) in held::Way::ALL.into_iter().zip(apps) {
        let row = runtime.block_on(held::measure(&stage, way, app, size.asked))?;
        say(out, &Line::Held(row))?;
    }
    Ok(())
}

/// Makes the settings those of the story, and returns what `tcp_tw_reuse` was; why that cannot be done, where it cannot.
fn prepare() -> Result<String, String> {
    set_ports(PORTS).map_err(|error| format!("{PORT_RANGE} cannot be written ({error})"))?;
    std::fs::read_to_string(REUSE)
        .and_then(|before| std::fs::write(REUSE, "0").map(|()| before))
        .map_err(|error| format!("{REUSE} cannot be read and written ({error})"))
}

fn set_ports(count: u64) -> io::Result<()> {
    std::fs::write(
        PORT_RANGE,
        format!("{FIRST_PORT} {}", FIRST_PORT + count - 1),
    )
}

impl Stage<'_> {
    /// One remedy under the load, with an app and a proxy of its own. Where there is none, the doctor comes.
    async fn trial(
        &self,
        remedy: Remedy,
        app: SocketAddrV4,
        out: &mut impl Write,
    ) -> Result<(), DemoError> {
        let range = match remedy {
            Remedy::WiderRange => WIDER_PORTS,
            _ => PORTS,
        };
        let reuse = match remedy {
            Remedy::Reuse => "1",
            _ => "0",
        };
        set_ports(range)
            .and_then(|()| std::fs::write(REUSE, reuse))
            .map_err(host("change its settings"))?;
        let app =
            App::start_at(app, pace::BODY_BYTES, self.directory).map_err(host("start its app"))?;
        let target = match remedy {
            Remedy::Nothing | Remedy::Reuse | Remedy::WiderRange => config::Target::TcpKernel,
            Remedy::ManyAddresses => config::Target::Tcp,
            Remedy::UnixSocket => config::Target::Unix,
        };
        let proxy = self.proxy(remedy.word(), |front| {
            let keeping = config::Keeping::None;
            config::config(front, &app, target, keeping, QUEUE_MILLISECONDS)
        })?;
        // The line of the plateau is to be seen to stay where no request comes any more.
        let span = match remedy {
            Remedy::Nothing => LOAD + AFTERMATH,
            _ => LOAD,
        };
        let tally: Rc<RefCell<Tally>> = Rc::default();
        let mut time_wait_max = 0;
        let mut visit = None;
        let seen = |sample: Sample| {
            time_wait_max = sample.time_wait.max(time_wait_max);
            if remedy == Remedy::Nothing && sample.held >= range {
                visit.get_or_insert_with(|| spawn_blocking(examine));
            }
            writeln!(out, "{}", Line::Sample(sample)).and_then(|()| out.flush())
        };
        let watching = watch::watch(app.tcp_address(), span, &tally, seen);
        let ((), watched) = tokio::join!(
            pace::send(front(&proxy)?, RATE, LOAD, &tally),
            Box::pin(watching),
        );
        watched.map_err(host("watch its sockets"))?;
        let addresses = ports::sources(app.tcp_address()).map_err(host("read /proc/net/tcp"))?;
        let tally = tally.take();
        let trial = Trial {
            remedy,
            asked: tally.asked,
            answered: tally.answered,
            refused: tally.refused,
            time_wait_max,
            ports: range,
            addresses,
            p99: tally.p99(),
            wall: tally.wall,
            refusal: tally.refusal,
        };
        say(out, &Line::Trial(trial))?;
        if remedy != Remedy::Nothing {
            return Ok(());
        }
        // Where there was no wall, the doctor comes all the same and says so.
        let visit = visit.unwrap_or_else(|| spawn_blocking(examine));
        let diagnosis = visit.await.map_err(io::Error::other);
        let diagnosis = diagnosis.map_err(host("ask the doctor"))?;
        say(out, &Line::Diagnosis(diagnosis))
    }

    /// A proxy with the configuration that `config` gives for the path of its Unix socket; files are named after `name`.
    pub(super) fn proxy(
        &self,
        name: &str,
        config: impl FnOnce(&Path) -> Option<String>,
    ) -> Result<Proxy, DemoError> {
        let front = self.directory.join(format!("{name}.sock"));
        let file = self.directory.join(format!("{name}.toml"));
        let config = config(&front).ok_or(DemoError::Host {
            attempt: "write down the path of its sockets",
            source: io::ErrorKind::InvalidFilename.into(),
        })?;
        std::fs::write(&file, config).map_err(host("write a configuration"))?;
        Ok(Proxy::start_with(self.binary, &file)?)
    }
}

/// What the doctor says of this namespace now; takes a second or two.
fn examine() -> Diagnosis {
    let examination = doctor::examine(Background::default());
    Diagnosis::of(&examination.findings, &examination.snapshot.unseen)
}

/// Where the clients of `proxy` go to.
pub(super) fn front(proxy: &Proxy) -> Result<&Path, DemoError> {
    match proxy.destination() {
        Destination::Unix(path) => Ok(path),
        Destination::Tcp(_) => Err(DemoError::Wall {
            what: "has a proxy at another address than it was told",
        }),
    }
}

/// The error for an attempt of the demo.
pub(super) fn host(attempt: &'static str) -> impl Fn(io::Error) -> DemoError {
    move |source| DemoError::Host { attempt, source }
}

fn say(out: &mut impl Write, line: &Line) -> Result<(), DemoError> {
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(host("tell what it found"))
}

/// The namespace of the calling process, under a name that no two share: `net:[4026531840]` (namespaces(7)).
pub(super) fn network() -> io::Result<String> {
    let name = std::fs::read_link("/proc/self/ns/net")?;
    Ok(name.to_string_lossy().into_owned())
}

/// Whether the outside has noted its network, and this is another one. For root of the host, nothing else would be in
/// the way of changing the host's range.
fn is_our_own(directory: &Path) -> io::Result<bool> {
    let outside = match std::fs::read_to_string(directory.join(OUTSIDE_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        read => read?,
    };
    Ok(outside != network()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::scratch::Scratch;

    #[test]
    fn it_does_not_work_in_a_network_that_is_not_its_own() {
        let scratch = Scratch::new().unwrap();
        assert!(!is_our_own(scratch.path()).unwrap(), "nobody started it");
        let outside = scratch.path().join(OUTSIDE_FILE);
        std::fs::write(&outside, network().unwrap()).unwrap();
        assert!(!is_our_own(scratch.path()).unwrap());
        std::fs::write(&outside, "net:[1]").unwrap();
        assert!(is_our_own(scratch.path()).unwrap());
    }
}
