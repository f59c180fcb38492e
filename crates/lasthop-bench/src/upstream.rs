//! Where a proxy is told to forward to, in the spelling of each of them.

use std::net::SocketAddr;
use std::path::PathBuf;

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

    /// As a row's name.
    pub(crate) fn transport(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "TCP",
            Self::Unix(_) => "Unix socket",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_proxy_gets_the_spelling_it_reads() {
        let tcp = Upstream::Tcp("127.0.0.1:3000".parse().unwrap());
        assert_eq!(
            (tcp.colon_form(), tcp.at_form()),
            ("127.0.0.1:3000".into(), "127.0.0.1:3000".into())
        );
        let unix = Upstream::Unix("/run/app.sock".into());
        assert_eq!(
            (unix.colon_form(), unix.at_form()),
            ("unix:/run/app.sock".into(), "unix@/run/app.sock".into())
        );
    }
}
