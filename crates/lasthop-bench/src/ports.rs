//! Ports to listen on where the kernel takes no source ports from: a listener among them is a connection less to hold,
//! and the wall that is measured here is counted to the last port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use lasthop_kernel::sysctl;

/// The ports tried, less those of the range of source ports: above those of well-known services.
const FIRST: u16 = 10_000;
const LAST: u16 = u16::MAX;
/// The distance of two attempts, so that two harnesses beside each other part soon.
const STRIDE: u16 = 7;

/// What `bind` makes of a free port outside the range of source ports; with port 0 where no such port is to be had.
///
/// # Errors
/// Those of `bind`, but for a port that is taken.
pub(crate) fn outside_of_sources<T>(
    mut bind: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let sources = sysctl::local_port_range().ok();
    let count = LAST - FIRST;
    // Another beginning for each process.
    let begin = u16::try_from(std::process::id() % u32::from(count)).unwrap_or(0);
    for attempt in 0..count / STRIDE {
        let port = FIRST + begin.wrapping_add(attempt * STRIDE) % count;
        if sources.is_some_and(|range| range.contains(port)) {
            continue;
        }
        match bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// An address of 127.0.0.1 like that, which was free a moment ago.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    outside_of_sources(|address| TcpListener::bind(address)?.local_addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_takes_no_source_port() {
        let sources = sysctl::local_port_range().unwrap();
        let listener = outside_of_sources(TcpListener::bind).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!sources.contains(port), "{port}");
        // It is taken now, so the next is another.
        assert_ne!(free_address().unwrap().port(), port);
    }
}
