//! Starting a TCP handshake to the app, with the two options that keep source ports plentiful.
//!
//! Does not choose the source address and does not wait. `IP_BIND_ADDRESS_NO_PORT` before every bind: without it the
//! kernel takes a port for the address alone, and while that port is held *no* connection of the whole network
//! namespace can be given it (`__inet_hash_connect` in net/ipv4/inet_hashtables.c skips such ports).

use super::fault::{ConnectError, Step};
use crate::option::{IP_BIND_ADDRESS_NO_PORT, IP_LOCAL_PORT_RANGE, set_ip_option};
use crate::probe::{WHOLE_PORT_RANGE, local_port_range_option};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;

/// Starts a connection to `target`, from `source` if one is given, else from the address the kernel chooses.
///
/// The socket is non-blocking, close-on-exec and sends small writes at once (`TCP_NODELAY`). The handshake may still be
/// going on when this returns: wait until the socket is writable, then ask [`tcp_finish`].
///
/// # Errors
/// [`ConnectError`]; [`ConnectError::fault`] says what it means. `SourcePorts` comes from here and not later.
pub fn tcp(target: SocketAddr, source: Option<IpAddr>) -> Result<TcpStream, ConnectError> {
    let socket = Socket::new(
        Domain::for_address(target),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )
    .map_err(ConnectError::at(Step::Socket))?;
    socket
        .set_tcp_nodelay(true)
        .map_err(ConnectError::at(Step::Option))?;
    if local_port_range_option() {
        set_ip_option(&socket, IP_LOCAL_PORT_RANGE, WHOLE_PORT_RANGE)
            .map_err(ConnectError::at(Step::Option))?;
    }
    if let Some(source) = source {
        set_ip_option(&socket, IP_BIND_ADDRESS_NO_PORT, 1)
            .map_err(ConnectError::at(Step::Option))?;
        socket
            .bind(&SockAddr::from(SocketAddr::new(source, 0)))
            .map_err(ConnectError::at(Step::Bind))?;
    }
    match socket.connect(&SockAddr::from(target)) {
        Ok(()) => Ok(socket.into()),
        // The handshake goes on without us.
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket.into()),
        Err(error) => Err(ConnectError::at(Step::Connect)(error)),
    }
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
        let mut stream = tcp(listener.local_addr().unwrap(), None).unwrap();
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
    fn the_port_search_is_asked_to_be_flat_where_the_kernel_can() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = tcp(listener.local_addr().unwrap(), None).unwrap();
        let expected = local_port_range_option().then_some(WHOLE_PORT_RANGE);
        assert_eq!(ip_option(&stream, IP_LOCAL_PORT_RANGE).ok(), expected);
    }

    #[test]
    fn a_source_address_is_used_and_binds_no_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let source = "127.64.0.9".parse().unwrap();
        let stream = tcp(listener.local_addr().unwrap(), Some(source)).unwrap();
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
        let outcome = tcp(target, None).and_then(|stream| {
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
        let error = tcp(listener.local_addr().unwrap(), Some(source)).unwrap_err();
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
        let stream = tcp(listener.local_addr().unwrap(), Some(source)).unwrap();
        wait_writable(&stream);
        tcp_finish(&stream).unwrap();
        assert_eq!(listener.accept().unwrap().1.ip(), source);
    }
}
