//! Opening the admin address: before any worker runs, so that a refused address is an error of the start.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::path::Path;

use lasthop_kernel::identity::{IdentityError, resolve_group, resolve_user};
use lasthop_kernel::listen::{
    self, ListenError, ListenGuard, Sharing, TcpListeners, UnixListening, UnixPermissions,
};

use super::authority::Names;
use super::gate::Gate;
use super::thread::{self, AdminThread};
use super::view::View;
use crate::config::{Admin, ListenAddress};

/// Connections that may wait to be accepted. As many as may be open: more are a mistake of somebody's.
const BACKLOG: u32 = 64;

/// An admin address that can be connected to, and that nobody answers on yet.
#[derive(Debug)]
pub struct OpenAdmin {
    listening: Listening,
    address: String,
    gate: Gate,
}

/// The listening socket, and what goes with it.
#[derive(Debug)]
pub(super) enum Listening {
    /// With what keeps other instances off the address.
    Tcp(TcpListener, ListenGuard),
    /// With its file.
    Unix(UnixListening),
}

/// The admin address cannot be opened: the operator's or the host's fault, told with what would help.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address itself.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The owner or group of the socket does not exist.
    #[error("cannot give the socket of the admin address away")]
    Identity(#[from] IdentityError),
}

/// Opens the address of `[admin]`. It is one instance's alone, also where the listeners are shared: two processes that
/// answer in turn would tell nonsense.
///
/// # Errors
/// [`OpenError`].
pub fn open(admin: &Admin) -> Result<OpenAdmin, OpenError> {
    let (listening, address, names) = match &admin.address {
        ListenAddress::Tcp(address) => {
            let TcpListeners {
                listeners,
                address,
                guard,
            } = listen::tcp(*address, 1, Sharing::Exclusive, BACKLOG)?;
            let listener = listeners.into_iter().next();
            let listener = listener.ok_or(ListenError::NoWorker { address })?;
            let names = Names::Local(admin.hosts.clone());
            (Listening::Tcp(listener, guard), address.to_string(), names)
        }
        ListenAddress::Unix {
            path,
            mode,
            owner,
            group,
        } => {
            let permissions = UnixPermissions {
                mode: *mode,
                owner: owner.as_deref().map(resolve_user).transpose()?,
                group: group.as_deref().map(resolve_group).transpose()?,
            };
            let listening = Listening::Unix(listen::unix(path, permissions, BACKLOG)?);
            (listening, unix_label(path), Names::Any)
        }
    };
    Ok(OpenAdmin {
        listening,
        address,
        gate: Gate {
            names,
            token: admin.token.clone(),
        },
    })
}

fn unix_label(path: &Path) -> String {
    format!("unix:{}", path.display())
}

impl OpenAdmin {
    /// Answers from now on, on a thread of its own.
    ///
    /// # Errors
    /// When the host refuses a thread or an event loop.
    pub fn start(self, view: View) -> io::Result<AdminThread> {
        thread::start(self.listening, self.gate, view)
    }
}

/// The address as it turned out, with the port that the kernel chose where 0 was asked for.
impl fmt::Display for OpenAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}
