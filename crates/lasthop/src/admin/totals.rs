//! What the workers count, added up over all of them at reading time.

use crate::observe::metrics::{
    ConnectResult, Durations, FAILURE_KINDS, Histogram, ListenerMetrics, UpstreamMetrics,
};

use super::View;

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

    /// Requests that failed, by kind, over all workers.
    pub(super) fn failures(&self) -> [(&'static str, u64); FAILURE_KINDS.len()] {
        let mut failures = FAILURE_KINDS.map(|kind| (kind, 0));
        for worker in self.workers.iter() {
            for ((_, sum), count) in failures.iter_mut().zip(worker.failures.counts()) {
                *sum += count;
            }
        }
        failures
    }

    /// Bytes that the workers have lent out in buffers.
    pub(super) fn buffered_bytes(&self) -> u64 {
        let workers = self.workers.iter();
        workers.map(|worker| worker.buffered_bytes.value()).sum()
    }

    /// Bytes that have passed through pipes, over all workers, and how often there was no pipe.
    pub(super) fn spliced(&self) -> (u64, u64) {
        let workers = self.workers.iter();
        workers.fold((0, 0), |(bytes, refused), worker| {
            let more = worker.spliced_bytes.value();
            (bytes + more, refused + worker.pipes_refused.value())
        })
    }
}
