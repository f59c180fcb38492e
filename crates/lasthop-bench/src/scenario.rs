//! The scenarios: the work that is done in turns, and how long it will take.
//!
//! A name is what tables, `--only` and the JSON call it; the part before the hyphen names a group.

use std::time::Duration;

use lasthop::demo::app::CLOSING_PATH;

use crate::endpoint::holder::Kind;
use crate::experiment::Bench;
use crate::experiment::latency;
use crate::experiment::memory;
use crate::experiment::throughput;

/// One kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) work: Work,
}

/// What is done and measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// As many requests as so many clients get through.
    Throughput(Traffic),
    /// Requests at a rate that is the same for all.
    Latency,
    /// Connections that are held.
    Memory(Kind),
}

/// Requests of a closed loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Connections, each with one request at a time.
    pub(crate) clients: usize,
    pub(crate) body_bytes: usize,
    /// What the app does with its connection after an answer is in the path.
    pub(crate) path: &'static str,
}

const SMALL: usize = 100;
const MEDIUM: usize = 10_000;
pub(crate) const LARGE: usize = 4 << 20;

/// All, in the order of runs and of tables.
pub(crate) const ALL: [Scenario; 13] = [
    keeping("keepalive-1", 1, SMALL),
    keeping("keepalive-16", 16, SMALL),
    keeping("keepalive-64", 64, SMALL),
    keeping("keepalive-1000", 1000, SMALL),
    keeping("body-10kB", 64, MEDIUM),
    // As many as keep the proxy busy; more would measure the buffers of the kernel.
    keeping("body-4MiB", 16, LARGE),
    closing("closing-1", 1),
    closing("closing-16", 16),
    closing("closing-64", 64),
    closing("closing-1000", 1000),
    Scenario {
        name: "latency",
        work: Work::Latency,
    },
    Scenario {
        name: "memory-idle",
        work: Work::Memory(Kind::Idle),
    },
    Scenario {
        name: "memory-tunnel",
        work: Work::Memory(Kind::Tunnel),
    },
];

const fn keeping(name: &'static str, clients: usize, body_bytes: usize) -> Scenario {
    Scenario {
        name,
        work: Work::Throughput(Traffic {
            clients,
            body_bytes,
            path: "/",
        }),
    }
}

const fn closing(name: &'static str, clients: usize) -> Scenario {
    Scenario {
        name,
        work: Work::Throughput(Traffic {
            clients,
            body_bytes: SMALL,
            path: CLOSING_PATH,
        }),
    }
}

impl Scenario {
    /// Whether `name` is its name or that of its group.
    pub(crate) fn is_meant_by(&self, name: &str) -> bool {
        self.name
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// Those that `only` names, by name or group; all where it names none.
    pub(crate) fn chosen(only: &[String]) -> Vec<Self> {
        ALL.into_iter()
            .filter(|one| only.is_empty() || only.iter().any(|name| one.is_meant_by(name)))
            .collect()
    }

    /// The connections that clients open at once.
    pub(crate) fn clients(&self, bench: &Bench) -> usize {
        match self.work {
            Work::Throughput(traffic) => traffic.clients,
            Work::Latency => latency::CONNECTIONS,
            Work::Memory(_) => bench.held,
        }
    }

    /// One line: what is done, without the figures that are the same everywhere.
    pub(crate) fn description(&self, bench: &Bench) -> String {
        match self.work {
            Work::Throughput(traffic) => {
                let clients = match traffic.clients {
                    1 => "1 client".to_owned(),
                    several => format!("{several} clients"),
                };
                let body = match traffic.body_bytes {
                    LARGE => "4 MiB".to_owned(),
                    bytes => format!("{bytes} bytes"),
                };
                let habit = if traffic.path == CLOSING_PATH {
                    "an app that closes after each answer"
                } else {
                    "all connections kept"
                };
                format!("{clients}, answers of {body}, {habit}")
            }
            Work::Latency => format!(
                "a request every so often over {} connections, whatever became of those before it; latency from the time \
                 it was due",
                latency::CONNECTIONS
            ),
            Work::Memory(Kind::Idle) => format!(
                "user memory (Pss) per client that had one answer and keeps its connection, {} held",
                bench.held
            ),
            Work::Memory(Kind::Tunnel) => format!(
                "user memory (Pss) per upgraded connection, client and app side together, {} held",
                bench.held
            ),
        }
    }

    /// About how long it takes in all, over both transports.
    pub(crate) fn duration(&self, bench: &Bench) -> Duration {
        let (run, before) = match self.work {
            Work::Throughput(_) => (throughput::duration(bench), Duration::ZERO),
            Work::Latency => (latency::duration(bench), latency::calibration(bench)),
            Work::Memory(_) => (memory::duration(bench), Duration::ZERO),
        };
        let runs = bench.rounds * u32::try_from(bench.proxies.len()).unwrap_or(u32::MAX);
        2 * (run * runs + before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: &[&str]) -> Vec<&'static str> {
        let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
        Scenario::chosen(&only).iter().map(|one| one.name).collect()
    }

    #[test]
    fn a_group_means_all_of_its_scenarios_and_a_name_means_one() {
        assert_eq!(names(&["memory"]), ["memory-idle", "memory-tunnel"]);
        assert_eq!(names(&["keepalive-1"]), ["keepalive-1"]);
        assert_eq!(names(&["latency", "body"]).len(), 3);
        assert_eq!(names(&[]).len(), ALL.len());
        assert!(names(&["keep"]).is_empty());
    }

    #[test]
    fn no_two_scenarios_share_a_name() {
        for (index, one) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|other| other.name != one.name));
        }
    }
}
