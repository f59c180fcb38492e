//! A client's connection between and during requests: its bytes, its deadline, and whether it is
//! still there.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use lasthop_http1::refusal::Refusal;
use lasthop_http1::scan::HeadScan;

use super::fault::{Fault, Gone};
use super::site::ListenerSite;
use crate::transport::{BUFFER_BYTES, Buffer, BufferPool, Failure, Interrupt, Stream, Watch};

/// How long a client that connected before a drain, and has not asked for anything, may still do so.
const FIRST_REQUEST_IN_A_DRAIN: Duration = Duration::from_secs(1);

/// One client, from accept to close. Boxed, since it goes to a desk and back for each request.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: Stream,
    /// Bytes that have been read and not yet used: the rest of a head, a body, the next request.
    pub(super) input: Option<Buffer>,
    pub(super) watch: Watch,
    pub(super) peer: Peer,
    /// The client has sent its last byte (a FIN); it may still read.
    pub(super) half_closed: bool,
    pub(super) standing: Standing,
}

/// What a drain owes a client that has said nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// A moment for its first request.
    New,
    /// That moment has begun.
    Hurried,
    /// Nothing more: it has been answered before.
    Served,
}

/// Who the client is, as the app is told.
#[derive(Debug)]
pub(super) struct Peer {
    /// None for a client on a Unix socket.
    pub(super) ip: Option<IpAddr>,
    /// `ip` as text, made once per connection; empty on a Unix socket.
    pub(super) text: Box<str>,
    /// Whether its `X-Forwarded-*` are believed.
    pub(super) trusted: bool,
}

/// What there is to do for a client that was idle.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// Bytes have come, or the client has closed: a read will tell.
    Readable,
    /// It was silent for too long, or the worker drains.
    Leave,
}

impl Client {
    /// Waits, without a buffer, until there is something to read or it is time to leave.
    ///
    /// Not an `async fn`: what thousands of clients wait in is a reference and no more.
    pub(super) fn idle(
        &mut self,
        listener: &ListenerSite,
    ) -> impl Future<Output = Woken> + use<'_> {
        if self.input.as_ref().is_none_or(Buffer::is_empty) {
            self.input = None;
            self.watch.idle_for(match self.standing {
                Standing::New | Standing::Hurried => listener.settings.header_timeout,
                Standing::Served => listener.settings.idle_timeout,
            });
        }
        poll_fn(|cx| {
            if self.input.is_some() {
                return Poll::Ready(Woken::Readable);
            }
            if self.stream.poll_readable(cx).is_ready() {
                self.watch.stay();
                return Poll::Ready(Woken::Readable);
            }
            self.poll_leave(cx).map(|()| Woken::Leave)
        })
    }

    /// Ready when it is time for a client to leave that has said nothing. A drain sends it away, or a
    /// newcomer who needs its place, but not with a request in the kernel of which the event loop has
    /// not heard yet. In a drain a new client has a moment to make its request: it was let in.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match (ready!(self.watch.poll_interrupt(cx)), self.standing) {
            (Interrupt::Deadline, _) => Poll::Ready(()),
            (Interrupt::Evicted, _) if self.stream.is_quiet() => Poll::Ready(()),
            (Interrupt::Evicted, _) => {
                self.watch.stay();
                self.watch.poll_deadline(cx)
            }
            (Interrupt::Drain, Standing::New) => {
                self.standing = Standing::Hurried;
                self.watch.due_in(FIRST_REQUEST_IN_A_DRAIN);
                self.watch.poll_deadline(cx)
            }
            (Interrupt::Drain, Standing::Served) if self.stream.is_quiet() => Poll::Ready(()),
            (Interrupt::Drain, Standing::Hurried | Standing::Served) => {
                if self.watch.is_evicted() && !self.stream.is_quiet() {
                    self.watch.stay();
                }
                self.watch.poll_deadline(cx)
            }
        }
    }

    /// Reads until the whole head of a request is in `input`; returns its length, or none where the
    /// client left before it had said anything. A client that is asked to make room meanwhile is too
    /// slow.
    pub(super) async fn read_head(
        &mut self,
        listener: &ListenerSite,
    ) -> Result<Option<usize>, Fault> {
        let head = self.scan_head(listener).await;
        if !matches!(head, Ok(None) | Err(Fault::SlowHead)) {
            self.watch.stay();
        }
        head
    }

    async fn scan_head(&mut self, listener: &ListenerSite) -> Result<Option<usize>, Fault> {
        let pool = &listener.site.buffers;
        let limits = &listener.limits;
        let mut scan = HeadScan::request();
        // The first head has had one since the accept.
        let mut has_deadline = self.standing != Standing::Served;
        loop {
            if let Some(input) = &self.input {
                if let Some(length) = scan.scan(input.filled()).map_err(Refusal::from)? {
                    return Ok(Some(length));
                }
                limits.check_partial_request(input.filled())?;
                if !has_deadline {
                    self.watch.due_in(listener.settings.header_timeout);
                    has_deadline = true;
                }
            }
            let count = poll_fn(|cx| {
                if let Poll::Ready(count) = self.poll_fill(cx, pool, limits.bytes_max) {
                    return Poll::Ready(match count {
                        // It has gone without a word, however it did.
                        Err(_) if !self.has_spoken() => Ok(0),
                        count => count.map_err(|error| Fault::ClientGone(Gone::Failed(error))),
                    });
                }
                self.watch.is_reading();
                if !self.has_spoken() {
                    // Nothing was said, so there is nothing to answer.
                    ready!(self.poll_leave(cx));
                    return Poll::Ready(Ok(0));
                }
                ready!(self.watch.poll_deadline(cx));
                Poll::Ready(Err(Fault::SlowHead))
            })
            .await?;
            if count == 0 {
                self.half_closed = true;
                if !self.has_spoken() {
                    return Ok(None);
                }
                return Err(Refusal::new(400, "the request ended within its head").into());
            }
        }
    }

    /// Bytes received and used: what is left in `input` belongs to what comes next.
    pub(super) fn consumed(&self) -> u64 {
        let unused = self.input.as_ref().map_or(0, Buffer::len);
        self.stream.received() - unused as u64
    }

    /// Whether anything of a request is there. A lone empty line is not: it is what some clients send
    /// behind a body (RFC 9112 section 2.2).
    fn has_spoken(&self) -> bool {
        let input = self.input.as_ref().map_or(&[][..], Buffer::filled);
        !b"\r\n".starts_with(input)
    }

    /// Whether the request in `input`, whole or not, is a HEAD.
    pub(super) fn begins_with_head_method(&self) -> bool {
        let input = self.input.as_ref().map_or(&[][..], Buffer::filled);
        input
            .strip_prefix(b"\r\n")
            .unwrap_or(input)
            .starts_with(b"HEAD ")
    }

    /// Reads more into `input`, which may grow to `bytes_max`. `Ok(0)` is the end of the stream.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        pool: &BufferPool,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        poll_fill(&mut self.stream, &mut self.input, cx, pool, bytes_max)
    }

    /// Ready once the connection fails, while nobody reads from it. `failure` is kept between polls.
    pub(super) fn poll_failure(
        &self,
        cx: &mut Context<'_>,
        failure: &mut Option<Failure>,
    ) -> Poll<Gone> {
        let failure = match failure {
            Some(failure) => failure,
            None => {
                let slot = self.watch.second_slot();
                match slot.and_then(|slot| self.stream.failure(slot).ok()) {
                    Some(new) => failure.insert(new),
                    // Out of descriptors, say: the next write will tell.
                    None => return Poll::Pending,
                }
            }
        };
        let reset = |()| Gone::Failed(io::ErrorKind::ConnectionReset.into());
        failure.as_mut().poll(cx).map(reset)
    }

    /// Whether there is room to read ahead. Without, only a failure tells that the client is gone.
    pub(super) fn may_read_ahead(&self) -> bool {
        self.input
            .as_ref()
            .is_none_or(|input| input.len() < BUFFER_BYTES)
    }

    /// Ready once the client is certain to be gone while we wait for somebody else. What it sends
    /// meanwhile (its next request, as a rule) is read ahead, up to one buffer.
    ///
    /// A client that half-closes may still be reading: it counts as gone only where
    /// `half_close_counts`, that is while its request has not gone to the app.
    pub(super) fn poll_gone(
        &mut self,
        cx: &mut Context<'_>,
        pool: &BufferPool,
        half_close_counts: bool,
    ) -> Poll<Gone> {
        loop {
            if self.half_closed {
                return if half_close_counts {
                    Poll::Ready(Gone::Closed)
                } else {
                    Poll::Pending
                };
            }
            if !self.may_read_ahead() {
                return Poll::Pending;
            }
            ready!(self.stream.poll_readable(cx)).ok();
            match ready!(self.poll_fill(cx, pool, BUFFER_BYTES)) {
                Ok(0) => self.half_closed = true,
                // What is lent is told at the next tick, of which there is one now.
                Ok(_) => self.watch.wind(),
                Err(error) => return Poll::Ready(Gone::Failed(error)),
            }
        }
    }
}

/// Reads from `stream` behind what is in `input`; borrows a buffer for it only while there are bytes.
pub(super) fn poll_fill(
    stream: &mut Stream,
    input: &mut Option<Buffer>,
    cx: &mut Context<'_>,
    pool: &BufferPool,
    bytes_max: usize,
) -> Poll<io::Result<usize>> {
    let buffer = input.get_or_insert_with(|| pool.lend());
    if buffer.spare() == 0 && !buffer.make_room(bytes_max) {
        return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
    }
    let filled = buffer.poll_fill(cx, stream, usize::MAX);
    if buffer.is_empty() {
        *input = None;
    }
    filled
}

/// Waits for `wanted` unless the client goes first, in which case nobody needs it any more. A client
/// that half-closes counts as gone while `queued` says that its request has to wait.
pub(super) async fn unless_gone<T>(
    client: &mut Client,
    pool: &BufferPool,
    queued: &Cell<bool>,
    wanted: impl Future<Output = T>,
) -> Result<T, Fault> {
    let mut wanted = std::pin::pin!(wanted);
    poll_fn(|cx| {
        if let Poll::Ready(value) = wanted.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        client
            .poll_gone(cx, pool, queued.get())
            .map(|gone| Err(Fault::ClientGone(gone)))
    })
    .await
}
