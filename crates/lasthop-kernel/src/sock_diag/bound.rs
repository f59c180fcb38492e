//! Who keeps ports from connect(2): the neighbour that poisons them, by name.
//!
//! A port that was taken by bind(2) and without `IP_BIND_ADDRESS_NO_PORT` is given to no connection that leaves the
//! choice to the kernel, whatever their addresses (`__inet_hash_connect` in net/ipv4/inet_hashtables.c). The kernel
//! does not tell how a port was taken, so that for connected sockets it is concluded: see [`Hold::AddressBound`].

use super::tcp::{TcpStates, Wanted};
use super::{Complete, DiagError};
use crate::route;
use crate::socket::TcpState;
use crate::wire::inet_diag::{Filter, InetSocket, Memory};
use lasthop_ports::PortRange;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Holders that [`bound`] tells at most: enough to see a pattern, few enough to look up who they are.
pub const PORT_HOLDERS_MAX: usize = 64;

/// Routes that are looked up at most; whoever leads to more places is not told for want of knowing better.
const ROUTES_MAX: usize = 64;

/// How a socket holds its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hold {
    /// Bound, and neither connected nor listening. Listed since Linux 6.8.
    Bound,
    /// Connected from a port that it named in bind(2).
    PortBound,
    /// Connected from an address that it named in bind(2), with a port that the kernel chose there and then.
    /// Concluded: it is alone on its port, has not set `IP_BIND_ADDRESS_NO_PORT`, and comes from another address than
    /// the kernel would have chosen. One that names the very address that the kernel chooses goes unseen. Told since
    /// Linux 5.14.
    AddressBound,
    /// Listens.
    Listening,
}

/// A socket that holds a port in a way that keeps it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortHolder {
    /// In which way.
    pub hold: Hold,
    /// Its address and the port.
    pub local: SocketAddr,
    /// Where it leads, if anywhere.
    pub peer: Option<SocketAddr>,
    /// The user who made it.
    pub uid: u32,
    /// The inode by which [`owner::of`](crate::owner::of) finds the process.
    pub inode: u64,
}

/// Some of those who hold ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortHolders {
    /// At most [`PORT_HOLDERS_MAX`]: those bound come first, those that listen last.
    pub sample: Vec<PortHolder>,
    /// How many sockets there are in all, in the sample or not.
    pub sockets: u32,
    /// Whether the listing is of one moment.
    pub complete: Complete,
}

impl PortHolders {
    fn note(&mut self, hold: Hold, socket: &InetSocket) {
        self.sockets = self.sockets.saturating_add(1);
        if self.sample.len() < PORT_HOLDERS_MAX {
            self.sample.push(PortHolder {
                hold,
                local: socket.local,
                peer: (socket.peer.port() != 0).then_some(socket.peer),
                uid: socket.uid,
                inode: socket.inode.into(),
            });
        }
    }
}

/// Sockets that keep ports of `range` from connections whose port the kernel chooses: bound ones, listeners, and
/// connections that came about by a plain bind(2).
///
/// Walks the kernel's tables several times, which is for a diagnosis and not for every few seconds: 55 ms with 44,000
/// connections held. Remembers 64 KiB meanwhile.
///
/// # Errors
/// [`DiagError`].
pub fn bound(range: PortRange) -> Result<PortHolders, DiagError> {
    let mut holders = PortHolders {
        sample: Vec::new(),
        sockets: 0,
        complete: Complete::Yes,
    };
    let mut users = Users::new();
    let inactive = TcpStates::of(&[TcpState::BoundInactive]);
    holders.complete = list(inactive, range, false, |socket| {
        holders.note(Hold::Bound, &socket);
    })?;
    let mut listeners = Vec::new();
    let mut listening = 0;
    let complete = list(TcpStates::of(&[TcpState::Listen]), range, false, |socket| {
        users.set_explained(socket.local.port());
        listening += 1;
        if listeners.len() < PORT_HOLDERS_MAX {
            listeners.push(socket);
        }
    })?;
    holders.complete = holders.complete.and(complete);

    let complete = list(connected(), range, true, |socket| {
        users.set_explained(socket.local.port());
        if socket.inode != 0 {
            holders.note(Hold::PortBound, &socket);
        }
    })?;
    holders.complete = holders.complete.and(complete);
    let complete = address_bound(range, &mut users, &mut holders)?;
    holders.complete = holders.complete.and(complete);

    let told = listeners.len();
    for socket in &listeners {
        holders.note(Hold::Listening, socket);
    }
    let untold = u32::try_from(listening - told).unwrap_or(u32::MAX);
    holders.sockets = holders.sockets.saturating_add(untold);
    Ok(holders)
}

/// Two passes: the first finds out which ports are shared, the second takes those that are not. One pass would have to
/// remember a socket for each port.
fn address_bound(
    range: PortRange,
    users: &mut Users,
    holders: &mut PortHolders,
) -> Result<Complete, DiagError> {
    let first = list(connected(), range, false, |socket| {
        users.add(socket.local.port());
    })?;
    let mut routes = Routes::default();
    let second = list(connected(), range, false, |socket| {
        if socket.inode != 0
            && socket.no_port == Some(false)
            && users.is_alone(socket.local.port())
            && routes.chooses_another(&socket)
        {
            holders.note(Hold::AddressBound, &socket);
        }
    })?;
    Ok(first.and(second))
}

/// Every state in which a connection has a port, also after its descriptor is gone.
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
    ])
}

fn list(
    states: TcpStates,
    range: PortRange,
    port_by_bind: bool,
    visit: impl FnMut(InetSocket),
) -> Result<Complete, DiagError> {
    let mut filter = Filter::default();
    filter.local_ports(range.first()..=range.last());
    if port_by_bind {
        filter.port_by_bind();
    }
    let wanted = Wanted {
        states: states.bits(),
        ipv4: true,
        local_port: 0,
        peer_port: 0,
        memory: Memory::Untold,
    };
    wanted.list(filter, visit)
}

/// How many connections use each port, up to two.
struct Users(Vec<u8>);

impl Users {
    const SHARED: u8 = 2;

    fn new() -> Self {
        Self(vec![0; usize::from(u16::MAX) + 1])
    }

    fn add(&mut self, port: u16) {
        let users = &mut self.0[usize::from(port)];
        *users = (*users + 1).min(Self::SHARED);
    }

    /// That the port is taken is no riddle: it counts as shared.
    fn set_explained(&mut self, port: u16) {
        self.0[usize::from(port)] = Self::SHARED;
    }

    fn is_alone(&self, port: u16) -> bool {
        self.0[usize::from(port)] == 1
    }
}

/// Which source address the kernel chooses to where, asked once each.
#[derive(Default)]
struct Routes(HashMap<IpAddr, Option<IpAddr>>);

impl Routes {
    /// Whether the kernel would have chosen another address than the socket has; `false` where that is not known.
    fn chooses_another(&mut self, socket: &InetSocket) -> bool {
        let destination = socket.peer.ip();
        if self.0.len() >= ROUTES_MAX && !self.0.contains_key(&destination) {
            return false;
        }
        let chosen = self
            .0
            .entry(destination)
            .or_insert_with(|| route::to(destination).ok().and_then(|route| route.source));
        chosen.is_some_and(|chosen| chosen != socket.local.ip())
    }
}
