//! Which pairs of source and destination address the connections to one target may use, in order.
//!
//! A plan is a list of stages, each a block of sources towards a block of destinations, and a pair is known by its
//! number. The order is the policy: what the kernel would choose comes first, so that a small site sees nothing
//! unusual, and what an app or a firewall may notice comes later. Says nothing about how full a pair is: that is the
//! ledger's business, and what the host allows is found out elsewhere and comes in as facts.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::block::AddressBlock;

/// Pairs of one stage that are ever used. With the default range that is 231 million connections, and with a range of
/// a hundred ports still 819,200.
pub const STAGE_PAIRS_MAX: u32 = 8192;

/// The stages of a plan: the first, one for spread destinations, and one for each block of sources an operator lists.
pub const STAGES_MAX: usize = 66;

/// Where the connections of a stage come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sources {
    /// The kernel chooses; the address it is known to choose, if that is known.
    Kernel(Option<IpAddr>),
    /// Bound to these addresses, one after the other.
    Bound {
        /// The addresses.
        block: AddressBlock,
        /// They are no addresses of an interface, only routed to this host (AnyIP): binding needs `IPV6_FREEBIND`.
        any_ip: bool,
    },
}

/// What has to be known before the pairs of a stage are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    None,
    /// That the app listens on the wildcard address, so that it can be reached at all destinations of the stage.
    Wildcard,
    /// For each pair, that a handshake has come about on it: what rewrites addresses on the way (a local DNAT rule)
    /// may lose the answer.
    Proof,
}

/// A block of sources towards a block of destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Our side.
    pub sources: Sources,
    /// The app's addresses.
    pub destinations: AddressBlock,
    /// What they may be used under.
    pub condition: Condition,
}

/// The ordered pairs towards one target: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    port: u16,
    stages: Vec<Stage>,
    /// Where the numbers of each stage end.
    ends: Vec<u32>,
}

/// One pair of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedPair {
    /// Our address as far as it is known.
    pub source: Option<IpAddr>,
    /// Whether we bind to it, or leave the choice to the kernel.
    pub bound: bool,
    /// Whether binding needs `IPV6_FREEBIND`.
    pub any_ip: bool,
    /// The app's address.
    pub destination: SocketAddr,
    /// The number of its stage.
    pub stage: usize,
}

impl Stage {
    /// How many pairs of the stage are used at most: 1 to [`STAGE_PAIRS_MAX`].
    #[must_use]
    pub fn pairs(&self) -> u32 {
        let sources = match self.sources {
            Sources::Kernel(_) => 1,
            Sources::Bound { block, .. } => block.len(),
        };
        let all = sources.saturating_mul(self.destinations.len());
        u32::try_from(all).map_or(STAGE_PAIRS_MAX, |all| all.min(STAGE_PAIRS_MAX))
    }

    /// Whether one side of every pair is a loopback address, which is when `net.ipv4.tcp_tw_reuse = 2` applies
    /// (`tcp_twsk_unique` in net/ipv4/tcp_ipv4.c looks at both addresses).
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let source = match self.sources {
            Sources::Kernel(source) => source,
            Sources::Bound { block, .. } => Some(block.first()),
        };
        self.destinations.first().is_loopback() || source.is_some_and(|source| source.is_loopback())
    }
}

impl Plan {
    /// A plan of these stages towards `port`. What is beyond [`STAGES_MAX`] is left out.
    ///
    /// # Panics
    /// Without any stage: a plan has at least one pair.
    #[must_use]
    pub fn new(port: u16, mut stages: Vec<Stage>) -> Self {
        assert!(!stages.is_empty(), "a plan has at least one stage");
        stages.truncate(STAGES_MAX);
        let mut end = 0;
        let ends = stages.iter().map(|stage| {
            end += stage.pairs();
            end
        });
        Self {
            port,
            ends: ends.collect(),
            stages,
        }
    }

    /// The kernel's choice towards one address and nothing else.
    #[must_use]
    pub fn of_the_kernel(target: SocketAddr, source: Option<IpAddr>) -> Self {
        let stage = Stage {
            sources: Sources::Kernel(source),
            destinations: AddressBlock::single(target.ip()),
            condition: Condition::None,
        };
        Self::new(target.port(), vec![stage])
    }

    /// The stages, in the order of their use.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The port of the app.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// How many pairs there are: at least 1.
    #[must_use]
    pub fn pairs(&self) -> u32 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The numbers of the pairs of a stage.
    #[must_use]
    pub fn numbers(&self, stage: usize) -> std::ops::Range<u32> {
        let end = |stage: usize| self.ends.get(stage).copied();
        let first = stage
            .checked_sub(1)
            .map_or(0, |before| end(before).unwrap_or(self.pairs()));
        first..end(stage).unwrap_or(first)
    }

    /// Pair `number`; none past the end.
    #[must_use]
    pub fn pair(&self, number: u32) -> Option<PlannedPair> {
        let index = self.ends.iter().position(|end| number < *end)?;
        let stage = self.stages.get(index)?;
        let inside = u64::from(number - self.numbers(index).start);
        let destinations = stage.destinations.len();
        let destination = stage.destinations.nth(inside % destinations)?;
        let (source, bound, any_ip) = match stage.sources {
            Sources::Kernel(source) => (source, false, false),
            Sources::Bound { block, any_ip } => {
                (Some(block.nth(inside / destinations)?), true, any_ip)
            }
        };
        Some(PlannedPair {
            source,
            bound,
            any_ip,
            destination: SocketAddr::new(destination, self.port),
            stage: index,
        })
    }

    /// The number of the pair that a connection between these addresses belongs to, the first one where there are
    /// several. Where the source that the kernel chooses is not known, any source is taken for it.
    #[must_use]
    pub fn number_of(&self, source: IpAddr, destination: IpAddr) -> Option<u32> {
        self.stages.iter().enumerate().find_map(|(index, stage)| {
            let destination = stage.destinations.position(destination)?;
            let source = match stage.sources {
                Sources::Kernel(known) => known.is_none_or(|known| known == source).then_some(0)?,
                Sources::Bound { block, .. } => block.position(source)?,
            };
            let inside = source
                .checked_mul(stage.destinations.len())?
                .checked_add(destination)?;
            let inside = u32::try_from(inside)
                .ok()
                .filter(|inside| *inside < stage.pairs())?;
            Some(self.numbers(index).start + inside)
        })
    }
}

impl fmt::Display for PlannedPair {
    /// `127.64.0.1 -> 127.0.0.1:3000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Some(source) => write!(f, "{source} -> {}", self.destination),
            None => write!(f, "the kernel's choice -> {}", self.destination),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn block(network: &str, prefix: u8) -> AddressBlock {
        AddressBlock::network(ip(network), prefix).unwrap()
    }

    fn stage(sources: Sources, destinations: AddressBlock) -> Stage {
        Stage {
            sources,
            destinations,
            condition: Condition::None,
        }
    }

    /// What `source = "auto"` means for an app on 127.0.0.1.
    fn auto() -> Plan {
        let kernel = Sources::Kernel(Some(ip("127.0.0.1")));
        let spread = Sources::Bound {
            block: block("127.64.0.0", 16),
            any_ip: false,
        };
        let target = AddressBlock::single(ip("127.0.0.1"));
        let stages = vec![
            stage(kernel, target),
            stage(kernel, block("127.64.0.0", 16)),
            stage(spread, target),
        ];
        Plan::new(3000, stages)
    }

    #[test]
    fn the_pair_of_the_kernel_comes_first_and_sources_are_spread_last() {
        let plan = auto();
        let pair = |number| plan.pair(number).unwrap().to_string();
        assert_eq!(pair(0), "127.0.0.1 -> 127.0.0.1:3000");
        assert_eq!(pair(1), "127.0.0.1 -> 127.64.0.1:3000");
        assert_eq!(pair(8192), "127.0.0.1 -> 127.64.32.0:3000");
        assert_eq!(pair(8193), "127.64.0.1 -> 127.0.0.1:3000");
        assert_eq!(plan.pairs(), 1 + 8192 + 8192);
        assert_eq!(plan.pair(plan.pairs()), None);
        assert_eq!(plan.numbers(1), 1..8193);
        assert_eq!(plan.numbers(9), 16385..16385);
    }

    #[test]
    fn only_bound_sources_are_bound_to() {
        let plan = auto();
        assert!(!plan.pair(0).unwrap().bound && !plan.pair(1).unwrap().bound);
        assert!(plan.pair(8193).unwrap().bound);
    }

    #[test]
    fn destinations_are_spread_before_the_next_source_is_used() {
        let sources = Sources::Bound {
            block: block("127.64.0.0", 30),
            any_ip: false,
        };
        let plan = Plan::new(80, vec![stage(sources, block("127.1.0.0", 30))]);
        let pairs: Vec<_> = (0..4).map(|n| plan.pair(n).unwrap().to_string()).collect();
        assert_eq!(
            pairs,
            [
                "127.64.0.1 -> 127.1.0.1:80",
                "127.64.0.1 -> 127.1.0.2:80",
                "127.64.0.2 -> 127.1.0.1:80",
                "127.64.0.2 -> 127.1.0.2:80",
            ]
        );
    }

    #[test]
    fn a_source_that_is_not_known_stands_for_any() {
        let plan = Plan::of_the_kernel("10.9.9.9:3000".parse().unwrap(), None);
        assert_eq!(plan.number_of(ip("10.9.9.1"), ip("10.9.9.9")), Some(0));
        assert_eq!(plan.number_of(ip("10.9.9.1"), ip("10.9.9.8")), None);
        assert_eq!(
            plan.pair(0).unwrap().to_string(),
            "the kernel's choice -> 10.9.9.9:3000"
        );
    }

    #[test]
    fn loopback_on_either_side_counts() {
        let far = AddressBlock::single(ip("10.9.9.9"));
        let spread = Sources::Bound {
            block: block("127.64.0.0", 16),
            any_ip: false,
        };
        assert!(stage(spread, far).is_loopback());
        assert!(!stage(Sources::Kernel(Some(ip("10.9.9.9"))), far).is_loopback());
        assert!(stage(Sources::Kernel(None), AddressBlock::single(ip("::1"))).is_loopback());
    }

    proptest! {
        #[test]
        fn a_pair_and_its_number_belong_together(number in 0u32..16_385) {
            let plan = auto();
            let pair = plan.pair(number).unwrap();
            prop_assert_eq!(plan.number_of(pair.source.unwrap(), pair.destination.ip()), Some(number));
            prop_assert!(plan.numbers(pair.stage).contains(&number));
        }
    }
}
