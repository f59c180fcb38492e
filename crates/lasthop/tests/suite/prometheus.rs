//! A real Prometheus reads the page of metrics, and `promtool` has nothing against it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::misbehave::app_that_answers;
use crate::support::programs::{prometheus, skip};
use crate::support::prometheus::Prometheus;
use crate::support::{Client, Lasthop, Place, Setup};

const TOKEN: &str = "0123456789abcdef0123";

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
    let prometheus = Prometheus::scraping(&prometheus, &proxy.admin(), Some(TOKEN));
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
