//! A new connection to the app, and the patience while there is none to be had.
//!
//! A target that refuses or is missing is most often an app that restarts: it gets
//! `restart_grace`. A full backlog and exhausted source ports or descriptors pass as others finish:
//! they get the queue's time. Meanwhile one request of the worker retries, with jitter, and the
//! others stand in line behind it, first in first out: a thousand requests that all poke at a
//! socket that is not there would only keep the app from starting.

use std::cell::Cell;
use std::pin::pin;
use std::time::{Duration, Instant};

use lasthop_kernel::listen::is_out_of_descriptors;
use tokio::time::{sleep, timeout};

use super::admission::Place;
use super::dial::{Dial, Failed};
use super::{ConnectError, ConnectErrorKind, Upstream};
use crate::observe::metrics::{ConnectResult, UpstreamMetrics};
use crate::transport::Stream;

/// Around how long to wait before a missing or refusing target is tried again. A tenth of the 100 ms
/// within which requests are to flow again after a restart.
const RETRY_ABSENT: Duration = Duration::from_millis(10);

/// Around how long to wait for a place in a full backlog, or for a port or descriptor. An app that
/// accepts a thousand connections a second frees two or three places meanwhile.
const RETRY_CROWDED: Duration = Duration::from_millis(2);

/// How long an attempt may take before the next in line has its turn: a handshake on one host takes microseconds. One
/// that an app with a full backlog does not answer takes seconds, and says nothing about what the others wait for.
const TURN_MAX: Duration = Duration::from_millis(5);

/// What a request has begun at each target.
pub(super) struct Attempts(Vec<Option<Dial>>);

/// One attempt in the count, for as long as it takes.
struct Connecting<'a>(&'a UpstreamMetrics);

impl<'a> Connecting<'a> {
    fn count(metrics: &'a UpstreamMetrics) -> Self {
        metrics.connecting.rise();
        Self(metrics)
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.connecting.fall();
    }
}

/// Asks for a port that another request may be done with, until dropped.
struct Asking<'a> {
    _short: Place<'a>,
    asks: &'a Cell<bool>,
}

impl<'a> Asking<'a> {
    fn for_port(upstream: &'a Upstream) -> Self {
        upstream.asks_for_port.set(true);
        Self {
            _short: upstream.admission.ask_for_port(),
            asks: &upstream.asks_for_port,
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.asks.set(false);
    }
}

impl Upstream {
    /// One attempt at each target, beginning with `first`, unless others already stand in line for
    /// them. Where it fails, the attempts can be gone on with; the error is the last one's, none
    /// where none was made.
    pub(super) async fn connect_at_once(
        &self,
        first: usize,
        started: Instant,
    ) -> Result<(Stream, usize), (Attempts, Option<ConnectError>)> {
        let mut attempts = Attempts(self.settings.targets.iter().map(|_| None).collect());
        if self.line.available_permits() == 0 {
            return Err((attempts, None));
        }
        match self.try_targets(&mut attempts, first, started).await {
            Ok(connected) => Ok(connected),
            Err(error) => Err((attempts, Some(error))),
        }
    }

    /// Waits in line, then tries again and again, until the patience with what is in the way is used
    /// up.
    pub(super) async fn connect_patiently(
        &self,
        attempts: &mut Attempts,
        first: usize,
        started: Instant,
        patience: Duration,
    ) -> Result<(Stream, usize), ConnectError> {
        let place = self.admission.queue();
        let patience = if place.is_some() {
            patience
        } else {
            Duration::ZERO
        };
        let mut turn = self.turn_in_line(started + patience).await;
        loop {
            let may_go_on = turn.is_some();
            let mut attempt = pin!(self.try_targets(attempts, first, started));
            let attempted = match timeout(TURN_MAX, &mut attempt).await {
                Ok(attempted) => attempted,
                Err(_elapsed) => {
                    turn = None;
                    attempt.await
                }
            };
            let error = match attempted {
                Ok(connected) => return Ok(connected),
                Err(error) => error,
            };
            let deadline = started + patience.min(self.patience_with(error.kind));
            if turn.is_none() && may_go_on {
                turn = self.turn_in_line(deadline).await;
            }
            let now = Instant::now();
            if turn.is_none() || now >= deadline {
                return Err(error);
            }
            // Our own idle connections hold ports, too, those of other workers included.
            let _asking =
                (error.kind == ConnectErrorKind::SourcePorts).then(|| Asking::for_port(self));
            let pause = self.jittered(retry_pause(error.kind));
            sleep(pause.min(deadline - now)).await;
        }
    }

    /// The patience of a request that does not know yet what the others stand in line for.
    pub(super) fn longest_patience(&self) -> Duration {
        self.settings.queue.timeout.max(self.settings.restart_grace)
    }

    /// How long a request waits for what is in the way to pass, from its first attempt on.
    pub(super) fn patience_with(&self, kind: ConnectErrorKind) -> Duration {
        let settings = &self.settings;
        match kind {
            ConnectErrorKind::Refused
            | ConnectErrorKind::Missing
            | ConnectErrorKind::Permission => settings.restart_grace,
            ConnectErrorKind::Backlog => settings.queue.timeout.min(settings.connect_timeout),
            ConnectErrorKind::SourcePorts | ConnectErrorKind::Descriptors => settings.queue.timeout,
            ConnectErrorKind::TimedOut | ConnectErrorKind::Limit | ConnectErrorKind::Other => {
                Duration::ZERO
            }
        }
    }

    /// One attempt at each target, beginning with `first`; the error is the last one's.
    async fn try_targets(
        &self,
        attempts: &mut Attempts,
        first: usize,
        started: Instant,
    ) -> Result<(Stream, usize), ConnectError> {
        let count = attempts.0.len();
        let mut tried = 0;
        loop {
            let index = (first + tried) % count;
            let target = &self.settings.targets[index];
            match self.try_target(&mut attempts.0[index], index).await {
                Ok(stream) => return Ok((stream, index)),
                Err(Failed { fault, source }) => {
                    tried += 1;
                    if tried == count {
                        return Err(ConnectError {
                            kind: ConnectErrorKind::of(fault),
                            target: target.clone(),
                            waited: started.elapsed(),
                            fault: Some(fault),
                            source,
                        });
                    }
                }
            }
        }
    }

    async fn try_target(&self, dial: &mut Option<Dial>, index: usize) -> Result<Stream, Failed> {
        #[cfg(test)]
        if let Some(network) = &self.network {
            return network.connect().await.map_err(Failed::refused);
        }
        let dial = match dial {
            Some(dial) => dial,
            None => dial.insert(Dial::new(
                &self.settings.targets[index],
                &self.accounts[index],
            )?),
        };
        let _connecting = Connecting::count(&self.metrics);
        let started = Instant::now();
        let connect_timeout = self.settings.connect_timeout;
        let attempted = dial.attempt(connect_timeout, &self.clients).await;
        let result = match &attempted {
            Ok(stream) => {
                self.metrics.connect_duration.observe(started.elapsed());
                if stream.lease().is_some_and(|lease| lease.is_spilled()) {
                    self.metrics.spilled.add(1);
                }
                ConnectResult::Ok
            }
            Err(failed) => {
                if is_out_of_descriptors(&failed.source) {
                    // Less was left than we have counted on.
                    self.clients.evict_among(None);
                }
                ConnectErrorKind::of(failed.fault).result()
            }
        };
        self.metrics.connects(result).add(1);
        attempted
    }
}

fn retry_pause(kind: ConnectErrorKind) -> Duration {
    match kind {
        ConnectErrorKind::Backlog
        | ConnectErrorKind::SourcePorts
        | ConnectErrorKind::Descriptors => RETRY_CROWDED,
        _ => RETRY_ABSENT,
    }
}
