//! An afternoon, played: what events make of a state.

use std::time::Duration;

use lasthop_ports::finding::Severity;
use lasthop_ports::snapshot::{Group, PortSettings, SocketCounts};
use lasthop_ports::{PortRange, ReservedPorts, Sample};

use super::*;

const START_MS: u64 = 1_795_000_000_000;

fn model() -> Model {
    Model::new(
        "web-1".to_owned(),
        "127.0.0.1:9180".to_owned(),
        true,
        START_MS,
    )
}

fn key(port: u16) -> GroupKey {
    GroupKey {
        source: "127.0.0.1".parse().unwrap(),
        destination: ([127, 0, 0, 1], port).into(),
    }
}

fn group(port: u16, used: u32, time_wait: u32) -> Group {
    let mut group = Group::empty(key(port));
    group.states.established = used;
    group.time_wait = time_wait;
    group
}

fn sample(at_ms: u64, groups: Vec<Group>) -> HostSample {
    let mut snapshot = Snapshot::empty(at_ms);
    snapshot.ports = Some(PortSettings {
        range: PortRange::new(40_000, 40_999).unwrap(),
        reserved: ReservedPorts::default(),
        tcp_tw_reuse: 2,
        tcp_timestamps: 1,
        tcp_tw_reuse_delay_ms: 1000,
        flat_search: true,
    });
    snapshot.sockets = Some(SocketCounts {
        established: groups.iter().map(|group| u64::from(group.used())).sum(),
        ..SocketCounts::default()
    });
    snapshot.groups = groups;
    HostSample {
        snapshot,
        findings: Vec::new(),
        cost: Duration::from_millis(3),
        period: Duration::from_secs(2),
    }
}

fn finding(port: u16) -> Finding {
    Finding {
        code: Code::PortsTight,
        severity: Severity::Warning,
        headline: format!("port {port}"),
        subject: key(port).into(),
        usage: None,
        forecast: None,
        processes: Vec::new(),
        evidence: Vec::new(),
        remedies: Vec::new(),
    }
}

fn see(model: &mut Model, at_ms: u64, sample: HostSample) {
    model.apply(at_ms, Event::Host(Box::new(sample)));
}

fn press(model: &mut Model, actions: &[Action]) {
    for action in actions {
        model.apply(START_MS, Event::Action(*action));
    }
}

fn past(window: &str, at_ms: u64) -> Event {
    let page = format!(
        r#"{{"schema":"lasthop.history/1","window":"{window}","step_seconds":2,"host_period_seconds":2,
        "at_ms":[{},{at_ms}],"host":{{"sockets":{{"established":[5,6]}}}},"own":{{"requests_per_second":[1,2]}}}}"#,
        at_ms - 2000
    );
    Event::Past(Box::new(Past::of_json(page.as_bytes()).unwrap()))
}

#[test]
fn groups_are_sorted_as_asked_and_the_chosen_one_stays_chosen() {
    let mut model = model();
    let groups = || vec![group(1, 10, 500), group(2, 900, 0), group(3, 40, 20)];
    see(&mut model, START_MS, sample(START_MS, groups()));
    let ports = |model: &Model| -> Vec<u16> {
        model
            .groups()
            .iter()
            .map(|row| row.key.destination.port())
            .collect()
    };
    assert_eq!(ports(&model), [2, 3, 1]);
    press(&mut model, &[Action::Down]);
    let chosen = |model: &Model| {
        let rows = model.groups();
        rows[model.selected_group(&rows)].key.destination.port()
    };
    assert_eq!(chosen(&model), 3);
    for (order, name) in [
        ([1, 3, 2], "TIME_WAIT"),
        ([1, 2, 3], "slope"),
        ([1, 2, 3], "address"),
    ] {
        press(&mut model, &[Action::Sort]);
        assert_eq!(
            (model.sort().as_str(), ports(&model).as_slice()),
            (name, order.as_slice())
        );
        assert_eq!(chosen(&model), 3);
    }
    // It is gone: the first one is chosen.
    see(
        &mut model,
        START_MS,
        sample(START_MS + 2000, vec![group(1, 10, 0)]),
    );
    assert_eq!(chosen(&model), 1);
}

#[test]
fn keys_move_within_bounds() {
    let mut model = model();
    press(
        &mut model,
        &[Action::Up, Action::Down, Action::PageDown, Action::Open],
    );
    assert_eq!(model.detail(), None);
    see(
        &mut model,
        START_MS,
        sample(START_MS, vec![group(1, 2, 0), group(2, 1, 0)]),
    );
    press(&mut model, &[Action::PageDown, Action::PageDown]);
    assert_eq!(model.selected_group(&model.groups()), 1);
    press(&mut model, &[Action::PageUp, Action::Up]);
    assert_eq!(model.selected_group(&model.groups()), 0);
}

#[test]
fn panes_follow_each_other_and_the_one_of_the_instance_is_there_when_it_answers() {
    let mut model = model();
    let order = |model: &mut Model, action, count| -> Vec<Pane> {
        (0..count)
            .map(|_| {
                press(model, &[action]);
                model.pane()
            })
            .collect()
    };
    use Pane::{Findings, Instance, Ports, Sockets};
    assert_eq!(
        order(&mut model, Action::NextPane, 3),
        [Findings, Sockets, Ports]
    );
    model.apply(START_MS, past("10m", START_MS));
    assert_eq!(
        order(&mut model, Action::NextPane, 4),
        [Findings, Instance, Sockets, Ports]
    );
    assert_eq!(
        order(&mut model, Action::PreviousPane, 2),
        [Sockets, Instance]
    );
    // It answers no more.
    model.apply(START_MS, Event::Lost("connection refused".to_owned()));
    assert_eq!((model.pane(), model.has_instance()), (Ports, false));
    assert_eq!(model.link, Link::Lost("connection refused".to_owned()));
}

#[test]
fn escape_closes_a_detail_first_and_the_program_then() {
    let mut model = model();
    see(&mut model, START_MS, sample(START_MS, vec![group(1, 2, 0)]));
    press(&mut model, &[Action::Open]);
    assert_eq!(model.detail(), Some(&Detail::Group(key(1))));
    press(&mut model, &[Action::Back]);
    assert!(model.detail().is_none() && !model.is_over());
    press(&mut model, &[Action::Help, Action::Help]);
    assert!(model.detail().is_none());
    press(&mut model, &[Action::Back]);
    assert!(model.is_over());
}

#[test]
fn a_finding_in_detail_stays_readable_when_it_is_over() {
    let mut model = model();
    let mut first = sample(START_MS, Vec::new());
    first.findings = vec![finding(1), finding(2)];
    see(&mut model, START_MS, first);
    press(
        &mut model,
        &[Action::Pane(Pane::Findings), Action::Down, Action::Open],
    );
    let Some(Detail::Finding(shown)) = model.detail().cloned() else {
        panic!("{:?}", model.detail());
    };
    assert_eq!(shown.headline, "port 2");
    assert!(model.finding_now(&shown).is_some());
    see(&mut model, START_MS, sample(START_MS + 2000, Vec::new()));
    assert!(model.finding_now(&shown).is_none());
    assert!(matches!(model.detail(), Some(Detail::Finding(_))));
}

#[test]
fn a_held_picture_stays_as_it_was_and_then_catches_up() {
    let mut model = model();
    see(
        &mut model,
        START_MS,
        sample(START_MS, vec![group(1, 10, 0)]),
    );
    see(
        &mut model,
        START_MS + 2000,
        sample(START_MS + 2000, vec![group(1, 20, 0)]),
    );
    model.apply(START_MS + 2000, Event::Action(Action::Pause));
    see(
        &mut model,
        START_MS + 4000,
        sample(START_MS + 4000, vec![group(1, 99, 0)]),
    );
    assert_eq!((model.is_held(), model.groups()[0].used), (true, 20));
    let last = |model: &Model| model.group_chart(&key(1)).lines[0].points.last().copied();
    assert_eq!(last(&model), Some((START_MS + 2000, 20.0)));
    assert_eq!(model.shown_ms(), START_MS + 2000);
    model.apply(START_MS + 5000, Event::Action(Action::Pause));
    assert_eq!((model.is_held(), model.groups()[0].used), (false, 99));
    assert_eq!(last(&model), Some((START_MS + 4000, 99.0)));
}

#[test]
fn what_the_instance_saw_comes_before_what_was_seen_since() {
    for (shares_host, expected) in [(true, vec![5.0, 10.0]), (false, vec![10.0])] {
        let mut model = model();
        model.shares_host = shares_host;
        see(
            &mut model,
            START_MS,
            sample(START_MS, vec![group(1, 10, 0)]),
        );
        // Its second point is of the time that was seen here as well.
        model.apply(START_MS, past("10m", START_MS + 1000));
        let chart = model.sockets_chart();
        let line = chart
            .lines
            .iter()
            .find(|line| line.name == "ESTABLISHED")
            .unwrap();
        let values: Vec<f64> = line.points.iter().map(|point| point.1).collect();
        assert_eq!(values, expected);
    }
}

#[test]
fn another_window_is_shown_when_its_page_has_come() {
    let mut model = model();
    model.apply(START_MS, past("10m", START_MS));
    press(&mut model, &[Action::Window]);
    assert_eq!(model.window(), Window::ThreeHours);
    assert!(model.windowed().is_none());
    model.apply(START_MS, past("24h", START_MS));
    assert!(model.windowed().is_none());
    model.apply(START_MS, past("3h", START_MS));
    assert_eq!(model.windowed().unwrap().window(), Some(Window::ThreeHours));
    press(&mut model, &[Action::Window, Action::Window]);
    assert_eq!(model.windowed().unwrap().window(), Some(Window::TenMinutes));
    assert!(!model.apply(START_MS, past("1y", START_MS)));
}

#[test]
fn a_slope_needs_more_than_a_moment() {
    for (samples, expected) in [
        (vec![(0, 10)], None),
        (vec![(0, 10), (2000, 20)], None),
        (vec![(0, 10), (30_000, 20)], Some(20.0)),
        (
            vec![(0, 500), (60_000, 10), (90_000, 25), (120_000, 40)],
            Some(30.0),
        ),
        (vec![(90_000, 40), (30_000, 10)], None),
    ] {
        let mut one = group(1, 40, 0);
        one.recent = samples
            .iter()
            .map(|&(at_ms, used)| Sample { at_ms, used })
            .collect();
        let mut model = model();
        see(&mut model, START_MS, sample(START_MS, vec![one]));
        assert_eq!(model.groups()[0].per_minute, expected, "{samples:?}");
    }
}

#[test]
fn a_year_of_readings_takes_no_more_room_than_a_day() {
    let mut model = model();
    for reading in 0..3000 {
        let at_ms = START_MS + reading * 2000;
        let port = u16::try_from(reading % 5000).unwrap();
        see(&mut model, at_ms, sample(at_ms, vec![group(port, 10, 0)]));
    }
    assert!(model.history.points(Window::TenMinutes).len() <= 300);
    assert!(model.history.series().count() <= crate::history::SERIES_MAX);
}
