//! What the dashboard promises, part by part, with scenes made by hand.
//!
//! tidy: long because one page and one set of hostile names for all that is escaped, drawn and streamed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::body::Body as _;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lasthop_ports::finding::{ALL, Amount, Code, Finding, Remedy, Severity, Step, Subject};
use lasthop_ports::snapshot::{GroupKey, SocketCounts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::Instant;

use super::super::connection::{Activity, Impatient, Patience};
use super::html::Html;
use super::live::{Live, STREAMS_MAX, Scene};
use super::page::Part;
use super::{charts, findings, markdown, page};
use crate::doctor;
use crate::history::{GroupReading, History, HostReading, Level, OwnPoint, UpstreamPoint, Window};

/// What a process, a path and an upstream may be called.
const EVIL: &str = "<script>alert(\"1\")</script>\x1b[2J'&";

const START: u64 = 1_800_000_000_000;

fn finding(code: Code, severity: Severity) -> Finding {
    let text = || EVIL.to_owned();
    Finding {
        code,
        severity,
        headline: text(),
        subject: Subject::UnixSocket { path: text() },
        usage: Some(Amount {
            used: 28_000,
            limit: 28_232,
            unit: "ports",
        }),
        forecast: None,
        processes: Vec::new(),
        evidence: vec![text()],
        remedies: vec![Remedy {
            title: text(),
            steps: vec![
                Step::Shell {
                    lines: vec![text(), text()],
                },
                Step::Lines {
                    place: text(),
                    lines: vec![text()],
                },
                Step::Words { text: text() },
            ],
            undo: vec![text()],
            risk: Some(text()),
        }],
    }
}

fn history() -> History {
    let mut history = History::new(vec![EVIL.to_owned(), "app".to_owned()], &["source_ports"]);
    for index in 1..=60u64 {
        let used = (index * 20).min(600) as u32;
        let host = HostReading {
            sockets: Some(SocketCounts {
                time_wait: 5000,
                established: 2 * u64::from(used),
                ..SocketCounts::default()
            }),
            groups: vec![GroupReading {
                key: GroupKey {
                    source: IpAddr::V4(Ipv4Addr::LOCALHOST),
                    destination: SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)),
                },
                used,
                limit: 600,
                time_wait: 0,
            }],
            is_complete: true,
            period_ms: 2000,
        };
        let own = OwnPoint {
            requests: 1250.0,
            failures: vec![if used == 600 { 30.0 } else { 0.0 }],
            duration_p50: Some(0.000_8),
            duration_p99: Some(Level::at(0.002)),
            upstreams: vec![UpstreamPoint::default(); 2],
            ..OwnPoint::default()
        };
        history.push(START + index * 2000, Some(&host), Some(own));
    }
    history
}

/// No tag but those of the page's own source: what is foreign is text.
fn holds_no_markup_of_others(html: &Html) {
    let html = html.as_str();
    assert!(html.contains("&lt;script&gt;"), "{html}");
    for evil in ["<script", "\x1b", "alert(\"", "style=", "onclick", "onload"] {
        assert!(!html.contains(evil), "{evil} in {html}");
    }
}

#[test]
fn a_finding_has_its_evidence_and_remedies_and_links_to_its_page() {
    let mut one = finding(Code::PortsTight, Severity::Warning);
    one.headline = "127.0.0.1 -> 127.0.0.1:3000: 28,000 of 28,232 ports".to_owned();
    let html = findings::list(&[one]);
    for part in [
        "<article class=\"finding warning\">",
        "<span class=\"severity\">warning</span> 127.0.0.1 -&gt; 127.0.0.1:3000: 28,000 of 28,232 ports</h3>",
        "28,000 of 28,232 ports (99.2 %)",
        "<a href=\"/findings/ports-tight\">",
        "<details class=\"remedy\" id=\"ports-tight-",
        "To undo it:",
    ] {
        assert!(html.as_str().contains(part), "{part} in {}", html.as_str());
    }
}

#[test]
fn names_of_processes_paths_and_upstreams_are_only_ever_text() {
    let found = [finding(Code::UnixSocketStale, Severity::Critical)];
    holds_no_markup_of_others(&findings::list(&found));
    holds_no_markup_of_others(&findings::summary(Some(&found)));
    holds_no_markup_of_others(&findings::unseen(&[EVIL.to_owned()]));
    holds_no_markup_of_others(&findings::page(Code::UnixSocketStale, &found, &Html::new()));
    holds_no_markup_of_others(&charts::html(
        &history(),
        Window::TenMinutes,
        START + 120_000,
    ));
}

#[test]
fn the_summary_counts_by_severity_and_says_what_is_worst() {
    let mut found = vec![
        finding(Code::PortsExhausted, Severity::Critical),
        finding(Code::PortsTight, Severity::Warning),
        finding(Code::AppExposed, Severity::Warning),
    ];
    found[0].headline = "the worst".to_owned();
    let said = |found: Option<&[Finding]>| findings::summary(found).into_string();
    assert_eq!(said(Some(&found)), "1 critical, 2 warnings. the worst");
    assert!(said(Some(&[])).starts_with("Nothing is wrong"));
    assert!(said(None).contains("under way"));
}

#[test]
fn a_list_of_findings_is_bounded() {
    let many = vec![finding(Code::PortsTight, Severity::Warning); 300];
    let html = findings::list(&many).into_string();
    assert_eq!(html.matches("<article").count(), 24);
    assert!(html.contains("276 more"), "{html}");
}

#[test]
fn the_charts_tell_of_the_wall_and_of_every_figure_in_words_too() {
    let html = charts::html(&history(), Window::TenMinutes, START + 121_000).into_string();
    for part in [
        ">wall: 600 ports, 100 % in use</text>",
        "127.0.0.1 → 127.0.0.1:3000</th>",
        "<b>1,250/s</b>",
        "TIME_WAIT <b>5,000</b>",
        "p99 <b>2 ms</b>",
        "source_ports <b>30/s</b>",
        // Two minutes are all there is, so the axis is not longer.
        ">−2 min</text>",
        "<th scope=\"row\">now</th><td>600</td>",
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
    assert_eq!(html.matches("<figure").count(), 8);
    assert_eq!(
        html.matches("role=\"img\"").count(),
        html.matches("<desc").count()
    );
}

#[test]
fn every_window_draws_whatever_there_is() {
    let empty = History::new(Vec::new(), &[]);
    for window in Window::ALL {
        for history in [&empty, &history()] {
            let html = charts::html(history, window, START + 121_000);
            assert_eq!(html.as_str().matches("<figure").count(), 8);
        }
    }
    // A clock that stands before all points.
    let html = charts::html(&history(), Window::TenMinutes, 0);
    assert!(html.as_str().contains("600 ports"));
}

#[test]
fn a_page_has_landmarks_one_title_and_headings_in_order() {
    let parts = Part::ALL.map(|_| Html::new());
    let html = page::dashboard(Window::Day, &parts);
    for part in [
        "<html lang=\"en\">",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
        "<a class=\"skip\" href=\"#main\">",
        "<header>",
        "<nav aria-label=\"Time shown\">",
        "<a href=\"/?window=24h\" aria-current=\"page\">",
        "<main id=\"main\" tabindex=\"-1\">",
        "<footer>",
        "<p id=\"summary\" aria-live=\"polite\">",
        "<noscript>",
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
    for name in Part::ALL.map(Part::name) {
        assert_eq!(
            html.matches(&format!(" id=\"{name}\"")).count(),
            1,
            "{name}"
        );
    }
    for window in Window::ALL {
        assert!(html.contains(&format!("/?window={}", window.as_str())));
    }
    assert_eq!(html.matches("<h1").count(), 1);
    assert!(html.find("<h1") < html.find("<h2"));
    assert!(!html.contains(" style=") && !html.contains("<style"));
    // Every script is a file of ours.
    assert_eq!(
        html.matches("<script").count(),
        html.matches("<script defer src=\"/assets/").count()
    );
}

#[test]
fn every_finding_has_a_page_with_its_remedies() {
    for code in ALL {
        let text = doctor::page(code.as_str()).unwrap();
        let html = findings::page(*code, &[], &markdown::html(text)).into_string();
        assert!(html.starts_with(&format!("<h1>{code}</h1>")), "{html}");
        assert_eq!(html.matches("<h1").count(), 1, "{code}");
        assert!(html.contains("<h2>"), "{code}: {html}");
        assert!(!markdown::summary(text).is_empty(), "{code}");
        assert!(
            !html.contains(".md\""),
            "{code} links to what is not served: {html}"
        );
    }
}

/// A scene that says what it is told to.
#[derive(Default)]
struct Told {
    version: AtomicU64,
    rendered: AtomicU64,
    is_draining: AtomicBool,
}

impl Scene for Told {
    fn version(&self, _: Window) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    fn parts(&self, window: Window) -> [Html; Part::ALL.len()] {
        self.rendered.fetch_add(1, Ordering::Relaxed);
        let version = self.version(window);
        Part::ALL.map(|part| {
            let mut html = Html::new();
            match part {
                Part::Charts => html.text(format_args!("one\ntwo {version}")),
                Part::State => html.text(window.as_str()),
                _ => html.raw("<p>same</p>"),
            };
            html
        })
    }

    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }
}

fn in_runtime(test: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    test();
}

#[test]
fn a_stream_begins_with_everything_and_goes_on_with_what_has_changed() {
    in_runtime(|| {
        let live = Arc::new(Live::new(Told::default()));
        let mut stream = live.stream(Window::ThreeHours).unwrap();
        let said = |news: Vec<u8>| String::from_utf8(news).unwrap();
        assert_eq!(
            said(stream.news()),
            "retry: 3000\n\n\
             event: state\ndata: 3h\n\n\
             event: summary\ndata: <p>same</p>\n\n\
             event: findings\ndata: <p>same</p>\n\n\
             event: charts\ndata: one\ndata: two 0\n\n\
             event: upstreams\ndata: <p>same</p>\n\n"
        );
        assert_eq!(said(stream.news()), "");
        // Two versions go by before this reader comes again; it gets the newest alone.
        live.scene().version.store(2, Ordering::Relaxed);
        assert_eq!(
            said(stream.news()),
            "event: charts\ndata: one\ndata: two 2\n\n"
        );
    });
}

#[test]
fn an_update_is_written_once_for_all_streams_and_never_without_one() {
    in_runtime(|| {
        let live = Arc::new(Live::new(Told::default()));
        let mut streams: Vec<_> = (0..STREAMS_MAX)
            .map(|_| live.stream(Window::Day).unwrap())
            .collect();
        for version in 1..=3 {
            live.scene().version.store(version, Ordering::Relaxed);
            for stream in &mut streams {
                assert!(!stream.news().is_empty());
            }
        }
        assert_eq!(live.scene().rendered.load(Ordering::Relaxed), 3);
        drop(streams);
        live.scene().version.store(4, Ordering::Relaxed);
        assert_eq!(live.scene().rendered.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn streams_are_bounded_and_give_their_place_back() {
    in_runtime(|| {
        let live = Arc::new(Live::new(Told::default()));
        let mut streams: Vec<_> = (0..STREAMS_MAX)
            .map(|_| live.stream(Window::Day).unwrap())
            .collect();
        assert!(live.stream(Window::TenMinutes).is_none());
        streams.pop();
        assert!(live.stream(Window::TenMinutes).is_some());
    });
}

#[test]
fn a_stream_ends_with_the_drain_after_its_last_word() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let live = Arc::new(Live::new(Told::default()));
        live.scene().is_draining.store(true, Ordering::Relaxed);
        let mut stream = Box::pin(live.stream(Window::Day).unwrap());
        let frame = std::future::poll_fn(|cx| stream.as_mut().poll_frame(cx)).await;
        let bytes = frame.unwrap().unwrap().into_data().unwrap();
        assert!(
            bytes.starts_with(b"retry: 3000\n\nevent: state\n"),
            "{bytes:?}"
        );
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(
            stream.as_mut().poll_frame(&mut cx),
            Poll::Ready(None)
        ));
    });
}

/// Bytes that the reader's side of a test holds without reading them: less than one update.
const HELD: usize = 1024;

/// A connection to the stream of a scene that has news at every look, with these times.
fn connection(
    patience: Patience,
) -> (impl Future<Output = Result<(), hyper::Error>>, DuplexStream) {
    let live = Arc::new(Live::new(Restless::default()));
    let pages = service_fn(move |_: hyper::Request<hyper::body::Incoming>| {
        let stream = live.stream(Window::Day);
        async move {
            stream
                .map(hyper::Response::new)
                .ok_or(std::io::Error::other("full"))
        }
    });
    let (server, client) = duplex(HELD);
    let server = Impatient::new(server, Activity::begun(Instant::now()), patience);
    let mut http = hyper::server::conn::http1::Builder::new();
    let http = http.max_buf_size(8 * 1024).header_read_timeout(None);
    (http.serve_connection(TokioIo::new(server), pages), client)
}

/// A scene that is never the same.
#[derive(Default)]
struct Restless(AtomicU64);

impl Scene for Restless {
    fn version(&self, _: Window) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn parts(&self, window: Window) -> [Html; Part::ALL.len()] {
        let version = self.version(window);
        Part::ALL.map(|_| {
            let mut html = Html::new();
            html.text(format_args!("{version} {}", "x".repeat(HELD)));
            html
        })
    }

    fn is_draining(&self) -> bool {
        false
    }
}

/// An answer may take less time than passes between two updates, so it is each update that has this long.
const SHORT: Patience = Patience {
    idle: Duration::from_secs(20),
    head: Duration::from_secs(20),
    answer: Duration::from_millis(400),
};

#[test]
fn a_stream_outlives_the_time_for_an_answer_and_a_reader_that_stalls_does_not() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (http, mut client) = connection(SHORT);
        let reader = async {
            client
                .write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
                .await
                .unwrap();
            let (mut seen, begun) = (String::new(), Instant::now());
            let mut bytes = [0; 4096];
            while seen.matches("event: charts").count() < 3 {
                let read = client.read(&mut bytes).await.unwrap();
                assert!(read > 0, "it ended after {:?}", begun.elapsed());
                seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
            assert!(begun.elapsed() > SHORT.answer * 2, "{:?}", begun.elapsed());
            // From here on nothing is read, but the client stays.
            client
        };
        let (ended, client) = tokio::join!(http, reader);
        assert!(ended.is_err());
        drop(client);
    });
}

/// The luminance of a colour of the style sheet (WCAG 2.2, "relative luminance").
fn luminance(colour: &str) -> f64 {
    let part = |at: usize| {
        let part = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if part <= 0.040_45 {
            part / 12.92
        } else {
            ((part + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
    one.max(other) / one.min(other)
}

#[test]
fn texts_and_lines_have_enough_contrast_in_the_light_and_in_the_dark() {
    let style = include_str!("assets/style.css");
    let schemes: Vec<&str> = style
        .split(":root {")
        .skip(1)
        .map(|it| it.split('}').next().unwrap())
        .collect();
    assert_eq!(schemes.len(), 2);
    for scheme in schemes {
        let colour = |name: &str| {
            let mut lines = scheme.lines().map(str::trim);
            let line = lines
                .find_map(|line| line.strip_prefix(&format!("--{name}: ")))
                .unwrap();
            line.trim_end_matches(';').to_owned()
        };
        for (text, ground) in [
            ("ink", "ground"),
            ("ink", "sheet"),
            ("ink", "code"),
            ("faint", "ground"),
            ("faint", "sheet"),
            ("link", "ground"),
            ("link", "sheet"),
            ("critical", "critical-ground"),
            ("critical", "ground"),
            ("warning", "warning-ground"),
            ("note", "note-ground"),
            ("wall", "sheet"),
        ] {
            let contrast = contrast(&colour(text), &colour(ground));
            assert!(contrast >= 4.5, "{text} on {ground}: {contrast:.2}");
        }
        for tone in 0..super::chart::LINES_MAX {
            let contrast = contrast(&colour(&format!("tone-{tone}")), &colour("sheet"));
            assert!(contrast >= 3.0, "tone-{tone}: {contrast:.2}");
        }
    }
}
