//! Connections that are held without any proxy: what a client, a pool or a database driver leaves in the kernel's tables,
//! and programs that go about it badly. Both ends are in this process.

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use lasthop_kernel::connect::{self, Origin};
use socket2::{Domain, Socket, Type};

use super::namespace::raise_descriptors;
use super::{After, CrowdApp};

/// Where the app of a namespace listens, outside of every range of source ports that the tests use.
pub(crate) const APP: &str = "127.0.0.1:3000";

/// Where clients come from that name an address.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Connections to an app that keeps them, and the app.
pub(crate) struct Held {
    pub(crate) app: CrowdApp,
    connections: Vec<TcpStream>,
}

impl Held {
    /// An app at [`APP`] and nobody connected to it.
    pub(crate) fn nobody() -> Self {
        raise_descriptors();
        Self {
            app: CrowdApp::at(APP, After::Keeps),
            connections: Vec::new(),
        }
    }

    /// An app at [`APP`] with so many clients, each of which leaves all choice to connect(2).
    pub(crate) fn of(count: usize) -> Self {
        let mut held = Self::nobody();
        held.join(count);
        held
    }

    /// So many more, open at both ends on return.
    pub(crate) fn join(&mut self, count: usize) {
        let target: SocketAddr = APP.parse().expect("an address");
        for _ in 0..count {
            self.connections
                .push(TcpStream::connect(target).expect("a port"));
        }
        self.app.wait_for_open(self.connections.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }
}

/// A client that binds an address before it connects and lets bind(2) choose the port: nobody else on the host is given
/// that port while it is held. The address is another than the kernel would choose, as it has to be to be seen.
pub(crate) fn client_that_binds_plainly(target: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from((CLIENT, 0));
    socket.bind(&any.into()).expect("a port");
    let target: SocketAddr = target.parse().expect("an address");
    socket.connect(&target.into()).expect("the app");
    socket.into()
}

/// The same client mended: `IP_BIND_ADDRESS_NO_PORT` leaves the port to connect(2).
pub(crate) fn client_that_binds_its_address_alone(target: &str) -> TcpStream {
    let origin = Origin::Address {
        ip: CLIENT.into(),
        foreign: false,
    };
    // Over loopback the handshake is over when connect(2) returns.
    connect::tcp(target.parse().expect("an address"), origin).expect("the app")
}

/// Who closes a connection first, and keeps it in TIME_WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Client,
    App,
}

/// A proxy that makes a connection for each of so many requests and keeps none, in miniature: each is opened to
/// `listener` and closed at both ends. Returns when the kernel has all of them in TIME_WAIT, or as many as it keeps.
pub(crate) fn connections_that_are_closed(listener: &TcpListener, count: usize, first: First) {
    let target = listener.local_addr().expect("an address");
    for _ in 0..count {
        let client = TcpStream::connect(target).expect("a port");
        let (app, _) = listener.accept().expect("the client");
        let (first, second) = match first {
            First::Client => (&client, &app),
            First::App => (&app, &client),
        };
        // Over loopback each end has been told when shutdown(2) returns.
        first.shutdown(Shutdown::Write).expect("a connection");
        second.shutdown(Shutdown::Write).expect("a connection");
    }
}

/// Clients that join one after the other at a fixed rate, on a thread of their own, until they are told to end or one
/// of them finds no port.
pub(crate) struct Rise {
    thread: Option<std::thread::JoinHandle<Option<Duration>>>,
    end: std::sync::mpsc::Sender<()>,
}

impl Rise {
    /// `join` lets one more in; false where there is no room. `period` lies between two.
    pub(crate) fn start(period: Duration, mut join: impl FnMut() -> bool + Send + 'static) -> Self {
        let (end, ended) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let begun = Instant::now();
            let mut due = begun;
            loop {
                due += period;
                let wait = due.saturating_duration_since(Instant::now());
                // Sent or dropped: it is over.
                if ended.recv_timeout(wait) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    return None;
                }
                if !join() {
                    return std::time::SystemTime::now()
                        .duration_since(std::time::UNIX_EPOCH)
                        .ok();
                }
            }
        });
        Self {
            thread: Some(thread),
            end,
        }
    }

    /// Whether there is no room any more.
    pub(crate) fn is_over(&self) -> bool {
        let thread = self.thread.as_ref();
        thread.is_none_or(std::thread::JoinHandle::is_finished)
    }

    /// Waits until there was no room, and says when that was, in milliseconds since 1970.
    pub(crate) fn full_ms(mut self) -> u64 {
        let thread = self.thread.take().expect("not waited for yet");
        let full = thread
            .join()
            .expect("the clients")
            .expect("no end asked for");
        u64::try_from(full.as_millis()).expect("a time")
    }
}

impl Drop for Rise {
    fn drop(&mut self) {
        let _ = self.end.send(());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the clients failed"
            );
        }
    }
}
