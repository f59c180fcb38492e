//! What the dashboard shows, read where it is kept: the sampler's history and judgement, and the workers' counters.
//!
//! The one file here that knows where things come from; the others get values and give HTML.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::super::view::View;
use super::html::Html;
use super::live::Scene;
use super::page::{Part, State};
use super::{charts, findings, upstreams};
use crate::history::Window;
use crate::sampler::Latest;

/// The process, as it can be seen.
#[derive(Debug)]
pub(super) struct Seen(Arc<View>);

impl Seen {
    pub(super) fn new(view: Arc<View>) -> Self {
        Self(view)
    }

    /// The latest look at the host; none before the first.
    pub(super) fn latest(&self) -> Option<Arc<Latest>> {
        self.0.sampled.latest()
    }

    fn state(&self, latest: Option<&Latest>, now_ms: u64) -> State {
        let uptime = Instant::now().saturating_duration_since(self.0.state.started());
        let taken = latest.map(|it| it.examination.snapshot.taken_ms);
        let age = taken.map(|taken_ms| Duration::from_millis(now_ms.saturating_sub(taken_ms)));
        let period_ms = self.0.sampled.history(|history| history.host_period_ms());
        State {
            is_draining: self.0.state.is_draining(),
            uptime,
            age,
            period: Duration::from_millis(period_ms),
            cost: self.0.sampled.processor_time(),
        }
    }
}

impl Scene for Seen {
    fn version(&self, window: Window) -> u64 {
        // Whole points of the finest window; the others change by one pixel in this time, and their parts are larger.
        let each = match window {
            Window::TenMinutes => 1,
            Window::ThreeHours => 5,
            Window::Day => 15,
        };
        let points = self.0.sampled.changes().borrow().points;
        points / each * 2 + u64::from(self.is_draining())
    }

    fn parts(&self, window: Window) -> [Html; Part::ALL.len()] {
        let now_ms = now_ms();
        let latest = self.latest();
        let examination = latest.as_ref().map(|it| &it.examination);
        let (found, snapshot) = (
            examination.map(|it| &it.findings[..]),
            examination.map(|it| &it.snapshot),
        );
        let mut list = findings::list(found.unwrap_or_default());
        if let Some(snapshot) = snapshot {
            list.html(&findings::unseen(&snapshot.unseen));
        }
        [
            self.state(latest.as_deref(), now_ms).html(),
            findings::summary(found),
            list,
            self.0
                .sampled
                .history(|history| charts::html(history, window, now_ms)),
            upstreams::html(&self.0, snapshot),
        ]
    }

    fn is_draining(&self) -> bool {
        self.0.state.is_draining()
    }
}

/// Milliseconds since 1970, as the history counts them; 0 where the clock is set before.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
