//! What the workers count, added up over all of them at reading time.

use crate::observe::metrics::{ConnectResult, Histogram, ListenerMetrics, UpstreamMetrics};

use super::View;

/// A histogram over all workers.
#[derive(Debug)]
pub(super) struct Durations {
    bounds: &'static [u64],
    /// One more than bounds, not cumulated.
    counts: Vec<u64>,
    sum_nanoseconds: u64,
}

impl Durations {
    /// Adds up histograms of the same bounds; `None` where there are none.
    pub(super) fn of<'a>(mut all: impl Iterator<Item = &'a Histogram>) -> Option<Self> {
        let first = all.next()?;
        let mut sum = Self {
            bounds: first.bounds(),
            counts: first.counts().collect(),
            sum_nanoseconds: first.sum_nanoseconds(),
        };
        for histogram in all {
            debug_assert_eq!(histogram.bounds(), sum.bounds, "the same bounds everywhere");
            for (total, count) in sum.counts.iter_mut().zip(histogram.counts()) {
                *total += count;
            }
            // 2^64 ns are 584 years of requests; wrapping is what the counters do as well.
            sum.sum_nanoseconds = sum
                .sum_nanoseconds
                .wrapping_add(histogram.sum_nanoseconds());
        }
        Some(sum)
    }

    /// Each upper bound in microseconds with the count above the one before it; the last has no bound.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some);
        bounds
            .chain(std::iter::once(None))
            .zip(self.counts.iter().copied())
    }

    /// All durations together, in seconds.
    pub(super) fn sum_seconds(&self) -> f64 {
        self.sum_nanoseconds as f64 / 1e9
    }
}

/// Connections to one upstream, by what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UpstreamConnections {
    pub(super) active: u64,
    pub(super) idle: u64,
    pub(super) connecting: u64,
}

impl View {
    /// A number of the listener with this index, over all workers.
    pub(super) fn listener(&self, index: usize, number: fn(&ListenerMetrics) -> u64) -> u64 {
        let workers = self.workers.iter();
        workers.map(|worker| number(&worker.listeners[index])).sum()
    }

    /// A number of the upstream with this index, over all workers.
    pub(super) fn upstream(&self, index: usize, number: fn(&UpstreamMetrics) -> u64) -> u64 {
        let workers = self.workers.iter();
        workers.map(|worker| number(&worker.upstreams[index])).sum()
    }

    /// A duration of the upstream with this index, over all workers.
    pub(super) fn upstream_durations(
        &self,
        index: usize,
        of: fn(&UpstreamMetrics) -> &Histogram,
    ) -> Option<Durations> {
        let workers = self.workers.iter();
        Durations::of(workers.map(|worker| of(&worker.upstreams[index])))
    }

    /// Connections to the upstream with this index, over all workers.
    pub(super) fn upstream_connections(&self, index: usize) -> UpstreamConnections {
        let idle = self.upstream(index, |upstream| upstream.idle.value());
        let open = self.upstream(index, |upstream| upstream.open.value());
        UpstreamConnections {
            // The two were read one after the other, while the worker went on.
            active: open.saturating_sub(idle),
            idle,
            connecting: self.upstream(index, |upstream| upstream.connecting.value()),
        }
    }

    /// Attempts to connect to the upstream with this index that ended so, over all workers.
    pub(super) fn connects(&self, index: usize, result: ConnectResult) -> u64 {
        let workers = self.workers.iter();
        workers
            .map(|worker| worker.upstreams[index].connects(result).value())
            .sum()
    }

    /// How often each status was answered on the route with this index, or without one, over all workers; ascending, and
    /// only those that occurred.
    pub(super) fn codes(&self, route: Option<usize>) -> Vec<(u16, u64)> {
        let workers = self.workers.iter();
        let mut codes: Vec<(u16, u64)> = workers
            .flat_map(|worker| worker.route(route).codes())
            .collect();
        codes.sort_unstable_by_key(|(code, _)| *code);
        codes.dedup_by(|(code, count), (kept, sum)| {
            let same = code == kept;
            if same {
                *sum += *count;
            }
            same
        });
        codes
    }

    /// Bytes that the workers have lent out in buffers.
    pub(super) fn buffered_bytes(&self) -> u64 {
        let workers = self.workers.iter();
        workers.map(|worker| worker.buffered_bytes.value()).sum()
    }
}
