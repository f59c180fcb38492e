//! TCP sockets by where they lead, from which port, and in which state.

use super::{Complete, DiagError, dump};
use crate::socket::TcpState;
use crate::wire::inet_diag::{self, Filter, INET_DIAG_REQ_BYTECODE, InetSocket, Memory};
use lasthop_ports::PortRange;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The number of the timer that runs in TIME_WAIT (`inet_twsk_diag_fill` in net/ipv4/inet_diag.c).
const TIMER_TIME_WAIT: u8 = 3;

/// Which sockets to list: those for which all of it holds. The kernel does the choosing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpFilter {
    /// Where they lead, or anywhere and nowhere.
    pub destination: Option<Destination>,
    /// The ports they may have at this end, or any. One port is a range from it to itself.
    pub local_ports: Option<PortRange>,
    /// Their states.
    pub states: TcpStates,
}

/// Where connections lead: a network and perhaps a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Destination {
    /// An address, of which the first `prefix` bits count.
    pub network: IpAddr,
    /// How many bits count; more than the address has are all of them.
    pub prefix: u8,
    /// The port, or any.
    pub port: Option<u16>,
}

impl From<SocketAddr> for Destination {
    /// This address and this port.
    fn from(address: SocketAddr) -> Self {
        let network = address.ip().to_canonical();
        Self {
            network,
            prefix: if network.is_ipv4() { 32 } else { 128 },
            port: Some(address.port()),
        }
    }
}

impl Destination {
    /// An IPv4 network that is written as one of mapped IPv6 addresses is an IPv4 network.
    fn canonical(self) -> Self {
        const MAPPED_BITS: u8 = 96;
        match (self.network, self.network.to_canonical()) {
            (IpAddr::V6(_), network @ IpAddr::V4(_)) if self.prefix >= MAPPED_BITS => Self {
                network,
                prefix: self.prefix - MAPPED_BITS,
                port: self.port,
            },
            _ => self,
        }
    }
}

/// A set of states. By default all but [`TcpState::BoundInactive`], which has to be asked for by name and costs a walk
/// over another table.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcpStates(u32);

impl TcpStates {
    /// Those of a set.
    #[must_use]
    pub fn of(states: &[TcpState]) -> Self {
        states.iter().fold(Self(0), |set, state| set.with(*state))
    }

    /// This set and one more. States above 31, which no kernel has, are in no set.
    #[must_use]
    pub const fn with(self, state: TcpState) -> Self {
        match 1u32.checked_shl(state.number() as u32) {
            Some(bit) => Self(self.0 | bit),
            None => self,
        }
    }

    /// Whether a state is in the set.
    #[must_use]
    pub const fn contains(self, state: TcpState) -> bool {
        match 1u32.checked_shl(state.number() as u32) {
            Some(bit) => self.0 & bit != 0,
            None => false,
        }
    }
}

impl Default for TcpStates {
    fn default() -> Self {
        (1..=TcpState::NewSynRecv.number()).fold(Self(0), |set, state| set.with(state.into()))
    }
}

impl fmt::Debug for TcpStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states = (0..32).map(TcpState::from);
        f.debug_set()
            .entries(states.filter(|state| self.contains(*state)))
            .finish()
    }
}

/// A TCP socket, or what is left of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpEntry {
    /// Where it stands.
    pub state: TcpState,
    /// This end. An IPv4 address is one also where a program speaks IPv4 over a socket of IPv6.
    pub local: SocketAddr,
    /// The other end, likewise; unspecified with port 0 where there is none.
    pub peer: SocketAddr,
    /// Of one without a descriptor, in TIME_WAIT or FIN_WAIT2: how long the kernel keeps it.
    pub time_wait_left: Option<Duration>,
    /// Bytes waiting to be read; of a listener, connections waiting to be accepted.
    pub receive_queue: u32,
    /// Bytes not acknowledged by the peer; of a listener, its backlog.
    pub send_queue: u32,
    /// The user who made it; 0 where no descriptor belongs to it any more.
    pub uid: u32,
    /// The inode by which [`owner::of`](crate::owner::of) finds the process; 0 where no descriptor belongs to it.
    pub inode: u64,
    /// The cgroup of the process that made it: the inode of its directory in the tree of version 2. Told since Linux 5.7;
    /// not of TIME_WAIT, nor of one whose handshake is under way.
    pub cgroup: Option<u64>,
}

impl From<InetSocket> for TcpEntry {
    fn from(socket: InetSocket) -> Self {
        let time_wait = socket.timer == TIMER_TIME_WAIT;
        Self {
            // A socket that is not connected is told as closed; it is listed because it is bound.
            state: match TcpState::from(socket.state) {
                TcpState::Close => TcpState::BoundInactive,
                state => state,
            },
            local: socket.local,
            peer: socket.peer,
            time_wait_left: time_wait.then(|| Duration::from_millis(socket.expires_ms.into())),
            receive_queue: socket.receive_queue,
            send_queue: socket.send_queue,
            uid: socket.uid,
            inode: socket.inode.into(),
            cgroup: socket.cgroup,
        }
    }
}

/// Has `visit` see the TCP sockets that pass `filter`, in no order. Those that come or go meanwhile may or may not be
/// seen.
///
/// The kernel walks its whole table, whatever is asked, and copies out what passes. With 44,000 connections held (Linux
/// 6.18, in a virtual machine, 262,144 buckets): 8 ms where none passes, 11 ms for 8,800, 18 ms for all, with their cgroups
/// (`cargo run --release -p lasthop-kernel --example kernel_costs`).
///
/// # Errors
/// [`DiagError`]; some may have been visited before it.
pub fn tcp(filter: &TcpFilter, mut visit: impl FnMut(TcpEntry)) -> Result<Complete, DiagError> {
    let mut program = Filter::default();
    if let Some(range) = filter.local_ports {
        program.local_ports(range.first()..=range.last());
    }
    let destination = filter.destination.map(Destination::canonical);
    if let Some(Destination {
        network, prefix, ..
    }) = destination
    {
        program.peer(network, prefix);
    }
    let wanted = Wanted {
        states: filter.states.0,
        // A network of IPv6 that is shorter than the prefix of mapped addresses holds no IPv4 address that is not on a
        // socket of IPv6.
        ipv4: destination.is_none_or(|destination| destination.network.is_ipv4()),
        local_port: 0,
        peer_port: destination
            .and_then(|destination| destination.port)
            .unwrap_or(0),
        memory: Memory::Untold,
    };
    wanted.list(program, |socket| visit(socket.into()))
}

/// What is asked in the fixed part of the request. The port of a peer is compared before the filter runs.
pub(super) struct Wanted {
    pub(super) states: u32,
    /// Whether sockets of the family IPv4 can be among them. Those of IPv6 always can: with IPv4 addresses, mapped.
    pub(super) ipv4: bool,
    pub(super) local_port: u16,
    pub(super) peer_port: u16,
    pub(super) memory: Memory,
}

impl Wanted {
    pub(super) fn list(
        &self,
        filter: Filter,
        mut visit: impl FnMut(InetSocket),
    ) -> Result<Complete, DiagError> {
        let program = filter.finish();
        let attributes: Vec<(u16, &[u8])> = program
            .iter()
            .map(|program| (INET_DIAG_REQ_BYTECODE, program.as_slice()))
            .collect();
        let families = [libc::AF_INET, libc::AF_INET6];
        let mut complete = Complete::Yes;
        // A request for both families at once is not taken.
        for family in &families[usize::from(!self.ipv4)..] {
            let family = u8::try_from(*family).unwrap_or_default();
            let body = inet_diag::request(
                family,
                self.states,
                self.local_port,
                self.peer_port,
                self.memory,
            );
            complete = complete.and(dump(&body, &attributes, |payload| {
                if let Some(socket) = inet_diag::parse(payload) {
                    visit(socket);
                }
            })?);
        }
        Ok(complete)
    }
}

impl TcpStates {
    pub(super) const fn bits(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set = TcpStates::of(&[TcpState::Established, TcpState::TimeWait]);
        assert!(set.contains(TcpState::TimeWait) && !set.contains(TcpState::Listen));
        assert_eq!(format!("{set:?}"), "{Established, TimeWait}");
        assert_eq!(set.with(TcpState::Other(200)), set);
        assert!(!set.contains(TcpState::Other(200)));
        let usual = TcpStates::default();
        assert!(usual.contains(TcpState::Listen) && usual.contains(TcpState::NewSynRecv));
        assert!(!usual.contains(TcpState::BoundInactive));
    }

    #[test]
    fn a_mapped_destination_is_an_ipv4_destination() {
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:80".parse().unwrap();
        let plain: SocketAddr = "127.0.0.1:80".parse().unwrap();
        assert_eq!(Destination::from(mapped), Destination::from(plain));
        let network = |network: &str, prefix| Destination {
            network: network.parse().unwrap(),
            prefix,
            port: None,
        };
        let canonical = network("::ffff:127.0.0.0", 104).canonical();
        assert_eq!(canonical, network("127.0.0.0", 8));
        let short = network("::ffff:127.0.0.0", 90);
        assert_eq!(short.canonical(), short);
    }
}
