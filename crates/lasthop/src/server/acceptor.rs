//! The one acceptor of Unix listeners: takes connections on the main thread and hands each to the
//! worker that has the fewest.
//!
//! `SO_REUSEPORT` does not exist for Unix sockets, and workers that race for one listener would
//! leave whoever is woken first with everything.

use std::os::unix::net::UnixStream;
use std::rc::Rc;

use lasthop_kernel::listen::{PathClaim, UnixListening};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};

use super::ServeError;
use super::worker::{HandedOver, WorkerHandle};
use crate::config::Config;
use crate::listener::accept_unix;

/// The accepting tasks and the files they accept on.
pub(super) struct Acceptor {
    tasks: Vec<JoinHandle<()>>,
    claims: Vec<PathClaim>,
}

impl Acceptor {
    pub(super) fn start(
        config: &Config,
        listeners: Vec<(usize, UnixListening)>,
        workers: Rc<[WorkerHandle]>,
        draining: &watch::Receiver<bool>,
    ) -> Result<Self, ServeError> {
        let mut acceptor = Self {
            tasks: Vec::new(),
            claims: Vec::new(),
        };
        for (index, UnixListening { claim, listener }) in listeners {
            let listener = UnixListener::from_std(listener)
                .map_err(ServeError::host("register a Unix listener"))?;
            acceptor.claims.push(claim);
            let name = config.listeners[index].name.clone();
            let workers = Rc::clone(&workers);
            let draining = draining.clone();
            acceptor.tasks.push(spawn_local(async move {
                accept_unix(listener, &name, draining, |stream| {
                    hand_over(&workers, index, stream)
                })
                .await;
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

async fn hand_over(workers: &Rc<[WorkerHandle]>, listener: usize, stream: UnixStream) {
    let least_loaded = workers.iter().min_by_key(|worker| worker.connections());
    if let Some(worker) = least_loaded {
        // Waits where the worker's inbox is full, which leaves the rest in the listen queue.
        worker.hand_over(HandedOver { listener, stream }).await;
    }
}
