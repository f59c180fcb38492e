//! Which core does what: the proxy has one to itself, app and load share another.
//!
//! A child inherits the affinity of the thread that starts it (sched_setaffinity(2)), so the harness moves itself,
//! starts the child, and moves back; that covers all threads and processes that the child makes.

use lasthop_kernel::process;

use crate::error::BenchError;

/// The proxy's core.
const PROXY_CORE: usize = 0;
/// The core of the app, the load and the harness.
const LOAD_CORE: usize = 1;

/// The division of the cores, made for this thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pinned: bool,
}

impl Cores {
    /// Moves this thread to the load's core; on a host with one core everything stays where it is.
    pub(crate) fn divide() -> Result<Self, BenchError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cores = Self {
            pinned: cores > LOAD_CORE,
        };
        cores.move_to(&[LOAD_CORE])?;
        Ok(cores)
    }

    /// Runs `start` on the proxy's core, so that what it starts stays there.
    pub(crate) fn on_the_proxys<T>(
        self,
        start: impl FnOnce() -> Result<T, BenchError>,
    ) -> Result<T, BenchError> {
        self.on(&[PROXY_CORE], start)
    }

    /// Runs `start` on both cores, for a proxy with a worker for each; app and load stay where they are.
    pub(crate) fn on_both<T>(
        self,
        start: impl FnOnce() -> Result<T, BenchError>,
    ) -> Result<T, BenchError> {
        self.on(&[PROXY_CORE, LOAD_CORE], start)
    }

    fn on<T>(
        self,
        cores: &[usize],
        start: impl FnOnce() -> Result<T, BenchError>,
    ) -> Result<T, BenchError> {
        self.move_to(cores)?;
        let started = start();
        self.move_to(&[LOAD_CORE])?;
        started
    }

    /// The core that is the proxy's alone, where there is one.
    pub(crate) fn of_the_proxy(self) -> Option<usize> {
        self.pinned.then_some(PROXY_CORE)
    }

    /// In words, for the tables.
    pub(crate) fn description(self) -> String {
        if self.pinned {
            format!("the proxy on core {PROXY_CORE}, app and load on core {LOAD_CORE}")
        } else {
            "one core for all".to_owned()
        }
    }

    fn move_to(self, cores: &[usize]) -> Result<(), BenchError> {
        if self.pinned {
            process::pin(None, cores)?;
        }
        Ok(())
    }
}
