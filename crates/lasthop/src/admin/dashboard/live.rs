//! Live updates: server-sent events that carry the parts of the page that changed, as HTML.
//!
//! Nothing is pushed. A stream asks for the newest parts when its connection can take more, once a second at most, and
//! sends those that differ from what it sent before: a reader that is slow misses updates, and nothing is kept for it.
//! What all streams ask for is written once for all of them, by the first one that asks; without streams nothing is.
//!
//! Source: the HTML standard, section 9.2, "Server-sent events".

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::super::thread::CONNECTIONS_MAX;
use super::assets::fnv;
use super::html::Html;
use super::page::Part;
use crate::history::Window;

/// Streams at one time: half of the connections, so that scrapers have the other half.
pub(super) const STREAMS_MAX: usize = CONNECTIONS_MAX / 2;

/// How often a stream looks for news: twice as often as there are any.
const LOOK: Duration = Duration::from_secs(1);

/// A comment is sent after so much silence: within the time that the connection may be idle, and before proxies on the
/// way lose patience.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// When a browser should try again after the connection is lost, in milliseconds.
const RETRY_MS: u32 = 3000;

/// Where the parts come from.
pub(super) trait Scene: Send + Sync + 'static {
    /// Changes when there is something new to tell.
    fn version(&self, window: Window) -> u64;
    /// The parts as they are now, in the order of [`Part::ALL`].
    fn parts(&self, window: Window) -> [Html; Part::ALL.len()];
    /// Whether it is time to end.
    fn is_draining(&self) -> bool;
}

/// One event, ready to be sent.
#[derive(Debug, Clone)]
struct Event {
    /// Of its content.
    hash: u64,
    bytes: Bytes,
}

type Events = [Event; Part::ALL.len()];

/// Events, and of which version they are.
type Written = (u64, Arc<Events>);

/// All streams.
#[derive(Debug)]
pub(super) struct Live<S> {
    scene: S,
    streams: AtomicUsize,
    /// What was written last for each window, and of which version it is.
    written: Mutex<[Option<Written>; Window::ALL.len()]>,
}

impl<S: Scene> Live<S> {
    pub(super) fn new(scene: S) -> Self {
        Self {
            scene,
            streams: AtomicUsize::new(0),
            written: Mutex::default(),
        }
    }

    pub(super) fn scene(&self) -> &S {
        &self.scene
    }

    /// A new stream; none where there are [`STREAMS_MAX`].
    pub(super) fn stream(self: &Arc<Self>, window: Window) -> Option<Stream<S>> {
        // One thread serves all of them, so nobody is between the two; relaxed, because the number orders nothing.
        if self.streams.load(Ordering::Relaxed) >= STREAMS_MAX {
            return None;
        }
        self.streams.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        Some(Stream {
            live: Arc::clone(self),
            window,
            look: Box::pin(sleep_until(now)),
            sent: [None; Part::ALL.len()],
            spoke: now,
            progress: Progress::Begins,
        })
    }

    fn events(&self, window: Window) -> Arc<Events> {
        // Nobody panics while holding it; and if somebody did, the cache would still be whole.
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.scene.version(window);
        let place = Window::ALL.iter().position(|it| *it == window);
        let written = &mut written[place.unwrap_or(0)];
        if let Some((of, events)) = written
            && *of == version
        {
            return Arc::clone(events);
        }
        let parts = self.scene.parts(window);
        let mut all = Part::ALL.into_iter().zip(&parts);
        let events = Arc::new(std::array::from_fn(|_| match all.next() {
            Some((part, html)) => event(part, html),
            None => event(Part::State, &Html::new()),
        }));
        *written = Some((version, Arc::clone(&events)));
        events
    }
}

/// The event of a part: its name, and its content with each line marked as data.
fn event(part: Part, html: &Html) -> Event {
    let content = html.as_str();
    let mut text = format!("event: {}\n", part.name());
    text.reserve(content.len() + 64);
    for line in content.split('\n') {
        text.push_str("data: ");
        // It would end a line as well. Foreign text has none, because it is escaped there.
        text.extend(line.chars().filter(|character| *character != '\r'));
        text.push('\n');
    }
    text.push('\n');
    Event {
        hash: fnv(content.as_bytes()),
        bytes: text.into(),
    }
}

/// Where a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Begins,
    GoesOn,
    Ended,
}

/// The events for one reader, as the body of an answer. Dropping it gives its place back.
#[derive(Debug)]
pub(super) struct Stream<S: Scene> {
    live: Arc<Live<S>>,
    window: Window,
    look: Pin<Box<Sleep>>,
    /// The hash of each part as it was sent last.
    sent: [Option<u64>; Part::ALL.len()],
    /// When something was sent last.
    spoke: Instant,
    progress: Progress,
}

impl<S: Scene> Stream<S> {
    /// What there is to say now; nothing where all has been said.
    pub(super) fn news(&mut self) -> Vec<u8> {
        let mut news = Vec::new();
        if self.progress == Progress::Begins {
            news.extend_from_slice(format!("retry: {RETRY_MS}\n\n").as_bytes());
            self.progress = Progress::GoesOn;
        }
        if self.live.scene.is_draining() {
            // The state says so, and is the last word.
            self.progress = Progress::Ended;
        }
        let events = self.live.events(self.window);
        for (event, sent) in events.iter().zip(&mut self.sent) {
            if *sent != Some(event.hash) {
                *sent = Some(event.hash);
                news.extend_from_slice(&event.bytes);
            }
        }
        news
    }
}

impl<S: Scene> Body for Stream<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        while this.progress != Progress::Ended {
            ready!(this.look.as_mut().poll(cx));
            let now = Instant::now();
            this.look.as_mut().reset(now + LOOK);
            let mut news = this.news();
            if news.is_empty() && now.duration_since(this.spoke) >= KEEP_ALIVE {
                news.extend_from_slice(b":\n\n");
            }
            if !news.is_empty() {
                this.spoke = now;
                return Poll::Ready(Some(Ok(Frame::data(news.into()))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.progress == Progress::Ended
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl<S: Scene> Drop for Stream<S> {
    fn drop(&mut self) {
        self.live.streams.fetch_sub(1, Ordering::Relaxed);
    }
}
