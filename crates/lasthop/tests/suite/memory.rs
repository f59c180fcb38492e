//! What one request may hold is bounded by its settings, whatever either side sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::support::{App, Client, PATIENCE, Place, QUIET, Setup, TempDir};

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"";

/// Reads the bytes that the workers have lent out, as of the last tick.
fn buffered(admin: &mut Client) -> usize {
    let page = admin.exchange("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    let page = page.text();
    let mut lines = page.lines();
    let value = lines.find_map(|line| line.strip_prefix("lasthop_buffered_bytes "));
    value.expect("the metric").parse().expect("a number")
}

#[test]
fn a_body_in_chunks_of_one_byte_is_not_kept_beyond_the_buffer() {
    const CHUNKS: usize = 50_000;
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let app = App::scripted(move |mut conn| {
        while let Ok(bytes) = conn.wire.some() {
            count.fetch_add(bytes.len(), Ordering::Relaxed);
        }
    });
    let proxy = Setup::to(&[&app.target()]).more(ADMIN).start();
    let mut admin = Client::connect(&proxy.admin());
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("1\r\nx\r\n".repeat(CHUNKS));
    let begun = Instant::now();
    while taken.load(Ordering::Relaxed) < CHUNKS {
        assert!(begun.elapsed() < PATIENCE, "the app has not got it all");
        std::thread::yield_now();
    }
    // All of it is with the app, and too much to be sent again: nothing is left to hold. The gauge is a
    // tick behind.
    while buffered(&mut admin) > 16 * 1024 {
        assert!(begun.elapsed() < PATIENCE, "{} bytes", buffered(&mut admin));
    }
}

#[test]
fn interim_answers_wait_for_a_client_that_does_not_read() {
    let app = App::on(Place::Unix, |mut conn| {
        if conn.request().is_none() {
            return;
        }
        let filler = "x".repeat(30_000);
        for _ in 0..90 {
            let hint = format!("HTTP/1.1 103 Early Hints\r\nX-Filler: {filler}\r\n\r\n");
            if !conn.send(hint) {
                return;
            }
        }
        conn.answer("done");
    });
    let dir = TempDir::new();
    let path = dir.join("front.sock");
    // A Unix socket holds some 200 KiB; loopback TCP would take all of it.
    let proxy = Setup::to(&[&app.target()])
        .on(&format!("unix:{}", path.display()))
        .more(ADMIN)
        .start();
    let mut admin = Client::connect(&proxy.admin());
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let full = 256 * 1024;
    let begun = Instant::now();
    while buffered(&mut admin) < full {
        assert!(begun.elapsed() < PATIENCE, "it never fills up");
    }
    let begun = Instant::now();
    while begun.elapsed() < QUIET {
        let held = buffered(&mut admin);
        assert!(held <= full + 6 * 16 * 1024, "{held} bytes for one client");
    }
    for _ in 0..90 {
        assert_eq!(client.head().status(), 103);
    }
    assert_eq!(client.answer().text(), "done");
}
