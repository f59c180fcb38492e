//! Connecting to an app on a Unix socket, one attempt at a time on one descriptor.
//!
//! Does not wait, because nothing can be waited for: a full backlog answers `EAGAIN`, and epoll reports nothing when
//! room appears (measured on Linux 6.18; net/unix/af_unix.c wakes only blocking callers). The caller retries on its own
//! timer, on the same descriptor: a fresh one per attempt would cost two more system calls and could run out.

use super::fault::{ConnectError, Step};
use socket2::{Domain, SockAddr, Socket, Type};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Longest path of a Unix socket, in bytes: `sun_path` has 108 and the last one is a NUL (unix(7)).
pub const UNIX_PATH_BYTES_MAX: usize = 107;

/// Where an app listens on a Unix socket: a path, or a name of the abstract namespace (unix(7)).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UnixTarget {
    name: Name,
    /// Built once, because it is used for every connection.
    address: SockAddr,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Name {
    Path(PathBuf),
    Abstract(Vec<u8>),
}

/// A path or name that no Unix socket can have: a mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnixTargetError {
    /// Nothing at all.
    #[error("a Unix socket needs a path, or @ and a name")]
    Empty,
    /// More than fits; holds the length in bytes.
    #[error("{0} bytes are too long for a Unix socket: at most {UNIX_PATH_BYTES_MAX} fit")]
    TooLong(usize),
    /// A NUL byte inside.
    #[error("a Unix socket cannot have a NUL byte in its path or name")]
    Nul,
}

impl UnixTarget {
    /// A socket file. The path is taken as it is; nothing is looked up.
    ///
    /// # Errors
    /// [`UnixTargetError`].
    pub fn path(path: impl Into<PathBuf>) -> Result<Self, UnixTargetError> {
        let path = path.into();
        check(path.as_os_str().as_bytes())?;
        Ok(Self {
            address: socket_address(&path)?,
            name: Name::Path(path),
        })
    }

    /// A name of the abstract namespace, without the leading `@` that people write or the NUL that the kernel sees.
    /// It exists per network namespace and has no permissions.
    ///
    /// # Errors
    /// [`UnixTargetError`].
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Result<Self, UnixTargetError> {
        let name = name.as_ref();
        check(name)?;
        let mut bytes = vec![0];
        bytes.extend_from_slice(name);
        Ok(Self {
            address: socket_address(Path::new(OsStr::from_bytes(&bytes)))?,
            name: Name::Abstract(name.to_vec()),
        })
    }

    /// The path, or `None` for an abstract name.
    #[must_use]
    pub fn as_path(&self) -> Option<&Path> {
        match &self.name {
            Name::Path(path) => Some(path),
            Name::Abstract(_) => None,
        }
    }

    /// The abstract name, without the zero byte before it, or `None` for a path.
    #[must_use]
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        match &self.name {
            Name::Path(_) => None,
            Name::Abstract(name) => Some(name),
        }
    }

    pub(crate) const fn address(&self) -> &SockAddr {
        &self.address
    }
}

fn check(bytes: &[u8]) -> Result<(), UnixTargetError> {
    if bytes.is_empty() {
        return Err(UnixTargetError::Empty);
    }
    if bytes.contains(&0) {
        return Err(UnixTargetError::Nul);
    }
    if bytes.len() > UNIX_PATH_BYTES_MAX {
        return Err(UnixTargetError::TooLong(bytes.len()));
    }
    Ok(())
}

/// Fails on nothing but length, which `check` has looked at; mapped all the same rather than asserted.
fn socket_address(path: &Path) -> Result<SockAddr, UnixTargetError> {
    SockAddr::unix(path).map_err(|_| UnixTargetError::TooLong(path.as_os_str().len()))
}

impl fmt::Display for UnixTarget {
    /// `unix:/path` or `unix:@name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Path(path) => write!(f, "unix:{}", path.display()),
            Name::Abstract(name) => write!(f, "unix:@{}", name.escape_ascii()),
        }
    }
}

impl fmt::Debug for UnixTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixTarget({self})")
    }
}

/// What one attempt to connect came to, when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Connected: take the stream with [`UnixConnecting::into_stream`].
    Connected,
    /// The app's backlog is full. Nothing is lost: attempt again on this same socket.
    Full,
}

/// A non-blocking, close-on-exec stream socket that is not connected yet.
#[derive(Debug)]
pub struct UnixConnecting {
    socket: Socket,
}

impl UnixConnecting {
    /// A fresh socket.
    ///
    /// # Errors
    /// [`ConnectError`] at [`Step::Socket`].
    pub fn new() -> Result<Self, ConnectError> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)
            .map_err(ConnectError::at(Step::Socket))?;
        Ok(Self { socket })
    }

    /// Tries once. Never blocks; may be repeated after [`Attempt::Full`] and after an error alike.
    ///
    /// # Errors
    /// [`ConnectError`] at [`Step::Connect`], except for a full backlog, which is [`Attempt::Full`].
    pub fn attempt(&self, target: &UnixTarget) -> Result<Attempt, ConnectError> {
        loop {
            match self.socket.connect(target.address()) {
                Ok(()) => return Ok(Attempt::Connected),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Attempt::Full);
                }
                // A signal came while the kernel waited for a lock of the listener; it does not wait for long.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ConnectError::at(Step::Connect)(error)),
            }
        }
    }

    /// The connected stream. Call after [`Attempt::Connected`]; before, the stream is not connected and says so when used.
    #[must_use]
    pub fn into_stream(self) -> UnixStream {
        self.socket.into()
    }
}

impl AsFd for UnixConnecting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::ConnectFault;
    use crate::testing::TempDir;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

    fn fault(target: &UnixTarget) -> ConnectFault {
        UnixConnecting::new()
            .unwrap()
            .attempt(target)
            .unwrap_err()
            .fault()
    }

    /// Fills the backlog of `listener` and returns what holds it full.
    fn fill(target: &UnixTarget, backlog: i32, listener: &UnixListener) -> Vec<UnixConnecting> {
        socket2::SockRef::from(listener).listen(backlog).unwrap();
        let mut held = Vec::new();
        loop {
            let connecting = UnixConnecting::new().unwrap();
            match connecting.attempt(target).unwrap() {
                Attempt::Connected => held.push(connecting),
                Attempt::Full => return held,
            }
        }
    }

    #[test]
    fn a_path_is_connected_at_once() {
        let dir = TempDir::new();
        let path = dir.join("app.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let target = UnixTarget::path(&path).unwrap();
        let connecting = UnixConnecting::new().unwrap();
        assert_eq!(connecting.attempt(&target).unwrap(), Attempt::Connected);
        let stream = connecting.into_stream();
        assert_eq!(stream.peer_addr().unwrap().as_pathname(), Some(&*path));
    }

    #[test]
    fn an_abstract_name_is_connected_at_once() {
        let name = format!("lasthop-test-{}-abstract", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        let target = UnixTarget::abstract_name(&name).unwrap();
        let connecting = UnixConnecting::new().unwrap();
        assert_eq!(connecting.attempt(&target).unwrap(), Attempt::Connected);
        assert_eq!(target.to_string(), format!("unix:@{name}"));
    }

    #[test]
    fn a_full_backlog_is_retried_on_the_same_descriptor() {
        let dir = TempDir::new();
        let path = dir.join("app.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let target = UnixTarget::path(&path).unwrap();
        let _held = fill(&target, 2, &listener);
        let connecting = UnixConnecting::new().unwrap();
        assert_eq!(connecting.attempt(&target).unwrap(), Attempt::Full);
        assert_eq!(connecting.attempt(&target).unwrap(), Attempt::Full);
        listener.accept().unwrap();
        assert_eq!(connecting.attempt(&target).unwrap(), Attempt::Connected);
    }

    #[test]
    fn a_missing_file_is_missing_and_a_stale_one_refuses() {
        let dir = TempDir::new();
        let path = dir.join("app.sock");
        let target = UnixTarget::path(&path).unwrap();
        assert_eq!(fault(&target), ConnectFault::Missing);
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(fault(&target), ConnectFault::Refused);
    }

    #[test]
    fn a_socket_can_be_attempted_again_after_the_app_came_back() {
        let dir = TempDir::new();
        let path = dir.join("app.sock");
        let target = UnixTarget::path(&path).unwrap();
        let connecting = UnixConnecting::new().unwrap();
        assert!(connecting.attempt(&target).is_err());
        let _listener = UnixListener::bind(&path).unwrap();
        assert_eq!(connecting.attempt(&target).unwrap(), Attempt::Connected);
    }

    #[test]
    fn a_datagram_socket_is_not_an_app() {
        let dir = TempDir::new();
        let path = dir.join("log.sock");
        let _socket = UnixDatagram::bind(&path).unwrap();
        assert_eq!(
            fault(&UnixTarget::path(&path).unwrap()),
            ConnectFault::Other
        );
    }

    #[test]
    fn names_that_no_socket_can_have_are_refused() {
        assert_eq!(UnixTarget::path(""), Err(UnixTargetError::Empty));
        assert_eq!(UnixTarget::path("/a\0b"), Err(UnixTargetError::Nul));
        assert_eq!(
            UnixTarget::path("x".repeat(108)),
            Err(UnixTargetError::TooLong(108))
        );
        assert!(UnixTarget::path("x".repeat(107)).is_ok());
        assert!(UnixTarget::abstract_name("x".repeat(107)).is_ok());
        assert_eq!(UnixTarget::abstract_name(""), Err(UnixTargetError::Empty));
    }
}
