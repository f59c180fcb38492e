//! The source ports of this process: for each TCP target a plan of address pairs and the ledger that lends their ports,
//! and a thread that keeps the ledgers true.
//!
//! What the host allows is surveyed at the start ([`survey`]); what others do on the same pairs is read from the kernel
//! by the watcher, and only while something is crowded. The arithmetic is `lasthop-ports`'; here it meets the host.

mod account;
mod neighbour;
mod proof;
mod reading;
pub mod survey;
mod watcher;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

pub use account::{Account, NoPorts, PairInUse};
pub use proof::origin;
pub use reading::{listener, listens_everywhere, pair_counts};
use watcher::Alarm;
pub use watcher::Watcher;

use crate::config::{Config, Source, Target};

/// The accounts of all TCP targets. Upstreams that name the same target in the same way share one, because they share
/// its ports.
#[derive(Debug)]
pub struct Ports {
    /// By the index of the upstream, then of the target; none for a Unix socket.
    by_upstream: Vec<Vec<Option<Arc<Account>>>>,
    accounts: Vec<Arc<Account>>,
    /// What a crowded account rings.
    alarm: Arc<Alarm>,
}

impl Ports {
    /// Surveys the host and opens an account for each TCP target.
    pub fn open(config: &Config, now: Instant) -> Self {
        let host = survey::host();
        let alarm = Arc::new(Alarm::default());
        let mut shared: HashMap<(Target, Source), Arc<Account>> = HashMap::new();
        let mut accounts = Vec::new();
        let mut by_upstream = Vec::new();
        for upstream in &config.upstreams {
            let mut targets = Vec::new();
            for target in &upstream.targets {
                let key = (target.clone(), upstream.source.clone());
                let known = shared.get(&key).cloned();
                let account = known.or_else(|| {
                    let plan = survey::plan(target, &upstream.source, config.server.spill_range)?;
                    let ledger = lasthop_ports::Ledger::new(plan, host.clone(), now);
                    let account = Account::new(target, &upstream.name, ledger, Arc::clone(&alarm));
                    accounts.push(Arc::clone(&account));
                    shared.insert(key, Arc::clone(&account));
                    Some(account)
                });
                targets.push(account);
            }
            by_upstream.push(targets);
        }
        Self {
            by_upstream,
            accounts,
            alarm,
        }
    }

    /// The account of each target of an upstream, by the index of the target; none for a Unix socket.
    pub fn of_upstream(&self, upstream: usize) -> &[Option<Arc<Account>>] {
        self.by_upstream.get(upstream).map_or(&[], Vec::as_slice)
    }

    /// Every account, once.
    pub fn accounts(&self) -> &[Arc<Account>] {
        &self.accounts
    }
}
