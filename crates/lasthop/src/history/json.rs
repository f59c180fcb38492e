//! A window of the history as JSON: columns, so that a day stays small. docs/metrics.md describes the shape; its names
//! are promises, and one that goes or changes its meaning raises [`SCHEMA`].

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Serialize, Serializer};

use super::point::{GroupPoint, HostPoint, Level, OwnPoint, SOCKET_STATES, UpstreamPoint};
use super::{History, Point, SeriesId, Window};

/// The version of the shape.
const SCHEMA: &str = "lasthop.history/1";

/// So many steps without a point are a gap: more than the lateness of a busy host.
const GAP_STEPS: f64 = 2.5;

#[derive(Serialize)]
struct Columns<'a> {
    schema: &'static str,
    window: &'static str,
    step_seconds: f64,
    host_period_seconds: f64,
    at_ms: Vec<u64>,
    host: Option<Host>,
    own: Option<Own<'a>>,
}

#[derive(Serialize)]
struct Host {
    sockets: BTreeMap<&'static str, Column>,
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    source: IpAddr,
    target: SocketAddr,
    used: Column,
    used_max: Column,
    limit: Column,
    time_wait: Column,
}

#[derive(Serialize)]
struct Own<'a> {
    requests_per_second: Column,
    failures_per_second: BTreeMap<&'static str, Column>,
    duration_p50_seconds: Column,
    duration_p99_seconds: Column,
    duration_p99_seconds_max: Column,
    connects_per_second: BTreeMap<&'static str, Column>,
    connect_p99_seconds: Column,
    connect_p99_seconds_max: Column,
    reuse_per_second: Column,
    client_connections: Column,
    client_connections_max: Column,
    clients_refused_per_second: Column,
    file_descriptors: Column,
    file_descriptors_max: Column,
    file_descriptors_limit: Column,
    upstreams: Vec<Upstream<'a>>,
}

#[derive(Serialize)]
struct Upstream<'a> {
    name: &'a str,
    active: Column,
    active_max: Column,
    idle: Column,
    connecting: Column,
    queue: Column,
    queue_max: Column,
}

/// One number for each time; `null` where there is none.
struct Column(Vec<Option<f32>>);

impl Column {
    fn of<'a, T: 'a>(rows: &[Option<&'a T>], value: impl Fn(&'a T) -> Option<f32>) -> Self {
        Self(rows.iter().map(|row| row.and_then(&value)).collect())
    }

    /// Whether it says anything but nothing.
    fn is_blank(&self) -> bool {
        self.0
            .iter()
            .all(|value| value.is_none_or(|value| value == 0.0))
    }
}

impl Serialize for Column {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|value| value.map(Number)))
    }
}

/// A number with as many digits as anybody can see in a picture: whole where it is whole, else four that count.
struct Number(f32);

impl Serialize for Number {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, not negative and small enough: checked on the same line"
    )]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = f64::from(self.0);
        if value.fract() == 0.0 && (0.0..1e15).contains(&value) {
            return serializer.serialize_u64(value as u64);
        }
        let digits = 3.0 - value.abs().log10().floor();
        let scale = 10f64.powf(digits.clamp(0.0, 12.0));
        serializer.serialize_f64((value * scale).round() / scale)
    }
}

/// The window as JSON, one object. `connect_results` are the names of the results of an attempt to connect, in the order
/// of [`OwnPoint::connects`].
///
/// # Errors
/// None that can occur: everything in it has a form in JSON.
pub fn json(
    history: &History,
    window: Window,
    connect_results: &[&'static str],
) -> Result<String, serde_json::Error> {
    let points = history.points(window);
    let (times, rows) = with_gaps(&points, window.step_ms());
    let hosts: Vec<Option<&HostPoint>> = each(&rows, |point| point.host.as_ref());
    let owns: Vec<Option<&OwnPoint>> = each(&rows, |point| point.own.as_ref());
    let mut text = serde_json::to_string(&Columns {
        schema: SCHEMA,
        window: window.as_str(),
        step_seconds: window.step_ms() as f64 / 1e3,
        host_period_seconds: history.host_period_ms() as f64 / 1e3,
        at_ms: times,
        host: hosts
            .iter()
            .any(Option::is_some)
            .then(|| host(history, &hosts)),
        own: owns
            .iter()
            .any(Option::is_some)
            .then(|| own(history, &owns, connect_results)),
    })?;
    text.push('\n');
    Ok(text)
}

/// The times and the points, with a row of nothing where a gap begins, so that no line is drawn across it.
fn with_gaps(points: &[Point], step_ms: u64) -> (Vec<u64>, Vec<Option<&Point>>) {
    let (mut times, mut rows) = (Vec::new(), Vec::new());
    for point in points {
        if let Some(&before) = times.last()
            && point.at_ms.saturating_sub(before) as f64 > step_ms as f64 * GAP_STEPS
        {
            times.push(before.saturating_add(step_ms));
            rows.push(None);
        }
        times.push(point.at_ms);
        rows.push(Some(point));
    }
    (times, rows)
}

fn each<'a, T>(
    rows: &[Option<&'a Point>],
    part: impl Fn(&'a Point) -> Option<&'a T>,
) -> Vec<Option<&'a T>> {
    rows.iter().map(|row| row.and_then(&part)).collect()
}

fn host(history: &History, rows: &[Option<&HostPoint>]) -> Host {
    let mut sockets = BTreeMap::new();
    if rows.iter().flatten().any(|host| host.sockets.is_some()) {
        for (name, read, _) in SOCKET_STATES {
            let count = |host: &HostPoint| Some(read(host.sockets.as_ref()?) as f32);
            sockets.insert(name, Column::of(rows, count));
        }
    }
    let mut groups: Vec<Group> = history
        .series()
        .map(|(id, key)| {
            let column = |value: fn(&GroupPoint) -> f32| {
                Column::of(rows, |host| of_series(host, id).map(value))
            };
            Group {
                source: key.source,
                target: key.destination,
                used: column(|group| group.used.mean),
                used_max: column(|group| group.used.max),
                limit: column(|group| group.limit as f32),
                time_wait: column(|group| group.time_wait),
            }
        })
        .filter(|group| !group.used_max.is_blank())
        .collect();
    groups.sort_by_key(|group| (group.target, group.source));
    Host { sockets, groups }
}

fn of_series(host: &HostPoint, id: SeriesId) -> Option<&GroupPoint> {
    host.groups.iter().find(|group| group.series == id)
}

fn own<'a>(
    history: &'a History,
    rows: &[Option<&OwnPoint>],
    connect_results: &[&'static str],
) -> Own<'a> {
    let column = |value: fn(&OwnPoint) -> Option<f32>| Column::of(rows, value);
    let mean = |level: Option<Level>| level.map(|level| level.mean);
    let max = |level: Option<Level>| level.map(|level| level.max);
    Own {
        requests_per_second: column(|own| Some(own.requests)),
        failures_per_second: said(history.failures(), rows, |own, kind| {
            own.failures.get(kind).copied()
        }),
        duration_p50_seconds: column(|own| own.duration_p50),
        duration_p99_seconds: Column::of(rows, |own| mean(own.duration_p99)),
        duration_p99_seconds_max: Column::of(rows, |own| max(own.duration_p99)),
        connects_per_second: said(connect_results, rows, |own, result| {
            own.connects.get(result).copied()
        }),
        connect_p99_seconds: Column::of(rows, |own| mean(own.connect_p99)),
        connect_p99_seconds_max: Column::of(rows, |own| max(own.connect_p99)),
        reuse_per_second: column(|own| Some(own.reuse)),
        client_connections: column(|own| Some(own.clients.mean)),
        client_connections_max: column(|own| Some(own.clients.max)),
        clients_refused_per_second: column(|own| Some(own.clients_refused)),
        file_descriptors: Column::of(rows, |own| mean(own.descriptors)),
        file_descriptors_max: Column::of(rows, |own| max(own.descriptors)),
        file_descriptors_limit: column(|own| own.descriptors_limit),
        upstreams: upstreams(history, rows),
    }
}

/// A column for each name that has anything to say.
fn said(
    names: &[&'static str],
    rows: &[Option<&OwnPoint>],
    value: impl Fn(&OwnPoint, usize) -> Option<f32>,
) -> BTreeMap<&'static str, Column> {
    let columns = names.iter().enumerate();
    columns
        .map(|(index, name)| (*name, Column::of(rows, |own| value(own, index))))
        .filter(|(_, column)| !column.is_blank())
        .collect()
}

fn upstreams<'a>(history: &'a History, rows: &[Option<&OwnPoint>]) -> Vec<Upstream<'a>> {
    let names = history.upstreams().iter().enumerate();
    names
        .map(|(index, name)| {
            let column = |value: fn(&UpstreamPoint) -> f32| {
                Column::of(rows, |own| own.upstreams.get(index).map(value))
            };
            Upstream {
                name,
                active: column(|it| it.active.mean),
                active_max: column(|it| it.active.max),
                idle: column(|it| it.idle),
                connecting: column(|it| it.connecting),
                queue: column(|it| it.queue.mean),
                queue_max: column(|it| it.queue.max),
            }
        })
        .collect()
}
