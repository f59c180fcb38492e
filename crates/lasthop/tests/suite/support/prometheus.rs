//! Debian's Prometheus, which scrapes what a test serves.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::lines::Lines;
use super::{Address, Client, PATIENCE, TempDir};

/// A Prometheus that scrapes one address; ends when dropped.
pub(crate) struct Prometheus {
    child: Child,
    address: Address,
    output: Lines,
    _dir: TempDir,
}

impl Prometheus {
    /// That of `target`, whose admin address wants this token.
    pub(crate) fn scraping(program: &str, target: &Address, token: Option<&str>) -> Self {
        Self::with_rules(program, target, token, None)
    }

    /// The same with a file of rules, which it looks at with every scrape.
    pub(crate) fn with_rules(
        program: &str,
        target: &Address,
        token: Option<&str>,
        rules: Option<&Path>,
    ) -> Self {
        let dir = TempDir::new();
        let file = dir.join("prometheus.yml");
        let token = token.map(|token| format!("  authorization: {{ credentials: {token} }}\n"));
        let rules = rules.map(|rules| format!("rule_files: [ '{}' ]\n", rules.display()));
        let yaml = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms }}\n\
             {}\
             scrape_configs:\n\
             - job_name: lasthop\n\
             {}  static_configs: [ {{ targets: [ '{target}' ] }} ]\n",
            rules.unwrap_or_default(),
            token.unwrap_or_default(),
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

    /// What its API answers to a path below `/api/v1`; its own errors are failures.
    pub(crate) fn api(&self, path: &str) -> Value {
        let answer = Client::connect(&self.address).request(&format!("/api/v1/{path}"));
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        let json: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(json["status"], "success", "{path}: {json}");
        json["data"].clone()
    }

    /// All series that an expression has now.
    pub(crate) fn series(&self, expression: &str) -> Vec<Value> {
        let data = self.api(&format!("query?query={}", encoded(expression)));
        data["result"].as_array().expect("a vector").clone()
    }

    /// The value of an expression; `None` while it has none.
    pub(crate) fn value(&self, expression: &str) -> Option<f64> {
        let series = self.series(expression);
        let value = series.first()?.pointer("/value/1")?;
        value.as_str().expect("a number in quotes").parse().ok()
    }

    /// Waits until the expression has this value.
    pub(crate) fn wait_for(&self, expression: &str, wanted: f64) {
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

/// As a part of a query (RFC 3986 section 2.1).
fn encoded(text: &str) -> String {
    let bytes = text.bytes();
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    bytes.map(encode).collect()
}
