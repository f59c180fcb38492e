//! Where something listens: TCP, a Unix socket file, or an abstract Unix name, spelled as lasthop spells it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use socket2::{Domain, SockAddr, Socket, Type};

/// A place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// `127.0.0.1:3000`
    Tcp(SocketAddr),
    /// `unix:/path`
    Unix(PathBuf),
    /// `unix:@name`
    Abstract(String),
}

impl Address {
    /// Reads what lasthop prints and takes.
    pub(crate) fn parse(text: &str) -> Self {
        if let Some(name) = text.strip_prefix("unix:@") {
            return Self::Abstract(name.to_owned());
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return Self::Unix(PathBuf::from(path));
        }
        Self::Tcp(
            text.parse()
                .unwrap_or_else(|_| panic!("{text:?} is no address")),
        )
    }

    pub(crate) fn sock_addr(&self) -> SockAddr {
        match self {
            Self::Tcp(address) => SockAddr::from(*address),
            Self::Unix(path) => SockAddr::unix(path).expect("a path that fits into sun_path"),
            Self::Abstract(name) => {
                SockAddr::unix(format!("\0{name}")).expect("a name that fits into sun_path")
            }
        }
    }

    /// A new blocking stream socket of this family.
    pub(crate) fn socket(&self) -> Socket {
        let domain = match self {
            Self::Tcp(address) => Domain::for_address(*address),
            Self::Unix(_) | Self::Abstract(_) => Domain::UNIX,
        };
        Socket::new(domain, Type::STREAM, None).expect("a socket")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
        }
    }
}
