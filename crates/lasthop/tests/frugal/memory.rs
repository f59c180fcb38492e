//! Memory: what the proxy's process holds for each connection that is open and has nothing to do.
//!
//! The difference between two crowds, so that what the program itself needs, and what its allocator sets aside at the
//! beginning, does not count. Kernel memory is not in it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use lasthop_kernel::limits;

use super::release::binary;
use super::turn;
use crate::support::process::memory;
use crate::support::programs::skip;
use crate::support::{Address, After, Crowd, CrowdApp, Lasthop, Setup, TempDir};

/// Held before memory is looked at for the first time.
const FEW: usize = 500;

/// Held when it is looked at again. The allocator takes memory in steps of 64 KiB and more; over the difference that
/// makes a few dozen bytes for each. Huge pages would make it 700, and the program asks for none.
const MANY: usize = 3_500;

/// For each connection of the crowd there are two descriptors in the proxy, and two in this process.
const DESCRIPTORS_MIN: u64 = 2 * MANY as u64 + 500;

/// A client and the app, with a tunnel between them: 1,200 today.
const TUNNEL_BYTES_MAX: u64 = 1_320;

/// A client that has had its answer and keeps the connection: 690 today, in either build.
const IDLE_CLIENT_BYTES_MAX: u64 = 760;

/// A proxy that clients reach without a port, before an app for crowds.
struct Scene {
    proxy: Lasthop,
    /// Where the proxy's socket is.
    dir: TempDir,
    app: CrowdApp,
}

impl Scene {
    /// None, said loudly, where there are too few descriptors.
    fn start() -> Option<Self> {
        let descriptors = limits::raise_nofile().expect("setrlimit(2)").soft;
        if descriptors < DESCRIPTORS_MIN {
            skip(&format!(
                "{descriptors} descriptors, and {DESCRIPTORS_MIN} are needed"
            ));
            return None;
        }
        let app = CrowdApp::at("127.0.0.1:0", After::Keeps);
        let dir = TempDir::new();
        let socket = format!("unix:{}", dir.join("front.sock").display());
        let proxy = Setup::to(&[&app.target()])
            .on(&socket)
            .listener("idle_timeout = \"1h\"")
            .more("[log]\naccess = \"off\"")
            .instead_of_binary(&[&binary(), "run"])
            .start();
        Some(Self { proxy, dir, app })
    }

    /// Bytes for each connection between the few and the many that `join` has made.
    fn bytes_for_each(&self, mut join: impl FnMut(usize)) -> u64 {
        join(FEW);
        let before = memory(self.proxy.pid());
        join(MANY - FEW);
        let bytes = memory(self.proxy.pid()).saturating_sub(before);
        bytes / (MANY - FEW) as u64
    }
}

fn check(what: &str, bytes: u64, bytes_max: u64) {
    println!("{bytes} bytes for {what}, at most {bytes_max}");
    assert!(
        bytes <= bytes_max,
        "{bytes} bytes for {what}, at most {bytes_max}"
    );
    assert!(
        bytes > 100,
        "{bytes} bytes for {what} are too few to be true"
    );
}

#[test]
fn a_tunnel_holds_no_more_memory_than_it_may() {
    let _turn = turn();
    let Some(scene) = Scene::start() else { return };
    let mut crowd = Crowd::new();
    let bytes = scene.bytes_for_each(|count| {
        crowd.join(&scene.proxy, count);
        crowd.all_echo();
    });
    check("a tunnel", bytes, TUNNEL_BYTES_MAX);
}

#[test]
fn a_client_between_two_requests_holds_no_more_memory_than_it_may() {
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n";
    let _turn = turn();
    let Some(scene) = Scene::start() else { return };
    let Address::Unix(path) = scene.proxy.address() else {
        panic!("a Unix socket")
    };
    let mut clients = Vec::new();
    let bytes = scene.bytes_for_each(|count| {
        for _ in 0..count {
            let mut client = UnixStream::connect(path).expect("the proxy");
            client.write_all(REQUEST).expect("a request");
            let mut answer = [0; 1024];
            let length = client.read(&mut answer).expect("an answer");
            assert!(answer[..length].starts_with(b"HTTP/1.1 200 "), "an answer");
            clients.push(client);
        }
    });
    check("an idle client", bytes, IDLE_CLIENT_BYTES_MAX);
    assert!(
        scene.app.open() < FEW,
        "one client after the other needs few of the app"
    );
    drop(clients);
    drop(scene.dir);
}
