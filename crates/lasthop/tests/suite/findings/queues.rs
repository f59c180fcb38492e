//! Listeners: queues that are full or short, and apps that are open to more than they need to be.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use lasthop_ports::finding::Code;
use socket2::Socket;

use crate::support::app::listen;
use crate::support::doctor::{visit, visit_naming};
use crate::support::held::Rise;
use crate::support::{Address, TempDir, namespace};

const HUNDRED_PORTS: &str = "40000 40099";

/// An app that never accepts: it listens with this backlog, and `waiting` clients wait.
struct AppThatNeverAccepts {
    address: Address,
    _listener: Socket,
    _waiting: Vec<Socket>,
    _dir: TempDir,
}

fn app_that_never_accepts(at: Option<&str>, backlog: i32, waiting: usize) -> AppThatNeverAccepts {
    let dir = TempDir::new();
    let wanted = match at {
        Some(address) => Address::parse(address),
        None => Address::Unix(dir.join("app.sock")),
    };
    let (listener, address) = listen(&wanted, backlog);
    let waiting = (0..waiting).map(|_| {
        let socket = address.socket();
        let connected = socket.connect(&address.sock_addr());
        connected.expect("a place in the queue");
        socket
    });
    AppThatNeverAccepts {
        _waiting: waiting.collect(),
        address,
        _listener: listener,
        _dir: dir,
    }
}

#[test]
fn listen_backlog_overflow_is_told_of_an_app_that_never_accepts() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let app = app_that_never_accepts(Some("127.0.0.1:3000"), 1, 2);
        let address = app.address.clone();
        // Their handshakes are dropped, all the while that the doctor looks on.
        let mut knocking = Vec::new();
        let _rise = Rise::start(Duration::from_millis(100), move || {
            let socket = address.socket();
            socket.set_nonblocking(true).expect("a socket");
            // It goes on in the background.
            let _ = socket.connect(&address.sock_addr());
            knocking.push(socket);
            knocking.len() < 95
        });
        let visit = visit_naming(Code::ListenBacklogOverflow);
        let finding = visit.tells(Code::ListenBacklogOverflow, "critical");
        assert_eq!(finding["subject"]["address"], "127.0.0.1:3000");
        assert_eq!(finding["processes"][0]["pid"], std::process::id());
        assert_eq!(visit.exit, Some(4));
    });
}

#[test]
fn listen_backlog_overflow_is_silent_while_the_queue_has_room() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let _app = app_that_never_accepts(Some("127.0.0.1:3000"), 3, 2);
        visit().is_silent_about(Code::ListenBacklogOverflow);
    });
}

#[test]
fn unix_backlog_full_is_told_of_an_app_that_never_accepts() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let app = app_that_never_accepts(None, 1, 2);
        let visit = visit_naming(Code::UnixBacklogFull);
        let finding = visit.tells(Code::UnixBacklogFull, "critical");
        let Address::Unix(path) = &app.address else {
            panic!("a Unix socket")
        };
        assert_eq!(finding["subject"]["path"], path.display().to_string());
        assert_eq!(finding["processes"][0]["pid"], std::process::id());
    });
}

#[test]
fn unix_backlog_full_is_silent_while_the_queue_has_room() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let _app = app_that_never_accepts(None, 3, 2);
        visit().is_silent_about(Code::UnixBacklogFull);
    });
}

#[test]
fn backlog_clipped_is_told_where_somaxconn_is_less_than_the_app_asked_for() {
    namespace::with_ports(HUNDRED_PORTS, || {
        namespace::set("net/core/somaxconn", "128");
        let _app = app_that_never_accepts(Some("127.0.0.1:3000"), 4096, 0);
        visit().tells(Code::BacklogClipped, "note");
    });
}

#[test]
fn backlog_clipped_is_silent_where_the_app_asked_for_less() {
    namespace::with_ports(HUNDRED_PORTS, || {
        namespace::set("net/core/somaxconn", "128");
        let _app = app_that_never_accepts(Some("127.0.0.1:3000"), 127, 0);
        visit().is_silent_about(Code::BacklogClipped);
    });
}

/// An app at `address` that a proxy on this host has three connections to.
fn used_locally(address: &str) -> (Socket, Vec<TcpStream>) {
    let (listener, _) = listen(&Address::parse(address), 128);
    let target: SocketAddr = "127.0.0.1:3000".parse().expect("an address");
    let pool = (0..3).map(|_| TcpStream::connect(target).expect("the app"));
    (listener, pool.collect())
}

#[test]
fn app_exposed_is_told_of_an_app_that_listens_on_all_addresses() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let _app = used_locally("0.0.0.0:3000");
        let visit = visit();
        let finding = visit.tells(Code::AppExposed, "note");
        assert_eq!(finding["subject"]["address"], "0.0.0.0:3000");
    });
}

#[test]
fn app_exposed_is_silent_about_an_app_that_listens_on_loopback() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let _app = used_locally("127.0.0.1:3000");
        visit().is_silent_about(Code::AppExposed);
    });
}
