//! Clients at a fixed rate: each sends one short request on a connection of its own, when it is due, whatever became of
//! those before it.
//!
//! That is how visitors come: they do not wait for each other, so a proxy that refuses or hangs gets no less of them. They
//! come over a Unix socket, and so take none of the ports that are counted. Latency is counted from the moment when a
//! request was due.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::refusal::refusal_in;
use crate::demo::app::head_length;
use crate::demo::histogram::Histogram;
use crate::demo::report::middle;

/// Body bytes of the app's answers, by which a whole one is known.
pub(super) const BODY_BYTES: usize = 100;
/// How long a client waits; the proxy's own patience with its ports is a fraction of it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Requests under way at once; beyond that one is not sent and counts as lost. Three to four times as many as wait for a port
/// where there is none.
const UNDER_WAY_MAX: usize = 128;
/// Seconds whose latencies are kept apart; what comes after counts with the last. More than a load has.
const SECONDS_MAX: usize = 59;
/// Longest answer; those of the proxy have some hundred bytes.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;
const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: lasthop-demo\r\nConnection: close\r\n\r\n";

/// What has become of the requests so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Requests that were due.
    pub(super) asked: u64,
    /// Answers of the app that were whole.
    pub(super) answered: u64,
    /// Answers of the proxy that it has no connection.
    pub(super) refused: u64,
    /// When the first of those came, after the begin.
    pub(super) wall: Option<Duration>,
    /// What it said.
    pub(super) refusal: Option<String>,
    /// Of the app's answers, by the second in which their requests were due.
    latency: Vec<Histogram>,
}

impl Tally {
    /// The latency that 99 % of a second's answers did not exceed, in the middle one of the seconds, so that a host that
    /// was busy with something else for a moment does not make the figure. Zero where there was no answer.
    pub(super) fn p99(&self) -> Duration {
        let seconds = self.latency.iter();
        middle(seconds.filter_map(|second| second.quantile(990)), Ord::cmp)
    }

    fn answer(&mut self, due: Duration, latency: Duration) {
        self.answered += 1;
        let second =
            usize::try_from(due.as_secs()).map_or(SECONDS_MAX, |second| second.min(SECONDS_MAX));
        while self.latency.len() <= second {
            self.latency.push(Histogram::default());
        }
        self.latency[second].record(latency);
    }
}

/// What one request came to.
enum Answer {
    Whole,
    /// 502 or 503, in words.
    Refusal(String),
}

/// So many requests a second, for so long, to the Unix socket `front`; counted in `tally` as they end. Returns when all
/// have ended. Needs a `LocalRuntime`.
pub(super) async fn send(
    front: &Path,
    rate_per_second: u32,
    span: Duration,
    tally: &Rc<RefCell<Tally>>,
) {
    let begun = Instant::now();
    let front: Rc<PathBuf> = Rc::new(front.to_owned());
    let mut under_way = JoinSet::new();
    for number in 0.. {
        let due = Duration::from_secs(1) * number / rate_per_second;
        if due >= span {
            break;
        }
        sleep_until(begun + due).await;
        while under_way.try_join_next().is_some() {}
        tally.borrow_mut().asked += 1;
        if under_way.len() >= UNDER_WAY_MAX {
            continue;
        }
        let (front, tally) = (Rc::clone(&front), Rc::clone(tally));
        under_way.spawn_local(async move {
            let answer = timeout(PATIENCE, ask(&front)).await;
            let mut tally = tally.borrow_mut();
            match answer {
                Ok(Ok(Answer::Whole)) => {
                    tally.answer(due, (begun + due).elapsed());
                }
                Ok(Ok(Answer::Refusal(words))) => {
                    tally.refused += 1;
                    tally.wall.get_or_insert(begun.elapsed());
                    tally.refusal.get_or_insert(words);
                }
                // Lost: what is neither answered nor refused.
                Ok(Err(_)) | Err(_) => {}
            }
        });
    }
    while under_way.join_next().await.is_some() {}
}

/// One request on a connection of its own.
async fn ask(front: &Path) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(front).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::with_capacity(512);
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .await?;
    judge(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// `None` for what is no whole answer of the app and no refusal of the proxy.
fn judge(answer: &[u8]) -> Option<Answer> {
    let length = head_length(answer)?;
    let (head, body) = answer.split_at(length);
    if head.starts_with(b"HTTP/1.1 200 ") && body.len() == BODY_BYTES {
        return Some(Answer::Whole);
    }
    let is_refusal = head.starts_with(b"HTTP/1.1 502 ") || head.starts_with(b"HTTP/1.1 503 ");
    is_refusal.then(|| Answer::Refusal(refusal_in(head)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::scratch::Scratch;
    use tokio::runtime::{Builder, LocalOptions};

    fn sent_to(front: &Path) -> Tally {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .unwrap();
        let tally = Rc::default();
        runtime.block_on(send(front, 1000, Duration::from_millis(50), &tally));
        tally.take()
    }

    #[test]
    fn as_many_requests_are_sent_as_the_rate_says() {
        let scratch = Scratch::new().unwrap();
        let tally = sent_to(&scratch.path().join("nobody.sock"));
        assert_eq!((tally.asked, tally.answered, tally.refused), (50, 0, 0));
    }

    #[test]
    fn an_answer_of_another_length_than_agreed_is_none() {
        let answer = |body: usize| {
            let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
            answer.resize(answer.len() + body, b'x');
            answer
        };
        assert!(matches!(judge(&answer(BODY_BYTES)), Some(Answer::Whole)));
        assert!(judge(&answer(BODY_BYTES - 1)).is_none());
    }

    #[test]
    fn a_second_in_which_the_host_was_busy_does_not_make_the_p99() {
        let mut tally = Tally::default();
        assert_eq!(tally.p99(), Duration::ZERO);
        for (second, milliseconds) in [(0, 2), (1, 900), (2, 3), (4, 4)] {
            let latency = Duration::from_millis(milliseconds);
            tally.answer(Duration::from_secs(second), latency);
        }
        assert_eq!(tally.answered, 4);
        assert!(tally.p99() < Duration::from_millis(4), "{:?}", tally.p99());
    }

    #[test]
    fn only_502_and_503_are_refusals() {
        for (answer, refused) in [
            (&b"HTTP/1.1 502 Bad Gateway\r\n\r\n"[..], true),
            (b"HTTP/1.1 503 Service Unavailable\r\n\r\n503", true),
            (b"HTTP/1.1 504 Gateway Timeout\r\n\r\n", false),
            (b"HTTP/1.1 503 Service Unavailable\r\n", false),
            (b"", false),
        ] {
            let judged = judge(answer);
            assert_eq!(matches!(judged, Some(Answer::Refusal(_))), refused);
        }
    }
}
