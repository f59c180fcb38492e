//! One reading of the kernel's table of connections, as counts by pair of addresses.
//!
//! Keeps no connection, only how many there are: 200,000 sockets of three programs come down to a handful of numbers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::host::{TIME_WAIT, TimeWaitReuse};

/// Pairs that are counted; more only add to [`PairCounts::uncounted`]. Far more than one host uses towards one app.
pub const COUNTED_PAIRS_MAX: usize = 65_536;

/// What one entry of the table is, as far as ports go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// A connection that has a socket, in any state: it holds its port.
    Connection,
    /// TIME_WAIT, which ends by itself after so long.
    TimeWait(Duration),
}

/// What the table says about one pair, in connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PairCount {
    /// Tuples that no new connection can have now.
    pub held: u32,
    /// Tuples in TIME_WAIT, those that could be used again included.
    pub time_wait: u32,
}

/// The counts of one reading towards one port.
#[derive(Debug, Clone)]
pub struct PairCounts {
    reuse: TimeWaitReuse,
    pairs: HashMap<(IpAddr, IpAddr), PairCount>,
    uncounted: u64,
}

impl PairCounts {
    /// An empty reading on a host where TIME_WAIT can be reused like this.
    #[must_use]
    pub fn new(reuse: TimeWaitReuse) -> Self {
        Self {
            reuse,
            pairs: HashMap::new(),
            uncounted: 0,
        }
    }

    /// Counts one entry of the table: our side, the app's side, and what it is.
    pub fn add(&mut self, source: IpAddr, destination: IpAddr, holding: Holding) {
        let pair = (source.to_canonical(), destination.to_canonical());
        if self.pairs.len() >= COUNTED_PAIRS_MAX && !self.pairs.contains_key(&pair) {
            self.uncounted += 1;
            return;
        }
        let count = self.pairs.entry(pair).or_default();
        match holding {
            Holding::Connection => count.held += 1,
            Holding::TimeWait(left) => {
                count.time_wait += 1;
                let is_loopback = pair.0.is_loopback() || pair.1.is_loopback();
                let age = TIME_WAIT.saturating_sub(left);
                if age < self.reuse.cooling(is_loopback) {
                    count.held += 1;
                }
            }
        }
    }

    /// The count of one pair; zeros where nothing was seen.
    #[must_use]
    pub fn pair(&self, source: IpAddr, destination: IpAddr) -> PairCount {
        self.pairs
            .get(&(source.to_canonical(), destination.to_canonical()))
            .copied()
            .unwrap_or_default()
    }

    /// All pairs that were seen, as (source, destination) and count, in no order.
    pub fn pairs(&self) -> impl Iterator<Item = ((IpAddr, IpAddr), PairCount)> {
        self.pairs.iter().map(|(pair, count)| (*pair, *count))
    }

    /// Entries on pairs beyond [`COUNTED_PAIRS_MAX`].
    #[must_use]
    pub const fn uncounted(&self) -> u64 {
        self.uncounted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn time_wait_holds_a_port_until_it_can_be_reused() {
        let mut counts = PairCounts::new(TimeWaitReuse::Loopback(Duration::from_secs(1)));
        let (local, app) = (ip("127.0.0.1"), ip("127.0.0.1"));
        counts.add(local, app, Holding::Connection);
        counts.add(local, app, Holding::TimeWait(Duration::from_millis(59_500)));
        counts.add(local, app, Holding::TimeWait(Duration::from_millis(58_900)));
        let seen = counts.pair(local, app);
        assert_eq!((seen.held, seen.time_wait), (2, 2));
        let far = ip("10.9.9.9");
        counts.add(far, far, Holding::TimeWait(Duration::from_millis(100)));
        assert_eq!(counts.pair(far, far).held, 1);
    }

    #[test]
    fn addresses_in_ipv6_clothes_count_with_their_ipv4_selves() {
        let mut counts = PairCounts::new(TimeWaitReuse::Never);
        counts.add(ip("::ffff:127.0.0.1"), ip("127.0.0.1"), Holding::Connection);
        assert_eq!(counts.pair(ip("127.0.0.1"), ip("127.0.0.1")).held, 1);
        assert_eq!(counts.pair(ip("127.0.0.1"), ip("::ffff:127.0.0.1")).held, 1);
    }

    #[test]
    fn what_is_beyond_the_bound_is_counted_as_such() {
        let mut counts = PairCounts::new(TimeWaitReuse::Never);
        let app = ip("127.0.0.1");
        for n in 0..=u32::try_from(COUNTED_PAIRS_MAX).unwrap() {
            let source = std::net::Ipv4Addr::from_bits(0x7f40_0001 + n);
            counts.add(source.into(), app, Holding::Connection);
        }
        counts.add(ip("127.64.0.1"), app, Holding::Connection);
        assert_eq!(counts.uncounted(), 1);
        assert_eq!(counts.pair(ip("127.64.0.1"), app).held, 2);
    }
}
