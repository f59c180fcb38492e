//! What this kernel can do, found out by trying.
//!
//! Version numbers lie in both directions: distributions carry features back, and sandboxes take system calls away.

use crate::option::{IP_BIND_ADDRESS_NO_PORT, IP_LOCAL_PORT_RANGE, set_ip_option};
use crate::sysctl;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

/// The value of `IP_LOCAL_PORT_RANGE` that asks for ports 1 to 65535: low bound in the low half, high bound in the
/// high half. The kernel clamps it to the sysctl range at each connect, so it grants no port of its own and cannot go
/// stale; what it does (from 6.8) is keep the search for a free port flat while the range fills up.
pub(crate) const WHOLE_PORT_RANGE: u32 = 1 | (65_535 << 16);

/// Whether sockets take `IP_LOCAL_PORT_RANGE` (Linux 6.3). Tried on the first call and remembered, so call it once at
/// start; from then on it costs one load.
///
/// A try that fails for want of a descriptor or of memory says nothing about the kernel: it answers `false` this once
/// and is repeated on the next call.
#[must_use]
pub fn local_port_range_option() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    if let Some(answer) = ANSWER.get() {
        return *answer;
    }
    match Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)) {
        Ok(socket) => *ANSWER
            .get_or_init(|| set_ip_option(&socket, IP_LOCAL_PORT_RANGE, WHOLE_PORT_RANGE).is_ok()),
        Err(_) => false,
    }
}

/// Connections of the probe for [`flat_port_search`]. Each lands on either side by chance where the search is flat; in
/// the worst network, of ten ports of which the probe's listener takes one, a side is missed by all of them once in
/// ten million times.
const PORT_SEARCH_CONNECTIONS: u32 = 32;

/// Where the probe connects from and to: addresses of the loopback network that no app has a reason to use, so that
/// connections of others have not used up the ports between them.
const PROBE_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 83, 201, 2);
const PROBE_TARGET: Ipv4Addr = Ipv4Addr::new(127, 83, 201, 1);

/// Whether connect(2) on a socket with `IP_LOCAL_PORT_RANGE` looks for a free port over the whole range alike (Linux
/// 6.8), and not, as without the option, at every second port first and at the others only when those are used up:
/// there the second half of a range costs a walk over the whole first half for each connect.
///
/// Found out by up to 32 loopback connections, closed by reset, to a listener of its own: 0.1 to 0.2 ms where the answer
/// is yes, 1 ms where it is no. An answer is remembered, so call it once at start. Where nothing can be told (a range of one port, ports held by a
/// neighbour, no descriptors) it answers `false` this once.
#[must_use]
pub fn flat_port_search() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    if let Some(answer) = ANSWER.get() {
        return *answer;
    }
    if !local_port_range_option() {
        return false;
    }
    match try_port_search(true) {
        Ok(Some(flat)) => *ANSWER.get_or_init(|| flat),
        Ok(None) | Err(_) => false,
    }
}

/// Whether the search is flat, on sockets with `IP_LOCAL_PORT_RANGE` or without; `None` where that cannot be told.
fn try_port_search(option: bool) -> io::Result<Option<bool>> {
    let range = sysctl::local_port_range().map_err(io::Error::other)?;
    let listener = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    listener.bind(&SockAddr::from(SocketAddr::from((PROBE_TARGET, 0))))?;
    // Nobody accepts: those that wait have been reset already, and go with the listener. Where fewer may wait, the
    // others stay unanswered, which is all the same: a port is chosen before the first packet.
    listener.listen(32)?;
    let target = listener.local_addr()?;
    let mut sides = Sides::default();
    for _ in 0..PORT_SEARCH_CONNECTIONS {
        let port = port_towards(&target, option)?;
        sides.note(range.first(), port);
        if sides.flat() == Some(true) {
            break;
        }
    }
    Ok(sides.flat())
}

/// The port that the kernel chooses for one more connection, which is reset at once.
fn port_towards(target: &SockAddr, option: bool) -> io::Result<u16> {
    let socket = Socket::new(
        Domain::IPV4,
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    if option {
        set_ip_option(&socket, IP_LOCAL_PORT_RANGE, WHOLE_PORT_RANGE)?;
    }
    set_ip_option(&socket, IP_BIND_ADDRESS_NO_PORT, 1)?;
    socket.bind(&SockAddr::from(SocketAddr::from((PROBE_SOURCE, 0))))?;
    match socket.connect(target) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    // No TIME_WAIT is to stay behind.
    socket.set_linger(Some(Duration::ZERO))?;
    let local = socket.local_addr()?.as_socket();
    local
        .map(|address| address.port())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// On which side ports were found: as odd or even as the first port of the range, or the other.
#[derive(Debug, Default)]
struct Sides {
    first: u32,
    other: u32,
}

impl Sides {
    fn note(&mut self, first_port: u16, port: u16) {
        if port % 2 == first_port % 2 {
            self.first += 1;
        } else {
            self.other += 1;
        }
    }

    /// Both sides: flat. Only the first port's, throughout: that side is preferred. Only the other: a neighbour has
    /// the first one, and nothing can be told; nor can it from too few.
    fn flat(&self) -> Option<bool> {
        match (self.first, self.other) {
            (1.., 1..) => Some(true),
            (PORT_SEARCH_CONNECTIONS.., 0) => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::option::ip_option;

    #[test]
    fn the_probe_agrees_with_what_a_socket_reads_back() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let _ = set_ip_option(&socket, IP_LOCAL_PORT_RANGE, WHOLE_PORT_RANGE);
        assert_eq!(
            local_port_range_option(),
            ip_option(&socket, IP_LOCAL_PORT_RANGE).ok() == Some(WHOLE_PORT_RANGE)
        );
    }

    #[test]
    fn ipv6_sockets_take_the_option_of_the_ipv4_level() {
        let Ok(socket) = Socket::new(Domain::IPV6, Type::STREAM, None) else {
            crate::testing::skip("this kernel has no IPv6");
            return;
        };
        let set = set_ip_option(&socket, IP_LOCAL_PORT_RANGE, WHOLE_PORT_RANGE);
        assert_eq!(set.is_ok(), local_port_range_option());
    }

    #[test]
    fn without_the_option_every_second_port_comes_first_and_the_probe_sees_it() {
        assert_eq!(try_port_search(false).unwrap(), Some(false));
    }

    #[test]
    fn an_answer_stays_the_same() {
        let first = flat_port_search();
        assert!(!first || local_port_range_option());
        assert_eq!(flat_port_search(), first);
    }

    #[test]
    fn two_sides_are_flat_and_one_may_be_a_neighbours_doing() {
        let sides = |first, other| Sides { first, other }.flat();
        assert_eq!(sides(1, 1), Some(true));
        assert_eq!(sides(PORT_SEARCH_CONNECTIONS, 0), Some(false));
        assert_eq!(sides(0, PORT_SEARCH_CONNECTIONS), None);
        assert_eq!(sides(PORT_SEARCH_CONNECTIONS - 1, 0), None);
        assert_eq!(sides(0, 0), None);
    }
}
