//! One run: a fresh proxy, a warm-up that checks every answer, then load while its CPU time is counted.

use std::fs;
use std::time::Duration;

use lasthop::demo::scratch::Scratch;
use lasthop_kernel::process::{self, CpuTime};

use crate::cores::Cores;
use crate::error::BenchError;
use crate::load::{self, Load, Work};
use crate::rival::{Fields, Found};
use crate::upstream::Upstream;

/// Load before the measured one, so that connections, caches and pools are as they stay.
const WARM_UP: Duration = Duration::from_millis(500);

/// What every run of an experiment has in common.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    pub(crate) clients: usize,
    pub(crate) seconds: u64,
    pub(crate) body_bytes: usize,
    pub(crate) fields: Fields,
    pub(crate) load: Load,
    pub(crate) cores: Cores,
}

/// What one run measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// User and system time of the proxy per request, in microseconds.
    pub(crate) user_microseconds: f64,
    pub(crate) system_microseconds: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) p50_milliseconds: f64,
    pub(crate) p99_milliseconds: f64,
}

impl Sample {
    /// User and system time together, in microseconds per request.
    pub(crate) fn cpu_microseconds(&self) -> f64 {
        self.user_microseconds + self.system_microseconds
    }

    /// How much of one core the proxy used. Well below 100, the load was the bottleneck, and the proxy paid for more
    /// wake-ups per request than it would under full load.
    pub(crate) fn busy_percent(&self) -> f64 {
        self.cpu_microseconds() * self.requests_per_second / 1e4
    }
}

/// Runs `proxy` in front of `upstream` under the load of `conditions`.
pub(crate) fn run(
    proxy: &Found,
    upstream: &Upstream,
    conditions: &Conditions,
) -> Result<Sample, BenchError> {
    let scratch =
        Scratch::new().map_err(BenchError::host("make a directory for the proxy's files"))?;
    let running = conditions
        .cores
        .on_the_proxys(|| proxy.start(upstream, conditions.fields, scratch.path()))?;
    let work = Work {
        address: running.address(),
        clients: conditions.clients,
        seconds: conditions.seconds,
        body_bytes: conditions.body_bytes,
    };
    let name = || format!("{} over {}", proxy.rival.name(), upstream.transport());
    let warm_up = load::checked(work, WARM_UP)?;
    if let Some(first) = warm_up.first_error {
        return Err(BenchError::Requests {
            proxy: name(),
            errors: warm_up.errors,
            first,
        });
    }
    let before = cpu_of(running.pid())?;
    let outcome = conditions.load.run(work)?;
    let cpu = cpu_of(running.pid())?.since(before);
    if outcome.errors > 0 || outcome.requests == 0 {
        return Err(BenchError::Requests {
            proxy: name(),
            errors: outcome.errors,
            first: format!(
                "not told by the load program; {} requests were answered",
                outcome.requests
            ),
        });
    }
    #[allow(
        clippy::cast_precision_loss,
        reason = "a count of requests stays far below 2^53"
    )]
    let requests = outcome.requests as f64;
    let microseconds_per_request = |time: Duration| time.as_secs_f64() * 1e6 / requests;
    Ok(Sample {
        user_microseconds: microseconds_per_request(cpu.user),
        system_microseconds: microseconds_per_request(cpu.system),
        requests_per_second: outcome.requests_per_second,
        p50_milliseconds: outcome.p50.as_secs_f64() * 1e3,
        p99_milliseconds: outcome.p99.as_secs_f64() * 1e3,
    })
}

/// CPU time since the start of `pid` and its children together.
fn cpu_of(pid: u32) -> Result<CpuTime, BenchError> {
    let mut sum = process::cpu_time(pid)?;
    for child in children_of(pid).map_err(BenchError::host("list the proxy's processes"))? {
        let time = process::cpu_time(child)?;
        sum.user += time.user;
        sum.system += time.system;
    }
    Ok(sum)
}

/// The processes whose parent is `pid`: all of `/proc` is looked at, since not every kernel has a list of children.
fn children_of(pid: u32) -> std::io::Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(candidate) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue; // not a process
        };
        // A process that ended since the listing has no file any more, and is no child of ours: ours live.
        let Ok(stat) = fs::read_to_string(format!("/proc/{candidate}/stat")) else {
            continue;
        };
        if parent_in(&stat) == Some(pid) {
            children.push(candidate);
        }
    }
    Ok(children)
}

/// The parent's id in a line of `/proc/PID/stat` (proc_pid_stat(5)): the second word after the name in parentheses,
/// which may itself hold parentheses and blanks.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_a_name_with_parentheses() {
        assert_eq!(parent_in("42 (a) b (c) S 7 42 42 0"), Some(7));
        assert_eq!(parent_in("nonsense"), None);
    }

    #[test]
    fn a_child_of_this_process_is_among_its_children() {
        let mut child = std::process::Command::new("/bin/cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let children = children_of(std::process::id()).unwrap();
        assert!(children.contains(&child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
