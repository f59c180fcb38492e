//! What an experiment found and under which conditions, as plain data for the outputs.

use std::fs;

use crate::keepalive::Row;
use crate::load::Load;
use crate::rival::{Fields, Found};

/// Everything that `output` shows.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// What had which core.
    pub(crate) cores: String,
    pub(crate) load: Load,
    pub(crate) clients: usize,
    pub(crate) seconds: u64,
    pub(crate) rounds: u32,
    pub(crate) body_bytes: usize,
    pub(crate) fields: Fields,
    pub(crate) proxies: Vec<Found>,
    /// In words, what was left out and why.
    pub(crate) missing: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// One line: the work.
    pub(crate) fn work(&self) -> String {
        format!(
            "{} clients, answers of {} bytes, medians of {} runs of {} s (smallest–largest)",
            self.clients, self.body_bytes, self.rounds, self.seconds
        )
    }

    /// One line: what the rivals were asked to do for each request.
    pub(crate) fn fields_in_words(&self) -> &'static str {
        match self.fields {
            Fields::None => {
                "The rivals set no forwarding field, as is cheapest; lasthop sets those that it always sets"
            }
            Fields::Same => "The rivals set the same forwarding fields as lasthop",
        }
    }

    /// The command that repeats it.
    pub(crate) fn command(&self) -> String {
        let same = if self.fields == Fields::Same {
            " --same-fields"
        } else {
            ""
        };
        format!(
            "cargo run --release -p lasthop-bench -- keepalive --seconds {} --rounds {} --clients {} --bytes {}{same}",
            self.seconds, self.rounds, self.clients, self.body_bytes
        )
    }
}

/// The host, as far as it matters for a figure.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    /// Runnable tasks in the minute before the start: what else the host was doing.
    pub(crate) load_average: f64,
}

impl Machine {
    /// The kernel's version without what its builder appended.
    pub(crate) fn kernel_version(&self) -> &str {
        self.kernel.split('-').next().unwrap_or_default()
    }

    /// Reads this host's description; what cannot be read is called unknown.
    pub(crate) fn here() -> Self {
        let unknown = || "unknown".to_owned();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease");
        let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        Self {
            kernel: kernel.map_or_else(|_| unknown(), |text| text.trim().to_owned()),
            processor: processor.unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load_average: load_average().unwrap_or(f64::NAN),
        }
    }
}

/// The first figure of /proc/loadavg (proc_loadavg(5)).
fn load_average() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}
