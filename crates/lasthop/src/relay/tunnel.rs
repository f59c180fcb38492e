//! Two streams joined into one, after an upgrade: bytes both ways until both sides have ended.
//!
//! Each direction ends for itself: when one side has sent its last byte, the other is told with a
//! half-close and may go on sending. (Racing two copies and dropping the loser would cut off what
//! is still to come.) A quiet tunnel holds two sockets and no buffer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{LARGE_BYTES, Outbox};
use crate::transport::{BUFFER_BYTES, Buffer, BufferPool, Bulk, PIPE_BYTES, Pace, Stream, Watch};

/// Bytes that may wait in buffers for one side of a tunnel that reads slowly. In bulk it may be a pipe full instead.
const WAITING_BYTES_MAX: usize = BUFFER_BYTES;

/// Polls in a row without more than one read after which a direction is no bulk transfer any more. A
/// download that is slow for a moment keeps its place.
const CALM_POLLS: u8 = 8;

/// Silence allowed once one side has ended. What is left is the other's farewell, and an app whose
/// work is done should not hold its connection for a client that forgot to close.
const FAREWELL_MAX: Duration = Duration::from_secs(60);

/// A side of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Client,
    /// The app's.
    App,
}

/// How a tunnel ended.
#[derive(Debug)]
pub enum TunnelEnd {
    /// Both sides sent their end and it was passed on; this one was the first.
    Closed(Side),
    /// Nobody sent anything for the tunnel timeout.
    Silent,
    /// This side failed (a reset, as a rule); the other was closed with it.
    Broken(Side, io::Error),
}

/// Which end of a direction failed.
enum Failed {
    Source(io::Error),
    Destination(io::Error),
}

/// One direction of a tunnel: what one side has sent and the other has not yet taken.
#[derive(Debug)]
pub struct Direction {
    waiting: Outbox,
    source_ended: bool,
    end_passed_on: bool,
    pace: Pace,
    /// Polls in a row that found next to nothing.
    calm_polls: u8,
    /// Bytes moved since it was calm, as far as this can count: [`LARGE_BYTES`] matter.
    carried: u32,
}

impl Direction {
    /// A direction in which `first`, if anything, has been read already.
    pub fn new(pool: &BufferPool, first: Option<Buffer>) -> Self {
        let mut waiting = Outbox::new(pool);
        if let Some(first) = first {
            waiting.push_buffer(first);
        }
        Self {
            waiting,
            source_ended: false,
            end_passed_on: false,
            pace: Pace::default(),
            calm_polls: 0,
            carried: 0,
        }
    }

    /// Moves bytes until neither side is ready; ready once the end was passed on. Sets `moved`.
    fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        (bulk, moved): (&Bulk, &mut bool),
    ) -> Poll<Result<(), Failed>> {
        if self.end_passed_on {
            return Poll::Ready(Ok(()));
        }
        ready!(self.pace.poll_turn(cx, bulk));
        let mut reads = 0;
        loop {
            let before = self.waiting.unsent();
            let flushed = self
                .waiting
                .poll_flush(cx, to)
                .map_err(Failed::Destination)?;
            *moved |= self.waiting.unsent() < before;
            if self.source_ended {
                ready!(flushed);
                self.end_passed_on = true;
                // A peer that is gone already cannot be told; its own direction will say so.
                let _ = to.shutdown_write();
                return Poll::Ready(Ok(()));
            }
            // Not before all is written: what is left in a pipe keeps it from others.
            if reads >= self.pace.reads_max() {
                break;
            }
            let is_large = u64::from(self.carried) >= LARGE_BYTES;
            if self.waiting.unsent() >= WAITING_BYTES_MAX
                || is_large && self.waiting.empties_first()
            {
                return Poll::Pending;
            }
            let spliced_max = if is_large { PIPE_BYTES } else { 0 };
            let carried = self
                .waiting
                .poll_carry_from(cx, from, usize::MAX, spliced_max);
            let count = match carried {
                Poll::Ready(read) => read.map_err(Failed::Source)?,
                Poll::Pending => {
                    self.calm_down(reads);
                    self.waiting.shrink();
                    return Poll::Pending;
                }
            };
            *moved = true;
            reads += Pace::reads(count as u64);
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            self.carried = self.carried.saturating_add(count);
            self.source_ended = count == 0;
        }
        self.calm_polls = 0;
        self.pace.pause(cx, bulk);
        Poll::Pending
    }

    /// A conversation that was bulk for once is one again: else it would wait behind every download for
    /// the rest of its hours.
    fn calm_down(&mut self, reads: usize) {
        self.calm_polls = if reads <= 1 { self.calm_polls + 1 } else { 0 };
        if self.calm_polls == CALM_POLLS {
            self.calm_polls = 0;
            self.carried = 0;
            self.pace = Pace::default();
        }
    }
}

/// Carries bytes between two streams until both have ended, one fails, or neither sends anything for
/// the timeout.
///
/// A future by hand and not an `async fn`: a held tunnel is this and little else, arguments of an
/// `async fn` are kept twice, and one that is dropped half-way can still say what it has carried.
#[derive(Debug)]
pub struct Tunnel {
    client: Stream,
    app: Stream,
    up: Direction,
    down: Direction,
    watch: Watch,
    timeout: Duration,
    first_ended: Option<Side>,
}

impl Tunnel {
    /// A tunnel; each stream comes with the direction that leads away from it.
    pub fn new(
        (client, up): (Stream, Direction),
        (app, down): (Stream, Direction),
        watch: Watch,
        timeout: Duration,
    ) -> Self {
        watch.due_in(timeout);
        Self {
            client,
            app,
            up,
            down,
            watch,
            timeout,
            first_ended: None,
        }
    }

    /// The client's stream, which has counted what was carried.
    pub fn client(&self) -> &Stream {
        &self.client
    }

    /// Silence that ends it.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

impl Future for Tunnel {
    type Output = TunnelEnd;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TunnelEnd> {
        let this = self.get_mut();
        let mut moved = false;
        let bulk = this.watch.bulk();
        let (client, app) = (&mut this.client, &mut this.app);
        let up = match this.up.poll_move(cx, client, app, (bulk, &mut moved)) {
            Poll::Ready(Err(failed)) => return Poll::Ready(failed.end(Side::Client, Side::App)),
            other => other.is_ready(),
        };
        let down = match this.down.poll_move(cx, app, client, (bulk, &mut moved)) {
            Poll::Ready(Err(failed)) => return Poll::Ready(failed.end(Side::App, Side::Client)),
            other => other.is_ready(),
        };
        if this.first_ended.is_none() && (up || down) {
            this.first_ended = Some(if up { Side::Client } else { Side::App });
        }
        if up && down {
            return Poll::Ready(TunnelEnd::Closed(this.first_ended.unwrap_or(Side::Client)));
        }
        if moved {
            let is_ending = up || down;
            this.watch.due_in(if is_ending {
                this.timeout.min(FAREWELL_MAX)
            } else {
                this.timeout
            });
        }
        this.watch.poll_deadline(cx).map(|()| TunnelEnd::Silent)
    }
}

impl Failed {
    fn end(self, source: Side, destination: Side) -> TunnelEnd {
        match self {
            Self::Source(error) => TunnelEnd::Broken(source, error),
            Self::Destination(error) => TunnelEnd::Broken(destination, error),
        }
    }
}
