//! Taking connections from a listening socket: one system call each, ready for an event loop.
//!
//! The standard library accepts as well, but needs a second call to make the new socket non-blocking, and a runtime's
//! own listener registers what it accepts before anybody can say where it should go. Here a connection is a bare socket
//! until its owner is chosen. Never waits: use it on a non-blocking listener.

use socket2::SockAddr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

/// Takes the first connection that waits (accept4(2)); returns it with the client's address. The socket is non-blocking
/// and close-on-exec.
///
/// # Errors
/// As accept(2): `WouldBlock` when nobody waits, `ConnectionAborted` and network errors when the one that waited is
/// gone, `EMFILE` or `ENFILE` ([`is_out_of_descriptors`]) when there is no descriptor for it; it goes on waiting then.
pub fn accept_tcp(listener: &TcpListener) -> io::Result<(TcpStream, IpAddr)> {
    let (socket, address) = accept(listener.as_fd())?;
    // The kernel always says an address of the listener's own family.
    let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let ip = address
        .as_socket()
        .map_or(unspecified, |address| address.ip());
    Ok((socket.into(), ip))
}

/// As [`accept_tcp`] for a Unix socket, whose clients have no address worth knowing.
///
/// # Errors
/// As [`accept_tcp`].
pub fn accept_unix(listener: &UnixListener) -> io::Result<UnixStream> {
    accept(listener.as_fd()).map(|(socket, _)| socket.into())
}

/// Whether a call failed because this process (`EMFILE`) or this host (`ENFILE`) has no descriptor left.
#[must_use]
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SockAddr)> {
    loop {
        // SAFETY: the descriptor is open for the length of the borrow; storage and length are a valid pair for which
        // the kernel fills in an address and its length, and it is only taken for initialised where the call succeeded.
        let accepted = unsafe {
            SockAddr::try_init(|storage, length| {
                let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
                match libc::accept4(listener.as_raw_fd(), storage.cast(), length, flags) {
                    -1 => Err(io::Error::last_os_error()),
                    descriptor => Ok(descriptor),
                }
            })
        };
        match accepted {
            Ok((descriptor, address)) => {
                // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
                let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
                return Ok((socket, address));
            }
            // A signal came in between; a non-blocking listener never sleeps, so this ends as soon as they do.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::wait_readable;
    use std::io::{Read, Write};

    #[test]
    fn a_tcp_connection_comes_with_its_address_and_does_not_block() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(any) else {
                crate::testing::skip("this host has no ::1");
                continue;
            };
            listener.set_nonblocking(true).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            wait_readable(&listener);
            let (mut accepted, ip) = accept_tcp(&listener).unwrap();
            assert_eq!(ip, client.local_addr().unwrap().ip());
            let error = accepted.read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_unix_connection_carries_bytes_and_does_not_block() {
        let directory = crate::testing::TempDir::new();
        let path = directory.join("listener.sock");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        let mut accepted = accept_unix(&listener).unwrap();
        let error = accepted.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        client.write_all(b"x").unwrap();
        assert_eq!(accepted.read(&mut [0; 2]).unwrap(), 1);
    }

    #[test]
    fn nobody_there_is_would_block() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let error = accept_tcp(&listener).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_shortage_of_descriptors_is_told_from_other_errors() {
        for (errno, is_short) in [
            (libc::EMFILE, true),
            (libc::ENFILE, true),
            (libc::ENOMEM, false),
            (libc::ECONNABORTED, false),
        ] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(is_out_of_descriptors(&error), is_short, "{error}");
        }
    }
}
