//! A look into the network namespace of another process: its settings, its sockets, its counters, and not ours.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share count as tests, which the lint cannot see here"
)]

use lasthop_kernel::namespace::{self, EnterError, in_private_network};
use lasthop_kernel::sock_diag::every_tcp_listener;
use lasthop_kernel::{counters, identity, process, sysctl};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, ChildStdout, Command, Stdio};

/// Set in the run of the test program that plays the container.
const MARK: &str = "LASTHOP_CONTAINER";

/// A process in a network namespace of its own, with ten source ports and one listener; ends when dropped.
struct Container(Child, BufReader<ChildStdout>);

impl Container {
    /// `None`, and a line on stderr, where namespaces are not allowed.
    fn start(test: &str) -> Option<Self> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "a_container_waits_until_it_is_let_go",
                "--exact",
                "--nocapture",
            ])
            .env(MARK, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = match namespace::isolate(&mut command).spawn() {
            Ok(child) => child,
            Err(error) => {
                namespace::skip(test, &error);
                return None;
            }
        };
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.by_ref().lines();
        let ready = lines.any(|line| line.unwrap().contains("the container is ready"));
        assert!(ready, "{:?}", child.wait());
        Some(Self(child, output))
    }

    fn inode(&self) -> u64 {
        std::fs::metadata(format!("/proc/{}/ns/net", self.0.id()))
            .unwrap()
            .ino()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // It reads from the other end of this, and has a last line to say.
        drop(self.0.stdin.take());
        let _ = self.1.read_to_end(&mut Vec::new());
        let _ = self.0.wait();
    }
}

/// The container itself; without the mark there is nothing to play, and its own start is what is tested.
#[test]
fn a_container_waits_until_it_is_let_go() {
    if std::env::var_os(MARK).is_none() {
        let container = Container::start("a_container_waits_until_it_is_let_go");
        assert!(container.is_none_or(|mut container| container.0.try_wait().unwrap().is_none()));
        return;
    }
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40009").unwrap();
    let _listener = TcpListener::bind("127.0.0.1:8080").unwrap();
    println!("\nthe container is ready");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// What is seen from within, and what here meanwhile.
fn look_into(container: &Container) {
    let here = sysctl::local_port_range().unwrap();
    let seen = namespace::within(container.0.id(), || {
        (
            sysctl::local_port_range().unwrap(),
            every_tcp_listener().unwrap().0,
            counters::read().unwrap(),
            std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino(),
            sysctl::tcp_mem().unwrap(),
        )
    });
    let (range, listeners, counters, inode, memory) = seen.unwrap();
    assert_eq!((range.first(), range.last()), (40000, 40009));
    let ports: Vec<_> = listeners.iter().map(|one| one.address.port()).collect();
    assert_eq!(ports, [8080]);
    assert_eq!(counters.tcp_inuse, Some(1));
    assert_eq!(
        (counters.passive_opens, counters.active_opens),
        (Some(0), Some(0))
    );
    assert_eq!(inode, container.inode());
    assert_eq!(
        memory, None,
        "a setting of the host's first namespace alone"
    );
    // Nobody here has moved.
    assert_eq!(sysctl::local_port_range().unwrap(), here);
    let own = std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
    assert_ne!(own, container.inode());
}

/// As root one may enter any; nobody else may enter one that he is not root of.
#[test]
fn a_container_is_looked_into_or_it_is_said_what_is_missing() {
    let name = "a_container_is_looked_into_or_it_is_said_what_is_missing";
    let Some(container) = Container::start(name) else {
        return;
    };
    if identity::effective_uid() == 0 {
        look_into(&container);
    } else {
        let entered = namespace::within(container.0.id(), || ());
        assert!(
            matches!(
                entered,
                Err(EnterError::Denied { .. } | EnterError::Hidden { .. })
            ),
            "{entered:?}"
        );
    }
}

/// Root of a user namespace of one's own, which needs no privilege, is root enough for the namespaces below it.
#[test]
fn a_container_below_a_user_namespace_of_our_own_is_looked_into() {
    let name = "a_container_below_a_user_namespace_of_our_own_is_looked_into";
    in_private_network(name, || {
        if let Some(container) = Container::start(name) {
            look_into(&container);
        }
    });
}

#[test]
fn containers_are_listed_and_named() {
    let Some(container) = Container::start("containers_are_listed_and_named") else {
        return;
    };
    let (namespaces, _) = namespace::every().unwrap();
    let found: Vec<_> = namespaces
        .iter()
        .filter(|one| one.inode == container.inode())
        .collect();
    assert_eq!(found.len(), 1, "{namespaces:?}");
    let pid = container.0.id();
    assert_eq!(
        (found[0].pid, found[0].processes, found[0].own),
        (pid, 1, false)
    );
    let who = process::identity(pid).unwrap();
    assert_eq!(found[0].name, who.name);
    assert_eq!(who.network_namespace, Some(container.inode()));
    assert!(
        who.arguments.iter().any(|one| one == "--nocapture"),
        "{who:?}"
    );
}

#[test]
fn a_panic_in_there_is_a_panic_here() {
    let name = "a_panic_in_there_is_a_panic_here";
    in_private_network(name, || {
        let outcome = std::panic::catch_unwind(|| {
            namespace::within(std::process::id(), || panic!("found something odd"))
        });
        let panic = outcome.unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"found something odd"));
    });
}
