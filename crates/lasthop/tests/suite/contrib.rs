//! What contrib/ has for Prometheus and Grafana: it parses, it asks only for what a running instance tells, and an alert
//! that should go off does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::support::misbehave::app_that_answers;
use crate::support::programs::{prometheus, skip};
use crate::support::prometheus::Prometheus;
use crate::support::{
    Address, After, Client, Crowd, CrowdApp, Lasthop, PATIENCE, Place, Setup, TempDir, namespace,
};

/// What Grafana puts in.
const VARIABLES: [(&str, &str); 3] = [
    ("$__rate_interval", "1m"),
    ("$job", "lasthop"),
    ("$instance", ".*"),
];

/// Metrics that are not on every page: they come with what they tell of.
const NOT_ALWAYS: [&str; 2] = ["lasthop_findings", "lasthop_source_ports_forecast_seconds"];

fn contrib(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contrib");
    root.join(path).canonicalize().expect("a file of contrib")
}

fn rules() -> PathBuf {
    contrib("prometheus/lasthop.rules.yml")
}

/// The expressions of the alerts, by name.
fn alerts() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(rules()).expect("the rules");
    let after = |line: &str, key: &str| line.trim_start().strip_prefix(key).map(str::to_owned);
    let names = text.lines().filter_map(|line| after(line, "- alert: "));
    let expressions = text.lines().filter_map(|line| after(line, "expr: "));
    let alerts: Vec<_> = names.zip(expressions).collect();
    assert!(alerts.len() > 8, "{alerts:?}");
    alerts
}

fn dashboard() -> Value {
    let text = std::fs::read_to_string(contrib("grafana/lasthop.json")).expect("the dashboard");
    serde_json::from_str(&text).expect("JSON")
}

/// What the panels, the variables and the annotations ask for, as Grafana asks.
fn questions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let mut asked: Vec<&Value> = targets.flatten().map(|target| &target["expr"]).collect();
    let annotations = dashboard["annotations"]["list"].as_array();
    asked.extend(annotations.into_iter().flatten().map(|it| &it["expr"]));
    let asked = asked.into_iter().map(|expression| {
        let mut text = expression.as_str().expect("an expression").to_owned();
        for (variable, value) in VARIABLES {
            text = text.replace(variable, value);
        }
        assert!(!text.contains('$'), "{text}");
        text
    });
    asked.collect()
}

fn promtool(program: &str, words: &[&str], file: &Path) {
    let output = Command::new(program).args(words).arg(file).output();
    let output = output.expect("promtool");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

#[test]
fn the_alerts_pass_promtools_check_and_their_own_tests() {
    let (_, program) = match prometheus() {
        Ok(programs) => programs,
        Err(why) => return skip(&why),
    };
    promtool(&program, &["check", "rules"], &rules());
    let tests = contrib("prometheus/tests/lasthop.test.yml");
    promtool(&program, &["test", "rules"], &tests);
    let text = std::fs::read_to_string(tests).expect("the tests");
    for (alert, _) in alerts() {
        assert!(
            text.contains(&format!("- name: {alert}\n")),
            "{alert} is not tested"
        );
    }
}

#[test]
fn every_expression_of_the_dashboard_is_promql() {
    let (_, program) = match prometheus() {
        Ok(programs) => programs,
        Err(why) => return skip(&why),
    };
    let dir = TempDir::new();
    let file = dir.join("expressions.yml");
    let mut yaml = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (number, expression) in questions(&dashboard()).iter().enumerate() {
        let expression = Value::from(expression.as_str());
        yaml += &format!("  - record: panel:{number}\n    expr: {expression}\n");
    }
    std::fs::write(&file, yaml).expect("a file");
    promtool(&program, &["check", "rules"], &file);
}

#[test]
fn the_dashboard_has_what_grafana_needs_to_import_it() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"]
        .as_array()
        .expect("variables");
    let names: Vec<_> = variables.iter().map(|it| it["name"].as_str()).collect();
    assert_eq!(names, [Some("datasource"), Some("job"), Some("instance")]);
    assert_eq!(
        dashboard["id"],
        Value::Null,
        "an id is given by whoever imports"
    );
    assert!(dashboard["schemaVersion"].as_u64() >= Some(30));
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|it| it["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut places = BTreeSet::new();
    for panel in panels {
        let at = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        assert!(at("x") + at("w") <= 24, "{panel}");
        for (x, y) in (at("x")..at("x") + at("w"))
            .flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
        {
            assert!(places.insert((x, y)), "two panels at {x}, {y}: {panel}");
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        }
    }
}

/// The families of a page and their labels.
fn families(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut families: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().expect("a name");
            families.entry(name.to_owned()).or_default();
        } else if !line.starts_with('#') {
            let series = line.split([' ', '{']).next().expect("a name");
            let labels = line.split_once('{').map_or("", |(_, labels)| labels);
            let names = labels.split(',').filter_map(|it| it.split_once("=\""));
            let family = families.get_mut(of_family(series)).expect("its type");
            family.extend(names.map(|(name, _)| name.to_owned()));
        }
    }
    families
}

/// The family of a series: without what a histogram appends.
fn of_family(series: &str) -> &str {
    let suffixes = ["_seconds_bucket", "_seconds_sum", "_seconds_count"];
    match suffixes.iter().find(|suffix| series.ends_with(**suffix)) {
        Some(suffix) => &series[..series.len() - suffix.len() + "_seconds".len()],
        None => series,
    }
}

/// Metrics of ours in an expression, with the labels that it chooses them by.
fn asked(expression: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find("lasthop_") {
        rest = &rest[at..];
        let end = rest.find(|it: char| !it.is_ascii_alphanumeric() && it != '_');
        let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
        let mut labels = Vec::new();
        if let Some(chosen) = after.strip_prefix('{') {
            let (inside, _) = chosen.split_once('}').expect("an end");
            let matchers = inside.split(',').filter(|matcher| !matcher.is_empty());
            labels.extend(matchers.map(|matcher| {
                let end = matcher.find(['=', '!']).expect("a matcher");
                matcher[..end].trim().to_owned()
            }));
        }
        found.push((of_family(name).to_owned(), labels));
        rest = after;
    }
    found
}

/// Labels that Prometheus adds, and that of a histogram's buckets.
const ADDED: [&str; 3] = ["job", "instance", "le"];

#[test]
fn alerts_and_dashboard_ask_only_for_metrics_and_labels_that_an_instance_tells() {
    let app = app_that_answers(Place::Tcp);
    let proxy = proxy(Setup::to(&[&app.target()]), "127.0.0.1:0");
    assert_eq!(proxy.get("/").status(), 200);
    let mut families = families(&page(&proxy.admin()));
    // A healthy host need not show them.
    for (name, labels) in [
        (NOT_ALWAYS[0], ["code", "severity"]),
        (NOT_ALWAYS[1], ["source", "target"]),
    ] {
        let family = families
            .get_mut(name)
            .expect("their types are always there");
        family.extend(labels.map(str::to_owned));
    }
    let expressions = alerts().into_iter().map(|(_, expression)| expression);
    let mut named = BTreeSet::new();
    for expression in expressions.chain(questions(&dashboard())) {
        for (name, chosen) in asked(&expression) {
            let labels = families.get(&name);
            let labels = labels.unwrap_or_else(|| panic!("{name} in {expression}"));
            for label in chosen {
                let is_known = labels.contains(&label) || ADDED.contains(&&*label);
                assert!(is_known, "{label} of {name} in {expression}");
            }
            named.insert(name);
        }
    }
    assert!(named.len() > 20, "{named:?}");
}

fn proxy(setup: Setup, admin: &str) -> Lasthop {
    setup
        .more(&format!("[admin]\naddress = \"{admin}\""))
        .start()
}

fn page(admin: &Address) -> String {
    let mut client = Client::connect(admin);
    // The findings of the first look are on it from here on.
    assert_eq!(client.request_as("localhost", "/doctor").status(), 200);
    client.request_as("localhost", "/metrics").text()
}

#[test]
fn a_real_prometheus_loads_the_alerts_and_answers_every_question_of_the_dashboard() {
    let (program, _) = match prometheus() {
        Ok(programs) => programs,
        Err(why) => return skip(&why),
    };
    let app = app_that_answers(Place::Tcp);
    let proxy = proxy(Setup::to(&[&app.target()]), "127.0.0.1:0");
    let admin = proxy.admin();
    page(&admin);
    let prometheus = Prometheus::with_rules(&program, &admin, None, Some(&rules()));
    for sent in [1.0, 2.0] {
        assert_eq!(proxy.get("/").status(), 200);
        // Two scrapes apart, so that rates have something to go by.
        prometheus.wait_for(
            "lasthop_requests_total{code=\"200\",upstream=\"app\"}",
            sent,
        );
    }
    let groups = prometheus.api("rules")["groups"].clone();
    let loaded = groups[0]["rules"].as_array().map(Vec::len);
    assert_eq!(loaded, Some(alerts().len()), "{groups}");
    for (alert, expression) in alerts() {
        let firing = prometheus.series(&expression);
        // Whatever else there is on this host is not this instance's.
        if alert != "LasthopHostFinding" && alert != "LasthopSourcePortsForecast" {
            assert!(firing.is_empty(), "{alert}: {firing:?}");
        }
    }
    let questions = questions(&dashboard());
    let mut silent = BTreeSet::new();
    for expression in &questions {
        if prometheus.series(expression).is_empty() {
            silent.insert(expression.as_str());
        }
    }
    for expression in &silent {
        let may_be = expression.ends_with("> 0")
            || NOT_ALWAYS.iter().any(|name| expression.contains(name))
            || expression.contains("code=~\"5..\"");
        assert!(may_be, "nothing to see: {expression}");
    }
    assert!(silent.len() * 3 < questions.len(), "{silent:?}");
}

#[test]
fn an_alert_goes_off_when_source_ports_run_out_and_the_hosts_finding_is_pending() {
    let (program, _) = match prometheus() {
        Ok(programs) => programs,
        Err(why) => return skip(&why),
    };
    // Prometheus' own address is taken from these, so that it holds none of the thirty that are set then.
    namespace::with_ports("50000 50009", || {
        let admin = Address::parse("127.0.0.1:9180");
        let prometheus = Prometheus::with_rules(&program, &admin, None, Some(&rules()));
        namespace::set("net/ipv4/ip_local_port_range", "40000 40029");
        let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
        let dir = TempDir::new();
        let front = format!("unix:{}", dir.join("front.sock").display());
        let upstream = "source = \"kernel\"\nqueue = { timeout = \"100ms\" }";
        let setup = Setup::to(&[&app.target()]).upstream(upstream).on(&front);
        let proxy = proxy(setup, &admin.to_string());
        let mut crowd = Crowd::new();
        crowd.join(&proxy, 30);
        let state_of = |name: &str| {
            let alerts = prometheus.api("alerts")["alerts"].clone();
            let mut alerts = alerts.as_array().expect("a list").iter();
            let alert = alerts.find(|alert| alert["labels"]["alertname"] == name);
            alert.map(|alert| (alert["state"].clone(), alert["labels"]["code"].clone()))
        };
        let begun = Instant::now();
        let (mut own, mut host) = (None, None);
        while own.is_none() || host.is_none() {
            // Each fails a few times more, so that the counter goes on rising.
            assert_eq!(proxy.get("/").status(), 503);
            own = own.or_else(|| state_of("LasthopSourcePortsExhausted"));
            host = host.or_else(|| state_of("LasthopHostFinding"));
            let metrics = || page(&proxy.admin());
            assert!(begun.elapsed() < PATIENCE, "{own:?} {host:?} {}", metrics());
        }
        assert_eq!(own.expect("seen").0, "firing");
        let (state, code) = host.expect("seen");
        assert_eq!((state, code), ("pending".into(), "ports-exhausted".into()));
    });
}
