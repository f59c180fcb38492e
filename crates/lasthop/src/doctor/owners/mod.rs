//! Who has what was found: processes by the sockets they have, and how many descriptors they have left.
//!
//! Looked for only where a finding asks, because the kernel has no shorter way than to look through the descriptors of
//! processes.

mod descriptors;
mod program;

pub use descriptors::descriptors;
pub(super) use program::program;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lasthop_kernel::owner::{self, OWNERS_MAX, Wanted};
use lasthop_kernel::process::{self, ProcessIdentity};
use lasthop_ports::finding::{Code, Finding, Subject};
use lasthop_ports::snapshot::{GroupKey, Owner, Snapshot};

use super::as_root;
use super::collect::{Reading, Socket, Spread};

/// Groups and listeners whose owners are looked for at once: as many as anybody reads about.
const PLACES_MAX: usize = 48;

/// Kinds of owner that are told apart in one sample: users and control groups.
const PARTS_MAX: usize = 4;

/// Listeners that a finding about a list of them names.
const LISTENERS_NAMED_MAX: usize = 8;

/// Plain holders whose program is looked for: enough to know it by.
const HOLDERS_NAMED_MAX: usize = 16;

/// Where in the snapshot owners belong.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Group(GroupKey),
    Listener(SocketAddr),
    Unix(String),
}

/// Looks for the owners of what `findings` are about, within `deadline`, and writes them into the snapshot. Those that
/// cannot be found are told as unseen.
pub fn name_owners(reading: &mut Reading, findings: &[Finding], deadline: Duration) {
    let begun = Instant::now();
    let places = places(&reading.snapshot, findings);
    let parts: Vec<(&Place, Part)> = places
        .iter()
        .filter(|place| !has_owners(&reading.snapshot, place))
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
    let answers = owner::search(&wanted, deadline);
    let mut people = People::default();
    let mut found: Vec<(Place, Vec<Owner>)> = Vec::new();
    let mut hidden: Vec<&Place> = Vec::new();
    for ((place, _), answer) in parts.iter().zip(answers) {
        if answer.owners.is_empty() && !answer.saw_all && !hidden.contains(place) {
            hidden.push(place);
        }
        let owners = answer.owners.iter().filter_map(|one| people.owner(one.pid));
        found.push(((*place).clone(), owners.collect()));
    }
    let hidden: Vec<String> = hidden.into_iter().map(told).collect();
    for (place, owners) in found {
        write(&mut reading.snapshot, &place, &owners);
    }
    note_hidden(&mut reading.snapshot, &hidden);
    if findings
        .iter()
        .any(|one| one.code == Code::PortsBoundPlainly)
    {
        name_holders(
            reading,
            &mut people,
            deadline.saturating_sub(begun.elapsed()),
        );
    }
}

/// Has `snapshot` name the owners that `earlier` named, as long as they are there: they need no new search.
pub fn carry_over(snapshot: &mut Snapshot, earlier: &Snapshot) {
    let mut people = People::default();
    let mut are_there = |owners: &[Owner]| {
        let is_there = |owner: &Owner| people.owner(owner.pid).as_ref() == Some(owner);
        !owners.is_empty() && owners.iter().all(is_there)
    };
    let groups = earlier
        .groups
        .iter()
        .map(|one| (Place::Group(one.key), &one.owners));
    let listeners = earlier
        .listeners
        .iter()
        .map(|one| (Place::Listener(one.address), &one.owners));
    let unix = earlier
        .unix_listeners
        .iter()
        .map(|one| (Place::Unix(one.name.clone()), &one.owners));
    for (place, owners) in groups.chain(listeners).chain(unix) {
        if are_there(owners) {
            write(snapshot, &place, owners);
        }
    }
}

/// What is asked about, each once: a group with the listener it leads to.
fn places(snapshot: &Snapshot, findings: &[Finding]) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let mut add = |place: Place| {
        if places.len() < PLACES_MAX && !places.contains(&place) {
            places.push(place);
        }
    };
    for finding in findings {
        match &finding.subject {
            Subject::Group { source, target } => {
                let key = GroupKey {
                    source: *source,
                    destination: *target,
                };
                add(Place::Group(key));
                let is_local = snapshot.group(&key).is_some_and(|group| group.is_local);
                if is_local && let Some(listener) = snapshot.listener_of(&key) {
                    add(Place::Listener(listener.address));
                }
            }
            Subject::Listener { address } => add(Place::Listener(*address)),
            Subject::UnixSocket { path } => add(Place::Unix(path.clone())),
            Subject::Namespace | Subject::Host => {
                for address in listeners_of(snapshot, finding.code) {
                    add(Place::Listener(address));
                }
            }
            Subject::Process { .. } => {}
        }
    }
    places
}

/// The listeners that a finding about all of them names.
fn listeners_of(snapshot: &Snapshot, code: Code) -> Vec<SocketAddr> {
    let range = snapshot.ports.as_ref().map(|ports| ports.range);
    let somaxconn = snapshot.settings.somaxconn;
    let listeners = snapshot.listeners.iter().filter(|listener| match code {
        Code::PortRangeOverlapsListeners => {
            range.is_some_and(|range| range.contains(listener.address.port()))
        }
        Code::BacklogClipped => Some(listener.backlog) == somaxconn,
        Code::ListenBacklogOverflow => listener.drops > Some(0),
        _ => false,
    });
    let addresses = listeners.map(|listener| listener.address);
    addresses.take(LISTENERS_NAMED_MAX).collect()
}

fn spread<'a>(reading: &'a Reading, place: &Place) -> Option<&'a Spread> {
    match place {
        Place::Group(key) => reading.samples.groups.get(key),
        Place::Listener(address) => reading.samples.listeners.get(address),
        Place::Unix(path) => reading.samples.unix_listeners.get(path),
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

fn write(snapshot: &mut Snapshot, place: &Place, owners: &[Owner]) {
    match place {
        Place::Group(key) => {
            let groups = snapshot.groups.iter_mut();
            let matching = groups.filter(|group| group.key == *key);
            matching.for_each(|group| add_owners(&mut group.owners, owners));
        }
        Place::Listener(address) => {
            let listeners = snapshot.listeners.iter_mut();
            let matching = listeners.filter(|listener| listener.address == *address);
            matching.for_each(|listener| add_owners(&mut listener.owners, owners));
        }
        Place::Unix(path) => {
            let listeners = snapshot.unix_listeners.iter_mut();
            let matching = listeners.filter(|listener| listener.name == *path);
            matching.for_each(|listener| add_owners(&mut listener.owners, owners));
        }
    }
}

/// Whether somebody is named already, from an earlier visit.
fn has_owners(snapshot: &Snapshot, place: &Place) -> bool {
    let owners = match place {
        Place::Group(key) => snapshot.group(key).map(|one| &one.owners),
        Place::Listener(address) => {
            let mut listeners = snapshot.listeners.iter();
            let found = listeners.find(|one| one.address == *address);
            found.map(|one| &one.owners)
        }
        Place::Unix(path) => {
            let mut listeners = snapshot.unix_listeners.iter();
            let found = listeners.find(|one| one.name == *path);
            found.map(|one| &one.owners)
        }
    };
    owners.is_some_and(|owners| !owners.is_empty())
}

fn add_owners(known: &mut Vec<Owner>, more: &[Owner]) {
    for owner in more {
        if known.len() < OWNERS_MAX && known.iter().all(|one| one.pid != owner.pid) {
            known.push(owner.clone());
        }
    }
}

fn told(place: &Place) -> String {
    match place {
        Place::Group(key) => key.to_string(),
        Place::Listener(address) => address.to_string(),
        Place::Unix(path) => path.clone(),
    }
}

fn note_hidden(snapshot: &mut Snapshot, places: &[String]) {
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
        holder.owner = owner.and_then(|one| people.owner(one.pid));
    }
}

#[cfg(test)]
mod tests {
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
}
