//! From a request to a connection: an idle one if there is one, else a new one within the bounds,
//! else a place in the queue.

use std::cell::Cell;
use std::io;
use std::time::Instant;

use tokio::time::{sleep, timeout_at};

use super::admission::Permit;
use super::{ConnectError, ConnectErrorKind, Connection, Upstream};

/// What a request needs of its connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Need {
    /// A new one: the request is a second attempt after a reused connection turned out to be dead.
    pub fresh: bool,
    /// One that is sure to be open: the request must not be sent twice, so it should not be sent into
    /// a connection that the app has just closed. The app must have kept it before, and it is looked
    /// at once more in this moment, which costs one system call.
    pub sure: bool,
}

/// What a wait for `max_connections` ends with.
enum Admitted {
    /// The right to make a connection.
    New(Permit),
    /// A connection that another request of this worker has done with.
    Idle(Box<Connection>),
}

impl Upstream {
    /// An idle connection, if one is there for the target whose turn it is.
    fn take_idle(&self, target: usize, need: Need) -> Option<Box<Connection>> {
        if need.fresh {
            return None;
        }
        loop {
            let connection = self
                .pool
                .borrow_mut()
                .take(target, self.clock.now(), need.sure)?;
            if !need.sure || connection.stream.is_quiet() {
                return Some(connection);
            }
        }
    }

    /// An idle connection for one request, if there is one: the way most requests go.
    pub fn idle_connection(&self, need: Need) -> Option<Box<Connection>> {
        self.take_idle(self.next_target(), need)
    }

    /// A connection for a request that found no idle one. `queued` says, while this is pending,
    /// whether the request has to wait for something to change, or is only being connected.
    ///
    /// # Errors
    /// After waiting as long as the upstream's settings allow for what was in the way: see
    /// [`ConnectErrorKind`] for the reasons and `connect` for the patience with each.
    pub async fn checkout(
        &self,
        need: Need,
        queued: &Cell<bool>,
    ) -> Result<Box<Connection>, ConnectError> {
        let target = self.last_target();
        let started = Instant::now();
        let permit = match self.admission.try_admit() {
            Some(permit) => permit,
            None => match self
                .wait_for_admission(target, need, started, queued)
                .await?
            {
                Admitted::New(permit) => permit,
                Admitted::Idle(connection) => return Ok(connection),
            },
        };
        // The patience with the app begins when it is first asked, however long the queue was.
        let started = Instant::now();
        let (mut attempts, obstacle) = match self.connect_at_once(target, started).await {
            Ok((stream, target)) => {
                return Ok(Connection::new(stream, target, permit, &self.metrics));
            }
            Err(failed) => failed,
        };
        let patience = match &obstacle {
            Some(error) => self.patience_with(error.kind),
            None => self.longest_patience(),
        };
        if let Some(error) = obstacle
            && patience.is_zero()
        {
            return Err(error);
        }
        queued.set(true);
        // Another request of this worker may be done with its connection before a new one is to be
        // had.
        tokio::select! {
            biased;
            connection = self.handed_over(need) => Ok(connection),
            connected = self.connect_patiently(&mut attempts, target, started, patience) => {
                let (stream, target) = connected?;
                Ok(Connection::new(stream, target, permit, &self.metrics))
            }
        }
    }

    /// Waits for a connection that another request of this worker is done with.
    async fn handed_over(&self, need: Need) -> Box<Connection> {
        if !need.fresh {
            let handed_over = self.waiting.borrow_mut().join(need);
            if let Ok(connection) = handed_over.await {
                return connection;
            }
        }
        std::future::pending().await
    }

    async fn wait_for_admission(
        &self,
        target: usize,
        need: Need,
        started: Instant,
        queued: &Cell<bool>,
    ) -> Result<Admitted, ConnectError> {
        if let Some(idle) = self.take_any_idle(need) {
            return Ok(Admitted::Idle(idle));
        }
        let full = |why: String| ConnectError {
            kind: ConnectErrorKind::Limit,
            target: self.settings.targets[target].clone(),
            waited: started.elapsed(),
            fault: None,
            source: io::Error::other(why),
        };
        let limit = self.settings.max_connections;
        let Some(_place) = self.admission.queue() else {
            let size = self.settings.queue.size;
            return Err(full(format!(
                "all {limit} connections in use, {size} requests queued"
            )));
        };
        queued.set(true);
        tokio::select! {
            biased;
            connection = self.handed_over(need) => Ok(Admitted::Idle(connection)),
            permit = self.admission.admit() => {
                queued.set(false);
                Ok(Admitted::New(permit))
            }
            () = sleep(self.settings.queue.timeout) => {
                Err(full(format!("all {limit} connections in use")))
            }
        }
    }

    /// An idle connection to any target; failing that, one is closed, so that its permit is free.
    fn take_any_idle(&self, need: Need) -> Option<Box<Connection>> {
        let mut pool = self.pool.borrow_mut();
        let any = if need.fresh {
            None
        } else {
            pool.take_any(self.clock.now(), need.sure)
        };
        match any {
            Some(connection) if connection.stream.is_quiet() => Some(connection),
            Some(_disturbed) => None,
            None => {
                pool.close_oldest();
                None
            }
        }
    }

    /// Waits at most until `deadline` for the turn to retry.
    pub(super) async fn turn_in_line(
        &self,
        deadline: Instant,
    ) -> Option<tokio::sync::SemaphorePermit<'_>> {
        // An error would mean a closed semaphore; this one is never closed.
        timeout_at(deadline.into(), self.line.acquire())
            .await
            .ok()?
            .ok()
    }
}
