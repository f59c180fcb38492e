//! The request's way to the app: its head, then its body, at the pace of whoever is slower.
//!
//! Until the first byte of an answer is there, everything sent is retained while it fits into the
//! request buffer, so that a request whose reused connection turns out to be dead can start over.

use std::task::{Context, Poll, ready};

use lasthop_http1::refusal::Refusal;

use super::body::{Body, BodyError};
use super::client::Client;
use super::fault::{Fault, Gone};
use crate::relay::{Outbox, SPLICED_MIN};
use crate::transport::{BUFFER_BYTES, BufferPool, PIPE_BYTES, Pace, Stream};

/// A request being sent to its app.
#[derive(Debug)]
pub(super) struct Upload {
    outbox: Outbox,
    body: Body,
    /// Bytes of the head, which come first.
    head_bytes: usize,
    pool: BufferPool,
    /// Bytes that may wait for the app, or be waited for before it is asked.
    buffer_bytes: usize,
    /// Bytes a body may have; 0 for any number.
    body_bytes_max: u64,
    /// The app takes no more: nothing is sent any longer.
    stopped: bool,
    pace: Pace,
}

/// Why the request cannot be sent on.
#[derive(Debug)]
pub(super) enum UploadError {
    /// The client's fault, or the client is gone.
    Client(Fault),
    /// The app does not take it: it has closed or reset the connection. Why, its answer will tell.
    App,
}

/// Whom an unfinished upload waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// The client, to send.
    Client,
    /// The app, to take.
    App,
    /// Nobody: all is sent.
    Nobody,
}

impl Upload {
    /// An upload of `body`. A `buffer_bytes` of 0 streams: what is read is sent before more is read.
    pub(super) fn new(
        body: Body,
        pool: &BufferPool,
        buffer_bytes: usize,
        body_bytes_max: u64,
    ) -> Self {
        Self {
            outbox: Outbox::retaining(pool),
            body,
            head_bytes: 0,
            pool: pool.clone(),
            buffer_bytes,
            body_bytes_max,
            stopped: false,
            pace: Pace::default(),
        }
    }

    /// Refuses a body of `bytes` if that is over the route's bound.
    pub(super) fn check_size(&self, bytes: u64) -> Result<(), Fault> {
        if self.body_bytes_max > 0 && bytes > self.body_bytes_max {
            return Err(Refusal::new(413, "the body is larger than this route allows").into());
        }
        Ok(())
    }

    /// Puts the serialised head in front.
    pub(super) fn push_head(&mut self, head: &[u8]) {
        self.head_bytes = head.len();
        self.outbox.push(head);
    }

    /// Bytes of the body that may be held: none worth speaking of while the worker holds too much
    /// already.
    fn body_bytes_held_max(&self) -> usize {
        if self.pool.is_crowded() {
            0
        } else {
            self.buffer_bytes
        }
    }

    /// Whether the request has been read from the client to its last byte.
    pub(super) fn is_read(&self) -> bool {
        self.body.is_done()
    }

    /// Whether all of it has been sent to the app.
    pub(super) fn is_sent(&self) -> bool {
        self.body.is_done() && self.outbox.is_flushed() && !self.stopped
    }

    /// Whom it waits for.
    pub(super) fn waits_for(&self) -> WaitsFor {
        if !self.outbox.is_flushed() && !self.stopped {
            WaitsFor::App
        } else if !self.body.is_done() && !self.stopped {
            WaitsFor::Client
        } else {
            WaitsFor::Nobody
        }
    }

    /// Whether the body should be waited for before the app is bothered: its length is known, so it
    /// will end, and some of it is still to come.
    pub(super) fn is_worth_buffering(&self) -> bool {
        self.body.is_sized() && self.buffer_bytes > 0
    }

    /// Reads the body until it is whole or the buffer is full; moved says whether bytes came.
    pub(super) fn poll_buffer(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client,
        moved: &mut bool,
    ) -> Poll<Result<(), Fault>> {
        while !self.body.is_done()
            && self.outbox.unsent() < self.buffer_bytes
            && !self.pool.is_crowded()
        {
            ready!(self.poll_receive(cx, client, 0))?;
            *moved = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads and sends until one side has to be waited for; ready once all is sent.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client,
        app: &mut Stream,
        moved: &mut bool,
    ) -> Poll<Result<(), UploadError>> {
        if self.stopped {
            return Poll::Pending;
        }
        ready!(self.pace.poll_turn(cx, client.watch.bulk()));
        let mut reads = 0;
        loop {
            let before = self.outbox.unsent();
            let flushed = self
                .outbox
                .poll_flush(cx, app)
                .map_err(|_| UploadError::App)?;
            *moved |= self.outbox.unsent() < before;
            if self.body.is_done() {
                return flushed.map(Ok);
            }
            // Not before all is written: what is left in a pipe keeps it from others.
            if reads >= self.pace.reads_max() {
                break;
            }
            let held_max = self.body_bytes_held_max();
            if self.outbox.is_retained() && self.outgrows(held_max) {
                self.outbox.release();
            }
            let room = held_max
                .max(BUFFER_BYTES)
                .saturating_sub(self.outbox.unsent());
            let is_large = self.body.is_large();
            if room == 0 || is_large && self.outbox.empties_first() {
                return Poll::Pending;
            }
            // What a pipe may hold is its own: it counts as that much, whatever is in it.
            let spliced_max = match is_large && held_max >= SPLICED_MIN {
                true => PIPE_BYTES,
                false => 0,
            };
            let before = self.body.received();
            ready!(self.poll_receive(cx, client, spliced_max)).map_err(UploadError::Client)?;
            *moved = true;
            reads += Pace::reads(self.body.received() - before);
        }
        self.pace.pause(cx, client.watch.bulk());
        Poll::Pending
    }

    /// Whether what is retained is more than `held_max` besides the head, or fills that and more is sure to come.
    fn outgrows(&self, held_max: usize) -> bool {
        // As sent, not as received: chunks of one byte weigh six times what they carry.
        let held = self.outbox.held();
        let fitting = self.head_bytes + held_max;
        let coming = || self.body.left().unwrap_or(0);
        let is_full = held_max >= SPLICED_MIN && held >= held_max;
        // One more read may still make it whole.
        held > fitting || is_full && coming() > (fitting - held).max(BUFFER_BYTES) as u64
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client,
        spliced_max: usize,
    ) -> Poll<Result<(), Fault>> {
        let Client {
            stream,
            input,
            half_closed,
            ..
        } = client;
        let out = (&mut self.outbox, spliced_max);
        let received = self.body.poll_receive(cx, stream, input, &self.pool, out);
        Poll::Ready(match ready!(received) {
            Ok(()) => self.check_size(self.body.received()),
            Err(BodyError::Malformed(malformed)) => Err(Refusal::from(malformed).into()),
            Err(BodyError::Cut) => {
                *half_closed = true;
                Err(Fault::CutBody)
            }
            Err(BodyError::Failed(error)) => Err(Fault::ClientGone(Gone::Failed(error))),
        })
    }

    /// The app takes no more of it; its answer may still come.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether every byte sent so far can be sent again.
    pub(super) fn can_start_over(&self) -> bool {
        self.outbox.is_retained()
    }

    /// Whether any byte has gone out on the present connection.
    pub(super) fn has_sent(&self) -> bool {
        self.outbox.has_sent()
    }

    /// Back to the first byte, for another connection.
    pub(super) fn start_over(&mut self) {
        self.stopped = false;
        self.outbox.rewind();
    }

    /// An answer has begun: there will be no second attempt, so sent bytes need not be kept.
    pub(super) fn commit(&mut self) {
        self.outbox.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFER: usize = 64 * 1024;
    const HEAD: &[u8] = b"PUT / HTTP/1.1\r\n\r\n";

    /// An upload of which `there` bytes of the body have come and `left` are to come.
    fn upload(there: usize, left: u64) -> Upload {
        let pool = BufferPool::new(1 << 20);
        let mut upload = Upload::new(Body::sized(left), &pool, BUFFER, 0);
        upload.push_head(HEAD);
        upload.outbox.push(&vec![b'x'; there]);
        upload
    }

    #[test]
    fn a_body_that_nearly_fits_into_the_buffer_is_retained_and_a_longer_one_no_longer_than_it_must()
    {
        let full = BUFFER - HEAD.len();
        let rest = HEAD.len() as u64;
        assert!(!upload(full, rest).outgrows(BUFFER), "it will fit");
        let one_read = BUFFER_BYTES as u64;
        assert!(!upload(full, one_read).outgrows(BUFFER), "or nearly");
        assert!(upload(full, one_read + 1).outgrows(BUFFER), "it will not");
        let more = one_read + 2;
        assert!(!upload(full - 1, more).outgrows(BUFFER), "not yet full");
        assert!(upload(1, 0).outgrows(0), "there is no room for any");
        assert!(!upload(0, 10).outgrows(0), "a head is always kept");
        assert!(!upload(4096, 1).outgrows(4096), "it will fit");
    }
}
