//! One connection's patience: a deadline for every phase of it, below the HTTP that runs on it.
//!
//! hyper has a deadline for heads only, and the same one between two requests. A scraper that keeps its connection is
//! quiet for 15 s or 60 s at a time, while a head comes in one piece; and a reader that stops must not be waited for
//! either. So the stream itself knows the phase, by what is read and written, and fails when one takes too long.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// What a connection is waiting for. Those further up are closed first when there are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// For the next request.
    Idle,
    /// For the head of a request: from the first byte, or from the accept.
    Head,
    /// For the client to take the answer.
    Answer,
}

/// How long each phase may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) idle: Duration,
    pub(super) head: Duration,
    pub(super) answer: Duration,
}

/// Idle: longer than the intervals at which Prometheus usually asks. A head fits into one packet. An answer is rarely a
/// megabyte, and Prometheus itself gives up after 10 s.
pub(super) const PATIENCE: Patience = Patience {
    idle: Duration::from_secs(75),
    head: Duration::from_secs(5),
    answer: Duration::from_secs(30),
};

impl Patience {
    fn of(self, phase: Phase) -> Duration {
        match phase {
            Phase::Idle => self.idle,
            Phase::Head => self.head,
            Phase::Answer => self.answer,
        }
    }
}

/// The phase of a connection and its beginning, as whoever has to choose between connections sees them.
#[derive(Debug)]
pub(super) struct Activity(Cell<(Phase, Instant)>);

impl Activity {
    /// Of a connection that was just accepted.
    pub(super) fn begun(now: Instant) -> Rc<Self> {
        Rc::new(Self(Cell::new((Phase::Head, now))))
    }

    /// The phase and since when; the smallest is the one to close.
    pub(super) fn now(&self) -> (Phase, Instant) {
        self.0.get()
    }
}

/// A stream that loses patience.
#[derive(Debug)]
pub(super) struct Impatient<S> {
    stream: S,
    activity: Rc<Activity>,
    patience: Patience,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Impatient<S> {
    /// `activity` is that of this connection alone.
    pub(super) fn new(stream: S, activity: Rc<Activity>, patience: Patience) -> Self {
        let (phase, since) = activity.now();
        Self {
            stream,
            activity,
            patience,
            deadline: Box::pin(sleep_until(since + patience.of(phase))),
        }
    }

    fn phase(&self) -> Phase {
        self.activity.now().0
    }

    fn enter(&mut self, phase: Phase) {
        let now = Instant::now();
        self.activity.0.set((phase, now));
        let deadline = now + self.patience.of(phase);
        self.deadline.as_mut().reset(deadline);
    }

    /// Instead of `Pending`: the error once the phase has taken too long.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(result) => {
                if buffer.filled().len() > before && this.phase() == Phase::Idle {
                    this.enter(Phase::Head);
                }
                Poll::Ready(result)
            }
            Poll::Pending => this.wait(cx),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.phase() != Phase::Answer {
            this.enter(Phase::Answer);
        }
        match Pin::new(&mut this.stream).poll_write(cx, bytes) {
            Poll::Pending => this.wait(cx),
            ready => ready,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_flush(cx) {
            Poll::Ready(result) => {
                // hyper flushes once all that it has is written.
                if result.is_ok() && this.phase() == Phase::Answer {
                    this.enter(Phase::Idle);
                }
                Poll::Ready(result)
            }
            Poll::Pending => this.wait(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_shutdown(cx) {
            Poll::Pending => this.wait(cx),
            ready => ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    /// Never reached.
    const LONG: Duration = Duration::from_secs(3600);

    /// Bytes that the client's side holds without reading them.
    const HELD: usize = 64;

    fn with(short: Phase) -> (Impatient<DuplexStream>, DuplexStream) {
        let patience = |phase| if phase == short { SHORT } else { LONG };
        let patience = Patience {
            idle: patience(Phase::Idle),
            head: patience(Phase::Head),
            answer: patience(Phase::Answer),
        };
        let (server, client) = duplex(HELD);
        let activity = Activity::begun(Instant::now());
        (Impatient::new(server, activity, patience), client)
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.unwrap().block_on(test);
    }

    async fn timed_out(server: &mut Impatient<DuplexStream>) {
        let error = server.read(&mut [0; HELD]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_new_connection_waits_for_its_first_head_only_so_long() {
        run(async {
            let (mut server, mut client) = with(Phase::Head);
            client.write_all(b"GET").await.unwrap();
            assert_eq!(server.read(&mut [0; HELD]).await.unwrap(), 3);
            timed_out(&mut server).await;
        });
    }

    #[test]
    fn after_an_answer_the_connection_is_idle_until_the_next_byte() {
        run(async {
            let (mut server, mut client) = with(Phase::Idle);
            server.write_all(b"an answer").await.unwrap();
            assert_eq!(server.phase(), Phase::Answer);
            server.flush().await.unwrap();
            assert_eq!(server.phase(), Phase::Idle);
            client.write_all(b"G").await.unwrap();
            assert_eq!(server.read(&mut [0; HELD]).await.unwrap(), 1);
            assert_eq!(server.phase(), Phase::Head);
            server.write_all(b"another").await.unwrap();
            server.flush().await.unwrap();
            timed_out(&mut server).await;
        });
    }

    #[test]
    fn a_client_that_does_not_read_is_given_up() {
        run(async {
            let (mut server, _client) = with(Phase::Answer);
            let error = server.write_all(&[0; HELD + 1]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }
}
