//! What keys do: which pane takes them, what is selected, what lies over the panes.

use lasthop_ports::Finding;
use lasthop_ports::snapshot::GroupKey;

use super::{FindingName, Model, Sort};
use crate::history::Window;

/// One of the four parts of the screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pane {
    /// Sockets by state.
    Sockets,
    /// Ports in use against those that there are.
    #[default]
    Ports,
    /// What is wrong.
    Findings,
    /// The instance.
    Instance,
}

impl Pane {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Sockets, Self::Ports, Self::Findings, Self::Instance];

    /// Its number, from 1.
    #[must_use]
    pub const fn number(self) -> usize {
        self as usize + 1
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sockets => "Sockets",
            Self::Ports => "Ports",
            Self::Findings => "Findings",
            Self::Instance => "lasthop",
        }
    }
}

/// What lies over the panes.
#[derive(Debug, Clone, PartialEq)]
pub enum Detail {
    /// All states, and the host's other limits.
    Sockets,
    /// One group.
    Group(GroupKey),
    /// One finding, as it was when it was opened.
    Finding(Box<Finding>),
    /// All of the instance.
    Instance,
    /// The keys.
    Help,
}

/// What somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// End the program.
    Quit,
    /// Close the detail, or end the program where there is none.
    Back,
    /// Select what is above, or scroll.
    Up,
    /// Select what is below, or scroll.
    Down,
    /// As `Up`, by a page.
    PageUp,
    /// As `Down`, by a page.
    PageDown,
    /// Show the detail of what is selected.
    Open,
    /// The pane after this one.
    NextPane,
    /// The pane before this one.
    PreviousPane,
    /// This pane.
    Pane(Pane),
    /// Hold the picture, or let it go on.
    Pause,
    /// Another window.
    Window,
    /// Another order of groups.
    Sort,
    /// The keys.
    Help,
}

/// So many lines are a page; what it is exactly depends on a screen that a model does not know.
const PAGE: u16 = 10;

#[derive(Debug)]
pub(in crate::top) struct Ui {
    pub(super) pane: Pane,
    pub(super) window: Window,
    pub(super) sort: Sort,
    pub(super) group: Option<GroupKey>,
    pub(super) finding: Option<FindingName>,
    pub(super) detail: Option<Detail>,
    pub(super) scroll: u16,
    pub(super) is_over: bool,
}

impl Default for Ui {
    fn default() -> Self {
        Self {
            pane: Pane::default(),
            window: Window::TenMinutes,
            sort: Sort::default(),
            group: None,
            finding: None,
            detail: None,
            scroll: 0,
            is_over: false,
        }
    }
}

impl Model {
    pub(super) fn act(&mut self, action: Action) -> bool {
        match action {
            Action::Quit => self.ui.is_over = true,
            Action::Back if self.ui.detail.take().is_none() => self.ui.is_over = true,
            Action::Back => {}
            Action::Up => self.step(-1),
            Action::Down => self.step(1),
            Action::PageUp => self.step(-i32::from(PAGE)),
            Action::PageDown => self.step(PAGE.into()),
            Action::Open => self.open(),
            Action::NextPane => self.turn(1),
            Action::PreviousPane => self.turn(-1),
            Action::Pane(pane) => self.choose(pane),
            Action::Pause => self.toggle_pause(),
            Action::Window => self.ui.window = after(&Window::ALL, self.ui.window),
            Action::Sort => self.ui.sort = self.ui.sort.next(),
            Action::Help => {
                let is_open = self.ui.detail == Some(Detail::Help);
                self.show((!is_open).then_some(Detail::Help));
            }
        }
        true
    }

    fn show(&mut self, detail: Option<Detail>) {
        self.ui.detail = detail;
        self.ui.scroll = 0;
    }

    fn step(&mut self, by: i32) {
        if self.ui.detail.is_some() {
            let by_lines = u16::try_from(by.unsigned_abs()).unwrap_or(u16::MAX);
            self.ui.scroll = if by < 0 {
                self.ui.scroll.saturating_sub(by_lines)
            } else {
                self.ui.scroll.saturating_add(by_lines)
            };
            return;
        }
        match self.ui.pane {
            Pane::Ports => {
                let rows = self.groups();
                let at = moved(self.selected_group(&rows), by, rows.len());
                self.ui.group = at.map(|at| rows[at].key);
            }
            Pane::Findings => {
                let findings = self.findings();
                let at = moved(self.selected_finding(), by, findings.len());
                let name = at.map(|at| (findings[at].code, findings[at].subject.clone()));
                self.ui.finding = name;
            }
            Pane::Sockets | Pane::Instance => {}
        }
    }

    fn open(&mut self) {
        if self.ui.detail.is_some() {
            return;
        }
        let detail = match self.ui.pane {
            Pane::Sockets => Some(Detail::Sockets),
            Pane::Instance => Some(Detail::Instance),
            Pane::Ports => {
                let rows = self.groups();
                let row = rows.get(self.selected_group(&rows));
                row.map(|row| Detail::Group(row.key))
            }
            Pane::Findings => {
                let finding = self.findings().get(self.selected_finding());
                finding.map(|finding| Detail::Finding(Box::new(finding.clone())))
            }
        };
        self.show(detail);
    }

    fn turn(&mut self, by: i32) {
        let panes = self.panes();
        let at = panes.iter().position(|pane| *pane == self.ui.pane);
        let count = i32::try_from(panes.len()).unwrap_or(1);
        let at = at.and_then(|at| i32::try_from(at).ok()).unwrap_or(0);
        let next = usize::try_from((at + by).rem_euclid(count)).unwrap_or(0);
        self.choose(panes[next]);
    }

    fn choose(&mut self, pane: Pane) {
        self.ui.pane = pane;
        self.show(None);
    }

    /// The panes that there are: the one of the instance only where one answers.
    #[must_use]
    pub fn panes(&self) -> &'static [Pane] {
        if self.has_instance() {
            &Pane::ALL
        } else {
            &Pane::ALL[..3]
        }
    }

    /// Nothing that is gone stays chosen.
    pub(super) fn settle(&mut self) {
        if !self.panes().contains(&self.ui.pane) {
            self.choose(Pane::default());
        }
    }
}

/// The place `by` steps further, kept inside; none where there is no place.
fn moved(at: usize, by: i32, count: usize) -> Option<usize> {
    let last = count.checked_sub(1)?;
    let by_places = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
    Some(if by < 0 {
        at.saturating_sub(by_places)
    } else {
        at.saturating_add(by_places).min(last)
    })
}

/// The element that follows `one`, or the first.
fn after<T: Copy + PartialEq>(all: &[T], one: T) -> T {
    let at = all.iter().position(|it| *it == one).unwrap_or(0);
    all[(at + 1) % all.len()]
}
