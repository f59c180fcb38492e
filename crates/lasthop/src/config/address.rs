//! Where the proxy listens and where the application listens: the words for an address.
//!
//! Parsing and printing only. Nothing here resolves a name, looks at a file or opens a socket. A listening address and a
//! target are different types although both may be `127.0.0.1:3000`: one has a mode and an owner and may leave the port
//! to the kernel, the other may be abstract and must name its port.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::IpRange;
use super::planned::{self, Planned};
use super::target_range::{self, TargetRange};
use super::units::parse_mode;

/// The longest path of a Unix socket: `sun_path` holds 108 bytes with the closing NUL (unix(7)).
pub const UNIX_PATH_BYTES_MAX: usize = 107;

/// An address that clients connect to: `ADDR` in `docs/configuration.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `IP:PORT` or `[IP6]:PORT`; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// `unix:/path`, with the options `?mode=0660&owner=user&group=g`.
    Unix {
        /// Absolute, at most [`UNIX_PATH_BYTES_MAX`] bytes.
        path: PathBuf,
        /// Permission bits of the socket file; `None`: what the umask leaves.
        mode: Option<u32>,
        /// The user it is given to; `None`: whoever runs the proxy.
        owner: Option<String>,
        /// The group it is given to; `None`: the group of whoever runs the proxy.
        group: Option<String>,
    },
}

/// An address of the application: `TARGET` in `docs/configuration.md`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// `IP:PORT` or `[IP6]:PORT`; neither the port nor the address is zero, and the address is no multicast or broadcast
    /// one.
    Tcp(SocketAddr),
    /// `CIDR:PORT` or `[CIDR6]:PORT`: one application on all addresses of a block.
    Spread(TargetRange),
    /// `unix:/path`: absolute, at most [`UNIX_PATH_BYTES_MAX`] bytes.
    Unix(PathBuf),
    /// `unix:@name`: a name without a file (unix(7), "abstract"), without the `@` and without the leading NUL.
    /// 1 to [`UNIX_PATH_BYTES_MAX`] bytes.
    Abstract(Vec<u8>),
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is one of a kind that this version does not have.
    #[error("{0}")]
    Planned(&'static Planned),
    /// It is not one; what would be.
    #[error("\"{text}\" is not {kind}: {why}")]
    Malformed {
        /// What was written.
        text: String,
        /// What was looked for.
        kind: &'static str,
        /// What is wrong with it, or how to write what was probably meant.
        why: String,
    },
}

const LISTEN: &str = "an address to listen on";
const TARGET: &str = "a target";

/// Why no target has the port 0.
pub(super) const PORT_ZERO: &str = "port 0 is for listening; give the port of the application";

impl ListenAddress {
    /// The address without its options: the default name of a listener, and what logs call it.
    pub fn label(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix { path, .. } => format!("unix:{}", path.display()),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(planned) = planned::listen_address(text) {
            return Err(AddressError::Planned(planned));
        }
        match text.strip_prefix("unix:") {
            Some(rest) => parse_unix_listener(rest),
            None => parse_socket_address(text).map(Self::Tcp),
        }
        .map_err(|why| malformed(text, LISTEN, why))
    }
}

fn parse_unix_listener(rest: &str) -> Result<ListenAddress, String> {
    if rest.starts_with('@') {
        return Err("an abstract name has no permissions; give a path".to_owned());
    }
    let (path, options) = match rest.split_once('?') {
        Some((path, options)) => (path, Some(options)),
        None => (rest, None),
    };
    let path = parse_unix_path(path)?;
    let (mut mode, mut owner, mut group) = (None, None, None);
    for option in options.into_iter().flat_map(|options| options.split('&')) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        match key {
            "mode" => set_once(
                &mut mode,
                key,
                parse_mode(value).map_err(|e| e.to_string())?,
            )?,
            "owner" => set_once(&mut owner, key, parse_account(value)?)?,
            "group" => set_once(&mut group, key, parse_account(value)?)?,
            _ => {
                return Err(format!(
                    "the options are mode, owner and group, not `{key}`"
                ));
            }
        }
    }
    Ok(ListenAddress::Unix {
        path,
        mode,
        owner,
        group,
    })
}

fn set_once<T>(place: &mut Option<T>, key: &str, value: T) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("`{key}` is given twice")),
    }
}

/// The name of a user or a group. Whether there is one is known only on the host, when the listener starts.
fn parse_account(text: &str) -> Result<String, String> {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'$');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(known) {
        return Err(format!("\"{text}\" is not the name of a user or a group"));
    }
    Ok(text.to_owned())
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, mode, owner, group) = match self {
            Self::Tcp(address) => return write!(f, "{address}"),
            Self::Unix {
                path,
                mode,
                owner,
                group,
            } => (path, mode, owner, group),
        };
        write!(f, "unix:{}", path.display())?;
        let options = [
            mode.map(|mode| format!("mode={mode:04o}")),
            owner.as_ref().map(|owner| format!("owner={owner}")),
            group.as_ref().map(|group| format!("group={group}")),
        ];
        for (separator, option) in std::iter::once('?')
            .chain(std::iter::repeat('&'))
            .zip(options.into_iter().flatten())
        {
            write!(f, "{separator}{option}")?;
        }
        Ok(())
    }
}

impl FromStr for Target {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(planned) = planned::target(text) {
            return Err(AddressError::Planned(planned));
        }
        parse_target(text).map_err(|why| malformed(text, TARGET, why))
    }
}

fn parse_target(text: &str) -> Result<Target, String> {
    if let Some(name) = text.strip_prefix("unix:@") {
        return match name.len() {
            0 => Err("the abstract name is empty".to_owned()),
            // The leading NUL takes the byte that a path needs for its closing one.
            1..=UNIX_PATH_BYTES_MAX if !name.contains('\0') => {
                Ok(Target::Abstract(name.as_bytes().to_vec()))
            }
            1..=UNIX_PATH_BYTES_MAX => Err("the abstract name contains a NUL byte".to_owned()),
            bytes => Err(too_long("the abstract name", bytes)),
        };
    }
    if let Some(path) = text.strip_prefix("unix:") {
        if path.contains('?') {
            return Err("the options of a socket file belong to whoever creates it".to_owned());
        }
        return parse_unix_path(path).map(Target::Unix);
    }
    if let Some(range) = target_range::parse(text) {
        return range;
    }
    let address = parse_socket_address(text)?;
    if address.port() == 0 {
        return Err(PORT_ZERO.to_owned());
    }
    if address.ip().to_canonical().is_unspecified() {
        let local = if address.is_ipv4() {
            "127.0.0.1"
        } else {
            "[::1]"
        };
        let port = address.port();
        return Err(format!(
            "an application that listens on every address is reached at one of them, such as {local}:{port}"
        ));
    }
    if let Some(what) = IpRange::from(address.ip()).unfit() {
        return Err(format!("{what} is no place to connect to"));
    }
    Ok(Target::Tcp(address))
}

impl Target {
    /// The addresses and the port of a TCP target, an IPv4 address in IPv6 form as the IPv4 address that it is.
    pub fn tcp(&self) -> Option<(IpRange, u16)> {
        match self {
            Self::Tcp(address) => Some((address.ip().into(), address.port())),
            Self::Spread(range) => Some((range.network, range.port)),
            Self::Unix(_) | Self::Abstract(_) => None,
        }
    }

    /// Whether the same listener of the application may be meant by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self.tcp(), other.tcp()) {
            (Some((network, port)), Some((other_network, other_port))) => {
                port == other_port && network.overlaps(&other_network) && !self.scopes_differ(other)
            }
            _ => self == other,
        }
    }

    /// Link-local addresses of two interfaces are two addresses, whatever their digits say.
    fn scopes_differ(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(SocketAddr::V6(a)), Self::Tcp(SocketAddr::V6(b))) => {
                a.scope_id() != b.scope_id()
            }
            _ => false,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Spread(range) => write!(f, "{range}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{}", String::from_utf8_lossy(name)),
        }
    }
}

/// An absolute path that fits into `sun_path`. Relative ones would depend on where the proxy was started.
fn parse_unix_path(path: &str) -> Result<PathBuf, String> {
    if path.is_empty() {
        return Err("the path is missing".to_owned());
    }
    if !path.starts_with('/') {
        return Err("the path must begin with /".to_owned());
    }
    if path.ends_with('/') {
        return Err("the path names a directory".to_owned());
    }
    if path.chars().any(char::is_control) {
        return Err("the path contains a control character".to_owned());
    }
    if path.len() > UNIX_PATH_BYTES_MAX {
        return Err(too_long("the path", path.len()));
    }
    Ok(PathBuf::from(path))
}

fn too_long(what: &str, bytes: usize) -> String {
    format!("{what} has {bytes} bytes, and a Unix socket's name holds {UNIX_PATH_BYTES_MAX}")
}

/// `IP:PORT` or `[IP6]:PORT`; the reason where it is neither names what was probably meant.
fn parse_socket_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if text.starts_with('/') || text.starts_with('.') {
        return Err(format!("a Unix socket is written unix:{text}"));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let rest = rest.trim_end_matches('/');
        return Err(format!(
            "leave out the scheme `{scheme}://` and write {rest}"
        ));
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        // Any port serves as the example.
        return Err(format!(
            "the port is missing, as in {}",
            SocketAddr::new(ip, 8080)
        ));
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("the IP address is missing, as in 127.0.0.1:{text}"));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err("write IP:PORT, [IP6]:PORT or unix:/path".to_owned());
    };
    if port.parse::<u16>().is_err() || port.starts_with('+') {
        return Err("the port must be a number up to 65535".to_owned());
    }
    if host.is_empty() || host == "*" {
        return Err(format!(
            "for every address write 0.0.0.0:{port} or [::]:{port}"
        ));
    }
    if host.contains(':') && !host.starts_with('[') {
        return Err(format!("an IPv6 address takes brackets: [{host}]:{port}"));
    }
    if host == "localhost" {
        return Err(format!("write 127.0.0.1:{port} or [::1]:{port}"));
    }
    Err(format!("`{host}` is not an IP address"))
}

pub(super) fn malformed(text: &str, kind: &'static str, why: String) -> AddressError {
    AddressError::Malformed {
        text: text.escape_debug().to_string(),
        kind,
        why,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn listen(text: &str) -> Result<ListenAddress, AddressError> {
        text.parse()
    }

    fn target(text: &str) -> Result<Target, AddressError> {
        text.parse()
    }

    /// What stands behind the last colon and space: the reason.
    fn why<T: fmt::Debug>(outcome: Result<T, AddressError>) -> String {
        match outcome.unwrap_err() {
            AddressError::Malformed { why, .. } => why,
            planned @ AddressError::Planned(_) => planned.to_string(),
        }
    }

    #[test]
    fn addresses_to_listen_on_are_read_in_all_their_forms() {
        let tcp = |text: &str| Ok(ListenAddress::Tcp(text.parse().unwrap()));
        assert_eq!(listen("0.0.0.0:8080"), tcp("0.0.0.0:8080"));
        assert_eq!(listen("[::]:0"), tcp("[::]:0"));
        let plain = ListenAddress::Unix {
            path: PathBuf::from("/run/a.sock"),
            mode: None,
            owner: None,
            group: None,
        };
        assert_eq!(listen("unix:/run/a.sock"), Ok(plain));
        let full = ListenAddress::Unix {
            path: PathBuf::from("/run/a.sock"),
            mode: Some(0o660),
            owner: Some("www-data".to_owned()),
            group: Some("33".to_owned()),
        };
        assert_eq!(
            listen("unix:/run/a.sock?group=33&mode=0660&owner=www-data"),
            Ok(full)
        );
    }

    #[test]
    fn what_was_probably_meant_is_in_the_reason() {
        for (text, reason) in [
            ("", "write IP:PORT, [IP6]:PORT or unix:/path"),
            ("8080", "the IP address is missing, as in 127.0.0.1:8080"),
            (":8080", "for every address write 0.0.0.0:8080 or [::]:8080"),
            (
                "*:8080",
                "for every address write 0.0.0.0:8080 or [::]:8080",
            ),
            ("127.0.0.1", "the port is missing, as in 127.0.0.1:8080"),
            ("::1", "the port is missing, as in [::1]:8080"),
            ("::1:x", "the port must be a number up to 65535"),
            ("fe80::g:80", "an IPv6 address takes brackets: [fe80::g]:80"),
            ("127.0.0.1:65536", "the port must be a number up to 65535"),
            ("127.0.0.1:+80", "the port must be a number up to 65535"),
            ("127.0.0.256:80", "`127.0.0.256` is not an IP address"),
            ("localhost:80", "write 127.0.0.1:80 or [::1]:80"),
            ("example.com:80", "`example.com` is not an IP address"),
            ("/run/a.sock", "a Unix socket is written unix:/run/a.sock"),
            (
                "http://127.0.0.1:80/",
                "leave out the scheme `http://` and write 127.0.0.1:80",
            ),
            ("unix:", "the path is missing"),
            ("unix:a.sock", "the path must begin with /"),
            ("unix:/run/", "the path names a directory"),
            ("unix:/a\0", "the path contains a control character"),
            (
                "unix:@a",
                "an abstract name has no permissions; give a path",
            ),
            ("unix:/a?", "the options are mode, owner and group, not ``"),
            (
                "unix:/a?mod=0600",
                "the options are mode, owner and group, not `mod`",
            ),
            ("unix:/a?mode=0600&mode=0600", "`mode` is given twice"),
            (
                "unix:/a?mode=u+w",
                "\"u+w\" is not a file mode such as 0660",
            ),
            (
                "unix:/a?owner=",
                "\"\" is not the name of a user or a group",
            ),
        ] {
            assert_eq!(why(listen(text)), reason, "{text}");
        }
    }

    #[test]
    fn targets_are_read_in_all_their_forms() {
        assert_eq!(
            target("127.0.0.1:3000"),
            Ok(Target::Tcp("127.0.0.1:3000".parse().unwrap()))
        );
        assert_eq!(
            target("unix:/run/app.sock"),
            Ok(Target::Unix(PathBuf::from("/run/app.sock")))
        );
        assert_eq!(target("unix:@app"), Ok(Target::Abstract(b"app".to_vec())));
    }

    #[test]
    fn a_target_that_cannot_be_connected_to_is_refused() {
        for (text, reason) in [
            (
                "127.0.0.1:0",
                "port 0 is for listening; give the port of the application",
            ),
            (
                "0.0.0.0:80",
                "an application that listens on every address is reached at one of them, such as 127.0.0.1:80",
            ),
            (
                "[::]:80",
                "an application that listens on every address is reached at one of them, such as [::1]:80",
            ),
            (
                "224.0.0.1:80",
                "a multicast address is no place to connect to",
            ),
            (
                "[::ffff:255.255.255.255]:80",
                "a broadcast address is no place to connect to",
            ),
            ("unix:@", "the abstract name is empty"),
            ("unix:@a\0", "the abstract name contains a NUL byte"),
            (
                "unix:/a?mode=0600",
                "the options of a socket file belong to whoever creates it",
            ),
        ] {
            assert_eq!(why(target(text)), reason, "{text}");
        }
    }

    #[test]
    fn names_of_unix_sockets_end_at_107_bytes() {
        let path = |bytes: usize| format!("unix:/{}", "p".repeat(bytes - 1));
        assert!(listen(&path(107)).is_ok() && target(&path(107)).is_ok());
        let reason = "the path has 108 bytes, and a Unix socket's name holds 107";
        assert_eq!(why(listen(&path(108))), reason);
        assert_eq!(why(target(&path(108))), reason);
        let name = |bytes: usize| format!("unix:@{}", "n".repeat(bytes));
        assert!(target(&name(107)).is_ok());
        assert!(why(target(&name(108))).starts_with("the abstract name has 108 bytes"));
    }

    fn socket_address() -> impl Strategy<Value = SocketAddr> {
        let v4 = (any::<u32>(), 1..=u16::MAX)
            .prop_map(|(ip, port)| (Ipv4Addr::from_bits(ip), port).into());
        let v6 = (any::<u128>(), 1..=u16::MAX)
            .prop_map(|(ip, port)| (Ipv6Addr::from_bits(ip), port).into());
        prop_oneof![v4, v6]
    }

    fn possible_target() -> impl Strategy<Value = SocketAddr> {
        socket_address().prop_filter("an end of a connection", |address| {
            IpRange::from(address.ip()).unfit().is_none()
        })
    }

    proptest! {
        #[test]
        fn a_listening_address_is_read_again_as_printed(
            tcp in socket_address(),
            path in "/[a-zA-Z0-9._ -]{1,40}",
            mode in proptest::option::of(0u32..=0o777),
            owner in proptest::option::of("[a-z_][a-z0-9-]{0,10}"),
            group in proptest::option::of("[a-z_][a-z0-9-]{0,10}"),
        ) {
            let unix = ListenAddress::Unix { path: PathBuf::from(path), mode, owner, group };
            for address in [ListenAddress::Tcp(tcp), unix] {
                prop_assert_eq!(listen(&address.to_string()), Ok(address));
            }
        }

        #[test]
        fn a_target_is_read_again_as_printed(tcp in possible_target(), path in "/[a-z0-9._ -]{1,40}", name in "[!-~]{1,40}") {
            for address in [Target::Tcp(tcp), Target::Unix(PathBuf::from(path)), Target::Abstract(name.into_bytes())] {
                prop_assert_eq!(target(&address.to_string()), Ok(address));
            }
        }

        #[test]
        fn no_text_makes_an_address_panic(text in "\\PC{0,60}|(unix:|tls\\+|fd:)?[@/\\[]?[0-9a-f:.*?&=]{0,30}") {
            let _ = (listen(&text), target(&text));
        }
    }
}
