//! What the kernel holds towards one TCP address: source ports in use, and connections in TIME_WAIT.
//!
//! Counted from `/proc/net/tcp` (proc_net_tcp in the kernel's documentation), one line per socket, which any user may
//! read and which is quick enough for the some ten thousand lines of a demo. Not for a worker or for regular sampling:
//! there the kernel is asked with a filter instead.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddrV4};

/// The file of IPv4 sockets of this network namespace.
const TCP_SOCKETS: &str = "/proc/net/tcp";
/// TIME_WAIT in the kernel's `enum` of states (include/net/tcp_states.h), as the file prints it.
const TIME_WAIT: &str = "06";
/// A connection that both ends have, likewise.
const ESTABLISHED: &str = "01";

/// The sockets that have to do with one listening address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// Distinct source ports, each with its source address, that cannot be taken for another connection to this
    /// address right now, whatever the state of theirs.
    pub held: u64,
    /// Connections in TIME_WAIT, whichever side holds them. Only those that the connecting side holds keep a source
    /// port.
    pub time_wait: u64,
}

/// Counts what this network namespace holds towards `listener`, an address and port that is not also somebody's source:
/// the two ends of a connection look alike in the file.
///
/// # Errors
/// When `/proc` is not mounted, or a line is not in the documented form.
pub fn towards(listener: SocketAddrV4) -> io::Result<Ports> {
    count(BufReader::new(File::open(TCP_SOCKETS)?), listener)
}

/// The source addresses from which `listener` has connections now, as its program sees its peers, and how many it has
/// from each.
///
/// # Errors
/// As [`towards`].
pub fn peers(listener: SocketAddrV4) -> io::Result<BTreeMap<Ipv4Addr, u64>> {
    peers_in(BufReader::new(File::open(TCP_SOCKETS)?), listener)
}

/// How many source addresses hold something towards `listener`, whatever its state.
///
/// # Errors
/// As [`towards`].
pub fn sources(listener: SocketAddrV4) -> io::Result<u64> {
    sources_in(BufReader::new(File::open(TCP_SOCKETS)?), listener)
}

fn sources_in(lines: impl BufRead, listener: SocketAddrV4) -> io::Result<u64> {
    let mut sources = HashSet::new();
    each(lines, |local, remote, _| {
        if remote == listener {
            sources.insert(*local.ip());
        }
    })?;
    Ok(sources.len() as u64)
}

fn peers_in(lines: impl BufRead, listener: SocketAddrV4) -> io::Result<BTreeMap<Ipv4Addr, u64>> {
    let mut peers = BTreeMap::new();
    each(lines, |local, remote, state| {
        if local == listener && state == ESTABLISHED {
            *peers.entry(*remote.ip()).or_default() += 1;
        }
    })?;
    Ok(peers)
}

fn count(lines: impl BufRead, listener: SocketAddrV4) -> io::Result<Ports> {
    let mut held = HashSet::new();
    let mut time_wait = 0;
    each(lines, |local, remote, state| {
        if remote == listener {
            held.insert(local);
        }
        if state == TIME_WAIT && (remote == listener || local == listener) {
            time_wait += 1;
        }
    })?;
    Ok(Ports {
        held: held.len() as u64,
        time_wait,
    })
}

/// Calls `look` with both ends and the state of each socket.
fn each(
    lines: impl BufRead,
    mut look: impl FnMut(SocketAddrV4, SocketAddrV4, &str),
) -> io::Result<()> {
    for line in lines.lines().skip(1) {
        let line = line?;
        let (local, remote, state) = parse(&line).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{TCP_SOCKETS} has a line in an unknown form: {line}"),
            )
        })?;
        look(local, remote, state);
    }
    Ok(())
}

/// Both ends and the state of one line: `sl local_address rem_address st …`.
fn parse(line: &str) -> Option<(SocketAddrV4, SocketAddrV4, &str)> {
    let mut columns = line.split_ascii_whitespace().skip(1);
    let local = end(columns.next()?)?;
    let remote = end(columns.next()?)?;
    Some((local, remote, columns.next()?))
}

/// `0100007F:0BB8`: the address as the kernel has it in memory, printed as one number; the port in the usual order.
fn end(text: &str) -> Option<SocketAddrV4> {
    let (address, port) = text.split_once(':')?;
    let address = u32::from_str_radix(address, 16).ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddrV4::new(
        Ipv4Addr::from(address.to_ne_bytes()),
        port,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    /// A table as the kernel prints it; the addresses are in this machine's byte order there.
    fn sample() -> String {
        let (client, app, other) = ([127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 3]);
        let mut table = "  sl  local_address rem_address   st\n".to_owned();
        for (local, local_port, remote, remote_port, state) in [
            (app, 3000, [0; 4], 0, "0A"),
            (client, 40_001, app, 3000, "01"),
            (app, 3000, client, 40_001, "01"),
            // The same port from another address is another one.
            (other, 40_001, app, 3000, "01"),
            (app, 3000, other, 40_001, "01"),
            (client, 40_003, app, 3000, "06"),
            (app, 3000, client, 40_005, "06"),
            (client, 40_007, app, 3001, "06"),
            // Not ours, though the port is the same: another app's connection from this source port.
            (other, 3001, client, 3000, "06"),
        ] {
            let end =
                |address: [u8; 4], port| format!("{:08X}:{port:04X}", u32::from_ne_bytes(address));
            let (local, remote) = (end(local, local_port), end(remote, remote_port));
            table.push_str(&format!(
                "   0: {local} {remote} {state} 00000000:00000000\n"
            ));
        }
        table
    }

    #[test]
    fn source_ports_and_time_wait_of_one_address_are_counted() {
        let app = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 3000);
        let ports = count(sample().as_bytes(), app).unwrap();
        assert_eq!(
            ports,
            Ports {
                held: 3,
                time_wait: 2
            }
        );
    }

    #[test]
    fn the_peers_of_an_app_are_those_it_is_connected_with() {
        let app = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 3000);
        let peers = peers_in(sample().as_bytes(), app).unwrap();
        let expected = [[127, 0, 0, 1], [127, 0, 0, 3]].map(|address| (address.into(), 1));
        assert_eq!(peers, BTreeMap::from(expected));
    }

    #[test]
    fn source_addresses_count_in_any_state() {
        let towards = |address| SocketAddrV4::new(Ipv4Addr::from(address), 3000);
        let count = |listener| sources_in(sample().as_bytes(), listener).unwrap();
        assert_eq!(count(towards([127, 0, 0, 2])), 2);
        assert_eq!(count(towards([127, 0, 0, 9])), 0);
    }

    #[test]
    fn a_line_in_another_form_is_an_error_and_no_zero() {
        let app = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 3000);
        let error = count(&b"header\n 0: nonsense\n"[..], app).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn an_open_connection_holds_one_source_port_of_this_host() {
        // An address of its own, so that no other test's connection can look like ours.
        let listener = TcpListener::bind("127.0.0.72:0").unwrap();
        let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else {
            panic!("an IPv4 listener has an IPv4 address");
        };
        let _client = TcpStream::connect(address).unwrap();
        assert_eq!(
            towards(address).unwrap(),
            Ports {
                held: 1,
                time_wait: 0
            }
        );
    }
}
