//! The sockets of this host as the kernel lists them: who holds which tuple, who listens, whose queue is full.
//!
//! sock_diag(7), what ss(8) reads. Sees the network namespace of the calling thread and no other, needs no privilege,
//! and costs a walk over the kernel's tables: ask every few seconds and off the workers, never per request. A sandbox
//! may take it away ([`DiagError::Unavailable`]), so nothing may depend on it that cannot do without.

mod bound;
mod listeners;
mod tcp;
mod unix;

pub use crate::netlink::Complete;
pub use bound::{Hold, PORT_HOLDERS_MAX, PortHolder, PortHolders, bound};
pub use listeners::{LISTENERS_MAX, TcpListening, every_tcp_listener, tcp_listeners};
pub use tcp::{Destination, TcpEntry, TcpFilter, TcpStates, tcp};
pub use unix::{UnixEntry, UnixFile, UnixListening, unix_listener, unix_sockets};

use crate::netlink::{self, NetlinkError};
use std::io;

/// `SOCK_DIAG_BY_FAMILY` (linux/sock_diag.h): the kind of request and answer.
const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// The sockets of the host could not be listed: the host's doing.
#[derive(Debug, thiserror::Error)]
pub enum DiagError {
    /// The kernel was built without it, or a sandbox keeps it from us; asking again is of no use.
    #[error("this host does not let sockets be listed (sock_diag)")]
    Unavailable(#[source] io::Error),
    /// It failed this once: no memory, no descriptor, no answer in time.
    #[error("listing the sockets of this host (sock_diag) failed")]
    Failed(#[source] io::Error),
}

impl From<NetlinkError> for DiagError {
    fn from(error: NetlinkError) -> Self {
        let (NetlinkError::Socket(source) | NetlinkError::Answer(source)) = error;
        match source.raw_os_error() {
            Some(
                libc::EPROTONOSUPPORT
                | libc::EAFNOSUPPORT
                | libc::ENOENT
                | libc::EOPNOTSUPP
                | libc::ENOSYS
                | libc::EPERM
                | libc::EACCES,
            ) => Self::Unavailable(source),
            _ => Self::Failed(source),
        }
    }
}

fn dump(
    body: &[u8],
    attributes: &[(u16, &[u8])],
    visit: impl FnMut(&[u8]),
) -> Result<Complete, DiagError> {
    let protocol = libc::NETLINK_SOCK_DIAG;
    netlink::dump(protocol, SOCK_DIAG_BY_FAMILY, body, attributes, visit).map_err(DiagError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sandbox_says_is_told_from_a_failure() {
        let of = |errno| DiagError::from(NetlinkError::Socket(io::Error::from_raw_os_error(errno)));
        assert!(matches!(
            of(libc::EPROTONOSUPPORT),
            DiagError::Unavailable(_)
        ));
        assert!(matches!(of(libc::ENOENT), DiagError::Unavailable(_)));
        assert!(matches!(of(libc::EMFILE), DiagError::Failed(_)));
        assert!(matches!(of(libc::ENOBUFS), DiagError::Failed(_)));
    }
}
