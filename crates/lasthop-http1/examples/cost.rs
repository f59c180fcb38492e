//! What one exchange costs in user time, in nanoseconds: `cargo run --release -p lasthop-http1
//! --example cost`.
//!
//! A browser's GET and a small app's answer, each scanned, parsed and written anew, and a short
//! body in chunks. The least of many rounds is printed, which is what the code costs when nothing
//! else wants the core.
//!
//! `cost OPERATION COUNT` does one of them so many times and prints nothing: run twice under
//! `valgrind --tool=callgrind`, with different counts, it gives the instructions of one. That is
//! how `tests/frugal` of `lasthop` counts them.

#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::hint::black_box;
use std::time::Instant;

use lasthop_http1::Version;
use lasthop_http1::chunked;
use lasthop_http1::fields::FieldStorage;
use lasthop_http1::forwarding::Forwarding;
use lasthop_http1::limits::HeadLimits;
use lasthop_http1::response::{Delivery, RequestKind};
use lasthop_http1::scan::HeadScan;
use lasthop_http1::{request, response};

const BROWSER_GET: &[u8] = b"GET /account/orders?page=2 HTTP/1.1\r\n\
Host: shop.example.com\r\n\
Connection: keep-alive\r\n\
sec-ch-ua: \"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\"\r\n\
sec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Linux\"\r\n\
Upgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-User: ?1\r\n\
Sec-Fetch-Dest: document\r\n\
Referer: https://shop.example.com/account\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en;q=0.9\r\n\
Cookie: session=4f2a9c0d1e3b5a7c9d8e6f1a2b3c4d5e; theme=dark\r\n\r\n";

/// What load generators send.
const SMALL_GET: &[u8] = b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\n\r\n";

const SMALL_ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n";

const APP_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
Server: gunicorn\r\n\
Date: Sat, 01 Jun 2024 12:00:00 GMT\r\n\
Connection: keep-alive\r\n\
Content-Type: text/html; charset=utf-8\r\n\
Content-Length: 14302\r\n\
Cache-Control: private, max-age=0\r\n\
Vary: Cookie\r\n\
Set-Cookie: session=4f2a9c0d1e3b5a7c9d8e6f1a2b3c4d5e; Path=/; HttpOnly; SameSite=Lax\r\n\r\n";

const ROUNDS: u32 = 200;
const REPEATS: u32 = 5_000;

/// Three chunks, one of them with an extension, and no trailers.
const CHUNKS: &[u8] = b"5\r\nhello\r\n1a;name=value\r\nabcdefghijklmnopqrstuvwxyz\r\n\
3e8\r\n";

/// Bytes of the third one.
const LONG_CHUNK_BYTES: usize = 0x3e8;

/// What is done, its name, and how many bytes it is done to.
type Operation = (&'static str, usize, Box<dyn FnMut()>);

fn operations() -> [Operation; 5] {
    let chunks = chunked_body();
    [
        (
            "request-browser",
            BROWSER_GET.len(),
            Box::new(request(BROWSER_GET)),
        ),
        (
            "request-small",
            SMALL_GET.len(),
            Box::new(request(SMALL_GET)),
        ),
        ("answer-app", APP_ANSWER.len(), Box::new(answer(APP_ANSWER))),
        (
            "answer-small",
            SMALL_ANSWER.len(),
            Box::new(answer(SMALL_ANSWER)),
        ),
        ("chunks", chunks.len(), Box::new(chunked(chunks))),
    ]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {
            for (name, bytes, mut operation) in operations() {
                let cost = least_nanoseconds(&mut operation);
                println!("{name}, {bytes} bytes: {cost:.0} ns");
            }
        }
        [name, count] => {
            let mut operations = operations();
            let found = operations.iter_mut().find(|(known, ..)| known == name);
            match (found, count.parse::<u32>()) {
                (Some((_, _, operation)), Ok(count)) => (0..count).for_each(|_| operation()),
                _ => println!("there is no {name}, or {count} is no count"),
            }
        }
        _ => println!("usage: cost [OPERATION COUNT]"),
    }
}

fn chunked_body() -> Vec<u8> {
    let long = b"x".repeat(LONG_CHUNK_BYTES);
    [CHUNKS, &long, chunked::CRLF, chunked::LAST_CHUNK].concat()
}

/// Takes a body in chunks apart and puts it together again.
fn chunked(body: Vec<u8>) -> impl FnMut() {
    let mut out = Vec::with_capacity(4096);
    move || {
        out.clear();
        let mut decoder = chunked::Decoder::default();
        let mut at = 0;
        let body = black_box(&*body);
        while let Ok(step) = decoder.decode(&body[at..]) {
            let rest = &body[at..];
            at += step.consumed;
            match step.event {
                chunked::Event::Data(range) => {
                    chunked::write_size(&mut out, range.len() as u64);
                    out.extend_from_slice(&rest[range]);
                    out.extend_from_slice(chunked::CRLF);
                }
                chunked::Event::End { trailers } => {
                    chunked::write_end(&mut out, &rest[trailers]);
                    break;
                }
                chunked::Event::NeedMore => break,
            }
        }
        black_box(&out);
    }
}

/// Scans, parses and writes a request.
fn request(request: &'static [u8]) -> impl FnMut() {
    let limits = HeadLimits::default();
    let forwarding = Forwarding {
        peer_ip: Some("203.0.113.7"),
        proto: "http",
        trusted: false,
        via: true,
        forwarded: false,
        request_id: None,
        host_fallback: "localhost",
    };
    let mut out = Vec::with_capacity(4096);
    move || {
        out.clear();
        let mut storage = FieldStorage::default();
        let Ok(Some(length)) = HeadScan::request().scan(black_box(request)) else {
            return;
        };
        if let Ok(head) = request::parse(&request[..length], &mut storage, &limits) {
            request::write(&mut out, &head, &forwarding);
        }
        black_box(&out);
    }
}

/// Scans, parses and writes an answer.
fn answer(answer: &'static [u8]) -> impl FnMut() {
    let limits = HeadLimits::default();
    let mut out = Vec::with_capacity(4096);
    move || {
        out.clear();
        let mut storage = FieldStorage::default();
        let Ok(Some(length)) = HeadScan::response().scan(black_box(answer)) else {
            return;
        };
        if let Ok(head) = response::parse(
            &answer[..length],
            &mut storage,
            RequestKind::default(),
            &limits,
        ) {
            response::write(&mut out, &head, &Delivery::of(&head, Version::Http11, true));
        }
        black_box(&out);
    }
}

/// The least time one call took, over all rounds.
fn least_nanoseconds(mut call: impl FnMut()) -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..REPEATS {
            call();
        }
        least = least.min(begun.elapsed().as_secs_f64() / f64::from(REPEATS));
    }
    least * 1e9
}
