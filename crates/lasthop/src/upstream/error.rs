//! Why there is no connection to an app, and whose fault that is.
//!
//! A kind says what failed, a fault what the kernel answered. The words for both are here: one line
//! for the log and `Proxy-Status`, and what would help.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use lasthop_kernel::connect::{ConnectFault, UnixTarget};
use lasthop_kernel::explain;
use lasthop_kernel::route::{self, RouteKind};

use crate::config::Target;
use crate::observe::metrics::ConnectResult;

/// What kept us from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectErrorKind {
    /// Nobody listens at the target (ECONNREFUSED).
    Refused,
    /// The socket file is missing (ENOENT).
    Missing,
    /// We may not use the socket file (EACCES).
    Permission,
    /// The target did not answer within `connect_timeout`.
    TimedOut,
    /// No source port is left towards the target (EADDRNOTAVAIL).
    SourcePorts,
    /// The app's listen queue is full (EAGAIN on a Unix socket).
    Backlog,
    /// This process or host has no descriptor left (EMFILE, ENFILE).
    Descriptors,
    /// `max_connections` connections are in use.
    Limit,
    /// Anything else, such as an unreachable network.
    Other,
}

impl ConnectErrorKind {
    /// A short name of the kind, by which the log tells failures apart that it sums up.
    pub fn label(self) -> &'static str {
        match self {
            Self::Limit => "max_connections",
            kind => kind.result().label(),
        }
    }

    /// What an attempt that failed so is counted as.
    pub(super) fn result(self) -> ConnectResult {
        match self {
            Self::Refused => ConnectResult::Refused,
            Self::Missing => ConnectResult::Missing,
            Self::Permission => ConnectResult::Permission,
            Self::TimedOut => ConnectResult::Timeout,
            Self::SourcePorts => ConnectResult::SourcePorts,
            Self::Backlog => ConnectResult::Backlog,
            Self::Descriptors => ConnectResult::Descriptors,
            // The first is no attempt, and is never counted.
            Self::Limit | Self::Other => ConnectResult::Other,
        }
    }

    /// Sorts the error of a `connect(2)`.
    pub(super) fn of(fault: ConnectFault) -> Self {
        match fault {
            ConnectFault::Refused => Self::Refused,
            ConnectFault::Missing => Self::Missing,
            ConnectFault::Permission => Self::Permission,
            ConnectFault::SourcePorts => Self::SourcePorts,
            ConnectFault::Backlog => Self::Backlog,
            ConnectFault::Descriptors | ConnectFault::Memory => Self::Descriptors,
            ConnectFault::TimedOut => Self::TimedOut,
            ConnectFault::SourceAddress | ConnectFault::Unreachable | ConnectFault::Other => {
                Self::Other
            }
        }
    }
}

/// A request found no connection to its app.
#[derive(Debug, thiserror::Error)]
#[error("no connection to {target}")]
pub struct ConnectError {
    /// What kept us from it.
    pub kind: ConnectErrorKind,
    /// Where the last attempt went.
    pub target: Target,
    /// How long the request waited before it gave up.
    pub waited: Duration,
    /// What failed in the kernel; none where we made no call.
    pub fault: Option<ConnectFault>,
    /// The kernel's words, or ours where no call was made.
    pub source: io::Error,
}

impl ConnectError {
    /// One line on what happened, with the numbers there are. Visible ASCII but for a target's name.
    pub fn details(&self) -> String {
        let Self {
            kind,
            target,
            waited,
            source,
            ..
        } = self;
        let what = match kind {
            ConnectErrorKind::Refused => format!("connection refused by {target}"),
            ConnectErrorKind::Missing => format!("the socket {target} does not exist"),
            ConnectErrorKind::Permission => format!("no permission to connect to {target}"),
            ConnectErrorKind::TimedOut => format!("no connection to {target} in time"),
            // The account's words, with the numbers.
            ConnectErrorKind::SourcePorts => format!("source ports towards {target}: {source}"),
            ConnectErrorKind::Backlog => format!("backlog: the listen queue of {target} is full"),
            ConnectErrorKind::Descriptors if self.fault == Some(ConnectFault::Memory) => {
                format!("kernel memory: {}", source.kind())
            }
            // The kernel's words, or ours with the numbers.
            ConnectErrorKind::Descriptors => format!("file descriptors: {source}"),
            ConnectErrorKind::Limit => format!("max_connections: {source}"),
            ConnectErrorKind::Other => format!("cannot connect to {target}: {}", source.kind()),
        };
        match waited.as_millis() {
            0 => what,
            waited => format!("{what}, waited {waited} ms"),
        }
    }

    /// What to do about it, in words, as far as this host can tell. Looks at files and sysctls: for
    /// the log, not for every request.
    pub fn fix(&self) -> Option<String> {
        let Some(fault) = self.fault else {
            return (self.kind == ConnectErrorKind::Limit).then(|| {
                "raise max_connections of this upstream if the application can take more, or \
                 queue.size and queue.timeout"
                    .to_owned()
            });
        };
        let tcp = |target| {
            let mut fix = explain::tcp(target, None, fault);
            if self.kind == ConnectErrorKind::SourcePorts && lacks_ipv6_sources(target) {
                fix.push_str(MORE_IPV6_SOURCES);
            }
            fix
        };
        match &self.target {
            Target::Tcp(target) => Some(tcp(*target)),
            Target::Spread(range) => Some(tcp(range.first())),
            Target::Unix(path) => UnixTarget::path(path)
                .ok()
                .map(|path| explain::unix(&path, fault)),
            Target::Abstract(name) => UnixTarget::abstract_name(name)
                .ok()
                .map(|name| explain::unix(&name, fault)),
        }
    }
}

/// What gives this host more IPv6 addresses to connect from; IPv4 has 127/8 without being told.
const MORE_IPV6_SOURCES: &str = "; over IPv6 connections can be spread only if this host has more loopback addresses: ip -6 \
     route add local fd00:1::/64 dev lo, then start lasthop again";

/// Whether a target is this host by IPv6, and there is no network on `lo` to connect from.
fn lacks_ipv6_sources(target: SocketAddr) -> bool {
    let ip = target.ip().to_canonical();
    let is_local = || route::to(ip).is_ok_and(|route| route.kind == RouteKind::Local);
    let has_none = || route::loopback_ipv6().is_ok_and(|networks| networks.is_empty());
    ip.is_ipv6() && is_local() && has_none()
}
