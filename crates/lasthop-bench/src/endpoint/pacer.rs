//! Load at a fixed rate (open loop): every request has a time at which it is due, whatever became of those before it.
//!
//! A closed loop measures kindly: while the proxy stalls, no request is sent, and the stall counts once instead of once
//! for each request that would have come ("coordinated omission"). Here a request's latency runs from the time it was due
//! to its last byte, and one that finds every connection busy waits in a queue of ours with its clock running.
//! What the generator itself does late is told apart: a request counts as *late* when the generator woke up for it more
//! than [`LATE`] after it was due. Reading answers is the same thread's work, so with few late sends few answers were
//! read late. Timing is by a kernel timer, since the runtime's own timeouts come in milliseconds.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use lasthop::demo::histogram::Histogram;
use lasthop_kernel::connect;
use lasthop_kernel::timer::Timer;
use tokio::io::AsyncWriteExt as _;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::answer::{self, AnswerError};
use crate::traffic::ANSWER_PATH;

/// A send is late when it is the generator's doing that it came so much after it was due.
pub(crate) const LATE: Duration = Duration::from_millis(1);
/// How long after the last request was due answers are waited for. A proxy that keeps up needs a millisecond; what one
/// that does not keep up would still say is of no interest.
const GRACE: Duration = Duration::from_secs(1);
/// From the start of the clock to the first request, so that it is not late by the way there.
const LEAD: Duration = Duration::from_millis(5);
/// For the first, unmeasured answer on each connection.
const WARM_UP_DEADLINE: Duration = Duration::from_secs(5);
/// Room for an answer; it grows to the largest and stays.
const READ_BYTES: usize = 16 * 1024;

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) address: SocketAddr,
    /// Open all the time; each carries one request at a time.
    pub(crate) connections: usize,
    pub(crate) per_second: u64,
    /// How many requests there are in all.
    pub(crate) requests: u64,
    /// The body length that every answer must have.
    pub(crate) body_bytes: u64,
}

/// What a run saw.
#[derive(Debug, Default)]
pub(crate) struct Paced {
    /// Right answers.
    pub(crate) answered: u64,
    /// Requests that were due and had no answer by the end of the grace, among them those that were never sent, because
    /// every connection was busy. Each is in `latency` with its age at the end, which is less than it would have been.
    pub(crate) unanswered: u64,
    /// Requests that the generator woke up for too late.
    pub(crate) late: u64,
    /// From due to answered.
    pub(crate) latency: Histogram,
    /// From when the first request was due to the last answer.
    pub(crate) span: Duration,
    /// The first connection that was lost, or answer that was not the agreed one.
    pub(crate) first_error: Option<AnswerError>,
}

/// What the pacer and the readers of all connections share.
struct Shared {
    pace: Pace,
    request: Vec<u8>,
    connections: Vec<Connection>,
    /// Connections without a request, longest idle first, so that all are used.
    idle: RefCell<VecDeque<usize>>,
    /// When the requests were due that wait for a connection. Bounded by the requests of the run.
    waiting: RefCell<VecDeque<Instant>>,
    outcome: RefCell<Paced>,
    /// When nothing more is to be waited for.
    done: Notify,
    /// When the first request was due.
    begin: Cell<Option<Instant>>,
}

/// The writing side of a connection.
struct Connection {
    write: OwnedWriteHalf,
    /// When the request on its way was due.
    due: Cell<Option<Instant>>,
}

/// Sends `pace` and waits for the answers. Must be polled on a `LocalRuntime` with time and I/O enabled.
///
/// # Errors
/// When a connection cannot be had, or no timer. What goes wrong after that is in [`Paced::first_error`].
pub(crate) async fn run(pace: Pace) -> Result<Paced, AnswerError> {
    #[expect(
        deprecated,
        reason = "it trusts a type to keep its descriptor, as this one does; what replaces it is an unsafe promise of the same"
    )]
    let timer = AsyncFd::new(Timer::new()?)?;
    let request = request(pace.body_bytes);
    let (mut connections, mut reads) = (Vec::new(), Vec::new());
    for _ in 0..pace.connections {
        let opened = tokio::time::timeout(WARM_UP_DEADLINE, open(&pace, &request)).await;
        let (read, write) = opened.unwrap_or(Err(AnswerError::Late))?;
        reads.push(read);
        connections.push(Connection {
            write,
            due: Cell::new(None),
        });
    }
    let shared = Rc::new(Shared {
        pace,
        request,
        connections,
        idle: RefCell::new((0..pace.connections).collect()),
        waiting: RefCell::default(),
        outcome: RefCell::default(),
        done: Notify::new(),
        begin: Cell::new(None),
    });
    let mut readers = JoinSet::new();
    for (index, read) in reads.into_iter().enumerate() {
        readers.spawn_local(Rc::clone(&shared).read_answers(index, read));
    }
    shared.send_on_time(&timer).await?;
    // The time is the bound; the readers say when there is nothing more to wait for.
    let _ = tokio::time::timeout(GRACE, shared.done.notified()).await;
    drop(readers);
    Ok(shared.end())
}

/// A connection that has had its first answer.
async fn open(pace: &Pace, request: &[u8]) -> Result<(OwnedReadHalf, OwnedWriteHalf), AnswerError> {
    let stream = TcpStream::from_std(connect::tcp(pace.address, connect::Origin::Kernel)?)?;
    stream.writable().await?;
    connect::tcp_finish(&stream)?;
    let (mut read, mut write) = stream.into_split();
    write.write_all(request).await?;
    answer::read(&mut read, &mut Vec::new(), 200).await?;
    Ok((read, write))
}

/// What asks for an answer of so many bytes.
fn request(body_bytes: u64) -> Vec<u8> {
    format!("GET {ANSWER_PATH}{body_bytes} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

impl Shared {
    /// Puts every request into the queue when it is due.
    async fn send_on_time(&self, timer: &AsyncFd<Timer>) -> io::Result<()> {
        let begin = Instant::now() + LEAD;
        self.begin.set(Some(begin));
        for index in 0..self.pace.requests {
            let due = begin + due_after(index, self.pace.per_second);
            let mut now = Instant::now();
            if now < due {
                timer.get_ref().set(due - now)?;
                // Not read: to set it anew takes the expiry, and a call less for each request is load less on this core.
                timer.readable().await?.clear_ready();
                now = Instant::now();
            }
            if now.saturating_duration_since(due) > LATE {
                self.outcome.borrow_mut().late += 1;
            }
            self.waiting.borrow_mut().push_back(due);
            self.send_what_waits();
        }
        Ok(())
    }

    /// Gives the requests that wait to the connections that are idle, both in their order.
    fn send_what_waits(&self) {
        let (mut waiting, mut idle) = (self.waiting.borrow_mut(), self.idle.borrow_mut());
        while let (Some(due), Some(index)) = (waiting.front(), idle.front()) {
            let connection = &self.connections[*index];
            connection.due.set(Some(*due));
            // So few bytes fit into the buffer of a socket that has nothing else to send.
            let sent = connection.write.try_write(&self.request);
            if !matches!(sent, Ok(length) if length == self.request.len()) {
                // Its reader meets the reason, and the request stays its own: unanswered.
                let error = sent.err().unwrap_or(io::ErrorKind::WriteZero.into());
                let mut outcome = self.outcome.borrow_mut();
                outcome.first_error.get_or_insert(error.into());
            }
            waiting.pop_front();
            idle.pop_front();
        }
    }

    /// Reads the answers of one connection until it is lost or the run is over.
    async fn read_answers(self: Rc<Self>, index: usize, mut read: OwnedReadHalf) {
        let mut unread = Vec::with_capacity(READ_BYTES);
        loop {
            let result = answer::read(&mut read, &mut unread, 200).await;
            let now = Instant::now();
            let mut outcome = self.outcome.borrow_mut();
            match result {
                Ok(body_bytes) if body_bytes == self.pace.body_bytes => {}
                Ok(_) => {
                    outcome.first_error.get_or_insert(AnswerError::Excess);
                }
                Err(error) => {
                    outcome.first_error.get_or_insert(error);
                    self.done.notify_one();
                    return;
                }
            }
            let Some(due) = self.connections[index].due.take() else {
                // An answer that nobody asked for.
                outcome.first_error.get_or_insert(AnswerError::Excess);
                continue;
            };
            outcome.answered += 1;
            outcome.latency.record(now.saturating_duration_since(due));
            if let Some(begin) = self.begin.get() {
                outcome.span = now.saturating_duration_since(begin);
            }
            let all = outcome.answered == self.pace.requests;
            drop(outcome);
            if all {
                self.done.notify_one();
                return;
            }
            self.idle.borrow_mut().push_back(index);
            self.send_what_waits();
        }
    }

    /// Counts what has no answer and gives the outcome away.
    fn end(&self) -> Paced {
        let now = Instant::now();
        let mut outcome = self.outcome.take();
        let on_their_way = self.connections.iter().filter_map(|one| one.due.get());
        for due in self.waiting.borrow().iter().copied().chain(on_their_way) {
            outcome.unanswered += 1;
            outcome.latency.record(now.saturating_duration_since(due));
        }
        outcome
    }
}

/// When the request of this index is due, from the first: exact for every rate, so that no error adds up.
fn due_after(index: u64, per_second: u64) -> Duration {
    let nanoseconds = u128::from(index) * 1_000_000_000 / u128::from(per_second.max(1));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::runtime;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream as StdStream};
    use std::sync::{Arc, Mutex};
    use std::thread;

    const STALL: Duration = Duration::from_millis(100);
    /// Body bytes of the answers here.
    const WANTED: u64 = 2;
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    /// An app with a thread for each connection, where every answer needs the one lock; the `stalls`-th holds it for a
    /// tenth of a second.
    fn app_that_stalls(stalls: Option<u64>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answered = Arc::new(Mutex::new(0));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let answered = Arc::clone(&answered);
                thread::spawn(move || answer_all(stream.unwrap(), &answered, stalls));
            }
        });
        address
    }

    fn answer_all(mut stream: StdStream, answered: &Mutex<u64>, stalls: Option<u64>) {
        let mut request = vec![0; super::request(WANTED).len()];
        while stream.read_exact(&mut request).is_ok() {
            let mut answered = answered.lock().unwrap();
            *answered += 1;
            if Some(*answered) == stalls {
                // tidy: the stall is what is tested, not a wait for something
                thread::sleep(STALL);
            }
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
    }

    fn paced(address: SocketAddr, body_bytes: u64) -> Paced {
        let pace = Pace {
            address,
            connections: 4,
            per_second: 1000,
            requests: 1000,
            body_bytes,
        };
        runtime().unwrap().block_on(run(pace)).unwrap()
    }

    #[test]
    fn a_stall_counts_for_every_request_that_was_due_while_it_lasted() {
        let outcome = paced(app_that_stalls(Some(300)), 2);
        assert_eq!((outcome.answered, outcome.unanswered), (1000, 0));
        assert!(outcome.first_error.is_none(), "{:?}", outcome.first_error);
        // A hundred requests were due within the stall, the first at its beginning. A closed loop would have four.
        let quantile = |per_mille| outcome.latency.quantile(per_mille).unwrap();
        assert!(quantile(999) >= STALL.mul_f64(0.9), "{:?}", quantile(999));
        assert!(quantile(950) >= STALL.mul_f64(0.4), "{:?}", quantile(950));
    }

    #[test]
    fn an_app_that_answers_at_once_shows_no_stall() {
        let outcome = paced(app_that_stalls(None), 2);
        assert_eq!((outcome.answered, outcome.unanswered), (1000, 0));
        assert!(outcome.latency.quantile(500).unwrap() < STALL);
    }

    #[test]
    fn what_has_no_answer_in_the_end_is_counted_with_its_age() {
        // Answers the first request of each connection, which is the unmeasured one, and no other.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.write_all(ANSWER).unwrap();
                open.push(stream);
            }
        });
        let outcome = paced(address, 2);
        assert_eq!((outcome.answered, outcome.unanswered), (0, 1000));
        assert!(outcome.latency.quantile(0).unwrap() >= GRACE);
    }

    #[test]
    fn an_answer_of_another_length_is_an_error() {
        let outcome = paced(app_that_stalls(None), 3);
        assert!(outcome.first_error.is_some());
    }

    #[test]
    fn the_times_that_requests_are_due_do_not_drift() {
        assert_eq!(due_after(0, 7), Duration::ZERO);
        assert_eq!(due_after(7_000_000, 7), Duration::from_secs(1_000_000));
        assert_eq!(due_after(3, 40_000), Duration::from_micros(75));
    }
}
