//! Connections to the app that wait for their next request, one worker's for one upstream.
//!
//! Last in, first out: the connection used most recently is the least likely to be closed by the
//! app, and the rest can grow old and go. The pool never hands out a connection on which the app
//! has closed or said something unasked; such bytes would be taken for the answer to a request
//! they do not belong to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use lasthop_ports::Lease;

use super::{Connection, Parting};
use crate::config::Close;
use crate::observe::metrics::UpstreamMetrics;
use crate::transport::{Disturbance, TICK, earlier};

/// How long only rested connections are used after the app has said something more right behind an
/// answer. Where that is a habit, the surplus would answer the next request, and so on for ever.
const DISTRUST: Duration = Duration::from_secs(5);

/// How long an app that said it would close its connection is given to do so.
const LEAVING_TIME: Duration = Duration::from_secs(1);

/// Connections that may wait for that at once; beyond, we close first.
const LEAVING_MAX: usize = 1024;

/// Connections beyond those that may stay that are closed at a tick: requests wait meanwhile. Also the default of those that
/// may stay, which have always been closed at once when their time was over.
const CLOSED_AT_ONCE_MAX: usize = 256;

/// Idle connections, by target. Bounded over all targets.
#[derive(Debug)]
pub(super) struct Pool {
    by_target: Vec<VecDeque<Idle>>,
    /// Done with, and watched until the app closes, with the time when we do.
    leaving: VecDeque<(Box<Connection>, Instant)>,
    /// How the ones end that are closed by us.
    close: Close,
    total: Total,
    idle_max: usize,
    distrusted_until: Option<Instant>,
    /// Wakes the task that removes connections on which something happened.
    waker: Waker,
}

/// How many there are, shown to those who read the counters.
#[derive(Debug)]
struct Total {
    count: usize,
    /// The fewest there were at any time since the last tick: so many were not needed.
    fewest: usize,
    metrics: Arc<UpstreamMetrics>,
}

impl Total {
    fn set(&mut self, count: usize) {
        self.count = count;
        self.fewest = self.fewest.min(count);
        self.metrics.idle.set(count as u64);
    }
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: Instant,
    due: Instant,
    needs_rest: bool,
}

impl Idle {
    /// Whether the app is known to keep this connection: it has before, or has for a while by now.
    /// One that closes after its answer without announcing it does so within microseconds.
    fn has_proved_to_persist(&self, now: Instant) -> bool {
        self.connection.answers > 1 || self.has_rested(now)
    }

    /// Whether it has been silent for a while: more than a tick, whatever the clock's grain.
    fn has_rested(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= 2 * TICK
    }

    fn is_fit(&self, now: Instant, proved: bool, distrusted: bool) -> bool {
        (!(self.needs_rest || distrusted) || self.has_rested(now))
            && (!proved || self.has_proved_to_persist(now))
    }
}

impl Pool {
    pub(super) fn new(
        targets: usize,
        (idle_max, close): (usize, Close),
        metrics: Arc<UpstreamMetrics>,
    ) -> Self {
        Self {
            by_target: (0..targets).map(|_| VecDeque::new()).collect(),
            leaving: VecDeque::new(),
            close,
            total: Total {
                count: 0,
                fewest: 0,
                metrics,
            },
            idle_max,
            distrusted_until: None,
            waker: Waker::noop().clone(),
        }
    }

    /// Puts a connection in at `now` until `due`.
    ///
    /// Where the pool is full and it would do for the next request of the kind that had it, it stays all the same until a tick
    /// has passed in which it was not needed, as long as descriptors are to spare (`is_roomy`): a worker has the answers to a
    /// thousand clients in one moment and their next requests in another. Otherwise the oldest one of the same target makes
    /// room, or else the new one is closed. So is one that has yet to prove that the app keeps it: the oldest will have
    /// first. If it went, requests that must not be sent twice would not find any that has, and have a new one each.
    pub(super) fn put(
        &mut self,
        mut connection: Box<Connection>,
        (now, due): (Instant, Instant),
        parting: Parting,
        is_roomy: bool,
    ) {
        let Parting {
            needs_rest,
            was_choosy,
            ..
        } = parting;
        let is_proved = connection.answers > 1;
        let is_fit = (is_proved || !was_choosy) && !needs_rest && !self.is_distrusted(now);
        let idle = &mut self.by_target[connection.target];
        if self.total.count >= self.idle_max && !(is_fit && is_roomy && self.idle_max > 0) {
            let Some(oldest) = is_proved.then(|| idle.pop_front()).flatten() else {
                end(&connection, self.close);
                return;
            };
            end(&oldest.connection, self.close);
            self.total.set(self.total.count - 1);
        }
        // Looked at before it is watched: an app that closes unannounced often has by now.
        let mut cx = Context::from_waker(&self.waker);
        let disturbance = match connection.stream.disturbance() {
            None => connection.stream.poll_disturbed(&mut cx),
            Some(disturbance) => Poll::Ready(disturbance),
        };
        if let Poll::Ready(disturbance) = disturbance {
            if disturbance == Disturbance::Spoke {
                self.distrusted_until = Some(now + DISTRUST);
            }
            return;
        }
        idle.push_back(Idle {
            connection,
            since: now,
            due,
            needs_rest,
        });
        self.total.set(self.total.count + 1);
    }

    /// Takes a connection whose answer is complete and that the app has said it will close. Where a TIME_WAIT of ours
    /// would hurt, the app gets the chance to be first; it is its own then, and our port is free at once.
    pub(super) fn dismiss(&mut self, mut connection: Box<Connection>, now: Instant) {
        let waits = self.close == Close::Orderly
            && self.leaving.len() < LEAVING_MAX
            && connection
                .stream
                .lease()
                .is_some_and(Lease::should_let_app_close);
        if !waits {
            return end(&connection, self.close);
        }
        let mut cx = Context::from_waker(&self.waker);
        if connection.stream.poll_disturbed(&mut cx).is_pending() {
            self.leaving.push_back((connection, now + LEAVING_TIME));
        }
    }

    /// The connection to `target` used last that is still good; with `proved` only one that the app
    /// is known to keep.
    pub(super) fn take(
        &mut self,
        target: usize,
        now: Instant,
        proved: bool,
    ) -> Option<Box<Connection>> {
        let distrusted = self.is_distrusted(now);
        let idle = &mut self.by_target[target];
        loop {
            // The last one, as a rule.
            let last = idle
                .iter()
                .rposition(|idle| idle.is_fit(now, proved, distrusted))?;
            let idle = idle.remove(last)?;
            self.total.set(self.total.count - 1);
            let is_proved = idle.has_proved_to_persist(now);
            let Idle {
                connection, due, ..
            } = idle;
            // The event loop may not have been asked since the app has closed behind its answer.
            if due > now
                && connection.stream.disturbance().is_none()
                && (is_proved || connection.stream.is_quiet())
            {
                return Some(connection);
            }
            end(&connection, self.close);
        }
    }

    /// A connection to any target, for a request that may not have another: the one idle longest.
    /// With `proved` only one that the app is known to keep.
    pub(super) fn take_any(&mut self, now: Instant, proved: bool) -> Option<Box<Connection>> {
        let distrusted = self.is_distrusted(now);
        let targets = 0..self.by_target.len();
        targets.rev().find_map(|target| {
            let idle = &mut self.by_target[target];
            let first = idle
                .iter()
                .position(|idle| idle.is_fit(now, proved, distrusted))?;
            let Idle { connection, .. } = idle.remove(first)?;
            self.total.set(self.total.count - 1);
            Some(connection)
        })
    }

    /// Closes the connection that has been idle longest, so that somebody else can have its place; before that, one that
    /// only waits for the app to close it.
    pub(super) fn close_oldest(&mut self) -> bool {
        let leaving = self.leaving.pop_front().map(|(connection, _)| connection);
        let Some(oldest) = leaving.or_else(|| self.pop_oldest(|_| true)) else {
            return false;
        };
        end(&oldest, self.close);
        true
    }

    /// The same for its source port, which an orderly close would leave in TIME_WAIT.
    pub(super) fn reset_oldest_with_port(&mut self) -> bool {
        let leaving = self.leaving.pop_front().map(|(connection, _)| connection);
        let has_port = |connection: &Connection| connection.stream.lease().is_some();
        let Some(oldest) = leaving.or_else(|| self.pop_oldest(has_port)) else {
            return false;
        };
        end(&oldest, Close::Reset);
        true
    }

    /// The connection that has been idle longest of those at the targets that `which` wants.
    fn pop_oldest(&mut self, which: impl Fn(&Connection) -> bool) -> Option<Box<Connection>> {
        let oldest = self
            .by_target
            .iter_mut()
            .filter(|idle| idle.front().is_some_and(|idle| which(&idle.connection)))
            .min_by_key(|idle| idle.front().map(|idle| idle.since))?;
        let oldest = oldest.pop_front()?;
        self.total.set(self.total.count - 1);
        Some(oldest.connection)
    }

    /// Whether there is anything to be closed in its time.
    pub(super) fn is_empty(&self) -> bool {
        self.total.count == 0 && self.leaving.is_empty()
    }

    /// Closes what is past its time, and the oldest of those that are too many and were not needed since the last tick.
    /// Returns when there will be something to close.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        let close = self.close;
        let mut next = None;
        self.retain(|idle| {
            let stays = idle.due > now;
            if stays {
                next = earlier(next, Some(idle.due));
            } else {
                end(&idle.connection, close);
            }
            stays
        });
        let unneeded = self.total.fewest.saturating_sub(self.idle_max);
        for _ in 0..unneeded.min(CLOSED_AT_ONCE_MAX) {
            if let Some(oldest) = self.pop_oldest(|_| true) {
                end(&oldest, close);
            }
        }
        self.total.fewest = self.total.count;
        if self.total.count > self.idle_max {
            next = earlier(next, Some(now + TICK));
        }
        while self.leaving.front().is_some_and(|(_, due)| *due <= now) {
            if let Some((connection, _)) = self.leaving.pop_front() {
                end(&connection, close);
            }
        }
        earlier(next, self.leaving.front().map(|(_, due)| *due))
    }

    /// Closes every connection on which the app has closed or said something, and has the others
    /// wake `cx` when that happens. Call outside tokio's cooperative budget: cut short, it would
    /// look at the same first ones again and again.
    pub(super) fn remove_disturbed(&mut self, cx: &mut Context<'_>, now: Instant) {
        if !self.waker.will_wake(cx.waker()) {
            self.waker = cx.waker().clone();
        }
        let mut distrust = false;
        self.retain(|idle| match idle.connection.stream.poll_disturbed(cx) {
            Poll::Pending => true,
            Poll::Ready(disturbance) => {
                // Some servers say 408 before they close what was idle for long; that is no surplus.
                distrust |= disturbance == Disturbance::Spoke && !idle.has_rested(now);
                false
            }
        });
        if distrust {
            self.distrusted_until = Some(now + DISTRUST);
        }
        self.leaving
            .retain_mut(|(connection, _)| connection.stream.poll_disturbed(cx).is_pending());
    }

    fn is_distrusted(&self, now: Instant) -> bool {
        self.distrusted_until.is_some_and(|until| now < until)
    }

    fn retain(&mut self, mut keep: impl FnMut(&mut Idle) -> bool) {
        for idle in &mut self.by_target {
            idle.retain_mut(&mut keep);
        }
        self.count();
    }

    fn count(&mut self) {
        let left = self.by_target.iter().map(VecDeque::len).sum();
        self.total.set(left);
    }
}

/// A connection that is done with is about to be closed by us: in the way the operator wants it. One from a port that we
/// have bound by its number leaves no TIME_WAIT either way: those of a minute would keep the whole range from every
/// program on the host, and from us the kernel's own choice for good.
pub(super) fn end(connection: &Connection, close: Close) {
    if close == Close::Reset || connection.stream.names_port() {
        connection.stream.reset_on_close(true);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::transport::Stream;
    use crate::upstream::Admission;

    const POST: Parting = Parting {
        app_timeout: None,
        needs_rest: false,
        was_choosy: true,
    };

    /// A new connection that has been answered once, and its other end.
    fn answered_once(metrics: &Arc<UpstreamMetrics>) -> (Box<Connection>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let permit = Admission::new(0, 0, 1).try_admit().unwrap();
        let mut connection = Connection::new(Stream::unix_to_app(ours), 0, permit, metrics);
        connection.answers = 1;
        (connection, theirs)
    }

    #[tokio::test]
    async fn an_app_that_closes_behind_its_first_answer_is_noticed_though_the_event_loop_was_not_asked()
     {
        let metrics = Arc::default();
        let mut pool = Pool::new(1, (8, Close::Orderly), Arc::clone(&metrics));
        let now = Instant::now();
        let due = now + DISTRUST;
        let (before, theirs) = answered_once(&metrics);
        drop(theirs);
        pool.put(before, (now, due), POST, true);
        assert!(pool.is_empty(), "closed before it was put in");
        let (after, theirs) = answered_once(&metrics);
        pool.put(after, (now, due), POST, true);
        drop(theirs);
        assert!(pool.take(0, now, false).is_none(), "and after");
        let (open, _theirs) = answered_once(&metrics);
        pool.put(open, (now, due), POST, true);
        assert!(pool.take(0, now, false).is_some());
    }

    #[tokio::test]
    async fn a_full_pool_keeps_those_that_will_have_proved_themselves_first() {
        let metrics = Arc::default();
        let mut pool = Pool::new(1, (2, Close::Orderly), Arc::clone(&metrics));
        let now = Instant::now();
        let due = now + DISTRUST;
        let mut theirs = Vec::new();
        for _ in 0..4 {
            let (connection, other) = answered_once(&metrics);
            pool.put(connection, (now, due), POST, true);
            theirs.push(other);
            let (ours, other) = answered_once(&metrics);
            pool.put(ours, (now + TICK, due), POST, true);
            theirs.push(other);
        }
        let rested = now + 2 * TICK;
        assert!(pool.take(0, rested, true).is_some(), "the first has rested");
        let (mut proved, _other) = answered_once(&metrics);
        proved.answers = 2;
        pool.put(proved, (rested, due), POST, false);
        assert_eq!(pool.total.count, 2);
    }

    #[tokio::test]
    async fn more_than_may_stay_do_so_until_they_have_not_been_needed_for_a_tick() {
        let metrics = Arc::default();
        let mut pool = Pool::new(1, (2, Close::Orderly), Arc::clone(&metrics));
        let now = Instant::now();
        let due = now + DISTRUST;
        let mut theirs = Vec::new();
        let mut put = |pool: &mut Pool, is_roomy| {
            let (mut connection, other) = answered_once(&metrics);
            connection.answers = 2;
            pool.put(connection, (now, due), POST, is_roomy);
            theirs.push(other);
        };
        for _ in 0..5 {
            put(&mut pool, true);
        }
        assert_eq!(pool.total.count, 5, "in one moment");
        pool.put(answered_once(&Arc::default()).0, (now, due), POST, true);
        assert_eq!(pool.total.count, 5, "a POST could not have it");
        assert_eq!(pool.expire(now + TICK), Some(now + 2 * TICK));
        assert_eq!(pool.total.count, 5, "not a tick has passed");
        let taken = pool.take(0, now, false).unwrap();
        pool.put(taken, (now, due), POST, true);
        assert_eq!(pool.expire(now + 2 * TICK), Some(now + 3 * TICK));
        assert_eq!(pool.total.count, 3, "one was needed, two were not");
        assert_eq!(pool.expire(now + 3 * TICK), Some(due));
        assert_eq!(pool.total.count, 2);
        put(&mut pool, false);
        assert_eq!(pool.total.count, 2, "where descriptors are scarce");
    }

    #[test]
    fn a_connection_that_waits_for_a_request_takes_48_bytes_of_the_queue_and_144_of_its_own() {
        // The event loop's 256 for its socket come on top, and the lease of its source port.
        assert_eq!(size_of::<Idle>(), 48);
        assert_eq!(size_of::<Connection>(), 144);
    }
}
