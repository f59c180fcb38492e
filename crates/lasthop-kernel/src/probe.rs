//! What this kernel can do, found out by trying.
//!
//! Version numbers lie in both directions: distributions carry features back, and sandboxes take system calls away.

use crate::option::{IP_LOCAL_PORT_RANGE, set_ip_option};
use socket2::{Domain, Protocol, Socket, Type};
use std::sync::OnceLock;

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
}
