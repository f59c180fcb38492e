//! One reading of the network namespace of the calling thread.
//!
//! Costs two walks over the kernel's table of connections (one for each family) and keeps no connection. What cannot be
//! read is missing and named in [`Snapshot::unseen`]; there is no error. Owners are not looked for here: that takes
//! seconds on a full host, see [`Memory::name_owners`](super::Memory::name_owners).

mod ends;
mod sample;
mod settings;
mod tally;
mod tcp;
mod trend;
mod unix;

pub use sample::{SAMPLE_MAX, Samples, Socket, Spread};
pub use trend::{RESAMPLED_GROUPS_MAX, resample};
pub(super) use trend::{continue_from, recount};

use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use lasthop_kernel::sock_diag::{self, Complete, DiagError, Hold, UnixFile};
use lasthop_ports::Sample;
use lasthop_ports::snapshot::{Bind, Listener, Plain, PlainHolders, Snapshot};

use settings::Unseen;

/// How much a reading looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What can be read every few seconds: sockets, settings, counters.
    Sampling,
    /// The same and who holds ports by a plain bind(2), which takes five more walks over the kernel's table.
    Whole,
}

/// A snapshot, and what a search for owners begins with.
#[derive(Clone, Debug)]
pub struct Reading {
    /// What was seen.
    pub snapshot: Snapshot,
    /// Some sockets of each group and listener in it.
    pub samples: Samples,
    /// The files that Unix listeners of this namespace were bound to.
    pub unix_files: Vec<UnixFile>,
}

/// Looks at the network namespace of the calling thread.
#[must_use]
pub fn collect(depth: Depth) -> Reading {
    let mut reading = Reading {
        snapshot: Snapshot::empty(now_ms()),
        samples: Samples::default(),
        unix_files: Vec::new(),
    };
    let own = std::fs::metadata("/proc/thread-self/ns/net");
    reading.snapshot.namespace.inode = own.ok().map(|file| file.ino());
    settings::read_into(&mut reading.snapshot);
    match read_tcp(&mut reading) {
        Ok(listening_ports) => {
            read_unix(&mut reading);
            if depth == Depth::Whole {
                read_plain_holders(&mut reading, &listening_ports);
            }
        }
        Err(error) => Unseen(&mut reading.snapshot.unseen).note(without_sockets(&error)),
    }
    reading
}

/// Milliseconds since 1970; 0 where the clock is set before.
pub(super) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| {
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
        })
}

fn without_sockets(error: &DiagError) -> String {
    let source = std::error::Error::source(error)
        .map(|source| format!(": {source}"))
        .unwrap_or_default();
    format!("which sockets there are: {error}{source}")
}

/// Listeners come before the walk, which tells the ends of connections apart by them. The ports of all of them.
fn read_tcp(reading: &mut Reading) -> Result<Vec<u16>, DiagError> {
    let listening = tcp::listeners()?;
    let (listeners, spreads): (Vec<Listener>, Vec<_>) = listening.listeners.into_iter().unzip();
    let snapshot = &mut reading.snapshot;
    let (counts, complete) = tcp::connections(&listeners, snapshot.ports.as_ref())?;
    let mut sockets = counts.sockets;
    sockets.listen = listening.sockets;
    snapshot.sockets = Some(sockets);
    snapshot.groups_omitted = counts.omitted;
    for (mut group, spread) in counts.groups {
        group.recent.push(Sample {
            at_ms: snapshot.taken_ms,
            used: group.used(),
        });
        reading.samples.groups.insert(group.key, spread);
        snapshot.groups.push(group);
    }
    for ((mut listener, spread), clients) in listeners.into_iter().zip(spreads).zip(counts.clients)
    {
        (listener.local_clients, listener.remote_clients) = clients;
        // One for IPv6 alone beside one of both has the same address; the first will do to find who it is.
        let samples = &mut reading.samples.listeners;
        samples.entry(listener.address).or_insert(spread);
        snapshot.listeners.push(listener);
    }
    let mut unseen = Unseen(&mut snapshot.unseen);
    if listening.complete == Complete::Cut {
        unseen.note(format!(
            "all TCP listeners: there are {}, and the {} with the longest queues are looked at",
            listening.sockets,
            snapshot.listeners.len()
        ));
    }
    if complete == Complete::Changed {
        unseen.note(
            "the table of connections changed while it was read: some may be missing".to_owned(),
        );
    }
    Ok(listening.ports)
}

fn read_unix(reading: &mut Reading) {
    let snapshot = &mut reading.snapshot;
    let mut noted = std::mem::take(&mut snapshot.unseen);
    let mut unseen = Unseen(&mut noted);
    if let Some(counts) = unseen.take(unix::sockets()) {
        if let Some(sockets) = &mut snapshot.sockets {
            sockets.unix_established = counts.established;
            sockets.unix_listen = counts.listen;
        }
        for (listener, spread) in counts.listeners {
            let name = listener.name.clone();
            reading.samples.unix_listeners.insert(name, spread);
            snapshot.unix_listeners.push(listener);
        }
        reading.unix_files = counts.files;
        if counts.is_cut {
            unseen.note(
                "all Unix sockets: there are too many, those with the longest queues are looked at"
                    .to_owned(),
            );
        }
    }
    snapshot.unseen = noted;
}

fn read_plain_holders(reading: &mut Reading, listening_ports: &[u16]) {
    let snapshot = &mut reading.snapshot;
    let Some(range) = snapshot.ports.as_ref().map(|ports| ports.range) else {
        return;
    };
    let mut unseen = Unseen(&mut snapshot.unseen);
    if let Some(bound) = unseen.take(sock_diag::bound(range)) {
        let in_range = listening_ports.iter().filter(|port| range.contains(**port));
        let (holders, sample) = plain_holders(&bound, in_range.count());
        snapshot.plain_holders = Some(holders);
        reading.samples.plain_holders = sample;
    }
}

/// Listeners are left out: each holds one port, and everybody knows it.
fn plain_holders(bound: &sock_diag::PortHolders, listeners: usize) -> (PlainHolders, Vec<Socket>) {
    let mut holders = PlainHolders::default();
    let mut sample = Vec::new();
    for holder in &bound.sample {
        let bind = match holder.hold {
            Hold::Bound => Bind::Bound,
            Hold::PortBound => Bind::Port,
            Hold::AddressBound => Bind::Address,
            Hold::Listening => continue,
        };
        holders.sample.push(Plain {
            bind,
            local: holder.local,
            peer: holder.peer,
            owner: None,
        });
        sample.push(Socket {
            inode: holder.inode,
            uid: Some(holder.uid),
            cgroup: None,
        });
    }
    // They are the last of the sample: where it has one of them, it has all the others.
    let has_all = holders.sample.len() < bound.sample.len()
        || usize::try_from(bound.sockets) == Ok(bound.sample.len());
    let sampled = u32::try_from(holders.sample.len()).unwrap_or(u32::MAX);
    let listeners = u32::try_from(listeners).unwrap_or(u32::MAX);
    holders.sockets = if has_all {
        sampled
    } else {
        bound.sockets.saturating_sub(listeners).max(sampled)
    };
    (holders, sample)
}
