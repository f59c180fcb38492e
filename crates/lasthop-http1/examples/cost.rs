//! What one exchange costs in user time, in nanoseconds: `cargo run --release -p lasthop-http1
//! --example cost`.
//!
//! A browser's GET and a small app's answer, each scanned, parsed and written anew. The least of
//! many rounds is printed, which is what the code costs when nothing else wants the core.

#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::hint::black_box;
use std::time::Instant;

use lasthop_http1::Version;
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

fn main() {
    for (name, request, answer) in [
        ("a browser's page", BROWSER_GET, APP_ANSWER),
        ("a load generator's ping", SMALL_GET, SMALL_ANSWER),
    ] {
        let request_cost = request_cost(request);
        let answer_cost = answer_cost(answer);
        println!(
            "{name}: request of {} bytes {request_cost:.0} ns, answer of {} bytes {answer_cost:.0} ns, both {:.0} ns",
            request.len(),
            answer.len(),
            request_cost + answer_cost
        );
    }
}

/// Nanoseconds to scan, parse and write a request.
fn request_cost(request: &[u8]) -> f64 {
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
    least_nanoseconds(|| {
        out.clear();
        let mut storage = FieldStorage::default();
        let Ok(Some(length)) = HeadScan::request().scan(black_box(request)) else {
            return;
        };
        if let Ok(head) = request::parse(&request[..length], &mut storage, &limits) {
            request::write(&mut out, &head, &forwarding);
        }
        black_box(&out);
    })
}

/// Nanoseconds to scan, parse and write an answer.
fn answer_cost(answer: &[u8]) -> f64 {
    let limits = HeadLimits::default();
    let mut out = Vec::with_capacity(4096);
    least_nanoseconds(|| {
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
    })
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
