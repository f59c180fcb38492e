//! Kernels that lack something, played by a filter: what is missing is noticed, named, and done without.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share count as tests, which the lint cannot see here"
)]

use lasthop_kernel::connect::{self, Origin};
use lasthop_kernel::namespace::{deny_port_range_option, deny_sock_diag};
use lasthop_kernel::sock_diag::{self, DiagError, TcpFilter};
use lasthop_kernel::{probe, route};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, TcpListener};
use std::process::Command;

/// Set in the second run of the test program.
const MARK: &str = "LASTHOP_DENIED";

/// Runs `body` in a second run of this program with nothing but the one test, from which `deny` has taken something.
fn denied(test: &str, deny: impl FnOnce(&mut Command) -> &mut Command, body: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() {
        body();
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([test, "--exact", "--nocapture"])
        .env(MARK, "1");
    let output = deny(&mut command).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{output:?}"
    );
}

#[test]
fn a_kernel_without_the_port_range_option_is_told_and_connects_all_the_same() {
    let name = "a_kernel_without_the_port_range_option_is_told_and_connects_all_the_same";
    denied(name, deny_port_range_option, || {
        assert!(!probe::local_port_range_option());
        assert!(!probe::flat_port_search());
        for (ip, source) in [
            (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 64, 0, 1])),
            (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()),
        ] {
            let listener = TcpListener::bind((ip, 0)).unwrap();
            let target = listener.local_addr().unwrap();
            let by_address = Origin::Address {
                ip: source,
                foreign: false,
            };
            for origin in [Origin::Kernel, by_address] {
                connect::tcp(target, origin).unwrap();
                listener.accept().unwrap();
            }
        }
        // Nothing else is missing.
        assert!(sock_diag::tcp_listeners(1).is_ok());
    });
}

#[test]
fn a_sandbox_without_sock_diag_is_named_as_such_and_routes_are_still_told() {
    let name = "a_sandbox_without_sock_diag_is_named_as_such_and_routes_are_still_told";
    denied(name, deny_sock_diag, || {
        let error = sock_diag::tcp(&TcpFilter::default(), |_| {}).unwrap_err();
        let DiagError::Unavailable(source) = error else {
            panic!("{error:?}");
        };
        assert_eq!(source.raw_os_error(), Some(93), "EPROTONOSUPPORT");
        assert!(matches!(
            sock_diag::tcp_listeners(1),
            Err(DiagError::Unavailable(_))
        ));
        assert!(route::to(IpAddr::from([127, 0, 0, 1])).is_ok());
    });
}

/// The two can be had together, and what they answer is what a kernel says.
#[test]
fn denials_add_up() {
    fn both(command: &mut Command) -> &mut Command {
        deny_sock_diag(deny_port_range_option(command))
    }
    denied("denials_add_up", both, || {
        assert!(!probe::local_port_range_option());
        assert!(sock_diag::tcp_listeners(1).is_err());
        let refused = std::net::TcpStream::connect("127.0.0.1:1").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}
