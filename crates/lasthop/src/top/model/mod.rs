//! What is known and what is looked at: events in, a state out.
//!
//! Reads no clock, no kernel and no terminal: times come in with the events, so that a test can play an afternoon. What
//! it keeps has a bound: one reading of the host, the points of a day, two pages of an instance.

mod chart;
mod groups;
mod sockets;
mod ui;

pub use chart::{Chart, Line};
pub use groups::{GroupRow, Sort};
pub use sockets::{SHOWN_STATES, all_states};
pub use ui::{Action, Detail, Pane};

use std::rc::Rc;
use std::time::Duration;

use lasthop_ports::finding::Subject;
use lasthop_ports::snapshot::{GroupKey, Snapshot};
use lasthop_ports::{Code, Finding};

use super::past::Past;
use crate::history::{History, HostReading, Window};

/// One look at the host.
#[derive(Debug, Clone)]
pub struct HostSample {
    /// What was seen.
    pub snapshot: Snapshot,
    /// What is wrong with it, the worst first.
    pub findings: Vec<Finding>,
    /// How long the look took.
    pub cost: Duration,
    /// When the next one begins, from this one.
    pub period: Duration,
}

/// What is known of the instance.
#[derive(Debug, Clone, PartialEq)]
pub enum Link {
    /// It has not answered yet.
    Asking,
    /// It answers.
    Reached,
    /// It does not, and why.
    Lost(String),
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// Somebody pressed a key.
    Action(Action),
    /// The host was looked at.
    Host(Box<HostSample>),
    /// An instance answered.
    Past(Box<Past>),
    /// An instance did not answer, or not as one.
    Lost(String),
    /// Time goes on.
    Second,
}

/// What readings have told last.
#[derive(Debug, Clone, Default)]
struct Known {
    host: Option<Rc<HostSample>>,
    /// The instance's last minutes.
    past: Option<Rc<Past>>,
    /// The instance's other window.
    wide: Option<Rc<Past>>,
}

/// The state of the program.
#[derive(Debug)]
pub struct Model {
    /// The host's name, as it stands.
    pub host_name: String,
    /// Where an instance is looked for.
    pub address: String,
    /// Whether it answers.
    pub link: Link,
    /// Whether the instance's view of the host is a view of ours: one that is reached over loopback shares the network
    /// namespace.
    pub shares_host: bool,
    pub(super) ui: ui::Ui,
    history: History,
    first_own_ms: Option<u64>,
    latest: Known,
    shown: Known,
    now_ms: u64,
    held_ms: Option<u64>,
}

impl Model {
    /// Nothing known yet. `address` is where an instance is looked for.
    #[must_use]
    pub fn new(host_name: String, address: String, shares_host: bool, now_ms: u64) -> Self {
        Self {
            host_name,
            address,
            link: Link::Asking,
            shares_host,
            ui: ui::Ui::default(),
            history: History::new(Vec::new(), &[]),
            first_own_ms: None,
            latest: Known::default(),
            shown: Known::default(),
            now_ms,
            held_ms: None,
        }
    }

    /// Takes an event that happened at `now_ms` (milliseconds since 1970). Whether anything changed that can be seen.
    pub fn apply(&mut self, now_ms: u64, event: Event) -> bool {
        self.now_ms = now_ms;
        match event {
            Event::Action(action) => return self.act(action),
            Event::Host(sample) => self.note(*sample),
            Event::Past(past) => {
                self.link = Link::Reached;
                match past.window() {
                    Some(Window::TenMinutes) => self.latest.past = Some(Rc::new(*past)),
                    Some(_) => self.latest.wide = Some(Rc::new(*past)),
                    None => return false,
                }
            }
            Event::Lost(why) => {
                self.link = Link::Lost(why);
                self.latest.past = None;
                self.latest.wide = None;
            }
            Event::Second => {}
        }
        if self.held_ms.is_none() {
            self.shown = self.latest.clone();
        }
        self.settle();
        true
    }

    fn note(&mut self, sample: HostSample) {
        let snapshot = &sample.snapshot;
        let period_ms = u64::try_from(sample.period.as_millis()).unwrap_or(u64::MAX);
        let reading = HostReading::of(snapshot, period_ms);
        self.history.push(snapshot.taken_ms, Some(&reading), None);
        self.first_own_ms.get_or_insert(snapshot.taken_ms);
        self.latest.host = Some(Rc::new(sample));
    }

    fn toggle_pause(&mut self) {
        self.held_ms = match self.held_ms {
            Some(_) => None,
            None => Some(self.now_ms),
        };
        if self.held_ms.is_none() {
            self.shown = self.latest.clone();
        }
    }

    /// The host as it is shown.
    #[must_use]
    pub fn host(&self) -> Option<&HostSample> {
        self.shown.host.as_deref()
    }

    /// The last minutes of the instance as they are shown.
    #[must_use]
    pub fn past(&self) -> Option<&Past> {
        self.shown.past.as_deref()
    }

    /// The instance's history over the window that is looked at; none where it has not come yet.
    #[must_use]
    pub fn windowed(&self) -> Option<&Past> {
        let wide = self.shown.wide.as_deref();
        match self.ui.window {
            Window::TenMinutes => self.past(),
            window => wide.filter(|past| past.window() == Some(window)),
        }
    }

    /// The time that is shown: now, or when it was held.
    #[must_use]
    pub fn shown_ms(&self) -> u64 {
        self.held_ms.unwrap_or(self.now_ms)
    }

    /// How old the last reading of the host is.
    #[must_use]
    pub fn reading_age(&self) -> Option<Duration> {
        let taken_ms = self.host()?.snapshot.taken_ms;
        Some(Duration::from_millis(self.now_ms.saturating_sub(taken_ms)))
    }

    /// Whether the picture is held.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.held_ms.is_some()
    }

    /// How far back the charts reach.
    #[must_use]
    pub const fn window(&self) -> Window {
        self.ui.window
    }

    /// Which pane takes the keys.
    #[must_use]
    pub const fn pane(&self) -> Pane {
        self.ui.pane
    }

    /// What lies over the panes.
    #[must_use]
    pub const fn detail(&self) -> Option<&Detail> {
        self.ui.detail.as_ref()
    }

    /// By how many lines the detail is scrolled down.
    #[must_use]
    pub const fn scroll(&self) -> u16 {
        self.ui.scroll
    }

    /// What the last picture had: how far down its detail can be scrolled.
    pub fn drew(&mut self, scroll_max: u16) {
        self.ui.scroll = self.ui.scroll.min(scroll_max);
    }

    /// By what groups are sorted.
    #[must_use]
    pub const fn sort(&self) -> Sort {
        self.ui.sort
    }

    /// Whether the program is to end.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.ui.is_over
    }

    /// Whether an instance answers, so that there is a pane about it.
    #[must_use]
    pub fn has_instance(&self) -> bool {
        self.past().is_some()
    }

    /// All findings, the worst first.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        self.host().map_or(&[], |host| &host.findings)
    }

    /// The place of the selected finding; 0 where it is gone.
    #[must_use]
    pub fn selected_finding(&self) -> usize {
        let selected = self.ui.finding.as_ref();
        selected
            .and_then(|name| self.findings().iter().position(|one| is_named(one, name)))
            .unwrap_or(0)
    }

    /// A finding that is shown in detail, as it is now; none where it is over.
    #[must_use]
    pub fn finding_now(&self, shown: &Finding) -> Option<&Finding> {
        let name = (shown.code, shown.subject.clone());
        self.findings().iter().find(|one| is_named(one, &name))
    }

    /// The groups in the order they are shown.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupRow> {
        let snapshot = self.host().map(|host| &host.snapshot);
        snapshot.map_or_else(Vec::new, |snapshot| groups::rows(snapshot, self.ui.sort))
    }

    /// The place of the selected group among `rows`; 0 where it is gone.
    #[must_use]
    pub fn selected_group(&self, rows: &[GroupRow]) -> usize {
        let at = |key: &GroupKey| rows.iter().position(|row| row.key == *key);
        self.ui.group.as_ref().and_then(at).unwrap_or(0)
    }
}

/// What a finding is told apart by.
type FindingName = (Code, Subject);

fn is_named(finding: &Finding, (code, subject): &FindingName) -> bool {
    finding.code == *code && finding.subject == *subject
}

#[cfg(test)]
mod tests;
