//! Who holds an address that we were refused: found out for the message, never for a decision.
//!
//! Best effort by nature: /proc shows the descriptors of other users' processes to root only, and a process may be gone
//! a moment later. Reads many small files, so it is called once, when a start fails.

use crate::identity::user_name;
use crate::socket::PeerCredentials;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most processes looked at for the owner of a socket.
const PROCESSES_MAX: usize = 32_768;

/// Whoever serves an address, as far as it could be found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process.
    pub pid: Option<u32>,
    /// Its program, as in /proc/PID/comm (at most 15 characters).
    pub program: Option<String>,
    /// The user it runs as, by number.
    pub uid: Option<u32>,
}

impl Holder {
    pub(super) const fn unknown() -> Self {
        Self {
            pid: None,
            program: None,
            uid: None,
        }
    }

    /// The listener at the other end of a connected Unix socket.
    pub(super) fn of_peer(peer: PeerCredentials) -> Self {
        Self {
            pid: peer.pid,
            program: peer.pid.and_then(program_of),
            uid: Some(peer.uid),
        }
    }

    /// The TCP listener that keeps us from listening on `address`: on the same port, and on the same address or a
    /// wildcard, or on any address if `address` is the wildcard.
    pub(super) fn of_tcp(address: SocketAddr) -> Option<Self> {
        let listener = ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .find_map(|file| {
                let table = fs::read_to_string(file).ok()?;
                table
                    .lines()
                    .filter_map(TcpLine::parse)
                    .find(|line| line.listening && overlaps(line.local, address))
            })?;
        let pid = process_with_socket(listener.inode);
        Some(Self {
            pid,
            program: pid.and_then(program_of),
            uid: Some(listener.uid),
        })
    }
}

impl fmt::Display for Holder {
    /// `nginx (process 812, user www-data)`, or as much of it as is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program.as_deref().unwrap_or("another process"))?;
        let user = self.uid.map(user_name);
        match (self.pid, user) {
            (Some(pid), Some(user)) => write!(f, " (process {pid}, user {user})"),
            (Some(pid), None) => write!(f, " (process {pid})"),
            (None, Some(user)) => write!(f, " of user {user}"),
            (None, None) => Ok(()),
        }
    }
}

/// What is needed of one line of /proc/net/tcp or tcp6 (proc_net(5)).
#[derive(Debug, PartialEq, Eq)]
struct TcpLine {
    local: SocketAddr,
    listening: bool,
    uid: u32,
    inode: u64,
}

impl TcpLine {
    /// `sl local remote st tx:rx tr:when retrnsmt uid timeout inode …`; `None` for the heading and anything unexpected.
    fn parse(line: &str) -> Option<Self> {
        const LISTEN: &str = "0A";
        let mut words = line.split_ascii_whitespace();
        let local = parse_address(words.nth(1)?)?;
        let state = words.nth(1)?;
        let uid = words.nth(3)?.parse().ok()?;
        let inode = words.nth(1)?.parse().ok()?;
        Some(Self {
            local,
            listening: state == LISTEN,
            uid,
            inode,
        })
    }
}

/// `0100007F:1F90`: the address as 32-bit words in the host's byte order, each printed in hexadecimal, then the port.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words = address
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok())
        .collect::<Option<Vec<_>>>()?;
    let ip = match *words.as_slice() {
        [word] => IpAddr::from(Ipv4Addr::from(word.to_ne_bytes())),
        [_, _, _, _] => {
            let mut octets = [0; 16];
            for (chunk, word) in octets.chunks_exact_mut(4).zip(&words) {
                chunk.copy_from_slice(&word.to_ne_bytes());
            }
            IpAddr::from(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// A wildcard IPv6 listener may also hold the IPv4 port (`IPV6_V6ONLY` off), which /proc does not show: it counts.
fn overlaps(held: SocketAddr, wanted: SocketAddr) -> bool {
    held.port() == wanted.port()
        && (held.ip().to_canonical() == wanted.ip()
            || (held.is_ipv6() && held.ip().is_unspecified())
            || (held.is_ipv4() == wanted.is_ipv4()
                && (held.ip().is_unspecified() || wanted.ip().is_unspecified())))
}

/// The first process that has the socket open, among those whose descriptors we may see.
fn process_with_socket(inode: u64) -> Option<u32> {
    let wanted = format!("socket:[{inode}]");
    fs::read_dir("/proc")
        .ok()?
        .take(PROCESSES_MAX)
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| {
            fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|descriptors| {
                descriptors.filter_map(Result::ok).any(|descriptor| {
                    fs::read_link(descriptor.path())
                        .is_ok_and(|target| target.as_os_str() == wanted.as_str())
                })
            })
        })
}

fn program_of(pid: u32) -> Option<String> {
    let program = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(program.trim_ascii_end().escape_debug().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_line_of_the_kernels_table_is_read() {
        let line = "   3: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 24121 1 0000000000000000 100 0 0 10 0";
        let expected = TcpLine {
            local: "127.0.0.1:8080".parse().unwrap(),
            listening: true,
            uid: 33,
            inode: 24121,
        };
        if cfg!(target_endian = "little") {
            assert_eq!(TcpLine::parse(line), Some(expected));
        }
    }

    #[test]
    fn a_line_of_ipv6_is_read() {
        if cfg!(target_endian = "little") {
            assert_eq!(
                parse_address("00000000000000000000000001000000:0050"),
                Some("[::1]:80".parse().unwrap())
            );
        }
    }

    #[test]
    fn anything_else_is_no_line() {
        for line in [
            "",
            "  sl  local_address rem_address   st",
            "1: zz:1 2 3 4 5 6 7 8 9",
        ] {
            assert_eq!(TcpLine::parse(line), None);
        }
    }

    #[test]
    fn our_own_listener_is_found_by_process_and_user() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = Holder::of_tcp(listener.local_addr().unwrap()).unwrap();
        assert_eq!(holder.pid, Some(std::process::id()));
        assert_eq!(holder.uid, Some(crate::identity::effective_uid()));
        let text = holder.to_string();
        assert!(
            text.contains(&format!("(process {}, user ", std::process::id())),
            "{text}"
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        assert_eq!(Holder::unknown().to_string(), "another process");
        let holder = Holder {
            uid: Some(0),
            ..Holder::unknown()
        };
        assert_eq!(holder.to_string(), "another process of user root");
    }
}
