//! Where a proxy is told to forward to, in the spelling of each of them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum;

/// What the hop to the app goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    Tcp,
    Unix,
}

impl Transport {
    /// As a row's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Unix => "Unix socket",
        }
    }

    /// As the command line has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Unix => "unix",
        }
    }
}

/// The app's address of one transport.
#[derive(Clone, Debug)]
pub(crate) enum Upstream {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Upstream {
    /// `127.0.0.1:3000` or `unix:/path`: what lasthop and nginx read.
    pub(crate) fn colon_form(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// `127.0.0.1:3000` or `unix@/path`: what HAProxy reads.
    pub(crate) fn at_form(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(path) => format!("unix@{}", path.display()),
        }
    }

    /// `127.0.0.1:3000` or `unix//path`: what Caddy reads.
    pub(crate) fn caddy_form(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(path) => format!("unix/{}", path.display()),
        }
    }

    /// The value of an `address` of Envoy's, in YAML.
    pub(crate) fn envoy_form(&self) -> String {
        match self {
            Self::Tcp(address) => envoy_address(*address),
            Self::Unix(path) => format!("{{ pipe: {{ path: \"{}\" }} }}", path.display()),
        }
    }

    /// As a row's name.
    pub(crate) fn transport(&self) -> &'static str {
        match self {
            Self::Tcp(_) => Transport::Tcp.name(),
            Self::Unix(_) => Transport::Unix.name(),
        }
    }
}

/// An IP address and port as Envoy has them in YAML.
pub(crate) fn envoy_address(address: SocketAddr) -> String {
    format!(
        "{{ socket_address: {{ address: \"{}\", port_value: {} }} }}",
        address.ip(),
        address.port()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_proxy_gets_the_spelling_it_reads() {
        let tcp = Upstream::Tcp("127.0.0.1:3000".parse().unwrap());
        for form in [tcp.colon_form(), tcp.at_form(), tcp.caddy_form()] {
            assert_eq!(form, "127.0.0.1:3000");
        }
        assert_eq!(
            tcp.envoy_form(),
            "{ socket_address: { address: \"127.0.0.1\", port_value: 3000 } }"
        );
        let unix = Upstream::Unix("/run/app.sock".into());
        assert_eq!(unix.colon_form(), "unix:/run/app.sock");
        assert_eq!(unix.at_form(), "unix@/run/app.sock");
        assert_eq!(unix.caddy_form(), "unix//run/app.sock");
        assert_eq!(unix.envoy_form(), "{ pipe: { path: \"/run/app.sock\" } }");
    }
}
