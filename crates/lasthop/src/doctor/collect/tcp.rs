//! TCP as the kernel lists it: listeners first, then everything else in one walk.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use lasthop_kernel::route::{self, RouteKind};
use lasthop_kernel::sock_diag::{
    self, Complete, Destination, DiagError, TcpFilter, TcpListening, TcpStates,
};
use lasthop_kernel::socket::TcpState;
use lasthop_ports::snapshot::{LISTENERS_MAX, Listener, PortSettings};

use super::ends::Ends;
use super::sample::{Socket, Spread};
use super::tally::{Counts, OwnAddresses, Tally};

/// Listeners with some of their sockets: workers that share an address (`SO_REUSEPORT`) are one.
pub(super) struct Listening {
    pub(super) listeners: Vec<(Listener, Spread)>,
    /// Sockets, those that are not in the list included.
    pub(super) sockets: u64,
    /// The ports of all of them.
    pub(super) ports: Vec<u16>,
    /// Whether there are more than the list has.
    pub(super) complete: Complete,
}

/// Who listens. The longest queues first, then those that dropped the most, so that a bound cuts the idle ones.
pub(super) fn listeners() -> Result<Listening, DiagError> {
    let (sockets, mut complete) = sock_diag::every_tcp_listener()?;
    let count = sockets.len() as u64;
    let ports = sockets.iter().map(|one| one.address.port()).collect();
    let mut listeners = merged(&sockets);
    listeners.sort_by(|(a, _), (b, _)| {
        (b.queue, b.drops)
            .cmp(&(a.queue, a.drops))
            .then_with(|| (a.address, a.v6only).cmp(&(b.address, b.v6only)))
    });
    if listeners.len() > LISTENERS_MAX {
        listeners.truncate(LISTENERS_MAX);
        complete = Complete::Cut;
    }
    Ok(Listening {
        listeners,
        sockets: count,
        ports,
        complete,
    })
}

/// One for each address: the queue and backlog of the fullest socket, the drops of all.
fn merged(sockets: &[TcpListening]) -> Vec<(Listener, Spread)> {
    let mut positions: HashMap<(SocketAddr, bool), usize> = HashMap::new();
    let mut all: Vec<(Listener, Spread)> = Vec::new();
    for socket in sockets {
        let key = (socket.address, socket.v6only);
        let position = *positions.entry(key).or_insert_with(|| {
            all.push((listener(socket), Spread::default()));
            all.len() - 1
        });
        let Some((listener, sample)) = all.get_mut(position) else {
            continue;
        };
        if sample.sockets().is_empty() {
            // The first one: it is counted already.
        } else {
            let drops = listener.drops.unwrap_or(0);
            listener.drops = Some(drops.wrapping_add(socket.drops));
            if socket.queue > listener.queue {
                listener.queue = socket.queue;
                listener.backlog = socket.backlog;
            }
        }
        sample.offer(Socket {
            inode: socket.inode,
            uid: Some(socket.uid),
            cgroup: socket.cgroup,
        });
    }
    all
}

fn listener(socket: &TcpListening) -> Listener {
    Listener {
        address: socket.address,
        v6only: socket.v6only,
        queue: socket.queue,
        backlog: socket.backlog,
        drops: Some(socket.drops),
        drops_before: None,
        local_clients: 0,
        remote_clients: 0,
        owners: Vec::new(),
    }
}

/// All other TCP sockets, as counts.
pub(super) fn connections(
    listeners: &[Listener],
    settings: Option<&PortSettings>,
) -> Result<(Counts, Complete), DiagError> {
    count(listeners, settings, None)
}

/// Those that lead to one place, as counts: what a trend is made of.
pub(super) fn connections_to(
    listeners: &[Listener],
    settings: Option<&PortSettings>,
    destination: SocketAddr,
) -> Result<Counts, DiagError> {
    let destination = Destination::from(destination);
    count(listeners, settings, Some(destination)).map(|(counts, _)| counts)
}

fn count(
    listeners: &[Listener],
    settings: Option<&PortSettings>,
    destination: Option<Destination>,
) -> Result<(Counts, Complete), DiagError> {
    let ends = Ends::new(listeners, settings.map(|settings| settings.range));
    let mut is_own = is_own;
    let mut tally = Tally::new(&ends, listeners, settings, OwnAddresses::new(&mut is_own));
    let filter = TcpFilter {
        destination,
        states: connected(),
        ..TcpFilter::default()
    };
    let complete = sock_diag::tcp(&filter, |entry| tally.add(&entry))?;
    Ok((tally.finish(), complete))
}

/// Whether packets to an address stay on this host. Where that cannot be asked only loopback addresses are ours.
fn is_own(address: IpAddr) -> bool {
    route::to(address).is_ok_and(|route| route.kind == RouteKind::Local)
}

/// Every state but listening and bound: those are read apart.
fn connected() -> TcpStates {
    TcpStates::of(&[
        TcpState::Established,
        TcpState::SynSent,
        TcpState::SynRecv,
        TcpState::FinWait1,
        TcpState::FinWait2,
        TcpState::TimeWait,
        TcpState::CloseWait,
        TcpState::LastAck,
        TcpState::Closing,
        TcpState::NewSynRecv,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_share_an_address_are_one_listener() {
        let socket = |queue, drops, inode| TcpListening {
            address: "0.0.0.0:80".parse().unwrap(),
            v6only: false,
            queue,
            backlog: 511,
            uid: 0,
            inode,
            cgroup: None,
            drops,
        };
        let all = merged(&[socket(1, 2, 10), socket(5, 0, 11), socket(3, 4, 12)]);
        let (listener, sample) = &all[0];
        assert_eq!((all.len(), sample.sockets().len()), (1, 3));
        assert_eq!((listener.queue, listener.drops), (5, Some(6)));
    }
}
