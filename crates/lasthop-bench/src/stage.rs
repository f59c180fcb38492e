//! One contestant at work: an app of many processes, a fleet in front of it, and the connections held through it.
//!
//! What `hold`, `fill` and `million` have in common. Everything is made anew for each contestant and on a new port, so that
//! none meets what another left behind in TIME_WAIT.

use lasthop::demo::scratch::Scratch;
use lasthop_kernel::limits;

use crate::contestant::{Chosen, Contestant, Run};
use crate::cores::Cores;
use crate::endpoint::held::Held;
use crate::endpoint::hold_app::HoldApp;
use crate::endpoint::holder::Kind;
use crate::error::BenchError;
use crate::interrupt::Interrupt;
use crate::report::Machine;
use crate::rival::Found;
use crate::rival::fleet::{self, Fleet, Mission};
use crate::say;
use crate::upstream::Upstream;

/// What all contestants have in common.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) contestants: Vec<(Contestant, Found)>,
    /// In words, who was left out and why.
    pub(crate) missing: Vec<String>,
    pub(crate) machine: Machine,
    pub(crate) cores: Cores,
    pub(crate) interrupt: Interrupt,
}

impl House {
    /// Finds the contestants, raises the descriptor limit and divides the cores.
    pub(crate) fn open(
        wanted: impl FnOnce() -> Result<Chosen, BenchError>,
    ) -> Result<Self, BenchError> {
        let interrupt = Interrupt::listen()?;
        let (contestants, missing) = wanted()?;
        limits::raise_nofile()?; // before the figures that follow from it, and inherited by all
        let machine = Machine::here(); // before this thread is moved, which hides the other cores
        machine.warn_if_busy();
        Ok(Self {
            contestants,
            missing,
            machine,
            cores: Cores::divide()?,
            interrupt,
        })
    }

    /// Each contestant once. A run that fails by the proxy's fault, or the moment's, is kept as such.
    pub(crate) fn each<T>(
        &self,
        run: impl Fn(&Contestant, &Found) -> Result<T, BenchError>,
    ) -> Result<Vec<Run<T>>, BenchError> {
        let mut all = Vec::new();
        for (contestant, found) in &self.contestants {
            self.interrupt.check()?;
            say(&format!(
                "{} over {}",
                contestant.name,
                contestant.over.name()
            ));
            let outcome = run(contestant, found);
            // A signal ends the processes too, which would look like a failure of the proxy.
            self.interrupt.check()?;
            let outcome = match outcome {
                Err(error) if error.spoils_one_run() => {
                    say(&format!("    FAILED: {error}"));
                    Err(error.to_string())
                }
                outcome => Ok(outcome?),
            };
            all.push((*contestant, outcome));
        }
        Ok(all)
    }

    /// What a report says of all this; `arguments` are the words after the command that repeats it.
    pub(crate) fn conditions(self, arguments: String) -> Conditions {
        let mut proxies: Vec<Found> = Vec::new();
        for (_, found) in self.contestants {
            if proxies.iter().all(|other| other.rival != found.rival) {
                proxies.push(found);
            }
        }
        Conditions {
            machine: self.machine,
            cores: self.cores.description(),
            proxies,
            missing: self.missing,
            arguments,
        }
    }
}

/// Under which conditions it was measured, for the reports.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    pub(crate) machine: Machine,
    /// What had which core.
    pub(crate) cores: String,
    /// In the order of the contestants, each once.
    pub(crate) proxies: Vec<Found>,
    /// In words, who was left out and why.
    pub(crate) missing: Vec<String>,
    /// The words after the command that repeats it.
    pub(crate) arguments: String,
}

/// A contestant at work; dropping it ends all of it.
#[derive(Debug)]
pub(crate) struct Stage {
    // In this order where the app speaks TCP: its end resets its connections, so that the proxy has none left to put into
    // TIME_WAIT.
    pub(crate) app: HoldApp,
    pub(crate) held: Held,
    pub(crate) fleet: Fleet,
    _scratch: Scratch,
}

impl Stage {
    /// Starts app and proxy with room for `connections` and holds none yet.
    pub(crate) fn set(
        house: &House,
        contestant: &Contestant,
        found: &Found,
        connections: usize,
    ) -> Result<Self, BenchError> {
        let scratch = Scratch::new().map_err(BenchError::host("make a directory for files"))?;
        let directory = scratch.path();
        let app = HoldApp::start(contestant.over, connections, directory, &house.interrupt)?;
        let sources = if contestant.several_sources {
            fleet::sources_needed(connections)
        } else {
            Vec::new()
        };
        let fleet = house.cores.on_the_proxys(|| {
            let mission = Mission {
                upstream: app.upstream(),
                connections,
                sources: &sources,
                directory,
            };
            Fleet::start(found, &mission)
        })?;
        let held = Held::none_yet(Kind::Tunnel, fleet.address())?;
        Ok(Self {
            app,
            held,
            fleet,
            _scratch: scratch,
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A Unix socket has no TIME_WAIT. The clients first then, with resets: an app that ends first has every client sent
        // a packet that says so, and a million of them take a gigabyte more just when all is held.
        if matches!(self.app.upstream(), Upstream::Unix(_)) {
            self.held.close();
        }
    }
}
