//! From single sockets to counts by group: what stays of a listing of 200,000.
//!
//! Pure: entries and one question come in as arguments, so that the counting is tested without a kernel. Bounded by
//! [`GROUPS_COUNTED_MAX`], however many sockets there are.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use lasthop_kernel::sock_diag::TcpEntry;
use lasthop_kernel::socket::TcpState;
use lasthop_ports::TimeWaitReuse;
use lasthop_ports::host::TIME_WAIT;
use lasthop_ports::snapshot::{
    GROUPS_MAX, Group, GroupKey, Listener, OmittedGroups, PortSettings, SocketCounts, StateCounts,
};

use super::ends::{End, Ends};
use super::sample::{Socket, Spread};

/// Groups that are counted at once: some 20 MiB. A host that leads to more places than this crawls the web with one
/// connection each; what comes after is counted as omitted.
pub(super) const GROUPS_COUNTED_MAX: usize = 65_536;

/// Addresses whose being our own is remembered. A listener whose clients come from more is used by other hosts.
const ADDRESSES_MAX: usize = 1024;

/// Whether an address is this host's own; asked once for each, up to a bound.
pub(super) struct OwnAddresses<'a> {
    ask: &'a mut dyn FnMut(IpAddr) -> bool,
    known: HashMap<IpAddr, bool>,
}

impl<'a> OwnAddresses<'a> {
    pub(super) fn new(ask: &'a mut dyn FnMut(IpAddr) -> bool) -> Self {
        Self {
            ask,
            known: HashMap::new(),
        }
    }

    fn has(&mut self, address: IpAddr) -> bool {
        if address.is_loopback() {
            return true;
        }
        if let Some(known) = self.known.get(&address) {
            return *known;
        }
        if self.known.len() >= ADDRESSES_MAX {
            return false;
        }
        let own = (self.ask)(address);
        self.known.insert(address, own);
        own
    }
}

/// One group while it is counted.
struct Counted {
    group: Group,
    sample: Spread,
}

/// The counting of one listing.
pub(super) struct Tally<'a> {
    ends: &'a Ends,
    /// What connect(2) gives out, and when TIME_WAIT gives back; none where that could not be read.
    ports: Option<&'a PortSettings>,
    own: OwnAddresses<'a>,
    sockets: SocketCounts,
    groups: HashMap<GroupKey, Counted>,
    /// Connections of groups beyond the bound.
    uncounted: u64,
    /// By position of the listener: connections from this host, and from others.
    clients: Vec<(u32, u32)>,
}

/// What a listing came to.
pub(super) struct Counts {
    pub(super) sockets: SocketCounts,
    /// The fullest first, at most [`GROUPS_MAX`], each with some of its sockets.
    pub(super) groups: Vec<(Group, Spread)>,
    pub(super) omitted: OmittedGroups,
    /// By position of the listener: connections from this host, and from others.
    pub(super) clients: Vec<(u32, u32)>,
}

impl<'a> Tally<'a> {
    /// An empty one, for entries of a host that has these `listeners`, told apart by `ends`.
    pub(super) fn new(
        ends: &'a Ends,
        listeners: &[Listener],
        ports: Option<&'a PortSettings>,
        own: OwnAddresses<'a>,
    ) -> Self {
        Self {
            ends,
            ports,
            own,
            sockets: SocketCounts::default(),
            groups: HashMap::new(),
            uncounted: 0,
            clients: vec![(0, 0); listeners.len()],
        }
    }

    /// Counts one entry.
    pub(super) fn add(&mut self, entry: &TcpEntry) {
        self.count_socket(entry.state);
        // A listener, or a socket that is bound and leads nowhere.
        if entry.peer.port() == 0 {
            return;
        }
        let own = &mut self.own;
        match self.ends.of(entry, |address| own.has(address)) {
            End::Beginning => self.add_beginning(entry),
            End::App(listener) => self.add_app(entry, listener),
        }
    }

    fn add_beginning(&mut self, entry: &TcpEntry) {
        let key = key(entry.local.ip(), entry.peer);
        let reuse = self.ports.map_or(TimeWaitReuse::Never, PortSettings::reuse);
        let held = held(entry, key, reuse);
        let is_of_range = self.is_of_range(entry.local.port());
        let Some(counted) = self.counted(key) else {
            return;
        };
        let group = &mut counted.group;
        count_state(group, entry.state);
        if held {
            if entry.state == TcpState::TimeWait {
                group.time_wait_held += 1;
            }
            if !is_of_range {
                group.outside_range += 1;
            } else if entry.local.port().is_multiple_of(2) {
                group.even_ports += 1;
            } else {
                group.odd_ports += 1;
            }
        }
        counted.sample.offer(Socket {
            inode: entry.inode,
            uid: Some(entry.uid),
            cgroup: entry.cgroup,
        });
    }

    /// Whether connect(2) gives this port to whoever leaves the choice to it; taken to be so where that is not known.
    fn is_of_range(&self, port: u16) -> bool {
        self.ports
            .is_none_or(|ports| ports.range.contains(port) && !ports.reserved.contains(port))
    }

    fn add_app(&mut self, entry: &TcpEntry, listener: Option<usize>) {
        let peer = entry.peer.ip();
        let is_local = peer == entry.local.ip() || self.own.has(peer);
        if entry.state == TcpState::TimeWait {
            // Of clients elsewhere it is no group of ours.
            if is_local && let Some(counted) = self.counted(key(peer, entry.local)) {
                counted.group.time_wait_at_app += 1;
            }
            return;
        }
        if let Some((local, remote)) = listener.and_then(|at| self.clients.get_mut(at)) {
            let clients = if is_local { local } else { remote };
            *clients = clients.saturating_add(1);
        }
    }

    fn counted(&mut self, key: GroupKey) -> Option<&mut Counted> {
        if self.groups.len() >= GROUPS_COUNTED_MAX && !self.groups.contains_key(&key) {
            self.uncounted += 1;
            return None;
        }
        Some(self.groups.entry(key).or_insert_with(|| Counted {
            group: Group::empty(key),
            sample: Spread::default(),
        }))
    }

    fn count_socket(&mut self, state: TcpState) {
        let sockets = &mut self.sockets;
        let count = match state {
            TcpState::Established => &mut sockets.established,
            TcpState::SynSent => &mut sockets.syn_sent,
            TcpState::SynRecv | TcpState::NewSynRecv => &mut sockets.syn_recv,
            TcpState::FinWait1 => &mut sockets.fin_wait1,
            TcpState::FinWait2 => &mut sockets.fin_wait2,
            TcpState::TimeWait => &mut sockets.time_wait,
            TcpState::CloseWait => &mut sockets.close_wait,
            TcpState::LastAck => &mut sockets.last_ack,
            TcpState::Closing => &mut sockets.closing,
            TcpState::Listen => &mut sockets.listen,
            TcpState::Close | TcpState::BoundInactive | TcpState::Other(_) => return,
        };
        *count += 1;
    }

    /// The outcome: the fullest groups, and what the others come to.
    pub(super) fn finish(mut self) -> Counts {
        let mut groups: Vec<Counted> = self.groups.into_values().collect();
        let fullness = |group: &Group| (group.used(), group.time_wait, group.time_wait_at_app);
        groups.sort_unstable_by(|a, b| {
            fullness(&b.group)
                .cmp(&fullness(&a.group))
                .then_with(|| a.group.key.cmp(&b.group.key))
        });
        let cut = groups.split_off(groups.len().min(GROUPS_MAX));
        let connections = |one: &Counted| u64::from(one.group.connections() + one.group.time_wait);
        let omitted = OmittedGroups {
            // Those beyond the bound were not told apart.
            groups: cut.len() as u64 + u64::from(self.uncounted > 0),
            connections: cut.iter().map(connections).sum::<u64>() + self.uncounted,
        };
        for counted in &mut groups {
            counted.group.is_local = self.own.has(counted.group.key.destination.ip());
        }
        Counts {
            sockets: self.sockets,
            groups: groups
                .into_iter()
                .map(|counted| (counted.group, counted.sample))
                .collect(),
            omitted,
            clients: self.clients,
        }
    }
}

fn key(source: IpAddr, destination: SocketAddr) -> GroupKey {
    GroupKey {
        source: source.to_canonical(),
        destination: SocketAddr::new(destination.ip().to_canonical(), destination.port()),
    }
}

/// Whether no new connection of the group can have this port now: while there is a socket, and in TIME_WAIT until
/// connect(2) may take it over.
fn held(entry: &TcpEntry, key: GroupKey, reuse: TimeWaitReuse) -> bool {
    if entry.state != TcpState::TimeWait {
        return true;
    }
    let is_loopback = key.source.is_loopback() || key.destination.ip().is_loopback();
    let left = entry.time_wait_left.unwrap_or(TIME_WAIT);
    TIME_WAIT.saturating_sub(left) < reuse.cooling(is_loopback)
}

fn count_state(group: &mut Group, state: TcpState) {
    let StateCounts {
        syn_sent,
        established,
        close_wait,
        fin_wait,
        last_ack,
        other,
    } = &mut group.states;
    let count = match state {
        TcpState::TimeWait => &mut group.time_wait,
        TcpState::SynSent => syn_sent,
        TcpState::Established => established,
        TcpState::CloseWait => close_wait,
        TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing => fin_wait,
        TcpState::LastAck => last_ack,
        _ => other,
    };
    *count = count.saturating_add(1);
}

#[cfg(test)]
mod tests;
