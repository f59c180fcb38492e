//! Two streams joined into one, after an upgrade: bytes both ways until both sides have ended.
//!
//! Each direction ends for itself: when one side has sent its last byte, the other is told with a
//! half-close and may go on sending. (Racing two copies and dropping the loser would cut off what
//! is still to come.) A quiet tunnel holds two sockets and no buffer.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::Outbox;
use crate::transport::{
    BUFFER_BYTES, Buffer, BufferPool, Bulk, Pace, READS_IN_A_ROW_MAX, Stream, Watch,
};

/// Bytes that may wait for one side of a tunnel that reads slowly.
const WAITING_BYTES_MAX: usize = BUFFER_BYTES;

/// Silence allowed once one side has ended. What is left is the other's farewell, and an app whose
/// work is done should not hold its connection for a client that forgot to close.
const FAREWELL_MAX: Duration = Duration::from_secs(60);

/// How a tunnel ended.
#[derive(Debug)]
pub enum TunnelEnd {
    /// Both sides sent their end and it was passed on.
    Closed,
    /// Nobody sent anything for the tunnel timeout.
    Silent,
    /// One side failed (a reset, as a rule); the other was closed with it.
    Broken(io::Error),
}

/// One direction of a tunnel: what one side has sent and the other has not yet taken.
#[derive(Debug)]
pub struct Direction {
    waiting: Outbox,
    source_ended: bool,
    end_passed_on: bool,
    pace: Pace,
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
        }
    }

    /// Moves bytes until neither side is ready; ready once the end was passed on. Sets `moved`.
    fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        (bulk, moved): (&Bulk, &mut bool),
    ) -> Poll<io::Result<()>> {
        if self.end_passed_on {
            return Poll::Ready(Ok(()));
        }
        ready!(self.pace.poll_turn(cx, bulk));
        for _ in 0..READS_IN_A_ROW_MAX {
            let before = self.waiting.unsent();
            let flushed = self.waiting.poll_flush(cx, to)?;
            *moved |= self.waiting.unsent() < before;
            if self.source_ended {
                ready!(flushed);
                self.end_passed_on = true;
                // A peer that is gone already cannot be told; its own direction will say so.
                let _ = to.shutdown_write();
                return Poll::Ready(Ok(()));
            }
            if self.waiting.unsent() >= WAITING_BYTES_MAX {
                return Poll::Pending;
            }
            let count = match self.waiting.poll_fill_from(cx, from, WAITING_BYTES_MAX)? {
                Poll::Ready(count) => count,
                Poll::Pending => {
                    self.waiting.shrink();
                    return Poll::Pending;
                }
            };
            *moved = true;
            self.source_ended = count == 0;
        }
        self.pace.pause(cx, bulk);
        Poll::Pending
    }
}

/// Carries bytes between two streams until both have ended, one fails, or neither sends anything for
/// `timeout`. Each stream comes with the direction that leads away from it.
///
/// Not an `async fn`: a held tunnel is this future, and arguments of an `async fn` are kept twice.
pub fn tunnel(
    (mut client, mut up): (Stream, Direction),
    (mut app, mut down): (Stream, Direction),
    watch: Watch,
    timeout: Duration,
) -> impl Future<Output = TunnelEnd> + Unpin {
    watch.due_in(timeout);
    poll_fn(move |cx| {
        let mut moved = false;
        let up = match up.poll_move(cx, &mut client, &mut app, (watch.bulk(), &mut moved)) {
            Poll::Ready(Err(error)) => return Poll::Ready(TunnelEnd::Broken(error)),
            other => other.is_ready(),
        };
        let down = match down.poll_move(cx, &mut app, &mut client, (watch.bulk(), &mut moved)) {
            Poll::Ready(Err(error)) => return Poll::Ready(TunnelEnd::Broken(error)),
            other => other.is_ready(),
        };
        if up && down {
            return Poll::Ready(TunnelEnd::Closed);
        }
        if moved {
            let is_ending = up || down;
            watch.due_in(if is_ending {
                timeout.min(FAREWELL_MAX)
            } else {
                timeout
            });
        }
        watch.poll_deadline(cx).map(|()| TunnelEnd::Silent)
    })
}
