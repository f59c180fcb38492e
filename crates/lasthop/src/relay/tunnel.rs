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
use crate::transport::{BUFFER_BYTES, BufferPool, Stream, Watch};

/// Bytes that may wait for one side of a tunnel that reads slowly.
const WAITING_BYTES_MAX: usize = BUFFER_BYTES;

/// Reads in a row before a tunnel lets other connections of the worker run. tokio's own budget
/// would do it at 128; a bulk transfer at 16 KiB a read holds the worker much longer than that.
const READS_IN_A_ROW_MAX: usize = 16;

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

/// One direction of a tunnel.
struct Direction {
    waiting: Outbox,
    source_ended: bool,
    end_passed_on: bool,
}

impl Direction {
    fn new(pool: &BufferPool, first: &[u8]) -> Self {
        let mut waiting = Outbox::new(pool);
        waiting.push(first);
        Self {
            waiting,
            source_ended: false,
            end_passed_on: false,
        }
    }

    /// Moves bytes until neither side is ready; ready once the end was passed on. Sets `moved`.
    fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        moved: &mut bool,
    ) -> Poll<io::Result<()>> {
        if self.end_passed_on {
            return Poll::Ready(Ok(()));
        }
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
            let count = ready!(self.waiting.poll_fill_from(cx, from, WAITING_BYTES_MAX))?;
            *moved = true;
            self.source_ended = count == 0;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Carries bytes between `client` and `app` until both have ended, one fails, or neither sends
/// anything for `timeout`. `from_client` and `from_app` are bytes already read.
pub async fn tunnel(
    mut client: Stream,
    mut app: Stream,
    (from_client, from_app): (Vec<u8>, Vec<u8>),
    pool: BufferPool,
    watch: Watch,
    timeout: Duration,
) -> TunnelEnd {
    let mut up = Direction::new(&pool, &from_client);
    let mut down = Direction::new(&pool, &from_app);
    drop((from_client, from_app));
    watch.due_in(timeout);
    poll_fn(|cx| {
        let mut moved = false;
        let up = up.poll_move(cx, &mut client, &mut app, &mut moved)?;
        let down = down.poll_move(cx, &mut app, &mut client, &mut moved)?;
        if up.is_ready() && down.is_ready() {
            return Poll::Ready(Ok(TunnelEnd::Closed));
        }
        if moved {
            watch.due_in(timeout);
        }
        ready!(watch.poll_deadline(cx));
        Poll::Ready(Ok(TunnelEnd::Silent))
    })
    .await
    .unwrap_or_else(TunnelEnd::Broken)
}
