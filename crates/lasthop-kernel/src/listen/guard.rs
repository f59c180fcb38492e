//! The guard of an exclusive TCP address: an abstract Unix socket that says "this address is mine".
//!
//! Needed because `SO_REUSEPORT` is a group without a door: once our own workers share a port, the kernel lets any
//! process of the same user join, also a second lasthop that was told to share. Abstract names live in the network
//! namespace, exactly like ports, and vanish with their holder; a lock file does neither. The guard binds only instances
//! of lasthop: a stranger of the same user who sets `SO_REUSEPORT` still gets in, which no process can prevent.
//!
//! Names carry no permissions, so another user could squat on one. Such a holder is ignored: the kernel keeps users
//! apart on shared ports anyway, so it can serve nothing there.

use super::Holder;
use crate::identity::effective_uid;
use crate::socket::peer_credentials;
use socket2::{Domain, SockAddr, Socket, Type};
use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// What every guard's name begins with, after the NUL.
const PREFIX: &str = "lasthop/listen/";

/// Nobody accepts on a guard, so each instance that knocks leaves an entry behind. This many refused starts are told by
/// whom; later ones are refused without a name.
const KNOCKS_MAX: i32 = 4096;

/// How often and how far apart a name is looked at that is bound and does not listen yet: an instance is in that state
/// for the length of one system call, so a second in all is generous. Polled, because nothing tells when it ends.
const CLAIM_TRIES_MAX: u32 = 200;
const CLAIM_PAUSE: Duration = Duration::from_millis(5);

/// Held next to exclusive listeners; other instances see it and keep away. Holds nothing for shared listeners.
#[derive(Debug)]
pub struct ListenGuard {
    /// Only ever held open: its name is its whole use.
    _socket: Option<Socket>,
}

impl ListenGuard {
    pub(super) const fn none() -> Self {
        Self { _socket: None }
    }
}

/// What came of claiming a guard.
pub(super) enum Guarded {
    /// Ours (or squatted by another user, who can do no harm with it).
    Free(ListenGuard),
    /// An instance of our own user has it.
    Held(Holder),
}

/// Who answers on a guard's name.
enum Knock {
    Nobody,
    Stranger,
    Instance(Holder),
}

/// Takes the guard of `address`. Of several instances that start at once exactly one gets it, because bind(2) gives a
/// name once; the others wait until they can see by whom they were beaten.
pub(super) fn claim(address: SocketAddr) -> io::Result<Guarded> {
    let name = name_of(address);
    for _ in 0..CLAIM_TRIES_MAX {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        match socket.bind(&abstract_address(&name)?) {
            Ok(()) => {
                socket.listen(KNOCKS_MAX)?;
                return Ok(Guarded::Free(ListenGuard {
                    _socket: Some(socket),
                }));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => match knock(&name)? {
                Knock::Instance(holder) => return Ok(Guarded::Held(holder)),
                Knock::Stranger => return Ok(Guarded::Free(ListenGuard::none())),
                // Between its bind() and its listen(), or just gone.
                Knock::Nobody => thread::sleep(CLAIM_PAUSE),
            },
            Err(error) => return Err(error),
        }
    }
    // Bound and never listening is no instance of ours.
    Ok(Guarded::Free(ListenGuard::none()))
}

/// An exclusive instance of our user that serves `address`, the wildcard address on the same port, or, if `address` is
/// the wildcard, any address on that port.
pub(super) fn exclusive_instance(address: SocketAddr) -> io::Result<Option<Holder>> {
    for name in overlapping(address) {
        if let Knock::Instance(holder) = knock(&name)? {
            return Ok(Some(holder));
        }
    }
    Ok(None)
}

/// The names of guards that `address` would overlap with. /proc/net/unix lists those that exist; where it cannot be
/// read, the two that can be guessed have to do.
fn overlapping(address: SocketAddr) -> Vec<String> {
    let wildcard = SocketAddr::new(
        match address.ip() {
            IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        },
        address.port(),
    );
    let mut names = vec![name_of(address), name_of(wildcard)];
    if address.ip().is_unspecified() {
        // Lossy: names of other programs may be any bytes.
        let table = std::fs::read("/proc/net/unix").unwrap_or_default();
        names.extend(guards_on(&String::from_utf8_lossy(&table), address));
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// Picks the guards of `address`' port and family out of the text of /proc/net/unix, whose last column shows abstract
/// names with an `@` for the NUL (proc_net(5)).
fn guards_on(table: &str, address: SocketAddr) -> Vec<String> {
    table
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().next_back())
        .filter_map(|name| name.strip_prefix('@')?.strip_prefix(PREFIX))
        .filter_map(|text| text.parse::<SocketAddr>().ok())
        .filter(|held| held.port() == address.port() && held.is_ipv4() == address.is_ipv4())
        .map(name_of)
        .collect()
}

/// Connects to a guard to learn who holds it (`SO_PEERCRED` as of its listen(2)).
fn knock(name: &str) -> io::Result<Knock> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    match socket.connect(&abstract_address(name)?) {
        Ok(()) => {
            let peer = peer_credentials(&socket)?;
            Ok(if peer.uid == effective_uid() {
                Knock::Instance(Holder::of_peer(peer))
            } else {
                Knock::Stranger
            })
        }
        // Nobody there; or bound and not listening, which is an instance that has not claimed yet: it listens on its
        // guard before it listens on the address, so it is found by whoever comes second.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Knock::Nobody),
        // Held, with too many knocks waiting to add one. Whose it is cannot be told; keeping away is the safe answer.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Ok(Knock::Instance(Holder::unknown()))
        }
        Err(error) => Err(error),
    }
}

fn name_of(address: SocketAddr) -> String {
    format!("{PREFIX}{address}")
}

fn abstract_address(name: &str) -> io::Result<SockAddr> {
    SockAddr::unix(Path::new(OsStr::from_bytes(format!("\0{name}").as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_are_found_by_port_and_family() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 17123 @lasthop/listen/127.0.0.1:8080\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 17124 @lasthop/listen/127.0.0.1:8081\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 17125 @lasthop/listen/[::1]:8080\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 17126 @lasthop/listen/nonsense\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 17127\n";
        assert_eq!(
            guards_on(table, "0.0.0.0:8080".parse().unwrap()),
            ["lasthop/listen/127.0.0.1:8080"]
        );
        assert_eq!(
            guards_on(table, "[::]:8080".parse().unwrap()),
            ["lasthop/listen/[::1]:8080"]
        );
    }

    #[test]
    fn a_guard_is_found_while_it_is_held_and_no_longer() {
        // 240.0.0.0/4 is reserved (RFC 1112): no test listens there, so no other test's guard is in the way.
        let address = "240.0.0.1:80".parse().unwrap();
        let Guarded::Free(guard) = claim(address).unwrap() else {
            panic!("held before it was claimed");
        };
        let holder = exclusive_instance(address).unwrap().unwrap();
        assert_eq!(holder.pid, Some(std::process::id()));
        assert!(matches!(claim(address).unwrap(), Guarded::Held(_)));
        let wildcard = "0.0.0.0:80".parse().unwrap();
        assert!(exclusive_instance(wildcard).unwrap().is_some());
        drop(guard);
        assert!(exclusive_instance(address).unwrap().is_none());
    }
}
