//! A closed-loop load client: so many connections, each sending its next request when the last answer is whole.
//!
//! For the demo, and for the benchmark where `wrk` is not installed. Every answer is checked (status 200, the length
//! that was agreed), every deviation is counted as an error and the first one kept in words; nothing is ignored.
//! It does not pipeline, and it measures no open-loop latency: a slow proxy gets fewer requests, so compare throughput
//! and CPU first. Costs about as much CPU a request as `wrk`, one thread, no lock.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::app::head_length;
use super::histogram::Histogram;

/// How long after the end of a run a last answer may still come; what has not come by then is an error.
const GRACE: Duration = Duration::from_secs(5);
/// Longest answer head that is read.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Size of one read of a body.
const READ_BYTES: usize = 16 * 1024;
/// Pause of a connection after an error: a proxy that refuses everything is not to be hammered at full speed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(10);

/// Where load is sent.
#[derive(Clone, Debug)]
pub enum Destination {
    /// Over TCP.
    Tcp(SocketAddr),
    /// To a Unix socket.
    Unix(PathBuf),
}

/// One run of load.
#[derive(Clone, Debug)]
pub struct LoadSettings {
    /// Where to.
    pub destination: Destination,
    /// The path asked for, in origin form: `/` or [`super::app::CLOSING_PATH`].
    pub path: &'static str,
    /// Connections open at once; each carries one request at a time.
    pub connections: usize,
    /// How long new requests are sent.
    pub duration: Duration,
    /// The body length that every answer must have.
    pub body_bytes: u64,
}

/// What a run of load saw.
#[derive(Clone, Debug, Default)]
pub struct LoadOutcome {
    /// Answers that were whole and right.
    pub requests: u64,
    /// Requests and connects that failed, and answers that were not the agreed one.
    pub errors: u64,
    /// The first of these errors, in words.
    pub first_error: Option<String>,
    /// Connections that were made.
    pub connections_made: u64,
    /// From the first connect to the last answer.
    pub elapsed: Duration,
    /// From sending a request to its last body byte.
    pub latency: Histogram,
}

impl LoadOutcome {
    /// Right answers per second of the run.
    #[must_use]
    pub fn requests_per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds == 0.0 {
            return 0.0;
        }
        #[allow(
            clippy::cast_precision_loss,
            reason = "a count of requests stays far below 2^53"
        )]
        let requests = self.requests as f64;
        requests / seconds
    }

    fn count_error(&mut self, error: &AnswerError) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }
}

/// Why an answer did not count.
#[derive(Debug, Error)]
enum AnswerError {
    #[error("connect: {0}")]
    Connect(io::Error),
    #[error("the connection failed: {0}")]
    Stream(io::Error),
    #[error("the connection was closed before the answer was whole")]
    Cut,
    #[error("no whole answer within {} s of the end of the run", GRACE.as_secs())]
    Late,
    #[error("the answer's head is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLarge,
    #[error("not an HTTP/1.1 answer with status 200: {0:?}")]
    Status(String),
    #[error("the answer declares no single Content-Length")]
    Framing,
    #[error("the body has {found} bytes instead of {wanted}")]
    Length { found: u64, wanted: u64 },
}

/// Sends load until the duration is over. Must be polled on a `LocalRuntime` with time and I/O enabled; dropping the
/// future ends every connection.
pub async fn run(settings: &LoadSettings) -> LoadOutcome {
    let started = Instant::now();
    let end = started + settings.duration;
    let request: Rc<[u8]> = format!(
        "GET {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: lasthop-load\r\n\r\n",
        settings.path
    )
    .into_bytes()
    .into();
    let outcome = Rc::new(RefCell::new(LoadOutcome::default()));
    let mut connections = JoinSet::new();
    for _ in 0..settings.connections {
        let client = Client {
            settings: settings.clone(),
            request: Rc::clone(&request),
            outcome: Rc::clone(&outcome),
            end,
        };
        connections.spawn_local(client.run());
    }
    while connections.join_next().await.is_some() {}
    drop(connections);
    let mut outcome = outcome.take();
    outcome.elapsed = started.elapsed();
    outcome
}

/// One connection's worth of load, and what replaces it when it is lost.
struct Client {
    settings: LoadSettings,
    request: Rc<[u8]>,
    outcome: Rc<RefCell<LoadOutcome>>,
    end: Instant,
}

impl Client {
    async fn run(self) {
        // One timer for the connection instead of one per request: a stuck answer is noticed at the end, which is
        // early enough to count it.
        let deadline = tokio::time::Instant::from_std(self.end + GRACE);
        let late = tokio::time::timeout_at(deadline, self.until_the_end())
            .await
            .is_err();
        if late {
            self.outcome.borrow_mut().count_error(&AnswerError::Late);
        }
    }

    async fn until_the_end(&self) {
        while Instant::now() < self.end {
            let lost = match &self.settings.destination {
                Destination::Tcp(address) => self.over_tcp(*address).await,
                Destination::Unix(path) => match UnixStream::connect(path).await {
                    Ok(stream) => self.converse(stream).await,
                    Err(error) => Err(AnswerError::Connect(error)),
                },
            };
            if let Err(error) = lost {
                self.outcome.borrow_mut().count_error(&error);
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }

    async fn over_tcp(&self, address: SocketAddr) -> Result<(), AnswerError> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(AnswerError::Connect)?;
        stream.set_nodelay(true).map_err(AnswerError::Stream)?;
        self.converse(stream).await
    }

    /// Requests on one connection until the run ends or the other side closes after an answer, as it may.
    async fn converse<S>(&self, mut stream: S) -> Result<(), AnswerError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.outcome.borrow_mut().connections_made += 1;
        let mut buffer = Vec::with_capacity(READ_BYTES);
        loop {
            let sent = Instant::now();
            stream
                .write_all(&self.request)
                .await
                .map_err(AnswerError::Stream)?;
            let closing = read_answer(&mut stream, &mut buffer, self.settings.body_bytes).await?;
            let answered = Instant::now();
            let mut outcome = self.outcome.borrow_mut();
            outcome.requests += 1;
            outcome.latency.record(answered.duration_since(sent));
            drop(outcome);
            if closing || answered >= self.end {
                return Ok(());
            }
        }
    }
}

/// Reads one answer and checks it; says whether the other side will close.
async fn read_answer<S>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    body_bytes: u64,
) -> Result<bool, AnswerError>
where
    S: AsyncRead + Unpin,
{
    buffer.clear();
    let head_bytes = loop {
        if let Some(length) = head_length(buffer) {
            break length;
        }
        if buffer.len() > HEAD_BYTES_MAX {
            return Err(AnswerError::HeadTooLarge);
        }
        read_some(stream, buffer).await?;
    };
    let head = check_head(&buffer[..head_bytes])?;
    if head.content_length != body_bytes {
        return Err(AnswerError::Length {
            found: head.content_length,
            wanted: body_bytes,
        });
    }
    let mut found = (buffer.len() - head_bytes) as u64;
    while found < body_bytes {
        buffer.clear();
        found += read_some(stream, buffer).await? as u64;
    }
    if found > body_bytes {
        return Err(AnswerError::Length {
            found,
            wanted: body_bytes,
        });
    }
    Ok(head.closing)
}

async fn read_some<S>(stream: &mut S, buffer: &mut Vec<u8>) -> Result<usize, AnswerError>
where
    S: AsyncRead + Unpin,
{
    // read_buf offers all spare capacity, so room is kept for a useful read and the buffer never grows by itself.
    buffer.reserve(READ_BYTES / 2);
    match stream.read_buf(buffer).await {
        Ok(0) => Err(AnswerError::Cut),
        Ok(length) => Ok(length),
        Err(error) => Err(AnswerError::Stream(error)),
    }
}

/// The part of an answer's head that the load needs.
#[derive(Debug, PartialEq)]
struct AnswerHead {
    content_length: u64,
    closing: bool,
}

fn check_head(head: &[u8]) -> Result<AnswerHead, AnswerError> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines.next().unwrap_or_default();
    if !status.starts_with(b"HTTP/1.1 200 ") {
        return Err(AnswerError::Status(
            String::from_utf8_lossy(status).trim_end().to_owned(),
        ));
    }
    let (mut content_length, mut closing) = (None, false);
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue; // the blank line
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            if content_length.is_some() || length.is_none() {
                return Err(AnswerError::Framing);
            }
            content_length = length;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(AnswerError::Framing);
        } else if name.eq_ignore_ascii_case(b"connection") {
            closing |= value.eq_ignore_ascii_case(b"close");
        }
    }
    let content_length = content_length.ok_or(AnswerError::Framing)?;
    Ok(AnswerHead {
        content_length,
        closing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::app::{App, CLOSING_PATH};
    use crate::demo::scratch::Scratch;
    use tokio::runtime::{Builder, LocalOptions};

    fn run_to_the_end(settings: &LoadSettings) -> LoadOutcome {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .unwrap();
        runtime.block_on(run(settings))
    }

    fn settings(destination: Destination, path: &'static str, body_bytes: u64) -> LoadSettings {
        LoadSettings {
            destination,
            path,
            connections: 4,
            duration: Duration::from_millis(100),
            body_bytes,
        }
    }

    #[test]
    fn connections_are_kept_over_tcp_and_over_a_unix_socket() {
        let scratch = Scratch::new().unwrap();
        let app = App::start(100, scratch.path()).unwrap();
        for destination in [
            Destination::Tcp(app.tcp_address().into()),
            Destination::Unix(app.unix_path().to_owned()),
        ] {
            let outcome = run_to_the_end(&settings(destination, "/", 100));
            assert_eq!((outcome.errors, outcome.first_error.as_deref()), (0, None));
            assert!(outcome.requests >= 4);
            assert_eq!(outcome.connections_made, 4);
            assert_eq!(outcome.latency.len(), outcome.requests);
        }
        assert_eq!((app.tcp_connections(), app.unix_connections()), (4, 4));
    }

    #[test]
    fn an_app_that_closes_gets_a_new_connection_for_each_request() {
        let scratch = Scratch::new().unwrap();
        let app = App::start(100, scratch.path()).unwrap();
        let destination = Destination::Unix(app.unix_path().to_owned());
        let outcome = run_to_the_end(&settings(destination, CLOSING_PATH, 100));
        assert_eq!((outcome.errors, outcome.first_error.as_deref()), (0, None));
        assert_eq!(outcome.connections_made, outcome.requests);
        assert_eq!(app.unix_connections(), outcome.requests);
    }

    #[test]
    fn a_body_of_another_length_is_an_error_and_no_request() {
        let scratch = Scratch::new().unwrap();
        let app = App::start(100, scratch.path()).unwrap();
        let outcome = run_to_the_end(&settings(
            Destination::Tcp(app.tcp_address().into()),
            "/",
            99,
        ));
        assert_eq!(outcome.requests, 0);
        assert!(outcome.errors >= 4);
        assert!(
            outcome
                .first_error
                .unwrap()
                .contains("100 bytes instead of 99")
        );
    }

    #[test]
    fn a_destination_that_is_not_there_is_counted_in_errors() {
        let scratch = Scratch::new().unwrap();
        let destination = Destination::Unix(scratch.path().join("nobody.sock"));
        let outcome = run_to_the_end(&settings(destination, "/", 1));
        assert_eq!((outcome.requests, outcome.connections_made), (0, 0));
        assert!(outcome.first_error.unwrap().starts_with("connect: "));
    }

    #[test]
    fn heads_that_are_not_the_agreed_answer_are_refused() {
        for (head, reason) in [
            (
                &b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 1\r\n\r\n"[..],
                "502",
            ),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", "HTTP/1.0"),
            (b"HTTP/1.1 200 OK\r\n\r\n", "Content-Length"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "Content-Length",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\ncontent-length: 1\r\n\r\n",
                "Content-Length",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                "Content-Length",
            ),
        ] {
            let error = check_head(head).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert_eq!(
            check_head(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nConnection: Close\r\n\r\n")
                .unwrap(),
            AnswerHead {
                content_length: 7,
                closing: true
            }
        );
    }
}
