//! TCP listeners, one per worker on the same address, for this instance alone unless told to share.
//!
//! The order of calls is the point. The first socket goes through listen(2) *without* `SO_REUSEPORT`: listen checks
//! the port once more under the kernel's lock, so exactly one of two starters gets it. Only then the option is set, and
//! our further sockets join (`inet_reuseport_add_sock` builds the group when the second one comes; measured on Linux
//! 6.18: 400 connections spread 100, 91, 106, 103 over four). Setting the option between bind and listen instead
//! would let two starters that have both bound also both listen.

use super::guard::{self, Guarded, ListenGuard};
use super::{Holder, ListenError, backlog_int};
use crate::sysctl;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Whether other instances of lasthop may listen on the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// This instance alone; anything that already listens there is a refusal.
    Exclusive,
    /// Any number of instances that all say so, under the same user.
    Shared,
}

/// The listeners of one address. Dropping it closes them and gives the address up.
#[derive(Debug)]
pub struct TcpListeners {
    /// Non-blocking and close-on-exec, one per worker; the kernel spreads connections over them.
    pub listeners: Vec<TcpListener>,
    /// The address, with the port that the kernel chose where 0 was asked for.
    pub address: SocketAddr,
    /// Keep for as long as any of the listeners is open: it tells other instances that the address is taken.
    pub guard: ListenGuard,
}

/// Opens `count` listeners on `address`, each with room for `backlog` connections that wait to be accepted (clipped by
/// the kernel to `net.core.somaxconn`).
///
/// With port 0 the kernel chooses a port for the first socket and the others follow. An IPv6 listener takes IPv6 only
/// (`IPV6_V6ONLY`, as nginx does by default): `[::]` and `0.0.0.0` are two listeners, whatever the host's `bindv6only`.
///
/// # Errors
/// [`ListenError`]; in particular `AlreadyServed` when anything at all listens there and `sharing` is
/// [`Sharing::Exclusive`], and `NotShared` when an exclusive instance of lasthop does and it is [`Sharing::Shared`].
pub fn tcp(
    address: SocketAddr,
    count: usize,
    sharing: Sharing,
    backlog: u32,
) -> Result<TcpListeners, ListenError> {
    if count == 0 {
        return Err(ListenError::NoWorker { address });
    }
    match sharing {
        Sharing::Exclusive => exclusive(address, count, backlog),
        Sharing::Shared => shared(address, count, backlog),
    }
}

/// Guard before listening: a shared instance that listens after us finds the guard when it looks once more.
fn exclusive(address: SocketAddr, count: usize, backlog: u32) -> Result<TcpListeners, ListenError> {
    // Port 0 is nobody's address yet, so there is nothing to guard before the kernel has chosen one.
    let early = match address.port() {
        0 => None,
        _ => Some(claim_guard(address)?),
    };
    let first = open(address)?;
    bind(&first, address)?;
    listen(&first, address, backlog)?;
    let bound = local_address(&first, address)?;
    let guard = match early {
        Some(guard) => guard,
        None => claim_guard(bound)?,
    };
    first
        .set_reuse_port(true)
        .map_err(host_error(bound, "setsockopt()"))?;
    let listeners = join(first, bound, count, backlog)?;
    Ok(TcpListeners {
        listeners,
        address: bound,
        guard,
    })
}

/// Looks for an exclusive instance before (so that it never loses a connection to us) and after (because it may have
/// started in between).
fn shared(address: SocketAddr, count: usize, backlog: u32) -> Result<TcpListeners, ListenError> {
    refuse_guarded(address)?;
    let first = open(address)?;
    first
        .set_reuse_port(true)
        .map_err(host_error(address, "setsockopt()"))?;
    bind(&first, address)?;
    listen(&first, address, backlog)?;
    let bound = local_address(&first, address)?;
    refuse_guarded(bound)?;
    let listeners = join(first, bound, count, backlog)?;
    Ok(TcpListeners {
        listeners,
        address: bound,
        guard: ListenGuard::none(),
    })
}

fn claim_guard(address: SocketAddr) -> Result<ListenGuard, ListenError> {
    match guard::claim(address).map_err(host_error(address, "the guard's bind()"))? {
        Guarded::Free(guard) => Ok(guard),
        Guarded::Held(by) => Err(ListenError::AlreadyServed {
            address: address.to_string(),
            by: Some(by),
        }),
    }
}

fn refuse_guarded(address: SocketAddr) -> Result<(), ListenError> {
    match guard::exclusive_instance(address)
        .map_err(host_error(address, "looking at the guards"))?
    {
        Some(by) => Err(ListenError::NotShared {
            address: address.to_string(),
            by,
        }),
        None => Ok(()),
    }
}

/// Opens the second to the last socket, which the first one's `SO_REUSEPORT` lets in.
fn join(
    first: Socket,
    address: SocketAddr,
    count: usize,
    backlog: u32,
) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::with_capacity(count);
    listeners.push(first.into());
    while listeners.len() < count {
        let socket = open(address)?;
        socket
            .set_reuse_port(true)
            .map_err(host_error(address, "setsockopt()"))?;
        bind(&socket, address)?;
        listen(&socket, address, backlog)?;
        listeners.push(socket.into());
    }
    Ok(listeners)
}

fn open(address: SocketAddr) -> Result<Socket, ListenError> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )
    .map_err(host_error(address, "socket()"))?;
    if address.is_ipv6() {
        socket
            .set_only_v6(true)
            .map_err(host_error(address, "setsockopt()"))?;
    }
    Ok(socket)
}

/// With `SO_REUSEADDR`, so that connections of an earlier run in TIME_WAIT are no obstacle. For port 0 it is set only
/// afterwards: before, it would let the kernel choose a port that someone else has bound and not yet listened on.
fn bind(socket: &Socket, address: SocketAddr) -> Result<(), ListenError> {
    let reuse = || {
        socket
            .set_reuse_address(true)
            .map_err(host_error(address, "setsockopt()"))
    };
    if address.port() != 0 {
        reuse()?;
    }
    socket
        .bind(&SockAddr::from(address))
        .map_err(|source| refusal(address, "bind()", source))?;
    if address.port() == 0 {
        reuse()?;
    }
    Ok(())
}

fn listen(socket: &Socket, address: SocketAddr, backlog: u32) -> Result<(), ListenError> {
    socket
        .listen(backlog_int(backlog))
        .map_err(|source| refusal(address, "listen()", source))
}

fn local_address(socket: &Socket, asked: SocketAddr) -> Result<SocketAddr, ListenError> {
    let address = socket
        .local_addr()
        .map_err(host_error(asked, "getsockname()"))?;
    Ok(address.as_socket().unwrap_or(asked))
}

/// What bind(2) and listen(2) mean by their errors.
fn refusal(address: SocketAddr, call: &'static str, source: io::Error) -> ListenError {
    match source.raw_os_error() {
        Some(libc::EADDRINUSE) => ListenError::AlreadyServed {
            address: address.to_string(),
            by: Holder::of_tcp(address),
        },
        Some(libc::EACCES) if address.port() != 0 => ListenError::PrivilegedPort {
            address,
            start: sysctl::unprivileged_port_start().ok(),
            source,
        },
        Some(libc::EADDRNOTAVAIL) => ListenError::NoSuchAddress { address, source },
        _ => ListenError::Host {
            address: address.to_string(),
            call,
            source,
        },
    }
}

fn host_error(address: SocketAddr, call: &'static str) -> impl Fn(io::Error) -> ListenError {
    move |source| ListenError::Host {
        address: address.to_string(),
        call,
        source,
    }
}
