//! The sampler of a running instance: what it tells of the host and of the instance, and what it costs.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::misbehave::app_that_answers;
use crate::support::{Client, Lasthop, PATIENCE, Place, Setup};

fn proxy(app: &str) -> Lasthop {
    let admin = "[admin]\naddress = \"127.0.0.1:0\"";
    Setup::to(&[app]).server("workers = 2").more(admin).start()
}

fn page(proxy: &Lasthop, path: &str) -> String {
    let begun = Instant::now();
    loop {
        let answer = Client::connect(&proxy.admin()).request_as("localhost", path);
        // A busy host takes its time for the first look.
        let is_early = answer.status() == 503 && begun.elapsed() < PATIENCE;
        if !is_early {
            assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
            return answer.text();
        }
        std::thread::yield_now();
    }
}

fn json(proxy: &Lasthop, path: &str) -> Value {
    serde_json::from_str(&page(proxy, path)).expect("JSON")
}

fn metric(proxy: &Lasthop, series: &str) -> Option<f64> {
    let page = page(proxy, "/metrics");
    let mut lines = page.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map(|value| value.parse().expect("a number"))
}

/// Asks for a page until it holds.
fn wait_for(proxy: &Lasthop, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let json = json(proxy, path);
        if holds(&json) {
            return json;
        }
        assert!(begun.elapsed() < PATIENCE, "{path}: {json}");
        // tidy: a point comes every two seconds, and nothing on a page waits for it
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_running_instance_tells_of_the_host_from_its_first_second_on() {
    let app = app_that_answers(Place::Tcp);
    let proxy = proxy(&app.target());
    // Waits for the first look by itself.
    let doctor = json(&proxy, "/doctor");
    assert_eq!(doctor["schema"], "lasthop.doctor/1", "{doctor}");
    let listening = metric(&proxy, "lasthop_sockets{state=\"listen\"}");
    // The app's and ours at the least.
    assert!(listening >= Some(2.0), "{listening:?}");
    assert!(metric(&proxy, "lasthop_host_sampled_timestamp_seconds").is_some());
}

#[test]
fn the_history_has_the_requests_that_were_sent_and_the_ports_that_they_took() {
    let app = app_that_answers(Place::Tcp);
    let proxy = proxy(&app.target());
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    let sum = |json: &Value| -> f64 {
        let rates = json["own"]["requests_per_second"].as_array();
        rates.into_iter().flatten().filter_map(Value::as_f64).sum()
    };
    let history = wait_for(&proxy, "/history", |json| sum(json) > 0.0);
    let own = &history["own"];
    assert_eq!(own["upstreams"][0]["name"], "app", "{history}");
    let times = history["at_ms"].as_array().expect("times").len();
    for column in [
        &own["requests_per_second"],
        &own["duration_p99_seconds"],
        &own["file_descriptors"],
        &own["upstreams"][0]["queue_max"],
        &history["host"]["sockets"]["established"],
    ] {
        assert_eq!(column.as_array().map(Vec::len), Some(times), "{history}");
    }
    // The same, in fewer points.
    for window in ["/history?window=3h", "/history?window=24h"] {
        wait_for(&proxy, window, |json| sum(json) > 0.0);
    }
}

#[test]
fn failed_requests_are_counted_by_kind() {
    let proxy = proxy("unix:/nowhere/at/all.sock");
    assert_eq!(proxy.get("/").status(), 502);
    let missing = metric(&proxy, "lasthop_request_failures_total{kind=\"missing\"}");
    assert_eq!(missing, Some(1.0));
    let history = wait_for(&proxy, "/history", |json| {
        json["own"]["failures_per_second"]["missing"].is_array()
    });
    assert_eq!(
        history["own"]["failures_per_second"]
            .as_object()
            .map(serde_json::Map::len),
        Some(1)
    );
}

#[test]
fn without_an_admin_address_nobody_samples() {
    let app = app_that_answers(Place::Unix);
    let proxy = Setup::to(&[&app.target()]).start();
    assert_eq!(proxy.get("/").status(), 200);
    let threads = std::fs::read_dir(format!("/proc/{}/task", proxy.pid())).expect("a process");
    let names = threads.map(|thread| {
        let path = thread.expect("a thread").path().join("comm");
        std::fs::read_to_string(path).unwrap_or_default()
    });
    let names: Vec<String> = names.collect();
    assert!(
        names.iter().any(|name| name.starts_with("worker")),
        "{names:?}"
    );
    assert!(
        !names.iter().any(|name| name.starts_with("sampler")),
        "{names:?}"
    );
}
