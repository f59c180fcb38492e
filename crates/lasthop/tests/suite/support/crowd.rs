//! Connections in thousands, on one thread: an app that says from where each came to it, and clients that hold tunnels
//! through the proxy.
//!
//! For what is tested by number. What is tested by bytes has the scripted app and the strict client, one thread each.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::Socket;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::app::listen;
use super::{Address, Lasthop, PATIENCE};

/// Clients that set up their tunnels at the same time.
const AT_ONCE: usize = 64;

const UPGRADE: &[u8] =
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What an app does with a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It keeps it.
    Keeps,
    /// It has said `Connection: close`, and closes it so much later, unless the proxy was first.
    SaysSo(Duration),
}

/// One connection as the app sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

/// What the app's thread and the test share.
#[derive(Default)]
struct Shared {
    counts: Mutex<Counts>,
    changed: Condvar,
}

#[derive(Default)]
struct Counts {
    open: usize,
    seen: Vec<Seen>,
}

/// A running app over TCP; ends, with all its connections, when dropped.
///
/// Answers each GET with the address that the connection came from, and echoes in tunnels.
pub(crate) struct CrowdApp {
    address: Address,
    shared: Arc<Shared>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl CrowdApp {
    /// At an address such as `127.0.0.1:3000`.
    pub(crate) fn at(address: &str, after: After) -> Self {
        Self::listening(&[address], after)
    }

    /// At several addresses.
    pub(crate) fn listening(addresses: &[&str], after: After) -> Self {
        let shared = Arc::new(Shared::default());
        let runtime = runtime();
        let listeners: Vec<_> = addresses
            .iter()
            .map(|address| listen(&Address::parse(address), 4096))
            .collect();
        let address = listeners[0].1.clone();
        let (end, ended) = oneshot::channel();
        let counts = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                for (listener, _) in listeners {
                    tokio::spawn(accept(listener, after, Arc::clone(&counts)));
                }
                // Dropped or sent: it is over.
                let _ = ended.await;
            });
        });
        Self {
            address,
            shared,
            end: Some(end),
            thread: Some(thread),
        }
    }

    pub(crate) fn target(&self) -> String {
        self.address.to_string()
    }

    /// All connections so far, in the order in which they were accepted.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.counts.lock().unwrap().seen.clone()
    }

    /// The source addresses of all connections so far, each once, in order.
    pub(crate) fn sources(&self) -> Vec<IpAddr> {
        once(self.seen().iter().map(|seen| seen.source.ip()))
    }

    /// The addresses at which it was reached so far, each once, in order.
    pub(crate) fn destinations(&self) -> Vec<IpAddr> {
        once(self.seen().iter().map(|seen| seen.destination.ip()))
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.shared.counts.lock().unwrap().open
    }

    /// Waits until so many connections have come, whether they are open or not.
    pub(crate) fn wait_for_seen(&self, count: usize) {
        let counts = self.shared.counts.lock().unwrap();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(counts, PATIENCE, |counts| counts.seen.len() < count);
        let (counts, late) = waited.unwrap();
        let now = counts.seen.len();
        drop(counts);
        assert!(
            !late.timed_out(),
            "{now} connections have come, not {count}"
        );
    }

    /// Waits until so many connections are open, no more and no fewer.
    pub(crate) fn wait_for_open(&self, open: usize) {
        let counts = self.shared.counts.lock().unwrap();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(counts, PATIENCE, |counts| counts.open != open);
        let (counts, late) = waited.unwrap();
        let now = counts.open;
        drop(counts);
        assert!(!late.timed_out(), "{now} connections are open, not {open}");
    }
}

impl Drop for CrowdApp {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the app failed");
        }
    }
}

fn once(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let addresses: BTreeSet<_> = addresses.collect();
    addresses.into_iter().collect()
}

async fn accept(listener: Socket, after: After, shared: Arc<Shared>) {
    listener.set_nonblocking(true).expect("a socket");
    let listener = TcpListener::from_std(OwnedFd::from(listener).into()).expect("a listener");
    loop {
        // An error is a client that has gone already.
        let Ok((stream, source)) = listener.accept().await else {
            continue;
        };
        let Ok(destination) = stream.local_addr() else {
            continue;
        };
        // Small answers behind one another.
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        shared.change(|counts| {
            counts.open += 1;
            counts.seen.push(Seen {
                source,
                destination,
            });
        });
        tokio::spawn(async move {
            // An error is the proxy's close.
            let _ = converse(stream, &source.ip().to_string(), after).await;
            shared.change(|counts| counts.open -= 1);
        });
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap());
        self.changed.notify_all();
    }
}

/// The app's side of one connection. Requests have no bodies.
async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    says: &str,
    after: After,
) -> std::io::Result<()> {
    let mut input = Vec::new();
    while let Some(head) = head(&mut stream, &mut input).await? {
        if head.starts_with("GET /ws ") {
            let switch = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Source: {says}\r\n\r\n"
            );
            stream.write_all(switch.as_bytes()).await?;
            return echo(stream).await;
        }
        let closes = match after {
            After::SaysSo(_) => "Connection: close\r\n",
            After::Keeps => "",
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\n{closes}Content-Length: {}\r\n\r\n{says}",
            says.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        match after {
            After::Keeps => {}
            After::SaysSo(later) => {
                let closed = stream.read_buf(&mut input);
                // Whoever is first.
                let _ = tokio::time::timeout(later, closed).await;
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut part = [0; 64];
    loop {
        match stream.read(&mut part).await? {
            0 => return Ok(()),
            count => stream.write_all(&part[..count]).await?,
        }
    }
}

/// The next head; none where the stream ends before.
pub(super) async fn head(
    stream: &mut (impl AsyncRead + Unpin),
    input: &mut Vec<u8>,
) -> std::io::Result<Option<String>> {
    loop {
        if let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = input.drain(..end + 4).collect();
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        if stream.read_buf(input).await? == 0 {
            return Ok(None);
        }
    }
}

/// Clients with a tunnel each, held until dropped.
pub(crate) struct Crowd {
    runtime: Runtime,
    tunnels: Vec<Tunnel>,
}

/// One tunnel through the proxy.
struct Tunnel {
    stream: UnixStream,
    /// Where the app says that it came from.
    source: IpAddr,
}

impl Crowd {
    /// Nobody yet.
    pub(crate) fn new() -> Self {
        Self {
            runtime: runtime(),
            tunnels: Vec::new(),
        }
    }

    /// So many clients more, each with a tunnel through the proxy, which listens on a Unix socket. Each refused one is
    /// a failure.
    pub(crate) fn join(&mut self, proxy: &Lasthop, count: usize) {
        let refused = self.try_join(proxy, count);
        assert!(
            refused.is_empty(),
            "{} of {count} refused: {}",
            refused.len(),
            refused[0]
        );
    }

    /// So many clients more; the answers of those who got no tunnel.
    pub(crate) fn try_join(&mut self, proxy: &Lasthop, count: usize) -> Vec<String> {
        let Address::Unix(path) = proxy.address() else {
            panic!("clients in a crowd need no ports: a Unix socket")
        };
        self.try_join_at(path, count)
    }

    /// The same through whatever proxy listens at `path`.
    pub(crate) fn try_join_at(&mut self, path: &Path, count: usize) -> Vec<String> {
        let mut refused = Vec::new();
        self.runtime.block_on(async {
            let mut begun = 0;
            let mut going_on = JoinSet::new();
            loop {
                while begun < count && going_on.len() < AT_ONCE {
                    going_on.spawn(upgraded(path.to_owned()));
                    begun += 1;
                }
                match going_on.join_next().await {
                    Some(outcome) => match outcome.expect("a client") {
                        Ok(tunnel) => self.tunnels.push(tunnel),
                        Err(answer) => refused.push(answer),
                    },
                    None => return,
                }
            }
        });
        refused
    }

    /// The addresses that the tunnels come from, as the app sees them, in the order of their beginning.
    pub(crate) fn sources(&self) -> Vec<IpAddr> {
        self.tunnels.iter().map(|tunnel| tunnel.source).collect()
    }

    /// Every client says its number and hears it again.
    pub(crate) fn all_echo(&mut self) {
        self.runtime.block_on(async {
            for (number, tunnel) in self.tunnels.iter_mut().enumerate() {
                let word = format!("{number:08}");
                tunnel
                    .stream
                    .write_all(word.as_bytes())
                    .await
                    .expect("a tunnel");
            }
            for (number, tunnel) in self.tunnels.iter_mut().enumerate() {
                let mut word = [0; 8];
                let read = tunnel.stream.read_exact(&mut word);
                let read = tokio::time::timeout(PATIENCE, read).await;
                read.expect("an echo in time").expect("an echo");
                assert_eq!(word, format!("{number:08}").as_bytes());
            }
        });
    }

    /// Everybody but the first so many leaves.
    pub(crate) fn keep(&mut self, count: usize) {
        let _inside = self.runtime.enter();
        // Only their end of each is closed: the proxy closes towards the app.
        self.tunnels.truncate(count);
    }
}

async fn upgraded(path: std::path::PathBuf) -> Result<Tunnel, String> {
    let setting_up = async {
        let mut stream = UnixStream::connect(&path).await?;
        stream.write_all(UPGRADE).await?;
        let mut input = Vec::new();
        let head = head(&mut stream, &mut input).await?;
        let head = head.ok_or(ErrorKind::UnexpectedEof)?;
        Ok::<_, std::io::Error>((stream, head))
    };
    let set_up = tokio::time::timeout(PATIENCE, setting_up).await;
    let (stream, head) = set_up
        .map_err(|_elapsed| "no answer in time".to_owned())?
        .map_err(|error| error.to_string())?;
    let source = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        // HAProxy writes names in small letters.
        .find_map(|(name, value)| name.eq_ignore_ascii_case("x-source").then_some(value))
        .ok_or_else(|| head.clone())?;
    let source = source.trim().parse().expect("an address");
    Ok(Tunnel { stream, source })
}

/// An event loop on one thread.
pub(super) fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}
