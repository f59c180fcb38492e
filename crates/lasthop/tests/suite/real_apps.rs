//! Real apps behind lasthop, over TCP and Unix sockets, asked by real clients: what people run, not what we imagine.
//!
//! The apps and the Python and Node clients are in `tests/peers/`; they check what they receive themselves, by sha256.
//! `LASTHOP_PEERS_PYTHON` names the Python that has gunicorn, uvicorn and websockets.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::programs::{Kind, RealApp, curl, node, peer, python, skip};
use crate::support::{Lasthop, Setup, TempDir, pattern};

/// The largest body here.
const LARGE: usize = 100_000_000;

/// Runs the checks of the Python client against `base`.
fn python_client(base: &str, checks: &[&str]) -> Result<(), String> {
    run(
        Command::new(python()?).arg("-B").arg(peer("client.py")),
        base,
        checks,
    );
    Ok(())
}

/// Runs the checks of the Node client against `base`.
fn node_client(base: &str, checks: &[&str]) -> Result<(), String> {
    let node = node()?;
    run(bounded(&node).arg(peer("client.mjs")), base, checks);
    Ok(())
}

/// A client that hangs is a failure, not a hanging test.
fn bounded(program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["60", program]);
    command
}

fn run(command: &mut Command, base: &str, checks: &[&str]) {
    command.arg(base).args(checks).stdin(Stdio::null());
    let output = command.output().expect("timeout(1)");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// `curl` with these arguments, `input` on its standard input.
fn curl_with(arguments: &[&str], input: &[u8]) -> Result<Output, String> {
    let mut child = Command::new(curl()?)
        .args(["-sS", "--http1.1", "--max-time", "60"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("curl: {error}"))?;
    let mut pipe = child.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // curl may have its answer before it has read everything.
            let _ = pipe.write_all(input);
        });
        child.wait_with_output().expect("curl ends")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl {arguments:?}: {said}");
    Ok(output)
}

/// What curl is used for: downloads, uploads with a length and in chunks, HEAD, ranges.
fn curl_client(base: &str, large: usize) -> Result<(), String> {
    let digest = |body: &str| -> (usize, String) {
        let field = |name: &str| {
            let (_, rest) = body.split_once(&format!("\"{name}\":")).expect("a digest");
            let rest = rest.trim_start().trim_start_matches('"');
            let end = rest.find(['"', ',', '}']).unwrap_or(rest.len());
            rest[..end].to_owned()
        };
        (field("length").parse().expect("a number"), field("sha256"))
    };
    let mut sums = Vec::new();
    for size in [0, 1, 65_536, 1_000_000, large] {
        let body = pattern(size);
        let down = curl_with(&[&format!("{base}/bytes/{size}")], b"")?;
        assert!(
            down.stdout == body,
            "{size} bytes down, {} came",
            down.stdout.len()
        );
        // From a pipe curl does not know the length, so it sends chunks, and expects 100-continue.
        let chunked = curl_with(&["-T", "-", &format!("{base}/digest")], &body)?;
        let sized = curl_with(&["--data-binary", "@-", &format!("{base}/digest")], &body)?;
        for up in [chunked, sized] {
            let (length, sum) = digest(&String::from_utf8_lossy(&up.stdout));
            assert_eq!(length, size, "bytes up");
            sums.push((size, sum));
        }
    }
    // The same body has the same sum however it is framed, and as the clients in the other languages see it.
    for pair in sums.chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
    let range = curl_with(&["-r", "1000-1999", &format!("{base}/bytes/5000")], b"")?;
    assert!(range.stdout == pattern(5000)[1000..2000], "a range");
    let head = curl_with(&["-I", &format!("{base}/bytes/5000")], b"")?;
    let head = String::from_utf8_lossy(&head.stdout).to_ascii_lowercase();
    assert!(head.contains("content-length: 5000"), "{head}");
    let statuses = curl_with(
        &[
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} ",
            &format!("{base}/status/204"),
            "-o",
            "/dev/null",
            &format!("{base}/status/304"),
        ],
        b"",
    )?;
    assert_eq!(String::from_utf8_lossy(&statuses.stdout).trim(), "204 304");
    Ok(())
}

/// One app behind lasthop, asked by every client.
fn served(kind: Kind, unix: bool) -> Result<(), String> {
    let app = RealApp::start(kind, unix)?;
    let proxy = Setup::to(&[&app.target()]).server("workers = 2").start();
    let base = format!("http://{}", proxy.address());
    let only: &[&str] = match kind {
        Kind::Gunicorn => &[],
        Kind::Uvicorn => &["websocket", "early"],
        Kind::Node => &["early"],
    };
    let large = LARGE.to_string();
    let mut checks = vec![
        "small",
        "head",
        "statuses",
        "ranges",
        "keepalive",
        "events",
        "pipelining",
        "forwarded",
    ];
    checks.extend(only);
    if unix {
        checks.extend(["large", &large]);
    }
    python_client(&base, &checks)?;
    let only: &[&str] = match kind {
        Kind::Gunicorn | Kind::Uvicorn => &[],
        Kind::Node => &["trailers", "upgrade"],
    };
    let mut checks = vec!["small", "keepalive", "expect", "events", "fetch"];
    checks.extend(only);
    if !unix {
        checks.extend(["large", &large]);
    }
    node_client(&base, &checks)?;
    curl_client(&base, if unix { 1_000_001 } else { LARGE })
}

/// Skips, loudly, when a program is missing.
fn or_skip(result: Result<(), String>) {
    if let Err(missing) = result {
        skip(&missing);
    }
}

#[test]
fn gunicorn_over_tcp_serves_curl_python_and_node() {
    or_skip(served(Kind::Gunicorn, false));
}

#[test]
fn gunicorn_over_a_unix_socket_serves_curl_python_and_node() {
    or_skip(served(Kind::Gunicorn, true));
}

#[test]
fn uvicorn_over_tcp_serves_curl_python_and_node() {
    or_skip(served(Kind::Uvicorn, false));
}

#[test]
fn uvicorn_over_a_unix_socket_serves_curl_python_and_node() {
    or_skip(served(Kind::Uvicorn, true));
}

#[test]
fn node_over_tcp_serves_curl_python_and_node() {
    or_skip(served(Kind::Node, false));
}

#[test]
fn node_over_a_unix_socket_serves_curl_python_and_node() {
    or_skip(served(Kind::Node, true));
}

/// Without this one, a failure above could be the peers' own.
#[test]
fn apps_and_clients_agree_without_a_proxy() {
    or_skip(
        [Kind::Gunicorn, Kind::Uvicorn, Kind::Node]
            .into_iter()
            .try_for_each(|kind| {
                let app = RealApp::start(kind, false)?;
                let base = format!("http://{}", app.target());
                python_client(&base, &["small", "head", "statuses", "ranges", "events"])?;
                node_client(&base, &["small", "events", "fetch"])?;
                curl_client(&base, 1_000_001)
            }),
    );
}

#[test]
fn four_stalled_uploads_leave_four_gunicorn_sync_workers_free() {
    or_skip((|| {
        for unix in [false, true] {
            let app = RealApp::start(Kind::Gunicorn, unix)?;
            let proxy = Setup::to(&[&app.target()]).start();
            // All four workers are up: none is still importing the app.
            assert_eq!(proxy.get("/bytes/10").status(), 200);
            let mut stalled: Vec<_> = (0..4)
                .map(|_| {
                    let mut client = proxy.client();
                    client
                        .send("POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n");
                    client.send(pattern(40_000));
                    client
                })
                .collect();
            assert!(
                stalled
                    .iter_mut()
                    .all(|client| client.is_quiet_for(Duration::from_millis(20)))
            );
            let begun = Instant::now();
            assert_eq!(proxy.get("/bytes/10").status(), 200);
            assert!(
                begun.elapsed() < Duration::from_secs(1),
                "after {:?}",
                begun.elapsed()
            );
            for mut client in stalled {
                client.send(&pattern(50_000)[40_000..]);
                assert!(client.answer().text().contains("50000"));
            }
        }
        Ok(())
    })());
}

#[test]
fn a_request_waits_while_gunicorn_is_restarted() {
    or_skip((|| {
        let dir = TempDir::new();
        let path = dir.join("app.sock");
        let first = RealApp::start_at(Kind::Gunicorn, &path)?;
        let proxy: Lasthop = Setup::to(&[&first.target()])
            .upstream("restart_grace = \"20s\"")
            .start();
        assert_eq!(proxy.get("/bytes/10").status(), 200);
        drop(first);
        let mut client = proxy.client();
        client.send("GET /bytes/10 HTTP/1.1\r\nHost: a\r\n\r\n");
        let _second = RealApp::start_at(Kind::Gunicorn, &path)?;
        let answer = client.answer();
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert!(answer.body == pattern(10));
        Ok(())
    })());
}
