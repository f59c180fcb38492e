//! The worker's table of client connections: who is there, until when it may wait, whether it could make
//! room, and how to wake it.
//!
//! A timer of its own for every connection would be armed and disarmed several times a request,
//! and cost more memory than the connection's own state. Instead each connection writes its
//! deadline into its row, with the worker's coarse clock, and one sweep every [`TICK`] wakes those
//! whose time is up. So a deadline is never early and at most two ticks late, and setting one is a
//! store. Where nothing happens there is no tick either: the sweep sleeps until the first deadline. The same rows let a
//! drain wake everybody, and tell who has been idle longest when somebody has to go (`eviction`).

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use slab::Slab;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{sleep, sleep_until};

use super::bulk::Bulk;
use super::clock::{Clock, TICK};
use super::eviction::{Batches, Evictable};
use super::load::Load;
use super::slots::{Slot, Slots};
use super::spent::SpentSockets;
use super::watch::Watch;

/// Connections whose deadline has passed that are woken before others run: each has an answer to write and a
/// socket to close, so this is a millisecond. A crowd that came at once is too late at once.
const WAKES_IN_A_ROW_MAX: usize = 32;

/// One worker's connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connections(pub(super) Rc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) rows: RefCell<Slab<Row>>,
    batches: RefCell<Batches>,
    /// Grows with every connection that becomes idle or begins a head.
    turn: Cell<u64>,
    /// Connections that have been asked to go and are still there.
    pub(super) leaving: Cell<usize>,
    pub(super) clock: Clock,
    pub(super) bulk: Bulk,
    draining: Cell<bool>,
    pub(super) emptied: Notify,
    /// Read by those who look for the least loaded worker, or for one that has somebody idle.
    pub(super) load: Arc<Load>,
    /// What the connections of all workers share.
    pub(super) slots: Arc<Slots>,
    /// When this worker last asked the others for slots.
    sought: Cell<Option<Instant>>,
    /// Sockets of connections to apps that are over. They hold slots, too.
    pub(super) spent: SpentSockets,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) due: Option<Instant>,
    pub(super) waker: Option<Waker>,
    /// When it came into its phase, in the order of this worker.
    pub(super) turn: u64,
    pub(super) listener: u32,
    pub(super) phase: Phase,
}

/// What a connection is about, as far as it matters to somebody who needs its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has a request in hand, or is a tunnel: it stays.
    Busy,
    /// It can be asked to go.
    Evictable(Evictable),
    /// It has been asked to go.
    Leaving,
}

impl Connections {
    /// An empty table that publishes what is in it in `load`.
    pub fn new(clock: Clock, load: Arc<Load>, slots: Arc<Slots>) -> Self {
        Self(Rc::new(Inner {
            rows: RefCell::new(Slab::new()),
            batches: RefCell::default(),
            turn: Cell::new(0),
            leaving: Cell::new(0),
            clock,
            bulk: Bulk::default(),
            draining: Cell::new(false),
            emptied: Notify::new(),
            load,
            slots,
            sought: Cell::new(None),
            spent: SpentSockets::default(),
        }))
    }

    /// Enters a client of the listener with that index; it leaves when the guard is dropped. Until it says
    /// something it can be asked to go, even before its task has run: a flood is accepted many at a time.
    pub fn enter(&self, listener: usize) -> Watch {
        let listener = u32::try_from(listener).unwrap_or(u32::MAX);
        let mut rows = self.0.rows.borrow_mut();
        let key = rows.insert(Row {
            due: None,
            waker: None,
            turn: self.next_turn(),
            listener,
            phase: Phase::Evictable(Evictable::Idle),
        });
        self.0.load.add(Evictable::Idle, listener);
        self.0.load.set_connections(rows.len());
        Watch::new(self.clone(), key)
    }

    /// Connections open now.
    pub fn len(&self) -> usize {
        self.0.rows.borrow().len()
    }

    /// Whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The clock that deadlines are set by.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The turns of large transfers.
    pub fn bulk(&self) -> &Bulk {
        &self.0.bulk
    }

    /// Whether [`Connections::drain`] has been called.
    pub fn is_draining(&self) -> bool {
        self.0.draining.get()
    }

    /// Asks every connection to finish and leave; those that wait are woken.
    pub fn drain(&self) {
        self.0.draining.set(true);
        let wakers: Vec<Waker> = self
            .0
            .rows
            .borrow_mut()
            .iter_mut()
            .filter_map(|(_, row)| row.waker.take())
            .collect();
        // Woken outside the borrow: a waker may run code of its own.
        for waker in wakers {
            waker.wake();
        }
    }

    /// Asks the client to go that has been so for the longest, among those of one listener or all. Returns
    /// whether there was one; it will be gone in a moment, or have another go in its stead.
    pub fn evict(&self, which: Evictable, among: Option<usize>) -> bool {
        let inner = &*self.0;
        if inner.load.evictable(which, among) == 0 {
            return false;
        }
        let mut rows = inner.rows.borrow_mut();
        let is_one = |row: &Row| {
            row.phase == Phase::Evictable(which)
                && among.is_none_or(|listener| row.listener as usize == listener)
        };
        let still = |(turn, key)| {
            rows.get(key)
                .is_some_and(|row: &Row| row.turn == turn && is_one(row))
        };
        let all = || {
            let those = rows.iter().filter(|(_, row)| is_one(row));
            those.map(|(key, row)| (row.turn, key))
        };
        let mut batches = inner.batches.borrow_mut();
        let Some(key) = batches.of(which, among).next(still, all) else {
            return false;
        };
        let row = &mut rows[key];
        row.phase = Phase::Leaving;
        inner.leaving.set(inner.leaving.get() + 1);
        inner.load.remove(which, row.listener);
        let waker = row.waker.take();
        drop((rows, batches));
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Clients of this worker that have been asked to go and are still there.
    pub fn leaving(&self) -> usize {
        self.0.leaving.get()
    }

    /// As [`Connections::evict`], whoever has to go first among those of one listener or all. Before all clients goes a
    /// socket that nobody uses.
    pub fn evict_among(&self, among: Option<usize>) -> bool {
        if among.is_none() && self.0.spent.give_up() {
            return true;
        }
        let mut kinds = Evictable::ALL.iter();
        kinds.any(|which| self.evict(*which, among))
    }

    /// A slot for a connection to an app; where there is none, that of a client who goes for it. Failing
    /// that, every worker with an idle client is asked to let one go by its next tick.
    pub fn app_slot(&self) -> Option<Slot> {
        let slots = &self.0.slots;
        if let Some(slot) = slots.app() {
            return Some(slot);
        }
        if self.evict_among(None) {
            return slots.app_beyond();
        }
        // Once a tick, since whoever waits tries again every few milliseconds.
        let now = Some(self.0.clock.now());
        if self.0.sought.replace(now) != now {
            slots.seek();
        }
        None
    }

    /// The slots that this worker shares with the others.
    pub fn slots(&self) -> &Arc<Slots> {
        &self.0.slots
    }

    /// Moves the clock to `now` and lets idle connections go for other workers' sake.
    pub fn sweep(&self, now: Instant) -> Swept {
        let mut swept = Swept {
            late: Vec::new(),
            due: None,
            was_asked: self.0.clock.tick(now),
        };
        self.0.spent.expire(self.0.slots.is_roomy());
        if !self.0.spent.is_empty() {
            // What nobody needs by then is closed.
            swept.due = Some(now + TICK);
        }
        for (_, row) in self.0.rows.borrow_mut().iter_mut() {
            match row.due {
                Some(due) if due <= now => swept.late.extend(row.waker.take()),
                // Where nobody waits for it, somebody who begins to looks at the clock.
                Some(due) if row.waker.is_some() => swept.due = earlier(swept.due, Some(due)),
                _ => {}
            }
        }
        if self.0.load.evictable(Evictable::Idle, None) > 0 {
            for _ in 0..self.0.slots.take_sought() {
                if !self.evict(Evictable::Idle, None) {
                    break;
                }
            }
        }
        swept
    }

    /// Sweeps every [`TICK`] while somebody asks for the time, and otherwise when something is due.
    ///
    /// `each_tick` is called after each sweep with the time, for what else ages in this worker; it says when it wants to be
    /// called again at the latest, if it does.
    pub async fn keep_sweeping(&self, mut each_tick: impl FnMut(Instant) -> Option<Instant>) {
        let Inner { clock, slots, .. } = &*self.0;
        loop {
            // Before the sweep: slots that are sought from here on are heard of.
            let sought = slots.sought();
            // The event loop is asked first, and whoever has heard of something runs. After the process was stopped, timers
            // are what it wakes up with, and what has come in time would be taken for late.
            clock.catch_up(Instant::now());
            yield_now().await;
            let now = Instant::now();
            let swept = self.sweep(now);
            let mut late = swept.late.into_iter();
            while late.len() > 0 {
                late.by_ref().take(WAKES_IN_A_ROW_MAX).for_each(Waker::wake);
                yield_now().await;
            }
            let due = earlier(swept.due, each_tick(now));
            // A deadline that was set since the sweep was set by somebody who asked.
            if swept.was_asked || !clock.stop() {
                sleep(TICK).await;
                continue;
            }
            tokio::select! {
                biased;
                () = clock.started() => sleep(TICK).await,
                () = sought => {}
                () = until(due, now + TICK) => {}
            }
        }
    }

    /// Returns once no connection is left.
    pub async fn empty(&self) {
        while !self.is_empty() {
            self.0.emptied.notified().await;
        }
    }

    pub(super) fn next_turn(&self) -> u64 {
        let turn = self.0.turn.get() + 1;
        self.0.turn.set(turn);
        turn
    }
}

/// What a sweep has found.
#[derive(Debug)]
#[must_use = "those who are late are to be woken"]
pub struct Swept {
    /// Connections whose deadline has passed.
    pub late: Vec<Waker>,
    /// The first deadline that somebody waits for.
    due: Option<Instant>,
    /// Somebody has asked for the time since the sweep before.
    was_asked: bool,
}

/// The earlier one of two times that need not be.
pub fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// Returns at `due`, but not before `earliest`: many deadlines behind one another are one sweep.
async fn until(due: Option<Instant>, earliest: Instant) {
    match due {
        Some(due) => sleep_until(due.max(earliest).into()).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use tokio::task::{LocalSet, spawn_local};
    use tokio::time::timeout;

    use super::*;
    use crate::transport::Interrupt;

    fn table(now: Instant) -> Connections {
        let slots = Slots::new(1024, 0, (1, 0), 0, [0, 0]);
        Connections::new(Clock::new(now), Arc::new(Load::new(2)), Arc::new(slots))
    }

    /// Clients that became idle in this order.
    fn idle(connections: &Connections, listeners: &[usize]) -> Vec<Watch> {
        let enter = |listener: &usize| {
            let watch = connections.enter(*listener);
            watch.idle_for(Duration::from_secs(60));
            watch
        };
        listeners.iter().map(enter).collect()
    }

    fn evicted(clients: &[Watch]) -> Vec<bool> {
        clients.iter().map(Watch::is_evicted).collect()
    }

    fn noop() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn a_deadline_is_never_early_and_at_most_two_ticks_late() {
        let connections = table(Instant::now());
        let watch = connections.enter(0);
        let start = watch.now();
        watch.due_in(Duration::from_secs(1));
        drop(connections.sweep(start + Duration::from_secs(1)));
        assert!(
            watch.poll_deadline(&mut noop()).is_pending(),
            "one tick of grain is added"
        );
        drop(connections.sweep(start + Duration::from_secs(1) + TICK));
        assert!(watch.poll_deadline(&mut noop()).is_ready());
    }

    #[test]
    fn a_connection_that_leaves_is_counted_out() {
        let connections = table(Instant::now());
        let first = connections.enter(0);
        let second = connections.enter(0);
        assert_eq!(connections.len(), 2);
        drop(first);
        drop(second);
        assert!(connections.is_empty());
        assert_eq!(connections.0.load.connections(), 0);
    }

    #[test]
    fn a_drain_interrupts_those_who_wait() {
        let connections = table(Instant::now());
        let watch = connections.enter(0);
        assert!(watch.poll_interrupt(&mut noop()).is_pending());
        connections.drain();
        assert_eq!(
            watch.poll_interrupt(&mut noop()),
            Poll::Ready(Interrupt::Drain)
        );
    }

    #[test]
    fn the_client_that_has_been_idle_longest_goes_first() {
        let connections = table(Instant::now());
        let clients = idle(&connections, &[0, 0, 0]);
        // The first has a request meanwhile, and is the last to be idle then.
        clients[0].stay();
        clients[0].idle_for(Duration::from_secs(60));
        assert!(connections.evict(Evictable::Idle, None));
        assert_eq!(evicted(&clients), [false, true, false]);
        assert_eq!(
            clients[1].poll_interrupt(&mut noop()),
            Poll::Ready(Interrupt::Evicted)
        );
        assert!(connections.evict(Evictable::Idle, None));
        assert!(connections.evict(Evictable::Idle, None));
        assert!(!connections.evict(Evictable::Idle, None), "nobody is left");
        assert_eq!(evicted(&clients), [true, true, true]);
    }

    #[test]
    fn only_clients_of_the_listener_go_for_its_sake() {
        let connections = table(Instant::now());
        let clients = idle(&connections, &[0, 1, 0]);
        assert!(connections.evict(Evictable::Idle, Some(1)));
        assert!(!connections.evict(Evictable::Idle, Some(1)));
        assert_eq!(evicted(&clients), [false, true, false]);
    }

    #[test]
    fn a_client_with_a_request_never_goes() {
        let connections = table(Instant::now());
        let clients = idle(&connections, &[0, 0]);
        clients[0].stay();
        clients[1].stay();
        clients[1].is_reading();
        assert!(!connections.evict(Evictable::Idle, None));
        assert!(connections.evict(Evictable::Reading, None));
        assert!(!connections.evict(Evictable::Reading, None));
        assert_eq!(evicted(&clients), [false, true]);
    }

    #[test]
    fn nobody_goes_in_the_stead_of_one_that_turns_out_to_be_busy_until_there_is_a_newcomer() {
        let connections = table(Instant::now());
        let clients = idle(&connections, &[0, 1, 0]);
        assert!(connections.evict(Evictable::Idle, None));
        clients[0].stay();
        assert_eq!(evicted(&clients), [false, false, false]);
        assert!(connections.evict(Evictable::Idle, Some(0)));
        assert_eq!(evicted(&clients), [false, false, true]);
    }

    #[test]
    fn a_row_that_somebody_else_has_by_now_is_not_taken_for_the_old_one() {
        let connections = table(Instant::now());
        let mut clients = idle(&connections, &[0, 0, 0]);
        assert!(connections.evict(Evictable::Idle, None));
        // The second one's row, which is a candidate, goes to a newcomer.
        drop(clients.remove(1));
        clients.extend(idle(&connections, &[0]));
        assert!(connections.evict(Evictable::Idle, None));
        assert_eq!(evicted(&clients), [true, true, false]);
    }

    #[test]
    fn what_is_published_agrees_with_the_table_whatever_happens() {
        let connections = table(Instant::now());
        let clients = idle(&connections, &[0, 1, 0, 1]);
        let counts = || Evictable::ALL.map(|which| connections.0.load.evictable(which, None));
        assert_eq!(counts(), [4, 0]);
        clients[0].stay();
        clients[0].is_reading();
        clients[0].is_reading();
        assert_eq!(counts(), [3, 1]);
        assert!(connections.evict(Evictable::Idle, None));
        assert_eq!(counts(), [2, 1]);
        drop(clients);
        assert_eq!(counts(), [0, 0]);
    }

    #[test]
    fn an_app_gets_the_slot_of_an_idle_client() {
        let slots = Arc::new(Slots::new(0, 0, (1, 0), 0, [0]));
        let load = Arc::new(Load::new(1));
        let connections = Connections::new(Clock::new(Instant::now()), load, Arc::clone(&slots));
        let _client = slots.client(0).unwrap();
        let _app = connections.app_slot().unwrap();
        assert!(connections.app_slot().is_none(), "nobody could go for it");
        let clients = idle(&connections, &[0, 0]);
        let _second = connections.app_slot().unwrap();
        assert_eq!(evicted(&clients), [true, false]);
        // The one who asked in vain is remembered until the next tick.
        drop(connections.sweep(Instant::now()));
        assert_eq!(evicted(&clients), [true, true]);
    }

    #[test]
    fn slots_sought_in_vain_for_long_do_not_send_away_everybody_who_comes_later() {
        let connections = table(Instant::now());
        // Nobody was idle for a minute, and somebody asked at every tick.
        for _ in 0..600 {
            connections.slots().seek();
            drop(connections.sweep(Instant::now()));
        }
        let clients = idle(&connections, &[0; 500]);
        drop(connections.sweep(Instant::now()));
        let gone = evicted(&clients).iter().filter(|gone| **gone).count();
        assert!(gone <= 8, "{gone} of 500");
    }

    /// What nothing here takes as long as.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Sweeps a table until `body` has returned, and counts the sweeps for it.
    async fn sweeping<T>(
        connections: &Connections,
        body: impl AsyncFnOnce(&Cell<usize>) -> T,
    ) -> T {
        let sweeps = Rc::new(Cell::new(0));
        let counted = Rc::clone(&sweeps);
        let swept = connections.clone();
        let tasks = LocalSet::new();
        tasks.spawn_local(async move {
            let count = |_| {
                counted.set(counted.get() + 1);
                None
            };
            swept.keep_sweeping(count).await;
        });
        let body = timeout(PATIENCE, body(&sweeps));
        tasks.run_until(body).await.expect("in time")
    }

    /// Waits for what becomes of a connection in a task of its own, so that it is looked at only when it is woken.
    fn interrupted(watch: Watch) -> tokio::task::JoinHandle<Interrupt> {
        spawn_local(async move { poll_fn(|cx| watch.poll_interrupt(cx)).await })
    }

    /// Waits until nothing has been swept for some ticks, which would go on for ever if nobody stopped.
    async fn come_to_rest(sweeps: &Cell<usize>) {
        loop {
            let before = sweeps.get();
            // tidy: that nothing happens in a time is what is waited for
            sleep(4 * TICK).await;
            if sweeps.get() == before {
                return;
            }
        }
    }

    #[tokio::test]
    async fn a_worker_in_which_nothing_happens_sleeps_until_the_first_deadline_and_meets_it() {
        let connections = table(Instant::now());
        sweeping(&connections, async |sweeps| {
            let begun = Instant::now();
            let watch = connections.enter(0);
            watch.due_in(12 * TICK);
            assert_eq!(interrupted(watch).await.unwrap(), Interrupt::Deadline);
            assert!(begun.elapsed() >= 12 * TICK);
            // The first, those of the two ticks in which somebody set or saw the deadline, the one that found it quiet, and
            // the last.
            assert!(sweeps.get() <= 5, "{} sweeps", sweeps.get());
        })
        .await;
    }

    #[tokio::test]
    async fn a_deadline_that_is_set_while_the_worker_sleeps_is_met() {
        let connections = table(Instant::now());
        sweeping(&connections, async |sweeps| {
            let other = connections.enter(0);
            other.due_in(PATIENCE * 10);
            let other = interrupted(other);
            come_to_rest(sweeps).await;
            let begun = Instant::now();
            let watch = connections.enter(0);
            watch.due_in(TICK);
            assert_eq!(interrupted(watch).await.unwrap(), Interrupt::Deadline);
            assert!(begun.elapsed() >= TICK, "the clock stood still");
            assert!(!other.is_finished());
        })
        .await;
    }

    #[tokio::test]
    async fn a_worker_that_sleeps_lets_somebody_go_for_another_workers_sake() {
        let connections = table(Instant::now());
        sweeping(&connections, async |sweeps| {
            let watch = connections.enter(0);
            watch.idle_for(PATIENCE * 10);
            let gone = interrupted(watch);
            come_to_rest(sweeps).await;
            connections.slots().seek();
            assert_eq!(gone.await.unwrap(), Interrupt::Evicted);
        })
        .await;
    }

    #[tokio::test]
    async fn what_ages_beside_the_connections_is_looked_after_when_it_says() {
        let connections = table(Instant::now());
        let due = Instant::now() + 5 * TICK;
        let (ended, end) = tokio::sync::oneshot::channel();
        let mut ended = Some(ended);
        let looks = connections.keep_sweeping(|now| {
            if now < due {
                return Some(due);
            }
            if let Some(ended) = ended.take() {
                ended.send(now).unwrap();
            }
            None
        });
        let now = tokio::select! {
            () = looks => unreachable!(),
            now = timeout(PATIENCE, end) => now.expect("in time").unwrap(),
        };
        assert!(now >= due);
    }
}
