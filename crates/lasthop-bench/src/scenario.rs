//! The scenarios: the work that is done in turns, and how long it will take.
//!
//! A name is what tables, `--only` and the JSON call it; the part before the hyphen names a group.

use std::time::Duration;

use crate::endpoint::holder::Kind;
use crate::experiment::{Bench, connect, latency, memory, throughput};
use crate::traffic::{Exchange, Traffic};

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
    /// The same with one worker and with two.
    Workers(Traffic),
    /// Requests at a rate that is the same for all.
    Latency,
    /// Connections that are opened beside those that are held.
    Connect,
    /// Connections that are held.
    Memory(Kind),
}

const SMALL: usize = 100;
const MEDIUM: usize = 10_000;
const MEBIBYTE: usize = 1 << 20;

/// All, in the order of runs and of tables.
pub(crate) const ALL: [Scenario; 18] = [
    answers("keepalive-1", 1, SMALL),
    answers("keepalive-16", 16, SMALL),
    answers("keepalive-64", 64, SMALL),
    answers("keepalive-1000", 1000, SMALL),
    answers("keepalive-4000", 4000, SMALL),
    throughput("connections-64", 64, Exchange::ClientCloses(SMALL)),
    throughput("mixed", 64, Exchange::Mixed),
    answers("body-10kB", 64, MEDIUM),
    // A script or a picture: more than is read at once, and less than most proxies buffer.
    answers("body-100kB", 64, 10 * MEDIUM),
    // As many as keep the proxy busy; more would measure the buffers of the kernel.
    answers("body-4MiB", 16, 4 * MEBIBYTE),
    throughput("upload-1MiB", 16, Exchange::Upload(MEBIBYTE)),
    throughput("closing-64", 64, Exchange::AppCloses(SMALL)),
    throughput("closing-1000", 1000, Exchange::AppCloses(SMALL)),
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
    Scenario {
        name: "connect",
        work: Work::Connect,
    },
    Scenario {
        name: "workers",
        work: Work::Workers(Traffic {
            clients: 64,
            exchange: Exchange::Answer(SMALL),
        }),
    },
];

const fn answers(name: &'static str, clients: usize, body_bytes: usize) -> Scenario {
    throughput(name, clients, Exchange::Answer(body_bytes))
}

const fn throughput(name: &'static str, clients: usize, exchange: Exchange) -> Scenario {
    Scenario {
        name,
        work: Work::Throughput(Traffic { clients, exchange }),
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

    /// The connections that clients open at once to one process of a proxy.
    pub(crate) fn clients(&self, bench: &Bench) -> usize {
        match self.work {
            Work::Throughput(traffic) | Work::Workers(traffic) => traffic.clients,
            Work::Latency => latency::CONNECTIONS,
            Work::Connect => 0, // as many processes as they take
            Work::Memory(_) => bench.held,
        }
    }

    /// One line: what is done, without the figures that are the same everywhere.
    pub(crate) fn description(&self, bench: &Bench) -> String {
        match self.work {
            Work::Throughput(traffic) => in_words(traffic),
            Work::Workers(traffic) => {
                format!(
                    "{}; one worker and two, one after the other",
                    in_words(traffic)
                )
            }
            Work::Latency => format!(
                "a request every so often over {} connections, whatever became of those before it; latency from the time \
                 it was due",
                latency::CONNECTIONS
            ),
            Work::Connect => format!(
                "set-ups of upgraded connections, one by one, beside {} and beside {} that are held to one address of one app",
                connect::FEW,
                connect::MANY
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

    /// About how long it takes in all.
    pub(crate) fn duration(&self, bench: &Bench) -> Duration {
        let both = |run: Duration| 2 * (run * bench.runs() + bench.starts());
        match self.work {
            Work::Throughput(traffic) => both(throughput::duration(bench, traffic)),
            Work::Workers(traffic) => 2 * both(throughput::duration(bench, traffic)),
            Work::Latency => both(latency::duration(bench)) + 2 * latency::calibration(bench),
            Work::Memory(_) => both(memory::duration(bench)),
            Work::Connect => connect::duration(bench),
        }
    }
}

fn in_words(traffic: Traffic) -> String {
    let clients = match traffic.clients {
        1 => "1 client".to_owned(),
        several => format!("{several} clients"),
    };
    // wrk opens its own within the measured time, which is a part of it where there are thousands.
    let opening = if traffic.clients < 1000 {
        ""
    } else {
        " that connect first"
    };
    format!("{clients}{opening}, {}", traffic.exchange.in_words())
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
        assert_eq!(names(&["latency", "body"]).len(), 4);
        assert_eq!(names(&["connect"]), ["connect"]);
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
