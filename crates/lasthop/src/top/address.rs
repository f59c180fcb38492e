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
    /// No address was named that it is for.
    #[error(
        "--token-file: name the address that the token is for with --admin; {0} is only a guess"
    )]
    TokenForNobody(String),
    /// It is no token. Does not repeat it.
    #[error("{0} holds no token: that is 16 to 256 visible ASCII characters")]
    Token(String),
}

/// What is known before anybody is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    /// The address that the command line names.
    pub admin: Option<&'a str>,
    /// The file with a token that it names.
    pub token_file: Option<&'a Path>,
    /// The token that the environment tells.
    pub token: Option<&'a str>,
    /// The configuration to look into.
    pub config: &'a Path,
    /// Whether the instance is in another network namespace, where the configuration need not be that of who listens.
    pub is_elsewhere: bool,
}

/// Where to ask. A token is only for an address that was named for it, by the command line or, here, by the
/// configuration: whoever listens at a guessed one would learn it.
///
/// # Errors
/// Where what was given makes no sense; that nobody was found is none.
pub(super) fn find(given: &Given<'_>) -> Result<Found, FindError> {
    let token = match (given.token_file, given.token) {
        (Some(path), _) => Some(read_token(path)?),
        (None, Some(token)) => Some(checked(token.trim(), TOKEN_VARIABLE)?),
        (None, None) => None,
    };
    if let Some(text) = given.admin {
        let listened: ListenAddress = text.parse()?;
        let address = Address::of(&listened);
        if matches!(&address, Address::Tcp(address) if address.port() == 0) {
            return Err(FindError::PortZero);
        }
        return Ok(Found { address, token });
    }
    // One that cannot be read, or cannot serve, describes no instance.
    let configured: Option<Admin> = Config::from_file(given.config)
        .ok()
        .and_then(|config| config.admin);
    let (address, token_beside, is_guessed) = match configured {
        Some(admin) => (Address::of(&admin.address), admin.token, given.is_elsewhere),
        None => (Address::Tcp(USUAL), None, true),
    };
    if is_guessed && given.token_file.is_some() {
        return Err(FindError::TokenForNobody(address.label()));
    }
    let token = token.or(token_beside).filter(|_| !is_guessed);
    Ok(Found { address, token })
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

    const TOKEN: &str = "0123456789abcdef";

    fn given<'a>(admin: Option<&'a str>, token: Option<&'a str>) -> Given<'a> {
        Given {
            admin,
            token_file: None,
            token,
            config: Path::new(NOWHERE),
            is_elsewhere: false,
        }
    }

    fn found(admin: Option<&str>, token: Option<&str>) -> Result<Found, FindError> {
        find(&given(admin, token))
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
        let missing = find(&Given {
            token_file: Some(Path::new("/nonexistent")),
            ..given(None, None)
        });
        assert!(missing.unwrap_err().to_string().contains("/nonexistent"));
    }

    /// A directory with a configuration and a token, until it is dropped.
    struct Files(PathBuf);

    impl Files {
        fn new() -> Self {
            let name = format!(
                "lasthop-top-address-{}-{:?}",
                std::process::id(),
                std::thread::current().id()
            );
            let directory = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&directory).unwrap();
            let config = "[[listener]]\naddress = \"127.0.0.1:8080\"\n\
                [[upstream]]\nname = \"app\"\ntargets = [\"127.0.0.1:3000\"]\n\
                [[route]]\nupstream = \"app\"\n\
                [admin]\naddress = \"127.0.0.7:9000\"\ntoken = \"of-the-configuration\"\n";
            std::fs::write(directory.join("lasthop.toml"), config).unwrap();
            std::fs::write(directory.join("token"), TOKEN).unwrap();
            Self(directory)
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_token_is_sent_to_an_address_that_was_named_and_to_no_other() {
        let files = Files::new();
        let config = files.0.join("lasthop.toml");
        let nowhere = Path::new(NOWHERE);
        for (admin, config, is_elsewhere, token, address, sent) in [
            (
                Some("10.0.0.1:7"),
                nowhere,
                false,
                Some(TOKEN),
                "10.0.0.1:7",
                Some(TOKEN),
            ),
            (
                Some("10.0.0.1:7"),
                nowhere,
                true,
                Some(TOKEN),
                "10.0.0.1:7",
                Some(TOKEN),
            ),
            // That of the configuration is for the address beside it.
            (Some("10.0.0.1:7"), &config, false, None, "10.0.0.1:7", None),
            (
                None,
                &config,
                false,
                None,
                "127.0.0.7:9000",
                Some("of-the-configuration"),
            ),
            (
                None,
                &config,
                false,
                Some(TOKEN),
                "127.0.0.7:9000",
                Some(TOKEN),
            ),
            (None, &config, true, Some(TOKEN), "127.0.0.7:9000", None),
            (None, &config, true, None, "127.0.0.7:9000", None),
            (None, nowhere, false, Some(TOKEN), "127.0.0.1:9180", None),
        ] {
            let given = Given {
                config,
                is_elsewhere,
                ..given(admin, token)
            };
            let found = find(&given).unwrap();
            let told = found.token.as_ref().map(Secret::expose);
            assert_eq!(
                (found.address.label().as_str(), told),
                (address, sent),
                "{given:?}"
            );
        }
    }

    #[test]
    fn a_token_file_without_an_address_is_refused() {
        let files = Files::new();
        let token_file = files.0.join("token");
        let given = Given {
            token_file: Some(&token_file),
            ..given(None, None)
        };
        let error = find(&given).unwrap_err().to_string();
        assert!(
            error.contains("--admin") && !error.contains(TOKEN),
            "{error}"
        );
    }
}
