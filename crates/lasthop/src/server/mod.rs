//! The process that serves: workers, the acceptor that feeds them, signals, and the way out.
//!
//! Every worker is a thread with a runtime of its own, and what it serves never leaves it. The main
//! thread accepts on Unix sockets, listens to signals and decides when it is over.

mod acceptor;
mod door;
mod handover;
mod journal;
mod signals;
mod worker;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::watch;

use crate::admin::{self, AdminThread, LogDropsReader, OpenAdmin, ServerState, View};
use crate::config::Config;
use crate::http::GOODBYES_MAX;
use crate::listener::{OpenError, OpenListener, Sockets, open};
use crate::observe::LogGuard;
use crate::ports::{Ports, Watcher};
use crate::sampler::{Sampled, Sampler, Sources};
use crate::transport::Slots;
use crate::upstream::{self, Admission};
use acceptor::Acceptor;
use journal::Journal;
use signals::Signals;
use worker::{Common, Workers, spawn_workers};

/// A limit on descriptors below which a warning is due: two for each request in flight, and a few
/// dozen for listeners, event loops and the log.
const NOFILE_COMFORTABLE: u64 = 4096;

/// The soft limit of most hosts, where ours cannot be read.
const NOFILE_USUAL: u64 = 1024;

/// Descriptors before the listeners: the standard streams, the log, an event loop, signals.
const OPEN_AT_START: usize = 16;

/// Why a server did not come up or did not stay up.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The admin address cannot be listened on.
    #[error(transparent)]
    Admin(#[from] admin::OpenError),
    /// The host refuses something every server needs.
    #[error("cannot {what}")]
    Host {
        /// What was attempted.
        what: &'static str,
        /// What the host said.
        source: io::Error,
    },
}

impl ServeError {
    fn host(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Host { what, source }
    }
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything that was begun was finished.
    Drained,
    /// The deadline or a second signal ended what was still going on.
    CutShort,
    /// A worker failed; the others were drained.
    WorkerFailed,
}

/// Serves `config` until a signal ends it. `announce` is told of every listener once all of them are
/// served. `operator` is the operator log, whose lost lines are told.
///
/// # Errors
/// [`ServeError`], before the first connection is taken.
pub fn serve(
    config: Config,
    operator: &LogGuard,
    announce: impl FnMut(&str),
) -> Result<Ended, ServeError> {
    let journal = Journal::open(&config, operator)?;
    let log_drops: LogDropsReader = Arc::new(journal.drops(operator));
    let descriptors_max = raise_descriptor_limit();
    let config = Arc::new(config);
    let workers = config.server.workers;
    let listeners = config
        .listeners
        .iter()
        .map(|listener| open(listener, workers, config.server.share))
        .collect::<Result<Vec<_>, _>>()?;
    let admin = config.admin.as_ref().map(admin::open).transpose()?;
    let runtime = local_runtime()?;
    let open = lasthop_kernel::limits::open_descriptors().unwrap_or(open_usually(&config));
    let slots = Arc::new(slots(&config, descriptors_max, open));
    let admin = (admin, log_drops);
    runtime.block_on(supervise(
        &config, listeners, slots, admin, journal, announce,
    ))
}

/// How many connections, to clients and to apps, a process of `config` can hold with so many descriptors.
pub fn connections_max(config: &Config, descriptors_max: u64) -> usize {
    slots(config, descriptors_max, open_usually(config)).usable()
}

/// About how many descriptors are open before the first connection: for a process that does not run yet, or cannot look.
fn open_usually(config: &Config) -> usize {
    OPEN_AT_START + config.server.workers * config.listeners.len()
}

/// Shares out the descriptors, of which so many are open already.
fn slots(config: &Config, descriptors_max: u64, open: usize) -> Slots {
    let listeners = config.listeners.len();
    // Each listener of a worker keeps a spare one.
    let per_worker = GOODBYES_MAX + listeners;
    let bounds = config.listeners.iter().map(|one| one.max_connections);
    Slots::new(
        descriptors_max,
        open,
        (config.server.workers, per_worker),
        config.admin.as_ref().map_or(0, |_| admin::CONNECTIONS_MAX),
        bounds,
    )
}

/// Runs the main thread: acceptor, signals, drain.
async fn supervise(
    config: &Arc<Config>,
    listeners: Vec<OpenListener>,
    slots: Arc<Slots>,
    (admin, log_drops): (Option<OpenAdmin>, LogDropsReader),
    journal: Journal,
    mut announce: impl FnMut(&str),
) -> Result<Ended, ServeError> {
    // Before the workers: a signal must not find the default action, which is to die.
    let signals = Signals::new().map_err(ServeError::host("listen to signals"))?;
    let rotation = signals::rotation().map_err(ServeError::host("listen to signals"))?;
    let (drain, draining) = watch::channel(false);
    let addresses: Vec<String> = listeners.iter().map(ToString::to_string).collect();
    let (mut tcp, mut unix) = (Vec::new(), Vec::new());
    for (index, listener) in listeners.into_iter().enumerate() {
        match listener.sockets {
            Sockets::Tcp(sockets, guard) => tcp.push((index, sockets, guard)),
            Sockets::Unix(listening) => unix.push((index, listening)),
        }
    }
    // Kept until the last worker has closed its sockets.
    let (tcp, _guards): (Vec<_>, Vec<_>) = tcp
        .into_iter()
        .map(|(index, sockets, guard)| ((index, sockets), guard))
        .unzip();
    let ports = Arc::new(Ports::open(config, Instant::now()));
    let watcher = Watcher::start(&ports);
    let watcher = watcher.map_err(ServeError::host("watch source ports"))?;
    let shared = shared_by_workers(config, &ports);
    let common = Common {
        config,
        shared: &shared,
        slots: &slots,
        journal: &journal,
        draining: &draining,
    };
    let workers = spawn_workers(&common, tcp)?;
    let state = Arc::new(ServerState::serving(Instant::now(), SystemTime::now()));
    let view = View {
        config: Arc::clone(config),
        workers: workers.metrics(),
        admissions: shared.into_iter().map(|shared| shared.admission).collect(),
        ports,
        state: Arc::clone(&state),
        sampled: Arc::new(Sampled::new(config)),
        log_drops,
    };
    let sampler = admin.as_ref().map(|_| start_sampler(&view)).transpose()?;
    let admin = start_admin(admin, view)?;
    let acceptor = Acceptor::start(config, unix, workers.handles(), &slots, &draining)?;
    let admin_address = admin.as_ref().map(|(_, address)| &**address);
    tell(config, &addresses, admin_address, &mut announce);
    let ended = serve_until_ended(config, workers, acceptor, signals, || {
        state.drain();
        // The receivers live in the workers; one that is gone needs no drain.
        let _ = drain.send(true);
    });
    let ended = tokio::select! {
        biased;
        ended = ended => ended,
        never = journal.keep(config, rotation) => match never {},
    };
    drop((watcher, sampler));
    // Last, so that its health tells of the drain to the end.
    if let Some((thread, _)) = admin {
        thread.finish();
    }
    journal.finish(config);
    Ok(ended)
}

/// Says where it serves, to whoever waits for that and to the log.
fn tell(
    config: &Config,
    addresses: &[String],
    admin: Option<&str>,
    announce: &mut impl FnMut(&str),
) {
    for address in addresses {
        announce(address);
        tracing::info!(listener = &**address, "listening");
    }
    if let Some(address) = admin {
        announce(&format!("{address} (admin address)"));
        tracing::info!(address, "admin address open");
    }
    tracing::info!(
        workers = config.server.workers,
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
}

/// What the workers share about each upstream, in the order of the configuration.
fn shared_by_workers(config: &Config, ports: &Ports) -> Vec<upstream::Shared> {
    let upstreams = config.upstreams.iter().enumerate();
    upstreams
        .map(|(index, upstream)| {
            let (max, queue) = (upstream.max_connections, upstream.queue.size);
            upstream::Shared {
                admission: Arc::new(Admission::new(max, queue, config.server.workers)),
                accounts: ports.of_upstream(index).to_vec(),
            }
        })
        .collect()
}

/// Waits for a signal, or for a worker that fails, and drains.
async fn serve_until_ended(
    config: &Config,
    mut workers: Workers,
    acceptor: Acceptor,
    mut signals: Signals,
    drain: impl FnOnce(),
) -> Ended {
    let failed = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "draining");
            false
        }
        () = workers.any_died() => {
            tracing::error!("a worker ended by itself; draining the others");
            true
        }
    };
    drain();
    acceptor.finish().await;
    let ended = drain_workers(workers, &mut signals, config.server.drain_timeout).await;
    if failed { Ended::WorkerFailed } else { ended }
}

/// Samples for the pages of the admin address from now on.
fn start_sampler(view: &View) -> Result<Sampler, ServeError> {
    let sources = Sources {
        config: Arc::clone(&view.config),
        workers: Arc::clone(&view.workers),
        admissions: view.admissions.clone(),
    };
    Sampler::start(sources, Arc::clone(&view.sampled))
        .map_err(ServeError::host("start the sampler's thread"))
}

/// Answers on the admin address from now on; the address as it turned out.
fn start_admin(
    admin: Option<OpenAdmin>,
    view: View,
) -> Result<Option<(AdminThread, String)>, ServeError> {
    let Some(admin) = admin else {
        return Ok(None);
    };
    let address = admin.to_string();
    let thread = admin.start(view);
    let thread = thread.map_err(ServeError::host("start the admin thread"))?;
    Ok(Some((thread, address)))
}

/// Waits for the workers to finish what they have begun, until the deadline or another signal.
async fn drain_workers(mut workers: Workers, signals: &mut Signals, timeout: Duration) -> Ended {
    let started = Instant::now();
    workers.close_inboxes();
    let drained = tokio::select! {
        () = workers.all_drained() => true,
        () = tokio::time::sleep(timeout) => {
            tracing::warn!(?timeout, "drain deadline reached, closing what is left");
            false
        }
        signal = signals.next() => {
            tracing::warn!(signal, "second signal, closing what is left");
            false
        }
    };
    let metrics = workers.metrics();
    workers.stop();
    let listeners = metrics.iter().flat_map(|worker| &worker.listeners);
    let served: u64 = listeners.map(|listener| listener.accepted.value()).sum();
    tracing::info!(took = ?started.elapsed(), clients = served, "stopped");
    if drained {
        Ended::Drained
    } else {
        Ended::CutShort
    }
}

/// Takes all the descriptors the operator allows, and says how many. A proxy holds two for every request in flight.
fn raise_descriptor_limit() -> u64 {
    let raised = lasthop_kernel::limits::raise_nofile();
    match &raised {
        Ok(limit) if limit.soft < NOFILE_COMFORTABLE => tracing::warn!(
            limit = limit.soft,
            fix = "raise LimitNOFILE= of the service or ulimit -Hn",
            "few file descriptors allowed"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "cannot raise the limit on open files"),
    }
    match raised.or_else(|_| lasthop_kernel::limits::nofile()) {
        Ok(limit) => limit.soft,
        // Cautious: as many as most hosts give without being asked.
        Err(_) => NOFILE_USUAL,
    }
}

fn local_runtime() -> Result<LocalRuntime, ServeError> {
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(ServeError::host("make a runtime"))
}
