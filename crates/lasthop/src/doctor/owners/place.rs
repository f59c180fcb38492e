//! Where in a snapshot owners belong: which places findings ask about, and what stands there.

use std::fmt;
use std::net::SocketAddr;

use lasthop_kernel::owner::OWNERS_MAX;
use lasthop_ports::finding::{Code, Finding, Subject};
use lasthop_ports::snapshot::{GroupKey, Owner, Snapshot};

/// Places whose owners are looked for at once: as many as anybody reads about.
const PLACES_MAX: usize = 48;

/// Listeners that a finding about a list of them names.
const LISTENERS_NAMED_MAX: usize = 8;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::doctor) enum Place {
    /// A group of connections.
    Group(GroupKey),
    /// The TCP listeners at an address.
    Listener(SocketAddr),
    /// The Unix listeners of a name.
    Unix(String),
    /// Those who hold ports by a plain bind(2).
    PlainHolders,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(key) => key.fmt(f),
            Self::Listener(address) => address.fmt(f),
            Self::Unix(name) => f.write_str(name),
            Self::PlainHolders => f.write_str("ports bound plainly"),
        }
    }
}

/// What is asked about, each once, at most 48: a group with the listener it leads to.
pub(in crate::doctor) fn places(snapshot: &Snapshot, findings: &[Finding]) -> Vec<Place> {
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
        if finding.code == Code::PortsBoundPlainly {
            add(Place::PlainHolders);
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

/// Every place of a snapshot that names owners, with them; plain holders, who have one each, are not among them.
pub(super) fn named(snapshot: &Snapshot) -> impl Iterator<Item = (Place, &Vec<Owner>)> {
    let groups = snapshot.groups.iter();
    let groups = groups.map(|one| (Place::Group(one.key), &one.owners));
    let listeners = snapshot.listeners.iter();
    let listeners = listeners.map(|one| (Place::Listener(one.address), &one.owners));
    let unix = snapshot.unix_listeners.iter();
    let unix = unix.map(|one| (Place::Unix(one.name.clone()), &one.owners));
    let all = groups.chain(listeners).chain(unix);
    all.filter(|(_, owners)| !owners.is_empty())
}

/// Has `change` at the owners of a place, of each entry that it has in the snapshot.
pub(super) fn change(snapshot: &mut Snapshot, place: &Place, change: impl FnMut(&mut Vec<Owner>)) {
    match place {
        Place::Group(key) => {
            let groups = snapshot.groups.iter_mut();
            let matching = groups.filter(|group| group.key == *key);
            matching.map(|one| &mut one.owners).for_each(change);
        }
        Place::Listener(address) => {
            let listeners = snapshot.listeners.iter_mut();
            let matching = listeners.filter(|listener| listener.address == *address);
            matching.map(|one| &mut one.owners).for_each(change);
        }
        Place::Unix(name) => {
            let listeners = snapshot.unix_listeners.iter_mut();
            let matching = listeners.filter(|listener| listener.name == *name);
            matching.map(|one| &mut one.owners).for_each(change);
        }
        // Each of them has one owner, who is written where he is found.
        Place::PlainHolders => {}
    }
}

/// Adds those that are not there yet, as many as a sentence bears.
pub(super) fn add(known: &mut Vec<Owner>, more: &[Owner]) {
    for owner in more {
        if known.len() < OWNERS_MAX && known.iter().all(|one| one.pid != owner.pid) {
            known.push(owner.clone());
        }
    }
}
