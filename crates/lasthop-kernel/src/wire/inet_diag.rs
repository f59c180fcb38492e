//! TCP sockets as sock_diag tells them, and the filter it takes (linux/inet_diag.h, sock_diag(7)).
//!
//! The filter is a program of conditional jumps that the kernel runs over each socket (`inet_diag_bc_run` in
//! net/ipv4/inet_diag.c), so that only what is asked for is copied out. Here all of its conditions must hold: each goes
//! on to the next, or jumps past the end, which means no.

use super::netlink::Attributes;
use super::{array, u32_at};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

/// `struct inet_diag_msg`, before its attributes.
const RECORD_BYTES: usize = 72;
/// `struct inet_diag_req_v2`.
const REQUEST_BYTES: usize = 56;
/// The attribute of a request that carries the filter.
pub const INET_DIAG_REQ_BYTECODE: u16 = 1;

const INET_DIAG_SKMEMINFO: u16 = 7;
const INET_DIAG_SKV6ONLY: u16 = 11;
const INET_DIAG_CGROUP_ID: u16 = 21;
const INET_DIAG_SOCKOPT: u16 = 22;

/// Where the count of drops stands among the numbers of `INET_DIAG_SKMEMINFO` (`SK_MEMINFO_DROPS`,
/// linux/sock_diag.h).
const SK_MEMINFO_DROPS: usize = 8;

const INET_DIAG_BC_JMP: u8 = 1;
const INET_DIAG_BC_AUTO: u8 = 6;
const INET_DIAG_BC_S_GE: u8 = 2;
const INET_DIAG_BC_S_LE: u8 = 3;
const INET_DIAG_BC_D_COND: u8 = 8;

/// A TCP socket, or what is left of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InetSocket {
    /// The kernel's number of its state.
    pub state: u8,
    /// Which timer runs: 3 is that of TIME_WAIT.
    pub timer: u8,
    /// What is left of that timer, in milliseconds.
    pub expires_ms: u32,
    /// Its own end, canonical: an IPv4 address is one, also on a socket of IPv6.
    pub local: SocketAddr,
    /// The other end, canonical; unspecified where there is none.
    pub peer: SocketAddr,
    /// Bytes waiting to be read; of a listener connections waiting to be accepted.
    pub receive_queue: u32,
    /// Bytes not acknowledged; of a listener its backlog.
    pub send_queue: u32,
    /// The user who made it.
    pub uid: u32,
    /// The inode by which /proc/PID/fd knows it; 0 where no descriptor belongs to it any more.
    pub inode: u32,
    /// Whether a socket of IPv6 takes IPv6 alone; told of those that listen or are not connected.
    pub v6only: Option<bool>,
    /// Whether `IP_BIND_ADDRESS_NO_PORT` was set (told since Linux 5.14; not of TIME_WAIT).
    pub no_port: Option<bool>,
    /// The cgroup of the process that made it, of version 2 (told since Linux 5.7).
    pub cgroup: Option<u64>,
    /// How often it has dropped something, of a listener connections; told where the request asks for memory.
    pub drops: Option<u32>,
}

/// Reads one record; `None` where it is cut or of a family other than IPv4 and IPv6.
#[must_use]
pub fn parse(payload: &[u8]) -> Option<InetSocket> {
    let family = i32::from(*payload.first()?);
    let mut socket = InetSocket {
        state: *payload.get(1)?,
        timer: *payload.get(2)?,
        expires_ms: u32_at(payload, 52)?,
        local: end(payload, family, 4, 8)?,
        peer: end(payload, family, 6, 24)?,
        receive_queue: u32_at(payload, 56)?,
        send_queue: u32_at(payload, 60)?,
        uid: u32_at(payload, 64)?,
        inode: u32_at(payload, 68)?,
        v6only: None,
        no_port: None,
        cgroup: None,
        drops: None,
    };
    for (kind, value) in Attributes::new(payload.get(RECORD_BYTES..)?) {
        match (kind, value) {
            (INET_DIAG_SKV6ONLY, [only, ..]) => socket.v6only = Some(*only != 0),
            (INET_DIAG_SOCKOPT, [_, second, ..]) => {
                // The first bit field of the second byte of `struct inet_diag_sockopt`.
                let bit = if cfg!(target_endian = "little") {
                    1
                } else {
                    0x80
                };
                socket.no_port = Some(second & bit != 0);
            }
            (INET_DIAG_CGROUP_ID, value) => {
                socket.cgroup = array(value, 0).map(u64::from_ne_bytes);
            }
            (INET_DIAG_SKMEMINFO, value) => {
                socket.drops = u32_at(value, SK_MEMINFO_DROPS * size_of::<u32>());
            }
            _ => {}
        }
    }
    Some(socket)
}

/// An address and a port of `struct inet_diag_sockid`.
fn end(payload: &[u8], family: i32, port_at: usize, address_at: usize) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(array(payload, port_at)?);
    let address = match family {
        libc::AF_INET => IpAddr::from(Ipv4Addr::from(array::<4>(payload, address_at)?)),
        libc::AF_INET6 => Ipv6Addr::from(array::<16>(payload, address_at)?).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// Whether a request asks for counts of memory and of drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// It does.
    Told,
    /// It does not.
    Untold,
}

/// The fixed part of a request for TCP sockets of one address family; a port of 0 is any. `states` has a bit for each
/// of the kernel's numbers. With `memory` each socket comes with its counts of memory and of drops, which costs a lock
/// and forty bytes each.
#[must_use]
pub fn request(
    family: u8,
    states: u32,
    local_port: u16,
    peer_port: u16,
    memory: Memory,
) -> Vec<u8> {
    let protocol = u8::try_from(libc::IPPROTO_TCP).unwrap_or_default();
    let extensions = match memory {
        // The bits count from the first attribute, which is number 1.
        Memory::Told => 1 << (INET_DIAG_SKMEMINFO - 1),
        Memory::Untold => 0,
    };
    let mut body = vec![family, protocol, extensions, 0];
    body.extend_from_slice(&states.to_ne_bytes());
    body.extend_from_slice(&local_port.to_be_bytes());
    body.extend_from_slice(&peer_port.to_be_bytes());
    body.resize(REQUEST_BYTES, 0);
    body
}

/// Conditions that must hold all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    conditions: Vec<Condition>,
}

/// One or two operations with their arguments, without the jumps past the end.
#[derive(Debug, Clone)]
struct Condition {
    bytes: Vec<u8>,
    /// Where the operation begins that leads past the end.
    refuses_at: usize,
}

impl Condition {
    /// A single operation and its argument; whoever passes goes on behind it.
    fn new(operation: u8, argument: &[u8]) -> Self {
        let mut bytes = vec![operation, 0, 0, 0];
        bytes.extend_from_slice(argument);
        bytes[1] = u8::try_from(bytes.len()).unwrap_or_default();
        Self {
            bytes,
            refuses_at: 0,
        }
    }
}

impl Filter {
    /// The local port lies in the range.
    pub fn local_ports(&mut self, range: RangeInclusive<u16>) {
        for (operation, port) in [
            (INET_DIAG_BC_S_GE, *range.start()),
            (INET_DIAG_BC_S_LE, *range.end()),
        ] {
            // The argument is a whole operation of which only the last field counts.
            let [low, high] = port.to_ne_bytes();
            self.conditions
                .push(Condition::new(operation, &[0, 0, low, high]));
        }
    }

    /// The peer's address begins with the first `prefix` bits of `network`. An IPv4 network is found on sockets of
    /// IPv6 as well: the kernel compares it with the last four bytes of an address that is mapped.
    pub fn peer(&mut self, network: IpAddr, prefix: u8) {
        const ANY_PORT: i32 = -1;
        let (family, address) = match network {
            IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
            IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
        };
        let bits = u8::try_from(address.len() * 8).unwrap_or(u8::MAX);
        let family = u8::try_from(family).unwrap_or_default();
        // `struct inet_diag_hostcond`, with the padding before its port.
        let mut argument = vec![family, prefix.min(bits), 0, 0];
        argument.extend_from_slice(&ANY_PORT.to_ne_bytes());
        argument.extend_from_slice(&address);
        self.conditions
            .push(Condition::new(INET_DIAG_BC_D_COND, &argument));
    }

    /// The port was named in bind(2), not chosen by the kernel (`SOCK_BINDPORT_LOCK`).
    pub fn port_by_bind(&mut self) {
        // The kernel asks the opposite. Whose port was chosen goes on to a jump past the end; others skip that jump.
        let [low, high] = 8u16.to_ne_bytes();
        self.conditions.push(Condition {
            bytes: vec![INET_DIAG_BC_AUTO, 4, low, high, INET_DIAG_BC_JMP, 4, 0, 0],
            refuses_at: 4,
        });
    }

    /// The program, or `None` where nothing is asked.
    #[must_use]
    pub fn finish(self) -> Option<Vec<u8>> {
        /// One operation past the end is how the kernel is told no.
        const PAST_THE_END: usize = 4;
        let mut left: usize = self.conditions.iter().map(|one| one.bytes.len()).sum();
        let mut program = Vec::with_capacity(left);
        for Condition {
            mut bytes,
            refuses_at,
        } in self.conditions
        {
            let no = u16::try_from(left - refuses_at + PAST_THE_END).ok()?;
            left -= bytes.len();
            bytes[refuses_at + 2..refuses_at + 4].copy_from_slice(&no.to_ne_bytes());
            program.append(&mut bytes);
        }
        (!program.is_empty()).then_some(program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::maim;

    /// A record as the kernel writes it, with four attributes.
    fn record(family: i32, address: &[u8]) -> Vec<u8> {
        let mut bytes = vec![u8::try_from(family).unwrap(), 6, 3, 0];
        bytes.extend_from_slice(&[0x9c, 0x40, 0x00, 0x50]);
        for _ in 0..2 {
            bytes.extend_from_slice(address);
            bytes.resize(bytes.len() + 16 - address.len(), 0);
        }
        bytes.resize(52, 0);
        for field in [59_000u32, 1, 2, 1000, 4711] {
            bytes.extend_from_slice(&field.to_ne_bytes());
        }
        bytes.extend_from_slice(&[5, 0, 11, 0, 1, 0, 0, 0, 6, 0, 22, 0, 0, 1, 0, 0]);
        bytes.extend_from_slice(&[12, 0, 21, 0]);
        bytes.extend_from_slice(&0x1_0000_2a2a_u64.to_ne_bytes());
        bytes.extend_from_slice(&[40, 0, 7, 0]);
        for number in 0..9u32 {
            bytes.extend_from_slice(&(number * 11).to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn a_record_is_read_whole() {
        let socket = parse(&record(libc::AF_INET, &[127, 0, 0, 1])).unwrap();
        assert_eq!(socket.local.to_string(), "127.0.0.1:40000");
        assert_eq!(socket.peer.to_string(), "127.0.0.1:80");
        assert_eq!(
            (socket.state, socket.timer, socket.expires_ms),
            (6, 3, 59_000)
        );
        assert_eq!((socket.receive_queue, socket.send_queue), (1, 2));
        assert_eq!((socket.uid, socket.inode), (1000, 4711));
        assert_eq!(socket.v6only, Some(true));
        assert_eq!(
            (socket.cgroup, socket.drops),
            (Some(0x1_0000_2a2a), Some(88))
        );
        if cfg!(target_endian = "little") {
            assert_eq!(socket.no_port, Some(true));
        }
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
        let socket = parse(&record(libc::AF_INET6, &mapped)).unwrap();
        assert_eq!(socket.peer.to_string(), "127.0.0.1:80");
        assert_eq!(parse(&record(libc::AF_UNIX, &[0; 16])), None);
    }

    #[test]
    fn a_record_that_is_cut_or_maimed_is_none_or_something_else() {
        let whole = record(libc::AF_INET, &[127, 0, 0, 1]);
        maim(&whole, |bytes| {
            assert_eq!(
                parse(bytes).is_none(),
                bytes.len() < RECORD_BYTES || ![2, 10].contains(&bytes[0])
            );
        });
    }

    #[test]
    fn the_jumps_of_a_filter_lead_to_the_next_condition_or_past_the_end() {
        let mut filter = Filter::default();
        filter.local_ports(1..=2);
        filter.peer(IpAddr::from([127, 0, 0, 1]), 99);
        filter.port_by_bind();
        let program = filter.finish().unwrap();
        let mut at = 0;
        let mut refusals = Vec::new();
        while at < program.len() {
            let no = usize::from(u16::from_ne_bytes([program[at + 2], program[at + 3]]));
            refusals.push(at + no - program.len());
            at += usize::from(program[at + 1]);
        }
        assert_eq!(at, program.len());
        assert_eq!(refusals, [4, 4, 4, 0, 4]);
        assert_eq!(
            program[16 + 5],
            32,
            "a prefix is no longer than its address"
        );
        assert_eq!(Filter::default().finish(), None);
    }
}
