//! A worker: a thread, its runtime, and everything it serves.
//!
//! Nothing a request touches is shared with another worker, except what has to be counted over all
//! of them when a connection is made (`upstream::Admission`).

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use lasthop_http1::limits::HeadLimits;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_local};

use super::{ServeError, local_runtime};
use crate::config::Config;
use crate::http::{self, DateText, ListenerSite, Site};
use crate::listener::accept_tcp;
use crate::observe::Repeats;
use crate::observe::metrics::WorkerMetrics;
use crate::route::RouteTable;
use crate::transport::{BufferPool, Clock, Connections};
use crate::upstream::{Admission, Upstream};

/// Connections that may wait in a worker's inbox.
const INBOX_MAX: usize = 256;

/// A connection accepted elsewhere.
#[derive(Debug)]
pub(super) struct HandedOver {
    /// Index of the listener it came through.
    pub(super) listener: usize,
    pub(super) stream: UnixStream,
}

/// A worker as the main thread sees it.
#[derive(Clone, Debug)]
pub(super) struct WorkerHandle {
    inbox: mpsc::Sender<HandedOver>,
    connections: Arc<AtomicUsize>,
}

impl WorkerHandle {
    /// Client connections it has, or has been handed and not looked at yet.
    pub(super) fn connections(&self) -> usize {
        let waiting = self.inbox.max_capacity() - self.inbox.capacity();
        self.connections.load(Ordering::Relaxed) + waiting
    }

    /// Gives it a connection, once there is room in its inbox.
    pub(super) async fn hand_over(&self, connection: HandedOver) {
        // Fails only if the worker is gone; the connection is closed then.
        let _ = self.inbox.send(connection).await;
    }
}

/// All workers.
pub(super) struct Workers {
    handles: Rc<[WorkerHandle]>,
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
    admissions: Vec<Arc<Admission>>,
    inbox: mpsc::Receiver<HandedOver>,
    connections: Arc<AtomicUsize>,
    metrics: Arc<WorkerMetrics>,
    draining: watch::Receiver<bool>,
    stop: watch::Receiver<bool>,
    leaving: Leaving,
}

/// Starts as many workers as configured, each with one socket of every TCP listener.
pub(super) fn spawn_workers(
    config: &Arc<Config>,
    tcp: Vec<(usize, Vec<TcpListener>)>,
    admissions: &[Arc<Admission>],
    draining: &watch::Receiver<bool>,
) -> Result<Workers, ServeError> {
    let (stop, stopped) = watch::channel(false);
    let (leaving, left) = mpsc::channel(1);
    let (started, starts) = std::sync::mpsc::channel();
    let mut handles = Vec::new();
    let metrics: Arc<[_]> = (0..config.server.workers)
        .map(|_| Arc::new(worker_metrics(config)))
        .collect();
    let mut threads = Vec::new();
    let mut sockets: Vec<_> = tcp
        .into_iter()
        .map(|(index, all)| (index, all.into_iter()))
        .collect();
    for number in 0..config.server.workers {
        let (inbox, handed_over) = mpsc::channel(INBOX_MAX);
        let connections = Arc::new(AtomicUsize::new(0));
        handles.push(WorkerHandle {
            inbox,
            connections: Arc::clone(&connections),
        });
        let start = Start {
            number,
            config: Arc::clone(config),
            listeners: sockets
                .iter_mut()
                .filter_map(|(index, sockets)| Some((*index, sockets.next()?)))
                .collect(),
            admissions: admissions.to_vec(),
            inbox: handed_over,
            connections,
            metrics: Arc::clone(&metrics[number]),
            draining: draining.clone(),
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
        handles: handles.into(),
        metrics,
        threads,
        stop,
        left,
    })
}

impl Workers {
    pub(super) fn handles(&self) -> Rc<[WorkerHandle]> {
        Rc::clone(&self.handles)
    }

    /// What each worker counts, in the order of their numbers.
    pub(super) fn metrics(&self) -> Arc<[Arc<WorkerMetrics>]> {
        Arc::clone(&self.metrics)
    }

    /// Resolves if a worker ends without having been asked to.
    pub(super) async fn any_died(&mut self) {
        let _ = self.left.recv().await;
    }

    /// Nothing more is handed over; the acceptor is gone by now.
    pub(super) fn close_inboxes(&mut self) {
        self.handles = Rc::new([]);
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
async fn work(start: Start) -> io::Result<()> {
    let mut stop = start.stop.clone();
    let worker = Worker::new(&start);
    tokio::select! {
        result = worker.serve_until_drained(start) => result,
        () = worker.keep_house() => Err(io::Error::other("its housekeeping ended")),
        _ = stop.wait_for(|stop| *stop) => Ok(()),
    }
}

/// What lives on a worker's thread.
struct Worker {
    site: Rc<Site>,
    /// By the index of the listener.
    listeners: Vec<Rc<ListenerSite>>,
}

impl Worker {
    fn new(start: &Start) -> Self {
        let clock = Clock::new(Instant::now());
        let connections = Connections::new(clock, Arc::clone(&start.connections));
        let site = Rc::new(site(
            &start.config,
            start.number,
            &start.admissions,
            connections,
            &start.metrics,
        ));
        let listeners = start.config.listeners.iter().enumerate();
        let listeners = listeners
            .map(|(index, listener)| listener_site(&site, index, listener))
            .collect();
        Self { site, listeners }
    }

    /// What goes on beside the requests: deadlines, and the idle connections to the apps. Resolves
    /// only if any of it fails, which would leave requests without deadlines.
    async fn keep_house(&self) {
        let mut chores = JoinSet::new();
        for upstream in &self.site.upstreams {
            chores.spawn_local(Rc::clone(upstream).watch_idle());
        }
        let site = Rc::clone(&self.site);
        chores.spawn_local(async move {
            let expire = |now| {
                let upstreams = site.upstreams.iter();
                let left = upstreams.filter(|upstream| upstream.expire_idle(now));
                left.count() > 0
            };
            site.connections.keep_sweeping(expire).await;
        });
        chores.join_next().await;
    }

    async fn serve_until_drained(&self, start: Start) -> io::Result<()> {
        let Start {
            listeners,
            mut inbox,
            mut draining,
            leaving: _leaving,
            ..
        } = start;
        // Of this worker alone: its listeners close when its connections know why, not before.
        let (close, closing) = watch::channel(false);
        let mut accepting = Vec::new();
        for (index, listener) in listeners {
            accepting.push(self.accept(index, listener, closing.clone())?);
        }
        loop {
            tokio::select! {
                biased;
                Some(connection) = inbox.recv() => self.take_over(connection),
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
        // What the acceptor still hands over is served to its end as well.
        while let Some(connection) = inbox.recv().await {
            self.take_over(connection);
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
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let site = Rc::clone(&self.listeners[index]);
        Ok(spawn_local(async move {
            accept_tcp(listener, &site.settings.name, closing, |stream, ip| {
                site.site.metrics.listeners[index].accepted.add(1);
                spawn_local(http::serve(stream, ip, Rc::clone(&site)));
            })
            .await;
        }))
    }

    fn take_over(&self, connection: HandedOver) {
        match tokio::net::UnixStream::from_std(connection.stream) {
            Ok(stream) => {
                let site = Rc::clone(&self.listeners[connection.listener]);
                // The acceptor's thread has no counters of its own.
                let metrics = &self.site.metrics.listeners[connection.listener];
                metrics.accepted.add(1);
                spawn_local(http::serve(stream.into(), None, site));
            }
            Err(error) => tracing::warn!(%error, "cannot watch a connection, closing it"),
        }
    }
}

fn site(
    config: &Arc<Config>,
    number: usize,
    admissions: &[Arc<Admission>],
    connections: Connections,
    metrics: &Arc<WorkerMetrics>,
) -> Site {
    let upstreams = config
        .upstreams
        .iter()
        .zip(admissions)
        .zip(&metrics.upstreams)
        .map(|((settings, admission), metrics)| {
            let clock = connections.clock().clone();
            let (admission, metrics) = (Arc::clone(admission), Arc::clone(metrics));
            Rc::new(Upstream::new(
                settings.clone(),
                admission,
                metrics,
                number,
                clock,
            ))
        })
        .collect();
    Site {
        config: Arc::clone(config),
        routes: RouteTable::new(&config.routes),
        upstreams,
        buffers: BufferPool::new(config.server.buffer_memory),
        date: DateText::new(connections.clock().clone()),
        connections,
        scratch: std::cell::RefCell::new(Vec::new()),
        repeats: Repeats::default(),
        metrics: Arc::clone(metrics),
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
