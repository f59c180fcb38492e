//! Unix sockets as the kernel lists them: who listens, how full the queue is, how many are connected.

use std::collections::HashMap;

use lasthop_kernel::sock_diag::{self, Complete, DiagError, UnixEntry, UnixFile};
use lasthop_kernel::socket::TcpState;
use lasthop_ports::snapshot::{LISTENERS_MAX, UnixListener};

use super::sample::{Socket, Spread};

/// Names that are kept while counting. Desktops have some hundred, hosts of many containers some thousand.
const NAMES_MAX: usize = 16_384;

/// What a listing of Unix sockets came to.
#[derive(Default)]
pub(super) struct UnixCounts {
    /// Those with the longest queues first, at most [`LISTENERS_MAX`], each with its socket.
    pub(super) listeners: Vec<(UnixListener, Spread)>,
    /// The files of all listeners, to tell socket files that nobody serves.
    pub(super) files: Vec<UnixFile>,
    pub(super) established: u64,
    pub(super) listen: u64,
    pub(super) is_cut: bool,
}

/// All of them that belong to this network namespace.
pub(super) fn sockets() -> Result<UnixCounts, DiagError> {
    let mut tally = UnixTally::default();
    let complete = sock_diag::unix_sockets(|entry| tally.add(&entry))?;
    let mut counts = tally.finish();
    counts.is_cut |= complete == Complete::Cut;
    Ok(counts)
}

#[derive(Default)]
struct UnixTally {
    counts: UnixCounts,
    listeners: HashMap<Vec<u8>, (UnixListener, Spread)>,
    connections: HashMap<Vec<u8>, u32>,
}

impl UnixTally {
    fn add(&mut self, entry: &UnixEntry<'_>) {
        if entry.state != TcpState::Listen {
            self.counts.established += 1;
            // The accepted end has the name of its listener, the other mostly none.
            if let Some(name) = entry.name.filter(|name| !name.is_empty()) {
                self.add_connection(name);
            }
            return;
        }
        self.counts.listen += 1;
        let name = entry.name.unwrap_or_default();
        if self.listeners.len() >= NAMES_MAX && !self.listeners.contains_key(name) {
            self.counts.is_cut = true;
            return;
        }
        self.counts.files.extend(entry.file);
        let (listener, sample) = self
            .listeners
            .entry(name.to_vec())
            .or_insert_with(|| (listener(name), Spread::default()));
        // Of several with one name, whose earlier ones have lost their file, the fullest is told.
        let backlog = entry.backlog.unwrap_or(0);
        if sample.sockets().is_empty() || entry.queue > listener.queue {
            listener.queue = entry.queue;
            listener.backlog = backlog;
        }
        sample.offer(Socket {
            inode: entry.inode,
            uid: entry.uid,
            cgroup: None,
        });
    }

    fn add_connection(&mut self, name: &[u8]) {
        if let Some(count) = self.connections.get_mut(name) {
            *count = count.saturating_add(1);
        } else if self.connections.len() < NAMES_MAX {
            self.connections.insert(name.to_vec(), 1);
        } else {
            self.counts.is_cut = true;
        }
    }

    fn finish(self) -> UnixCounts {
        let Self {
            mut counts,
            listeners,
            connections,
        } = self;
        for (name, (mut listener, sample)) in listeners {
            listener.connections = connections.get(&name).copied().unwrap_or(0);
            counts.listeners.push((listener, sample));
        }
        counts.listeners.sort_by(|(a, _), (b, _)| {
            let rank = |one: &UnixListener| std::cmp::Reverse((one.queue, one.connections));
            rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name))
        });
        counts.is_cut |= counts.listeners.len() > LISTENERS_MAX;
        counts.listeners.truncate(LISTENERS_MAX);
        counts
    }
}

fn listener(name: &[u8]) -> UnixListener {
    UnixListener {
        name: spelled(name),
        queue: 0,
        backlog: 0,
        connections: 0,
        owners: Vec::new(),
    }
}

/// A path as it stands; an abstract name, which begins with a zero byte, as `@name`.
fn spelled(name: &[u8]) -> String {
    match name.strip_prefix(b"\0") {
        Some(name) => format!("@{}", String::from_utf8_lossy(name)),
        None => String::from_utf8_lossy(name).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(state: TcpState, name: &[u8], queue: u32, inode: u64) -> UnixEntry<'_> {
        UnixEntry {
            state,
            name: Some(name),
            file: None,
            inode,
            peer: None,
            queue,
            backlog: (state == TcpState::Listen).then_some(4),
            uid: None,
        }
    }

    #[test]
    fn connections_count_for_the_listener_whose_name_they_have() {
        let mut tally = UnixTally::default();
        tally.add(&entry(TcpState::Established, b"/run/a", 0, 1));
        tally.add(&entry(TcpState::Listen, b"/run/a", 1, 2));
        tally.add(&entry(TcpState::Listen, b"\0b", 3, 3));
        tally.add(&entry(TcpState::Established, b"", 0, 4));
        let counts = tally.finish();
        assert_eq!((counts.established, counts.listen), (2, 2));
        let told: Vec<_> = counts
            .listeners
            .iter()
            .map(|(one, _)| (one.name.as_str(), one.queue, one.backlog, one.connections))
            .collect();
        assert_eq!(told, [("@b", 3, 4, 0), ("/run/a", 1, 4, 1)]);
    }

    #[test]
    fn of_two_listeners_with_one_name_the_fuller_is_told() {
        let mut tally = UnixTally::default();
        for (queue, inode) in [(0, 1), (4, 2), (1, 3)] {
            tally.add(&entry(TcpState::Listen, b"/run/a", queue, inode));
        }
        let counts = tally.finish();
        assert_eq!((counts.listeners.len(), counts.listen), (1, 3));
        assert_eq!(counts.listeners[0].0.queue, 4);
        assert_eq!(counts.listeners[0].1.sockets().len(), 3);
    }
}
