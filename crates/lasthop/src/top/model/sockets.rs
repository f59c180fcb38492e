//! Charts of the host: sockets by state, and the ports of one group.
//!
//! What this program saw itself comes from its own history. What was before that comes from the instance, where it sees
//! the same host.

use lasthop_ports::snapshot::{GroupKey, SocketCounts};

use super::{Chart, Line, Model};
use crate::history::{Point, SOCKET_STATES, SocketState, Window};
use crate::top::past::{Column, Past};

/// States that are lines of the chart, by the name they have on the screen and the one they have in the history. The
/// two of the post come first; states that nobody is in for long are told in the details.
pub const SHOWN_STATES: [(&str, &str); 7] = [
    ("TIME_WAIT", "time_wait"),
    ("ESTABLISHED", "established"),
    ("CLOSE_WAIT", "close_wait"),
    ("SYN_SENT", "syn_sent"),
    ("FIN_WAIT2", "fin_wait2"),
    ("LAST_ACK", "last_ack"),
    ("Unix", "unix_established"),
];

/// States that are shown even where there are none.
const ALWAYS_SHOWN: usize = 2;

/// A line that stays below this part of the highest one is none that anybody sees; the details have its number.
const SEEN_PART: f64 = 0.005;

/// Lines that fit beside each other and can be told apart.
const LINES_MAX: usize = 5;

impl Model {
    /// Sockets by state over the window: the two that matter most, and of the others those with the most sockets.
    #[must_use]
    pub fn sockets_chart(&self) -> Chart {
        let points = self.own_points();
        let mut lines: Vec<Line> = SHOWN_STATES
            .iter()
            .map(|(shown, name)| {
                let own = points.iter().filter_map(|point| {
                    let sockets = point.host.as_ref()?.sockets.as_ref()?;
                    Some((point.at_ms, state(name)?.1(sockets) as f64))
                });
                let before = |past: &Past| past.host.as_ref()?.sockets.get(*name).cloned();
                self.line((*shown).to_owned(), before, own)
            })
            .collect();
        let mut others = lines.split_off(ALWAYS_SHOWN);
        let highest = lines
            .iter()
            .chain(&others)
            .map(Line::peak)
            .fold(0.0, f64::max);
        others.retain(|line| line.peak() > highest * SEEN_PART);
        others.sort_by(|a, b| b.peak().total_cmp(&a.peak()));
        lines.extend(others.into_iter().take(LINES_MAX - ALWAYS_SHOWN));
        self.chart(lines)
    }

    /// The ports of one group over the window: in use, and in TIME_WAIT.
    #[must_use]
    pub fn group_chart(&self, key: &GroupKey) -> Chart {
        let points = self.own_points();
        let id = self.history.series().find(|(_, known)| known == key);
        let own = |value: fn(&crate::history::GroupPoint) -> f32| {
            let of_group = points.iter().filter_map(move |point| {
                let groups = &point.host.as_ref()?.groups;
                let group = groups
                    .iter()
                    .find(|group| Some(group.series) == id.map(|id| id.0))?;
                Some((point.at_ms, f64::from(value(group))))
            });
            of_group.collect::<Vec<_>>()
        };
        let before = |past: &Past, value: fn(&crate::top::past::PastGroup) -> &Column| {
            let groups = &past.host.as_ref()?.groups;
            let is_it = |group: &&crate::top::past::PastGroup| {
                group.source == key.source && group.target == key.destination
            };
            groups.iter().find(is_it).map(|group| value(group).clone())
        };
        let used = own(|group| group.used.mean).into_iter();
        let time_wait = own(|group| group.time_wait).into_iter();
        let lines = vec![
            self.line(
                "in use".to_owned(),
                |past| before(past, |one| &one.used),
                used,
            ),
            self.line(
                "TIME_WAIT".to_owned(),
                |past| before(past, |one| &one.time_wait),
                time_wait,
            ),
        ];
        self.chart(lines)
    }

    fn own_points(&self) -> Vec<Point> {
        let shown_ms = self.shown_ms();
        let mut points = self.history.points(self.window());
        points.retain(|point| point.at_ms <= shown_ms);
        points
    }

    /// What the instance saw before this program began, and what it has seen itself since.
    fn line(
        &self,
        name: String,
        before: impl FnOnce(&Past) -> Option<Column>,
        own: impl Iterator<Item = (u64, f64)>,
    ) -> Line {
        let until_ms = self.first_own_ms.unwrap_or(u64::MAX);
        let mut points = Vec::new();
        let mut step_ms = self.window().step_ms();
        if let Some(past) = self.windowed().filter(|_| self.shares_host) {
            if let Some(column) = before(past) {
                points.extend(past.points(&column).filter(|point| point.0 < until_ms));
            }
            step_ms = step_ms.max(seconds_to_ms(past.host_period_seconds));
        }
        points.extend(own);
        // A coarse point of ours may stand for a time that the instance had a point for.
        points.dedup_by(|later, earlier| later.0 <= earlier.0);
        Line::new(name, step_ms.max(self.host_period_ms()), points)
    }

    fn host_period_ms(&self) -> u64 {
        match self.window() {
            Window::TenMinutes => self.history.host_period_ms(),
            window => window.step_ms(),
        }
    }

    /// The window is as long as it says once there is that much; before that it is as long as what there is, so that the
    /// first minute is not a stroke at the edge.
    fn chart(&self, lines: Vec<Line>) -> Chart {
        let to_ms = self.shown_ms();
        let earliest_ms = to_ms.saturating_sub(self.window().span_ms());
        let first = lines
            .iter()
            .filter_map(|line| line.points.first())
            .map(|p| p.0)
            .min();
        let from_ms = first.unwrap_or(earliest_ms).max(earliest_ms);
        let shortest_ms = to_ms.saturating_sub(SPAN_MS_MIN);
        Chart {
            from_ms: from_ms.min(shortest_ms),
            to_ms,
            lines,
        }
    }
}

/// The least time that a chart spans.
const SPAN_MS_MIN: u64 = 60_000;

fn state(name: &str) -> Option<SocketState> {
    SOCKET_STATES.into_iter().find(|state| state.0 == name)
}

/// All states and their counts, by the name the kernel has for them.
#[must_use]
pub fn all_states(counts: &SocketCounts) -> Vec<(String, u64)> {
    let named = |(name, read, _): SocketState| (name.to_uppercase(), read(counts));
    SOCKET_STATES.into_iter().map(named).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "kept between 0 and a day on the same line"
)]
fn seconds_to_ms(seconds: f64) -> u64 {
    (seconds.clamp(0.0, 86_400.0) * 1e3) as u64
}
