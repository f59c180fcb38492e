//! Who has what was found: processes by the sockets they have, and how many descriptors they have left.
//!
//! Looked for only where a finding asks, because the kernel has no shorter way than to look through the descriptors of
//! processes.

mod descriptors;
mod place;
mod program;

pub use descriptors::descriptors;
pub(super) use place::{Place, places};
pub(super) use program::program;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lasthop_kernel::owner::{self, Wanted};
use lasthop_kernel::process::{self, ProcessIdentity};
use lasthop_ports::snapshot::{Owner, Plain, Snapshot};

use super::as_root;
use super::collect::{Reading, Socket, Spread};

/// Kinds of owner that are told apart in one sample: users and control groups.
const PARTS_MAX: usize = 4;

/// Plain holders whose program is looked for: enough to know it by.
const HOLDERS_NAMED_MAX: usize = 16;

/// Looks for the owners at `places`, within `time_max`, and writes them into the snapshot. Returned are the places whose
/// owners were not found though there must be some: not every process could be looked into.
///
/// Owners who were known before and are not found again go, unless it was not possible to look everywhere.
pub(super) fn search(reading: &mut Reading, places: &[Place], time_max: Duration) -> Vec<Place> {
    let begun = Instant::now();
    let parts: Vec<(&Place, Part)> = places
        .iter()
        .filter_map(|place| Some((place, spread(reading, place)?)))
        .flat_map(|(place, spread)| parts(spread).into_iter().map(move |part| (place, part)))
        .collect();
    let wanted: Vec<Wanted<'_>> = parts
        .iter()
        .map(|(_, part)| Wanted {
            inodes: &part.inodes,
            uid: part.uid,
            cgroup: part.cgroup,
        })
        .collect();
    let answers = owner::search(&wanted, time_max);
    let mut people = People::default();
    let mut hidden: Vec<Place> = Vec::new();
    // The parts of a place follow each other.
    let answered: Vec<_> = parts.iter().zip(answers).collect();
    for of_place in answered.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
        let Some(((place, _), _)) = of_place.first() else {
            continue;
        };
        let answers = of_place.iter().map(|(_, answer)| answer);
        let saw_all = answers.clone().all(|answer| answer.saw_all);
        let found = answers.flat_map(|answer| &answer.owners);
        let found: Vec<Owner> = found.filter_map(|one| people.owner(one.pid)).collect();
        if !saw_all {
            hidden.push((*place).clone());
        }
        place::change(&mut reading.snapshot, place, |owners| {
            let known = std::mem::take(owners);
            place::add(owners, &found);
            if !saw_all {
                place::add(owners, &known);
            }
        });
    }
    if places.contains(&Place::PlainHolders) {
        name_holders(
            reading,
            &mut people,
            time_max.saturating_sub(begun.elapsed()),
        );
    }
    hidden
}

/// Whether the reading has sockets to find the owners of a place by.
pub(super) fn can_search(reading: &Reading, place: &Place) -> bool {
    match place {
        Place::PlainHolders => !reading.samples.plain_holders.is_empty(),
        _ => spread(reading, place).is_some(),
    }
}

/// Has `snapshot` name the owners that `earlier` named, those who are still there. Returned are the places where
/// somebody is gone: another may have taken over.
pub(super) fn carry_over(snapshot: &mut Snapshot, earlier: &Snapshot) -> Vec<Place> {
    let mut people = People::default();
    let mut is_there = |owner: &Owner| people.owner(owner.pid).as_ref() == Some(owner);
    let mut lost = Vec::new();
    for (place, owners) in place::named(earlier) {
        let there: Vec<Owner> = owners.iter().filter(|one| is_there(one)).cloned().collect();
        if there.len() < owners.len() {
            lost.push(place.clone());
        }
        place::change(snapshot, &place, |owners| place::add(owners, &there));
    }
    let socket = |one: &Plain| (one.bind, one.local, one.peer);
    let known = earlier.plain_holders.iter();
    let known: Vec<&Plain> = known.flat_map(|holders| &holders.sample).collect();
    let holders = snapshot.plain_holders.iter_mut();
    for holder in holders.flat_map(|holders| &mut holders.sample) {
        let same = known.iter().find(|one| socket(one) == socket(holder));
        let owner = same.and_then(|one| one.owner.as_ref());
        holder.owner = owner.filter(|owner| is_there(owner)).cloned();
        if owner.is_some() && holder.owner.is_none() && !lost.contains(&Place::PlainHolders) {
            lost.push(Place::PlainHolders);
        }
    }
    lost
}

fn spread<'a>(reading: &'a Reading, place: &Place) -> Option<&'a Spread> {
    match place {
        Place::Group(key) => reading.samples.groups.get(key),
        Place::Listener(address) => reading.samples.listeners.get(address),
        Place::Unix(path) => reading.samples.unix_listeners.get(path),
        Place::PlainHolders => None,
    }
}

/// Sockets of one user in one control group.
struct Part {
    inodes: Vec<u64>,
    uid: u32,
    cgroup: Option<u64>,
}

/// A sample by user and control group, the largest parts of it: two programs that lead to one app are mostly told apart
/// by that.
fn parts(spread: &Spread) -> Vec<Part> {
    let mut by_kind: BTreeMap<(u32, Option<u64>), Vec<u64>> = BTreeMap::new();
    for Socket { inode, uid, cgroup } in spread.sockets() {
        // Where the kernel does not tell, root's processes are looked at first.
        let kind = (uid.unwrap_or(0), *cgroup);
        by_kind.entry(kind).or_default().push(*inode);
    }
    let mut parts: Vec<Part> = by_kind
        .into_iter()
        .map(|((uid, cgroup), inodes)| Part {
            inodes,
            uid,
            cgroup,
        })
        .collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.inodes.len()));
    parts.truncate(PARTS_MAX);
    parts
}

/// Who processes are, each looked at once.
#[derive(Default)]
pub(super) struct People(BTreeMap<u32, Option<Owner>>);

impl People {
    /// Who `pid` is; none where it is gone.
    pub(super) fn owner(&mut self, pid: u32) -> Option<Owner> {
        let known = self.0.entry(pid).or_insert_with(|| {
            let identity: Option<ProcessIdentity> = process::identity(pid).ok();
            identity.as_ref().map(program::owner)
        });
        known.clone()
    }
}

/// Tells of the places whose owners were looked for and could not be found.
pub(super) fn note_hidden(snapshot: &mut Snapshot, places: &[&Place]) {
    let text = match places {
        [] => return,
        [one] => format!("whose {one} is"),
        [one, others @ ..] => format!("whose {one} is, and {} more", others.len()),
    };
    snapshot.unseen.push(format!(
        "{text}: not every process could be looked into{}",
        as_root()
    ));
}

fn name_holders(reading: &mut Reading, people: &mut People, deadline: Duration) {
    let sockets = &reading.samples.plain_holders;
    let inodes: Vec<u64> = sockets.iter().map(|one| one.inode).collect();
    let inodes = inodes.get(..HOLDERS_NAMED_MAX).unwrap_or(&inodes);
    let found = owner::of(inodes, deadline);
    let Some(holders) = &mut reading.snapshot.plain_holders else {
        return;
    };
    for (holder, socket) in holders.sample.iter_mut().zip(sockets) {
        let owner = found.owners.iter().find(|one| one.inode == socket.inode);
        if let Some(owner) = owner.and_then(|one| people.owner(one.pid)) {
            holder.owner = Some(owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use lasthop_ports::snapshot::{Bind, PlainHolders};

    use super::*;

    #[test]
    fn a_sample_of_two_programs_has_two_parts_the_larger_first() {
        let mut spread = Spread::default();
        for (inode, uid) in [(1, 33), (2, 1000), (3, 33), (4, 33)] {
            spread.offer(Socket {
                inode,
                uid: Some(uid),
                cgroup: None,
            });
        }
        let told: Vec<_> = parts(&spread)
            .into_iter()
            .map(|part| (part.uid, part.inodes))
            .collect();
        assert_eq!(told, [(33, vec![1, 3, 4]), (1000, vec![2])]);
    }

    #[test]
    fn who_holds_a_port_is_named_as_long_as_the_process_is_there() {
        let us = People::default().owner(std::process::id()).unwrap();
        let gone = Owner {
            pid: u32::MAX,
            ..us.clone()
        };
        let with = |owners: [Option<Owner>; 2]| {
            let holders = [40_000, 40_001].into_iter().zip(owners);
            let holders = holders.map(|(port, owner)| Plain {
                bind: Bind::Port,
                local: (Ipv4Addr::LOCALHOST, port).into(),
                peer: None,
                owner,
            });
            let mut snapshot = Snapshot::empty(0);
            snapshot.plain_holders = Some(PlainHolders {
                sockets: 2,
                sample: holders.collect(),
            });
            snapshot
        };
        let mut now = with([None, None]);
        let lost = carry_over(&mut now, &with([Some(us.clone()), Some(gone)]));
        assert_eq!(now, with([Some(us), None]));
        assert_eq!(lost, [Place::PlainHolders]);
    }
}
