//! Listening sockets: claimed, never stolen, and given back only if still ours.
//!
//! Makes them and refuses to, and takes connections from them when told; when to is the proxy's business. [`tcp`] opens one socket per worker on one address,
//! [`unix`] one socket file. Both refuse an address that something already serves, because the kernel by itself would
//! let two proxies share it in silence (TCP) or let the second cut off the first (a socket file).

mod accept;
mod guard;
mod holder;
mod path;
mod tcp;
mod unix;

#[cfg(test)]
mod tests;

pub use accept::{accept_tcp, accept_unix, is_out_of_descriptors};
pub use guard::ListenGuard;
pub use holder::Holder;
pub use path::PathClaim;
pub use tcp::{Sharing, TcpListeners, tcp};
pub use unix::{UnixListening, UnixPermissions, unix};

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A listener that could not be had. The messages name the address and what would help; the kernel's word, where there
/// is one, is the source.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Something serves this address.
    #[error(
        "{address} is already served{}",
        by.as_ref().map_or_else(String::new, |holder| format!(" by {holder}"))
    )]
    AlreadyServed {
        /// The address as an operator writes it.
        address: String,
        /// Who serves it, where that could be found out.
        by: Option<Holder>,
    },
    /// Another instance of lasthop serves this address and does not share it.
    #[error(
        "{address} is already served by {by}, which does not share its addresses: to share one, every instance must be told so"
    )]
    NotShared {
        /// The address as an operator writes it.
        address: String,
        /// The other instance.
        by: Holder,
    },
    /// A port below `net.ipv4.ip_unprivileged_port_start`, without the capability.
    #[error(
        "port {} needs a privilege: grant CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE), or lower net.ipv4.ip_unprivileged_port_start{}",
        address.port(),
        start.map_or_else(String::new, |start| format!(" (now {start})"))
    )]
    PrivilegedPort {
        /// The address asked for.
        address: SocketAddr,
        /// The first port that needs no privilege, where it could be read.
        start: Option<u32>,
        /// What the kernel said.
        source: io::Error,
    },
    /// The address is not one of this host's.
    #[error("this host has no address {}, so nothing can listen on {address}", address.ip())]
    NoSuchAddress {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something that is not a socket is in the way; it is left alone.
    #[error("{} is {kind} and not a socket; it is left as it is", path.display())]
    NotASocket {
        /// The path asked for.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// A socket is there and we cannot tell whether it is served.
    #[error(
        "{} is a socket, and whether something serves it could not be found out; it is left as it is",
        path.display()
    )]
    CannotTell {
        /// The path asked for.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The path cannot be the path of a socket.
    #[error("{} cannot be the path of a socket: {why}", path.display())]
    BadPath {
        /// The path asked for.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The directory of the socket is missing, or we may not write to it.
    #[error("no socket can be made in the directory {}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another process starts a listener in the same directory and does not come to an end.
    #[error(
        "the directory {} stays locked by another process that starts a listener in it",
        directory.display()
    )]
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// The owner, group or mode could not be given to the socket.
    #[error(
        "the socket {} cannot be given {what}: only root, or the owner within its own groups, may",
        path.display()
    )]
    Ownership {
        /// The path asked for.
        path: PathBuf,
        /// `the owner 33`, `mode 0660` and the like.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// No listening socket at all was asked for.
    #[error("no worker to listen for on {address}: at least one is needed")]
    NoWorker {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The host refused for another reason: descriptors, memory, a security module.
    #[error("{call} failed for {address}")]
    Host {
        /// The address as an operator writes it.
        address: String,
        /// The system call.
        call: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// listen(2) takes an `int` and clips it to `net.core.somaxconn`; so do we, to `int`.
fn backlog_int(backlog: u32) -> i32 {
    i32::try_from(backlog).unwrap_or(i32::MAX)
}
