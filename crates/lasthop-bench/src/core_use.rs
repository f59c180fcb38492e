//! What a core does, to tell afterwards what others than the proxy did there: neighbours that compile, guests of the same
//! machine.
//!
//! The kernel counts by what runs when its clock ticks, so a second is exact to some percent.

use std::fs;
use std::time::Duration;

/// What a core had done at a moment, in clock ticks: to tell afterwards what others did there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreUse {
    core: Option<usize>,
    /// Since the start of the host; `None` where it does not say.
    ticks: Option<Ticks>,
}

/// The counts of a core in /proc/stat (proc_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    /// Doing anything, or not there at all because the hypervisor gave it to another guest (`steal`).
    used: u64,
    all: u64,
}

impl CoreUse {
    /// Of `core`, counted from 0; without one nothing is told.
    pub(crate) fn now(core: Option<usize>) -> Self {
        Self {
            core,
            ticks: core.and_then(ticks_of),
        }
    }

    /// What others than a program that used `own` of it had of the core since then, `elapsed` ago, in percent; zero where the
    /// host does not say.
    pub(crate) fn others_percent(self, own: Duration, elapsed: Duration) -> f64 {
        let Some((before, after)) = self.ticks.zip(self.core.and_then(ticks_of)) else {
            return 0.0;
        };
        #[allow(clippy::cast_precision_loss, reason = "ticks of some seconds")]
        let used = after.used.saturating_sub(before.used) as f64
            / after.all.saturating_sub(before.all).max(1) as f64;
        let own = own.as_secs_f64() / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        100.0 * (used - own).max(0.0)
    }
}

fn ticks_of(core: usize) -> Option<Ticks> {
    ticks_in(&fs::read_to_string("/proc/stat").ok()?, core)
}

/// `cpu0 USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL …`; guests are in USER already.
fn ticks_in(text: &str, core: usize) -> Option<Ticks> {
    const COUNTS: usize = 8;
    let name = format!("cpu{core}");
    let line = text
        .lines()
        .find(|line| line.split(' ').next() == Some(&name))?;
    let counts = line.split_ascii_whitespace().skip(1).take(COUNTS);
    let counts: Vec<u64> = counts
        .map(|word| word.parse().ok())
        .collect::<Option<_>>()?;
    let all = counts.iter().sum();
    let idle = counts.get(3)? + counts.get(4)?;
    Some(Ticks {
        used: all - idle,
        all,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_core_did_is_all_but_its_idling() {
        let text = "cpu  9 9 9 9\ncpu0 1 2 3 100 50 4 5 6 1 1\ncpu10 0 0 0 0 0 0 0 0 0 0\n";
        assert_eq!(ticks_in(text, 0), Some(Ticks { used: 21, all: 171 }));
        assert_eq!(ticks_in(text, 1), None);
    }

    #[test]
    fn a_core_that_nobody_asks_about_is_nobody_elses() {
        let idle = CoreUse::now(None);
        assert!(
            idle.others_percent(Duration::ZERO, Duration::from_secs(1))
                .abs()
                < 1e-9
        );
        assert!(CoreUse::now(Some(0)).ticks.is_some());
    }
}
