//! Requests in thousands, from clients on one thread, and the app with the shortest queue that they go to.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::Socket;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::app::listen;
use super::crowd::{head, runtime};
use super::{Address, Lasthop, PATIENCE, TempDir};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// What came of many requests: how many of each status, and an example of what was no 200.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) served: usize,
    pub(crate) failed: usize,
    pub(crate) example: Option<String>,
}

/// Clients that ask again and again, each on a connection that it keeps, for so long; `pause` lies between two requests
/// of one client.
pub(crate) fn ask(proxy: &Lasthop, clients: usize, time: Duration, pause: Duration) -> Tally {
    let Address::Unix(path) = proxy.address().clone() else {
        panic!("clients in a crowd need no ports: a Unix socket")
    };
    let until = Instant::now() + time;
    let mut total = Tally::default();
    runtime().block_on(async {
        let mut asking = JoinSet::new();
        for number in 0..clients {
            // Spread over the first pause, as clients that know nothing of each other are.
            let first = pause * u32::try_from(number).unwrap() / u32::try_from(clients).unwrap();
            asking.spawn(ask_until(path.clone(), until, first, pause));
        }
        while let Some(tally) = asking.join_next().await {
            let tally = tally.expect("a client");
            total.served += tally.served;
            total.failed += tally.failed;
            total.example = total.example.take().or(tally.example);
        }
    });
    total
}

async fn ask_until(path: PathBuf, until: Instant, first: Duration, pause: Duration) -> Tally {
    let mut tally = Tally::default();
    let mut due = Instant::now() + first;
    let mut kept = None;
    while due < until {
        tokio::time::sleep_until(due.into()).await; // tidy: a fixed rate is what is tested
        // Whoever is late asks at once.
        due = Instant::now().max(due + pause);
        let asked = tokio::time::timeout(PATIENCE, request(&path, &mut kept)).await;
        let asked = asked.unwrap_or_else(|_elapsed| Err(ErrorKind::TimedOut.into()));
        match asked {
            Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => tally.served += 1,
            other => {
                tally.failed += 1;
                tally.example.get_or_insert_with(|| match other {
                    Ok(answer) => answer,
                    Err(error) => error.to_string(),
                });
                kept = None;
            }
        }
    }
    tally
}

/// One request, and the head of its answer; the body is read and dropped.
async fn request(path: &Path, kept: &mut Option<UnixStream>) -> std::io::Result<String> {
    let stream = match kept {
        Some(stream) => stream,
        None => kept.insert(UnixStream::connect(path).await?),
    };
    stream.write_all(GET).await?;
    let mut input = Vec::new();
    let head = head(stream, &mut input).await?;
    let head = head.ok_or(ErrorKind::UnexpectedEof)?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.ok_or(ErrorKind::InvalidData)?;
    while input.len() < length {
        if stream.read_buf(&mut input).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

/// An app on a Unix socket whose listen queue holds few, and that has so many threads, each of which accepts, answers
/// one request and closes: a plain sync worker.
pub(crate) struct SmallBacklogApp {
    pub(crate) target: String,
    threads: Vec<JoinHandle<()>>,
    listener: Arc<Socket>,
    _dir: TempDir,
}

impl SmallBacklogApp {
    pub(crate) fn start(backlog: i32, threads: usize) -> Self {
        let dir = TempDir::new();
        let (listener, address) = listen(&Address::Unix(dir.join("app.sock")), backlog);
        let listener = Arc::new(listener);
        let threads = (0..threads).map(|_| {
            let listener = Arc::clone(&listener);
            std::thread::spawn(move || {
                // An error is the end: the listener is shut down.
                while let Ok((socket, _)) = listener.accept() {
                    answer_once(&socket);
                }
            })
        });
        Self {
            target: address.to_string(),
            threads: threads.collect(),
            listener,
            _dir: dir,
        }
    }
}

/// Reads one request and answers it; a proxy that has gone meanwhile is no failure.
fn answer_once(mut socket: &Socket) {
    let mut input = Vec::new();
    let mut part = [0; 4096];
    while !input.windows(4).any(|four| four == b"\r\n\r\n") {
        match socket.read(&mut part) {
            Ok(count @ 1..) => input.extend_from_slice(&part[..count]),
            _ => return,
        }
    }
    let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

impl Drop for SmallBacklogApp {
    fn drop(&mut self) {
        let _ = self.listener.shutdown(Shutdown::Both);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the app failed");
        }
    }
}
