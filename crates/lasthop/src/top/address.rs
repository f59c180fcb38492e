//! Where the instance is, and what it wants to hear.
//!
//! Asked for by name, it is that one. Else it is the one that the configuration of this host describes, if that may be
//! read, and else the usual address, where nobody may be.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::config::address::AddressError;
use crate::config::{Admin, Config, DEFAULT_PATH, ListenAddress, Secret};

/// Where lasthop's documents put the admin address.
const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9180);

/// Where a token may stand that no command line shows.
pub const TOKEN_VARIABLE: &str = "LASTHOP_ADMIN_TOKEN";

/// Bytes of a token: those that `[admin]` allows.
const TOKEN_BYTES_MAX: u64 = 256;

/// An admin address as a client needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over a Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// What stands in `Host`.
    #[must_use]
    pub(super) fn host(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }

    /// As it is shown.
    #[must_use]
    pub(super) fn label(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// Whether who answers there is in the network namespace of who asks: a connection over loopback leaves none.
    #[must_use]
    pub(super) const fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => false,
        }
    }

    /// How to reach what listens there: nobody connects to "all addresses".
    fn of(listened: &ListenAddress) -> Self {
        match listened {
            ListenAddress::Unix { path, .. } => Self::Unix(path.clone()),
            ListenAddress::Tcp(address) => {
                let ip = match address.ip() {
                    IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                    ip => ip,
                };
                Self::Tcp(SocketAddr::new(ip, address.port()))
            }
        }
    }
}

/// An instance to ask.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Where.
    pub address: Address,
    /// What it wants to hear; none: nothing.
    pub token: Option<Secret>,
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// What was given is no address.
    #[error("--admin: {0}")]
    Address(#[from] AddressError),
    /// Port 0 is for listening.
    #[error("--admin: port 0 is for listening; give the port of the admin address")]
    PortZero,
    /// The file with the token cannot be read.
    #[error("--token-file: {path}: {source}")]
    TokenFile {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It is no token. Does not repeat it.
    #[error("{0} holds no token: that is 16 to 256 visible ASCII characters")]
    Token(String),
}

/// Where to ask. `admin` and `token_file` are what the command line says, `token` what the environment says, `config`
/// the configuration to look into.
///
/// # Errors
/// Where what was given makes no sense; that nobody was found is none.
pub(super) fn find(
    admin: Option<&str>,
    token_file: Option<&Path>,
    token: Option<String>,
    config: &Path,
) -> Result<Found, FindError> {
    let given = match (token_file, token) {
        (Some(path), _) => Some(read_token(path)?),
        (None, Some(token)) => Some(checked(token.trim(), TOKEN_VARIABLE)?),
        (None, None) => None,
    };
    if let Some(text) = admin {
        let listened: ListenAddress = text.parse()?;
        let address = Address::of(&listened);
        if matches!(&address, Address::Tcp(address) if address.port() == 0) {
            return Err(FindError::PortZero);
        }
        return Ok(Found {
            address,
            token: given,
        });
    }
    // One that cannot be read, or cannot serve, describes no instance.
    let configured: Option<Admin> = Config::from_file(config)
        .ok()
        .and_then(|config| config.admin);
    Ok(match configured {
        Some(admin) => Found {
            address: Address::of(&admin.address),
            token: given.or(admin.token),
        },
        None => Found {
            address: Address::Tcp(USUAL),
            token: given,
        },
    })
}

/// The configuration that `find` looks into but for tests.
#[must_use]
pub(super) fn usual_config() -> &'static Path {
    Path::new(DEFAULT_PATH)
}

fn read_token(path: &Path) -> Result<Secret, FindError> {
    let label = path.display().to_string();
    let mut text = String::new();
    let read = File::open(path)
        // One more than a token and its line end: what is longer is none.
        .and_then(|file| file.take(TOKEN_BYTES_MAX + 3).read_to_string(&mut text));
    match read {
        Ok(_) => checked(text.trim(), &label),
        Err(source) => Err(FindError::TokenFile {
            path: label,
            source,
        }),
    }
}

fn checked(token: &str, from: &str) -> Result<Secret, FindError> {
    let length = token.len() as u64;
    if (16..=TOKEN_BYTES_MAX).contains(&length) && token.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(Secret::from(token.to_owned()))
    } else {
        Err(FindError::Token(from.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: &str = "/nonexistent/lasthop.toml";

    fn found(admin: Option<&str>, token: Option<&str>) -> Result<Found, FindError> {
        find(admin, None, token.map(str::to_owned), Path::new(NOWHERE))
    }

    #[test]
    fn what_was_named_is_asked_and_else_the_usual_address() {
        for (admin, label, is_loopback) in [
            (None, "127.0.0.1:9180", true),
            (Some("127.0.0.9:1"), "127.0.0.9:1", true),
            (Some("[::1]:1"), "[::1]:1", true),
            (Some("0.0.0.0:7"), "127.0.0.1:7", true),
            (Some("10.0.0.1:7"), "10.0.0.1:7", false),
            (Some("unix:/run/l.sock"), "unix:/run/l.sock", false),
        ] {
            let found = found(admin, None).unwrap();
            assert_eq!(
                (found.address.label().as_str(), found.address.is_loopback()),
                (label, is_loopback)
            );
            assert!(found.token.is_none());
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_without_repeating_a_token() {
        assert!(
            found(Some("here"), None)
                .unwrap_err()
                .to_string()
                .starts_with("--admin: ")
        );
        assert!(matches!(
            found(Some("127.0.0.1:0"), None),
            Err(FindError::PortZero)
        ));
        let error = found(None, Some("short")).unwrap_err().to_string();
        assert!(
            error.contains(TOKEN_VARIABLE) && !error.contains("short"),
            "{error}"
        );
        let missing = find(
            None,
            Some(Path::new("/nonexistent")),
            None,
            Path::new(NOWHERE),
        );
        assert!(missing.unwrap_err().to_string().contains("/nonexistent"));
        assert!(
            found(None, Some("0123456789abcdef"))
                .unwrap()
                .token
                .is_some()
        );
    }
}
