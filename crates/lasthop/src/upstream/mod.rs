//! An app and the connections to it: which target is next, which connection is reused, when a new
//! one is made, who waits for one, and what it means when there is none.
//!
//! Every worker has an [`Upstream`] of its own per configured upstream, with its own idle
//! connections; only [`Admission`] is shared. Nothing here knows HTTP: a request asks for a
//! connection with [`Upstream::checkout`] and gives it back with [`Upstream::park`], or drops it.

mod admission;
mod checkout;
mod connect;
mod dial;
mod error;
mod pool;
mod waiting;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

pub use admission::{Admission, Permit};
pub use checkout::Need;
pub use error::{ConnectError, ConnectErrorKind};
use pool::Pool;
use waiting::{Missed, Offered, Waiting};

use crate::config::{self, Close};
use crate::observe::metrics::UpstreamMetrics;
use crate::ports::Account;
use crate::transport::{Clock, Connections, Stream};

/// An app's `Keep-Alive: timeout` is when it closes; we let go this much earlier, so that a request
/// does not meet the close halfway. More than two ticks of the worker's clock.
const KEEP_ALIVE_MARGIN: Duration = Duration::from_millis(250);

/// One worker's view of one upstream.
#[derive(Debug)]
pub struct Upstream {
    /// What the operator decided.
    pub settings: config::Upstream,
    admission: Arc<Admission>,
    /// The source ports towards each target, by its index; none for a Unix socket.
    accounts: Vec<Option<Arc<Account>>>,
    /// This worker's counters.
    pub metrics: Arc<UpstreamMetrics>,
    worker: usize,
    clock: Clock,
    /// Those who may have to go where a connection to the app finds no descriptor.
    clients: Connections,
    /// The target of the next request, round robin. Counted per worker: no line shared for it.
    turn: Cell<usize>,
    pool: RefCell<Pool>,
    /// Requests of this worker that wait, to be handed a connection that another is done with.
    waiting: RefCell<Waiting>,
    /// One permit: whoever holds it retries a target that cannot take connections now, the others
    /// stand in line behind, first in first out.
    line: Semaphore,
    /// The request whose turn it is in the line finds no source port.
    asks_for_port: Cell<bool>,
    /// State of the generator behind the jitter of retries.
    jitter: Cell<u64>,
    /// Where connections go to instead of the targets.
    #[cfg(test)]
    pub network: Option<crate::transport::simulated::Network>,
}

/// What all workers share about one upstream.
#[derive(Clone, Debug)]
pub struct Shared {
    /// How many connections there may be, and who waits.
    pub admission: Arc<Admission>,
    /// The source ports towards each target, by its index; none for a Unix socket.
    pub accounts: Vec<Option<Arc<Account>>>,
}

/// A connection to the app, lent to one request at a time. Boxed, since it goes through several hands for each.
#[derive(Debug)]
pub struct Connection {
    /// The stream itself.
    pub stream: Stream,
    /// Index into the upstream's targets.
    pub target: usize,
    /// Requests that have been answered on it.
    pub answers: u32,
    /// Our address, once somebody has wanted to know it.
    pub source: Option<SocketAddr>,
    hold: Hold,
}

/// What the request that gives a connection back says of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parting {
    /// What the app said in `Keep-Alive: timeout`.
    pub app_timeout: Option<Duration>,
    /// Bytes may come that belong to no answer, so it is not used again before it has been silent for a while.
    pub needs_rest: bool,
    /// The request must not be sent twice, so not every connection would have done for it ([`Need::sure`]).
    pub was_choosy: bool,
}

/// What goes with a connection and is given back with it: the right to exist, where connections
/// are bounded, and its place in the count.
#[derive(Debug)]
pub struct Hold {
    _permit: Permit,
    _open: Open,
}

/// One open connection in the count.
#[derive(Debug)]
struct Open(Arc<UpstreamMetrics>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fall();
    }
}

impl Connection {
    /// A new connection to a target, which counts from here on.
    fn new(
        stream: Stream,
        target: usize,
        permit: Permit,
        metrics: &Arc<UpstreamMetrics>,
    ) -> Box<Self> {
        metrics.open.rise();
        Box::new(Self {
            stream,
            target,
            answers: 0,
            source: None,
            hold: Hold {
                _permit: permit,
                _open: Open(Arc::clone(metrics)),
            },
        })
    }

    /// The stream, and what is to be kept as long as the stream is.
    pub fn into_parts(self) -> (Stream, Hold) {
        (self.stream, self.hold)
    }
}

impl Upstream {
    /// The view of worker number `worker`.
    pub fn new(
        settings: config::Upstream,
        Shared {
            admission,
            accounts,
        }: Shared,
        metrics: Arc<UpstreamMetrics>,
        worker: usize,
        clients: Connections,
    ) -> Self {
        // Any seed but 0 will do, as long as the workers' differ.
        let seed = (worker as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bounds = (settings.keepalive.idle, settings.close);
        let pool = Pool::new(settings.targets.len(), bounds, Arc::clone(&metrics));
        Self {
            pool: RefCell::new(pool),
            settings,
            admission,
            accounts,
            metrics,
            worker,
            clock: clients.clock().clone(),
            clients,
            turn: Cell::new(worker),
            waiting: RefCell::default(),
            line: Semaphore::new(1),
            asks_for_port: Cell::new(false),
            jitter: Cell::new(seed | 1),
            #[cfg(test)]
            network: None,
        }
    }

    /// Takes a connection back that is ready for another request.
    pub fn park(&self, mut connection: Box<Connection>, parting: Parting) {
        connection.answers = connection.answers.saturating_add(1);
        let missed = Missed {
            permits: self.admission.short_of_permits(),
            port_elsewhere: self.is_port_missed_elsewhere() && connection.stream.lease().is_some(),
        };
        if parting.needs_rest {
            if missed.permits > 0 {
                // Somebody waits for the permit that would rest with it.
                return pool::end(&connection, self.settings.close);
            }
        } else {
            let mut waiting = self.waiting.borrow_mut();
            match waiting.offer(connection, missed) {
                Offered::Taken => return,
                Offered::Unwanted(connection) => {
                    // An orderly close would leave the port in TIME_WAIT, and it is the port that is wanted.
                    let close = match missed.port_elsewhere {
                        true => Close::Reset,
                        false => self.settings.close,
                    };
                    return pool::end(&connection, close);
                }
                Offered::Idle(unwanted) => connection = unwanted,
            }
        }
        let mut timeout = self.settings.keepalive.timeout;
        if let Some(app_timeout) = parting.app_timeout {
            timeout = timeout.min(app_timeout.saturating_sub(KEEP_ALIVE_MARGIN));
        }
        if timeout == Duration::ZERO {
            return pool::end(&connection, self.settings.close);
        }
        let now = self.clock.now();
        let is_roomy = self.clients.slots().is_roomy();
        self.pool
            .borrow_mut()
            .put(connection, (now, now + timeout), parting, is_roomy);
    }

    /// Whether requests of other workers find no source port.
    fn is_port_missed_elsewhere(&self) -> bool {
        self.admission.short_of_ports() > usize::from(self.asks_for_port.get())
    }

    /// Ends a connection whose answer is complete and that is not to be used again, because the app has said so.
    pub fn dismiss(&self, connection: Box<Connection>) {
        let Some(connection) = self.spend(connection) else {
            return;
        };
        if self.admission.short_of_permits() > 0 {
            // Somebody waits for the permit that would wait with it.
            return pool::end(&connection, self.settings.close);
        }
        self.pool.borrow_mut().dismiss(connection, self.clock.now());
    }

    /// Ends a connection and keeps its socket for the next one, where that can be had at once. Has it back where it cannot.
    fn spend(&self, connection: Box<Connection>) -> Option<Box<Connection>> {
        let reset = self.settings.close == Close::Reset;
        if !self.clients.has_room_for_spent() || !connection.stream.can_be_spent(reset) {
            return Some(connection);
        }
        let (stream, _hold) = connection.into_parts();
        self.clients.keep_spent(stream.into_spent(reset));
        None
    }

    /// Closes idle connections that are past their time; returns when the next one will be, if any is left.
    pub fn expire_idle(&self, now: Instant) -> Option<Instant> {
        let mut pool = self.pool.borrow_mut();
        if pool.is_empty() {
            return None;
        }
        pool.expire(now)
    }

    /// Watches the idle connections for as long as the worker lives: those on which the app closes
    /// or says something leave at once, and one leaves when another worker asks for its permit or its
    /// source port.
    pub async fn watch_idle(self: Rc<Self>) {
        let disturbed = tokio::task::unconstrained(poll_fn(|cx| {
            self.pool
                .borrow_mut()
                .remove_disturbed(cx, self.clock.now());
            Poll::<()>::Pending
        }));
        let asked = async {
            loop {
                self.admission.asked_for_idle(self.worker).await;
                let mut pool = self.pool.borrow_mut();
                for _ in 0..self.admission.short_of_permits() {
                    if !pool.close_oldest() {
                        break;
                    }
                }
                for _ in 0..self.admission.short_of_ports() {
                    if !pool.reset_oldest_with_port() {
                        break;
                    }
                }
            }
        };
        tokio::join!(disturbed, asked);
    }

    /// The target whose turn it is, as an index.
    fn next_target(&self) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn % self.settings.targets.len()
    }

    /// The target whose turn it was.
    fn last_target(&self) -> usize {
        self.turn.get().wrapping_sub(1) % self.settings.targets.len()
    }

    /// A duration between half of `around` and one and a half of it.
    fn jittered(&self, around: Duration) -> Duration {
        // xorshift64: spreading retries needs no better randomness.
        let mut state = self.jitter.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.jitter.set(state);
        let thousandths = u32::try_from(state % 1000).unwrap_or(0);
        around / 2 + around * thousandths / 1000
    }
}
