//! The admin address from outside: real sockets, with a view made by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lasthop_ports::finding::{Code, Finding};
use lasthop_ports::snapshot::{Group, GroupKey, SocketCounts};
use lasthop_ports::{Forecast, Severity, Snapshot};
use serde_json::Value;

use super::{AdminThread, LogDrops, OpenAdmin, ServerState, View, metrics, open, status};
use crate::config::{Admin, Config, ListenAddress};
use crate::doctor::Examination;
use crate::history::OwnPoint;
use crate::observe::Descriptors;
use crate::observe::metrics::{ConnectResult, WorkerMetrics};
use crate::ports::Ports;
use crate::sampler::{Latest, Sampled};
use crate::upstream::Admission;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

const CONFIG: &str = r#"
[server]
workers = 2
[[listener]]
name = "web"
address = "127.0.0.1:8080"
max_connections = 100
[[upstream]]
name = "app"
targets = ["127.0.0.1:3000", "unix:@app"]
[[route]]
path = "/a\"b"
upstream = "app"
"#;

fn config(toml: &str) -> Arc<Config> {
    Arc::new(Config::from_toml("test.toml", toml).unwrap())
}

/// Of [`CONFIG`], as if two workers had served a little.
fn view() -> View {
    let config = config(CONFIG);
    let worker = || WorkerMetrics::new(1, 1, 1);
    let workers = [worker(), worker()];
    for (number, worker) in workers.iter().enumerate() {
        let times = number as u64 + 1;
        worker.listeners[0].connections.set(times);
        worker.listeners[0].accepted.add(10 * times);
        worker.listeners[0].sent_bytes.add(1000);
        let app = &worker.upstreams[0];
        app.open.set(4);
        app.idle.set(times);
        app.connects(ConnectResult::Ok).add(4);
        app.connect_duration.observe(Duration::from_micros(40));
        app.reused.add(6);
        worker.routes[0].count(200);
        worker.request_duration.observe(Duration::from_millis(3));
    }
    workers[1].upstreams[0]
        .connects(ConnectResult::SourcePorts)
        .add(1);
    workers[1].routes[0].count(503);
    workers[0].unrouted.count(404);
    View {
        admissions: vec![Arc::new(Admission::new(0, 8, 2))],
        sampled: sampled(&config),
        ports: Arc::new(Ports::open(&config, Instant::now())),
        config,
        workers: workers.map(Arc::new).into(),
        state: Arc::new(ServerState::serving(
            Instant::now(),
            UNIX_EPOCH + Duration::from_secs(1_795_335_300),
        )),
        log_drops: Arc::new(|| LogDrops {
            access: 3,
            operator: 0,
        }),
    }
}

/// As if the sampler had looked once, at a host with one group of connections and one finding.
fn sampled(config: &Config) -> Arc<Sampled> {
    let key = GroupKey {
        source: "127.0.0.1".parse().unwrap(),
        destination: "127.0.0.1:3000".parse().unwrap(),
    };
    let mut snapshot = Snapshot::empty(1_795_335_400_500);
    snapshot.sockets = Some(SocketCounts {
        established: 41,
        time_wait: 7,
        unix_listen: 3,
        ..SocketCounts::default()
    });
    snapshot.groups.push(Group::empty(key));
    let finding = Finding {
        code: Code::PortsTight,
        severity: Severity::Warning,
        headline: "tight".to_owned(),
        subject: key.into(),
        usage: None,
        forecast: None,
        processes: Vec::new(),
        evidence: Vec::new(),
        remedies: Vec::new(),
    };
    let forecast = Forecast {
        per_minute: 60.0,
        seconds_left: 120.4,
    };
    let latest = Latest {
        examination: Examination {
            snapshot,
            findings: vec![finding],
        },
        forecasts: vec![(key, forecast)],
    };
    let sampled = Sampled::new(config);
    let period = Duration::from_secs(2);
    sampled.add(
        1_795_335_400_000,
        Some(OwnPoint::default()),
        Some(latest),
        period,
    );
    Arc::new(sampled)
}

const DESCRIPTORS: Descriptors = Descriptors {
    in_use: Some(12),
    limit: Some(1024),
};

/// A running admin address.
struct Running {
    address: SocketAddr,
    view: View,
    _thread: AdminThread,
}

fn admin(address: &str) -> Admin {
    Admin {
        address: address.parse().unwrap(),
        token: None,
        hosts: vec!["admin.test".to_owned()],
    }
}

impl Running {
    fn start(settings: &Admin) -> Self {
        Self::with(settings, view())
    }

    fn with(settings: &Admin, view: View) -> Self {
        let opened = open(settings).unwrap();
        let address = opened.to_string().parse().unwrap();
        Self {
            address,
            view: view.clone(),
            _thread: opened.start(view).unwrap(),
        }
    }

    fn local() -> Self {
        Self::start(&admin("127.0.0.1:0"))
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The answer to a request on a connection of its own, which the request has to end.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.ask(&get(path, "127.0.0.1"))
    }
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

fn status_of(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

#[test]
fn every_name_of_the_contract_is_on_the_page_of_metrics() {
    let page = metrics::page(&view(), DESCRIPTORS);
    for line in [
        "lasthop_requests_total{route=\"/a\\\"b\",upstream=\"app\",code=\"200\"} 2",
        "lasthop_requests_total{route=\"/a\\\"b\",upstream=\"app\",code=\"503\"} 1",
        "lasthop_requests_total{route=\"\",upstream=\"\",code=\"404\"} 1",
        "lasthop_request_duration_seconds_bucket{le=\"0.0025\"} 0",
        "lasthop_request_duration_seconds_bucket{le=\"0.005\"} 2",
        "lasthop_request_duration_seconds_bucket{le=\"+Inf\"} 2",
        "lasthop_request_duration_seconds_sum 0.006",
        "lasthop_request_duration_seconds_count 2",
        "lasthop_client_connections{listener=\"web\"} 3",
        "lasthop_client_connections_accepted_total{listener=\"web\"} 30",
        "lasthop_client_connections_refused_total{listener=\"web\",reason=\"descriptors\"} 0",
        "lasthop_upstream_connections{upstream=\"app\",state=\"active\"} 5",
        "lasthop_upstream_connections{upstream=\"app\",state=\"idle\"} 3",
        "lasthop_upstream_connections{upstream=\"app\",state=\"connecting\"} 0",
        "lasthop_upstream_connects_total{upstream=\"app\",result=\"ok\"} 8",
        "lasthop_upstream_connects_total{upstream=\"app\",result=\"source_ports\"} 1",
        "lasthop_upstream_connects_total{upstream=\"app\",result=\"missing\"} 0",
        "lasthop_upstream_connect_duration_seconds_bucket{upstream=\"app\",le=\"0.00005\"} 2",
        "lasthop_upstream_connect_duration_seconds_count{upstream=\"app\"} 2",
        "lasthop_upstream_reuse_total{upstream=\"app\"} 12",
        "lasthop_queue_length{upstream=\"app\"} 0",
        "lasthop_file_descriptors{kind=\"in_use\"} 12",
        "lasthop_file_descriptors{kind=\"limit\"} 1024",
        "lasthop_log_lines_dropped_total{log=\"access\"} 3",
        "lasthop_request_failures_total{kind=\"no_route\"} 0",
        "lasthop_sockets{state=\"established\"} 41",
        "lasthop_sockets{state=\"time_wait\"} 7",
        "lasthop_unix_sockets{state=\"listen\"} 3",
        "lasthop_host_sampled_timestamp_seconds 1795335400.5",
        "lasthop_findings{code=\"ports-tight\",severity=\"warning\"} 1",
        "lasthop_source_ports_forecast_seconds{source=\"127.0.0.1\",target=\"127.0.0.1:3000\"} 120",
        "lasthop_sampler_cpu_seconds_total 0",
        "lasthop_workers 2",
        "lasthop_start_time_seconds 1795335300",
        concat!(
            "lasthop_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        ),
    ] {
        assert!(page.lines().any(|it| it == line), "{line}\n{page}");
    }
}

#[test]
fn no_series_is_told_twice_and_every_family_has_its_help() {
    let page = metrics::page(&view(), DESCRIPTORS);
    let mut series: Vec<&str> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect();
    let all = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), all);
    let mut family = "";
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap();
        }
        assert!(
            line.contains(family) && !family.is_empty(),
            "{line} below {family}"
        );
    }
}

/// Names, kinds and labels of all families, from the tables of the documentation.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let document = include_str!("../../../../docs/metrics.md");
    let rows = document
        .lines()
        .filter(|line| line.starts_with("| `lasthop_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split(", ").filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.trim_matches('`').to_owned());
        let name = cells[1].trim_matches('`').to_owned();
        (name, (cells[2].to_owned(), labels.collect()))
    })
    .collect()
}

/// The same from a page. A family without samples shows no labels.
fn told(page: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut families: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    let mut family = String::new();
    for line in page.lines().filter(|line| !line.starts_with("# HELP")) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            name.clone_into(&mut family);
            families.insert(family.clone(), (kind.to_owned(), BTreeSet::new()));
            continue;
        }
        let labels = line.split_once('{').map_or("", |(_, rest)| rest);
        // Each label is followed by `="`; no value on this page has a comma.
        let names = labels
            .split(',')
            .filter_map(|label| label.split_once("=\""));
        let names = names
            .map(|(name, _)| name.to_owned())
            .filter(|name| name != "le");
        families.get_mut(&family).unwrap().1.extend(names);
    }
    families
}

#[test]
fn the_tables_of_the_documentation_are_the_page_of_metrics_family_by_family() {
    let told = told(&metrics::page(&view(), DESCRIPTORS));
    let documented = documented();
    let names = |all: &BTreeMap<String, _>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&told), names(&documented));
    for (name, (kind, labels)) in &told {
        let (written_kind, written_labels) = &documented[name];
        assert_eq!(kind, written_kind, "{name}");
        // A histogram's families have no sample with labels but its own where it is empty.
        assert_eq!(labels, written_labels, "{name}");
    }
}

#[test]
fn a_host_that_was_not_looked_at_yet_has_no_findings_and_says_when_to_come_back() {
    let mut view = view();
    view.sampled = Arc::new(Sampled::new(&view.config));
    let page = metrics::page(&view, DESCRIPTORS);
    assert!(!page.contains("lasthop_sockets{"), "{page}");
    assert!(!page.contains("lasthop_findings{"), "{page}");
    let running = Running::with(&admin("127.0.0.1:0"), view);
    let answer = running.get("/doctor");
    assert_eq!(status_of(&answer), "503");
    assert!(
        answer.to_ascii_lowercase().contains("retry-after: 2\r\n"),
        "{answer}"
    );
    let history = running.get("/history");
    assert!(
        history.contains("\"at_ms\":[],\"host\":null,\"own\":null"),
        "{history}"
    );
}

#[test]
fn whoever_asks_before_the_first_look_is_answered_as_soon_as_there_is_one() {
    let mut view = view();
    let seen = Arc::clone(&view.sampled);
    view.sampled = Arc::new(Sampled::new(&view.config));
    let running = Running::with(&admin("127.0.0.1:0"), view);
    let mut stream = running.connect();
    stream
        .write_all(get("/doctor", "127.0.0.1").as_bytes())
        .unwrap();
    let latest = Arc::into_inner(seen).unwrap().latest().unwrap();
    let latest = Arc::into_inner(latest);
    running
        .view
        .sampled
        .add(1, None, latest, Duration::from_secs(2));
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(status_of(&answer), "200", "{answer}");
    assert!(answer.contains("ports-tight"), "{answer}");
}

#[test]
fn the_status_is_json_that_says_who_does_what() {
    let view = view();
    let now = Instant::now();
    let text = status::json(&view, DESCRIPTORS, now).unwrap();
    let status: Value = serde_json::from_str(&text).unwrap();
    for (pointer, value) in [
        ("/schema", Value::from(1)),
        ("/version", env!("CARGO_PKG_VERSION").into()),
        ("/pid", std::process::id().into()),
        ("/state", "serving".into()),
        ("/started", "2026-11-22T08:15:00Z".into()),
        ("/file_descriptors/limit", 1024.into()),
        ("/log_lines_dropped/access", 3.into()),
        ("/workers/1/listeners/0/connections", 2.into()),
        ("/listeners/0/name", "web".into()),
        ("/listeners/0/address", "127.0.0.1:8080".into()),
        ("/listeners/0/accepted", 30.into()),
        ("/listeners/0/max_connections", 100.into()),
        ("/upstreams/0/targets/1", "unix:@app".into()),
        ("/upstreams/0/connections/active", 5.into()),
        ("/upstreams/0/connects/source_ports", 1.into()),
        ("/upstreams/0/queue/size", 4096.into()),
        ("/routes/0/requests/200", 2.into()),
        ("/unrouted/404", 1.into()),
    ] {
        assert_eq!(status.pointer(pointer), Some(&value), "{pointer} of {text}");
    }
    view.state.drain();
    let text = status::json(&view, DESCRIPTORS, now).unwrap();
    let status: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["state"], "draining");
}

#[test]
fn pages_are_served_with_their_types_and_nothing_may_be_kept_or_framed() {
    let running = Running::local();
    for (path, status, media, text) in [
        (
            "/",
            "200",
            "text/html; charset=utf-8",
            "<h1><a href=\"/\">lasthop",
        ),
        ("/healthz", "200", "text/plain; charset=utf-8", "ok\n"),
        (
            "/metrics",
            "200",
            "text/plain; version=0.0.4; charset=utf-8",
            "# HELP lasthop_requests",
        ),
        ("/status", "200", "application/json", "\"schema\": 1,"),
        (
            "/doctor",
            "200",
            "application/json",
            "\"schema\":\"lasthop.doctor/1\"",
        ),
        (
            "/history",
            "200",
            "application/json",
            "\"schema\":\"lasthop.history/1\",\"window\":\"10m\"",
        ),
        (
            "/history?window=24h",
            "200",
            "application/json",
            "\"window\":\"24h\"",
        ),
        (
            "/history?x=y&window=1h",
            "400",
            "text/plain; charset=utf-8",
            "there are 10m, 3h, 24h",
        ),
        (
            "/nothing",
            "404",
            "text/plain; charset=utf-8",
            "there is no such page",
        ),
        (
            "/metrics/",
            "404",
            "text/plain; charset=utf-8",
            "there is no such page",
        ),
    ] {
        let answer = running.get(path);
        assert_eq!(status_of(&answer), status, "{path}: {answer}");
        let head = answer.to_ascii_lowercase();
        for field in [
            format!("content-type: {media}\r\n"),
            "cache-control: no-store\r\n".to_owned(),
            "x-content-type-options: nosniff\r\n".to_owned(),
            "content-security-policy: default-src 'none'; ".to_owned(),
        ] {
            assert!(head.contains(&field), "{path} without {field}: {answer}");
        }
        assert!(answer.contains(text), "{path}: {answer}");
    }
}

#[test]
fn health_is_503_from_the_drain_on() {
    let running = Running::local();
    assert_eq!(status_of(&running.get("/healthz")), "200");
    running.view.state.drain();
    let answer = running.get("/healthz");
    assert_eq!(status_of(&answer), "503");
    assert!(answer.ends_with("\r\n\r\ndraining\n"), "{answer}");
    assert_eq!(status_of(&running.get("/metrics")), "200");
}

#[test]
fn a_page_shows_what_a_worker_counted_since_the_last_one() {
    let running = Running::local();
    let line = |count| {
        format!("lasthop_requests_total{{route=\"\",upstream=\"\",code=\"404\"}} {count}\n")
    };
    assert!(running.get("/metrics").contains(&line(1)));
    running.view.workers[1].unrouted.count(404);
    assert!(running.get("/metrics").contains(&line(2)));
}

#[test]
fn only_known_names_known_methods_and_the_token_get_a_page() {
    let mut settings = admin("127.0.0.1:0");
    settings.token = Some("0123456789abcdef".to_owned().into());
    let running = Running::start(&settings);
    let with = |field: &str| {
        let request = get("/metrics", "Admin.Test:9180");
        running.ask(&request.replacen("\r\n", &format!("\r\n{field}\r\n"), 1))
    };
    assert_eq!(
        status_of(&with("Authorization: Bearer 0123456789abcdef")),
        "200"
    );
    assert_eq!(
        status_of(&with("Authorization: Bearer 0123456789abcdee")),
        "401"
    );
    let nobody = with("Accept: */*").to_ascii_lowercase();
    assert_eq!(status_of(&nobody), "401");
    assert!(
        nobody.contains("www-authenticate: bearer realm=\"lasthop\"\r\n"),
        "{nobody}"
    );
    assert!(nobody.contains("cache-control: no-store"), "{nobody}");
    assert_eq!(status_of(&running.get("/healthz")), "200");
    let rebound = running.ask(&get("/healthz", "evil.example"));
    assert_eq!(status_of(&rebound), "421");
    assert!(rebound.contains("`hosts` in [admin]"), "{rebound}");
    let post = running.ask("POST /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status_of(&post), "405");
    assert!(
        post.to_ascii_lowercase().contains("allow: get, head\r\n"),
        "{post}"
    );
}

#[test]
fn head_is_answered_like_get_without_the_page() {
    let running = Running::local();
    let answer = running.ask(&get("/healthz", "localhost").replacen("GET", "HEAD", 1));
    assert_eq!(status_of(&answer), "200");
    assert!(
        answer
            .to_ascii_lowercase()
            .contains("content-length: 3\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn a_connection_carries_many_requests() {
    let running = Running::local();
    let mut stream = running.connect();
    for _ in 0..3 {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
    }
}

#[test]
fn a_head_above_eight_kibibytes_is_refused() {
    let running = Running::local();
    let field = format!("X: {}\r\n\r\n", "x".repeat(8 * 1024));
    let request = get("/healthz", "localhost");
    let answer = running.ask(&format!("{}\r\n{field}", request.trim_end()));
    assert_eq!(status_of(&answer), "431");
}

#[test]
fn the_newcomer_is_served_and_an_idle_connection_closed_when_there_are_too_many() {
    let running = Running::local();
    let mut idle: Vec<TcpStream> = (0..64).map(|_| running.connect()).collect();
    // All of them are accepted once the last one has been answered; the first is the one that has waited longest.
    let last = idle.last_mut().unwrap();
    last.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    last.read_exact(&mut [0; 12]).unwrap();
    // Now the last one is idle and the others have yet to send a head: it makes room.
    assert_eq!(status_of(&running.get("/healthz")), "200");
    let mut rest = Vec::new();
    last.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"ok\n"));
}

#[test]
fn a_silent_client_is_closed_after_the_time_for_a_head() {
    let running = Running::local();
    let begun = Instant::now();
    let mut silent = running.connect();
    silent.write_all(b"GET /").unwrap();
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty(), "{answer:?}");
    assert!(
        begun.elapsed() >= Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
}

/// A directory of this test's own; removed with it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let unique = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos();
        let path =
            std::env::temp_dir().join(format!("lasthop-{name}-{}-{unique}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A leftover in the temporary directory is nobody's failure.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_unix_socket_has_its_mode_answers_to_any_name_and_goes_with_the_thread() {
    let directory = Directory::new("admin");
    let path = directory.0.join("admin.sock");
    let settings = Admin {
        address: format!("unix:{}?mode=0600", path.display())
            .parse()
            .unwrap(),
        token: None,
        hosts: Vec::new(),
    };
    let opened = open(&settings).unwrap();
    assert_eq!(opened.to_string(), format!("unix:{}", path.display()));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let thread = opened.start(view()).unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(get("/healthz", "anything.example").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(status_of(&answer), "200");
    thread.finish();
    assert!(!path.exists());
}

#[test]
fn an_address_that_is_served_already_is_refused_before_any_thread_runs() {
    let first: OpenAdmin = open(&admin("127.0.0.1:0")).unwrap();
    let error = open(&admin(&first.to_string())).unwrap_err();
    assert!(error.to_string().contains("already served"), "{error}");
}

#[test]
fn finishing_frees_the_address_even_while_a_client_holds_a_connection() {
    let first = Running::local();
    let mut held = first.connect();
    held.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    held.read_exact(&mut [0; 12]).unwrap();
    let address = ListenAddress::Tcp(first.address);
    drop(first);
    let mut rest = Vec::new();
    held.read_to_end(&mut rest).unwrap();
    assert!(open(&admin(&address.to_string())).is_ok());
}
