//! The dashboard of a running lasthop: over the wire, and in a real browser while source ports run out.
//!
//! `LASTHOP_DASHBOARD_PICTURE=docs/images/dashboard.png cargo test -p lasthop --test suite dashboard` makes the picture
//! of docs/dashboard.md anew; an absolute path is safest, and a release build is quicker.
//!
//! tidy: long because one browser and one namespace serve all of a picture's promises, and starting them takes longest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::browser::{Browser, decoded};
use crate::support::misbehave::app_that_answers;
use crate::support::namespace::{raise_descriptors, with_ports_for};
use crate::support::programs::{chromium, skip};
use crate::support::{
    Address, After, Answer, App, Client, Crowd, CrowdApp, Lasthop, PATIENCE, Place, Setup, TempDir,
};

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"";

/// What a page of the dashboard may load.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The style sheet's `--wall` and `--tone-0` in the light.
const WALL: [u8; 3] = [0xb3, 0x26, 0x1e];
const LINE: [u8; 3] = [0x1f, 0x6f, 0xb2];

/// How long a browser may wait for what the sampler sees: on a busy machine and without optimisation, a look at the host takes
/// a fifth of a second, and the next one comes half a minute later.
const LONG: Duration = Duration::from_secs(150);

fn get(proxy: &Lasthop, path: &str, fields: &str) -> Answer {
    Client::connect(&proxy.admin()).exchange(format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n"
    ))
}

fn proxy() -> Lasthop {
    let app = app_that_answers(Place::Unix);
    Setup::to(&[&app.target()]).more(ADMIN).start()
}

/// The path of the first link to an asset with this ending.
fn asset(page: &str, ending: &str) -> String {
    let mut quoted = page.split('"');
    let found = quoted.find(|it| it.starts_with("/assets/") && it.ends_with(ending));
    found.expect("a link to it").to_owned()
}

#[test]
fn every_page_may_load_its_own_files_and_nothing_else() {
    let proxy = proxy();
    for path in [
        "/",
        "/?window=3h",
        "/?window=24h",
        "/findings",
        "/findings/ports-tight",
    ] {
        let answer = get(&proxy, path, "");
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(
            answer.field("content-security-policy"),
            Some(POLICY),
            "{path}"
        );
        assert_eq!(
            answer.field("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert_eq!(answer.field("cache-control"), Some("no-store"));
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
        let text = answer.text();
        for inline in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!text.contains(inline), "{inline} in {path}");
        }
    }
    for (path, status) in [
        ("/?window=1h", 400),
        ("/events?window=", 400),
        ("/findings/nothing", 404),
        ("/assets/nothing.css", 404),
    ] {
        assert_eq!(get(&proxy, path, "").status(), status, "{path}");
    }
    let mut head = Client::connect(&proxy.admin());
    head.send("HEAD / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    assert_eq!(head.answer_to("HEAD").status(), 200);
}

#[test]
fn a_file_may_be_kept_for_ever_because_its_name_has_a_hash_of_it() {
    let proxy = proxy();
    let page = get(&proxy, "/", "").text();
    for ending in [".css", ".js", ".svg"] {
        let path = asset(&page, ending);
        let answer = get(&proxy, &path, "");
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(
            answer.field("cache-control"),
            Some("private, max-age=31536000, immutable")
        );
        let tag = answer.field("etag").expect("a tag").to_owned();
        let again = get(&proxy, &path, &format!("If-None-Match: {tag}\r\n"));
        assert_eq!(again.status(), 304, "{path}");
    }
}

#[test]
fn a_browser_is_asked_for_the_token_as_a_password() {
    let app = app_that_answers(Place::Unix);
    let admin = format!("{ADMIN}\ntoken = \"0123456789abcdef\"");
    let proxy = Setup::to(&[&app.target()]).more(&admin).start();
    let answer = get(&proxy, "/", "");
    assert_eq!(answer.status(), 401);
    let asks = |field: &&(String, String)| field.0.eq_ignore_ascii_case("www-authenticate");
    let challenges: Vec<&str> = answer
        .head
        .fields
        .iter()
        .filter(asks)
        .map(|field| &*field.1)
        .collect();
    assert_eq!(
        challenges,
        [
            "Bearer realm=\"lasthop\"",
            "Basic realm=\"lasthop\", charset=\"UTF-8\""
        ]
    );
    for (credentials, status) in [
        // `me:0123456789abcdef`, `me:0123456789abcdee`.
        ("Basic bWU6MDEyMzQ1Njc4OWFiY2RlZg==", 200),
        ("Basic bWU6MDEyMzQ1Njc4OWFiY2RlZQ==", 401),
        ("Bearer 0123456789abcdef", 200),
    ] {
        let field = format!("Authorization: {credentials}\r\n");
        assert_eq!(get(&proxy, "/", &field).status(), status, "{credentials}");
    }
    assert_eq!(get(&proxy, "/events", "").status(), 401);
}

/// A stream of events whose head has come; the connection stays open for as long as it is kept.
fn stream(proxy: &Lasthop) -> Client {
    let mut client = Client::connect(&proxy.admin());
    client.send("GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nLast-Event-ID: 7\r\n\r\n");
    let head = client.head();
    assert_eq!(head.status(), 200);
    assert_eq!(
        head.field("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    client
}

#[test]
fn half_of_the_connections_may_be_live_and_a_scraper_always_gets_in() {
    let proxy = proxy();
    let streams: Vec<Client> = (0..32).map(|_| stream(&proxy)).collect();
    let refused = get(&proxy, "/events", "");
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.field("retry-after"), Some("10"));
    assert_eq!(get(&proxy, "/metrics", "").status(), 200);
    for (site, status) in [
        ("cross-site", 403),
        // An app on another port of this host.
        ("same-site", 403),
        // The dashboard's own, and an address that was typed in: there is only no room.
        ("same-origin", 503),
        ("none", 503),
    ] {
        let field = format!("Sec-Fetch-Site: {site}\r\n");
        assert_eq!(get(&proxy, "/events", &field).status(), status, "{site}");
    }
    drop(streams);
}

#[test]
fn a_live_page_does_not_hold_up_the_end() {
    let mut proxy = proxy();
    let stream = stream(&proxy);
    proxy.signal("TERM");
    assert!(proxy.ends_within(PATIENCE).is_some());
    drop(stream);
}

/// A proxy that takes the kernel's choice of ports towards one app, and has another on a Unix socket. Its clients need none.
fn short_of_ports(dir: &TempDir, other: &App) -> Lasthop {
    raise_descriptors();
    let front = format!("unix:{}", dir.join("front.sock").display());
    let app = Setup::to(&["127.0.0.1:3000"])
        .upstream("source = \"kernel\"\nqueue = { timeout = \"1s\" }");
    // A namespace of its own has all ports; one that the kernel chooses would be one of the hundred.
    let admin = ADMIN.replace(":0", ":9180");
    let more = format!(
        "{admin}\n[[upstream]]\nname = \"other\"\ntargets = [\"{}\"]\n\
         [[route]]\npath = \"/other\"\nupstream = \"other\"",
        other.target()
    );
    app.on(&front).more(&more).start()
}

/// Requests to the other app, at the pace of a quiet site, until dropped.
struct Traffic {
    goes_on: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    fn to(proxy: &Lasthop) -> Self {
        let goes_on = Arc::new(AtomicBool::new(true));
        let (mut client, sends) = (proxy.client(), Arc::clone(&goes_on));
        let thread = std::thread::spawn(move || {
            while sends.load(Ordering::Relaxed) {
                assert_eq!(client.request("/other").status(), 200);
                // tidy: the pace itself; a chart wants some requests and a busy machine not many
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self {
            goes_on,
            thread: Some(thread),
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.goes_on.store(false, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("all of it was answered");
        }
    }
}

/// Whether the ports in use have been at the wall for as many seconds and a tenth of the axis, as the chart tells them: on a
/// slow machine the axis has become longer by then.
fn flat_for(seconds: u32) -> String {
    format!(
        "(() => {{
            const plot = document.getElementById('plot-ports');
            const line = [...(plot?.querySelectorAll('path') ?? [])].find((it) => it.dataset.name.endsWith(':3000'));
            const told = (line?.dataset.v ?? '').split(' ').map((it) => it.split(':'));
            const first = told.find((it) => it[1] === '100');
            const end = told.at(-1);
            const flat = first && Number(end[0]) - Number(first[0]);
            return first && flat >= {seconds} && flat >= (plot.dataset.to - plot.dataset.from) / 10_000;
        }})()"
    )
}

#[test]
fn a_plateau_is_seen_in_a_browser_its_finding_leads_to_the_remedy_and_a_reload_keeps_the_history() {
    let program = match chromium() {
        Ok(program) => program,
        Err(why) => return skip(&why),
    };
    with_ports_for("40000 40099", 2 * LONG, || {
        let app = CrowdApp::at("127.0.0.1:3000", After::Keeps);
        let dir = TempDir::new();
        let other = app_that_answers(Place::Unix);
        let proxy = short_of_ports(&dir, &other);
        let traffic = Traffic::to(&proxy);
        let Address::Tcp(admin) = proxy.admin() else {
            panic!("an admin address on TCP");
        };
        let address = format!("http://{admin}/");
        let mut browser = Browser::start(&program);
        browser.resize(1280, 1600);
        browser.open(&address);
        // It comes alive, and what comes from now on is put in place without a reload.
        browser.wait_until(
            "document.getElementById('live').textContent === 'live'",
            PATIENCE,
        );
        let mut crowd = Crowd::new();
        for count in [30, 60, 100] {
            crowd.join(&proxy, count - app.open());
            app.wait_for_open(count);
            let legend = "document.querySelector('#chart-ports .legend')?.textContent";
            browser.wait_until(&format!("{legend}?.includes(':3000 {count}')"), LONG);
        }
        assert_eq!(crowd.try_join(&proxy, 8).len(), 8, "nobody else gets in");
        browser.wait_until("document.querySelector('.finding.critical')", LONG);
        browser.wait_until(&flat_for(12), LONG);

        the_plateau_is_in_the_picture(&mut browser, &address);
        what_is_open_and_where_the_focus_is_survives_an_update(&mut browser);
        values_are_read_with_the_keyboard(&mut browser);
        it_fits_a_phone(&mut browser);

        browser.resize(1280, 1600);
        browser.evaluate("document.querySelector('.finding.critical .more a').click()");
        browser.wait_for_load();
        let title = browser.evaluate("document.querySelector('h1').textContent");
        assert_eq!(title, "ports-exhausted");
        let text = browser.evaluate("document.querySelector('main').innerText");
        let text = text.as_str().expect("text");
        // What to do here, and what to do in general.
        for part in ["unix:", "100 of 100 ports", "What to do"] {
            assert!(text.contains(part), "{part} in {text}");
        }

        browser.open(&address);
        the_history_is_older_than_the_page(&mut browser);
        it_is_whole_without_a_script(&mut browser, &address);

        for url in browser.requests() {
            let is_ours =
                url.starts_with(&address) || url == "about:blank" || url.starts_with("data:");
            assert!(is_ours, "{url}");
        }
        assert_eq!(browser.complaints(), Vec::<String>::new());
        drop((traffic, proxy));
        browser.wait_until(
            "document.getElementById('live').textContent.startsWith('connection lost')",
            PATIENCE,
        );
    });
}

fn the_plateau_is_in_the_picture(browser: &mut Browser, address: &str) {
    let picture = browser.picture("#plot-ports > svg");
    if let Some(path) = std::env::var_os("LASTHOP_DASHBOARD_PICTURE") {
        let picture = browser.picture_down_to("#charts");
        std::fs::write(path, decoded(&picture)).expect("a file for the picture");
    }
    let rows = browser.rows(&picture, &[WALL, LINE]);
    let width = 300;
    let wall = rows
        .iter()
        .rposition(|row| row[0] >= width)
        .expect("the wall");
    // 100 of an axis of 150, in a drawing of 150 pixels.
    assert!((46..=50).contains(&wall), "the wall is in row {wall}");
    let along: u64 = rows[wall..wall + 4]
        .iter()
        .map(|row| row[1])
        .max()
        .unwrap_or(0);
    assert!(
        along >= 30,
        "{along} pixels of the line run along the wall in row {wall}"
    );
    let above: u64 = rows[..wall - 4].iter().map(|row| row[1]).sum();
    assert_eq!(above, 0, "nothing is above the wall");
    browser.open(address);
    browser.wait_until(
        "document.getElementById('live').textContent === 'live'",
        PATIENCE,
    );
}

/// Resolves when the charts are replaced next.
fn wait_for_an_update(browser: &mut Browser) {
    browser.evaluate(
        "new Promise((done) => {
            const watch = new MutationObserver(() => { watch.disconnect(); done(); });
            watch.observe(document.getElementById('charts'), { childList: true });
        })",
    );
}

fn what_is_open_and_where_the_focus_is_survives_an_update(browser: &mut Browser) {
    browser.evaluate(
        "document.querySelector('#figures-sockets summary').click(); document.getElementById('plot-requests').focus()",
    );
    wait_for_an_update(browser);
    assert_eq!(
        browser.evaluate("document.getElementById('figures-sockets').open"),
        true
    );
    assert_eq!(
        browser.evaluate("document.getElementById('figures-ports').open"),
        false
    );
    assert_eq!(
        browser.evaluate("document.activeElement.id"),
        "plot-requests"
    );
    browser.evaluate("document.querySelector('#figures-sockets summary').click()");
    // Paused, nothing moves, and it says so.
    browser.evaluate("document.getElementById('pause').click()");
    assert_eq!(
        browser.evaluate("document.getElementById('live').textContent"),
        "paused"
    );
    browser.evaluate("document.getElementById('pause').click()");
    browser.wait_until(
        "document.getElementById('live').textContent === 'live'",
        PATIENCE,
    );
}

fn values_are_read_with_the_keyboard(browser: &mut Browser) {
    let said = browser.evaluate(
        "(() => {
            const plot = document.getElementById('plot-ports');
            plot.focus();
            for (let i = 0; i < 3; i++) plot.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft', bubbles: true }));
            return plot.querySelector('output').innerText;
        })()",
    );
    let said = said.as_str().expect("text");
    assert!(said.contains("127.0.0.1:3000: 100"), "{said}");
}

fn it_fits_a_phone(browser: &mut Browser) {
    browser.resize(360, 740);
    let width = browser.evaluate("document.documentElement.scrollWidth");
    assert_eq!(width, 360, "no scrolling to the side");
}

fn the_history_is_older_than_the_page(browser: &mut Browser) {
    browser.reload();
    let older = browser.evaluate(
        "(() => {
            const plot = document.getElementById('plot-ports');
            const line = [...plot.querySelectorAll('path')].find((it) => it.dataset.name.endsWith(':3000'));
            const first = Number(plot.dataset.from) + 1000 * Number(line.dataset.v.split(':')[0]);
            return (performance.timeOrigin - first) / 1000;
        })()",
    );
    assert!(older.as_f64() > Some(12.0), "{older} s older than the page");
}

fn it_is_whole_without_a_script(browser: &mut Browser, address: &str) {
    browser.call(
        "Emulation.setScriptExecutionDisabled",
        serde_json::json!({"value": true}),
    );
    browser.open(address);
    let text = browser.evaluate("document.body.innerText");
    let text = text.as_str().expect("text");
    for part in [
        "127.0.0.1 -> 127.0.0.1:3000",
        "100 of 100 ports",
        "wall: 100 ports, 100 % in use",
        "reload for news",
        "serving",
        "127.0.0.1 → 127.0.0.1:3000",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let is_dead = browser.evaluate("document.getElementById('pause').hidden");
    assert_eq!(is_dead, true, "no button that does nothing");
    browser.call(
        "Emulation.setScriptExecutionDisabled",
        serde_json::json!({"value": false}),
    );
    browser.open(address);
    browser.wait_until(
        "document.getElementById('live').textContent === 'live'",
        PATIENCE,
    );
}
