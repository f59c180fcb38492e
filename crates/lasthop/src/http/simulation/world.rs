//! One client, one worker and one app, and the loop that lets one thing after the other happen to them.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use lasthop_http1::limits::HeadLimits;
use tokio::task::LocalSet;

use super::messages::Seen;
use super::schedule::{Event, Pace, Schedule, Side};
use super::script::Peer;
use super::{AppOutcome, Case, End, Outcome, Settings};
use crate::config::{BufferSizes, Config};
use crate::http::{self, DateText, Desks, Goodbyes, ListenerSite, Site};
use crate::observe::metrics::WorkerMetrics;
use crate::observe::{Repeats, RequestIds};
use crate::route::RouteTable;
use crate::transport::simulated::{FarEnd, NearEnd, Network, pair};
use crate::transport::{BufferPool, Clock, Connections, Load, Slots};
use crate::upstream::{Admission, Shared, Upstream};

/// Turns that the proxy may take over one event. More is a loop that never waits.
const TURNS_MAX: usize = 10_000;

/// Events in one run. More is a run without end.
const EVENTS_MAX: usize = 20_000;

/// Descriptors, more than anybody here can take.
const SLOTS: u64 = 1 << 20;

/// How often time passes until everybody has to be gone: an answer about a timeout, a lingering close.
const TIMEOUTS_IN_A_ROW_MAX: usize = 5;

/// What every simulated worker is configured with, but for [`Settings`]. Refused connects are not waited
/// for: that would need a timer. Details are shown, so that the fault is part of the outcome.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let text = "[server]\nworkers = 1\nerror_details = true\n\
                [[listener]]\naddress = \"127.0.0.1:8080\"\n\
                [[upstream]]\nname = \"app\"\ntargets = [\"127.0.0.1:3000\"]\nrestart_grace = \"0s\"\n";
    Config::from_toml("simulation", text).expect("a configuration")
});

/// Longer than any timeout.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// What a worker serves by itself: what runs when somebody is woken.
#[derive(Debug)]
struct Worker {
    tasks: LocalSet,
    woken: Arc<Woken>,
}

#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Worker {
    /// Runs every task until all of them wait.
    fn run(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut cx = Context::from_waker(&waker);
        for _ in 0..TURNS_MAX {
            self.woken.0.store(false, Ordering::Relaxed);
            // Pending as long as the upstream watches its idle connections, which is always.
            let _ = Pin::new(&mut self.tasks).poll(&mut cx);
            if !self.woken.0.load(Ordering::Relaxed) {
                return;
            }
        }
        panic!("the proxy never waits for anybody");
    }
}

/// One connection to the app.
#[derive(Debug)]
struct App {
    peer: Peer,
    /// Requests it has begun to deal with.
    begun: usize,
}

/// The whole of it.
#[derive(Debug)]
pub(super) struct World<'c> {
    case: &'c Case,
    pace: Pace<'c>,
    worker: Worker,
    site: Rc<Site>,
    network: Network,
    client: Peer,
    apps: Vec<App>,
    /// How often the app has got request number `n`.
    attempts: Vec<usize>,
}

impl<'c> World<'c> {
    pub(super) fn new(case: &'c Case, schedule: &'c Schedule) -> Self {
        let network = Network::default();
        let listener = listener(case.settings, &network);
        let site = Rc::clone(&listener.site);
        let worker = Worker {
            tasks: LocalSet::new(),
            woken: Arc::default(),
        };
        for upstream in &site.upstreams {
            worker.tasks.spawn_local(Rc::clone(upstream).watch_idle());
        }
        let bulk = site.connections.bulk().clone();
        worker
            .tasks
            .spawn_local(async move { bulk.keep_turning().await });
        let (stream, far) = pair();
        let ip = Some([192, 0, 2, 1].into());
        worker.tasks.spawn_local(http::serve(stream, ip, listener));
        let mut pace = Pace::new(schedule);
        far.set_room(pace.first_room());
        far.set_write_max(pace.write_max());
        let mut client = Peer::new(far, Some(case.heads.clone()));
        client.follow(&case.client);
        Self {
            case,
            pace,
            worker,
            site,
            network,
            client,
            apps: Vec::new(),
            attempts: vec![0; case.app.len()],
        }
    }

    /// Lets the proxy do what it can, and nobody else.
    pub(super) fn run_worker(&mut self) {
        self.worker.run();
    }

    /// The client's end of its connection.
    pub(super) fn client(&self) -> FarEnd {
        self.client.far.clone()
    }

    /// The app's ends of its connections.
    pub(super) fn apps(&self) -> Vec<FarEnd> {
        self.network.far_ends()
    }

    /// Until nothing moves any more.
    pub(super) fn run(&mut self) {
        self.settle();
        for _ in 0..EVENTS_MAX {
            let events = self.events();
            if events.is_empty() {
                return;
            }
            let decision = self.pace.decide(&events);
            match decision.event {
                Event::Accept(index) => self.apps[index].peer.far.accept(),
                Event::Room(side) => self.peer(side).far.set_room(decision.bytes),
                Event::Arrive(side) => {
                    let bytes = self.peer(side).deliver(decision.bytes);
                    self.pace.count(side, bytes);
                }
            }
            if decision.runs {
                self.settle();
            }
        }
        panic!("a run without end");
    }

    fn peer(&mut self, side: Side) -> &mut Peer {
        match side {
            Side::Client => &mut self.client,
            Side::App(index) => &mut self.apps[index].peer,
        }
    }

    /// What can happen now. Where nothing can, those things happen that only waited for their turn.
    fn events(&mut self) -> Vec<Event> {
        for _ in 0..2 {
            let mut events = Vec::new();
            for (index, app) in self.apps.iter().enumerate() {
                if app.peer.far.is_connecting() {
                    events.push(Event::Accept(index));
                }
            }
            let apps = self.apps.iter().enumerate();
            let apps = apps.map(|(index, app)| (Side::App(index), &app.peer));
            for (side, peer) in [(Side::Client, &self.client)].into_iter().chain(apps) {
                if peer.far.is_starved() {
                    events.push(Event::Room(side));
                }
                if peer.has_something() {
                    events.push(Event::Arrive(side));
                }
            }
            if !events.is_empty() {
                return events;
            }
            // The last event may have been one after which the proxy did not run.
            self.settle();
        }
        Vec::new()
    }

    /// The proxy does what it can, and both sides take note.
    fn settle(&mut self) {
        self.worker.run();
        for far in self.network.far_ends().split_off(self.apps.len()) {
            far.set_room(self.pace.first_room());
            far.set_write_max(self.pace.write_max());
            self.apps.push(App {
                peer: Peer::new(far, None),
                begun: 0,
            });
        }
        self.client.receive();
        self.client.advance(0);
        self.client.leave_when_told();
        for App { peer, begun } in &mut self.apps {
            peer.receive();
            if peer.is_done()
                && let Some(request) = peer.seen.messages.get(*begun)
            {
                let number = request.number();
                let scripts = &self.case.app[number];
                let attempt = self.attempts[number].min(scripts.len() - 1);
                self.attempts[number] += 1;
                peer.follow(&scripts[attempt]);
                *begun += 1;
            }
            peer.advance(begun.saturating_sub(1));
        }
    }

    /// What both sides have got to see.
    pub(super) fn outcome(&self) -> Outcome {
        let Seen { messages, rest } = self.client.seen.clone();
        let mut answers = messages;
        let client = end(&self.client);
        if let Some(last) = answers.last_mut()
            && last.ends_with_connection
        {
            last.is_whole = client == End::Orderly;
        }
        let apps = self.apps.iter().map(|app| {
            let Seen { messages, rest } = app.peer.seen.clone();
            AppOutcome {
                requests: messages,
                rest,
                end: end(&app.peer),
            }
        });
        Outcome {
            answers,
            to_client: rest,
            client,
            apps: apps.collect(),
        }
    }

    /// Nobody says anything any more: the timeouts send everybody away, and nothing is left behind.
    pub(super) fn let_time_pass(&mut self) {
        for _ in 0..TIMEOUTS_IN_A_ROW_MAX {
            let later = self.site.connections.clock().now() + LONG;
            let swept = self.site.connections.sweep(later);
            swept.late.into_iter().for_each(std::task::Waker::wake);
            for upstream in &self.site.upstreams {
                upstream.expire_idle(later);
            }
            self.worker.run();
        }
        let connections = self.site.connections.len();
        assert_eq!(connections, 0, "a client outstays every timeout");
        let lent = self.site.buffers.lent();
        assert_eq!(lent, 0, "a buffer was not given back");
        let open = self.apps.iter().filter(|app| end(&app.peer) == End::Kept);
        assert_eq!(open.count(), 0, "a connection to the app was left behind");
    }
}

fn end(peer: &Peer) -> End {
    match peer.far.near_end() {
        NearEnd::Open => End::Kept,
        NearEnd::HalfClosed | NearEnd::Closed => End::Orderly,
        NearEnd::Reset => End::Reset,
    }
}

/// A worker's view of a configuration with one listener, one upstream, one route.
fn listener(settings: Settings, network: &Network) -> Rc<ListenerSite> {
    let mut config = CONFIG.clone();
    for upstream in &mut config.upstreams {
        upstream.buffer = BufferSizes {
            request: settings.request_buffer,
            response: settings.response_buffer,
        };
    }
    let clock = Clock::new(Instant::now());
    let load = Arc::new(Load::new(config.listeners.len()));
    let slots = Arc::new(Slots::new(SLOTS, 0, (1, 0), 0, [0]));
    let connections = Connections::new(clock.clone(), load, slots);
    let metrics = Arc::new(WorkerMetrics::new(
        config.listeners.len(),
        config.upstreams.len(),
        config.routes.len(),
    ));
    let upstreams = config.upstreams.iter().zip(&metrics.upstreams);
    let upstreams = upstreams.map(|(settings, metrics)| {
        let shared = Shared {
            admission: Arc::new(Admission::new(0, settings.queue.size, 1)),
            accounts: vec![None; settings.targets.len()],
        };
        let (metrics, clients) = (Arc::clone(metrics), connections.clone());
        let mut upstream = Upstream::new(settings.clone(), shared, metrics, 0, clients);
        upstream.network = Some(network.clone());
        Rc::new(upstream)
    });
    let site = Rc::new(Site {
        routes: RouteTable::new(&config.routes),
        upstreams: upstreams.collect(),
        buffers: BufferPool::new(settings.worker_buffers),
        desks: Desks::default(),
        date: DateText::new(clock),
        connections,
        scratch: RefCell::new(Vec::new()),
        repeats: Repeats::default(),
        access: None,
        request_ids: RequestIds::new(1),
        is_timed: false,
        metrics,
        goodbyes: Goodbyes::default(),
        config: Arc::new(config),
    });
    let settings = site.config.listeners[0].clone();
    let limits = HeadLimits {
        bytes_max: settings.header_size_max,
        fields_max: settings.headers_max,
        ..HeadLimits::default()
    };
    Rc::new(ListenerSite {
        site,
        index: 0,
        settings,
        limits,
    })
}
