//! Starting a TCP handshake to the app, with the two options that keep source ports plentiful.
//!
//! Does not choose where the connection comes from and does not wait. `IP_BIND_ADDRESS_NO_PORT` before every bind to an
//! address alone: without it the kernel takes a port for the address, and while that port is held *no* connection of
//! the whole network namespace can be given it (`__inet_hash_connect` in net/ipv4/inet_hashtables.c skips such ports).

use super::fault::{ConnectError, Step};
use crate::option::{
    IP_BIND_ADDRESS_NO_PORT, IP_LOCAL_PORT_RANGE, set_foreign_bind, set_ip_option,
};
use crate::probe::{WHOLE_PORT_RANGE, local_port_range_option};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;

/// Where a connection comes from: who chooses its source address and its source port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The kernel chooses both, by its routes: no bind(2) at all.
    Kernel,
    /// From this address; the kernel chooses the port, and only in connect(2), so that it can share it between
    /// targets.
    Address {
        /// An address of this host, of the target's family.
        ip: IpAddr,
        /// Whether the address is bound although no interface has it (`IP_FREEBIND`, `IPV6_FREEBIND`): an IPv6 address
        /// of a range that is only routed to `lo` needs it, an IPv4 address of such a range does not. The connection
        /// still comes about only where answers find their way back.
        foreign: bool,
    },
    /// From this address and this very port: the last resort where a neighbour's plain bind(2) keeps the kernel's own
    /// search from ports that are free. Whoever asks for it chooses the port, and tries another where the bind fails
    /// with `EADDRINUSE` ([`ConnectFault::SourcePorts`](super::ConnectFault::SourcePorts) at [`Step::Bind`]).
    ///
    /// The price: while such a connection lives the kernel chooses its port for nobody else in the network namespace,
    /// whatever their addresses. `SO_REUSEADDR` would let several share it, but could take a port from a program that
    /// relies on it, and is never set.
    Port {
        /// An address of this host, of the target's family.
        ip: IpAddr,
        /// The port; 0 would be the neighbour's own mistake and is refused with `EINVAL`.
        port: u16,
        /// As for [`Origin::Address`].
        foreign: bool,
    },
}

/// Starts a connection to `target` from `origin`.
///
/// The socket is non-blocking, close-on-exec and sends small writes at once (`TCP_NODELAY`). The handshake may still be
/// going on when this returns: where [`tcp_is_connected`] denies, wait until the socket is writable, then ask
/// [`tcp_finish`].
///
/// # Errors
/// [`ConnectError`]; [`ConnectError::fault`] says what it means. `SourcePorts` comes from here and not later.
pub fn tcp(target: SocketAddr, origin: Origin) -> Result<TcpStream, ConnectError> {
    let socket = Socket::new(
        Domain::for_address(target),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )
    .map_err(ConnectError::at(Step::Socket))?;
    socket
        .set_tcp_nodelay(true)
        .map_err(ConnectError::at(Step::Option))?;
    match origin {
        Origin::Kernel => flatten_port_search(&socket)?,
        Origin::Address { ip, foreign } => {
            flatten_port_search(&socket)?;
            set_ip_option(&socket, IP_BIND_ADDRESS_NO_PORT, 1)
                .map_err(ConnectError::at(Step::Option))?;
            if foreign {
                set_foreign_bind(&socket, ip).map_err(ConnectError::at(Step::Option))?;
            }
            bind(&socket, SocketAddr::new(ip, 0))?;
        }
        Origin::Port { port: 0, .. } => {
            return Err(ConnectError::at(Step::Bind)(io::Error::from_raw_os_error(
                libc::EINVAL,
            )));
        }
        Origin::Port { ip, port, foreign } => {
            if foreign {
                set_foreign_bind(&socket, ip).map_err(ConnectError::at(Step::Option))?;
            }
            bind(&socket, SocketAddr::new(ip, port))?;
        }
    }
    begin(&socket, target)?;
    Ok(socket.into())
}

/// Has the handshake begin; it goes on without us.
pub(super) fn begin(socket: &Socket, target: SocketAddr) -> Result<(), ConnectError> {
    match socket.connect(&SockAddr::from(target)) {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
        Err(error) => Err(ConnectError::at(Step::Connect)(error)),
    }
}

/// Whether the handshake that [`tcp`] started is over already and went well: it is where the app is on this host, though
/// connect(2) on a non-blocking socket always answers `EINPROGRESS`. All its packets have passed before that call
/// returns, so there is nothing to wait for and nothing to be woken by.
///
/// One call of getpeername(2), which has no answer before the handshake is over or after it failed (`inet_getname` in
/// net/ipv4/af_inet.c), at half the price of `TCP_INFO`. A failure is told by [`tcp_finish`] once the socket is writable.
#[must_use]
pub fn tcp_is_connected(stream: &impl AsFd) -> bool {
    SockRef::from(stream).peer_addr().is_ok()
}

/// Has the kernel look for a free port over the whole range alike, where it can ([`WHOLE_PORT_RANGE`]).
fn flatten_port_search(socket: &Socket) -> Result<(), ConnectError> {
    if local_port_range_option() {
        set_ip_option(socket, IP_LOCAL_PORT_RANGE, WHOLE_PORT_RANGE)
            .map_err(ConnectError::at(Step::Option))?;
    }
    Ok(())
}

fn bind(socket: &Socket, source: SocketAddr) -> Result<(), ConnectError> {
    socket
        .bind(&SockAddr::from(source))
        .map_err(ConnectError::at(Step::Bind))
}

/// The outcome of the handshake that [`tcp`] started, once the socket is writable (`SO_ERROR`, connect(2)).
///
/// # Errors
/// [`ConnectError`] at [`Step::Connect`]. A handshake that is still going on is not an error and not told apart from
/// one that succeeded: ask only after the event loop has reported the socket writable.
pub fn tcp_finish(stream: &impl AsFd) -> Result<(), ConnectError> {
    match SockRef::from(stream).take_error() {
        Ok(None) => Ok(()),
        Ok(Some(error)) | Err(error) => Err(ConnectError::at(Step::Connect)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::ConnectFault;
    use crate::option::ip_option;
    use crate::testing::wait_writable;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn a_connection_comes_about_and_carries_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = tcp(listener.local_addr().unwrap(), Origin::Kernel).unwrap();
        wait_writable(&stream);
        tcp_finish(&stream).unwrap();
        assert!(stream.nodelay().unwrap());
        stream.write_all(b"hello").unwrap();
        drop(stream);
        let mut received = String::new();
        let (mut accepted, peer) = listener.accept().unwrap();
        accepted.read_to_string(&mut received).unwrap();
        assert_eq!(received, "hello");
        assert_eq!(peer.ip().to_string(), "127.0.0.1");
    }

    #[test]
    fn on_one_host_a_handshake_is_over_when_its_start_returns() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // A packet may have been left to another thread of the kernel: seldom, and never for all of them.
        let over = (0..20).filter(|_| tcp_is_connected(&tcp(address, Origin::Kernel).unwrap()));
        assert!(over.count() > 0);
    }

    #[test]
    fn a_refused_handshake_is_not_taken_for_one_that_went_well() {
        let nobody = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let refused = tcp(nobody, Origin::Kernel);
        assert!(refused.is_err() || refused.is_ok_and(|stream| !tcp_is_connected(&stream)));
    }

    #[test]
    fn the_port_search_is_asked_to_be_flat_where_the_kernel_can() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = tcp(listener.local_addr().unwrap(), Origin::Kernel).unwrap();
        let expected = local_port_range_option().then_some(WHOLE_PORT_RANGE);
        assert_eq!(ip_option(&stream, IP_LOCAL_PORT_RANGE).ok(), expected);
    }

    #[test]
    fn a_source_address_is_used_and_binds_no_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let source = "127.64.0.9".parse().unwrap();
        let stream = tcp(
            listener.local_addr().unwrap(),
            Origin::Address {
                ip: source,
                foreign: false,
            },
        )
        .unwrap();
        assert_eq!(ip_option(&stream, IP_BIND_ADDRESS_NO_PORT).unwrap(), 1);
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), source);
    }

    #[test]
    fn a_port_where_nobody_listens_is_refused() {
        let target = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let outcome = tcp(target, Origin::Kernel).and_then(|stream| {
            wait_writable(&stream);
            tcp_finish(&stream)
        });
        assert_eq!(outcome.unwrap_err().fault(), ConnectFault::Refused);
    }

    #[test]
    fn a_source_address_of_another_host_is_named_as_such() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // 192.0.2.0/24 is for documentation (RFC 5737): no host has it.
        let source = "192.0.2.1".parse().unwrap();
        let error = tcp(
            listener.local_addr().unwrap(),
            Origin::Address {
                ip: source,
                foreign: false,
            },
        )
        .unwrap_err();
        assert_eq!(error.fault(), ConnectFault::SourceAddress);
        assert_eq!(error.to_string(), "bind() failed");
    }

    #[test]
    fn ipv6_works_the_same() {
        let Ok(listener) = TcpListener::bind("[::1]:0") else {
            crate::testing::skip("this host has no ::1");
            return;
        };
        let source = "::1".parse().unwrap();
        let stream = tcp(
            listener.local_addr().unwrap(),
            Origin::Address {
                ip: source,
                foreign: false,
            },
        )
        .unwrap();
        wait_writable(&stream);
        tcp_finish(&stream).unwrap();
        assert_eq!(listener.accept().unwrap().1.ip(), source);
    }

    #[test]
    fn a_port_of_our_own_choice_is_used() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ip = "127.64.0.10".parse().unwrap();
        // Whether a port can be had is the kernel's to say; one that it has just given out and taken back can.
        let port = TcpListener::bind((ip, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let stream = tcp(
            listener.local_addr().unwrap(),
            Origin::Port {
                ip,
                port,
                foreign: false,
            },
        )
        .unwrap();
        assert_eq!(stream.local_addr().unwrap(), SocketAddr::new(ip, port));
        assert_eq!(listener.accept().unwrap().1, SocketAddr::new(ip, port));
    }

    #[test]
    fn a_port_that_is_taken_is_a_shortage_of_ports_told_by_bind() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ip = "127.64.0.11".parse().unwrap();
        let taken = TcpListener::bind((ip, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = tcp(
            listener.local_addr().unwrap(),
            Origin::Port {
                ip,
                port,
                foreign: false,
            },
        )
        .unwrap_err();
        assert_eq!(
            (error.step, error.fault()),
            (Step::Bind, ConnectFault::SourcePorts)
        );
    }

    #[test]
    fn port_zero_is_no_port_to_choose() {
        let ip = "127.64.0.12".parse().unwrap();
        let error = tcp(
            "127.0.0.1:1".parse().unwrap(),
            Origin::Port {
                ip,
                port: 0,
                foreign: false,
            },
        )
        .unwrap_err();
        assert_eq!(error.step, Step::Bind);
        assert_eq!(error.source.raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn a_foreign_address_can_be_bound_in_both_families() {
        for (target, ip) in [("127.0.0.1:1", "192.0.2.1"), ("[::1]:1", "2001:db8::1")] {
            let ip = ip.parse().unwrap();
            let by_address = Origin::Address { ip, foreign: true };
            let by_number = Origin::Port {
                ip,
                port: 40_078,
                foreign: true,
            };
            for origin in [by_address, by_number] {
                // Whether packets find their way is another matter; they do not have to here.
                if let Err(error) = tcp(target.parse().unwrap(), origin) {
                    assert_eq!(error.step, Step::Connect, "{error:?}");
                }
            }
        }
    }
}
