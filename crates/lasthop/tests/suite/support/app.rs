//! An app that follows a script: one thread a connection, each told what to do, byte by byte.

use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::JoinHandle;

use socket2::Socket;

use super::wire::{Body, Cut, Wire};
use super::{Address, Head, PATIENCE, TempDir};

/// Where an app listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp,
    Unix,
    Abstract,
}

/// A whole request as the app received it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

/// One connection that the app accepted.
pub(crate) struct Conn {
    pub(crate) wire: Wire,
    /// Counts from 0.
    pub(crate) number: usize,
}

impl Conn {
    /// The head of the next request; `None` when the proxy closes instead.
    pub(crate) fn head(&mut self) -> Option<Head> {
        match self.wire.head() {
            Ok(head) => {
                assert!(
                    head.start.ends_with(" HTTP/1.1"),
                    "the request line {:?}",
                    head.start
                );
                Some(head)
            }
            Err(_) => None,
        }
    }

    /// The body that belongs to `head`.
    pub(crate) fn body(&mut self, head: &Head) -> Result<Body, Cut> {
        self.wire.body(head.request_framing())
    }

    /// The next request, whole; `None` when the proxy closes before that.
    pub(crate) fn request(&mut self) -> Option<Request> {
        let head = self.head()?;
        let body = self.body(&head).ok()?;
        Some(Request {
            head,
            body: body.bytes,
            trailers: body.trailers,
        })
    }

    /// Sends; false when the proxy has gone.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.send(bytes.as_ref()).is_ok()
    }

    /// Sends a 200 with this body and its length.
    pub(crate) fn answer(&mut self, body: impl AsRef<[u8]>) -> bool {
        let body = body.as_ref();
        let mut bytes =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        self.send(bytes)
    }

    pub(crate) fn reset(self) {
        self.wire.reset();
    }

    /// Waits until the proxy closes; what it sent before that is dropped.
    pub(crate) fn until_closed(&mut self) {
        self.wire.drain();
    }
}

/// What the accepting thread, the connections and the test share.
#[derive(Default)]
struct Shared {
    accepted: Mutex<usize>,
    changed: Condvar,
    stopping: AtomicBool,
    open: Mutex<Vec<Weak<Socket>>>,
    scripts: Mutex<Vec<JoinHandle<()>>>,
}

/// A running app; ends, with all its connections, when dropped. A script that panicked fails the test then.
pub(crate) struct App {
    address: Address,
    shared: Arc<Shared>,
    listener: Weak<Socket>,
    accepting: Option<JoinHandle<()>>,
    dir: Option<TempDir>,
}

impl App {
    /// Over TCP, on a port that the kernel chooses.
    pub(crate) fn scripted(script: impl Fn(Conn) + Send + Sync + 'static) -> Self {
        Self::on(Place::Tcp, script)
    }

    pub(crate) fn on(place: Place, script: impl Fn(Conn) + Send + Sync + 'static) -> Self {
        let dir = TempDir::new();
        let address = match place {
            Place::Tcp => Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
            Place::Unix => Address::Unix(dir.join("app.sock")),
            Place::Abstract => Address::Abstract(dir.path().display().to_string()),
        };
        let mut app = Self::at(&address, script);
        app.dir = Some(dir);
        app
    }

    /// At a given address: a port that was just free, or a path, whose old file is removed as an app would.
    pub(crate) fn at(address: &Address, script: impl Fn(Conn) + Send + Sync + 'static) -> Self {
        let (listener, address) = listen(address, 1024);
        let listener = Arc::new(listener);
        let weak = Arc::downgrade(&listener);
        let shared = Arc::new(Shared::default());
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            let script: Arc<dyn Fn(Conn) + Send + Sync> = Arc::new(script);
            move || accept(&listener, &shared, &script)
        });
        Self {
            address,
            shared,
            listener: weak,
            accepting: Some(accepting),
            dir: None,
        }
    }

    /// The TARGET for lasthop.
    pub(crate) fn target(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// How many connections it has accepted.
    pub(crate) fn accepted(&self) -> usize {
        *self.shared.accepted.lock().unwrap()
    }

    /// Waits until it has accepted so many.
    pub(crate) fn wait_for_accepted(&self, n: usize) {
        let (accepted, late) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.accepted.lock().unwrap(), PATIENCE, |a| *a < n)
            .unwrap();
        assert!(!late.timed_out(), "{} of {n} connections came", *accepted);
    }

    /// Ends as a killed process does: the listener and every connection are closed at once. The socket file stays.
    pub(crate) fn kill(mut self) -> Option<TempDir> {
        self.stop();
        self.dir.take()
    }

    fn stop(&mut self) {
        let Some(accepting) = self.accepting.take() else {
            return;
        };
        // Relaxed: the shutdown below, a system call, orders it well enough, and the join does.
        self.shared.stopping.store(true, Ordering::Relaxed);
        // On Linux this ends a waiting accept() with EINVAL, on both kinds of listener. A connection of our own would
        // wake it too, but not when a test has used up the source ports.
        if let Some(listener) = self.listener.upgrade() {
            let _ = listener.shutdown(Shutdown::Both);
        }
        let _ = accepting.join();
        for socket in self.shared.open.lock().unwrap().drain(..) {
            if let Some(socket) = socket.upgrade() {
                // Fails on a connection that the proxy has reset.
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
        let scripts = std::mem::take(&mut *self.shared.scripts.lock().unwrap());
        let failed = scripts.into_iter().filter_map(|s| s.join().err()).count();
        assert!(
            failed == 0 || std::thread::panicking(),
            "{failed} scripts of the app failed, see above"
        );
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A listening socket, and where it came to listen.
pub(crate) fn listen(address: &Address, backlog: i32) -> (Socket, Address) {
    let socket = address.socket();
    match address {
        Address::Tcp(_) => socket.set_reuse_address(true).expect("SO_REUSEADDR"),
        Address::Unix(path) => drop(std::fs::remove_file(path)),
        Address::Abstract(_) => {}
    }
    socket
        .bind(&address.sock_addr())
        .unwrap_or_else(|error| panic!("cannot listen on {address}: {error}"));
    socket.listen(backlog).expect("listen");
    let bound = socket.local_addr().expect("an address");
    let address = match bound.as_socket() {
        Some(bound) => Address::Tcp(bound),
        None => address.clone(),
    };
    (socket, address)
}

fn accept(listener: &Socket, shared: &Arc<Shared>, script: &Arc<dyn Fn(Conn) + Send + Sync>) {
    loop {
        let accepted = listener.accept();
        if shared.stopping.load(Ordering::Relaxed) {
            return;
        }
        // An error here is a client that has gone already.
        let Ok((socket, _)) = accepted else { continue };
        let number = {
            let mut accepted = shared.accepted.lock().unwrap();
            *accepted += 1;
            *accepted - 1
        };
        shared.changed.notify_all();
        let wire = Wire::new(socket);
        shared.open.lock().unwrap().push(wire.socket());
        let script = Arc::clone(script);
        let conn = Conn { wire, number };
        let thread = std::thread::spawn(move || script(conn));
        shared.scripts.lock().unwrap().push(thread);
    }
}
