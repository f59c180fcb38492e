//! What a line of the access log costs a worker: `cargo run --release -p lasthop --example access_log_cost`.
//!
//! One worker writes ordinary lines as fast as it can into `/dev/null` and hands them over as it would in
//! service. The time includes the clock read that every request has. Nanoseconds a line, the
//! median of several rounds, for both formats.
#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::io;
use std::time::{Duration, Instant, SystemTime};

use lasthop::config::{AccessFormat, AccessLog};
use lasthop::observe::{AccessWriter, Outcome, RequestIds, RequestLine, WorkerLog};

const ROUNDS: usize = 15;
const LINES_PER_ROUND: u32 = 50_000;
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> io::Result<()> {
    for format in [AccessFormat::Json, AccessFormat::Combined] {
        let sink = AccessLog::File("/dev/null".into());
        let Some(writer) = AccessWriter::start(&sink, format)? else {
            continue;
        };
        let worker = writer.for_worker();
        let ids = RequestIds::new(1);
        let mut rounds: Vec<u128> = (0..ROUNDS).map(|_| round(&worker, &ids)).collect();
        rounds.sort_unstable();
        drop(worker);
        let dropped = writer.dropped();
        writer.finish(PATIENCE);
        println!(
            "{format:?}: {} ns a line ({} to {}), {dropped} dropped",
            rounds[ROUNDS / 2],
            rounds[0],
            rounds[ROUNDS - 1]
        );
    }
    Ok(())
}

/// Nanoseconds a line.
fn round(worker: &WorkerLog, ids: &RequestIds) -> u128 {
    let begun = Instant::now();
    for _ in 0..LINES_PER_ROUND {
        let entry = worker.begin(&RequestLine {
            id: ids.next(),
            received_id: None,
            client: Some([192, 0, 2, 7].into()),
            method: b"GET",
            target: b"/shop/items/4711?sort=price&page=3",
            host: b"www.example.com",
            version: (1, 1),
            user_agent: b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            referer: b"https://www.example.com/shop/",
            listener: "web",
            time: SystemTime::now(),
        });
        let outcome = Outcome {
            status: Some(200),
            route: Some("site"),
            upstream: Some("app"),
            target: Some(&"127.0.0.1:3000"),
            source: Some(([127, 0, 0, 1], 41_234).into()),
            reused: Some(true),
            attempts: 1,
            connect: Some(Duration::from_micros(3)),
            wait: Some(Duration::from_micros(1_190)),
            total: Duration::from_micros(1_234),
            received_bytes: 452,
            sent_bytes: 10_321,
            ..Outcome::default()
        };
        worker.write(entry, &outcome);
    }
    worker.flush();
    begun.elapsed().as_nanos() / u128::from(LINES_PER_ROUND)
}
