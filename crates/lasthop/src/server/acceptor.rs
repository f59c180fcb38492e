//! The one acceptor of Unix listeners: takes connections on the main thread and hands each to the
//! worker that has the fewest.
//!
//! `SO_REUSEPORT` does not exist for Unix sockets, and workers that race for one listener would
//! leave whoever is woken first with everything.

use std::sync::Arc;
use std::time::Duration;

use lasthop_kernel::listen::{PathClaim, UnixListening};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::sleep;

use super::ServeError;
use super::handover::{Arrival, WorkerHandle, destination, someone_could_go};
use crate::config::Config;
use crate::listener::{Admitted, Entrance, accept, register};
use crate::transport::{Accepted, Slots};

/// Workers let clients go on threads of their own: how often a newcomer without a place is looked for one again, and how
/// many times, before it is turned away although somebody could go.
const LOOK_EVERY: Duration = Duration::from_millis(1);
const LOOKS_MAX: usize = 10;

/// The accepting tasks and the files they accept on.
pub(super) struct Acceptor {
    tasks: Vec<JoinHandle<()>>,
    claims: Vec<PathClaim>,
}

impl Acceptor {
    pub(super) fn start(
        config: &Config,
        listeners: Vec<(usize, UnixListening)>,
        workers: &Arc<[WorkerHandle]>,
        slots: &Arc<Slots>,
        draining: &watch::Receiver<bool>,
    ) -> Result<Self, ServeError> {
        let mut acceptor = Self {
            tasks: Vec::new(),
            claims: Vec::new(),
        };
        for (index, UnixListening { claim, listener }) in listeners {
            let listener =
                register(listener).map_err(ServeError::host("register a Unix listener"))?;
            acceptor.claims.push(claim);
            let name = config.listeners[index].name.clone();
            let draining = draining.clone();
            let entrance = Hall {
                listener: index,
                workers: Arc::clone(workers),
                slots: Arc::clone(slots),
            };
            acceptor.tasks.push(spawn_local(async move {
                accept(listener, &name, draining, &entrance).await;
            }));
        }
        Ok(acceptor)
    }

    /// Removes the files, so that new clients find the next instance or nothing, and waits until
    /// what was queued is handed over.
    pub(super) async fn finish(self) {
        drop(self.claims);
        for task in self.tasks {
            // A task that panicked has closed its listener too.
            let _ = task.await;
        }
    }
}

/// Where newcomers on a Unix socket are sent to their worker.
struct Hall {
    listener: usize,
    workers: Arc<[WorkerHandle]>,
    slots: Arc<Slots>,
}

impl Entrance for Hall {
    async fn admit(&self, newcomer: Accepted, kernel_is_short: bool) -> Admitted {
        let mut arrival = Arrival::new(&self.slots, self.listener, newcomer, kernel_is_short);
        for _ in 0..LOOKS_MAX {
            if arrival.slot.is_some() || !someone_could_go(&self.workers, &arrival) {
                break;
            }
            // Somebody is going for one of those before it.
            sleep(LOOK_EVERY).await;
            arrival.seek_slot(&self.slots);
        }
        let admitted = match arrival.shortage {
            None => Admitted::WithRoom,
            Some(_) => Admitted::WithoutRoom,
        };
        if let Some(worker) = destination(&self.workers, None, &arrival) {
            // Waits where the worker's inbox is full, which leaves the rest in the listen queue.
            self.workers[worker].hand_over(arrival).await;
        }
        admitted
    }

    fn relieve(&self) -> bool {
        // Those who were turned away, and those who are idle, are with the workers; by the next try they
        // have gone.
        self.slots.seek();
        false
    }
}
