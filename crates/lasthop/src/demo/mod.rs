//! `lasthop demo`: where connections over TCP end, what the doctor says of it and what each remedy does about it, then what
//! the last hop costs over TCP and over a Unix socket, measured on this host in less than a minute.
//!
//! It brings an app and clients of its own, runs the proxy as a child process, and needs neither configuration nor
//! privileges nor the network. The first act is [`wall`]; the others are scenes of load. Each scene gets a fresh app and
//! a fresh proxy in each round, so that no port of an earlier run is counted; the scenes alternate, so that a
//! disturbance of the host does not meet only one of them. They show ratios, not records: app, load and proxy share the
//! cores. For comparisons with other proxies there is `lasthop-bench`, which uses [`app`], [`load`] and [`tunnel`] as
//! well.

pub mod app;
pub mod histogram;
pub mod load;
pub mod ports;
pub mod proxy;
pub mod report;
pub mod scratch;
pub mod screen;
pub mod tunnel;
pub mod wall;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lasthop_kernel::limits;
use lasthop_kernel::process::{self, CpuTime, ProcessError};
use lasthop_ports::PortRange;
use thiserror::Error;

use app::{App, CLOSING_PATH};
use load::{LoadOutcome, LoadSettings};
use proxy::{Proxy, ProxyError};
use report::Reading;
use scratch::Scratch;
use screen::Screen;

/// How the proxy reaches the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP to a loopback address.
    Tcp,
    /// A Unix socket.
    Unix,
}

/// What the app does with a connection after it has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// It waits for the next request.
    KeepsOpen,
    /// It closes, as gunicorn's sync worker does.
    Closes,
}

/// One thing the demo measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scene {
    /// What the app does.
    pub habit: Habit,
    /// How the proxy reaches it.
    pub transport: Transport,
}

impl Transport {
    /// As a row's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "over TCP",
            Self::Unix => "over a Unix socket",
        }
    }
}

impl Habit {
    /// All, in the order they are shown.
    pub const ALL: [Self; 2] = [Self::KeepsOpen, Self::Closes];

    /// As a heading.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KeepsOpen => "The app keeps connections open",
            Self::Closes => "The app closes after each answer",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::KeepsOpen => "/",
            Self::Closes => CLOSING_PATH,
        }
    }
}

impl Scene {
    /// All, in the order they are run and shown.
    pub const ALL: [Self; 4] = [
        Self {
            habit: Habit::KeepsOpen,
            transport: Transport::Tcp,
        },
        Self {
            habit: Habit::KeepsOpen,
            transport: Transport::Unix,
        },
        Self {
            habit: Habit::Closes,
            transport: Transport::Tcp,
        },
        Self {
            habit: Habit::Closes,
            transport: Transport::Unix,
        },
    ];
}

/// What the demo may be told; the default needs nothing and takes about three quarters of a minute.
#[derive(Clone, Debug)]
pub struct DemoSettings {
    /// The binary to run as the proxy; `None`: the running one.
    pub proxy: Option<PathBuf>,
    /// Load per scene, over all rounds.
    pub seconds_per_scene: f64,
    /// Times that each scene is run; the figures are medians over them.
    pub rounds: u32,
    /// Client connections.
    pub clients: usize,
    /// Body bytes of each answer.
    pub body_bytes: usize,
}

impl Default for DemoSettings {
    fn default() -> Self {
        Self {
            proxy: None,
            seconds_per_scene: 3.0,
            rounds: 3,
            clients: 64,
            body_bytes: 100,
        }
    }
}

/// Why the demo did not come to its end. The children are gone and the scratch directory is removed by then.
#[derive(Debug, Error)]
pub enum DemoError {
    /// Something of this host was not to be had.
    #[error("the demo cannot {attempt}")]
    Host {
        /// What was attempted.
        attempt: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The proxy did not start.
    #[error("the demo's proxy did not come up")]
    Proxy(#[from] ProxyError),
    /// The proxy's CPU time could not be read, for example because it has ended.
    #[error("cannot read the CPU time of the demo's proxy{complaints}")]
    Cpu {
        /// The end of the proxy's standard error.
        complaints: String,
        /// What the system said.
        source: ProcessError,
    },
    /// Requests failed, so the figures would mean nothing.
    #[error("{errors} of {} requests failed {} ({}); the first: {first}{complaints}", errors + requests,
        scene.transport.name(), scene.habit.name())]
    Requests {
        /// Where.
        scene: Scene,
        /// Requests that failed.
        errors: u64,
        /// Requests that did not.
        requests: u64,
        /// The first failure, in words.
        first: String,
        /// The end of the proxy's standard error.
        complaints: String,
    },
    /// The first act began, and did not come to its end.
    #[error("the part of the demo in a network namespace {what}")]
    Wall {
        /// What it does instead; why, it has said itself on the standard error.
        what: &'static str,
    },
    /// SIGINT or SIGTERM came.
    #[error("interrupted")]
    Interrupted,
}

/// Short run before each measured one, so that connections, caches and pools are as they stay.
const WARM_UP: Duration = Duration::from_millis(150);
/// Descriptors that app and load, or the proxy, need in a scene besides two for each client. Of few, the proxy keeps a
/// quarter back.
const DESCRIPTORS_APART: u64 = 72;
/// With fewer clients than this it is no load.
const CLIENTS_MIN: usize = 8;

/// Runs the demo and writes what it shows to `out`, until its end or until SIGINT or SIGTERM. Needs a `LocalRuntime`
/// with time and I/O enabled.
///
/// # Errors
/// See [`DemoError`]; each says whose fault it is.
pub async fn run(
    settings: &DemoSettings,
    screen: Screen,
    out: &mut impl Write,
) -> Result<(), DemoError> {
    tokio::select! {
        biased;
        result = interrupted() => result,
        result = play(settings, screen, out) => result,
    }
}

/// Ends with the first SIGINT or SIGTERM: the guards of [`play`] then end the children and remove the files.
async fn interrupted() -> Result<(), DemoError> {
    use tokio::signal::unix::{SignalKind, signal};
    let attempt = |source| DemoError::Host {
        attempt: "listen for signals",
        source,
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(attempt)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(attempt)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Err(DemoError::Interrupted)
}

async fn play(
    settings: &DemoSettings,
    screen: Screen,
    out: &mut impl Write,
) -> Result<(), DemoError> {
    let binary = match &settings.proxy {
        Some(path) => path.clone(),
        None => std::env::current_exe().map_err(|source| DemoError::Host {
            attempt: "find its own binary",
            source,
        })?,
    };
    let limit = limits::raise_nofile().map_err(|error| DemoError::Host {
        attempt: "raise its limit of descriptors",
        source: io::Error::other(error),
    })?;
    wall::show(&binary, limit.hard, screen, out).await?;
    match clients_within(limit.hard, settings.clients) {
        Some(clients) => load_scenes(settings, clients, &binary, screen, out).await,
        None => screen.show(
            out,
            &format!(
                "Load over TCP and over a Unix socket is left out: this host allows a process only {} descriptors.\n",
                limit.hard
            ),
        ),
    }
}

/// How many of the clients that are asked for fit into so many descriptors, two for each in either process; `None` where
/// they are too few to be a load.
fn clients_within(descriptors: u64, asked: usize) -> Option<usize> {
    let room = descriptors.saturating_sub(DESCRIPTORS_APART) / 2;
    let clients = usize::try_from(room).map_or(asked, |room| room.min(asked));
    (clients >= CLIENTS_MIN.min(asked)).then_some(clients)
}

/// The other acts: the same load over both transports, measured in turn.
async fn load_scenes(
    settings: &DemoSettings,
    clients: usize,
    binary: &Path,
    screen: Screen,
    out: &mut impl Write,
) -> Result<(), DemoError> {
    let rounds = settings.rounds.max(1);
    let run_time =
        Duration::from_secs_f64(settings.seconds_per_scene.clamp(0.05, 60.0) / f64::from(rounds));
    let fewer = match settings.clients.saturating_sub(clients) {
        0 => "",
        _ => " (fewer than usual, for lack of descriptors)",
    };
    let title = screen.colour.bold(&format!(
        "Load: one app, one proxy worker, {clients} clients{fewer}, answers of {} bytes",
        settings.body_bytes
    ));
    let intro = format!(
        "{title}\nMedians of {rounds} runs of {:.1} s each. This takes about {:.0} s.\n\n",
        run_time.as_secs_f64(),
        // Four scenes; starting app and proxy takes milliseconds.
        (run_time + WARM_UP).as_secs_f64() * f64::from(rounds) * 4.0,
    );
    screen.show(out, &intro)?;
    let mut runs = Scene::ALL.map(|scene| (scene, Vec::new()));
    for round in 1..=rounds {
        for (scene, readings) in &mut runs {
            let progress = format!("run {round} of {rounds}, {}", scene.transport.name());
            screen.progress(out, &progress)?;
            let measured = measure(*scene, settings, clients, run_time, binary).await?;
            readings.push(measured);
        }
    }
    let medians = runs.map(|(scene, readings)| (scene, Reading::median(&readings)));
    let table = report::table(&medians, screen.colour);
    let sentences = report::sentences(&medians, source_ports());
    screen.show(out, &format!("{table}\n{sentences}"))
}

/// One run of one scene, with an app and a proxy of its own.
async fn measure(
    scene: Scene,
    settings: &DemoSettings,
    clients: usize,
    run_time: Duration,
    binary: &Path,
) -> Result<Reading, DemoError> {
    let host = |attempt| move |source| DemoError::Host { attempt, source };
    let scratch = Scratch::new().map_err(host("make a directory for its socket"))?;
    let app = App::start(settings.body_bytes, scratch.path()).map_err(host("start its app"))?;
    let target: OsString = match scene.transport {
        Transport::Tcp => app.tcp_address().to_string().into(),
        Transport::Unix => {
            let mut target = OsString::from("unix:");
            target.push(app.unix_path());
            target
        }
    };
    let proxy = Proxy::start(binary, &target)?;
    let mut load = LoadSettings {
        destination: proxy.destination().clone(),
        path: scene.habit.path(),
        connections: clients,
        duration: WARM_UP,
        body_bytes: settings.body_bytes as u64,
    };
    faultless(scene, &load::run(&load).await, &proxy)?;
    load.duration = run_time;
    let cpu_before = cpu_of(&proxy)?;
    let outcome = load::run(&load).await;
    let cpu = cpu_of(&proxy)?.since(cpu_before).total();
    faultless(scene, &outcome, &proxy)?;
    let ports = ports::towards(app.tcp_address()).map_err(host("read /proc/net/tcp"))?;
    Ok(Reading {
        requests_per_second: outcome.requests_per_second(),
        p50: outcome.latency.quantile(500).unwrap_or_default(),
        p99: outcome.latency.quantile(990).unwrap_or_default(),
        cpu_per_request: per_request(cpu, outcome.requests),
        connections: match scene.transport {
            Transport::Tcp => app.tcp_connections(),
            Transport::Unix => app.unix_connections(),
        },
        ports,
    })
}

fn cpu_of(proxy: &Proxy) -> Result<CpuTime, DemoError> {
    process::cpu_time(proxy.pid()).map_err(|source| DemoError::Cpu {
        complaints: proxy.complaints(),
        source,
    })
}

/// A duration divided by a count that may exceed what `Duration` divides by; zero for no request.
fn per_request(total: Duration, requests: u64) -> Duration {
    let nanoseconds = total
        .as_nanos()
        .checked_div(u128::from(requests))
        .unwrap_or(0);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

fn faultless(scene: Scene, outcome: &LoadOutcome, proxy: &Proxy) -> Result<(), DemoError> {
    match &outcome.first_error {
        None if outcome.requests > 0 => Ok(()),
        first => Err(DemoError::Requests {
            scene,
            errors: outcome.errors,
            requests: outcome.requests,
            first: first
                .clone()
                .unwrap_or_else(|| "no request was answered".to_owned()),
            complaints: proxy.complaints(),
        }),
    }
}

/// How many source ports this host has from one address to one target; `None` where that cannot be read, since it is
/// a remark of the demo and not what it measures.
fn source_ports() -> Option<u32> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    Some(range.parse::<PortRange>().ok()?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_make_the_load_smaller_and_fewer_leave_it_out() {
        for (descriptors, clients) in [
            (1024, Some(64)),
            (200, Some(64)),
            (128, Some(28)),
            (88, Some(8)),
            (87, None),
            (0, None),
        ] {
            assert_eq!(clients_within(descriptors, 64), clients, "{descriptors}");
        }
        assert_eq!(clients_within(1024, 2), Some(2));
    }
}
