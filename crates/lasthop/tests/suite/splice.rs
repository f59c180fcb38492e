//! Large transfers move from socket to socket without a copy, and nobody can tell by the bytes: all of them arrive, in
//! order, only where they belong, and ends are what they are for small ones.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lasthop_kernel::namespace::deny_splice;

use crate::support::{
    Address, App, Client, Conn, Ending, Gate, Lasthop, PATIENCE, Place, Setup, pattern,
};

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"";
const MIB: usize = 1 << 20;

/// A proxy whose numbers can be read, and how to read them.
struct Proxy {
    lasthop: Lasthop,
    admin: Address,
}

impl Proxy {
    fn before(app: &App) -> Self {
        Self::start(Setup::to(&[&app.target()]))
    }

    fn start(setup: Setup) -> Self {
        let lasthop = setup.more(ADMIN).start();
        let admin = lasthop.admin();
        Self { lasthop, admin }
    }

    fn metric(&self, name: &str) -> usize {
        let request = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
        let page = Client::connect(&self.admin).exchange(request).text();
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        page.lines().find_map(value).expect("the metric")
    }

    /// Waits until a number is what it should be; the workers publish theirs every tenth of a second.
    fn until(&self, name: &str, holds: impl Fn(usize) -> bool) {
        let begun = Instant::now();
        loop {
            let value = self.metric(name);
            if holds(value) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{name} is {value}");
        }
    }

    /// Most of `bytes` moved without a copy. What comes before a transfer has shown to be large is copied, and what
    /// comes while its receiver is full may be.
    fn spliced_most_of(&self, bytes: usize) {
        self.until("lasthop_spliced_bytes_total", |spliced| spliced > bytes / 2);
    }

    fn holds_nothing(&self) {
        self.until("lasthop_buffered_bytes", |bytes| bytes == 0);
    }
}

/// Has those who send without end stop, also where the test has failed.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends `length` bytes of the pattern without having them all in memory; false when the proxy has gone.
fn send_pattern(conn: &mut Conn, length: usize) -> bool {
    let block = pattern(MIB);
    // The pattern begins anew with each MiB.
    (0..length / MIB).all(|_| conn.send(&block))
}

/// Reads `length` bytes and compares each with the pattern.
fn expect_pattern(client: &mut Client, length: usize) {
    let block = pattern(MIB);
    for at in 0..length / MIB {
        let part = client.0.exactly(MIB).expect("the whole body");
        assert!(part == block, "MiB {at} is not what was sent");
    }
}

/// An app that answers any request with so many MiB, and one for `/small` with a word.
fn large(place: Place, mebibytes: usize) -> App {
    App::on(place, move |mut conn| {
        while let Some(request) = conn.request() {
            if request.head.target() == "/small" {
                conn.answer("small");
                continue;
            }
            let length = mebibytes * MIB;
            conn.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
            ));
            if !send_pattern(&mut conn, length) {
                return;
            }
        }
    })
}

fn ask(client: &mut Client, target: &str) {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
}

#[test]
fn what_comes_before_an_app_pauses_is_passed_on_at_once_also_where_much_is_to_follow() {
    const LENGTH: usize = 200_000;
    for place in [Place::Tcp, Place::Unix] {
        let (tell, told) = std::sync::mpsc::channel();
        let told = Mutex::new(told);
        let app = App::on(place, move |mut conn| {
            let told = told.lock().unwrap();
            while let Some(request) = conn.request() {
                let first: usize = request.head.target()[1..].parse().expect("a number");
                let body = pattern(LENGTH);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
                conn.send([head.as_bytes(), &body[..first]].concat());
                let () = told.recv_timeout(PATIENCE).expect("leave to go on");
                conn.send(&body[first..]);
            }
        });
        let proxy = Lasthop::before(&app);
        let mut client = proxy.client();
        // What fits one read, what is gathered, and what ends in a pipe behind it.
        for first in [10_000, 20_000, 90_000, 150_000] {
            let mut took = Vec::new();
            for _ in 0..5 {
                let begun = Instant::now();
                ask(&mut client, &format!("/{first}"));
                assert_eq!(client.head().status(), 200);
                let mut body = client.0.exactly(first).expect("what the app has sent");
                took.push(begun.elapsed());
                tell.send(()).expect("the app");
                body.extend(client.0.exactly(LENGTH - first).expect("the rest"));
                assert!(body == pattern(LENGTH), "{first}: other bytes came");
            }
            // A segment that waits for more is sent after 0.2 s; a busy host may hold up one or two.
            took.sort_unstable();
            assert!(took[2] < Duration::from_millis(150), "{first}: {took:?}");
        }
    }
}

#[test]
fn a_hundred_mebibytes_reach_a_client_that_stops_reading_for_a_while_byte_for_byte() {
    for place in [Place::Tcp, Place::Unix] {
        let app = large(place, 100);
        let proxy = Proxy::before(&app);
        let mut client = proxy.lasthop.client();
        ask(&mut client, "/");
        // The client takes nothing: the kernel's buffers fill up, and then the response buffer.
        proxy.until("lasthop_buffered_bytes", |bytes| bytes >= 256 * 1024);
        assert_eq!(client.head().status(), 200);
        expect_pattern(&mut client, 100 * MIB);
        assert_eq!(client.request("/small").text(), "small");
        proxy.spliced_most_of(100 * MIB);
        proxy.holds_nothing();
        assert_eq!(app.accepted(), 1, "the app's connection was kept");
    }
}

#[test]
fn a_body_that_ends_with_the_connection_is_spliced_to_an_old_client() {
    let app = App::scripted(|mut conn| {
        if conn.request().is_some() {
            conn.send("HTTP/1.0 200 OK\r\n\r\n");
            send_pattern(&mut conn, 20 * MIB);
        }
    });
    let proxy = Proxy::before(&app);
    let mut client = proxy.lasthop.client();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    expect_pattern(&mut client, 20 * MIB);
    assert_eq!(client.ending(), Ending::Closed);
    proxy.spliced_most_of(20 * MIB);
}

#[test]
fn what_comes_behind_an_urgent_byte_is_not_lost_with_it() {
    let app = App::on(Place::Tcp, |mut conn| {
        if conn.request().is_some() {
            conn.send("HTTP/1.0 200 OK\r\n\r\n");
            send_pattern(&mut conn, 4 * MIB);
            let socket = conn.wire.socket().upgrade().expect("it is open");
            socket.send_out_of_band(b"!").expect("an urgent byte");
            conn.send("and the rest");
            conn.wire.finish_sending();
            conn.wire.drain();
        }
    });
    let proxy = Proxy::before(&app);
    for _ in 0..10 {
        let mut client = proxy.lasthop.client();
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        assert_eq!(client.head().status(), 200);
        expect_pattern(&mut client, 4 * MIB);
        assert_eq!(client.0.rest(), (b"and the rest".to_vec(), Ending::Closed));
    }
    proxy.spliced_most_of(40 * MIB);
}

#[test]
fn uploads_in_bulk_leave_newcomers_their_descriptors() {
    let app = App::on(Place::Tcp, |mut conn| {
        while let Some(head) = conn.head() {
            if head.target() == "/small" {
                conn.answer("small");
                continue;
            }
            while conn.wire.some().is_ok() {}
            return;
        }
    });
    let proxy = Proxy::start(Setup::to(&[&app.target()]).under("ulimit -n 200"));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&ended);
        for _ in 0..25 {
            let mut client = proxy.lasthop.client();
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n");
            let ended = &ended;
            scope.spawn(move || {
                let block = pattern(MIB);
                while !ended.load(Ordering::Relaxed) && client.0.send(&block).is_ok() {}
            });
        }
        proxy.until("lasthop_spliced_bytes_total", |bytes| bytes > 100 * MIB);
        let mut newcomers: Vec<_> = (0..20).map(|_| proxy.lasthop.client()).collect();
        let answers = newcomers.iter_mut().map(|one| one.request("/small"));
        let answers: Vec<_> = answers.map(|answer| answer.status()).collect();
        assert_eq!(answers, [200; 20]);
    });
}

#[test]
fn long_chunks_cross() {
    let app = App::scripted(|mut conn| {
        while conn.request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for _ in 0..10 {
                conn.send("100000\r\n");
                send_pattern(&mut conn, MIB);
                conn.send("\r\n");
            }
            conn.send("0\r\n\r\n");
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    for _ in 0..2 {
        let answer = client.request("/");
        assert!(answer.body == pattern(MIB).repeat(10));
    }
}

#[test]
fn long_uploads_reach_the_app_byte_for_byte_and_the_next_request_behind_them_too() {
    for place in [Place::Tcp, Place::Unix] {
        let app = App::on(place, |mut conn| {
            while let Some(request) = conn.request() {
                let whole = request.body == pattern(MIB).repeat(request.body.len() / MIB);
                conn.answer(format!("{} {whole}", request.body.len()));
            }
        });
        let proxy = Proxy::before(&app);
        let mut client = proxy.lasthop.client();
        // All of it at once: the head of the next request lies right behind the last byte of the body.
        let upload = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            50 * MIB
        );
        let mut bytes = upload.into_bytes();
        bytes.extend(pattern(MIB).repeat(50));
        bytes.extend_from_slice(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.send(bytes);
        assert_eq!(client.answer().text(), format!("{} true", 50 * MIB));
        assert_eq!(client.answer().text(), "0 true");
        proxy.spliced_most_of(50 * MIB);
    }
}

#[test]
fn what_an_app_sends_beyond_its_answer_reaches_nobody() {
    let app = App::scripted(|mut conn| {
        while conn.request().is_some() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 10 * MIB);
            let mut bytes = head.into_bytes();
            bytes.extend(pattern(MIB).repeat(10));
            bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
            conn.send(bytes);
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    ask(&mut client, "/");
    ask(&mut client, "/");
    for _ in 0..2 {
        assert_eq!(client.head().status(), 200);
        expect_pattern(&mut client, 10 * MIB);
    }
}

#[test]
fn an_answer_that_the_app_cuts_never_looks_whole() {
    let app = App::scripted(|mut conn| {
        let Some(head) = conn.head() else { return };
        let framing = match head.target() {
            "/sized" => format!("Content-Length: {}\r\n", 40 * MIB),
            _ => String::new(),
        };
        conn.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n"));
        send_pattern(&mut conn, 20 * MIB);
        if head.target() == "/reset" {
            conn.reset();
        }
    });
    let proxy = Lasthop::before(&app);
    let mut client = proxy.client();
    ask(&mut client, "/sized");
    let cut = client.try_answer_to("GET").expect_err("half an answer");
    assert_eq!(cut.cut.body.len(), 20 * MIB, "what came was passed on");
    assert!(cut.cut.body == pattern(MIB).repeat(20));

    // An old client knows the end of the body by the end of the connection.
    let mut client = proxy.client();
    client.send("GET /reset HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    assert_eq!(client.0.rest().1, Ending::Reset);
}

#[test]
fn a_client_that_goes_in_the_middle_takes_its_bytes_along() {
    for place in [Place::Tcp, Place::Unix] {
        let freed = Gate::closed();
        let gate = freed.clone();
        let app = App::on(place, move |mut conn| {
            while let Some(request) = conn.request() {
                if request.head.target() == "/small" {
                    conn.answer("small");
                    continue;
                }
                let length = 200 * MIB;
                conn.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
                ));
                assert!(!send_pattern(&mut conn, length), "nobody read it");
                gate.open();
                return;
            }
        });
        let proxy = Proxy::before(&app);
        let mut client = proxy.lasthop.client();
        ask(&mut client, "/");
        assert_eq!(client.head().status(), 200);
        expect_pattern(&mut client, MIB);
        // Bytes are stuck in a pipe by then.
        proxy.until("lasthop_buffered_bytes", |bytes| bytes >= 256 * 1024);
        client.0.reset();
        freed.wait();
        let mut next = proxy.lasthop.client();
        assert_eq!(next.request("/small").text(), "small");
        proxy.holds_nothing();
    }
}

/// Sends back what comes, until the proxy ends its direction.
fn echoing_tunnel(mut conn: Conn) {
    if conn.head().is_none() {
        return;
    }
    conn.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: any\r\n\r\n");
    while let Ok(bytes) = conn.wire.some() {
        conn.send(bytes);
    }
}

#[test]
fn a_tunnel_in_bulk_is_spliced_both_ways_and_talks_on_afterwards() {
    for place in [Place::Tcp, Place::Unix] {
        let app = App::on(place, echoing_tunnel);
        let proxy = Proxy::before(&app);
        let mut client = proxy.lasthop.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: any\r\n\r\n");
        assert_eq!(client.head().status(), 101);
        for _ in 0..2 {
            client.send("hello");
            assert_eq!(client.0.exactly(5).expect("an echo"), b"hello");
            let mut sender = client.twin();
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    let block = pattern(MIB);
                    (0..30).for_each(|_| sender.send(&block));
                });
                expect_pattern(&mut client, 30 * MIB);
            });
        }
        client.send("bye");
        client.finish_sending();
        assert_eq!(client.0.rest(), (b"bye".to_vec(), Ending::Closed));
        proxy.spliced_most_of(4 * 30 * MIB);
        proxy.holds_nothing();
    }
}

#[test]
fn without_splice_everything_is_copied_and_nobody_notices() {
    let app = large(Place::Unix, 20);
    let proxy = Proxy::start(Setup::to(&[&app.target()]).prepared(deny_splice));
    let mut client = proxy.lasthop.client();
    for _ in 0..2 {
        ask(&mut client, "/");
        assert_eq!(client.head().status(), 200);
        expect_pattern(&mut client, 20 * MIB);
    }
    assert_eq!(proxy.metric("lasthop_spliced_bytes_total"), 0);
}

#[test]
fn without_descriptors_for_a_pipe_everything_is_copied_and_that_is_counted() {
    let app = large(Place::Unix, 20);
    let proxy = Proxy::start(Setup::to(&[&app.target()]).under("ulimit -n 64"));
    let mut client = proxy.lasthop.client();
    assert_eq!(client.request("/small").text(), "small");
    // As many others as there may be: all that are beyond have to go.
    let mut others: Vec<_> = (0..64).map(|_| proxy.lasthop.client()).collect();
    let last = others.last_mut().expect("64 of them");
    ask(last, "/");
    assert_eq!(last.head().status(), 200);
    expect_pattern(last, 20 * MIB);
    proxy.until("lasthop_pipes_refused_total", |refused| refused > 0);
    assert_eq!(proxy.metric("lasthop_spliced_bytes_total"), 0);
}
