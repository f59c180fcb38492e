//! A real Prometheus reads the page of metrics, and `promtool` has nothing against it.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::lines::Lines;
use crate::support::misbehave::app_that_answers;
use crate::support::programs::{prometheus, skip};
use crate::support::{Address, Client, Lasthop, PATIENCE, Place, Setup, TempDir};

const TOKEN: &str = "0123456789abcdef0123";

/// A Prometheus that scrapes one address; ends when dropped.
struct Prometheus {
    child: Child,
    address: Address,
    output: Lines,
    _dir: TempDir,
}

impl Prometheus {
    fn scraping(program: &str, target: &Address) -> Self {
        let dir = TempDir::new();
        let file = dir.join("prometheus.yml");
        let yaml = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\n\
             scrape_configs:\n\
             - job_name: lasthop\n  \
               authorization: {{ credentials: {TOKEN} }}\n  \
               static_configs: [ {{ targets: [ '{target}' ] }} ]\n"
        );
        std::fs::write(&file, yaml).expect("a configuration file");
        let mut child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.join("data").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let output = Lines::of(child.stderr.take().expect("a pipe"));
        let listens = |line: &str| line.contains("msg=\"Listening on\"");
        let line = output.find(listens, PATIENCE);
        let ready = output.find(
            |line| line.contains("ready to receive web requests"),
            PATIENCE,
        );
        let (Some(line), Some(_)) = (line, ready) else {
            panic!("it does not come up: {:#?}", output.so_far());
        };
        let (_, address) = line.rsplit_once("address=").expect("its address");
        Self {
            child,
            address: Address::parse(address),
            output,
            _dir: dir,
        }
    }

    /// The value of an expression; `None` while it has none.
    fn value(&self, expression: &str) -> Option<f64> {
        // The expressions here need no more of an encoding.
        let expression = expression
            .replace('{', "%7B")
            .replace('}', "%7D")
            .replace('"', "%22");
        let answer =
            Client::connect(&self.address).request(&format!("/api/v1/query?query={expression}"));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let json: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let value = json.pointer("/data/result/0/value/1")?;
        value.as_str().expect("a number in quotes").parse().ok()
    }

    /// Waits until the expression has this value.
    fn wait_for(&self, expression: &str, wanted: f64) {
        let begun = Instant::now();
        loop {
            let value = self.value(expression);
            if value == Some(wanted) {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{expression} is {value:?}, not {wanted}"
            );
            // tidy: its API has no way to wait, and it scrapes only five times a second
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for line in self.output.so_far() {
                println!("prometheus: {line}");
            }
        }
    }
}

fn proxy_with_requests(app: &str, requests: usize) -> Lasthop {
    let admin = format!("[admin]\naddress = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"");
    let proxy = Setup::to(&[app]).server("workers = 2").more(&admin).start();
    for _ in 0..requests {
        assert_eq!(proxy.get("/").status(), 200);
    }
    proxy
}

#[test]
fn prometheus_scrapes_the_admin_address_and_counts_what_was_sent() {
    let (prometheus, _) = match prometheus() {
        Ok(programs) => programs,
        Err(why) => return skip(&why),
    };
    let app = app_that_answers(Place::Unix);
    let proxy = proxy_with_requests(&app.target(), 7);
    let prometheus = Prometheus::scraping(&prometheus, &proxy.admin());
    prometheus.wait_for("up", 1.0);
    let answered = "lasthop_requests_total{upstream=\"app\",code=\"200\"}";
    prometheus.wait_for(answered, 7.0);
    prometheus.wait_for("lasthop_request_duration_seconds_count", 7.0);
    assert_eq!(proxy.get("/").status(), 200);
    prometheus.wait_for(answered, 8.0);
    prometheus.wait_for("lasthop_client_connections_accepted_total", 8.0);
    prometheus.wait_for("lasthop_upstream_connects_total{result=\"missing\"}", 0.0);
}

#[test]
fn promtool_has_nothing_to_say_about_the_page_of_metrics() {
    let (_, promtool) = match prometheus() {
        Ok(programs) => programs,
        Err(why) => return skip(&why),
    };
    let app = app_that_answers(Place::Unix);
    let proxy = proxy_with_requests(&app.target(), 3);
    let page = Client::connect(&proxy.admin()).exchange(format!(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    ));
    assert_eq!(page.status(), 200);
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    let mut pipe = check.stdin.take().expect("a pipe");
    pipe.write_all(&page.body).expect("it reads to the end");
    drop(pipe);
    let output = check.wait_with_output().expect("a child of ours");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    // Its remarks on style end with another status than 0 as well.
    assert!(
        output.status.success() && said.is_empty(),
        "{said}\n{}",
        page.text()
    );
}
