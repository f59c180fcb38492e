//! What was found and under which conditions, as plain data for the outputs.

use std::fs;

use crate::experiment::connect::Connecting;
use crate::experiment::latency::Latency;
use crate::experiment::memory::Memory;
use crate::experiment::throughput::Throughput;
use crate::experiment::workers::Scaling;
use crate::experiment::{Comparison, OTHERS_PERCENT_MAX, Sample};
use crate::rival::{Fields, Found, Rival};
use crate::scenario::Scenario;

/// Everything that `output` shows.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// What had which core.
    pub(crate) cores: String,
    /// What sent the load of the closed loop.
    pub(crate) load: String,
    pub(crate) seconds: u64,
    pub(crate) rounds: u32,
    /// Those that Envoy and Caddy took part in.
    pub(crate) rounds_of_others: u32,
    pub(crate) rate_percent: u64,
    pub(crate) held: usize,
    pub(crate) fields: Fields,
    /// What `--only` named.
    pub(crate) only: Vec<String>,
    pub(crate) proxies: Vec<Found>,
    /// In words, what was left out and why.
    pub(crate) missing: Vec<String>,
    pub(crate) sections: Vec<Section>,
    /// The chart's file, relative to the document, where both are written.
    pub(crate) chart: Option<String>,
}

/// One scenario over all transports.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) scenario: Scenario,
    /// One line: what was done.
    pub(crate) description: String,
    pub(crate) readings: Readings,
    /// What is to be known besides, a sentence each without its full stop.
    pub(crate) notes: Vec<String>,
}

/// By transport, of the kind that the scenario measures.
#[derive(Clone, Debug)]
pub(crate) enum Readings {
    Throughput(Vec<Comparison<Throughput>>),
    Workers(Vec<Comparison<Scaling>>),
    Latency(Vec<Comparison<Latency>>),
    Connect(Vec<Comparison<Connecting>>),
    Memory(Vec<Comparison<Memory>>),
}

impl Report {
    /// One line: how the figures came about.
    pub(crate) fn method(&self) -> String {
        let rounds = match self.rounds {
            1 => "one run each".to_owned(),
            several => {
                format!("medians of {several} runs (smallest–largest), the proxies taking turns")
            }
        };
        let others = if self.others_took_turns() && self.rounds_of_others < self.rounds {
            format!(
                ", of which Envoy and Caddy take part in {}",
                self.rounds_of_others
            )
        } else {
            String::new()
        };
        format!(
            "one worker each, {rounds}{others}, {} s of load at a time",
            self.seconds
        )
    }

    fn others_took_turns(&self) -> bool {
        let others = [Rival::Envoy, Rival::Caddy];
        self.proxies.iter().any(|one| others.contains(&one.rival))
    }

    /// One line: what the rivals were asked to do for each request.
    pub(crate) fn fields_in_words(&self) -> &'static str {
        match self.fields {
            Fields::Same => {
                "All set the same forwarding fields: Host unchanged, X-Forwarded-For, -Proto and -Host, X-Real-IP, Via; no \
                 access log"
            }
            Fields::Fewest => {
                "The rivals set no forwarding field that they can leave out, as is cheapest; lasthop sets those that it \
                 always sets; no access log"
            }
        }
    }

    /// The command that repeats it, on a host with the same proxies.
    pub(crate) fn command(&self) -> String {
        let mut command = format!(
            "cargo run --release -p lasthop-bench -- compare --seconds {} --rounds {} --rate {} --held {}",
            self.seconds, self.rounds, self.rate_percent, self.held
        );
        for name in &self.only {
            command.push_str(" --only ");
            command.push_str(name);
        }
        if self.fields == Fields::Fewest {
            command.push_str(" --fewest-fields");
        }
        if self.others_took_turns() && self.rounds_of_others < self.rounds {
            command.push_str(&format!(" --rounds-of-others {}", self.rounds_of_others));
        }
        for rival in Rival::ALL {
            if self.proxies.iter().all(|one| one.rival != rival) {
                command.push_str(" --without ");
                command.push_str(rival.name());
            }
        }
        command
    }

    /// One line: how much others disturbed it.
    pub(crate) fn disturbance(&self) -> String {
        let mut sum = Disturbance::default();
        for section in &self.sections {
            sum.add(&section.disturbance());
        }
        format!(
            "Of {} runs, {} were made once more because others had more than {OTHERS_PERCENT_MAX:.0} % of the proxy's core \
             meanwhile; in {} of those that count they still had",
            sum.runs, sum.repeated, sum.disturbed
        )
    }

    /// Each run that failed, in words.
    pub(crate) fn failures(&self) -> impl Iterator<Item = String> {
        self.sections.iter().flat_map(Section::failures)
    }
}

impl Section {
    /// Each run of this scenario that failed, in words.
    pub(crate) fn failures(&self) -> Vec<String> {
        match &self.readings {
            Readings::Throughput(readings) => failures_in(readings),
            Readings::Workers(readings) => failures_in(readings),
            Readings::Latency(readings) => failures_in(readings),
            Readings::Connect(readings) => failures_in(readings),
            Readings::Memory(readings) => failures_in(readings),
        }
    }

    fn disturbance(&self) -> Disturbance {
        match &self.readings {
            Readings::Throughput(readings) => disturbance_in(readings),
            Readings::Workers(readings) => disturbance_in(readings),
            Readings::Latency(readings) => disturbance_in(readings),
            Readings::Connect(readings) => disturbance_in(readings),
            Readings::Memory(readings) => disturbance_in(readings),
        }
    }
}

/// How much of it others spoilt.
#[derive(Clone, Copy, Debug, Default)]
struct Disturbance {
    runs: usize,
    repeated: u32,
    disturbed: usize,
}

impl Disturbance {
    fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.repeated += other.repeated;
        self.disturbed += other.disturbed;
    }
}

fn disturbance_in<S: Sample>(comparisons: &[Comparison<S>]) -> Disturbance {
    let mut sum = Disturbance::default();
    for runs in comparisons.iter().flat_map(|one| &one.runs) {
        let samples = runs.rounds.iter().flatten();
        let disturbed = samples.filter(|one| one.others_percent() > OTHERS_PERCENT_MAX);
        sum.add(&Disturbance {
            runs: runs.rounds.len(),
            repeated: runs.repeated,
            disturbed: disturbed.count(),
        });
    }
    sum
}

fn failures_in<S: Sample>(comparisons: &[Comparison<S>]) -> Vec<String> {
    let mut failures = Vec::new();
    for comparison in comparisons {
        for runs in &comparison.runs {
            for (round, outcome) in runs.rounds.iter().enumerate() {
                if let Err(reason) = outcome {
                    failures.push(format!(
                        "{}, {} over {}, round {}: {reason}",
                        comparison.scenario.name,
                        runs.proxy.name(),
                        comparison.transport,
                        round + 1
                    ));
                }
            }
        }
    }
    failures
}

/// The host, as far as it matters for a figure.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    /// How TCP finds its pace: `bbr` paces large writes with timers, on loopback too (net.ipv4.tcp_congestion_control).
    pub(crate) congestion_control: String,
    /// Runnable tasks in the minute before the start: what else the host was doing.
    pub(crate) load_average: f64,
}

/// Above this load average something else wants the cores, and absolute figures say little.
const BUSY_LOAD_AVERAGE: f64 = 0.5;

impl Machine {
    /// Says so to the one who waits, if it is.
    pub(crate) fn warn_if_busy(&self) {
        if self.load_average > BUSY_LOAD_AVERAGE {
            crate::say(&format!(
                "this host is busy (load average {:.2}): expect wide spreads, and trust only the ratios",
                self.load_average
            ));
        }
    }

    /// One line, for documents.
    pub(crate) fn in_words(&self) -> String {
        format!(
            "Linux {}, {}, {} cores, TCP with {}, load average {:.2} before the start",
            self.kernel_version(),
            self.processor,
            self.cores,
            self.congestion_control,
            self.load_average
        )
    }

    /// The kernel's version without what its builder appended.
    pub(crate) fn kernel_version(&self) -> &str {
        self.kernel.split('-').next().unwrap_or_default()
    }

    /// Reads this host's description; what cannot be read is called unknown.
    pub(crate) fn here() -> Self {
        let unknown = || "unknown".to_owned();
        let line = |path| {
            fs::read_to_string(path).map_or_else(|_| unknown(), |text| text.trim().to_owned())
        };
        let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        Self {
            kernel: line("/proc/sys/kernel/osrelease"),
            processor: processor.unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            congestion_control: line("/proc/sys/net/ipv4/tcp_congestion_control"),
            load_average: load_average().unwrap_or(f64::NAN),
        }
    }
}

/// The first figure of /proc/loadavg (proc_loadavg(5)).
fn load_average() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}
