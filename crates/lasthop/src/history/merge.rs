//! Several points become one: the mean of what there is, the peak where a peak matters, and nothing where there was
//! nothing.

use std::collections::BTreeMap;

use lasthop_ports::snapshot::SocketCounts;

use super::point::{GroupPoint, HostPoint, Level, OwnPoint, SOCKET_STATES, UpstreamPoint};
use super::{Point, SeriesId};

/// One point for all of `points`, at the time of the last; none for none.
pub(super) fn points(points: &[Point]) -> Option<Point> {
    let last = points.last()?;
    let hosts: Vec<&HostPoint> = points.iter().filter_map(|p| p.host.as_ref()).collect();
    let owns: Vec<&OwnPoint> = points.iter().filter_map(|p| p.own.as_ref()).collect();
    Some(Point {
        at_ms: last.at_ms,
        host: (!hosts.is_empty()).then(|| host(&hosts)),
        own: (!owns.is_empty()).then(|| own(&owns)),
    })
}

fn host(hosts: &[&HostPoint]) -> HostPoint {
    let sockets: Vec<&SocketCounts> = hosts.iter().filter_map(|h| h.sockets.as_ref()).collect();
    let mut groups: BTreeMap<SeriesId, Vec<&GroupPoint>> = BTreeMap::new();
    for group in hosts.iter().flat_map(|host| &host.groups) {
        groups.entry(group.series).or_default().push(group);
    }
    HostPoint {
        sockets: (!sockets.is_empty()).then(|| counts(&sockets)),
        groups: groups
            .into_iter()
            .map(|(id, all)| group(id, &all))
            .collect(),
    }
}

fn counts(all: &[&SocketCounts]) -> SocketCounts {
    let mut mean = SocketCounts::default();
    for (_, read, write) in SOCKET_STATES {
        let sum: u64 = all.iter().map(|counts| read(counts)).sum();
        let count = all.len() as u64;
        *write(&mut mean) = (sum + count / 2) / count.max(1);
    }
    mean
}

fn group(series: SeriesId, all: &[&GroupPoint]) -> GroupPoint {
    GroupPoint {
        series,
        used: level(all.iter().map(|group| Some(group.used))).unwrap_or_default(),
        time_wait: mean(all.iter().map(|group| Some(group.time_wait))).unwrap_or_default(),
        // A setting: what it was last.
        limit: all.last().map_or(0, |group| group.limit),
    }
}

fn own(all: &[&OwnPoint]) -> OwnPoint {
    let rate = |of: fn(&OwnPoint) -> f32| mean(all.iter().map(|it| Some(of(it)))).unwrap_or(0.0);
    let failures = all.iter().map(|it| it.failures.len()).max().unwrap_or(0);
    let upstreams = all.iter().map(|it| it.upstreams.len()).max().unwrap_or(0);
    OwnPoint {
        requests: rate(|it| it.requests),
        failures: (0..failures)
            .map(|kind| mean(all.iter().map(|it| it.failures.get(kind).copied())).unwrap_or(0.0))
            .collect(),
        duration_p50: mean(all.iter().map(|it| it.duration_p50)),
        duration_p99: level(all.iter().map(|it| it.duration_p99)),
        connects: std::array::from_fn(|result| {
            mean(all.iter().map(|it| Some(it.connects[result]))).unwrap_or(0.0)
        }),
        connect_p99: level(all.iter().map(|it| it.connect_p99)),
        reuse: rate(|it| it.reuse),
        clients: level(all.iter().map(|it| Some(it.clients))).unwrap_or_default(),
        clients_refused: rate(|it| it.clients_refused),
        descriptors: level(all.iter().map(|it| it.descriptors)),
        descriptors_limit: all.iter().rev().find_map(|it| it.descriptors_limit),
        upstreams: (0..upstreams)
            .map(|index| {
                let of: Vec<_> = all
                    .iter()
                    .filter_map(|it| it.upstreams.get(index))
                    .collect();
                upstream(&of)
            })
            .collect(),
    }
}

fn upstream(all: &[&UpstreamPoint]) -> UpstreamPoint {
    UpstreamPoint {
        active: level(all.iter().map(|it| Some(it.active))).unwrap_or_default(),
        idle: mean(all.iter().map(|it| Some(it.idle))).unwrap_or(0.0),
        connecting: mean(all.iter().map(|it| Some(it.connecting))).unwrap_or(0.0),
        queue: level(all.iter().map(|it| Some(it.queue))).unwrap_or_default(),
    }
}

/// The mean of those that are there.
#[expect(clippy::cast_possible_truncation, reason = "a mean of f32s is one")]
fn mean(values: impl Iterator<Item = Option<f32>>) -> Option<f32> {
    let (mut sum, mut count) = (0.0f64, 0u32);
    for value in values.flatten() {
        sum += f64::from(value);
        count += 1;
    }
    (count > 0).then(|| (sum / f64::from(count)) as f32)
}

fn level(values: impl Iterator<Item = Option<Level>> + Clone) -> Option<Level> {
    let means = values.clone().map(|level| level.map(|level| level.mean));
    let max = values.flatten().map(|level| level.max).reduce(f32::max)?;
    Some(Level {
        mean: mean(means)?,
        max,
    })
}
