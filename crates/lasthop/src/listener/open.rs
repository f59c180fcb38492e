//! Opening the configured addresses: all of them or none, before the first connection is taken.

use std::fmt;
use std::net::TcpListener;

use lasthop_kernel::identity::{IdentityError, resolve_group, resolve_user};
use lasthop_kernel::listen::{
    self, ListenError, ListenGuard, Sharing, TcpListeners, UnixListening, UnixPermissions,
};

use crate::config::{ListenAddress, Listener};

/// Connections that may wait to be accepted, per listening socket; the kernel clips it to
/// `net.core.somaxconn` (4096 by default since Linux 5.4).
pub(super) const BACKLOG: u32 = 4096;

/// A listener that clients can connect to from now on.
#[derive(Debug)]
pub struct OpenListener {
    /// Its settings.
    pub settings: Listener,
    /// Its sockets.
    pub sockets: Sockets,
    /// The address as it turned out, with the port that the kernel chose where 0 was asked for.
    pub address: String,
}

/// The listening sockets of one address.
#[derive(Debug)]
pub enum Sockets {
    /// One for each worker, and what keeps other instances off the address.
    Tcp(Vec<TcpListener>, ListenGuard),
    /// One for all, and its file.
    Unix(UnixListening),
}

/// An address could not be opened: the operator's or the host's fault, told with what would help.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address itself.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The owner or group of a Unix socket does not exist.
    #[error("cannot give the socket of listener `{listener}` away")]
    Identity {
        /// Its name.
        listener: String,
        /// Who does not exist.
        source: IdentityError,
    },
}

impl fmt::Display for OpenListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)?;
        // A listener without a name of its own is called by the address it was given.
        if self.settings.name == self.settings.address.label() {
            return Ok(());
        }
        write!(f, " ({})", self.settings.name)
    }
}

/// Opens `listener` for `workers` workers.
///
/// # Errors
/// [`OpenError`]; an address that something else serves is never shared silently.
pub fn open(listener: &Listener, workers: usize, share: bool) -> Result<OpenListener, OpenError> {
    let sharing = if share {
        Sharing::Shared
    } else {
        Sharing::Exclusive
    };
    let (sockets, address) = match &listener.address {
        ListenAddress::Tcp(address) => {
            let TcpListeners {
                listeners,
                address,
                guard,
            } = listen::tcp(*address, workers, sharing, BACKLOG)?;
            (Sockets::Tcp(listeners, guard), address.to_string())
        }
        ListenAddress::Unix {
            path,
            mode,
            owner,
            group,
        } => {
            let unknown = |source| OpenError::Identity {
                listener: listener.name.clone(),
                source,
            };
            let permissions = UnixPermissions {
                mode: *mode,
                owner: owner
                    .as_deref()
                    .map(resolve_user)
                    .transpose()
                    .map_err(unknown)?,
                group: group
                    .as_deref()
                    .map(resolve_group)
                    .transpose()
                    .map_err(unknown)?,
            };
            let listening = listen::unix(path, permissions, BACKLOG)?;
            (Sockets::Unix(listening), format!("unix:{}", path.display()))
        }
    };
    Ok(OpenListener {
        settings: listener.clone(),
        sockets,
        address,
    })
}
