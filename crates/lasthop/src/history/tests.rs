//! What a history promises, seen from outside.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lasthop_ports::snapshot::{Group, SocketCounts, StateCounts};
use lasthop_ports::{Snapshot, snapshot};
use serde_json::Value;

use super::*;

const START: u64 = 1_800_000_000_000;
const RESULTS: [&str; 2] = ["ok", "refused"];
const KINDS: &[&str] = &["backlog", "no_route"];

fn key(port: u16) -> GroupKey {
    GroupKey {
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        destination: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
    }
}

fn reading(groups: &[(u16, u32)]) -> HostReading {
    HostReading {
        sockets: Some(SocketCounts {
            established: 10,
            ..SocketCounts::default()
        }),
        groups: groups
            .iter()
            .map(|&(port, used)| GroupReading {
                key: key(port),
                used,
                limit: 1000,
                time_wait: used / 2,
            })
            .collect(),
        is_complete: true,
        period_ms: 2000,
    }
}

fn own(requests: f32, queue: u64) -> OwnPoint {
    OwnPoint {
        requests,
        failures: vec![0.0, 1.0],
        duration_p99: Some(Level::at(requests / 1000.0)),
        clients: Level::count(5),
        upstreams: vec![UpstreamPoint {
            queue: Level::count(queue),
            ..UpstreamPoint::default()
        }],
        ..OwnPoint::default()
    }
}

fn history() -> History {
    History::new(vec!["app".to_owned()], KINDS)
}

fn parsed(history: &History, window: Window) -> Value {
    serde_json::from_str(&json(history, window, &RESULTS).unwrap()).unwrap()
}

fn used(point: &Point) -> Option<Level> {
    Some(point.host.as_ref()?.groups.first()?.used)
}

#[test]
fn a_day_of_points_stays_within_its_bounds() {
    let mut history = history();
    for second in (0..100_000u64).step_by(2) {
        let host = reading(&[(3000, 7)]);
        history.push(START + second * 1000, Some(&host), Some(own(1.0, 0)));
    }
    assert_eq!(history.points(Window::TenMinutes).len(), 300);
    assert!((360..=361).contains(&history.points(Window::ThreeHours).len()));
    assert!((288..=289).contains(&history.points(Window::Day).len()));
    for tier in [&history.fine, &history.middle, &history.coarse] {
        assert!(tier.points.len() <= tier.shape.points);
        assert!(tier.pending.len() <= PENDING_MAX);
    }
    // The sum of the documentation.
    const { assert!(POINTS_MAX * POINT_BYTES_MAX <= 2_936_012) };
}

#[test]
fn a_coarse_point_keeps_the_peak_beside_the_mean() {
    let mut history = history();
    let begin = START - START % 300_000;
    for index in 1..=16u64 {
        let peak = if index == 4 { 900 } else { 100 };
        let host = reading(&[(3000, peak)]);
        let queue = if index == 5 { 30 } else { 0 };
        history.push(
            begin + index * 2000,
            Some(&host),
            Some(own(index as f32, queue)),
        );
    }
    let points = history.points(Window::ThreeHours);
    // The first fifteen are one, the sixteenth has begun the next.
    assert_eq!(points.len(), 2);
    assert_eq!(points[0].at_ms, begin + 30_000);
    let level = used(&points[0]).unwrap();
    assert!((level.mean - 153.33).abs() < 0.01, "{level:?}");
    assert_eq!(level.max, 900.0);
    let own = points[0].own.as_ref().unwrap();
    assert_eq!(own.requests, 8.0);
    assert_eq!(own.duration_p99.unwrap().max, 0.015);
    assert_eq!(
        own.upstreams[0].queue,
        Level {
            mean: 2.0,
            max: 30.0
        }
    );
    assert_eq!(
        points[0]
            .host
            .as_ref()
            .unwrap()
            .sockets
            .unwrap()
            .established,
        10
    );
}

#[test]
fn a_time_without_readings_is_a_gap_and_not_a_line() {
    let mut history = history();
    history.push(START, Some(&reading(&[(3000, 1)])), Some(own(1.0, 0)));
    history.push(START + 2000, None, Some(own(1.0, 0)));
    // The host slept for an hour.
    history.push(START + 60_000, Some(&reading(&[(3000, 3)])), None);
    let json = parsed(&history, Window::TenMinutes);
    let at: Vec<u64> = serde_json::from_value(json["at_ms"].clone()).unwrap();
    assert_eq!(at, [START, START + 2000, START + 4000, START + 60_000]);
    let used = &json["host"]["groups"][0]["used"];
    assert_eq!(*used, serde_json::json!([1, null, null, 3]));
    let requests = &json["own"]["requests_per_second"];
    assert_eq!(*requests, serde_json::json!([1, 1, null, null]));
}

#[test]
fn a_clock_that_was_set_back_moves_what_was_and_keeps_its_distances() {
    let mut history = history();
    for second in 0..5 {
        history.push(START + second * 2000, Some(&reading(&[(3000, 1)])), None);
    }
    history.push(START - 3_600_000, Some(&reading(&[(3000, 2)])), None);
    let points = history.points(Window::TenMinutes);
    assert_eq!(points.len(), 6);
    let apart: Vec<u64> = points
        .windows(2)
        .map(|two| two[1].at_ms - two[0].at_ms)
        .collect();
    assert_eq!(apart, [2000; 5]);
    assert_eq!(points[5].at_ms, START - 3_600_000);
}

#[test]
fn a_clock_that_was_set_forward_leaves_the_windows_to_what_is_new() {
    let mut history = history();
    history.push(1_000, Some(&reading(&[(3000, 1)])), None);
    history.push(START, Some(&reading(&[(3000, 2)])), None);
    let points = history.points(Window::TenMinutes);
    assert_eq!(points.len(), 1);
    assert_eq!(used(&points[0]), Some(Level::at(2.0)));
}

#[test]
fn times_at_the_end_of_all_numbers_do_no_harm() {
    let mut history = history();
    for at_ms in [u64::MAX, 0, u64::MAX, 1, 1, 0] {
        history.push(
            at_ms,
            Some(&reading(&[(3000, u32::MAX)])),
            Some(own(1.0, 0)),
        );
        for window in Window::ALL {
            parsed(&history, window);
        }
        assert!(history.samples(&key(3000)).len() < snapshot::SAMPLES_MAX);
    }
}

#[test]
fn a_group_keeps_its_series_while_others_come_and_go() {
    let mut history = history();
    history.push(START, Some(&reading(&[(3000, 500)])), None);
    let id = history.series().next().unwrap().0;
    for round in 0..40u16 {
        let mut groups = vec![(3000, 500)];
        groups.extend((0..30).map(|port| (4000 + round * 30 + port, 100)));
        let at_ms = START + 2000 * u64::from(round + 1);
        history.push(at_ms, Some(&reading(&groups)), None);
        assert!(history.series().count() <= SERIES_MAX);
        assert!(history.series().any(|it| it == (id, key(3000))));
    }
    let groups = &history.newest().unwrap().host.as_ref().unwrap().groups;
    assert!(groups.len() <= SERIES_MAX);
    let ours = groups.iter().find(|group| group.series == id).unwrap();
    assert_eq!(ours.used.max, 500.0);
}

#[test]
fn a_group_without_connections_is_at_zero_where_all_groups_were_read_and_unknown_where_not() {
    let mut history = history();
    history.push(START, Some(&reading(&[(3000, 5)])), None);
    history.push(START + 2000, Some(&reading(&[])), None);
    let mut some = reading(&[]);
    some.is_complete = false;
    history.push(START + 4000, Some(&some), None);
    let points = history.points(Window::TenMinutes);
    let used: Vec<_> = points
        .iter()
        .map(|point| used(point).map(|it| it.max))
        .collect();
    assert_eq!(used, [Some(5.0), Some(0.0), None]);
}

#[test]
fn a_host_without_connections_has_the_wall_that_it_had() {
    let mut history = history();
    history.push(START, Some(&reading(&[(3000, 5)])), None);
    history.push(START + 2000, Some(&reading(&[])), None);
    let last = history.newest().unwrap().host.as_ref().unwrap();
    let groups: Vec<_> = last
        .groups
        .iter()
        .map(|one| (one.used.max, one.limit))
        .collect();
    assert_eq!(groups, [(0.0, 1000)]);
}

#[test]
fn a_group_that_was_empty_for_a_day_is_forgotten() {
    let mut history = history();
    history.push(START, Some(&reading(&[(3000, 5)])), None);
    history.push(START + 25 * 3_600_000, Some(&reading(&[])), None);
    assert_eq!(history.series().count(), 0);
}

#[test]
fn samples_for_a_forecast_have_the_last_minutes_whole_and_reach_back_ten() {
    let mut history = history();
    for index in 0..400u32 {
        let at_ms = START + u64::from(index) * 2000;
        history.push(at_ms, Some(&reading(&[(3000, index + 1)])), None);
    }
    let samples = history.samples(&key(3000));
    assert!(samples.len() < snapshot::SAMPLES_MAX, "{}", samples.len());
    assert!(samples.is_sorted_by_key(|sample| sample.at_ms));
    let last: Vec<u32> = samples[samples.len() - SAMPLES_LAST..]
        .iter()
        .map(|it| it.used)
        .collect();
    assert_eq!(last, (341..=400).collect::<Vec<_>>());
    assert!(samples[0].used < 110, "{:?}", samples[0]);
    assert!(history.samples(&key(1)).is_empty());
}

#[test]
fn a_snapshot_becomes_a_reading() {
    let mut snapshot = Snapshot::empty(START);
    let mut group = Group::empty(key(3000));
    group.states = StateCounts {
        established: 3,
        ..StateCounts::default()
    };
    (group.time_wait, group.time_wait_held) = (9, 4);
    snapshot.groups.push(group);
    let reading = HostReading::of(&snapshot, 5000);
    assert_eq!(reading.groups[0].used, 7);
    assert_eq!(reading.groups[0].time_wait, 9);
    // Sockets that may not be listed are not none.
    assert!(!reading.is_complete);
    snapshot.sockets = Some(SocketCounts::default());
    assert!(HostReading::of(&snapshot, 5000).is_complete);
}

#[test]
fn the_json_has_the_documented_names() {
    let mut history = history();
    let mut point = own(0.123_456, 2);
    point.connects[1] = 0.5;
    history.push(START, Some(&reading(&[(3000, 7)])), Some(point));
    let json = parsed(&history, Window::Day);
    assert_eq!(json["schema"], "lasthop.history/1");
    assert_eq!(json["window"], "24h");
    assert_eq!(json["step_seconds"], 300.0);
    assert_eq!(json["host_period_seconds"], 2.0);
    assert_eq!(json["host"]["sockets"]["established"][0], 10);
    let group = &json["host"]["groups"][0];
    assert_eq!(group["source"], "127.0.0.1");
    assert_eq!(group["target"], "127.0.0.1:3000");
    for name in ["used", "used_max", "limit", "time_wait"] {
        assert!(group[name][0].is_number(), "{name}");
    }
    let own = &json["own"];
    assert_eq!(own["requests_per_second"][0], 0.1235);
    // What never happened has no column.
    assert_eq!(
        own["failures_per_second"],
        serde_json::json!({ "no_route": [1] })
    );
    assert_eq!(
        own["connects_per_second"],
        serde_json::json!({ "refused": [0.5] })
    );
    assert_eq!(own["duration_p50_seconds"][0], Value::Null);
    assert_eq!(own["upstreams"][0]["name"], "app");
    assert_eq!(own["upstreams"][0]["queue_max"][0], 2);
}

#[test]
fn the_host_alone_can_be_sampled() {
    let mut history = History::new(Vec::new(), &[]);
    history.push(START, Some(&reading(&[(3000, 7)])), None);
    let json = parsed(&history, Window::TenMinutes);
    assert_eq!(json["own"], Value::Null);
    assert_eq!(json["host"]["groups"][0]["used_max"][0], 7);
}

#[test]
fn a_window_has_a_name_by_which_it_is_found() {
    for window in Window::ALL {
        assert_eq!(Window::of(window.as_str()), Some(window));
    }
    assert_eq!(Window::of("1h"), None);
}
