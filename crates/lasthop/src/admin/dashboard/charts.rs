//! Which charts there are, and how the points of a history become their lines.
//!
//! The two that tell of the wall come first. A level is drawn at its peak: where a point stands for minutes, what counts
//! is whether the wall was touched.

use std::cmp::Reverse;

use lasthop_ports::snapshot::SocketCounts;

use super::chart::{Chart, LINES_MAX, Wall};
use super::html::Html;
use super::numbers::{Unit, count, percent};
use super::series::{Line, Span};
use crate::history::{
    GroupPoint, History, Level, OwnPoint, Point, SOCKET_STATES, SeriesId, UpstreamPoint, Window,
};
use crate::observe::metrics::ConnectResult;

/// So many times the distance of two points without one are a gap: more than the lateness of a busy host.
const GAP: u64 = 5;
const GAP_OF: u64 = 2;

/// What a window shows at `now_ms` of points that begin at `first_ms`: the shortest of a few round times that has them all,
/// so that the first minutes of a process are not a line at the edge.
pub(super) fn span(window: Window, first_ms: u64, now_ms: u64) -> Span {
    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    // The whole, between two labels of the axis, between two rows of the table.
    let shapes = match window {
        Window::TenMinutes => [
            (MINUTE, MINUTE / 6, MINUTE / 12),
            (2 * MINUTE, MINUTE / 2, MINUTE / 6),
            (5 * MINUTE, MINUTE, MINUTE / 2),
            (10 * MINUTE, 2 * MINUTE, MINUTE),
        ],
        Window::ThreeHours => [
            (HOUR / 4, HOUR / 12, HOUR / 60),
            (HOUR / 2, HOUR / 12, HOUR / 20),
            (HOUR, HOUR / 6, HOUR / 12),
            (3 * HOUR, HOUR / 2, HOUR / 4),
        ],
        Window::Day => [
            (3 * HOUR, HOUR / 2, HOUR / 4),
            (6 * HOUR, HOUR, HOUR / 2),
            (12 * HOUR, 2 * HOUR, HOUR),
            (24 * HOUR, 4 * HOUR, 2 * HOUR),
        ],
    };
    let is_enough = |(whole_ms, ..): &(u64, u64, u64)| now_ms.saturating_sub(first_ms) <= *whole_ms;
    let shape = shapes.into_iter().find(is_enough);
    let (whole_ms, tick_ms, row_ms) = shape.unwrap_or(shapes[3]);
    Span {
        from_ms: now_ms.saturating_sub(whole_ms),
        to_ms: now_ms,
        step_ms: window.step_ms(),
        tick_ms,
        row_ms,
    }
}

/// All charts.
pub(super) fn html(history: &History, window: Window, now_ms: u64) -> Html {
    let points = history.points(window);
    let newest = points.last().map_or(0, |point| point.at_ms);
    let oldest = points.first().map_or(0, |point| point.at_ms);
    let source = Source {
        history,
        points: &points,
        own_gap_ms: window.step_ms() * GAP / GAP_OF,
        host_gap_ms: window.step_ms().max(history.host_period_ms()) * GAP / GAP_OF,
    };
    // A clock that was set back must not cut the newest points off.
    let span = span(window, oldest, now_ms.max(newest));
    let mut html = Html::new();
    for chart in [
        source.ports(),
        source.sockets(),
        source.requests(),
        source.errors(),
        source.latency(),
        source.connections(),
        source.queue(),
        source.descriptors(),
    ] {
        html.html(&chart.html(span));
    }
    html
}

/// What lines are made of.
struct Source<'a> {
    history: &'a History,
    points: &'a [Point],
    own_gap_ms: u64,
    host_gap_ms: u64,
}

const NOT_YET: &str = "Nothing yet: the first figures come within seconds.";

impl Source<'_> {
    fn own(&self, name: impl Into<String>, value: impl Fn(&OwnPoint) -> Option<f32>) -> Line {
        let points = self.points.iter();
        Line {
            name: name.into(),
            points: points
                .filter_map(|point| Some((point.at_ms, value(point.own.as_ref()?)?.into())))
                .collect(),
            gap_ms: self.own_gap_ms,
        }
    }

    fn sockets(&self) -> Chart {
        // The states of the post first; sockets that listen say nothing about load.
        let mut states: Vec<Line> = SOCKET_STATES
            .iter()
            .filter(|(name, ..)| !name.ends_with("listen"))
            .map(|(name, read, _)| self.state(name, *read))
            .collect();
        let rank = |line: &Line| match &*line.name {
            "TIME_WAIT" => (0, Reverse(0)),
            "ESTABLISHED" => (1, Reverse(0)),
            _ => (2, Reverse(peak(line))),
        };
        states.sort_by_key(rank);
        states.retain(|line| rank(line).0 < 2 || peak(line) > 0);
        states.truncate(LINES_MAX);
        Chart {
            id: "sockets",
            title: "Sockets by state",
            note: "of this network namespace; a connection within the host has two",
            unit: Unit::Count,
            lines: states,
            wall: None,
            nothing: "Nothing yet, or this process may not list sockets here: see the findings.",
        }
    }

    fn state(&self, name: &str, read: fn(&SocketCounts) -> u64) -> Line {
        let of = |point: &Point| {
            let sockets = point.host.as_ref()?.sockets.as_ref()?;
            Some((point.at_ms, read(sockets) as f64))
        };
        Line {
            name: name.to_ascii_uppercase(),
            points: self.points.iter().filter_map(of).collect(),
            gap_ms: self.host_gap_ms,
        }
    }

    fn ports(&self) -> Chart {
        let mut limit = 0;
        let mut lines: Vec<Line> = Vec::new();
        for (id, key) in self.history.series() {
            let groups = || {
                self.points
                    .iter()
                    .filter_map(move |point| of_series(point, id))
            };
            // The newest setting of the fullest is the wall of all: a host has one range.
            limit = groups()
                .next_back()
                .map_or(limit, |(_, group)| group.limit.max(limit));
            lines.push(Line {
                name: format!("{} → {}", key.source, key.destination),
                points: groups()
                    .map(|(at, group)| (at, group.used.max.into()))
                    .collect(),
                gap_ms: self.host_gap_ms,
            });
        }
        lines.retain(|line| peak(line) > 0);
        lines.sort_by_key(|line| {
            (
                Reverse(newest(line)),
                Reverse(peak(line)),
                line.name.clone(),
            )
        });
        lines.truncate(LINES_MAX);
        let fullest = lines.first().map_or(0, newest);
        let wall = (limit > 0).then(|| Wall {
            label: format!(
                "wall: {} ports, {} in use",
                count(limit.into()),
                percent(fullest, limit.into())
            ),
            value: limit.into(),
        });
        Chart {
            id: "ports",
            title: "Source ports in use",
            note: "by source and destination; each pair has a range of its own",
            unit: Unit::Count,
            lines,
            wall,
            nothing: "No connection to a TCP target yet, or this process may not list sockets here: see the findings.",
        }
    }

    fn requests(&self) -> Chart {
        let all = self.own("requests", |own| Some(own.requests));
        let failed = self.own("of them failed", |own| Some(own.failures.iter().sum()));
        Chart {
            id: "requests",
            title: "Requests",
            note: "that ended, each second",
            unit: Unit::PerSecond,
            lines: vec![all, failed],
            wall: None,
            nothing: NOT_YET,
        }
    }

    fn errors(&self) -> Chart {
        let kinds = self.history.failures().iter().enumerate();
        let mut lines: Vec<Line> = kinds
            .map(|(index, kind)| self.own(*kind, |own| own.failures.get(index).copied()))
            .filter(|line| line.highest().is_some_and(|highest| highest > 0.0))
            .collect();
        lines.sort_by(|a, b| {
            b.highest()
                .partial_cmp(&a.highest())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        lines.truncate(LINES_MAX);
        Chart {
            id: "errors",
            title: "Errors by kind",
            note: "the most frequent kinds, each second",
            unit: Unit::PerSecond,
            lines,
            wall: None,
            nothing: "None in this time.",
        }
    }

    fn latency(&self) -> Chart {
        let max = |level: Option<Level>| level.map(|level| level.max);
        Chart {
            id: "latency",
            title: "Latency",
            note: "from a request's first byte to its answer's last",
            unit: Unit::Seconds,
            lines: vec![
                self.own("p99", |own| max(own.duration_p99)),
                self.own("p50", |own| own.duration_p50),
                self.own("p99 of connecting", |own| max(own.connect_p99)),
            ],
            wall: None,
            nothing: "No request in this time.",
        }
    }

    fn connections(&self) -> Chart {
        let of = |result: ConnectResult| {
            let results = ConnectResult::ALL.iter();
            results
                .zip(0..)
                .find(|(it, _)| **it == result)
                .map_or(0, |(_, at)| at)
        };
        let ok = of(ConnectResult::Ok);
        let failed = move |own: &OwnPoint| own.connects.iter().sum::<f32>() - own.connects[ok];
        Chart {
            id: "connects",
            title: "Connections to apps",
            note: "new ones, and requests on one that was there already, each second",
            unit: Unit::PerSecond,
            lines: vec![
                self.own("new", move |own| Some(own.connects[ok])),
                self.own("reused", |own| Some(own.reuse)),
                self.own("failed", move |own| Some(failed(own).max(0.0))),
            ],
            wall: None,
            nothing: NOT_YET,
        }
    }

    fn queue(&self) -> Chart {
        let names = self.history.upstreams().iter().enumerate();
        let of = |index: usize, value: fn(&UpstreamPoint) -> f32| {
            move |own: &OwnPoint| own.upstreams.get(index).map(value)
        };
        let mut lines: Vec<Line> = names
            .map(|(index, name)| self.own(name.clone(), of(index, |it| it.queue.max)))
            .collect();
        lines.sort_by_key(|line| Reverse(peak(line)));
        lines.truncate(LINES_MAX);
        Chart {
            id: "queue",
            title: "Queue",
            note: "requests that wait for a connection, by upstream",
            unit: Unit::Count,
            lines,
            wall: None,
            nothing: NOT_YET,
        }
    }

    fn descriptors(&self) -> Chart {
        let limit = self
            .points
            .iter()
            .rev()
            .find_map(|point| point.own.as_ref()?.descriptors_limit);
        let in_use = self.own("descriptors", |own| own.descriptors.map(|level| level.max));
        let now = newest(&in_use);
        Chart {
            id: "descriptors",
            title: "Clients and descriptors",
            note: "open client connections, and descriptors of this process",
            unit: Unit::Count,
            lines: vec![self.own("clients", |own| Some(own.clients.max)), in_use],
            wall: limit.map(|limit| Wall {
                label: format!(
                    "limit: {} descriptors, {} used",
                    count(to_count(limit.into())),
                    percent(now, to_count(limit.into()))
                ),
                value: limit.into(),
            }),
            nothing: NOT_YET,
        }
    }
}

fn of_series(point: &Point, id: SeriesId) -> Option<(u64, &GroupPoint)> {
    let mut groups = point.host.as_ref()?.groups.iter();
    Some((point.at_ms, groups.find(|group| group.series == id)?))
}

fn peak(line: &Line) -> u64 {
    to_count(line.highest().unwrap_or(0.0))
}

fn newest(line: &Line) -> u64 {
    to_count(line.points.last().map_or(0.0, |(_, value)| *value))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest integer there is"
)]
fn to_count(value: f64) -> u64 {
    value.round() as u64
}
