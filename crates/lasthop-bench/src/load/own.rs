//! A closed-loop load of our own: so many clients, each sending its next request when the last answer is whole.
//!
//! Every answer is checked (its status, the length that was agreed), every deviation is counted and the first one kept in
//! words. It warms proxies up before `wrk` measures, and measures where there is no `wrk`. One thread, no pipelining.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use lasthop::demo::histogram::Histogram;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Work, wrk};
use crate::endpoint::answer::{self, AnswerError};

/// How long after the end of a run a last answer may still come; what has not come by then is an error.
/// Long, since thousands of clients have a first request each, also on a host that is nearly all others'.
const GRACE: Duration = Duration::from_secs(20);
/// Room for an answer; read in pieces of this.
const READ_BYTES: usize = 64 * 1024;
/// Uploads are sent in pieces of this.
const PIECE: &[u8] = &[b'x'; 64 * 1024];
/// Pause of a client after an error: a proxy that refuses everything is not to be hammered at full speed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(10);

/// What a run saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Answers that were whole and right.
    pub(crate) requests: u64,
    /// Requests and connects that failed, and answers that were not the agreed one.
    pub(crate) errors: u64,
    /// The first of these errors, in words.
    pub(crate) first_error: Option<String>,
    /// From the first connect to the last answer.
    elapsed: Duration,
    /// From sending a request to the last byte of its answer.
    pub(crate) latency: Histogram,
}

impl Seen {
    /// Right answers per second of the run.
    pub(crate) fn requests_per_second(&self) -> f64 {
        #[allow(
            clippy::cast_precision_loss,
            reason = "a count of requests stays far below 2^53"
        )]
        let requests = self.requests as f64;
        requests / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn count_error(&mut self, error: &AnswerError) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }
}

/// A request of the cycle, ready to be sent.
struct Prepared {
    head: Vec<u8>,
    body_bytes: usize,
    answer_bytes: u64,
}

/// What all clients share.
struct Shared {
    work: Work,
    cycle: Vec<Prepared>,
    /// Where in the cycle the next request is taken.
    next: Cell<usize>,
    end: Instant,
    seen: RefCell<Seen>,
}

/// Sends load until `duration` is over; each client sends one request at least, so that all connections were there. Must
/// be polled on a `LocalRuntime` with time and I/O enabled.
pub(super) async fn run(work: &Work, duration: Duration) -> Seen {
    let started = Instant::now();
    let shared = Rc::new(Shared {
        work: *work,
        cycle: prepared(work),
        next: Cell::new(0),
        end: started + duration,
        seen: RefCell::default(),
    });
    let mut clients = JoinSet::new();
    for _ in 0..work.traffic.clients {
        clients.spawn_local(Rc::clone(&shared).client());
    }
    while clients.join_next().await.is_some() {}
    let mut seen = shared.seen.take();
    seen.elapsed = started.elapsed();
    seen
}

fn prepared(work: &Work) -> Vec<Prepared> {
    let closing = if work.traffic.exchange.client_closes() {
        "Connection: close\r\n"
    } else {
        ""
    };
    let requests = work.traffic.exchange.requests().into_iter();
    let prepare = requests.map(|request| {
        let length = match request.body_bytes {
            0 => String::new(),
            bytes => format!("Content-Length: {bytes}\r\n"),
        };
        let (method, path) = (wrk::method(&request), &request.path);
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{length}{closing}\r\n");
        Prepared {
            head: head.into_bytes(),
            body_bytes: request.body_bytes,
            answer_bytes: request.answer_bytes,
        }
    });
    prepare.collect()
}

impl Shared {
    /// One client until the end, over as many connections as it takes.
    async fn client(self: Rc<Self>) {
        // One timer for the client instead of one for each request: a stuck answer is noticed at the end, which is early
        // enough to count it.
        let deadline = tokio::time::Instant::from_std(self.end + GRACE);
        let ended = tokio::time::timeout_at(deadline, async {
            loop {
                if let Err(error) = self.connection().await {
                    self.seen.borrow_mut().count_error(&error);
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
                if Instant::now() >= self.end {
                    return;
                }
            }
        });
        if ended.await.is_err() {
            self.seen.borrow_mut().count_error(&AnswerError::Late);
        }
    }

    /// Requests over one connection until the end; one, where the client closes.
    async fn connection(&self) -> Result<(), AnswerError> {
        let mut stream = TcpStream::connect(self.work.address).await?;
        stream.set_nodelay(true)?;
        let mut unread = Vec::with_capacity(READ_BYTES);
        loop {
            let next = self.next.get();
            self.next.set((next + 1) % self.cycle.len());
            let request = &self.cycle[next];
            let sent = Instant::now();
            stream.write_all(&request.head).await?;
            let mut left = request.body_bytes;
            while left > 0 {
                let piece = &PIECE[..left.min(PIECE.len())];
                stream.write_all(piece).await?;
                left -= piece.len();
            }
            let body_bytes = answer::read(&mut stream, &mut unread, 200).await?;
            let answered = Instant::now();
            if body_bytes != request.answer_bytes {
                return Err(AnswerError::Length {
                    found: body_bytes,
                    wanted: request.answer_bytes,
                });
            }
            let mut seen = self.seen.borrow_mut();
            seen.requests += 1;
            seen.latency.record(answered.duration_since(sent));
            drop(seen);
            if self.work.traffic.exchange.client_closes() || answered >= self.end {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::runtime;
    use crate::traffic::{Exchange, Traffic};
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    /// What the load sees of an app that reads `request_bytes` and says `answer`, for each connection `rounds` times.
    fn seen(
        exchange: Exchange,
        request_bytes: usize,
        answer: &'static [u8],
        rounds: usize,
    ) -> Seen {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = vec![0; request_bytes];
                for _ in 0..rounds {
                    if stream.read_exact(&mut request).is_err() || stream.write_all(answer).is_err()
                    {
                        break;
                    }
                }
            }
        });
        let traffic = Traffic {
            clients: 1,
            exchange,
        };
        let work = Work {
            address,
            traffic,
            seconds: 1,
        };
        let run = run(&work, Duration::from_millis(50));
        runtime().unwrap().block_on(run)
    }

    const TWO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    fn head_bytes(exchange: Exchange) -> usize {
        let traffic = Traffic {
            clients: 1,
            exchange,
        };
        let address = "127.0.0.1:1".parse().unwrap();
        let work = Work {
            address,
            traffic,
            seconds: 1,
        };
        prepared(&work)[0].head.len()
    }

    #[test]
    fn an_upload_is_sent_whole_and_its_answer_is_counted() {
        let exchange = Exchange::Upload(100_000);
        let seen = seen(exchange, head_bytes(exchange) + 100_000, TWO, usize::MAX);
        assert_eq!((seen.errors, seen.first_error.as_deref()), (0, None));
        assert!(seen.requests > 0 && seen.latency.len() == seen.requests);
    }

    #[test]
    fn a_client_that_closes_brings_a_new_connection_for_each_request() {
        let exchange = Exchange::ClientCloses(2);
        let seen = seen(exchange, head_bytes(exchange), TWO, 1);
        assert_eq!((seen.errors, seen.first_error.as_deref()), (0, None));
        assert!(seen.requests > 0);
    }

    #[test]
    fn an_answer_of_another_length_is_an_error() {
        let exchange = Exchange::Answer(3);
        let seen = seen(exchange, head_bytes(exchange), TWO, usize::MAX);
        assert_eq!(seen.requests, 0);
        let error = seen.first_error.unwrap();
        assert!(error.contains("2 bytes instead of 3"), "{error}");
    }
}
