//! What is left where the kernel refuses a pair that nobody uses.
//!
//! Then some program holds the ports by plain bind(2), which takes them from every connect on the host
//! (`__inet_hash_connect` in net/ipv4/inet_hashtables.c skips such ports, whatever their addresses). So ports are named
//! explicitly for a while, on sources of ours, where that neighbour has no say. Where no source is ours to bind to,
//! there is nothing left.

use std::sync::Arc;
use std::time::Duration;

use super::gate::GatedStage;
use super::walk::{is_usable, ms};
use super::{BARRED, Grant, Lease, Ledger, Walk};
use crate::sync::Ordering;

/// Explicit ports that one request tries before it queues: each costs a bind(2), about two microseconds.
const EXPLICIT_TRIED_MAX: u32 = 32;

/// How long ports are named explicitly before the kernel's choice is tried again.
const EXPLICIT: Duration = Duration::from_secs(1);

impl Ledger {
    /// Whether ports are named explicitly now.
    pub(super) fn names_ports(&self, at: u64) -> bool {
        self.walking.explicit_until.load(Ordering::Relaxed) > at && self.has_bound_pairs()
    }

    /// Ports are named explicitly for a while.
    pub(super) fn name_ports_from(&self, at: u64) {
        if self.has_bound_pairs() {
            self.walking
                .explicit_until
                .store(at + ms(EXPLICIT), Ordering::Relaxed);
        }
    }

    /// A pair that nobody is likely to use: in the second half of those with sources of ours, or of all where there
    /// are none.
    pub(super) fn far_pair(self: &Arc<Self>, at: u64) -> Option<Lease> {
        let bound_only = self.has_bound_pairs();
        let count = self.open_pairs(bound_only).count();
        let half = count / 2;
        let ahead = half + (self.turn() as usize).checked_rem(count - half)?;
        let (stage, number) = self.open_pairs(bound_only).nth(ahead)?;
        let is_barred = self
            .known_pair(number)
            .is_some_and(|pair| pair.is_barred(at, ms(BARRED)));
        if is_barred {
            return None;
        }
        self.claim_any_port(stage, number, at)
    }

    /// A port by its number, on a source of ours.
    pub(super) fn explicit(self: &Arc<Self>, walk: &Walk, at: u64) -> Option<Grant> {
        if walk.explicit >= EXPLICIT_TRIED_MAX {
            return None;
        }
        // Each port on one source, then on the next: so a port is named again as late as can be.
        let turn = self.turn();
        let limit = self.limit();
        let first = turn.checked_div(limit)? as usize;
        let port = self.nth_port(turn % limit)?;
        let count = self.open_pairs(true).count();
        let mut from_there = self
            .open_pairs(true)
            .cycle()
            .skip(first.checked_rem(count)?)
            .take(count);
        let lease =
            from_there.find_map(|(stage, number)| self.claim_any_port(stage, number, at))?;
        Some(Grant {
            lease,
            port: Some(port),
        })
    }

    /// A port of a pair up to its limit, whether the kernel has refused it or not.
    fn claim_any_port(self: &Arc<Self>, stage: &GatedStage, number: u32, at: u64) -> Option<Lease> {
        let numbers = self.numbers();
        let pair = self
            .pair_of(stage, number)
            .filter(|pair| is_usable(stage, pair))?;
        let cooling = numbers.reuse.cooling(stage.is_loopback);
        let before = pair.claim(numbers.limit, at, cooling)?;
        Some(self.lease(number, before, at))
    }

    /// The pairs whose gate is open, in their order; those with sources of ours only, or all.
    fn open_pairs(&self, bound_only: bool) -> impl Iterator<Item = (&GatedStage, u32)> + Clone {
        self.stages
            .iter()
            .filter(move |stage| stage.is_open() && (stage.is_bound || !bound_only))
            .flat_map(|stage| stage.numbers.clone().map(move |number| (stage, number)))
    }

    fn has_bound_pairs(&self) -> bool {
        self.open_pairs(true).next().is_some()
    }

    fn turn(&self) -> u32 {
        self.walking.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Port number `n` of those that the range holds and that are not reserved.
    fn nth_port(&self, n: u32) -> Option<u16> {
        let host = self
            .host
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        host.reserved.nth_free(host.range, n)
    }
}
