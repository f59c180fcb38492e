//! One body on its way: taken apart as its sender framed it, put together as its receiver is told.
//!
//! A body of known length goes from a read straight into the outbox, or past this process where it is large; chunks are
//! copied once, because they are written anew (RFC 9112 section 7.1): sizes in one spelling, no extensions, trailers filtered.

use std::io;
use std::task::{Context, Poll, ready};

use lasthop_http1::chunked::{self, Decoder, Event};
use lasthop_http1::refusal::Malformed;

use super::client::poll_fill;
use crate::relay::{LARGE_BYTES, Outbox};
use crate::transport::{BUFFER_BYTES, Buffer, BufferPool, Stream};

/// How the sender frames the body, and how much of it is still to come.
#[derive(Debug)]
enum Source {
    Done,
    Sized(u64),
    Chunked(Decoder),
    UntilClose,
}

/// A body that is being received.
#[derive(Debug)]
pub(super) struct Body {
    source: Source,
    /// Whether it is passed on in chunks.
    chunked_out: bool,
    /// Payload bytes received so far.
    received: u64,
}

/// Why a body cannot be received to its end.
#[derive(Debug)]
pub(super) enum BodyError {
    /// The chunks are malformed.
    Malformed(Malformed),
    /// The stream ended before the body did.
    Cut,
    /// The stream failed.
    Failed(io::Error),
}

impl From<Malformed> for BodyError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<io::Error> for BodyError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Body {
    pub(super) fn none() -> Self {
        Self {
            source: Source::Done,
            chunked_out: false,
            received: 0,
        }
    }

    pub(super) fn sized(length: u64) -> Self {
        let source = if length == 0 {
            Source::Done
        } else {
            Source::Sized(length)
        };
        Self {
            source,
            ..Self::none()
        }
    }

    pub(super) fn chunked(chunked_out: bool) -> Self {
        Self {
            source: Source::Chunked(Decoder::default()),
            chunked_out,
            received: 0,
        }
    }

    pub(super) fn until_close(chunked_out: bool) -> Self {
        Self {
            source: Source::UntilClose,
            chunked_out,
            received: 0,
        }
    }

    /// Whether it has been received whole.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.source, Source::Done)
    }

    /// Whether its length is known and small enough to wait for.
    pub(super) fn is_sized(&self) -> bool {
        matches!(self.source, Source::Sized(_))
    }

    /// Bytes still to come, where that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match self.source {
            Source::Sized(left) => Some(left),
            _ => None,
        }
    }

    /// Whether so much has come, or is known to come, that a pipe may be worth its while.
    pub(super) fn is_large(&self) -> bool {
        self.received >= LARGE_BYTES || self.left().is_some_and(|left| left >= LARGE_BYTES)
    }

    /// Payload bytes received so far.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Moves what is there: first from `input`, then from `stream`, into `out`. Ready after every
    /// step that moved bytes or ended the body, so that the caller can send on at once. Of a body that is passed on as it
    /// comes, up to `spliced_max` bytes at a time move without a copy.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        input: &mut Option<Buffer>,
        pool: &BufferPool,
        (out, spliced_max): (&mut Outbox, usize),
    ) -> Poll<Result<(), BodyError>> {
        loop {
            if self.is_done() {
                return Poll::Ready(Ok(()));
            }
            if let Some(buffer) = input.take_if(|buffer| !buffer.is_empty())
                && self.take_in(buffer, input, out)?
            {
                return Poll::Ready(Ok(()));
            }
            let straight = match self.source {
                Source::Sized(left) => Some(usize::try_from(left).unwrap_or(usize::MAX)),
                Source::UntilClose if !self.chunked_out => Some(usize::MAX),
                _ => None,
            };
            let count = match straight {
                Some(bytes_max) => ready!(out.poll_carry_from(cx, stream, bytes_max, spliced_max))?,
                None => ready!(poll_fill(stream, input, cx, pool, BUFFER_BYTES))?,
            };
            if count == 0 {
                return Poll::Ready(self.end_of_stream(out));
            }
            if straight.is_some() {
                self.count(count);
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Uses the bytes of `buffer`; what belongs to something else, or is not whole yet, goes back
    /// into `input`. Returns whether anything was moved or ended.
    pub(super) fn take_in(
        &mut self,
        mut buffer: Buffer,
        input: &mut Option<Buffer>,
        out: &mut Outbox,
    ) -> Result<bool, BodyError> {
        let before = self.received;
        match &mut self.source {
            Source::Done => {}
            Source::Sized(left) => {
                let mine = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(buffer.len());
                if mine == buffer.len() {
                    out.push_buffer(buffer);
                    self.count(mine);
                    return Ok(true);
                }
                out.push(&buffer.filled()[..mine]);
                buffer.consume(mine);
                self.count(mine);
            }
            Source::UntilClose if self.chunked_out => {
                self.received += buffer.len() as u64;
                push_chunk(out, buffer.filled());
                return Ok(true);
            }
            Source::UntilClose => {
                self.received += buffer.len() as u64;
                out.push_buffer(buffer);
                return Ok(true);
            }
            Source::Chunked(_) => self.take_chunks(&mut buffer, out)?,
        }
        if !buffer.is_empty() {
            *input = Some(buffer);
        }
        Ok(self.received > before || self.is_done())
    }

    fn take_chunks(&mut self, buffer: &mut Buffer, out: &mut Outbox) -> Result<(), BodyError> {
        while let Source::Chunked(decoder) = &mut self.source {
            let step = decoder.decode(buffer.filled())?;
            match step.event {
                Event::Data(range) => {
                    self.received += range.len() as u64;
                    let data = &buffer.filled()[range];
                    if self.chunked_out {
                        push_chunk(out, data);
                    } else {
                        out.push(data);
                    }
                }
                Event::End { trailers: range } => {
                    if self.chunked_out && range.is_empty() {
                        out.push(chunked::LAST_CHUNK);
                    } else if self.chunked_out {
                        let mut end = Vec::new();
                        chunked::write_end(&mut end, &buffer.filled()[range]);
                        out.push(&end);
                    }
                    self.source = Source::Done;
                }
                Event::NeedMore => {
                    buffer.consume(step.consumed);
                    // A size line or trailer section must fit into the buffer behind nothing else.
                    buffer.make_room(BUFFER_BYTES);
                    return Ok(());
                }
            }
            buffer.consume(step.consumed);
        }
        Ok(())
    }

    fn count(&mut self, count: usize) {
        self.received += count as u64;
        if let Source::Sized(left) = &mut self.source {
            *left = left.saturating_sub(count as u64);
            if *left == 0 {
                self.source = Source::Done;
            }
        }
    }

    fn end_of_stream(&mut self, out: &mut Outbox) -> Result<(), BodyError> {
        match self.source {
            Source::UntilClose => {
                if self.chunked_out {
                    out.push(chunked::LAST_CHUNK);
                }
                self.source = Source::Done;
                Ok(())
            }
            _ => Err(BodyError::Cut),
        }
    }
}

fn push_chunk(out: &mut Outbox, data: &[u8]) {
    out.push(chunked::chunk_prefix(data.len() as u64).as_ref());
    out.push(data);
    out.push(chunked::CRLF);
}
