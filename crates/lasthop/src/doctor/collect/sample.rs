//! A few sockets of many: what is kept of a group to find its owners by.
//!
//! They are spread evenly over the listing, because a host with several proxies lists one after the other, and chosen
//! without chance, so that the same listing gives the same sample. Kept beside a snapshot and not in it: the numbers
//! mean nothing on another host or later.

use std::collections::HashMap;
use std::net::SocketAddr;

use lasthop_ports::snapshot::GroupKey;

/// Sockets kept of one group, at most: of eight workers that share the connections evenly each is hit but once in a
/// hundred times, and a process is known by the first of its sockets that is found.
pub const SAMPLE_MAX: usize = 32;

/// A socket as a search for its owner needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its inode; never 0.
    pub inode: u64,
    /// The user who made it, where the kernel tells.
    pub uid: Option<u32>,
    /// The number of its control group, where the kernel tells.
    pub cgroup: Option<u64>,
}

/// Sockets spread over a listing, at most [`SAMPLE_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    sockets: Vec<Socket>,
    /// One of so many is kept.
    stride: u32,
    /// Offered so far.
    offered: u32,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            sockets: Vec::new(),
            stride: 1,
            offered: 0,
        }
    }
}

impl Spread {
    /// Takes note of one more socket. One without an inode belongs to nobody and is left out.
    pub fn offer(&mut self, socket: Socket) {
        if socket.inode == 0 {
            return;
        }
        if self.offered.is_multiple_of(self.stride) {
            if self.sockets.len() == SAMPLE_MAX {
                self.halve();
            }
            if self.offered.is_multiple_of(self.stride) {
                self.sockets.push(socket);
            }
        }
        self.offered = self.offered.wrapping_add(1);
    }

    /// Keeps every second one, and of those to come half as many.
    fn halve(&mut self) {
        let mut position = 0;
        self.sockets.retain(|_| {
            position += 1;
            position % 2 == 1
        });
        self.stride = self.stride.saturating_mul(2);
    }

    /// What was kept, in the order of the listing.
    #[must_use]
    pub fn sockets(&self) -> &[Socket] {
        &self.sockets
    }
}

/// Whose sockets a reading can look for afterwards, by what a finding is about.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Of each group in the snapshot.
    pub groups: HashMap<GroupKey, Spread>,
    /// Of the listeners at each address.
    pub listeners: HashMap<SocketAddr, Spread>,
    /// Of the Unix listeners of each name.
    pub unix_listeners: HashMap<String, Spread>,
    /// Of [`PlainHolders::sample`](lasthop_ports::snapshot::PlainHolders), in its order.
    pub plain_holders: Vec<Socket>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(inode: u64) -> Socket {
        Socket {
            inode,
            uid: None,
            cgroup: None,
        }
    }

    #[test]
    fn a_sample_is_spread_over_all_that_was_offered() {
        for offered in [1u64, 31, 32, 33, 1000, 100_000] {
            let mut spread = Spread::default();
            (1..=offered).for_each(|inode| spread.offer(socket(inode)));
            let kept: Vec<u64> = spread.sockets().iter().map(|one| one.inode).collect();
            let expected = usize::try_from(offered).unwrap().min(SAMPLE_MAX);
            assert!(kept.len() <= SAMPLE_MAX && kept.len() * 2 >= expected);
            let gap = offered / 16 + 1;
            assert!(kept.windows(2).all(|two| two[1] - two[0] <= gap));
            assert!(offered - kept.last().unwrap() <= gap, "{offered}: {kept:?}");
        }
    }

    #[test]
    fn sockets_that_belong_to_nobody_are_left_out() {
        let mut spread = Spread::default();
        spread.offer(socket(0));
        assert_eq!(spread, Spread::default());
    }
}
