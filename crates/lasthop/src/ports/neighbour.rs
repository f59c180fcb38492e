//! Who holds source ports in a way that keeps the kernel from giving them to anybody: found out when the kernel refuses
//! ports although the ledger knows of few that are taken.
//!
//! A plain bind(2) to an address and no port takes the port for the whole network namespace
//! (`__inet_hash_connect` in net/ipv4/inet_hashtables.c). The sockets that do so can be listed, and from a few of them
//! their program can be told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lasthop_kernel::owner;
use lasthop_kernel::sock_diag::{self, Hold};

use super::account::Account;
use super::watcher::PERIOD;

/// How long the search for a program may take: it looks through the descriptors of all processes, which are 100,000 on a
/// host where connections are short of ports.
const SEARCH_MAX: Duration = Duration::from_secs(1);

/// A search is followed by so many times its length without one: meanwhile requests fail, so it may cost more than a
/// reading.
const SEARCH_REST_FACTOR: u32 = 4;

/// Sockets that are enough to know a program by.
const SAMPLE: usize = 8;

/// When the next search may be: it is much dearer than a reading, which must not wait for it.
#[derive(Debug)]
pub(super) struct Searches {
    due: Instant,
}

impl Searches {
    pub(super) fn new() -> Self {
        Self {
            due: Instant::now(),
        }
    }

    /// Looks for the neighbour while the kernel refuses what it should not, and forgets it afterwards.
    pub(super) fn go_on(&mut self, account: &Account) {
        let ledger = account.ledger();
        let now = Instant::now();
        if !ledger.is_at_its_last_resort(now) && !ledger.is_disputed() {
            account.set_neighbour(None);
            return;
        }
        if now >= self.due {
            search(account);
            self.due = now + PERIOD.max(now.elapsed() * SEARCH_REST_FACTOR);
        }
    }
}

fn search(account: &Account) {
    let (range, _) = account.ledger().ports();
    let Ok(bound) = sock_diag::bound(range) else {
        return;
    };
    // A listener holds one port, and everybody knows it.
    let holders = bound
        .sample
        .iter()
        .filter(|one| one.hold != Hold::Listening);
    let inodes: Vec<u64> = holders.map(|one| one.inode).take(SAMPLE).collect();
    let us = std::process::id();
    let mut names: BTreeMap<String, u32> = BTreeMap::new();
    for owner in owner::of(&inodes, SEARCH_MAX).owners {
        if owner.pid != us {
            *names
                .entry(format!("{} (pid {})", owner.name, owner.pid))
                .or_default() += 1;
        }
    }
    let most = names.into_iter().max_by_key(|(_, sockets)| *sockets);
    match (most, inodes.len()) {
        (Some((name, _)), _) => {
            account.set_neighbour(Some(format!("ports of the range are bound by {name}")));
        }
        (None, 0) => account.set_neighbour(None),
        // Who was seen before is the likelier one.
        (None, _) => account.set_neighbour_if_unknown(
            "ports of the range are bound by a program that cannot be seen",
        ),
    }
}
