//! The crowd of `churn`: clients that begin at a fixed rate, each a task, and what became of them.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::client::{Client, Kind, LIFE_MAX};
use crate::endpoint::outcomes::Outcomes;

/// Clients at once. At the highest rate there are half as many; more are a proxy that does not let go of them.
const OPEN_MAX: usize = 4000;
/// How often those begin that are due.
const TICK: Duration = Duration::from_millis(10);

/// What became of the clients of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate {
    /// Saw what they should see.
    pub(crate) served: u64,
    pub(crate) failed: Outcomes,
}

/// Clients that come and go.
#[derive(Debug)]
pub(super) struct Crowd {
    address: SocketAddr,
    per_second: u64,
    begun: u64,
    /// Those that were due while [`OPEN_MAX`] were open.
    left_out: u64,
    tasks: JoinSet<()>,
    fates: Rc<RefCell<Vec<Fate>>>,
}

impl Crowd {
    pub(super) fn new(address: SocketAddr, per_second: u64) -> Self {
        Self {
            address,
            per_second,
            begun: 0,
            left_out: 0,
            tasks: JoinSet::new(),
            fates: Rc::new(RefCell::new(vec![Fate::default(); Kind::ALL.len()])),
        }
    }

    /// Open now.
    pub(super) fn open(&self) -> usize {
        self.tasks.len()
    }

    /// Begun so far.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// By [`Kind::ALL`].
    pub(super) fn fates(&self) -> Vec<Fate> {
        self.fates.borrow().clone()
    }

    /// Has clients come and go for so long, at the fixed rate.
    pub(super) async fn go_on(&mut self, duration: Duration) {
        let (start, first) = (Instant::now(), self.begun + self.left_out);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while start.elapsed() < duration {
            tick.tick().await;
            while self.tasks.try_join_next().is_some() {}
            let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            let due = first + milliseconds * self.per_second / 1000;
            while self.begun + self.left_out < due {
                self.begin();
            }
        }
    }

    fn begin(&mut self) {
        if self.tasks.len() >= OPEN_MAX {
            self.left_out += 1;
            return;
        }
        let client = Client {
            kind: Kind::by_turn(self.begun),
            address: self.address,
            number: self.begun,
        };
        self.begun += 1;
        let fates = Rc::clone(&self.fates);
        self.tasks.spawn_local(async move {
            let lived = client.live().await;
            let mut fates = fates.borrow_mut();
            let index = Kind::ALL.iter().position(|kind| *kind == client.kind);
            let fate = &mut fates[index.unwrap_or(0)];
            match lived {
                Ok(()) => fate.served += 1,
                Err(error) => fate.failed.failed(&error.to_string()),
            }
        });
    }

    /// Waits until the last one has gone; each does in its time.
    pub(super) async fn all_gone(&mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // Their own patience ends them before.
        let _ = tokio::time::timeout(2 * LIFE_MAX, all).await;
    }
}
