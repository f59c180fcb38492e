//! Small plans on small hosts, and a ledger with a clock that stands still until it is told otherwise.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lasthop_ports::{
    AddressBlock, Condition, Ended, Full, Grant, HostPorts, Lease, Ledger, Plan, Refusal, Sources,
    Stage, TimeWaitReuse, Walk,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// `127.0.0.1`, or `127.64.0.0/30` for the two addresses in it.
pub(crate) fn block(text: &str) -> AddressBlock {
    match text.split_once('/') {
        Some((network, prefix)) => {
            AddressBlock::network(ip(network), prefix.parse().unwrap()).unwrap()
        }
        None => AddressBlock::single(ip(text)),
    }
}

/// The kernel's own choice, 127.0.0.1, towards these destinations.
pub(crate) fn kernel(destinations: &str, condition: Condition) -> Stage {
    Stage {
        sources: Sources::Kernel(Some(ip("127.0.0.1"))),
        destinations: block(destinations),
        condition,
    }
}

/// These sources towards 127.0.0.1.
pub(crate) fn bound(sources: &str, condition: Condition) -> Stage {
    Stage {
        sources: Sources::Bound {
            block: block(sources),
            any_ip: false,
        },
        destinations: block("127.0.0.1"),
        condition,
    }
}

/// What `source = "auto"` means towards 127.0.0.1, with `sources` to spill into.
pub(crate) fn spilling(sources: &str) -> Vec<Stage> {
    vec![
        kernel("127.0.0.1", Condition::None),
        bound(sources, Condition::None),
    ]
}

/// A host with `ports` ports on each pair, a mark as on Linux 6.8 and later, and a second of cooling on loopback.
pub(crate) fn host(ports: u16) -> HostPorts {
    HostPorts {
        range: format!("40000 {}", 39_999 + ports).parse().unwrap(),
        reserved: "".parse().unwrap(),
        flat_search: true,
        reuse: TimeWaitReuse::Loopback(SECOND),
    }
}

/// A ledger and its clock.
pub(crate) struct Bench {
    pub(crate) ledger: Arc<Ledger>,
    now: Cell<Instant>,
}

impl Bench {
    pub(crate) fn new(stages: Vec<Stage>, host: HostPorts) -> Self {
        let now = Instant::now();
        Self {
            ledger: Arc::new(Ledger::new(Plan::new(3000, stages), host, now)),
            now: Cell::new(now),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.now.set(self.now() + time);
    }

    /// What a new request gets.
    pub(crate) fn next(&self) -> Result<Grant, Full> {
        self.ledger.next(&mut Walk::default(), self.now())
    }

    /// What a new request gets that the kernel has not refused; the kernel says yes.
    pub(crate) fn lease(&self) -> Lease {
        let grant = self.next().unwrap();
        self.ledger.allowed(&grant);
        grant.lease
    }

    pub(crate) fn leases(&self, count: usize) -> Vec<Lease> {
        (0..count).map(|_| self.lease()).collect()
    }

    /// The kernel refuses the next pair of a walk; which one that was, and the explicit port.
    pub(crate) fn refuse(&self, walk: &mut Walk, refusal: Refusal) -> (String, Option<u16>) {
        let grant = self.ledger.next(walk, self.now()).unwrap();
        let told = (pair_of(&grant.lease), grant.port);
        self.ledger.refused(walk, grant, refusal, self.now());
        told
    }

    pub(crate) fn end(&self, mut lease: Lease, how: Ended) {
        lease.ended(how, self.now());
    }

    /// What is taken, by pair: `127.0.0.1 -> 127.0.0.1: 3+2+1` for live, cooling and foreign.
    pub(crate) fn usage(&self) -> Vec<String> {
        self.ledger.check_invariants();
        let pairs = self.ledger.pairs_in_use(self.now());
        pairs
            .iter()
            .map(|(pair, usage)| {
                format!(
                    "{} -> {}: {}+{}+{}",
                    pair.source.unwrap(),
                    pair.destination.ip(),
                    usage.live,
                    usage.cooling,
                    usage.foreign
                )
            })
            .collect()
    }
}

/// `127.0.0.1 -> 127.0.0.1`.
pub(crate) fn pair_of(lease: &Lease) -> String {
    lease.pair().to_string().replace(":3000", "")
}

pub(crate) fn pairs_of(leases: &[Lease]) -> Vec<String> {
    leases.iter().map(pair_of).collect()
}
