//! What the doctor tells of other proxies, the real ones: who it is, from where to where, how much of how much, and when
//! it will be over. What it says is compared with the kernel's text tables, which it does not read.

use std::path::Path;
use std::time::Duration;

use lasthop_ports::finding::Code;
use serde_json::Value;

use crate::support::doctor::{Visit, Watch, visit, visit_naming, visit_until};
use crate::support::held::{APP, Rise};
use crate::support::namespace::{self, raise_descriptors};
use crate::support::programs::skip;
use crate::support::rivals::{Rival, RivalProxy};
use crate::support::{After, Crowd, CrowdApp};

/// Source ports of the namespace, first and last.
const RANGE: (u32, u32) = (40_000, 40_599);
const LIMIT: u64 = 600;

fn with_600_ports<F: FnOnce()>(test: F) {
    namespace::with_ports("40000 40599", test);
}

/// What `/proc/net/tcp` says: ports of the range that lead to [`APP`] from 127.0.0.1.
fn used_by_the_kernels_table() -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    // `sl local remote st …` (proc_net(5)): addresses are hexadecimal words in the byte order of the host.
    let loopback = format!("{:08X}", u32::from_ne_bytes([127, 0, 0, 1]));
    let app = format!("{loopback}:{:04X}", 3000);
    let begins = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = fields[1].split_once(':').expect("an address");
        let port = u32::from_str_radix(local.1, 16).expect("a port");
        fields[2] == app && local.0 == loopback && (RANGE.0..=RANGE.1).contains(&port)
    };
    table.lines().skip(1).filter(begins).count() as u64
}

/// That a finding is about the pair of the proxy and its app, and has the numbers of the kernel and the process.
#[track_caller]
fn names_the_pair(finding: &Value, rival: Rival, proxy: &RivalProxy) {
    let subject = &finding["subject"];
    assert_eq!(subject["source"], "127.0.0.1", "{finding:#}");
    assert_eq!(subject["target"], APP, "{finding:#}");
    let used = finding["usage"]["used"].as_u64().expect("a number");
    let kernel = used_by_the_kernels_table();
    assert!(
        used.abs_diff(kernel) * 100 <= kernel,
        "{used} used, the kernel says {kernel}"
    );
    assert_eq!(finding["usage"]["limit"], LIMIT, "{finding:#}");
    assert_eq!(finding["usage"]["unit"], "ports", "{finding:#}");
    let workers = proxy.workers();
    let processes = finding["processes"].as_array().expect("a list");
    let is_worker = |process: &&Value| {
        let pid = process["pid"]
            .as_u64()
            .and_then(|pid| u32::try_from(pid).ok());
        process["name"] == rival.process_name() && pid.is_some_and(|pid| workers.contains(&pid))
    };
    assert!(
        processes.iter().any(|process| is_worker(&process)),
        "none of {workers:?} in {finding:#}"
    );
}

/// All that the remedies of a finding would have somebody write.
fn lines_to_write(finding: &Value) -> String {
    let steps = finding["remedies"].as_array().expect("a list").iter();
    let steps = steps.flat_map(|remedy| remedy["steps"].as_array().expect("a list"));
    let lines = steps.flat_map(|step| step["lines"].as_array().into_iter().flatten());
    lines
        .map(|line| line.as_str().expect("a line"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn join(crowd: &mut Crowd, path: &Path, count: usize) {
    let refused = crowd.try_join_at(path, count);
    assert!(refused.is_empty(), "{}: {}", refused.len(), refused[0]);
}

/// Idle, then tight, then used up.
fn tells_the_wall_of(rival: Rival, directives: &[&str]) {
    raise_descriptors();
    let app = CrowdApp::at(APP, After::Keeps);
    let proxy = match rival.start(APP) {
        Ok(proxy) => proxy,
        Err(why) => return skip(&why),
    };
    visit().is_healthy();
    let mut crowd = Crowd::new();
    join(&mut crowd, proxy.path(), 552);
    app.wait_for_open(552);
    let tight = visit_naming(Code::PortsTight);
    let finding = tight.tells(Code::PortsTight, "warning");
    names_the_pair(finding, rival, &proxy);
    let lines = lines_to_write(finding);
    for directive in directives {
        assert!(lines.contains(directive), "no {directive} in {finding:#}");
    }
    assert_eq!(tight.exit, Some(3));
    tight.is_silent_about(Code::PortsExhausted);
    join(&mut crowd, proxy.path(), 48);
    app.wait_for_open(600);
    // The proxy has none left.
    let refused = crowd.try_join_at(proxy.path(), 1);
    assert!(refused[0].contains(" 50"), "{refused:?}");
    let exhausted = visit_naming(Code::PortsExhausted);
    let finding = exhausted.tells(Code::PortsExhausted, "critical");
    names_the_pair(finding, rival, &proxy);
    assert_eq!(exhausted.exit, Some(4));
    exhausted.is_silent_about(Code::PortsTight);
}

#[test]
fn nginx_at_its_wall_is_named_with_its_numbers_and_its_own_directives() {
    with_600_ports(|| {
        tells_the_wall_of(Rival::Nginx, &["server unix:", "proxy_bind"]);
    });
}

#[test]
fn haproxy_at_its_wall_is_named_with_its_numbers_and_its_own_directives() {
    with_600_ports(|| {
        tells_the_wall_of(Rival::HaProxy, &["unix@", "source 127."]);
    });
}

/// When the ports will be used up, by what a visit says, in milliseconds since 1970.
fn foreseen_ms(visit: &Visit) -> Option<f64> {
    let told = [Code::PortsForecast, Code::PortsTight];
    let finding = told.iter().flat_map(|code| visit.all(*code)).next()?;
    let seconds = finding["forecast"]["seconds_left"].as_f64()?;
    Some(visit.taken_ms() as f64 + seconds * 1000.0)
}

/// That what was foreseen by a visit is right within a fifth of the time that it then took.
#[track_caller]
fn is_right(who: &str, visit: &Visit, foreseen: f64, full_ms: u64) {
    let left = full_ms as f64 - visit.taken_ms() as f64;
    let wrong_by = (foreseen - full_ms as f64) / left;
    println!(
        "{who}: {left:.0} ms were left, foreseen with an error of {:.0} %",
        100.0 * wrong_by
    );
    assert!(
        left > 0.0 && wrong_by.abs() <= 0.2,
        "{who}: wrong by {:.0} % of {left:.0} ms",
        100.0 * wrong_by
    );
}

/// A steady rise through a proxy: what one visit foresees and what a watch does, and what then happens.
fn foresees_the_wall_of(rival: Rival) {
    raise_descriptors();
    let app = CrowdApp::at(APP, After::Keeps);
    let proxy = match rival.start(APP) {
        Ok(proxy) => proxy,
        Err(why) => return skip(&why),
    };
    let mut crowd = Crowd::new();
    join(&mut crowd, proxy.path(), 130);
    let path = proxy.path().to_owned();
    let mut watch = Watch::start();
    let rise = Rise::start(Duration::from_millis(28), move || {
        crowd.try_join_at(&path, 1).is_empty()
    });
    app.wait_for_open(180);
    let once = visit_until(|visit| foreseen_ms(visit).is_some());
    once.tells(Code::PortsForecast, "warning");
    let foreseen = foreseen_ms(&once).expect("a forecast");
    let mut watched = Vec::new();
    while !rise.is_over() {
        let visit = watch.next();
        watched.extend(foreseen_ms(&visit).map(|foreseen| (visit, foreseen)));
    }
    let full_ms = rise.full_ms();
    is_right("one visit", &once, foreseen, full_ms);
    // Of the last second a fifth is a moment.
    watched.retain(|(visit, _)| visit.taken_ms() + 1000 < full_ms);
    assert!(!watched.is_empty(), "the watch has foreseen nothing");
    for (visit, foreseen) in &watched {
        is_right("the watch", visit, *foreseen, full_ms);
    }
}

#[test]
fn when_nginx_will_have_no_port_left_is_foreseen_within_a_fifth() {
    with_600_ports(|| foresees_the_wall_of(Rival::Nginx));
}

#[test]
fn when_haproxy_will_have_no_port_left_is_foreseen_within_a_fifth() {
    with_600_ports(|| foresees_the_wall_of(Rival::HaProxy));
}
