//! A worker: a thread, its runtime, and everything it serves.
//!
//! Nothing a request touches is shared with another worker, except what has to be counted over all
//! of them when a connection is made (`upstream::Admission`).

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use lasthop_http1::limits::HeadLimits;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_local};

use super::door::{Door, ListenerDoor};
use super::handover::{Arrival, WorkerHandle};
use super::journal::Journal;
use super::{ServeError, local_runtime};
use crate::config::Config;
use crate::http::{DateText, Desks, Goodbyes, ListenerSite, Site};
use crate::listener;
use crate::observe::metrics::WorkerMetrics;
use crate::observe::{Repeats, RequestIds, WorkerLog};
use crate::route::RouteTable;
use crate::transport::{
    BUFFER_BYTES, BufferPool, Clock, Connections, Load, Pipes, Slots, TICK, earlier,
};
use crate::upstream::{self, Upstream};

/// All workers.
pub(super) struct Workers {
    handles: Arc<[WorkerHandle]>,
    metrics: Arc<[Arc<WorkerMetrics>]>,
    threads: Vec<JoinHandle<()>>,
    /// Told to end at once.
    stop: watch::Sender<bool>,
    /// Every worker holds a sender until it has nothing more to serve, and sends a word as it leaves.
    left: mpsc::Receiver<()>,
}

/// Tells the main thread that a worker has left, however it did: also by a panic.
struct Leaving(mpsc::Sender<()>);

impl Drop for Leaving {
    fn drop(&mut self) {
        // The channel holds one word; a second worker's end needs no second one.
        let _ = self.0.try_send(());
    }
}

/// What a worker is given at its start.
struct Start {
    number: usize,
    config: Arc<Config>,
    listeners: Vec<(usize, TcpListener)>,
    shared: Vec<upstream::Shared>,
    inbox: mpsc::Receiver<Arrival>,
    /// All workers, this one included.
    workers: Arc<[WorkerHandle]>,
    load: Arc<Load>,
    slots: Arc<Slots>,
    access: Option<WorkerLog>,
    repeats: Repeats,
    metrics: Arc<WorkerMetrics>,
    draining: watch::Receiver<bool>,
    stop: watch::Receiver<bool>,
    leaving: Leaving,
}

/// What all workers are given alike.
pub(super) struct Common<'a> {
    pub(super) config: &'a Arc<Config>,
    pub(super) shared: &'a [upstream::Shared],
    pub(super) slots: &'a Arc<Slots>,
    pub(super) journal: &'a Journal,
    pub(super) draining: &'a watch::Receiver<bool>,
}

/// Starts as many workers as configured, each with one socket of every TCP listener.
pub(super) fn spawn_workers(
    common: &Common<'_>,
    tcp: Vec<(usize, Vec<TcpListener>)>,
) -> Result<Workers, ServeError> {
    let config = common.config;
    let (stop, stopped) = watch::channel(false);
    let (leaving, left) = mpsc::channel(1);
    let (started, starts) = std::sync::mpsc::channel();
    let loads: Vec<_> = (0..config.server.workers)
        .map(|_| Arc::new(Load::new(config.listeners.len())))
        .collect();
    let (handles, inboxes): (Vec<_>, Vec<_>) = loads
        .iter()
        .map(|load| WorkerHandle::new(Arc::clone(load)))
        .unzip();
    let handles: Arc<[_]> = handles.into();
    let metrics: Arc<[_]> = (0..config.server.workers)
        .map(|_| Arc::new(worker_metrics(config)))
        .collect();
    let mut threads = Vec::new();
    let mut sockets: Vec<_> = tcp
        .into_iter()
        .map(|(index, all)| (index, all.into_iter()))
        .collect();
    for (number, (inbox, load)) in inboxes.into_iter().zip(loads).enumerate() {
        let start = Start {
            number,
            config: Arc::clone(config),
            listeners: sockets
                .iter_mut()
                .filter_map(|(index, sockets)| Some((*index, sockets.next()?)))
                .collect(),
            shared: common.shared.to_vec(),
            access: common.journal.access_for_worker(),
            repeats: common.journal.repeats().clone(),
            inbox,
            workers: Arc::clone(&handles),
            load,
            slots: Arc::clone(common.slots),
            metrics: Arc::clone(&metrics[number]),
            draining: common.draining.clone(),
            stop: stopped.clone(),
            leaving: Leaving(leaving.clone()),
        };
        let started = started.clone();
        let thread = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || run(start, started))
            .map_err(ServeError::host("start a worker thread"))?;
        threads.push(thread);
    }
    drop(started);
    // Every worker reports once, or is gone; the first failure is the server's.
    starts.iter().collect::<Result<(), _>>()?;
    Ok(Workers {
        handles,
        metrics,
        threads,
        stop,
        left,
    })
}

impl Workers {
    pub(super) fn handles(&self) -> &Arc<[WorkerHandle]> {
        &self.handles
    }

    /// What each worker counts, in the order of their numbers.
    pub(super) fn metrics(&self) -> Arc<[Arc<WorkerMetrics>]> {
        Arc::clone(&self.metrics)
    }

    /// Resolves if a worker ends without having been asked to.
    pub(super) async fn any_died(&mut self) {
        let _ = self.left.recv().await;
    }

    /// Nothing more is handed over from here; the acceptor is gone by now. The inboxes close when all workers
    /// have let go of them too.
    pub(super) fn close_inboxes(&mut self) {
        self.handles = Arc::new([]);
    }

    /// Resolves once no worker serves anything any more.
    pub(super) async fn all_drained(&mut self) {
        while self.left.recv().await.is_some() {}
    }

    /// Ends the workers and whatever they still serve.
    pub(super) fn stop(self) {
        let _ = self.stop.send(true);
        for thread in self.threads {
            // A worker that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

/// The life of a worker's thread. `started` hears whether it could begin.
fn run(start: Start, started: std::sync::mpsc::Sender<Result<(), ServeError>>) {
    let number = start.number;
    let runtime = match local_runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            // The main thread waits for this word.
            let _ = started.send(Err(error));
            return;
        }
    };
    let _ = started.send(Ok(()));
    drop(started);
    let _entered = runtime.enter();
    if let Err(error) = runtime.block_on(work(start)) {
        tracing::error!(worker = number, %error, "worker failed");
    }
}

/// Serves until drained or stopped. Dropping the runtime afterwards closes what is left.
async fn work(mut start: Start) -> io::Result<()> {
    let mut stop = start.stop.clone();
    let worker = Worker::new(&mut start);
    tokio::select! {
        result = worker.serve_until_drained(start) => result,
        () = worker.keep_house() => Err(io::Error::other("its housekeeping ended")),
        _ = stop.wait_for(|stop| *stop) => Ok(()),
    }
}

/// What lives on a worker's thread.
struct Worker {
    site: Rc<Site>,
    door: Rc<Door>,
}

impl Worker {
    fn new(start: &mut Start) -> Self {
        let clock = Clock::new(Instant::now());
        let (load, slots) = (Arc::clone(&start.load), Arc::clone(&start.slots));
        let connections = Connections::new(clock, load, slots);
        let site = Rc::new(site(start, connections));
        let listeners = start.config.listeners.iter().enumerate();
        let listeners = listeners
            .map(|(index, listener)| listener_site(&site, index, listener))
            .collect();
        let workers = Arc::clone(&start.workers);
        let door = Door::new(start.number, Rc::clone(&site), listeners, workers);
        let door = Rc::new(door);
        Self { site, door }
    }

    /// What goes on beside the requests: deadlines, and the idle connections to the apps. Resolves
    /// only if any of it fails, which would leave requests without deadlines.
    async fn keep_house(&self) {
        let mut chores = JoinSet::new();
        for upstream in &self.site.upstreams {
            chores.spawn_local(Rc::clone(upstream).watch_idle());
        }
        let bulk = self.site.connections.bulk().clone();
        chores.spawn_local(async move { bulk.keep_turning().await });
        let site = Rc::clone(&self.site);
        chores.spawn_local(async move {
            let look_after = |now| {
                let upstreams = site.upstreams.iter();
                let due = upstreams.filter_map(|upstream| upstream.expire_idle(now));
                let due = due.min();
                let unsaid = site.access.as_ref().is_some_and(WorkerLog::flush);
                let buffered = site.buffers.lent() * BUFFER_BYTES;
                site.metrics.buffered_bytes.set(buffered as u64);
                let pipes = site.buffers.pipes();
                site.metrics.spliced_bytes.set(pipes.carried());
                site.metrics.pipes_refused.set(pipes.refusals());
                let kept = pipes.expire();
                let free = site.buffers.expire();
                let leaving = site.goodbyes.sweep(now);
                let soon = (unsaid || kept || free || leaving).then(|| now + TICK);
                earlier(due, soon)
            };
            site.connections.keep_sweeping(look_after).await;
        });
        chores.join_next().await;
    }

    async fn serve_until_drained(&self, start: Start) -> io::Result<()> {
        let Start {
            listeners,
            mut inbox,
            workers,
            mut draining,
            leaving: _leaving,
            ..
        } = start;
        drop(workers);
        // Of this worker alone: its listeners close when its connections know why, not before.
        let (close, closing) = watch::channel(false);
        let mut accepting = Vec::new();
        for (index, listener) in listeners {
            accepting.push(self.accept(index, listener, closing.clone())?);
        }
        loop {
            tokio::select! {
                biased;
                Some(arrival) = inbox.recv() => self.door.take_over(arrival),
                _ = draining.wait_for(|draining| *draining) => break,
            }
        }
        self.site.connections.drain();
        // The receivers live in the accept loops; one that is gone has closed its socket.
        let _ = close.send(true);
        for task in accepting {
            // An accept loop that panicked has closed its socket too.
            let _ = task.await;
        }
        // What the acceptor and other workers still hand over is served to its end as well. A worker hands
        // nothing over once it drains, and lets go of the inboxes when it accepts no more: so all of them
        // close when the last one has come here.
        self.door.let_go_of_workers();
        while let Some(arrival) = inbox.recv().await {
            self.door.take_over(arrival);
        }
        self.site.connections.empty().await;
        Ok(())
    }

    /// Accepts on this worker's socket of a TCP listener until the drain.
    fn accept(
        &self,
        index: usize,
        listener: TcpListener,
        closing: watch::Receiver<bool>,
    ) -> io::Result<tokio::task::JoinHandle<()>> {
        let listener = listener::register(listener)?;
        let site = Rc::clone(self.door.listener(index));
        let entrance = ListenerDoor {
            door: Rc::clone(&self.door),
            listener: index,
        };
        Ok(spawn_local(async move {
            listener::accept(listener, &site.settings.name, closing, &entrance).await;
        }))
    }
}

/// `start` gives up its end of the access log.
fn site(start: &mut Start, connections: Connections) -> Site {
    let config = &start.config;
    let upstreams = config
        .upstreams
        .iter()
        .zip(&start.shared)
        .zip(&start.metrics.upstreams)
        .map(|((settings, shared), metrics)| {
            let clients = connections.clone();
            let (shared, metrics) = (shared.clone(), Arc::clone(metrics));
            let settings = settings.clone();
            Rc::new(Upstream::new(
                settings,
                shared,
                metrics,
                start.number,
                clients,
            ))
        })
        .collect();
    let access = start.access.take();
    Site {
        routes: RouteTable::new(&config.routes),
        upstreams,
        buffers: BufferPool::with_pipes(
            config.server.buffer_memory,
            Pipes::new(Arc::clone(&start.slots), connections.clock().clone()),
        ),
        desks: Desks::default(),
        date: DateText::new(connections.clock().clone()),
        connections,
        scratch: std::cell::RefCell::new(Vec::new()),
        repeats: start.repeats.clone(),
        is_timed: access.is_some() || config.admin.is_some(),
        access,
        // The host's randomness, by way of the hasher that the standard library seeds with it.
        request_ids: RequestIds::new(RandomState::new().build_hasher().finish()),
        metrics: Arc::clone(&start.metrics),
        config: Arc::clone(config),
        goodbyes: Goodbyes::default(),
    }
}

fn worker_metrics(config: &Config) -> WorkerMetrics {
    WorkerMetrics::new(
        config.listeners.len(),
        config.upstreams.len(),
        config.routes.len(),
    )
}

fn listener_site(
    site: &Rc<Site>,
    index: usize,
    settings: &crate::config::Listener,
) -> Rc<ListenerSite> {
    Rc::new(ListenerSite {
        site: Rc::clone(site),
        index,
        settings: settings.clone(),
        limits: HeadLimits {
            bytes_max: settings.header_size_max,
            fields_max: settings.headers_max,
            ..HeadLimits::default()
        },
    })
}
