//! The answer's way to the client: its head as soon as it is there, then its body as it comes.
//!
//! The app is read as fast as it sends, up to the response buffer, whatever the pace of the client:
//! an app that has written its answer is free for the next request. Nothing waits for more bytes
//! to come: what is read is written at once.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use lasthop_http1::Version;
use lasthop_http1::fields::FieldStorage;
use lasthop_http1::limits::HeadLimits;
use lasthop_http1::response::{
    self, ConnectionField, Delivery, Framing, RequestKind, ResponseBody,
};

use super::body::{Body, BodyError};
use super::client::Client;
use super::fault::{Cut, Fault, Gone};
use super::request::{Manner, Request};
use super::site::Site;
use crate::relay::Outbox;
use crate::transport::{BUFFER_BYTES, Buffer, BufferPool, Stream};

/// An answer being passed on to its client.
#[derive(Debug)]
pub(super) struct Download {
    outbox: Outbox,
    body: Body,
    pool: BufferPool,
    buffer_bytes: usize,
    /// Some of it may have reached the client.
    pub(super) began: bool,
}

/// What the head of a final answer says about what comes after it.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its status.
    pub(super) status: u16,
    /// The app's connection can take another request once the body is whole.
    pub(super) app_persists: bool,
    /// But not at once: the head declares a body that must not follow, and might.
    pub(super) app_needs_rest: bool,
    /// The app's `Keep-Alive: timeout`.
    pub(super) app_timeout: Option<Duration>,
    /// How the client's connection goes on.
    pub(super) ends: Ends,
}

/// What becomes of the client's connection after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// Another request may follow.
    Never,
    /// It is closed, and the client was told so.
    WithClose,
    /// Its end marks the end of the body, so a body that is cut must end in a reset instead.
    ByClose,
    /// It becomes a tunnel.
    ByUpgrade,
}

/// What a head turned out to be.
#[derive(Debug)]
pub(super) enum Head {
    /// 1xx: more is to come.
    Interim,
    /// The answer proper.
    Final(Answer),
}

impl Download {
    pub(super) fn new(pool: &BufferPool, buffer_bytes: usize) -> Self {
        Self {
            outbox: Outbox::new(pool),
            body: Body::none(),
            pool: pool.clone(),
            buffer_bytes,
            began: false,
        }
    }

    /// Takes a head of `length` bytes from what was read from the app and writes it anew.
    pub(super) fn take_head(
        &mut self,
        input: &mut Option<Buffer>,
        length: usize,
        site: &Site,
        request: &Request,
        manner: &Manner,
    ) -> Result<Head, Fault> {
        let Some(mut buffer) = input.take() else {
            return Err(Fault::BadAnswer("no head"));
        };
        let limits = head_limits(request.upstream.settings.header_size_max);
        let mut storage = FieldStorage::default();
        let kind = RequestKind {
            is_head: manner.is_head,
            upgrade: request.upgrade.as_deref(),
        };
        let head = response::parse(&buffer.filled()[..length], &mut storage, kind, &limits)
            .map_err(|malformed| Fault::BadAnswer(malformed.reason))?;
        if head.is_switching() && !request.upload.is_sent() {
            return Err(Fault::BadAnswer(
                "it switched protocols before it had the whole request",
            ));
        }
        let mut scratch = site.scratch.borrow_mut();
        scratch.clear();
        let read = if head.is_interim() {
            if manner.version == Version::Http11 {
                response::write(
                    &mut scratch,
                    &head,
                    &Delivery::of(&head, manner.version, true),
                );
            }
            Head::Interim
        } else {
            let may_go_on =
                manner.keep_alive && request.upload.is_read() && !site.connections.is_draining();
            let date = site.date.text();
            let delivery = Delivery {
                date: Some(&date),
                ..Delivery::of(&head, manner.version, may_go_on)
            };
            response::write(&mut scratch, &head, &delivery);
            let framing = delivery.framing;
            let ends = match delivery.connection {
                ConnectionField::Upgrade => Ends::ByUpgrade,
                ConnectionField::Close if framing == Framing::UntilClose => Ends::ByClose,
                ConnectionField::Close => Ends::WithClose,
                ConnectionField::KeepAlive | ConnectionField::Omit => Ends::Never,
            };
            self.body = match head.body {
                ResponseBody::None => Body::none(),
                ResponseBody::Sized(length) => Body::sized(length),
                ResponseBody::Chunked => Body::chunked(framing == Framing::Chunked),
                ResponseBody::UntilClose => Body::until_close(framing == Framing::Chunked),
            };
            Head::Final(Answer {
                status: head.status,
                app_persists: head.keep_alive && head.body != ResponseBody::UntilClose,
                app_needs_rest: head.withholds_body,
                app_timeout: head
                    .keep_alive_timeout
                    .map(|seconds| Duration::from_secs(seconds.into())),
                ends,
            })
        };
        self.outbox.push(&scratch);
        buffer.consume(length);
        if !buffer.is_empty() {
            *input = Some(buffer);
        }
        Ok(read)
    }

    /// Whether the body has been received whole from the app.
    pub(super) fn is_received(&self) -> bool {
        self.body.is_done()
    }

    /// Whether so much waits for the client that the app has to wait as well. Of a large answer that is anything, as long
    /// as the buffer could not take the rest: the app would have to wait for the client in any case.
    pub(super) fn is_full(&self) -> bool {
        let room = self.room();
        let is_beyond = |left| left > room as u64;
        room == 0
            || self.body.is_large()
                && self.outbox.empties_first()
                && self.body.left().is_some_and(is_beyond)
    }

    /// Bytes that may still be read from the app before the client has to take some; one read may go beyond.
    fn room(&self) -> usize {
        let full = if self.pool.is_crowded() {
            BUFFER_BYTES
        } else {
            self.buffer_bytes.max(BUFFER_BYTES)
        };
        full.saturating_sub(self.outbox.unsent())
    }

    /// Whether to read on before anything is written.
    pub(super) fn gathers(&self) -> bool {
        self.outbox.gathers() && !self.is_full()
    }

    /// Bytes of the body that have come from the app.
    pub(super) fn received(&self) -> u64 {
        self.body.received()
    }

    /// Whether nothing waits for the client.
    pub(super) fn is_flushed(&self) -> bool {
        self.outbox.is_flushed()
    }

    /// Writes what waits for the client.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client,
        moved: &mut bool,
    ) -> Poll<Result<(), Fault>> {
        let before = self.outbox.unsent();
        let flushed = self.outbox.poll_flush(cx, &mut client.stream);
        let sent = self.outbox.unsent() < before;
        *moved |= sent;
        self.began |= sent;
        flushed.map_err(|error| Fault::ClientGone(Gone::Failed(error)))
    }

    /// Reads once from the app; of a large answer, up to `spliced_max` bytes without a copy where that can be. Ready when
    /// there is something to write or the body is whole; pending while the app has to be waited for, or the client because
    /// the buffer is full.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        (app, input): (&mut Stream, &mut Option<Buffer>),
        spliced_max: usize,
        moved: &mut bool,
    ) -> Poll<Result<(), Fault>> {
        if self.is_full() {
            return Poll::Pending;
        }
        let spliced_max = match self.body.is_large() {
            true => spliced_max.min(self.room()),
            false => 0,
        };
        let out = (&mut self.outbox, spliced_max);
        let received = ready!(self.body.poll_receive(cx, app, input, &self.pool, out));
        *moved = true;
        Poll::Ready(received.map_err(|error| match error {
            BodyError::Malformed(malformed) => Fault::BadAnswer(malformed.reason),
            BodyError::Cut => Fault::CutAnswer(Cut::Closed),
            BodyError::Failed(error) => Fault::CutAnswer(Cut::Failed(error)),
        }))
    }
}

/// Bounds on the head of an answer. An app may send as many fields as a client.
pub(super) fn head_limits(bytes_max: usize) -> HeadLimits {
    HeadLimits {
        bytes_max,
        ..HeadLimits::default()
    }
}
