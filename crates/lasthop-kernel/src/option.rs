//! Setting and reading socket options that neither the standard library nor `socket2` names.
//!
//! One place for the two unsafe calls behind them, so that everything else reads as safe code. See setsockopt(2), ip(7).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

/// `IP_BIND_ADDRESS_NO_PORT` (ip(7), Linux 4.2): a bind to port 0 takes the address only; the port is chosen by
/// connect(2), which can share it between targets.
pub(crate) const IP_BIND_ADDRESS_NO_PORT: libc::c_int = libc::IP_BIND_ADDRESS_NO_PORT;

/// `IP_LOCAL_PORT_RANGE` (IP_LOCAL_PORT_RANGE(2const), Linux 6.3). Not named by the `libc` crate.
pub(crate) const IP_LOCAL_PORT_RANGE: libc::c_int = 51;

/// Sets a 32-bit option of the level `IPPROTO_IP`. IPv6 sockets take options of this level too: the kernel hands them
/// to the IPv4 code (`ipv6_setsockopt` in net/ipv6/ipv6_sockglue.c).
///
/// # Errors
/// As setsockopt(2); `ENOPROTOOPT` when the kernel does not know the option.
pub(crate) fn set_ip_option(socket: &impl AsFd, name: libc::c_int, value: u32) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_IP, name, value)
}

/// Allows a bind to `address` though no interface has it: `IP_FREEBIND` (ip(7)) or `IPV6_FREEBIND` (linux/in6.h, Linux
/// 4.15), as its family wants. Needs no privilege.
///
/// # Errors
/// As setsockopt(2).
pub(crate) fn set_foreign_bind(socket: &impl AsFd, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => set_option(socket, libc::IPPROTO_IP, libc::IP_FREEBIND, 1),
        IpAddr::V6(_) => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_FREEBIND, 1),
    }
}

/// Bounds what a TCP socket takes in while its peer takes nothing: `TCP_NOTSENT_LOWAT` (linux/tcp.h, Linux 3.12), in
/// bytes.
///
/// # Errors
/// As setsockopt(2).
pub(crate) fn set_unsent_max(socket: &impl AsFd, bytes: u32) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, bytes)
}

fn set_option(
    socket: &impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: u32,
) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the borrow, and the pointer and the length describe `value`,
    // which lives past the call; the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(&value).cast(),
            SIZE_OF_U32,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The first byte of what getsockopt(2) `TCP_INFO` answers: `tcpi_state` (linux/tcp.h). The kernel copies out no more
/// than is asked for.
///
/// # Errors
/// As getsockopt(2); `EOPNOTSUPP` for a socket that is not TCP.
pub(crate) fn tcp_info_state(socket: &impl AsFd) -> io::Result<u8> {
    let mut state = 0u8;
    let mut length: libc::socklen_t = 1;
    // SAFETY: the descriptor is open for the length of the borrow; the kernel writes at most `length` bytes, one, into
    // `state`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            std::ptr::from_mut(&mut state).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(state)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Four bytes, as setsockopt(2) wants it told.
const SIZE_OF_U32: libc::socklen_t = 4;

/// What getsockopt(2) `SO_PEERCRED` answers: process, user and group of the peer of a Unix socket.
pub(crate) fn peer_ucred(socket: &impl AsFd) -> io::Result<libc::ucred> {
    let mut credentials = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>())
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the descriptor is open for the length of the borrow; pointer and length describe `credentials`, plain
    // integers for which every bit pattern is valid, so a short write by the kernel leaves it initialised.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            std::ptr::from_mut(&mut credentials).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(credentials)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
pub(crate) fn ip_option(socket: &impl AsFd, name: libc::c_int) -> io::Result<u32> {
    let mut value = 0u32;
    let mut length = SIZE_OF_U32;
    // SAFETY: as in `set_ip_option`; the kernel writes at most `length` bytes into `value`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            name,
            std::ptr::from_mut(&mut value).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(value)
    } else {
        Err(io::Error::last_os_error())
    }
}
