//! Private ones, mostly for tests: a network namespace of its own for a test, without privileges and without iproute2.
//!
//! In a fresh namespace a test may shrink the port range to ten and fill it, which nobody else on the machine notices.
//! The kernel lets a process of one thread enter a fresh user namespace only, so the test program is run a second time
//! with nothing but the one test. Also here: sources to connect from that a test may need, and kernels that lack
//! something. The demo isolates its own processes with it; not used by the proxy.

use crate::netlink;
pub use crate::seccomp::{deny_port_range_option, deny_sock_diag, deny_splice};

use crate::wire::route::octets;
use socket2::{Domain, Socket, Type};
use std::ffi::CStr;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set in the second run of the test program.
const MARK: &str = "LASTHOP_PRIVATE_NETWORK";

/// Runs `body` in a network namespace of its own, with `lo` up and the rights to change its settings.
///
/// `test` is the full name of the calling test, as `cargo test -- --list` prints it. Where user namespaces are not
/// allowed the test is skipped with a line on stderr that says so; set `LASTHOP_REQUIRE_NAMESPACES` to make that a
/// failure.
///
/// # Panics
/// When the test fails in there, or when `test` names no test: it is for tests only.
pub fn in_private_network(test: &str, body: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() {
        body();
        return;
    }
    let outcome = std::env::current_exe().and_then(|program| {
        let mut command = Command::new(program);
        command
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(MARK, "1");
        isolate(&mut command).output()
    });
    match outcome {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            // A name that fits no test would otherwise pass without having run anything.
            let ran = text.contains("1 passed");
            assert!(
                output.status.success() && ran,
                "{test} in its own network namespace:\n{text}\n{errors}"
            );
        }
        Err(error) => skip(test, &error),
    }
}

/// Says on stderr, past the capture of the test harness, that `test` is skipped because [`isolate`] failed.
///
/// # Panics
/// Where `LASTHOP_REQUIRE_NAMESPACES` asks for namespaces.
pub fn skip(test: &str, error: &io::Error) {
    assert!(
        std::env::var_os("LASTHOP_REQUIRE_NAMESPACES").is_none(),
        "{test}: no network namespace to be had: {error}"
    );
    // In one piece, because other tests write too; a lost line is no failure.
    let line =
        format!("SKIPPED: {test}: this machine allows no user and network namespaces ({error})\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Has `command` run in fresh user and network namespaces: root inside, nobody special outside, `lo` up.
///
/// Whether the machine allows that shows when the command is spawned: it then fails with the kernel's error
/// (`EPERM`, `ENOSPC`, `EINVAL`, `EACCES`), and nothing has run.
pub fn isolate(command: &mut Command) -> &mut Command {
    // Made before the fork: afterwards nothing may be allocated.
    let users = format!("0 {} 1", crate::identity::effective_uid());
    let groups = format!("0 {} 1", crate::identity::effective_gid());
    // SAFETY: the closure makes bare system calls on memory that exists already (open, write, close, unshare, socket,
    // ioctl); it allocates nothing and takes no lock, so it may run between fork and exec of a program of many threads.
    unsafe {
        command.pre_exec(move || {
            if libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) != 0 {
                return Err(io::Error::last_os_error());
            }
            // Before a group may be mapped without privileges, setgroups(2) must be given up (user_namespaces(7)).
            write_to(c"/proc/self/setgroups", b"deny")?;
            write_to(c"/proc/self/uid_map", users.as_bytes())?;
            write_to(c"/proc/self/gid_map", groups.as_bytes())?;
            bring_up_loopback()
        })
    }
}

/// Sets `lo` of the calling thread's network namespace up, which a fresh one needs before 127.0.0.1 answers
/// (netdevice(7), `SIOCSIFFLAGS`). Allocates nothing.
///
/// # Errors
/// As ioctl(2): `EPERM` without `CAP_NET_ADMIN` in the namespace.
pub fn bring_up_loopback() -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // SAFETY: `ifreq` is a plain structure of integers and arrays, for which zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = from.cast_signed();
    }
    // SAFETY: the request names an interface, is initialised and lives past the call, which fills in its flags.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    const UP: libc::c_short = 1;
    // SAFETY: the call above has filled in the flags, so they are the live field of the union.
    unsafe { request.ifr_ifru.ifru_flags |= UP };
    // SAFETY: as above; the kernel only reads the request.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Has the host of this network namespace answer to a whole network, by a route to `lo` alone: what
/// `ip route add local 10.50.0.0/16 dev lo` does ("AnyIP").
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` in the namespace, `EEXIST` where there is such a route.
pub fn add_local_network(network: IpAddr, prefix: u8) -> io::Result<()> {
    // `struct rtmsg` (linux/rtnetlink.h): tos, table, protocol, scope, kind, flags.
    let mut body = vec![family(network), prefix, 0, 0];
    body.extend_from_slice(&[libc::RT_TABLE_LOCAL, libc::RTPROT_BOOT]);
    body.extend_from_slice(&[libc::RT_SCOPE_HOST, libc::RTN_LOCAL, 0, 0, 0, 0]);
    let attributes: [(u16, &[u8]); 2] = [
        (libc::RTA_DST, &octets(network)),
        (libc::RTA_OIF, &LOOPBACK.to_ne_bytes()),
    ];
    netlink::create(libc::RTM_NEWROUTE, &body, &attributes)
}

/// Gives `lo` one more address: what `ip addr add 10.9.9.9/32 dev lo` does.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` in the namespace, `EEXIST` where it has the address.
pub fn add_loopback_address(address: IpAddr, prefix: u8) -> io::Result<()> {
    // `struct ifaddrmsg` (linux/if_addr.h): flags, scope, interface.
    let mut body = vec![family(address), prefix, 0, libc::RT_SCOPE_HOST];
    body.extend_from_slice(&LOOPBACK.to_ne_bytes());
    let octets = octets(address);
    let attributes: [(u16, &[u8]); 2] = [(libc::IFA_LOCAL, &octets), (libc::IFA_ADDRESS, &octets)];
    netlink::create(libc::RTM_NEWADDR, &body, &attributes)
}

/// The number of `lo`, the first interface of every network namespace (`LOOPBACK_IFINDEX` in the kernel).
const LOOPBACK: u32 = 1;

fn family(address: IpAddr) -> u8 {
    let family = match address {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    };
    u8::try_from(family).unwrap_or_default()
}

/// One open, one write, one close, without the allocations that the standard library may make for a path.
fn write_to(path: &CStr, text: &[u8]) -> io::Result<()> {
    // SAFETY: the path is NUL-terminated; a descriptor that open(2) returns is ours alone.
    let file = unsafe {
        let descriptor = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(descriptor)
    };
    // SAFETY: pointer and length describe `text`.
    let written = unsafe { libc::write(file.as_raw_fd(), text.as_ptr().cast(), text.len()) };
    if usize::try_from(written) == Ok(text.len()) {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
