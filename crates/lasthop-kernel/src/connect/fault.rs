//! Why a connect failed, as one of a dozen names.
//!
//! Decides nothing: which status, which log level and whether the app is to blame follows from the name elsewhere.
//! Names rather than errnos, because callers must not know that `EADDRINUSE` from bind(2) and `EADDRNOTAVAIL` from
//! connect(2) are the same shortage, nor that a full Unix backlog is spelled `EAGAIN`.

use std::io;

/// The system call that failed on the way to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// socket(2).
    Socket,
    /// setsockopt(2).
    Option,
    /// bind(2) to a source address.
    Bind,
    /// connect(2), or the outcome of the handshake it started.
    Connect,
}

impl Step {
    const fn call(self) -> &'static str {
        match self {
            Self::Socket => "socket()",
            Self::Option => "setsockopt()",
            Self::Bind => "bind()",
            Self::Connect => "connect()",
        }
    }
}

/// A connection that did not come about. Its message names the call; the kernel's word is the source.
#[derive(Debug, thiserror::Error)]
#[error("{} failed", step.call())]
pub struct ConnectError {
    /// Where it failed.
    pub step: Step,
    /// What the kernel said.
    pub source: io::Error,
}

impl ConnectError {
    pub(crate) fn at(step: Step) -> impl Fn(io::Error) -> Self {
        move |source| Self { step, source }
    }

    /// What the failure means.
    #[must_use]
    pub fn fault(&self) -> ConnectFault {
        ConnectFault::of(self.step, &self.source)
    }
}

/// What a failed connect means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectFault {
    /// Nobody listens there: `ECONNREFUSED`; on a Unix path a file that nobody serves.
    Refused,
    /// The socket file, or a directory on the way to it, does not exist: `ENOENT`, `ENOTDIR`.
    Missing,
    /// We may not: `EACCES`, `EPERM`. For a Unix socket its mode or a directory; for TCP a firewall or security module.
    Permission,
    /// Every source port towards this target is taken: `EADDRNOTAVAIL` from connect(2), `EADDRINUSE`.
    SourcePorts,
    /// The source address to bind to is not one of this host's: `EADDRNOTAVAIL` from bind(2).
    SourceAddress,
    /// The app does not accept fast enough and its Unix backlog is full: `EAGAIN` from connect(2).
    Backlog,
    /// This process or this host is out of file descriptors: `EMFILE`, `ENFILE`.
    Descriptors,
    /// The kernel is out of memory for sockets: `ENOBUFS`, `ENOMEM`.
    Memory,
    /// The handshake got no answer: `ETIMEDOUT`.
    TimedOut,
    /// There is no way there: `ENETUNREACH`, `EHOSTUNREACH`, `ENETDOWN`, `EHOSTDOWN`.
    Unreachable,
    /// The other side reset the connection during the handshake, or something this list does not know.
    Other,
}

impl ConnectFault {
    /// The meaning of an error at a step.
    #[must_use]
    pub fn of(step: Step, error: &io::Error) -> Self {
        match (error.raw_os_error(), step) {
            (Some(libc::ECONNREFUSED), _) => Self::Refused,
            (Some(libc::ENOENT | libc::ENOTDIR), _) => Self::Missing,
            (Some(libc::EACCES | libc::EPERM), _) => Self::Permission,
            (Some(libc::EADDRNOTAVAIL), Step::Bind) => Self::SourceAddress,
            (Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE), _) => Self::SourcePorts,
            (Some(libc::EAGAIN), Step::Connect) => Self::Backlog,
            (Some(libc::EMFILE | libc::ENFILE), _) => Self::Descriptors,
            (Some(libc::ENOBUFS | libc::ENOMEM), _) => Self::Memory,
            (Some(libc::ETIMEDOUT), _) => Self::TimedOut,
            (
                Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN),
                _,
            ) => Self::Unreachable,
            _ => Self::Other,
        }
    }

    /// Whether the failure is a shortage on our side of the connection (ports, descriptors, memory, a backlog that is
    /// merely full). Such a failure says nothing about the health of the app.
    #[must_use]
    pub const fn is_shortage(self) -> bool {
        matches!(
            self,
            Self::SourcePorts | Self::Backlog | Self::Descriptors | Self::Memory
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_errno_has_its_meaning() {
        let table = [
            (libc::ECONNREFUSED, Step::Connect, ConnectFault::Refused),
            (libc::ENOENT, Step::Connect, ConnectFault::Missing),
            (libc::ENOTDIR, Step::Connect, ConnectFault::Missing),
            (libc::EACCES, Step::Connect, ConnectFault::Permission),
            (libc::EPERM, Step::Connect, ConnectFault::Permission),
            (
                libc::EADDRNOTAVAIL,
                Step::Connect,
                ConnectFault::SourcePorts,
            ),
            (libc::EADDRNOTAVAIL, Step::Bind, ConnectFault::SourceAddress),
            (libc::EADDRINUSE, Step::Bind, ConnectFault::SourcePorts),
            (libc::EAGAIN, Step::Connect, ConnectFault::Backlog),
            (libc::EMFILE, Step::Socket, ConnectFault::Descriptors),
            (libc::ENFILE, Step::Socket, ConnectFault::Descriptors),
            (libc::ENOBUFS, Step::Connect, ConnectFault::Memory),
            (libc::ENOMEM, Step::Socket, ConnectFault::Memory),
            (libc::ETIMEDOUT, Step::Connect, ConnectFault::TimedOut),
            (libc::ENETUNREACH, Step::Connect, ConnectFault::Unreachable),
            (libc::EHOSTUNREACH, Step::Connect, ConnectFault::Unreachable),
            (libc::ECONNRESET, Step::Connect, ConnectFault::Other),
            (libc::EAGAIN, Step::Option, ConnectFault::Other),
        ];
        for (errno, step, fault) in table {
            let error = ConnectError::at(step)(io::Error::from_raw_os_error(errno));
            assert_eq!(error.fault(), fault, "{errno} at {step:?}");
        }
    }

    #[test]
    fn an_error_that_is_not_the_kernels_is_other() {
        let error = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(ConnectFault::of(Step::Connect, &error), ConnectFault::Other);
    }

    #[test]
    fn only_shortages_of_our_own_are_shortages() {
        assert!(ConnectFault::SourcePorts.is_shortage() && ConnectFault::Backlog.is_shortage());
        assert!(!ConnectFault::Refused.is_shortage() && !ConnectFault::TimedOut.is_shortage());
    }
}
