//! The host, looked at again and again by a thread of its own.
//!
//! A look takes milliseconds on most hosts and half a second on a very full one; the next begins so much later that all
//! of them together stay below a hundredth of a core.

use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use lasthop_kernel::{clock, namespace};
use lasthop_ports::diagnose;
use lasthop_ports::snapshot::Namespace;

use super::Message;
use crate::doctor::{self, Depth, Memory, OwnerSearch};
use crate::top::model::{Event, HostSample};

/// The time between two looks, where one costs little.
const PERIOD: Duration = Duration::from_secs(2);

/// The first looks follow each other at once, so that there is a line to see within seconds.
const FIRST_LOOKS: u32 = 4;
const FIRST_PERIOD: Duration = Duration::from_millis(500);

/// From one look to the next there is so many times what it cost of the processor.
const REST_FACTOR: u32 = 110;

/// However much a look costs, the next comes within this time: who watches wants to see something.
const PERIOD_MAX: Duration = Duration::from_secs(60);

/// How much the thread stands back behind everything else (nice(2)).
const NICENESS: i32 = 10;

/// What is remembered from look to look.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    memory: Memory,
    looks: u32,
}

/// Looks at the network namespace of process `netns`, or at one's own, until nobody listens.
pub(crate) fn look(sender: &SyncSender<Message>, netns: Option<u32>) {
    // Where it may not stand back it works all the same.
    let _ = lasthop_kernel::process::stand_back(NICENESS);
    let watch = || {
        let mut watch = Watch::default();
        loop {
            let sample = watch.look(netns);
            let period = sample.period.saturating_sub(sample.cost);
            let event = Event::Host(Box::new(sample));
            if sender.send(Message::Event(event)).is_err() {
                return;
            }
            std::thread::sleep(period);
        }
    };
    match netns {
        None => watch(),
        // That it can be entered was tried before; a process that is gone since leaves the picture as it was.
        Some(pid) => {
            let _ = namespace::within(pid, watch);
        }
    }
}

impl Watch {
    /// One look.
    pub(crate) fn look(&mut self, netns: Option<u32>) -> HostSample {
        let begun = Spent::now();
        let mut reading = doctor::collect(Depth::Sampling);
        let snapshot = &mut reading.snapshot;
        if let Some(pid) = netns {
            snapshot.namespace = Namespace {
                pid: Some(pid),
                ..snapshot.namespace.clone()
            };
        }
        self.memory.recall(snapshot, begun.at);
        let findings = diagnose(snapshot);
        let search = Spent::now();
        self.memory
            .name_owners(&mut reading, &findings, OwnerSearch::WATCHED, begun.at);
        let (search, search_processor) = search.since();
        doctor::descriptors(&mut reading.snapshot);
        let snapshot = reading.snapshot;
        let findings = diagnose(&snapshot);
        self.memory.keep(snapshot.clone());
        // A search has bounds of its own, how long and how often; it says nothing about the next look.
        let (cost, processor) = begun.since();
        HostSample {
            snapshot,
            findings,
            cost: cost.saturating_sub(search),
            period: self.period(processor.saturating_sub(search_processor)),
        }
    }

    /// From one look to the next, after one that took so much time of the processor.
    fn period(&mut self, cost: Duration) -> Duration {
        self.looks = self.looks.saturating_add(1);
        let least = if self.looks < FIRST_LOOKS && cost < FIRST_PERIOD / 10 {
            return FIRST_PERIOD;
        } else {
            PERIOD
        };
        (cost * REST_FACTOR).clamp(least, PERIOD_MAX)
    }
}

/// A moment: what time it is, and how much of the processor this thread has used.
#[derive(Debug, Clone, Copy)]
struct Spent {
    at: Instant,
    processor: Option<Duration>,
}

impl Spent {
    fn now() -> Self {
        Self {
            at: Instant::now(),
            processor: clock::thread_cpu_time().ok(),
        }
    }

    /// Time since, and time of the processor; where a sandbox does not tell that, all of the time.
    fn since(self) -> (Duration, Duration) {
        let now = Self::now();
        let time = now.at - self.at;
        let processor = now.processor.zip(self.processor);
        let processor = processor.map(|(now, then)| now.saturating_sub(then));
        (time, processor.unwrap_or(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_costly_look_is_followed_by_a_long_rest() {
        let mut watch = Watch::default();
        let cheap = Duration::from_millis(2);
        let periods: Vec<Duration> = (0..5).map(|_| watch.period(cheap)).collect();
        assert_eq!(periods[0], FIRST_PERIOD);
        assert_eq!(periods[4], PERIOD);
        assert_eq!(
            watch.period(Duration::from_millis(400)),
            Duration::from_secs(44)
        );
        assert_eq!(watch.period(Duration::from_secs(30)), PERIOD_MAX);
        // A costly host is not looked at four times in a row, not even at the beginning.
        assert!(Watch::default().period(Duration::from_millis(400)) > PERIOD);
    }

    #[test]
    fn a_look_at_this_host_sees_sockets_and_goes_on_where_the_one_before_ended() {
        let mut watch = Watch::default();
        let first = watch.look(None);
        let second = watch.look(None);
        assert!(second.snapshot.taken_ms >= first.snapshot.taken_ms);
        assert!(second.snapshot.counters_before.is_some());
    }
}
