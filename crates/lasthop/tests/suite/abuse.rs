//! Many bad clients at once, and a good one beside them: it is served as before, memory stays within its bound, and
//! nothing is left behind.
//!
//! Small by default, so that it runs with every other test. `LASTHOP_ABUSE_CLIENTS` (200: of each kind) and
//! `LASTHOP_ABUSE_SECONDS` (6) make it as large as a host can bear; CONTRIBUTING.md has the figures for a release. It
//! says what it has measured on standard output (`--nocapture`).
//!
//! Time is what is tested here: the bad clients are slow by the clock, and the good one asks at a fixed rate, with its
//! times counted from when it should have asked.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::support::app::listen;
use crate::support::process::{
    limit_descriptors, memory, settled_descriptors, wait_for_descriptors,
};
use crate::support::{Address, Client, Lasthop, Setup, TempDir};

/// How much longer the good client's p99 may be, in milliseconds, for a build without optimisation beside the rest of the
/// suite: the burst in which all bad clients come takes such a worker a second, and twice that where the host has other
/// guests. A worker that is held up is so for seconds. In release, alone: 50.
const P99_MS_MORE: u64 = 1000;

/// Requests of the good client a second.
const GOOD_RATE: u32 = 100;

/// An answer that no client buffer takes: 16 MiB.
const LARGE: usize = 16 * 1024 * 1024;

fn setting(name: &str, default: u64) -> u64 {
    let value = std::env::var(name);
    value.map_or(default, |value| value.parse().expect(name))
}

/// Bad clients of each kind.
fn clients() -> usize {
    usize::try_from(setting("LASTHOP_ABUSE_CLIENTS", 200)).unwrap()
}

fn duration() -> Duration {
    Duration::from_secs(setting("LASTHOP_ABUSE_SECONDS", 6))
}

/// An app on a Unix socket that bears any number of connections: answers `ok`, or much. One thread, because thousands
/// that all want to write would take the processor from the proxy, and that is not what is tested.
struct PatientApp {
    target: String,
    _dir: TempDir,
}

impl PatientApp {
    fn start() -> Self {
        let dir = TempDir::new();
        let (listener, address) = listen(&Address::Unix(dir.join("app.sock")), 4096);
        listener.set_nonblocking(true).expect("a socket");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("a runtime");
        // Ends with the process: it holds nothing of anybody else.
        std::thread::spawn(move || {
            runtime.block_on(async {
                let listener = UnixListener::from_std(OwnedFd::from(listener).into());
                let listener = listener.expect("a listener");
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(answer(stream));
                }
            });
        });
        Self {
            target: address.to_string(),
            _dir: dir,
        }
    }
}

/// Answers each request of one connection; an error is the proxy that has closed it.
async fn answer(mut stream: UnixStream) -> std::io::Result<()> {
    let mut input = Vec::new();
    let mut part = vec![0; 16 * 1024];
    loop {
        let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
            match stream.read(&mut part).await? {
                0 => return Ok(()),
                count => input.extend_from_slice(&part[..count]),
            }
            continue;
        };
        let head: Vec<u8> = input.drain(..end + 4).collect();
        if head.starts_with(b"POST ") {
            // Its body never ends.
            while stream.read(&mut part).await? > 0 {}
            return Ok(());
        }
        if head.starts_with(b"GET /large ") {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            for _ in 0..LARGE / part.len() {
                stream.write_all(&part).await?;
            }
            continue;
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(answer).await?;
    }
}

/// How a client is bad.
#[derive(Clone, Copy, Debug)]
enum Bad {
    /// One byte of its head a second.
    Head,
    /// A body that stops half-way; each tenth after more than is buffered, so that the app waits as well.
    Body,
    /// It asks for much and reads nothing.
    Reader,
}

/// Bad clients that go on until they are told to stop; whoever is closed comes again.
struct Crowd {
    stop: Arc<AtomicBool>,
    connected: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn gather(address: SocketAddr, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let connected = Arc::new(AtomicUsize::new(0));
        let threads = [Bad::Head, Bad::Body, Bad::Reader].map(|bad| {
            let (stop, connected) = (Arc::clone(&stop), Arc::clone(&connected));
            std::thread::spawn(move || misbehave(bad, address, count, &stop, &connected))
        });
        let crowd = Self {
            stop,
            connected,
            threads: threads.into(),
        };
        let begun = Instant::now();
        while crowd.connected.load(Ordering::Relaxed) < 3 * count {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "they do not all come in"
            );
            sleep(Duration::from_millis(10)); // tidy: looks now and then, so as not to take a core from those who connect
        }
        crowd
    }

    fn leave(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a bad client");
        }
    }
}

fn misbehave(
    bad: Bad,
    address: SocketAddr,
    count: usize,
    stop: &AtomicBool,
    connected: &AtomicUsize,
) {
    let mut crowd: Vec<(TcpStream, usize)> = Vec::new();
    for n in 0..count {
        crowd.push((begin(bad, n, address), 0));
        connected.fetch_add(1, Ordering::Relaxed);
    }
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let mut round = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        for (n, (stream, sent)) in crowd.iter_mut().enumerate() {
            if is_over(bad, stream) {
                (*stream, *sent) = (begin(bad, n, address), 0);
            }
            if let Bad::Head = bad {
                let byte = head[*sent % head.len()];
                // A closed connection is seen in the next round.
                let _ = stream.write(&[byte]);
                *sent += 1;
            }
        }
        round += Duration::from_secs(1);
        while Instant::now() < round && !stop.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(20)); // tidy: one byte a second is what is tested
        }
    }
}

/// Connects and misbehaves for the first time.
fn begin(bad: Bad, n: usize, address: SocketAddr) -> TcpStream {
    let mut stream = connect(n, address);
    let sent = match bad {
        Bad::Head => Ok(()),
        Bad::Body => {
            let body = if n.is_multiple_of(10) { 100_000 } else { 1_000 };
            let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
            let head = stream.write_all(head.as_bytes());
            head.and_then(|()| stream.write_all(&vec![b'x'; body]))
        }
        Bad::Reader => stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n"),
    };
    // It may be closed by now; then it begins again.
    let _ = sent;
    stream.set_nonblocking(true).unwrap();
    stream
}

/// Connects from one of sixteen addresses, each with source ports of its own.
fn connect(n: usize, address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let source = [127, 0, 1, u8::try_from(n % 16).unwrap_or(0)];
    let source = SocketAddr::from((source, 0));
    socket.bind(&SockAddr::from(source)).expect("a source port");
    socket
        .connect(&SockAddr::from(address))
        .expect("a listener");
    socket.into()
}

/// Whether the proxy has had enough of a client.
fn is_over(bad: Bad, stream: &mut TcpStream) -> bool {
    if let Bad::Reader = bad {
        return stream.take_error().is_ok_and(|error| error.is_some());
    }
    match stream.read(&mut [0; 512]) {
        // An answer, such as 408: the end follows.
        Ok(_count) => true,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// Times of the good client, in order, each with when it asked.
struct Times(Vec<(Duration, Duration)>);

impl Times {
    fn at(&self, percent: usize) -> Duration {
        self.0[(self.0.len() - 1) * percent / 100].0
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (p50, p99) = (self.at(50), self.at(99));
        let (max, when) = self.0.last().expect("at least one");
        write!(
            f,
            "{} requests, p50 {p50:?}, p99 {p99:?}, longest {max:?} after {when:?}",
            self.0.len()
        )
    }
}

/// Asks at a fixed rate for so long, each tenth time on a new connection. Every answer has to be right.
fn ask(proxy: &Lasthop, time: Duration) -> Times {
    let begun = Instant::now();
    let mut client = proxy.client();
    let mut times = Vec::new();
    let asked = |n: u32| begun + Duration::from_secs(1) * n / GOOD_RATE;
    for n in 0.. {
        let due = asked(n);
        if due > begun + time {
            break;
        }
        sleep(due.saturating_duration_since(Instant::now())); // tidy: a fixed rate is what is tested
        if n.is_multiple_of(10) {
            client = proxy.client();
        }
        let answer = client.request("/");
        assert_eq!(
            (answer.status(), &*answer.text()),
            (200, "ok"),
            "request {n}"
        );
        times.push((due.elapsed(), due - begun));
    }
    times.sort_unstable();
    Times(times)
}

/// Room for both ends of every connection in this process, if the host allows it.
fn raise_limit(wanted: usize) {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("/proc");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok());
    if soft.expect("a limit") < wanted {
        limit_descriptors(std::process::id(), u32::try_from(wanted).unwrap());
    }
}

fn assert_undisturbed(before: &Times, during: &Times) {
    let more = during.at(99).saturating_sub(before.at(99));
    let allowed = Duration::from_millis(setting("LASTHOP_ABUSE_P99_MS", P99_MS_MORE));
    assert!(
        more < allowed,
        "p99 is {more:?} more; before: {before}; during: {during}"
    );
}

#[test]
fn a_good_client_hardly_notices_slow_heads_stalled_bodies_and_readers_that_stop() {
    let count = clients();
    raise_limit(8 * count + 1000);
    let app = PatientApp::start();
    let buffers: u64 = 64 * 1024 * 1024;
    let proxy = Setup::to(&[&app.target])
        .server(&format!(
            "buffer_memory = {:?}",
            format!("{}MiB", buffers >> 20)
        ))
        .start();
    let Address::Tcp(address) = *proxy.address() else {
        panic!("a TCP listener");
    };
    let before = ask(&proxy, duration() / 3);
    let open = settled_descriptors(proxy.pid());
    let memory_before = memory(proxy.pid());
    let crowd = Crowd::gather(address, count);
    let during = ask(&proxy, duration());
    let most = memory(proxy.pid());
    crowd.leave();
    println!(
        "3 × {count} for {:?}: before {before}; beside them {during}",
        duration()
    );
    println!(
        "memory: {} KiB before, {} KiB beside them",
        memory_before >> 10,
        most >> 10
    );
    // As docs/configuration.md adds it up for readers that stop, which hold the most.
    let each = (48 + 8) * 1024;
    let bound = memory_before + buffers + 3 * u64::try_from(count).unwrap() * each;
    let bound = bound * 9 / 8;
    assert!(most < bound, "{most} bytes are more than {bound}");
    wait_for_descriptors(proxy.pid(), open);
    assert_undisturbed(&before, &during);
}

#[test]
fn a_flood_of_garbage_and_half_requests_leaves_nothing_behind() {
    let rate = u32::try_from(clients() * 5 / 2).unwrap();
    raise_limit(4 * clients() + 1000);
    let app = PatientApp::start();
    let proxy = Setup::to(&[&app.target]).start();
    let Address::Tcp(address) = *proxy.address() else {
        panic!("a TCP listener");
    };
    let before = ask(&proxy, duration() / 3);
    let open = settled_descriptors(proxy.pid());
    let stop = AtomicBool::new(false);
    let (during, poured) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| pour(address, rate, &stop));
        let during = ask(&proxy, duration());
        stop.store(true, Ordering::Relaxed);
        (during, flood.join().expect("the flood"))
    });
    println!(
        "{poured} connections in {:?}: before {before}; beside them {during}",
        duration()
    );
    wait_for_descriptors(proxy.pid(), open);
    assert!(Client::connect(proxy.address()).request("/").status() == 200);
    assert_undisturbed(&before, &during);
}

/// Opens connections that say nothing, half of something, or nonsense, and keeps each for a second; returns how many.
fn pour(address: SocketAddr, rate: u32, stop: &AtomicBool) -> usize {
    let begun = Instant::now();
    let mut kept = VecDeque::new();
    for n in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            return n;
        }
        let due = begun + Duration::from_secs(1) * u32::try_from(n).unwrap() / rate;
        sleep(due.saturating_duration_since(Instant::now())); // tidy: a fixed rate is what is tested
        let mut stream = connect(n, address);
        let garbage: &[u8] = match n % 5 {
            0 => b"",
            1 => b"GET / HTTP/1.1\r\nHost",
            2 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            3 => b"\0\0\0\0\0\0\0\0\r\n\r\n",
            _ => b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
        };
        // The proxy may have closed it already.
        let _ = stream.write_all(garbage);
        if n.is_multiple_of(3) {
            let _ = stream.shutdown(Shutdown::Write);
        }
        kept.push_back((Instant::now(), stream));
        while kept
            .front()
            .is_some_and(|(since, _)| since.elapsed() > Duration::from_secs(1))
        {
            kept.pop_front();
        }
    }
    unreachable!("the numbers end after the universe")
}
